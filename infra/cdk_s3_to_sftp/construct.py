"""The construct: from a bucket to a partner's SFTP server."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3n
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_s3_to_sftp.arguments import InvalidArgument, check_duration, check_range, whole_seconds
from cdk_s3_to_sftp.bundling import RUNTIME, Bundling, function_code
from cdk_s3_to_sftp.findings import acknowledge
from cdk_s3_to_sftp.ledger import make_ledger
from cdk_s3_to_sftp.queues import make_dead_letter_queue, make_queue
from cdk_s3_to_sftp.role import make_role
from cdk_s3_to_sftp.server import SftpServer

LOGIN_PLACEHOLDER = {"username": "REPLACE-ME", "password": "", "private_key": "", "passphrase": ""}
"""What the secret holds until somebody fills it.

Never change this: CloudFormation writes a secret's value again when its text in the template changes. That
would wipe out the login in every stack that is updated.
"""

_LONGEST_INVOCATION = cdk.Duration.minutes(15)
_ONE_DAY = cdk.Duration.hours(24)
_RECEIPTS_FOR = cdk.Duration.days(400)

_LONGEST_RETRIES_HOURS = 72
"""A weekend and a bit: as long as the 1000 times last that SQS hands out a message at most."""

_LEDGER_OF = "s3-to-sftp:ledger-of"
"""Type of the metadata by which a table tells which construct uses it."""

_FUNCTIONS = 2
"""Functions at a time: the fewest that a mapping can be held to. What is scarce are connections."""

_MOST_LANES = 64
"""What the function takes as its share of the connections."""

_BATCH_SIZE = 10
"""The most that SQS hands over without waiting for more."""


class S3ToSftp(Construct):
    """Delivers every object that lands in a bucket to an SFTP server.

    An object's notification waits in a queue until the function has delivered the object. The ledger
    remembers what was delivered: an object that is announced twice is sent once. What cannot be delivered in
    the time that it is tried for ends in the dead-letter queue, and its message says why.

    Attributes:
        bucket: The bucket that is watched.
        credentials: The secret with the login, a JSON object: `username`, `password`, `private_key` and
            `passphrase`; an empty string stands for what is not used.
        ledger: The table with one item for each version of an object: where it stands, and its receipt.
        event_bus: Where deliveries, failures and an unavailable partner are announced; source `s3-to-sftp`.
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
        ledger: The table to remember deliveries in: keys `pk` and `sk`, both strings, `expires` as its time
            to live, and the index `by-status` (keys `status` and `status_at`, both strings). No two
            constructs may share one: what one has delivered would count as delivered by the other. By default
            one is made: paid per request, with point-in-time recovery, and kept when the stack is deleted.
        event_bus: Where to announce what was delivered and what was not. By default the account's default
            bus.
        prefix: Deliver only objects whose key begins so. By default all.
        suffix: Deliver only objects whose key ends so. By default all.
        max_connections: How many connections the partner allows at a time, over all functions. By default 2,
            one for each of two functions. From 4 on large objects travel over several connections, which
            pays when the partner is far away. Only for servers that keep one file written by several
            connections together, as OpenSSH does; a gateway to an object store may say OK and not do it.
            1 reserves a concurrency of 1, which counts against the account's limit.
        retry_for: How long an object is tried before its message goes to the dead-letter queue: 1 hour to 3
            days, counted from its event, and anew when a large object got further or somebody sends the
            message back. What cannot succeed goes there at once. By default 24 hours.
        receipts_for: How long the ledger keeps what it knows about an object that is done with: 30 days to 10
            years. By default 400 days.
        sha256: Whether receipts hold the SHA-256 of what was sent; it costs the function CPU. By default the
            checksum that S3 has is compared and kept, nothing else.
        memory_size: Memory of the function in MB; CPU and network speed grow with it. By default 512.
        timeout: How long one invocation may take; a large object takes several. By default the 15 minutes
            that Lambda allows at most.
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
        ledger: dynamodb.ITable | None = None,
        event_bus: events.IEventBus | None = None,
        prefix: str | None = None,
        suffix: str | None = None,
        max_connections: int = 2,
        retry_for: cdk.Duration = _ONE_DAY,
        receipts_for: cdk.Duration = _RECEIPTS_FOR,
        sha256: bool = False,
        memory_size: int = 512,
        timeout: cdk.Duration = _LONGEST_INVOCATION,
        architecture: lambda_.Architecture = lambda_.Architecture.X86_64,
        log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
        bundling: Bundling = Bundling.AUTO,
    ) -> None:
        super().__init__(scope, id)
        check_range("max_connections", max_connections, 1, _FUNCTIONS * _MOST_LANES)
        check_range("memory_size", memory_size, 128, 10240, "MB")
        check_duration("timeout", timeout, 1, 900, "seconds")
        check_duration("retry_for", retry_for, 1, _LONGEST_RETRIES_HOURS, "hours")
        # Longer than a message can wait in both queues: one that is sent again by hand finds its receipt.
        check_duration("receipts_for", receipts_for, 30, 3650, "days")

        self.bucket = self._own_view_of(bucket) if bucket else self._make_bucket()
        self.credentials = credentials or self._make_secret()
        self.ledger = self._the_only_user_of(ledger or make_ledger(self))
        self.event_bus = event_bus or events.EventBus.from_event_bus_name(self, "EventBus", "default")
        self.dead_letter_queue = make_dead_letter_queue(self)
        self.queue = make_queue(
            self, dead_letter_queue=self.dead_letter_queue, timeout=timeout, retry_for=retry_for
        )
        self.log_group = logs.LogGroup(self, "Log", retention=log_retention)
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"Delivers objects from S3 to {server.host}",
            runtime=RUNTIME,
            architecture=architecture,
            code=function_code(architecture=architecture, bundling=bundling),
            handler="s3_to_sftp.handler.lambda_handler",
            role=make_role(
                self,
                bucket=self.bucket,
                prefix=prefix,
                credentials=self.credentials,
                ledger=self.ledger,
                queue=self.queue,
                dead_letter_queue=self.dead_letter_queue,
                event_bus=self.event_bus,
                log_group=self.log_group,
            ),
            environment={
                **server.variables(),
                **self._variables(),
                **_options(retry_for, receipts_for, max_connections, sha256=sha256),
            },
            memory_size=memory_size,
            timeout=timeout,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            # The concurrency of a mapping starts at 2: only the function itself can be held to one.
            reserved_concurrent_executions=1 if max_connections == 1 else None,
            # A large object is continued through the queue. Lambda would take that for a runaway loop, and
            # drop the message at about the 16th round. The ledger sees to it that every round gets further.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
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

    def _the_only_user_of(self, ledger: dynamodb.ITable) -> dynamodb.ITable:
        """The ledger, unless another construct of the app has it: one of two partners would get nothing."""
        other = next((each.data for each in ledger.node.metadata if each.type == _LEDGER_OF), None)
        if other:
            raise InvalidArgument(
                "ledger",
                f"must be a table of its own, got the one of {other}: what that has delivered would count as "
                "delivered here, too",
            )
        ledger.node.add_metadata(_LEDGER_OF, self.node.path)
        return ledger

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

    def _variables(self) -> dict[str, str]:
        """Names what the function works with. Of the login only where it is kept."""
        return {
            "SSH_SECRET_ARN": self.credentials.secret_arn,
            "LEDGER_TABLE": self.ledger.table_name,
            "QUEUE_URL": self.queue.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.dead_letter_queue.queue_url,
            # PutEvents takes a name or an ARN; only the ARN finds the bus of another account.
            "EVENT_BUS": self.event_bus.event_bus_arn,
        }

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


def _options(
    retry_for: cdk.Duration, receipts_for: cdk.Duration, max_connections: int, *, sha256: bool
) -> dict[str, str]:
    options = {
        "RETRY_FOR_SECONDS": whole_seconds(retry_for),
        "RECEIPTS_FOR_SECONDS": whole_seconds(receipts_for),
        "SSH_MAX_CONNECTIONS": str(max(1, max_connections // _FUNCTIONS)),
    }
    return {**options, "SSH_SHA256": "true"} if sha256 else options


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
