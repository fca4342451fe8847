"""What the function is made of: the arguments that concern it, and the resources that it uses."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs

from cdk_s3_to_sftp import configured_by
from cdk_s3_to_sftp.arguments import whole_seconds
from cdk_s3_to_sftp.bundling import Bundling
from cdk_s3_to_sftp.server import SftpServer

FUNCTIONS = 2
"""Concurrent function instances: the lowest maximum concurrency of a mapping. Connections are scarce."""


def connections_per_function(max_connections: int) -> int:
    """Return how many of the partner's connections each function instance may open."""
    return max(1, max_connections // FUNCTIONS)


@dataclass(frozen=True, kw_only=True)
class FunctionSettings:
    """The arguments of `S3ToSftp` that concern the function. `S3ToSftp` documents them."""

    server: SftpServer
    vpc: ec2.IVpc | None
    vpc_subnets: ec2.SubnetSelection | None
    security_groups: Sequence[ec2.ISecurityGroup] | None
    max_connections: int
    keep_connection: bool | None
    retry_for: cdk.Duration
    receipts_for: cdk.Duration
    sha256: bool
    memory_size: int
    timeout: cdk.Duration
    architecture: lambda_.Architecture
    runtime: lambda_.Runtime
    tracing: lambda_.Tracing
    log_level: lambda_.ApplicationLogLevel | None
    bundling: Bundling
    code: lambda_.Code | None

    @property
    def is_traced(self) -> bool:
        """Whether Lambda traces invocations."""
        return self.tracing is not lambda_.Tracing.DISABLED

    def variables(self) -> dict[str, str]:
        """Return the environment variables of the server and the delivery options."""
        return {**self.server.variables(), **self._options(), **self._kept_connections()}

    def _options(self) -> dict[str, str]:
        variables = {
            "RETRY_FOR_SECONDS": whole_seconds(self.retry_for),
            "RECEIPTS_FOR_SECONDS": whole_seconds(self.receipts_for),
            "SSH_MAX_CONNECTIONS": str(connections_per_function(self.max_connections)),
        }
        return {**variables, "SSH_SHA256": "true"} if self.sha256 else variables

    def _kept_connections(self) -> dict[str, str]:
        """Return the variable that makes the function close its connections, if it should."""
        keeps = self.max_connections > 1 if self.keep_connection is None else self.keep_connection
        return {} if keeps else {"SSH_KEEP_CONNECTION": "false"}


@dataclass(frozen=True, kw_only=True)
class FunctionResources:
    """The resources that the function uses, created or passed in. `S3ToSftp` documents them."""

    credentials: secretsmanager.ISecret
    ledger: dynamodb.ITable
    queue: sqs.IQueue
    dead_letter_queue: sqs.IQueue
    event_bus: events.IEventBus
    log_group: logs.ILogGroup

    def variables(self) -> dict[str, str]:
        """Return environment variables that name the resources. The login stays in its secret."""
        return {
            "SSH_SECRET_ARN": self.credentials.secret_arn,
            "LEDGER_TABLE": self.ledger.table_name,
            "QUEUE_URL": self.queue.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.dead_letter_queue.queue_url,
            # PutEvents takes a name or an ARN; only the ARN finds the bus of another account.
            "EVENT_BUS": self.event_bus.event_bus_arn,
            configured_by.VARIABLE: configured_by.CONSTRUCT,
        }
