"""The permissions of the function's role, and the key and bucket policies that they depend on."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_s3_to_sftp import ledger as ledgers
from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge, acknowledge_wildcard
from cdk_s3_to_sftp.annotations import warn
from cdk_s3_to_sftp.arguments import is_made_here
from cdk_s3_to_sftp.function_settings import FunctionResources
from cdk_s3_to_sftp.moves import Target
from cdk_s3_to_sftp.regions_and_accounts import other_account
from cdk_s3_to_sftp.roles import make_role, role_to_grant
from cdk_s3_to_sftp.sources import Source, escaped
from cdk_s3_to_sftp.suppressions import Suppression
from s3_to_sftp.rules.after_delivery import AfterAction

# The attributes hold the sizes of the parts, if S3 stores a checksum of the parts' checksums.
READ_OBJECTS = (
    "s3:GetObject",
    "s3:GetObjectAttributes",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAttributes",
)

READ_TAGS = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging")
"""For rules that use tags of objects."""

_TAG_OBJECTS = (*READ_TAGS, "s3:PutObjectTagging", "s3:PutObjectVersionTagging")
_WITHOUT_VERSIONS = "s3:DeleteObject"
_DELETE_OBJECTS = (_WITHOUT_VERSIONS, "s3:DeleteObjectVersion")
_PUT_COPIES = (
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:ListMultipartUploadParts",  # what is copied in parts is continued
    "s3:AbortMultipartUpload",  # or given up
)
_ENCRYPT_COPIES = ("kms:Decrypt", "kms:GenerateDataKey")

_OF_SOURCE = {
    AfterAction.KEEP: (),
    AfterAction.TAG: _TAG_OBJECTS,
    AfterAction.MOVE: (*READ_TAGS, *_DELETE_OBJECTS),
    AfterAction.DELETE: _DELETE_OBJECTS,
}
"""What is done with the objects of a source after their delivery."""

# Without it S3 answers 403 for a missing object, as if reading it were denied.
LIST_BUCKET = ("s3:ListBucket",)

_SEND_TO_ENCRYPTED_QUEUE = ("kms:Decrypt", "kms:GenerateDataKey")

_USE_OF_NETWORK = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda does with the role of a function in a VPC (Lambda developer guide)."""

_TRACES = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
"""What Lambda does with the role of a traced function. X-Ray has no resource types for these actions.

https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
"""


