"""The construct: from buckets to a partner's SFTP server."""

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_s3_to_sftp import trades
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.arguments import (
    InvalidArgument,
    check_choice,
    check_duration,
    check_known,
    check_range,
    is_token,
    whole_seconds,
)
from cdk_s3_to_sftp.bundling import ARCHITECTURES, RUNTIME, RUNTIMES, Bundling, check_prebuilt, function_code
from cdk_s3_to_sftp.findings import accept, accept_long_timeout
from cdk_s3_to_sftp.known_sources import identity
from cdk_s3_to_sftp.ledger import check_ledger, make_ledger
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.monitoring import Alarms, Monitoring
from cdk_s3_to_sftp.network_warnings import warn_at_synth_of_network
from cdk_s3_to_sftp.outputs import (
    add_outputs,
    addresses_in_words,
    addresses_of,
    fill_secret_command,
    redrive_command,
)
from cdk_s3_to_sftp.parts import Custody, make_bucket, make_log, make_secret
from cdk_s3_to_sftp.places import forwarding_template
from cdk_s3_to_sftp.queues import (
    check_dead_letter_queue,
    check_takes_events,
    make_dead_letter_queue,
    make_queue,
)
from cdk_s3_to_sftp.role import Permissions
from cdk_s3_to_sftp.senders import Senders
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sharing import claim_ledger, claim_queue, claim_role
from cdk_s3_to_sftp.sources import Source, Trigger, directories, known_length, warn_of_shared_names
from cdk_s3_to_sftp.triggers import validate_with, watch

_ONE_DAY = cdk.Duration.hours(24)
_FIFTEEN_MINUTES = cdk.Duration.minutes(15)
_RECEIPTS_FOR = cdk.Duration.days(400)

_LONGEST_RETRIES_HOURS = 72
"""A weekend and a bit: what does not work for longer should be seen by a person."""

_SHORTEST_RECEIPTS_DAYS = 32
"""Longer than anything can ask for an object again: 14 days in the dead-letter queue, 14 in the queue that it
is sent back to, three of retries, and a lease. What DynamoDB has deleted by then would be delivered again.
"""

_REMOVAL_POLICIES = ("RETAIN", "RETAIN_ON_UPDATE_OR_DELETE", "DESTROY")
"""Buckets, secrets and logs have no snapshots."""

_FUNCTIONS = 2
"""Functions at a time: the fewest that a mapping can be held to. What is scarce are connections."""

_MOST_LANES = 64
"""What the function takes as its share of the connections."""

_LARGEST_ENVIRONMENT = 4096
"""Bytes of all variables of a function together."""

_LONGEST_DESCRIPTION = 256
"""Characters (https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, Description)."""

_BATCH_SIZE = 10
"""The most that SQS hands over without waiting for more."""


