"""The construct: from a bucket to a partner's SFTP server."""

import math
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.bundling import RUNTIME, Bundling, function_code
from cdk_s3_to_sftp.findings import acknowledge, acknowledge_wildcard
from cdk_s3_to_sftp.server import SftpServer

LOGIN_PLACEHOLDER = {"username": "REPLACE-ME", "password": "", "private_key": "", "passphrase": ""}
"""What the secret holds until somebody fills it.

Never change this: CloudFormation writes a secret's value again when its text in the template changes. That
would wipe out the login in every stack that is updated.
"""

_LONGEST_INVOCATION = cdk.Duration.minutes(15)

_RETRY_FOR = cdk.Duration.hours(24)
"""How long a delivery is tried before its message goes to the dead-letter queue."""

_MOST_RECEIVES = 1000
"""The most that SQS allows before a message must go to the dead-letter queue."""

_KEEP_MESSAGES_FOR = cdk.Duration.days(14)
"""The most that SQS allows. In the dead-letter queue it counts from the put of the object."""

_MAX_MESSAGE_BYTES = 256 * 1024
"""A notification of S3 may reach 64 KB."""


_FUNCTIONS = 2
"""Functions at a time: the fewest that a mapping can be held to. What is scarce are connections."""

_MOST_LANES = 64
"""What the function takes as its share of the connections."""

_BATCH_SIZE = 10
"""The most that SQS hands over without waiting for more."""


