"""The construct: from buckets to a partner's SFTP server."""

from collections.abc import Sequence

import aws_cdk as cdk
import jsii
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

from cdk_s3_to_sftp.alarms import Alarms
from cdk_s3_to_sftp.annotations import validate_with
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.bundling import RUNTIME, Bundling, function_code
from cdk_s3_to_sftp.construct_arguments import (
    check_code,
    check_log,
    check_log_level,
    check_network,
    check_no_source_arguments,
    check_removal_policy,
    check_sizes,
    check_times,
    check_versions,
)
from cdk_s3_to_sftp.exclusive_use import claim_ledger, claim_queue, claim_role
from cdk_s3_to_sftp.external_policies import ExternalPolicies
from cdk_s3_to_sftp.function import (
    FIFTEEN_MINUTES,
    HANDLER,
    acknowledge_findings,
    deliver_from_queue,
    description_for,
    kept_connections,
    options,
    reserved_concurrency,
    trace,
)
from cdk_s3_to_sftp.ledger import check_ledger, make_ledger
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.monitoring import Monitoring
from cdk_s3_to_sftp.network_warnings import warn_at_synth_of_network
from cdk_s3_to_sftp.outputs import DeliveryOutputs, add_outputs, addresses_of
from cdk_s3_to_sftp.permissions import Permissions
from cdk_s3_to_sftp.queue_policies import QueuePolicies
from cdk_s3_to_sftp.queues import check_dead_letter_queue, make_dead_letter_queue, make_queue
from cdk_s3_to_sftp.resources import KEEP_VERSIONS_FOR, DataProtection, make_bucket, make_log, make_secret
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.sources import Source, Trigger
from cdk_s3_to_sftp.tagging import tag_with_partner

_ONE_DAY = cdk.Duration.hours(24)
_RECEIPTS_FOR = cdk.Duration.days(400)
_LOG_RETENTION = logs.RetentionDays.THREE_MONTHS


