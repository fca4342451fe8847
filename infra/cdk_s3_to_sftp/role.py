"""What the function may do, action by action."""

from collections.abc import Sequence

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp import ledger as ledgers
from cdk_s3_to_sftp.findings import acknowledge_wildcard


def make_role(
    scope: Construct,
    *,
    bucket: s3.IBucket,
    prefix: str | None,
    credentials: secretsmanager.ISecret,
    ledger: dynamodb.ITable,
    queue: sqs.IQueue,
    dead_letter_queue: sqs.IQueue,
    event_bus: events.IEventBus,
    log_group: logs.ILogGroup,
) -> iam.Role:
    """Make a role that lets the function do what it does with each of these, and nothing else.

    Not the L2 grants: they name groups of actions (`s3:GetObject*`, `s3:List*`) where few are needed.
    """
    objects = bucket.arn_for_objects(f"{prefix or ''}*")
    allowed: dict[str, Sequence[str]] = {
        log_group.log_group_arn: ["logs:CreateLogStream", "logs:PutLogEvents"],
        queue.queue_arn: [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            "sqs:SendMessage",  # the continuation of an object that takes longer than one invocation
        ],
        dead_letter_queue.queue_arn: ["sqs:SendMessage"],
        objects: ["s3:GetObject", "s3:GetObjectVersion"],
        # Without it S3 answers 403 for an object that is gone, as if reading were not allowed.
        bucket.bucket_arn: ["s3:ListBucket"],
        credentials.secret_full_arn or f"{credentials.secret_arn}-??????": ["secretsmanager:GetSecretValue"],
        ledger.table_arn: ledgers.ACTIONS,
        event_bus.event_bus_arn: ["events:PutEvents"],
    }
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    for resource, actions in allowed.items():
        role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[resource]))
    acknowledge_wildcard(role, objects, "The function must read every object that is announced to it.")
    for key in (bucket.encryption_key, credentials.encryption_key):
        if key:
            key.grant_decrypt(role)
    if ledger.encryption_key:
        ledger.encryption_key.grant(role, *ledgers.KEY_ACTIONS)
    return role