class S3ToSftp(Construct):
    """Delivers every object that lands in a bucket to an SFTP server.

    An object's notification waits in a queue until the function has delivered the object. What cannot be
    delivered within a day ends in the dead-letter queue.

    Attributes:
        bucket: The bucket that is watched.
        credentials: The secret with the login, a JSON object: `username`, `password`, `private_key` and
            `passphrase`; an empty string stands for what is not used.
        queue: Notifications of objects that are not delivered yet.
        dead_letter_queue: Notifications of objects that could not be delivered.
        function: The function that delivers.
        log_group: Its log.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        server: The partner's server.
        bucket: The bucket to watch. By default one is made: encrypted, versioned, private, TLS only, and
            kept when the stack is deleted. Versioning makes sure that the announced bytes are the ones sent.
        credentials: The secret with the login. By default one is made with a placeholder to be filled once.
        prefix: Deliver only objects whose key begins so. By default all.
        suffix: Deliver only objects whose key ends so. By default all.
        max_connections: How many connections the partner allows at a time, over all functions. By default 2,
            one for each of two functions. From 4 on large objects travel over several connections, which
            pays when the partner is far away. Only for servers that keep one file written by several
            connections together, as OpenSSH does; a gateway to an object store may say OK and not do it.
            1 reserves a concurrency of 1, which counts against the account's limit.
        memory_size: Memory of the function in MB; CPU and network speed grow with it. By default 512.
        timeout: How long one delivery may take. By default the 15 minutes that Lambda allows at most.
        architecture: CPU of the function. By default x86_64.
        log_retention: How long the log is kept. By default three months.
        bundling: Where the function's code is put together. By default on this machine, else in Docker.

    Raises:
        InvalidArgument: A value cannot be right; the message says what to write instead.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        server: SftpServer,
        bucket: s3.IBucket | None = None,
        credentials: secretsmanager.ISecret | None = None,
        prefix: str | None = None,
        suffix: str | None = None,
        max_connections: int = 2,
        memory_size: int = 512,
        timeout: cdk.Duration = _LONGEST_INVOCATION,
        architecture: lambda_.Architecture = lambda_.Architecture.X86_64,
        log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
        bundling: Bundling = Bundling.AUTO,
    ) -> None:
        super().__init__(scope, id)
        _check_limits(max_connections=max_connections, memory_size=memory_size, timeout=timeout)

        self.bucket = self._own_view_of(bucket) if bucket else self._make_bucket()
        self.credentials = credentials or self._make_secret()
        self.dead_letter_queue = self._make_queue("DeadLetterQueue")
        self.queue = self._make_queue("Queue", **self._retries(timeout, max_connections))
        self.log_group = logs.LogGroup(self, "Log", retention=log_retention)
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"Delivers objects from S3 to {server.host}",
            runtime=RUNTIME,
            architecture=architecture,
            code=function_code(architecture=architecture, bundling=bundling),
            handler="s3_to_sftp.handler.lambda_handler",
            role=self._make_role(prefix or ""),
            environment=self._environment(server, max_connections),
            memory_size=memory_size,
            timeout=timeout,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            # The concurrency of a mapping starts at 2: only the function itself can be held to one.
            reserved_concurrent_executions=1 if max_connections == 1 else None,
        )
        acknowledge(
            self.function,
            "AwsSolutions-L1",
            "Lambda supports Python 3.13 until 2029; the bundle is locked, compiled and tested for it.",
        )
        self._deliver_from_queue(max_connections)
        self._announce_objects(prefix, suffix)

    def _own_view_of(self, bucket: s3.IBucket) -> s3.IBucket:
        """The bucket, imported where another stack owns it.

        Otherwise that stack's notification needs this one's queue, whose policy needs the bucket: a cycle.
        """
        if cdk.Stack.of(bucket).node.addr == cdk.Stack.of(self).node.addr:
            return bucket
        return s3.Bucket.from_bucket_attributes(
            self, "Bucket", bucket_arn=bucket.bucket_arn, encryption_key=bucket.encryption_key
        )

    def _make_bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            versioned=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "Every delivery is in the function's log. Who put an object is a question for CloudTrail data "
            "events, or for a bucket with access logs that is passed in.",
        )
        return bucket

    def _make_secret(self) -> secretsmanager.Secret:
        plain = cdk.SecretValue.unsafe_plain_text  # nothing of the placeholder is secret
        secret = secretsmanager.Secret(
            self,
            "Credentials",
            description="SFTP login: username, password, private_key, passphrase (empty: not used)",
            secret_object_value={name: plain(value) for name, value in LOGIN_PLACEHOLDER.items()},
        )
        acknowledge(
            secret,
            "AwsSolutions-SMG4",
            "The login belongs to the partner and changes only together with them. The function picks up "
            "a changed secret without being deployed again.",
        )
        return secret

    def _make_queue(self, id: str, **settings: Any) -> sqs.Queue:  # noqa: A002 -- as in every construct
        return sqs.Queue(
            self,
            id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            max_message_size_bytes=_MAX_MESSAGE_BYTES,
            retention_period=_KEEP_MESSAGES_FOR,
            **settings,
        )

    def _retries(self, timeout: cdk.Duration, max_connections: int) -> dict[str, Any]:
        """How often a message is handed out, and how soon again: for `_RETRY_FOR` in all."""
        hidden_for = _visibility_timeout(timeout, max_connections)
        receives = math.ceil(_RETRY_FOR.to_seconds() / hidden_for.to_seconds())
        return {
            "visibility_timeout": hidden_for,
            "dead_letter_queue": sqs.DeadLetterQueue(
                queue=self.dead_letter_queue, max_receive_count=min(receives, _MOST_RECEIVES)
            ),
        }

    def _make_role(self, prefix: str) -> iam.Role:
        """What the function may do, action by action.

        Not the L2 grants: they name groups of actions (`s3:GetObject*`, `s3:List*`) where few are needed.
        """
        objects = self.bucket.arn_for_objects(f"{prefix}*")
        secret_arn = self.credentials.secret_full_arn or f"{self.credentials.secret_arn}-??????"
        allowed = {
            self.log_group.log_group_arn: ["logs:CreateLogStream", "logs:PutLogEvents"],
            self.queue.queue_arn: [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
                "sqs:GetQueueAttributes",
            ],
            objects: ["s3:GetObject", "s3:GetObjectVersion"],
            # Without it S3 answers 403 for an object that is gone, as if reading were not allowed.
            self.bucket.bucket_arn: ["s3:ListBucket"],
            secret_arn: ["secretsmanager:GetSecretValue"],
        }
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        for resource, actions in allowed.items():
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        acknowledge_wildcard(role, objects, "The function must read every object that is announced to it.")
        for key in (self.bucket.encryption_key, self.credentials.encryption_key):
            if key:
                key.grant_decrypt(role)
        return role

    def _environment(self, server: SftpServer, max_connections: int) -> dict[str, str]:
        """The contract with the function: exactly the names that its settings read, and never a secret."""
        variables = {
            "SSH_HOST": server.host,
            "SSH_PORT": cdk.Tokenization.stringify_number(server.port),
            "SSH_HOST_KEY": "\n".join(server.host_keys),
            "SSH_SECRET_ARN": self.credentials.secret_arn,
            "SSH_MAX_CONNECTIONS": str(max(1, max_connections // _FUNCTIONS)),
        }
        return variables if server.directory is None else {**variables, "SSH_DIR": server.directory}

    def _deliver_from_queue(self, max_connections: int) -> None:
        self.function.add_event_source_mapping(
            "Deliveries",
            event_source_arn=self.queue.queue_arn,
            # The small objects of a batch share the round trips of one connection. The function starts
            # none that it could not finish in its time, and answers for each message by itself.
            batch_size=_BATCH_SIZE,
            report_batch_item_failures=True,
            max_concurrency=_FUNCTIONS if max_connections > 1 else None,
        )

    def _announce_objects(self, prefix: str | None, suffix: str | None) -> None:
        self.bucket.add_event_notification(
            s3.EventType.OBJECT_CREATED,
            s3n.SqsDestination(self.queue),
            *_key_filter(prefix, suffix),
        )


def _visibility_timeout(timeout: cdk.Duration, max_connections: int) -> cdk.Duration:
    """How long a message stays hidden once it was handed out: the wait of a failed delivery for its next try.

    It must outlast the invocation, by a margin for the way from the queue into the function; any more only
    delays the next try. AWS advises six times the timeout for functions that are throttled: that happens
    only where the function's own concurrency is reserved. A mapping with a maximum concurrency takes no
    message out of the queue that it cannot hand on.
    """
    if max_connections == 1:
        return cdk.Duration.seconds(timeout.to_seconds() * 6)
    return timeout.plus(cdk.Duration.minutes(1))


def _check_limits(*, max_connections: int, memory_size: int, timeout: cdk.Duration) -> None:
    for name, value, unit, low, high in (
        ("max_connections", max_connections, "", 1, _FUNCTIONS * _MOST_LANES),
        ("memory_size", memory_size, " MB", 128, 10240),
        ("timeout", timeout.to_seconds(), " seconds", 1, 900),
    ):
        if not cdk.Token.is_unresolved(value) and not low <= value <= high:
            raise InvalidArgument(name, f"must be {low}-{high}{unit}, got {value:g}")


def _key_filter(prefix: str | None, suffix: str | None) -> list[s3.NotificationKeyFilter]:
    """The filter of the notification; none for all objects."""
    for name, value in (("prefix", prefix), ("suffix", suffix)):
        if value and "*" in value:
            raise InvalidArgument(
                name, f"must not hold '*': S3 compares it letter by letter, got {value!r}; write it without"
            )
    if not (prefix or suffix):
        return []
    return [s3.NotificationKeyFilter(prefix=prefix or None, suffix=suffix or None)]
