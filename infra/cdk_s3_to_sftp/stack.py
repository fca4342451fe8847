"""The stack of the stock app, and an example of using the construct."""

import inspect
import re
from collections.abc import Sequence
from typing import Unpack

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.arguments import InvalidArgument, is_token
from cdk_s3_to_sftp.bundling import Bundling
from cdk_s3_to_sftp.defaults import MAX_CONNECTIONS, MEMORY_MB, RETRY_FOR
from cdk_s3_to_sftp.outputs import add_outputs
from cdk_s3_to_sftp.s3_to_sftp import S3ToSftp
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.stack_arguments import StackArguments, check_stack_arguments

_NOTIFICATIONS_FUNCTION = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
_TOPIC = re.compile(r"arn:[^:]+:sns:[^:]+:\d{12}:[^:]+")


class S3ToSftpStack(cdk.Stack):
    """One bucket, one partner, and outputs for operators.

    Attributes:
        delivery: The construct.

    Args:
        scope: The app.
        id: Name of the stack.
        server: The partner's server.
        prefix: Deliver only objects whose key has this prefix. By default all.
        suffix: Deliver only objects whose key has this suffix. By default all.
        former_prefixes: Former values of `prefix`. Objects with these prefixes are no longer announced, but
            can still be read while they wait in a queue; `""` stands for all. By default none.
        max_connections: How many connections the partner allows at a time. By default 2; see `S3ToSftp`
            before you allow more than 3.
        retry_for: How long an object is retried before its message goes to the dead-letter queue. By default
            24 hours.
        canary: Whether the function examines the way to the partner once a day; see `S3ToSftp`. By default
            False.
        alarm_topic: ARN of the SNS topic that alarms notify. By default alarms only show on the dashboard.
        memory_size: Memory of the function in MB. By default 512.
        architecture: CPU of the function. By default x86_64.
        bundling: Where the function's code is bundled. By default on this machine, with Docker as the
            fallback.
        code: The function's code, bundled elsewhere; see `S3ToSftp`. By default it is bundled at synth.
        **stack: Arguments of every `aws_cdk.Stack`: `env`, `tags`, `termination_protection` and so on.

    Raises:
        InvalidArgument: A value is invalid; the message says what to write instead.
    """

    @checks_types
    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        server: SftpServer,
        prefix: str | None = None,
        suffix: str | None = None,
        former_prefixes: Sequence[str] = (),
        max_connections: int = MAX_CONNECTIONS,
        retry_for: cdk.Duration = RETRY_FOR,
        canary: bool = False,
        alarm_topic: str | None = None,
        memory_size: int = MEMORY_MB,
        architecture: lambda_.Architecture = lambda_.Architecture.X86_64,
        bundling: Bundling = Bundling.AUTO,
        code: lambda_.Code | None = None,
        **stack: Unpack[StackArguments],
    ) -> None:
        check_stack_arguments(stack, list(inspect.signature(S3ToSftpStack.__init__).parameters)[3:-1])
        super().__init__(scope, id, **stack)
        if alarm_topic:
            _check_topic(alarm_topic)
        self.delivery = S3ToSftp(
            self,
            "Delivery",
            server=server,
            prefix=prefix,
            suffix=suffix,
            max_connections=max_connections,
            retry_for=retry_for,
            canary=canary,
            alarm_topic=sns.Topic.from_topic_arn(self, "AlarmTopic", alarm_topic) if alarm_topic else None,
            memory_size=memory_size,
            architecture=architecture,
            bundling=bundling,
            code=code,
        )
        for former in former_prefixes:
            self._keep_readable(former)
        # CDK has one for the whole stack, so the stack acknowledges it, not the construct.
        acknowledge(self.node.find_child(_NOTIFICATIONS_FUNCTION), suppressions.CDKS_NOTIFICATIONS_FUNCTION)
        # Printed at the end of a deployment.
        add_outputs(self, self.delivery.outputs)

    def _keep_readable(self, former: str) -> None:
        try:
            self.delivery.add_former_source(self.delivery.bucket, prefix=former)
        except InvalidArgument as error:
            raise InvalidArgument("former_prefixes", error.complaint) from None


def _check_topic(arn: str) -> None:
    if not is_token(arn) and not _TOPIC.fullmatch(arn):
        raise InvalidArgument(
            "alarm_topic",
            f"must be the ARN of an SNS topic, as 'aws sns list-topics' prints it, got {arn!r}",
        )