class S3ToSftp(DeliveryMetrics, Construct):
    """Delivers every object that lands in a bucket, or in several, to one partner's SFTP server.

    An object's notification waits in a queue until the function has delivered the object. The ledger
    remembers what was delivered: an object that is announced twice is sent once. What cannot be delivered in
    the time that it is tried for ends in the dead-letter queue, and its message says why.

    Attributes:
        credentials: The secret with the login, a JSON object: `username`, `password`, `private_key` and
            `passphrase`; an empty string stands for what is not used.
        ledger: The table with one item for each version of an object: where it stands, and its receipt.
        event_bus: Where deliveries, failures and an unavailable partner are announced; source `s3-to-sftp`.
        queue: Notifications of objects that are not delivered yet.
        dead_letter_queue: Notifications of objects that could not be delivered.
        function: The function that delivers.
        role: What the function may do.
        log_group: Its log.
        server: The partner's server.
        vpc: The network that it runs in, if any.
        vpc_subnets: Where in it, if that was said.
        security_groups: What it may reach from there; none without a VPC.
        architecture: CPU of the function.
        runtime: Python of the function.
        memory_size: Its memory in MB.
        timeout: How long one invocation may take.
        log_retention: How long the log is kept.
        removal_policy: What becomes of what was made when the stack is deleted.
        encryption_key: The key of what was made, if any.
        alarm_topic: Who is told of alarms, if anybody.
        monitoring: The alarms and the dashboard.
        event_source_mapping: Hands messages of the queue to the function; disabled, deliveries pause.
        addresses: Public addresses that connections come from, known when it is deployed: those of
            `StaticEgress`. Empty where they change, or where the app does not know them.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        server: The partner's server.
        bucket: The bucket to watch. By default one is made: encrypted, versioned, private, TLS only, and
            kept when the stack is deleted. Versioning makes sure that the announced bytes are the ones sent.
        prefix: Deliver only objects whose key begins so. By default all.
        suffix: Deliver only objects whose key ends so. By default all.
        trigger: What announces a new object of the bucket. By default S3's own notification.
        sources: What to deliver, in place of `bucket` and the three behind it; `[]` leaves all sources to
            `add_source`. By default the one that these four describe.
        credentials: The secret with the login. By default one is made with a placeholder to be filled once.
        ledger: The table to remember deliveries in: keys `pk` and `sk`, both strings, `expires` as its time
            to live, and the index `by-status` (keys `status` and `status_at`, both strings). No two
            constructs may share one: what one has delivered would count as delivered by the other. By default
            one is made: paid per request, with point-in-time recovery, and kept when the stack is deleted.
        dead_letter_queue: Where to put what could not be delivered: a standard queue that no other construct
            uses. By default one is made that keeps it for 14 days.
        event_bus: Where to announce what was delivered and what was not. By default the account's default
            bus.
        encryption_key: Encrypts whatever is made here: bucket, secret, ledger, queues, log, and the
            environment of the function. By default keys that AWS manages and that cost nothing.
        role: The role of the function, and of no other; Lambda must be allowed to assume it. It is given the
            permissions that it needs. By default one is made.
        vpc: Network to run the function in; from there it must reach the server, S3, SQS, DynamoDB, Secrets
            Manager and EventBridge. By default none: the function reaches the internet, from addresses that
            change.
        vpc_subnets: Where in the VPC. By default its private subnets.
        security_groups: What the function may reach from there. By default one is made that lets it reach
            everything.
        max_connections: How many connections the partner allows at a time, over all functions. By default 2,
            one for each of two functions. From 4 on large objects travel over several connections, which
            pays when the partner is far away. Only for servers that keep one file written by several
            connections together, as OpenSSH does; a gateway to an object store may say OK and not do it.
            1 reserves a concurrency of 1, which counts against the account's limit.
        keep_connection: Whether a function keeps a connection while it has nothing to do, which saves the
            next delivery a login. Lambda keeps functions that it has replaced (after a deployment, or by
            itself) frozen for a while, and the partner counts the connection of each. False closes it
            whenever an invocation ends, so that `max_connections` holds then, too. By default True, unless
            `max_connections` is 1, where a forgotten connection would lock out its successor.
        retry_for: How long an object is tried before its message goes to the dead-letter queue: 1 hour to 3
            days, counted from its first try, and anew when a large object got further or somebody sends the
            message back. Waiting for its turn is no try. What cannot succeed goes there at once. By default
            24 hours.
        receipts_for: How long the ledger keeps what it knows about an object that is done with: 32 days to 10
            years. By default 400 days.
        sha256: Whether receipts hold the SHA-256 of what was sent; it costs the function CPU. By default the
            checksum that S3 has stored is compared, and a CRC of the bytes is kept.
        alarm_topic: Who is told, when an alarm is raised and when it is over. By default nobody.
        alarms: When to raise which. By default as `Alarms` says.
        dashboard: Whether there is one. By default there is.
        memory_size: Memory of the function in MB; CPU and network speed grow with it. By default 512.
        timeout: How long one invocation may take, at most 30 minutes; a large object takes several. Longer
            than the server's `reply_timeout`. By default 15 minutes.
        architecture: CPU of the function. By default x86_64.
        runtime: Python of the function, 3.12 or 3.13. By default 3.13.
        log_retention: How long the log is kept. By default three months.
        removal_policy: What becomes of bucket, secret, ledger, queues and log, where they are made here, when
            the stack is deleted, or this construct is removed from it or renamed. By default
            (`RETAIN_ON_UPDATE_OR_DELETE`) they are kept, unless the deployment that made them fails. `RETAIN`
            keeps them then, too, and lets nobody delete the ledger by hand. `DESTROY` deletes them; a bucket
            only when it is empty. A queue that was kept has no reader: it forgets what waits after 14 days.
        bundling: Where the function's code is put together. By default on this machine, else in Docker.
        code: The function's code, put together elsewhere by `python -m cdk_s3_to_sftp.package`, such as
            `lambda_.Code.from_asset("package.zip")`. By default it is put together at synth.
        outputs: Whether the deployment prints `outputs`: commands, names and addresses. By default not.

    Raises:
        InvalidArgument: A value cannot be right; the message says what to write instead.
    """

    @checks_types
    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        server: SftpServer,
        bucket: s3.IBucket | None = None,
        prefix: str | None = None,
        suffix: str | None = None,
        trigger: Trigger | None = None,
        sources: Sequence[Source] | None = None,
        credentials: secretsmanager.ISecret | None = None,
        ledger: dynamodb.ITable | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        event_bus: events.IEventBus | None = None,
        encryption_key: kms.IKey | None = None,
        role: iam.IRole | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        max_connections: int = 2,
        keep_connection: bool | None = None,
        retry_for: cdk.Duration = _ONE_DAY,
        receipts_for: cdk.Duration = _RECEIPTS_FOR,
        sha256: bool = False,
        alarm_topic: sns.ITopic | None = None,
        alarms: Alarms | None = None,
        dashboard: bool = True,
        memory_size: int = 512,
        timeout: cdk.Duration = _FIFTEEN_MINUTES,
        architecture: lambda_.Architecture = lambda_.Architecture.X86_64,
        runtime: lambda_.Runtime = RUNTIME,
        log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
        removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        bundling: Bundling = Bundling.AUTO,
        code: lambda_.Code | None = None,
        outputs: bool = False,
    ) -> None:
        super().__init__(scope, id)
        check_known("max_connections", max_connections, "how many functions there are at a time")
        check_range("max_connections", max_connections, 1, _FUNCTIONS * _MOST_LANES)
        check_range("memory_size", memory_size, 128, 10240, "MB")
        check_duration("timeout", timeout, 1, 1800, "seconds")
        server.check_replies_within(timeout)
        check_duration("retry_for", retry_for, 1, _LONGEST_RETRIES_HOURS, "hours")
        check_duration("receipts_for", receipts_for, _SHORTEST_RECEIPTS_DAYS, 3650, "days")
        check_choice("architecture", architecture.name, [each.name for each in ARCHITECTURES])
        check_choice("runtime", runtime.name, [each.name for each in RUNTIMES])
        if code is not None:
            check_prebuilt(code, architecture=architecture, runtime=runtime)
        check_choice("removal_policy", removal_policy.name, _REMOVAL_POLICIES)
        check_dead_letter_queue(self, dead_letter_queue)
        check_ledger(self, ledger)
        _check_network(vpc, vpc_subnets, security_groups)
        if sources is not None:
            _check_alone(bucket=bucket, prefix=prefix, suffix=suffix, trigger=trigger)

        self.server = server
        self.vpc = vpc
        self.vpc_subnets = vpc_subnets
        self.architecture = architecture
        self.runtime = runtime
        self.memory_size = memory_size
        self.timeout = timeout
        self.log_retention = log_retention
        self.removal_policy = removal_policy
        self.encryption_key = encryption_key
        self.alarm_topic = alarm_topic
        custody = Custody(encryption_key=encryption_key, removal_policy=removal_policy)
        self._made_bucket = make_bucket(self, custody) if sources is None and bucket is None else None
        if sources is None:
            watched = bucket or self.made_bucket
            sources = [Source(watched, prefix=prefix, suffix=suffix, trigger=trigger or Trigger.NOTIFICATION)]
        self.credentials = credentials or make_secret(self, custody)
        self.ledger = claim_ledger(self, ledger or make_ledger(self, custody))
        self.event_bus = event_bus or events.EventBus.from_event_bus_name(self, "EventBus", "default")
        self.dead_letter_queue = claim_queue(self, dead_letter_queue or make_dead_letter_queue(self, custody))
        self.queue = make_queue(
            self,
            custody,
            dead_letter_queue=self.dead_letter_queue,
            timeout=timeout,
            may_be_throttled=max_connections == 1,
        )
        claim_queue(self, self.queue)
        self._senders = Senders(self, queue=self.queue, dead_letter_queue=self.dead_letter_queue)
        self.log_group = make_log(self, custody, retention=log_retention)
        self._permissions = Permissions(self, role)
        claim_role(self, self._permissions.role)
        self._permissions.work_with(
            credentials=self.credentials,
            ledger=self.ledger,
            queue=self.queue,
            dead_letter_queue=self.dead_letter_queue,
            event_bus=self.event_bus,
            log_group=self.log_group,
        )
        self._permissions.share(encryption_key)
        if dead_letter_queue:
            self._permissions.send_to_encrypted_queue(dead_letter_queue.encryption_master_key)
        network = self._permissions.be_in_network() if vpc else None
        self.role = self._permissions.role
        self.function = lambda_.Function(
            self,
            "Function",
            description=_cut(f"Delivers objects from S3 to {server.host}"),
            runtime=runtime,
            architecture=architecture,
            code=code or function_code(architecture=architecture, runtime=runtime, bundling=bundling),
            handler="s3_to_sftp.handler.lambda_handler",
            role=self.role,
            environment={
                **server.variables(),
                **self._variables(),
                **_options(retry_for, receipts_for, max_connections, sha256=sha256),
                **_kept_connections(max_connections, keep=keep_connection),
            },
            environment_encryption=encryption_key,
            memory_size=memory_size,
            timeout=timeout,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=list(security_groups) if security_groups else None,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            # The concurrency of a mapping starts at 2: only the function itself can be held to one.
            reserved_concurrent_executions=1 if max_connections == 1 else None,
            # What has to wait or is continued goes through the queue again. Lambda would take that for a
            # runaway loop, and drop the message at about the 16th round.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        self.security_groups = tuple(self.function.connections.security_groups) if vpc else ()
        self._accept_findings(max_connections)
        if self._permissions.granted is not self.role:
            self.function.node.add_dependency(self._permissions.granted)
        if network:
            self.function.node.add_dependency(network)
        if vpc:
            self._permissions.keep_network_from(self.function)
        self.event_source_mapping = self._deliver_from_queue(max_connections)
        self.addresses = addresses_of(vpc)
        self.monitoring = Monitoring(
            self,
            "Monitoring",
            delivery=self,
            partner=server.host,
            alarms=alarms,
            alarm_topic=alarm_topic,
            dashboard=dashboard,
        )
        self._sources: list[Source] = []
        self._former_sources: list[Source] = []
        for source in sources:
            self._add(source)
        if outputs:
            add_outputs(self, self.outputs)
        validate_with(self, self._complaints)
        validate_with(self, self._senders.complaints)
        if vpc:
            warn_at_synth_of_network(
                self,
                port=server.port,
                vpc=vpc,
                vpc_subnets=vpc_subnets,
                security_groups=self.security_groups,
            )

    @property
    def bucket(self) -> s3.IBucket:
        """The bucket of the first source: the one that was made, where none was given.

        Raises:
            LookupError: There is no source yet.
        """
        if not self._sources:
            raise LookupError(
                f"{self.node.path} has no source yet, and so no bucket: call add_source() first"
            )
        return self._sources[0].bucket

    @property
    def made_bucket(self) -> s3.Bucket:
        """The bucket that was made here: one that rules and policies can be added to.

        Raises:
            LookupError: None was, since one was given.
        """
        if self._made_bucket is None:
            raise LookupError(
                f"{self.node.path} has made no bucket, since it was given bucket or sources: use these"
            )
        return self._made_bucket

    @property
    def fill_secret_command(self) -> str:
        """The command that puts the login into the secret."""
        return fill_secret_command(self, self.credentials)

    @property
    def redrive_command(self) -> str:
        """The command that sends back what is in the dead-letter queue."""
        return redrive_command(self, dead_letter_queue=self.dead_letter_queue, queue=self.queue)

    @property
    def outputs(self) -> dict[str, str]:
        """What a person needs after the deployment, by the names that the outputs of the stock stack have."""
        first = {"BucketName": self.bucket.bucket_name} if self._sources else {}
        dashboard = self.monitoring.dashboard
        return {
            **first,
            "SecretArn": self.credentials.secret_arn,
            "FillSecretCommand": self.fill_secret_command,
            "QueueUrl": self.queue.queue_url,
            "DeadLetterQueueUrl": self.dead_letter_queue.queue_url,
            "RedriveCommand": self.redrive_command,
            "LedgerTableName": self.ledger.table_name,
            "FunctionName": self.function.function_name,
            "LogGroupName": self.log_group.log_group_name,
            "EventSourceMappingId": self.event_source_mapping.event_source_mapping_id,
            "SourceAddresses": addresses_in_words(self.vpc),
            **({"DashboardName": dashboard.dashboard_name} if dashboard else {}),
        }

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is delivered, in the order in which it was added."""
        return tuple(self._sources)

    @property
    def role_policy_statements(self) -> list[iam.PolicyStatement]:
        """What the function's role may do, and what its code is denied: for a role that CDK cannot change."""
        return list(self._permissions.statements)

    @property
    def dead_letter_queue_policy_statements(self) -> list[iam.PolicyStatement]:
        """What the policy of an imported dead-letter queue must say, so that EventBridge can use it."""
        return list(self._senders.for_dead_letter_queue)

    @checks_types
    def add_source(
        self,
        bucket: s3.IBucket,
        *,
        prefix: str | None = None,
        suffix: str | None = None,
        directory: str | None = None,
        trigger: Trigger = Trigger.NOTIFICATION,
    ) -> Source:
        """Deliver the objects of another bucket, or of another part of one, to the same partner.

        Args:
            bucket: Any: made in this stack or another, or imported by its name or ARN.
            prefix: Deliver only objects whose key begins so. By default all.
            suffix: Deliver only objects whose key ends so. By default all.
            directory: Remote directory for them. By default that of the server.
            trigger: What announces a new object. By default S3's own notification.

        Raises:
            InvalidArgument: A value cannot be right, or some objects would be announced twice.
        """
        source = Source(bucket, prefix=prefix, suffix=suffix, directory=directory, trigger=trigger)
        self._add(source)
        return source

    @checks_types
    def add_former_source(
        self,
        bucket: s3.IBucket,
        *,
        prefix: str | None = None,
        suffix: str | None = None,
        directory: str | None = None,
    ) -> None:
        """Let the function still read what was a source, and is not announced any more.

        Of what waits in the queues when a source is changed or removed: it would be dead-lettered, as
        `SourceDenied`. Take it out again when nothing of it is waiting any more.

        Args:
            bucket: As the source had it; one that is not in the app any more is imported by its name.
            prefix: As the source had it.
            suffix: As the source had it.
            directory: As the source had it: what waits still goes there.

        Raises:
            InvalidArgument: A value cannot be right.
        """
        source = Source(bucket, prefix=prefix, suffix=suffix, directory=directory)
        self._permissions.read(source)
        self._former_sources.append(source)
        self._tell_directories()

    @checks_types
    def bucket_policy_statements(self, bucket: s3.IBucket) -> list[iam.PolicyStatement]:
        """What the policy of a bucket in another account must say, so that its objects can be read.

        Raises:
            InvalidArgument: It is no source.
        """
        watched = [*self._sources, *self._former_sources]
        sources = [source for source in watched if identity(source.bucket) == identity(bucket)]
        if not sources:
            raise InvalidArgument("bucket", f"must be a source of {self.node.path}, got {bucket.node.path}")
        return self._permissions.for_bucket(sources)

    @checks_types
    def forwarding_template(self, bucket: s3.IBucket) -> dict[str, Any]:
        """What the owner of a bucket in another account deploys there, so that its events come here.

        A CloudFormation template (a rule and its role); `json.dumps` makes a file of it.

        Raises:
            InvalidArgument: It is no source.
        """
        self.bucket_policy_statements(bucket)
        return forwarding_template(self, bucket)

    @checks_types
    def key_policy_statements(self, key: kms.IKey) -> list[iam.PolicyStatement]:
        """What the policy of an imported key must say, so that what it encrypts can be used.

        Empty for a key that is not used, and for one of the app, whose policy says it already.
        """
        return self._permissions.for_key(key)

    def _add(self, source: Source) -> None:
        if source.trigger.has_rule:
            check_takes_events(self.dead_letter_queue)
            self._permissions.let_rules_use(self.dead_letter_queue.encryption_master_key)
        watch(self, source, self._senders)
        self._permissions.read(source)
        warn_of_shared_names(self, source, self._sources, otherwise=self.server.directory)
        self._sources.append(source)
        self._tell_directories()

    def _tell_directories(self) -> None:
        # Where two are alike the function takes the first.
        if told := directories(cdk.Stack.of(self), [*self._sources, *self._former_sources]):
            self.function.add_environment("SSH_SOURCES", told)

    def _complaints(self) -> list[str]:
        if not self._sources:
            return ["there is nothing to deliver: leave out `sources`, or call add_source()"]
        told = directories(cdk.Stack.of(self), [*self._sources, *self._former_sources]) or ""
        known = known_length(cdk.Stack.of(self), told, *self.server.variables().values())
        if known <= _LARGEST_ENVIRONMENT:
            return []
        return [
            f"the directories of its sources and the host keys take {known} bytes of the function's "
            f"environment, for which Lambda has {_LARGEST_ENVIRONMENT}: give the same directory to more of "
            "the sources (their keys are paths below it), or make a second construct"
        ]

    def _variables(self) -> dict[str, str]:
        """Names what the function works with. Of the login only where it is kept."""
        return {
            "SSH_SECRET_ARN": self.credentials.secret_arn,
            "LEDGER_TABLE": self.ledger.table_name,
            "QUEUE_URL": self.queue.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.dead_letter_queue.queue_url,
            # PutEvents takes a name or an ARN; only the ARN finds the bus of another account.
            "EVENT_BUS": self.event_bus.event_bus_arn,
            # So that hints name the arguments of this construct, not variables.
            "CONFIGURED_BY": "construct",
        }

    def _accept_findings(self, max_connections: int) -> None:
        """Accept about the function what the arguments do not take away."""
        accept(self.function, trades.FUNCTION_RUNTIME, trades.FUNCTION_DEAD_LETTERS)
        if self.encryption_key is None:
            accept(self.function, trades.ENVIRONMENT_KEY)
        if self.vpc is None:
            accept(self.function, trades.FUNCTION_VPC)
        if max_connections > 1:
            accept(self.function, trades.FUNCTION_CONCURRENCY)
        if not self.timeout.is_unresolved() and self.timeout.to_seconds() > _FIFTEEN_MINUTES.to_seconds():
            accept_long_timeout(self.function)

    def _deliver_from_queue(self, max_connections: int) -> lambda_.EventSourceMapping:
        return self.function.add_event_source_mapping(
            "Deliveries",
            event_source_arn=self.queue.queue_arn,
            # The small objects of a batch share the round trips of one connection. The function starts
            # none that it could not finish in its time, and answers for each message by itself.
            batch_size=_BATCH_SIZE,
            report_batch_item_failures=True,
            max_concurrency=_FUNCTIONS if max_connections > 1 else None,
        )


def _cut(description: str) -> str:
    """What Lambda takes of it: a name of DNS may be nearly as long as all that it takes."""
    return description if is_token(description) else description[:_LONGEST_DESCRIPTION]


def _options(
    retry_for: cdk.Duration, receipts_for: cdk.Duration, max_connections: int, *, sha256: bool
) -> dict[str, str]:
    options = {
        "RETRY_FOR_SECONDS": whole_seconds(retry_for),
        "RECEIPTS_FOR_SECONDS": whole_seconds(receipts_for),
        "SSH_MAX_CONNECTIONS": str(max(1, max_connections // _FUNCTIONS)),
    }
    return {**options, "SSH_SHA256": "true"} if sha256 else options


def _kept_connections(max_connections: int, *, keep: bool | None) -> dict[str, str]:
    keeps = max_connections > 1 if keep is None else keep
    return {} if keeps else {"SSH_KEEP_CONNECTION": "false"}


def _check_network(
    vpc: ec2.IVpc | None,
    vpc_subnets: ec2.SubnetSelection | None,
    security_groups: Sequence[ec2.ISecurityGroup] | None,
) -> None:
    for name, value in (("vpc_subnets", vpc_subnets), ("security_groups", security_groups)):
        if value and not vpc:
            raise InvalidArgument(name, "must not be given without vpc, the network that they are in")


def _check_alone(**others: object) -> None:
    if given := [name for name, value in others.items() if value is not None]:
        raise InvalidArgument(
            "sources", f"must not be given together with {', '.join(given)}: put them into a Source"
        )
