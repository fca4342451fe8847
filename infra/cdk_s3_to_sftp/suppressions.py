"""Suppressed findings of rule packs: why each is suppressed, and what to do if you need it fixed.

`docs/reference/security.md` lists them all; a test compares. AwsSolutions and NIST 800-53 are packs of
cdk-nag, `CKV` is checkov.
"""

from dataclasses import dataclass

OBJECTS = "BUCKET/PREFIX*"
"""Placeholder in the id of a rule for the ARN of the objects of a source, which only the template knows."""


@dataclass(frozen=True)
class Suppression:
    """A finding that is suppressed on purpose.

    Attributes:
        rules: Full ids of the rules that report it.
        reason: What following the rule would cost, and how to follow it nevertheless.
    """

    rules: tuple[str, ...]
    reason: str


_AWS_MANAGED_KEY = (
    "Encrypted with an AWS managed key, which costs nothing and has no policy to get wrong. encryption_key= "
    "uses a customer managed key, for $1 a month plus its requests."
)

_ONE_ROLE_ONLY = (
    "An inline policy belongs to its one role, is deleted with it, and cannot be attached to anything else "
    "by mistake; a managed one would be visible to the whole account and count against its quota."
)

BUCKET_KEY = Suppression(("NIST.800.53.R5-S3DefaultEncryptionKMS",), _AWS_MANAGED_KEY)
SECRET_KEY = Suppression(("NIST.800.53.R5-SecretsManagerUsingKMSKey", "CKV_AWS_149"), _AWS_MANAGED_KEY)
LEDGER_KEY = Suppression(("CKV_AWS_119",), _AWS_MANAGED_KEY)
QUEUE_KEY = Suppression(("CKV_AWS_27",), _AWS_MANAGED_KEY)
LOG_KEY = Suppression(("NIST.800.53.R5-CloudWatchLogGroupEncrypted", "CKV_AWS_158"), _AWS_MANAGED_KEY)

ENVIRONMENT_KEY = Suppression(
    ("CKV_AWS_173",),
    "The environment contains names and public host keys, nothing secret; an AWS managed key encrypts it. "
    "encryption_key= encrypts it with yours, at the price of a KMS request at every cold start.",
)

BUCKET_ACCESS_LOG = Suppression(
    ("AwsSolutions-S1", "NIST.800.53.R5-S3BucketLoggingEnabled", "CKV_AWS_18"),
    "An access log needs a second bucket, and grows with every request. Every delivery is in the function's "
    "log. To record who put an object, use CloudTrail data events, or pass in a bucket with access logs "
    "(bucket=).",
)

BUCKET_REPLICA = Suppression(
    ("NIST.800.53.R5-S3BucketReplicationEnabled",),
    "A copy in another Region doubles the price of storage and adds the price of the transfer, for objects "
    "that are on their way to a partner. If they must outlive a Region, pass in a replicated bucket "
    "(bucket=).",
)

NOTIFICATIONS_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    "CDK's own role for bucket notifications, used in deployments only: its policy belongs to it alone and "
    "is deleted with it. An imported bucket with trigger=Trigger.EVENTBRIDGE needs no such role.",
)

SECRET_ROTATION = Suppression(
    ("AwsSolutions-SMG4", "NIST.800.53.R5-SecretsManagerRotationEnabled"),
    "The login belongs to the partner and can only be changed together with them: scheduled rotation would "
    "lock deliveries out. The function picks up a changed secret without a deployment; if the partner "
    "supports rotation, pass in a rotating secret (credentials=).",
)

LEDGER_BACKUP_PLAN = Suppression(
    ("NIST.800.53.R5-DynamoDBInBackupPlan",),
    "Point-in-time recovery covers every second of the last 35 days. A backup plan keeps copies for longer, "
    "is billed per GB, and belongs to the account: add BackupResource.from_dynamo_db_table(delivery.ledger) "
    "to yours.",
)

FUNCTION_RUNTIME = Suppression(
    ("AwsSolutions-L1",),
    "The bundle is locked, compiled and tested for this Python version, which Lambda supports for years. A "
    "release that is tested on a newer one changes the default.",
)

FUNCTION_DEAD_LETTERS = Suppression(
    ("NIST.800.53.R5-LambdaDLQ", "CKV_AWS_116"),
    "A function's own dead-letter queue is for asynchronous invocations, and no delivery is one: they "
    "come from a queue, which has a dead-letter queue. A daily examination (canary=True) that is lost is "
    "not worth a queue: the next one follows.",
)

