"""The construct that delivers objects of buckets to a partner's SFTP server."""

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

from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.algorithm_warnings import warn_of_algorithms
from cdk_s3_to_sftp.annotations import validate_with
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.bundling import RUNTIME, Bundling
from cdk_s3_to_sftp.canary import add_canary
from cdk_s3_to_sftp.construct_arguments import (
    check_function,
    check_log,
    check_no_source_arguments,
    check_removal_policy,
    check_versions,
)
from cdk_s3_to_sftp.defaults import MAX_CONNECTIONS, MEMORY_MB, RECEIPTS_FOR, RETRY_FOR
from cdk_s3_to_sftp.exclusive_use import claim_ledger, claim_queue, claim_role
from cdk_s3_to_sftp.external_policies import ExternalPolicies
from cdk_s3_to_sftp.function import FIFTEEN_MINUTES, deliver_from_queue, make_function
from cdk_s3_to_sftp.function_settings import FunctionResources, FunctionSettings
from cdk_s3_to_sftp.ledger import check_ledger, make_ledger
from cdk_s3_to_sftp.measured_checks import refuse_at_synth_what_contradicts
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.monitoring import Monitoring
from cdk_s3_to_sftp.network_warnings import warn_at_synth_of_network
from cdk_s3_to_sftp.operator_permissions import OperatorPermissions
from cdk_s3_to_sftp.outputs import DeliveryOutputs, add_outputs, addresses_of
from cdk_s3_to_sftp.pass_checks import refuse_at_synth_what_takes_too_long
from cdk_s3_to_sftp.permissions import Permissions
from cdk_s3_to_sftp.queue_policies import QueuePolicies
from cdk_s3_to_sftp.queues import check_dead_letter_queue, make_dead_letter_queue, make_queue
from cdk_s3_to_sftp.resources import KEEP_VERSIONS_FOR, DataProtection, make_bucket, make_log, make_secret
from cdk_s3_to_sftp.rule_examples import has_cut_off, warn_of_rules
from cdk_s3_to_sftp.server import SftpServer
from cdk_s3_to_sftp.shared_servers import warn_of_shared_server
from cdk_s3_to_sftp.sources import Source, Trigger
from cdk_s3_to_sftp.tagging import tag_with_partner

_LOG_RETENTION = logs.RetentionDays.THREE_MONTHS


