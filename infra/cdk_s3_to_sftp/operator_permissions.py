"""Grants for people and programs that use the operator's command, `s3-to-sftp`."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp import ledger as ledgers
from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge, acknowledge_wildcard
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.delivery_sources import DeliverySources
from cdk_s3_to_sftp.sources import Source

SELFTEST_NAMES = "s3-to-sftp-selftest-*"
"""Names of the objects of `s3-to-sftp selftest`, between the prefix and the suffix of a source."""

READ_FUNCTION = ("lambda:GetFunctionConfiguration",)
READ_LEDGER = ("dynamodb:GetItem", "dynamodb:Query")
READ_QUEUES = ("sqs:GetQueueAttributes",)
READ_LOG = ("logs:FilterLogEvents",)
READ_ACCOUNT = ("cloudwatch:GetMetricData", "lambda:ListEventSourceMappings")
"""AWS has no resource types for these actions: a policy can only name all resources."""
READ_NETWORK = (
    "ec2:DescribeNatGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSubnets",
)
"""The same. For a function in a VPC."""

INVOKE_FUNCTION = ("lambda:InvokeFunction",)
CHANGE_LEDGER = ("dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
SEND_TO_QUEUE = ("sqs:SendMessage",)
MOVE_DEAD_LETTERS = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
)
LIST_SOURCES = ("s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions")
READ_SOURCES = ("s3:GetObject", "s3:GetObjectVersion")
SELFTEST = ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject")

READ_WITH_KEY = ("kms:Decrypt",)
WRITE_WITH_KEY = ("kms:Decrypt", "kms:GenerateDataKey")

_ATTACHMENTS = {"role_name": "roles", "user_name": "users", "group_name": "groups"}
"""What a principal has -> the argument of a policy that takes it."""


class OperatorPermissions(DeliverySources):
    """What `s3-to-sftp` needs, command by command: docs/reference/cli.md."""

    vpc: ec2.IVpc | None
    queue: sqs.Queue
    ledger: dynamodb.ITable
    log_group: logs.ILogGroup
    encryption_key: kms.IKey | None
    _operators: list[iam.IGrantable]

    @checks_types
    def grant_status(self, principal: iam.IGrantable) -> iam.Grant:
        """Grant what the reading commands of `s3-to-sftp` need: `status`, `watch`, `receipts`, `logs`, ...

        The function has to be named (`--name`, or `S3_TO_SFTP_NAME`). Listing functions is not granted, since
        it shows the environment of every function in the account.

        Args:
            principal: A role, user or group.

        Returns:
            The statements on the construct's own resources.
        """
        grant = self._grant(principal, READ_FUNCTION, self.function.function_arn)
        for actions, *resources in (
            (READ_LEDGER, self.ledger.table_arn, f"{self.ledger.table_arn}/index/by-status"),
            (READ_QUEUES, self.queue.queue_arn, self.dead_letter_queue.queue_arn),
            (READ_LOG, self.log_group.log_group_arn),
        ):
            grant = grant.combine(self._grant(principal, actions, *resources))
        # The key of the function's environment, without which Lambda does not show it.
        grant = self._grant_keys(
            grant, principal, READ_WITH_KEY, self.ledger.encryption_key, self.encryption_key
        )
        self._grant_on_everything(principal, (*READ_ACCOUNT, *(READ_NETWORK if self.vpc else ())))
        return grant

    @checks_types
    def grant_operate(self, principal: iam.IGrantable) -> iam.Grant:
        """Grant what all commands of `s3-to-sftp` need, except `key --public`.

        That one reads the login, which is a grant of its own: `delivery.credentials.grant_read(principal)`.

        Args:
            principal: A role, user or group.

        Returns:
            The statements on the construct's own resources and on its sources. Sources that are added
            later are granted when they are added.
        """
        grant = self.grant_status(principal)
        for actions, resource in (
            (INVOKE_FUNCTION, self.function.function_arn),
            (CHANGE_LEDGER, self.ledger.table_arn),
            (SEND_TO_QUEUE, self.queue.queue_arn),
            (MOVE_DEAD_LETTERS, self.dead_letter_queue.queue_arn),
        ):
            grant = grant.combine(self._grant(principal, actions, resource))
        grant = self._grant_keys(grant, principal, ledgers.KEY_ACTIONS, self.ledger.encryption_key)
        grant = self._grant_keys(
            grant,
            principal,
            WRITE_WITH_KEY,
            self.queue.encryption_master_key,
            self.dead_letter_queue.encryption_master_key,
        )
        for source in self._sources:
            grant = grant.combine(self._grant_source(principal, source))
        self._operators.append(principal)
        return grant

    def _add(self, source: Source) -> None:
        super()._add(source)
        for principal in self._operators:
            self._grant_source(principal, source)

    def _grant_source(self, principal: iam.IGrantable, source: Source) -> iam.Grant:
        selftest = source.objects_named(SELFTEST_NAMES)
        grant = (
            self._grant(principal, LIST_SOURCES, source.bucket.bucket_arn)
            .combine(self._grant(principal, READ_SOURCES, source.objects))
            .combine(self._grant(principal, SELFTEST, selftest))
        )
        if owner := _construct_of(principal):
            acknowledge_wildcard(owner, source.objects, suppressions.OPERATOR_OBJECTS)
            acknowledge_wildcard(owner, selftest, suppressions.OPERATOR_SELFTEST)
        return self._grant_keys(grant, principal, WRITE_WITH_KEY, source.bucket.encryption_key)

    def _grant_keys(
        self, grant: iam.Grant, principal: iam.IGrantable, actions: Sequence[str], *keys: kms.IKey | None
    ) -> iam.Grant:
        for arn in dict.fromkeys(key.key_arn for key in keys if key):
            grant = grant.combine(self._grant(principal, actions, arn))
        return grant

    def _grant(self, principal: iam.IGrantable, actions: Sequence[str], *resources: str) -> iam.Grant:
        return iam.Grant.add_to_principal(
            grantee=principal, actions=list(actions), resource_arns=list(resources), scope=self
        )

    def _grant_on_everything(self, principal: iam.IGrantable, actions: Sequence[str]) -> None:
        """Grant actions without resource types, in a policy of its own where that is possible.

        The suppression then applies to no other statement of the principal. The policy belongs to the
        principal's stack, which needs this one already.
        """
        owner = _construct_of(principal)
        attachment = next((each for each in _ATTACHMENTS if hasattr(owner, each)), None)
        if owner is None or attachment is None:
            self._grant(principal, actions, "*")
            return
        # An imported principal is no construct to Python, and belongs to no stack.
        scope = owner if isinstance(owner, Construct) else self
        name = f"StatusOf{(self if scope is owner else owner).node.addr[-8:]}"
        if scope.node.try_find_child(name):
            return
        statement = iam.PolicyStatement(actions=list(actions), resources=["*"])
        attached: dict[str, Any] = {_ATTACHMENTS[attachment]: [owner]}
        policy = iam.Policy(scope, name, statements=[statement], **attached)
        acknowledge(policy, suppressions.OPERATOR_POLICY, suppressions.OPERATOR_ACCOUNT)


def _construct_of(principal: iam.IGrantable) -> Construct | None:
    """Return the role, user or group; None for another principal, such as that of an ARN."""
    found: Any = principal.grant_principal
    return found if hasattr(found, "node") else None