class Permissions:
    """Grants the function's role the actions that the function uses, and no others.

    Does not use CDK's L2 grants: they grant groups of actions (`s3:GetObject*`, `s3:List*`) where few are
    needed.

    Attributes:
        role: The role. By default one that only Lambda can assume.
        granted: The same role, as this stack attaches policies to it. The function depends on it.
        statements: All statements that the role needs.
    """

    def __init__(self, scope: Construct, role: iam.IRole | None, *, partner: str) -> None:
        self._scope = scope
        self._key_statements: dict[str, list[iam.PolicyStatement]] = {}
        self._shared_key: kms.IKey | None = None
        self._key_of_dead_letters: kms.IKey | None = None
        self.statements: list[iam.PolicyStatement] = []
        self.role: iam.IRole = role or make_role(scope, partner)
        self.granted = role_to_grant(scope, self.role)

    def grant_core(self, resources: FunctionResources) -> None:
        """Grant the use of the construct's own resources."""
        self._allow(resources.log_group.log_group_arn, "logs:CreateLogStream", "logs:PutLogEvents")
        self._allow(
            resources.queue.queue_arn,
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            "sqs:SendMessage",  # continues an object that takes longer than one invocation
        )
        self._allow(resources.dead_letter_queue.queue_arn, "sqs:SendMessage")
        self._allow(_full_arn(resources.credentials), "secretsmanager:GetSecretValue")
        self._allow(resources.ledger.table_arn, *ledgers.ACTIONS)
        self._allow(resources.event_bus.event_bus_arn, "events:PutEvents")
        self._use_key(resources.credentials.encryption_key, "kms:Decrypt")
        self._use_key(resources.ledger.encryption_key, *ledgers.KEY_ACTIONS)
        self._warn_of_fixed_role()

    def grant_query(self, ledger: dynamodb.ITable) -> None:
        """Grant asking the ledger for what is not delivered: for rules with a cut-off."""
        self._allow(f"{ledger.table_arn}/index/{ledgers.INDEX}", *ledgers.QUERY)

    def grant_send_to_encrypted_queue(self, key: kms.IKey | None) -> None:
        """Grant the use of the key of a queue, if any."""
        self._use_key(key, *_SEND_TO_ENCRYPTED_QUEUE)

    def grant_read_secret(self, secret: secretsmanager.ISecret) -> None:
        """Grant reading one more secret."""
        self._allow(_full_arn(secret), "secretsmanager:GetSecretValue")
        self._use_key(secret.encryption_key, "kms:Decrypt")

    def grant_read(self, source: Source, *, tags: bool) -> None:
        """Grant reading the objects of a source.

        Args:
            source: The source.
            tags: Whether its rules use tags of its objects.
        """
        self._allow(source.objects, *READ_OBJECTS, *(READ_TAGS if tags else ()))
        self._allow(source.bucket.bucket_arn, *LIST_BUCKET)
        acknowledge_wildcard(self.granted, source.objects, suppressions.ROLE_OBJECTS)
        self._use_key(source.bucket.encryption_key, "kms:Decrypt")
        self._warn_of_foreign_bucket(source)

    def grant_after_delivery(
        self, source: Source, action: AfterAction, target: Target | None, *, has_versions: bool
    ) -> None:
        """Grant what is done with the objects of a source after their delivery.

        Args:
            source: The source.
            action: What is done.
            target: Where they are moved to; None: nowhere.
            has_versions: Whether its bucket is known to have versions.
        """
        if actions := [
            each for each in _OF_SOURCE[action] if not (has_versions and each == _WITHOUT_VERSIONS)
        ]:
            self._allow(source.objects, *actions)
            acknowledge_wildcard(self.granted, source.objects, suppressions.ROLE_OBJECTS)
        if target is None:
            return
        arn = f"arn:{cdk.Aws.PARTITION}:s3:::{target.name}"
        bucket_arn = target.bucket.bucket_arn if target.bucket is not None else arn
        objects = f"{bucket_arn}/{escaped(target.prefix)}*"
        self._allow(objects, *_PUT_COPIES)
        acknowledge_wildcard(self.granted, objects, suppressions.ROLE_MOVED_OBJECTS)
        self._use_key(target.encryption_key, *_ENCRYPT_COPIES)

    def grant_vpc_access(self) -> iam.Policy | None:
        """Grant what Lambda needs to connect the function to a VPC.

        Returns:
            The policy that the function depends on, or None for a role that cannot be changed.
        """
        statement = iam.PolicyStatement(actions=list(_USE_OF_NETWORK), resources=["*"])
        return self._add_policy("Network", statement, suppressions.ROLE_NETWORK)

    def grant_tracing(self) -> iam.Policy | None:
        """Grant what Lambda needs to send traces of the function.

        Returns:
            The policy that the function depends on, or None for a role that cannot be changed.
        """
        statement = iam.PolicyStatement(actions=list(_TRACES), resources=["*"])
        return self._add_policy("Tracing", statement, suppressions.ROLE_TRACING)

    def deny_vpc_access_to_code(self, function: lambda_.IFunction) -> None:
        """Deny the function's own code the VPC actions that Lambda needs (Lambda developer guide)."""
        statement = iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=list(_USE_OF_NETWORK),
            resources=["*"],
            conditions={"ArnEquals": {"lambda:SourceFunctionArn": function.function_arn}},
        )
        self._add_policy("DenyVpcAccessToCode", statement)

    def grant_service_use_of_key(self, key: kms.IKey | None) -> None:
        """Let the function, CloudWatch Logs, S3 and EventBridge use the key of log and queues."""
        if key is None:
            return
        self.grant_send_to_encrypted_queue(key)
        stack = cdk.Stack.of(self._scope)
        # Not the log group's own ARN: the log group needs the key, whose policy would need the log group.
        logs_here = stack.format_arn(service="logs", resource="*", arn_format=cdk.ArnFormat.NO_RESOURCE_NAME)
        self._add_to_key_policy(
            key,
            iam.PolicyStatement(
                principals=[_logs_of(stack)],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs_here}},
            ),
        )
        self._add_to_key_policy(key, self._statement_for_services(("s3", "events"), stack.account))
        self._shared_key = key

    def grant_eventbridge_use_of_key(self, key: kms.IKey | None) -> None:
        """Let EventBridge use the key of a dead-letter queue, unless it is the shared key."""
        known = [each.key_arn for each in (self._shared_key, self._key_of_dead_letters) if each]
        if key is None or key.key_arn in known:
            return
        self._key_of_dead_letters = key
        self._add_to_key_policy(
            key, self._statement_for_services(("events",), cdk.Stack.of(self._scope).account)
        )

    def key_policy_statements(self, key: kms.IKey) -> list[iam.PolicyStatement]:
        """Return what the policy of an imported key must contain."""
        return list(self._key_statements.get(key.key_arn, []))

    def bucket_policy_statements(
        self, sources: Sequence[Source], *, tagged: Sequence[Source], after: Mapping[Source, AfterAction]
    ) -> list[iam.PolicyStatement]:
        """Return what the policy of the sources' bucket must contain if it belongs to another account.

        Args:
            sources: Those of the bucket.
            tagged: Those of them whose rules use tags of their objects.
            after: What is done with the objects of each after their delivery.
        """
        tags = [self._statement_for_role(READ_TAGS, [each.objects for each in tagged])] if tagged else []
        return [
            self._statement_for_role(READ_OBJECTS, [each.objects for each in sources]),
            *tags,
            *(
                self._statement_for_role(_OF_SOURCE[action], [source.objects])
                for source, action in after.items()
                if _OF_SOURCE[action]
            ),
            self._statement_for_role(LIST_BUCKET, [sources[0].bucket.bucket_arn]),
        ]

    def _allow(self, resource: str, *actions: str) -> None:
        statement = iam.PolicyStatement(actions=list(actions), resources=[resource])
        self.granted.add_to_principal_policy(statement)
        self.statements.append(statement)

    def _add_policy(
        self,
        id: str,  # noqa: A002 -- as in every construct
        statement: iam.PolicyStatement,
        *suppressed: Suppression,
    ) -> iam.Policy | None:
        """Add a statement in a separate policy, so that its suppressions apply to no other statement."""
        self.statements.append(statement)
        if self._role_is_fixed:
            return None
        policy = iam.Policy(self._scope, id, roles=[self.granted], statements=[statement])
        acknowledge(policy, suppressions.ROLE_POLICY, *suppressed)
        return policy

    @property
    def _role_is_fixed(self) -> bool:
        """Whether the first statement was dropped, which CDK does silently."""
        return not any(isinstance(child, iam.Policy) for child in self.granted.node.children)

    def _warn_of_fixed_role(self) -> None:
        if self._role_is_fixed:
            warn(
                self._scope,
                "policyOfFixedRole",
                f"The role {self.role.node.path} cannot be changed by the app. Its policy must contain the "
                "statements of `role_policy_statements`.",
            )

    def _statement_for_services(self, services: Sequence[str], account: str) -> iam.PolicyStatement:
        """Let services send to an encrypted queue on behalf of an account.

        Names no buckets: one of them may need the same key, which would be a cycle. The policy of the queue
        restricts the senders.
        """
        return iam.PolicyStatement(
            principals=[iam.ServicePrincipal(f"{name}.amazonaws.com") for name in services],
            actions=list(_SEND_TO_ENCRYPTED_QUEUE),
            resources=["*"],
            conditions={"StringEquals": {"aws:SourceAccount": account}},
        )

    def _use_key(self, key: kms.IKey | None, *actions: str) -> None:
        if key is None:
            return
        self._allow(key.key_arn, *actions)
        if not is_made_here(key):
            self._add_to_key_policy(key, self._statement_for_role(actions, ["*"]))

    def _add_to_key_policy(self, key: kms.IKey, statement: iam.PolicyStatement) -> None:
        if is_made_here(key):
            key.add_to_resource_policy(statement)
            return
        if key.key_arn not in self._key_statements:
            warn(
                self._scope,
                "policyOfImportedKey",
                f"The policy of key {key.node.path} cannot be changed by the app. It must contain the "
                "statements of `key_policy_statements(key)`. Those for the role are not needed if it lets "
                "the account decide by IAM policies, as key policies do by default.",
            )
        self._key_statements.setdefault(key.key_arn, []).append(statement)

    def _statement_for_role(self, actions: Sequence[str], resources: Sequence[str]) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            principals=[iam.ArnPrincipal(self.role.role_arn)],
            actions=list(actions),
            resources=list(resources),
        )

    def _warn_of_foreign_bucket(self, source: Source) -> None:
        theirs = other_account(self._scope, source.bucket)
        if theirs is None:
            return
        warn(
            self._scope,
            "policyOfForeignBucket",
            f"Bucket {source.bucket.node.path} belongs to account {theirs}: its policy must contain the "
            "statements of `bucket_policy_statements(bucket)`.",
        )


def _full_arn(secret: secretsmanager.ISecret) -> str:
    """Return the ARN of a secret; where its last six characters are not known, with wildcards for them."""
    return secret.secret_full_arn or f"{secret.secret_arn}-??????"


def _logs_of(stack: cdk.Stack) -> iam.ServicePrincipal:
    """Return the principal of CloudWatch Logs, the one service here with the partition's domain in its name.

    All others are `<service>.amazonaws.com` in every partition: see `region_info.Default.service_principal`
    of CDK.
    """
    return iam.ServicePrincipal(f"logs.{stack.region}.{stack.url_suffix}")
