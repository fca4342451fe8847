"""Where rule packs would have it otherwise: what they find, what it would cost, what to do who needs it.

`docs/reference/security.md` shows all of it; a test compares. AwsSolutions and NIST 800-53 are packs of
cdk-nag, `CKV` is checkov.
"""

from dataclasses import dataclass

OBJECTS = "BUCKET/PREFIX*"
"""Stands in a rule for what only the template knows: the ARN of the objects of a source."""


@dataclass(frozen=True)
class Suppression:
    """Something that is not as a rule wants it, knowingly.

    Attributes:
        rules: What finds it, each by its full id.
        reason: What the rule would cost here, and the way for those who want it nevertheless.
    """

    rules: tuple[str, ...]
    reason: str


_KEY_OF_AWS = (
    "Encrypted with a key that AWS manages, which costs nothing and has no policy to get wrong. "
    "encryption_key= puts a key of your own here, for a dollar a month and its requests."
)

_ONE_ROLE_ONLY = (
    "An inline policy belongs to its one role, goes with it, and cannot be attached to anything else by "
    "mistake; a managed one would be offered to the whole account and count against its quota."
)

BUCKET_KEY = Suppression(("NIST.800.53.R5-S3DefaultEncryptionKMS",), _KEY_OF_AWS)
SECRET_KEY = Suppression(("NIST.800.53.R5-SecretsManagerUsingKMSKey", "CKV_AWS_149"), _KEY_OF_AWS)
LEDGER_KEY = Suppression(("CKV_AWS_119",), _KEY_OF_AWS)
QUEUE_KEY = Suppression(("CKV_AWS_27",), _KEY_OF_AWS)
LOG_KEY = Suppression(("NIST.800.53.R5-CloudWatchLogGroupEncrypted", "CKV_AWS_158"), _KEY_OF_AWS)

ENVIRONMENT_KEY = Suppression(
    ("CKV_AWS_173",),
    "The environment holds names and public host keys, nothing secret; a key that AWS manages encrypts it. "
    "encryption_key= encrypts it with your own, which is then asked at every cold start.",
)

BUCKET_ACCESS_LOG = Suppression(
    ("AwsSolutions-S1", "NIST.800.53.R5-S3BucketLoggingEnabled", "CKV_AWS_18"),
    "An access log needs a second bucket, and grows with every request. Every delivery is in the function's "
    "log. Who put an object is a question for CloudTrail data events, or for a bucket with access logs that "
    "is passed in (bucket=).",
)

BUCKET_REPLICA = Suppression(
    ("NIST.800.53.R5-S3BucketReplicationEnabled",),
    "A copy in another region doubles the price of storage and adds that of the way there, for objects that "
    "are on their way to a partner. Where they must outlive a region, pass in a bucket that is replicated "
    "(bucket=).",
)

NOTIFICATIONS_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    "CDK's own role for bucket notifications, used in deployments only: its policy belongs to it alone and "
    "goes with it. An imported bucket with trigger=Trigger.EVENTBRIDGE needs none.",
)

SECRET_ROTATION = Suppression(
    ("AwsSolutions-SMG4", "NIST.800.53.R5-SecretsManagerRotationEnabled"),
    "The login belongs to the partner and changes only together with them: a rotation by the clock would "
    "lock the deliveries out. The function picks up a changed secret without being deployed again; a secret "
    "that rotates, where the partner plays along, is passed in (credentials=).",
)

LEDGER_BACKUP_PLAN = Suppression(
    ("NIST.800.53.R5-DynamoDBInBackupPlan",),
    "Point-in-time recovery keeps every second of the last 35 days. A backup plan keeps copies for longer, "
    "is paid per GB, and belongs to the account: add BackupResource.from_dynamo_db_table(delivery.ledger) to "
    "yours.",
)

FUNCTION_RUNTIME = Suppression(
    ("AwsSolutions-L1",),
    "The bundle is locked, compiled and tested for this Python, which Lambda supports for years. A newer one "
    "comes with a release that is tested on it.",
)

FUNCTION_DEAD_LETTERS = Suppression(
    ("NIST.800.53.R5-LambdaDLQ", "CKV_AWS_116"),
    "A dead-letter queue of a function is for asynchronous invocations, and this one has none: it is asked "
    "by a queue, which has a dead-letter queue. A second one would stay empty for ever.",
)

FUNCTION_VPC = Suppression(
    ("NIST.800.53.R5-LambdaInsideVPC", "CKV_AWS_117"),
    "A partner on the internet is reached without a VPC; one with a NAT gateway costs $36.50 a month and $45 "
    "per TB. Nobody can connect to the function either way. vpc= puts it into yours, StaticEgress makes one.",
)

FUNCTION_CONCURRENCY = Suppression(
    ("NIST.800.53.R5-LambdaConcurrency", "CKV_AWS_115"),
    "Its queue starts two at a time at most. Reserved concurrency would take as much from all other "
    "functions of the account, even while nothing is delivered. max_connections=1 reserves 1.",
)

ROLE_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    f"{_ONE_ROLE_ONLY} For a managed policy pass in a role (role=) that cannot be changed here, and give it "
    "`role_policy_statements`.",
)

ROLE_OBJECTS = Suppression(
    (f"AwsSolutions-IAM5[Resource::{OBJECTS}]",),
    "The function must read every object that is announced to it, and their names are not known before. "
    "prefix= narrows it down.",
)

ROLE_NETWORK = Suppression(
    ("AwsSolutions-IAM5[Resource::*]", "CKV_AWS_111"),
    "Network interfaces that Lambda makes are not known before; the function's own code is denied the use of "
    "these permissions. Without vpc= there are none.",
)

ROLE_TRACING = Suppression(
    ("AwsSolutions-IAM5[Resource::*]",),
    "X-Ray knows no resources for these two actions: a policy can name all or none. They send traces, and "
    "read nothing. Without tracing= there are none.",
)

ALARM_ACTION = Suppression(
    ("NIST.800.53.R5-CloudWatchAlarmAction",),
    "Whom to wake is yours to know: a topic without subscribers would please the rule and tell nobody. Until "
    "alarm_topic= is passed in, the alarm is seen on the dashboard only.",
)

FLOW_LOG_KEY = Suppression(
    ("NIST.800.53.R5-CloudWatchLogGroupEncrypted", "CKV_AWS_158"),
    "It records addresses and ports, no contents, and is encrypted with a key that AWS manages. For your own "
    "set kms_key_id of `flow_log_group.node.default_child`; the key's policy must let CloudWatch Logs use "
    "it.",
)

FLOW_LOG_POLICY = Suppression(
    ("NIST.800.53.R5-IAMNoInlinePolicy",),
    f"CDK's own role for flow logs, which may write this log only. {_ONE_ROLE_ONLY} A VPC of your own (vpc=) "
    "does it your way.",
)

NAT_ROUTE = Suppression(
    ("NIST.800.53.R5-VPCNoUnrestrictedRouteToIGW",),
    "The way out of the NAT gateway, which is all that is in this subnet; partners' addresses change, so no "
    "route can list them. The function is in a subnet without such a route. A VPC of your own (vpc=) may go "
    "out by a firewall.",
)

CDKS_NOTIFICATIONS_FUNCTION = Suppression(
    (
        "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        "CKV_AWS_115",
        "CKV_AWS_116",
        "CKV_AWS_117",
    ),
    "CDK's own function for bucket notifications, and its role. It runs only in deployments, where "
    "CloudFormation waits for it and reports its failure; it sees no object. An imported bucket with "
    "trigger=Trigger.EVENTBRIDGE needs none.",
)