@jsii.implements(iam.IGrantable, ec2.IConnectable)
class S3ToSftp(DeliveryMetrics, ExternalPolicies, DeliveryOutputs, OperatorPermissions):
    """Delivers every object that lands in a bucket, or in several, to one partner's SFTP server.

    An object's notification waits in a queue until the function has delivered the object. The ledger records
    what was delivered: an object that is announced twice is sent once. An object that cannot be delivered
    within `retry_for` ends up in the dead-letter queue, and its message says why.

    The construct is an `IGrantable` and an `IConnectable`, and stands for its function:
    `bucket.grant_read(delivery)`, `database.connections.allow_default_port_from(delivery)`. `grant_status`
    and `grant_operate` let others use the operator's command, `s3-to-sftp`.

    Every resource that it creates has the tag `s3-to-sftp:partner`, with the host of the server as its value.

    Attributes:
        credentials: The secret with the login, a JSON object: `username`, `password`, `private_key` and
            `passphrase`. Unused fields are empty strings.
        ledger: The table with one item for each version of an object: its state and its receipt.
        event_bus: The bus for events about deliveries, failures and an unavailable partner; their source is
            `s3-to-sftp`.
        queue: Notifications of objects that are not delivered yet.
        dead_letter_queue: Notifications of objects that could not be delivered.
        function: The function that delivers.
        role: The function's role.
        log_group: Its log group.
        server: The partner's server.
        vpc: The VPC that it runs in, if any.
        vpc_subnets: The selected subnets, if any were selected.
        security_groups: Its security groups. Empty without a VPC.
        architecture: CPU architecture of the function.
        runtime: Python of the function.
        memory_size: Memory of the function in MB.
        timeout: Timeout of one invocation.
        log_retention: How long the log is kept. None for a log group that was passed in.
        removal_policy: What happens to the created resources when the stack is deleted.
        encryption_key: The key that encrypts the created resources, if any.
        alarm_topic: The topic that alarms are published to, if any.
        monitoring: The alarms and the dashboard.
        event_source_mapping: Passes messages from the queue to the function. Disabling it pauses deliveries.
        cut_off_rule: The schedule that looks for objects which have missed their cut-off. None if no rules
            have one.
        canary_rule: The daily schedule of the canary. None if it is off.
        addresses: Public source addresses of the connections, known at deployment: those of `StaticEgress`.
            Empty if they change, or if the app does not know them.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        server: The partner's server.
        bucket: The bucket to watch. By default one is created: encrypted, versioned, private, TLS only, and
            retained when the stack is deleted. Versioning ensures that the announced bytes are the ones sent.
        prefix: Deliver only objects whose key has this prefix. By default all.
        suffix: Deliver only objects whose key has this suffix. By default all.
        trigger: What announces a new object of the bucket. By default S3's own notification.
        keep_versions_for: How long the created bucket keeps a version after it was replaced or deleted, in
            whole days. At least `retry_for` plus 28 days, since an object that is replaced before it is
            delivered is sent from its old version; a version deleted by then would be recorded as gone. At
            most 36,500 days. By default 90 days. Parts of incomplete multipart uploads are deleted after 7
            days.
        sources: What to deliver, in place of `bucket`, `prefix`, `suffix` and `trigger`; `[]` leaves all
            sources to `add_source`. By default the one source that these four describe.
        credentials: The secret with the login. By default one is created with a placeholder to be filled
            once.
        ledger: The table that records deliveries: keys `pk` and `sk`, both strings, `expires` as its time to
            live, and the index `by-status` (keys `status` and `status_at`, both strings). Two constructs
            cannot share one: what one has delivered would count as delivered by the other. By default one is
            created: on-demand capacity, point-in-time recovery, and retained when the stack is deleted.
        dead_letter_queue: The queue for what could not be delivered: a standard queue that no other
            construct uses. By default one is created that keeps messages for 14 days.
        event_bus: The bus for events about deliveries. By default the account's default bus.
        encryption_key: Encrypts everything that is created: bucket, secret, ledger, queues, log, and the
            environment of the function. By default AWS managed keys, which cost nothing.
        role: The role of this function only; Lambda must be allowed to assume it. It is granted the
            permissions that it needs. By default one is created.
        vpc: VPC to run the function in, from which it must reach the server, S3, SQS, DynamoDB, Secrets
            Manager and EventBridge. By default none: the function reaches the internet from changing
            addresses.
        vpc_subnets: Subnets of the VPC. By default its private subnets.
        security_groups: Security groups of the function. By default one is created that allows all outbound
            traffic.
        max_connections: How many connections the partner allows at a time, over all function instances. By
            default 2, one for each of two instances. From 4 on, large objects use several connections in
            parallel, which pays off when the partner is far away. Only for servers that support parallel
            writes to one file, as OpenSSH does; a gateway to an object store may answer OK and not do it. 1
            reserves a concurrency of 1, which counts against the account's limit.
        keep_connection: Whether a function keeps its connection while it is idle, which saves the next
            delivery a login. Lambda keeps instances that it has replaced (after a deployment, or on its own)
            frozen for a while, and the partner counts the connection of each. False closes the connection
            whenever an invocation ends, so that `max_connections` holds even then. By default True, unless
            `max_connections` is 1, where a leftover connection would lock out its successor.
        retry_for: How long an object is retried before its message goes to the dead-letter queue: 1 hour to
            3 days, counted from the first try. The count restarts when a large object makes progress or the
            message is redriven. Waiting does not count as a try. An object that cannot succeed is
            dead-lettered at once. By default 24 hours.
        receipts_for: How long the ledger keeps the item of an object in a final state: 32 days to 10 years.
            By default 400 days.
        sha256: Whether receipts include the SHA-256 of what was sent, which costs CPU time. By default the
            checksum that S3 has stored is compared, and a CRC of the bytes is recorded.
        canary: Whether the function examines the way to the partner once a day, with one login and without
            writing anything. What has changed since the day before is an event on `event_bus`, and there
            are two more alarms. By default False.
        alarm_topic: Topic to notify when an alarm is raised and when it is over. By default nobody is
            notified.
        alarms: Thresholds of the alarms. By default those of `Alarms`.
        dashboard: Whether to create a dashboard. By default True.
        memory_size: Memory of the function in MB; CPU and network speed grow with it. By default 512.
        timeout: Timeout of one invocation, at most 30 minutes and longer than the server's `reply_timeout`.
            A large object takes several invocations. By default 15 minutes.
        architecture: CPU architecture of the function. By default x86_64.
        runtime: Python of the function: 3.12, 3.13 or 3.14. By default 3.13.
        enabled: Whether messages are delivered. False pauses deliveries with the next deployment.
            Notifications then wait in the queue, which drops them after 14 days; the backlog alarm says so.
            Running invocations finish. By default True.
        tracing: Whether Lambda traces invocations with AWS X-Ray. The function adds nothing to a trace,
            which shows when it was started and how long it took. By default no tracing.
        log_group: An existing log group in the account and Region of the stack. It should be used by this
            function only, or the tables of the dashboard show the lines of others. By default one is created.
        log_retention: How long the created log group keeps its events. By default three months.
        log_level: INFO, DEBUG, or TRACE, which is the same as DEBUG. DEBUG shows the dialogue with the SSH
            server, but nothing of the login. Higher levels are refused: Lambda treats metrics as log lines
            of level INFO. By default INFO.
        removal_policy: What happens to the created bucket, secret, ledger, queues and log when the stack is
            deleted, or this construct is removed from it or renamed. By default
            (`RETAIN_ON_UPDATE_OR_DELETE`) they are retained, unless the deployment that creates them fails.
            `RETAIN` retains them even then, and turns on deletion protection for the ledger. `DESTROY`
            deletes them; a bucket only when it is empty. A retained queue has no consumer: it drops waiting
            messages after 14 days.
        bundling: Where the function's code is bundled. By default on this machine, with Docker as the
            fallback.
        code: The function's code, bundled elsewhere by `python -m cdk_s3_to_sftp.package`, such as
            `lambda_.Code.from_asset("package.zip")`. By default it is bundled at synth.
        outputs: Whether to add `outputs` to the stack: commands, names and addresses. By default False.

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
        max_connections: int = MAX_CONNECTIONS,
        keep_connection: bool | None = None,
        retry_for: cdk.Duration = RETRY_FOR,
        receipts_for: cdk.Duration = RECEIPTS_FOR,
        sha256: bool = False,
        canary: bool = False,
        alarm_topic: sns.ITopic | None = None,
        alarms: Alarms | None = None,
        dashboard: bool = True,
        memory_size: int = MEMORY_MB,
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
        settings = FunctionSettings(
            server=server,
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            max_connections=max_connections,
            keep_connection=keep_connection,
            retry_for=retry_for,
            receipts_for=receipts_for,
            sha256=sha256,
            memory_size=memory_size,
            timeout=timeout,
            architecture=architecture,
            runtime=runtime,
            tracing=tracing,
            log_level=log_level,
            bundling=bundling,
            code=code,
        )
        check_function(settings)
        check_removal_policy(removal_policy)
        check_dead_letter_queue(self, dead_letter_queue)
        check_ledger(self, ledger)
        check_log(self, log_group, log_retention)
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
        resources = FunctionResources(
            credentials=self.credentials,
            ledger=self.ledger,
            queue=self.queue,
            dead_letter_queue=self.dead_letter_queue,
            event_bus=self.event_bus,
            log_group=self.log_group,
        )
        self._permissions = Permissions(self, role, partner=server.host)
        self.role = claim_role(self, self._permissions.role)
        self._permissions.grant_core(resources)
        self._permissions.grant_service_use_of_key(encryption_key)
        if dead_letter_queue:
            self._permissions.grant_send_to_encrypted_queue(dead_letter_queue.encryption_master_key)
        self.function = make_function(
            self, settings, resources, permissions=self._permissions, encryption_key=encryption_key
        )
        self.security_groups = tuple(self.function.connections.security_groups) if vpc else ()
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
            canary=canary,
            cut_off=has_cut_off(server, sources),
        )
        self.canary_rule = add_canary(self, self.function) if canary else None
        self._sources = []
        self._former_sources = []
        self._operators = []
        self._rules = {}
        self._bundling = bundling
        self._signing_secrets = {}
        if server.rules:
            warn_of_rules(self, server.rules)
        warn_of_algorithms(self, server)
        warn_of_shared_server(self, server, self.credentials, max_connections=max_connections)
        for source in sources:
            self._add(source)
        if outputs:
            add_outputs(self, self.outputs)
        tag_with_partner(self, server.host)
        validate_with(self, self._errors)
        validate_with(self, self._queue_policies.errors)
        refuse_at_synth_what_contradicts(self, settings, lambda: self._sources)
        refuse_at_synth_what_takes_too_long(self, server, timeout, lambda: self._sources)
        warn_at_synth_of_network(self, settings, self.security_groups)

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The role of the function, as this stack can attach policies to it."""
        return self._permissions.granted.grant_principal

    @property
    def connections(self) -> ec2.Connections:
        """The connections of the function's security groups.

        Raises:
            LookupError: It runs in no VPC.
        """
        if self.vpc is None:
            raise LookupError(
                f"{self.node.path} has no security groups, since its function runs in no VPC: give it vpc="
            )
        return self.function.connections