@jsii.implements(iam.IGrantable, ec2.IConnectable)
class S3ToSftp(DeliveryMetrics, ExternalPolicies, DeliveryOutputs):
    """Delivers every object that lands in a bucket, or in several, to one partner's SFTP server.

    An object's notification waits in a queue until the function has delivered the object. The ledger
    remembers what was delivered: an object that is announced twice is sent once. What cannot be delivered in
    the time that it is tried for ends in the dead-letter queue, and its message says why.

    Where CDK takes an `IGrantable` or an `IConnectable` it takes this construct, too, which stands for its
    function: `bucket.grant_read(delivery)`, `database.connections.allow_default_port_from(delivery)`.

    What is made has the tag `s3-to-sftp:partner`, with the host of the server as its value.

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
        log_retention: How long the log is kept; None for one that was passed in.
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
        keep_versions_for: How long the bucket that is made here keeps a version after it was replaced or
            deleted, in whole days: `retry_for` and 28 more at least, since an object that is replaced before
            it is delivered is sent from its old version; what is gone by then would be recorded as gone. At
            most 36,500 days. Parts of uploads that nobody finished are deleted after 7 days. By default 90
            days.
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
        runtime: Python of the function: 3.12, 3.13 or 3.14. By default 3.13.
        enabled: Whether messages are delivered. False stops deliveries with the next deployment, and what is
            announced waits in the queue, which forgets it after 14 days; the alarm for the backlog says so.
            Invocations that are under way come to their end. By default True.
        tracing: Whether Lambda traces invocations with AWS X-Ray. The function adds nothing to a trace: it
            shows when it was started and how long it took. By default it is not traced.
        log_group: The log, where it is not to be made here; of the account and Region of the stack. One for
            this function alone, or the tables of the dashboard show what others write there. By default one
            is made.
        log_retention: How long the log that is made here is kept. By default three months.
        log_level: How detailed the log is: INFO, DEBUG or TRACE, which is the same as DEBUG. DEBUG shows the
            dialogue with the SSH server, and nothing of the login. Higher ones are refused: metrics are log
            lines of level INFO to Lambda. By default INFO.
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
        keep_versions_for: cdk.Duration | None = None,
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
        timeout: cdk.Duration = FIFTEEN_MINUTES,
        architecture: lambda_.Architecture = lambda_.Architecture.X86_64,
        runtime: lambda_.Runtime = RUNTIME,
        enabled: bool = True,
        tracing: lambda_.Tracing = lambda_.Tracing.DISABLED,
        log_group: logs.ILogGroup | None = None,
        log_retention: logs.RetentionDays | None = None,
        log_level: lambda_.ApplicationLogLevel | None = None,
        removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        bundling: Bundling = Bundling.AUTO,
        code: lambda_.Code | None = None,
        outputs: bool = False,
    ) -> None:
        super().__init__(scope, id)
        check_sizes(max_connections=max_connections, memory_size=memory_size, timeout=timeout)
        server.check_replies_within(timeout)
        check_times(retry_for=retry_for, receipts_for=receipts_for)
        check_code(code, architecture=architecture, runtime=runtime)
        check_removal_policy(removal_policy)
        check_dead_letter_queue(self, dead_letter_queue)
        check_ledger(self, ledger)
        check_network(vpc, vpc_subnets, security_groups)
        check_log(self, log_group, log_retention)
        check_log_level(log_level)
        makes_bucket = bucket is None and sources is None
        check_versions(keep_versions_for, retry_for=retry_for, makes_bucket=makes_bucket)
        if sources is not None:
            check_no_source_arguments(bucket=bucket, prefix=prefix, suffix=suffix, trigger=trigger)

        self.server = server
        self.vpc = vpc
        self.vpc_subnets = vpc_subnets
        self.architecture = architecture
        self.runtime = runtime
        self.memory_size = memory_size
        self.timeout = timeout
        self.log_retention = log_retention or (None if log_group else _LOG_RETENTION)
        self.removal_policy = removal_policy
        self.encryption_key = encryption_key
        self.alarm_topic = alarm_topic
        protection = DataProtection(encryption_key=encryption_key, removal_policy=removal_policy)
        self._made_bucket = (
            make_bucket(self, protection, keep_versions_for=keep_versions_for or KEEP_VERSIONS_FOR)
            if makes_bucket
            else None
        )
        if sources is None:
            watched = bucket or self.made_bucket
            sources = [Source(watched, prefix=prefix, suffix=suffix, trigger=trigger or Trigger.NOTIFICATION)]
        self.credentials = credentials or make_secret(self, protection)
        self.ledger = claim_ledger(self, ledger or make_ledger(self, protection))
        self.event_bus = event_bus or events.EventBus.from_event_bus_name(self, "EventBus", "default")
        self.dead_letter_queue = claim_queue(
            self, dead_letter_queue or make_dead_letter_queue(self, protection)
        )
        self.queue = make_queue(
            self,
            protection,
            dead_letter_queue=self.dead_letter_queue,
            timeout=timeout,
            may_be_throttled=max_connections == 1,
        )
        claim_queue(self, self.queue)
        self._queue_policies = QueuePolicies(self, queue=self.queue, dead_letter_queue=self.dead_letter_queue)
        self.log_group = log_group or make_log(self, protection, retention=self.log_retention)
        self._permissions = Permissions(self, role, partner=server.host)
        claim_role(self, self._permissions.role)
        self._permissions.grant_core(
            credentials=self.credentials,
            ledger=self.ledger,
            queue=self.queue,
            dead_letter_queue=self.dead_letter_queue,
            event_bus=self.event_bus,
            log_group=self.log_group,
        )
        self._permissions.grant_service_use_of_key(encryption_key)
        if dead_letter_queue:
            self._permissions.grant_send_to_encrypted_queue(dead_letter_queue.encryption_master_key)
        network = self._permissions.grant_vpc_access() if vpc else None
        is_traced = tracing is not lambda_.Tracing.DISABLED
        traces = self._permissions.grant_tracing() if is_traced else None
        self.role = self._permissions.role
        self.function = lambda_.Function(
            self,
            "Function",
            description=description_for(server.host),
            runtime=runtime,
            architecture=architecture,
            code=code or function_code(architecture=architecture, runtime=runtime, bundling=bundling),
            handler=HANDLER,
            role=self.role,
            environment={
                **server.variables(),
                **self._variables(),
                **options(retry_for, receipts_for, max_connections, sha256=sha256),
                **kept_connections(max_connections, keep=keep_connection),
            },
            environment_encryption=encryption_key,
            memory_size=memory_size,
            timeout=timeout,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=list(security_groups) if security_groups else None,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=log_level,
            reserved_concurrent_executions=reserved_concurrency(max_connections),
            # What has to wait or is continued goes through the queue again. Lambda would take that for a
            # runaway loop, and drop the message at about the 16th round.
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        self.security_groups = tuple(self.function.connections.security_groups) if vpc else ()
        acknowledge_findings(
            self.function,
            max_connections=max_connections,
            timeout=timeout,
            has_key=encryption_key is not None,
            has_vpc=vpc is not None,
        )
        if self._permissions.granted is not self.role:
            self.function.node.add_dependency(self._permissions.granted)
        for policy in filter(None, (network, traces)):
            self.function.node.add_dependency(policy)
        if is_traced:
            trace(self.function, tracing)
        if vpc:
            self._permissions.deny_vpc_access_to_code(self.function)
        self.event_source_mapping = deliver_from_queue(
            self.function, self.queue, max_connections=max_connections, enabled=enabled
        )
        self.addresses = addresses_of(vpc)
        self.monitoring = Monitoring(
            self,
            "Monitoring",
            delivery=self,
            partner=server.host,
            alarms=alarms,
            alarm_topic=alarm_topic,
            dashboard=dashboard,
            enabled=enabled,
        )
        self._sources = []
        self._former_sources = []
        self._rules = {}
        for source in sources:
            self._add(source)
        if outputs:
            add_outputs(self, self.outputs)
        tag_with_partner(self, server.host)
        validate_with(self, self._errors)
        validate_with(self, self._queue_policies.errors)
        if vpc:
            warn_at_synth_of_network(
                self,
                port=server.port,
                vpc=vpc,
                vpc_subnets=vpc_subnets,
                security_groups=self.security_groups,
            )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The role of the function, as far as policies of this stack reach it."""
        return self._permissions.granted.grant_principal

    @property
    def connections(self) -> ec2.Connections:
        """What the function's security groups let through.

        Raises:
            LookupError: It runs in no VPC.
        """
        if self.vpc is None:
            raise LookupError(
                f"{self.node.path} has no security groups, since its function runs in no VPC: give it vpc="
            )
        return self.function.connections

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