FUNCTION_VPC = Suppression(
    ("NIST.800.53.R5-LambdaInsideVPC", "CKV_AWS_117"),
    "A partner on the internet can be reached without a VPC; one with a NAT gateway costs $36.50 a month and "
    "$45 per TB. Nobody can connect to the function either way. vpc= runs it in yours, StaticEgress creates "
    "one.",
)

FUNCTION_CONCURRENCY = Suppression(
    ("NIST.800.53.R5-LambdaConcurrency", "CKV_AWS_115"),
    "The event source mapping runs at most two instances at a time. Reserved concurrency would take as much "
    "from all other functions of the account, even while nothing is delivered. max_connections=1 reserves 1.",
)

ROLE_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    f"{_ONE_ROLE_ONLY} For a managed policy, pass in a role (role=) that the app cannot change, and give it "
    "`role_policy_statements`.",
)

ROLE_OBJECTS = Suppression(
    (f"AwsSolutions-IAM5[Resource::{OBJECTS}]",),
    "The function must read every object that is announced to it, and their names are not known in advance. "
    "prefix= narrows it down.",
)

ROLE_MOVED_OBJECTS = Suppression(
    (f"AwsSolutions-IAM5[Resource::{OBJECTS}]",),
    "AfterDelivery.move() puts every delivered object there, and their names are not known in advance. "
    "Without it the role does not have these actions.",
)

ROLE_NETWORK = Suppression(
    ("AwsSolutions-IAM5[Resource::*]", "CKV_AWS_111"),
    "The network interfaces that Lambda creates are not known in advance; the function's own code is denied "
    "these actions. Without vpc= the role does not have them.",
)

ROLE_TRACING = Suppression(
    ("AwsSolutions-IAM5[Resource::*]",),
    "X-Ray has no resource types for these two actions: a policy can only name all resources. They send "
    "traces, and read nothing. Without tracing= the role does not have them.",
)

OPERATOR_ACCOUNT = Suppression(
    ("AwsSolutions-IAM5[Resource::*]",),
    "AWS has no resource types for these actions: a policy can only name all resources. They read metrics, "
    "the names of triggers and, for a function in a VPC, where its traffic leaves; they read no contents.",
)

OPERATOR_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    f"{_ONE_ROLE_ONLY} It is separate from the principal's other statements, so that its findings are, too.",
)

OPERATOR_OBJECTS = Suppression(
    (f"AwsSolutions-IAM5[Resource::{OBJECTS}]",),
    "`s3-to-sftp backfill` reads what is in the sources, and the names are not known in advance. "
    "grant_status() does not include it.",
)

OPERATOR_SELFTEST = Suppression(
    (f"AwsSolutions-IAM5[Resource::{OBJECTS}]",),
    "`s3-to-sftp selftest` puts an object with a name of its own, and deletes that version. grant_status() "
    "does not include it.",
)

ALARM_ACTION = Suppression(
    ("NIST.800.53.R5-CloudWatchAlarmAction",),
    "Only you know whom to notify: a topic without subscribers would satisfy the rule and notify nobody. "
    "Until alarm_topic= is passed in, the alarm only shows on the dashboard.",
)

FLOW_LOG_KEY = Suppression(
    ("NIST.800.53.R5-CloudWatchLogGroupEncrypted", "CKV_AWS_158"),
    "It records addresses and ports, no contents, and is encrypted with an AWS managed key. For a customer "
    "managed key, set kms_key_id of `flow_log_group.node.default_child`; its policy must let CloudWatch Logs "
    "use it.",
)

FLOW_LOG_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    f"CDK's own role for flow logs, which can write to this log only. {_ONE_ROLE_ONLY} For another setup, "
    "bring your own VPC (vpc=).",
)

NAT_ROUTE = Suppression(
    ("NIST.800.53.R5-VPCNoUnrestrictedRouteToIGW",),
    "The NAT gateway needs this route, and nothing else is in the subnet; partners' addresses change, so no "
    "route can list them. The function is in a subnet without such a route. Your own VPC (vpc=) may route "
    "through a firewall.",
)

CDKS_NOTIFICATIONS_FUNCTION = Suppression(
    (
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        "CKV_AWS_115",
        "CKV_AWS_116",
        "CKV_AWS_117",
    ),
    "CDK's own function for bucket notifications, and its role. It runs only in deployments, where "
    "CloudFormation waits for it and reports its failure; it reads no objects. An imported bucket with "
    "trigger=Trigger.EVENTBRIDGE needs no such function.",
)
