"""Builds the function from its settings: parts that are not configured are left out."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from s3_to_sftp.credentials import Credentials, CredentialSource, FixedCredentials, SecretCredentials
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.delivery.former_rules import FormerRules
from s3_to_sftp.delivery.invocation import InvocationRunner
from s3_to_sftp.delivery.plan_execution import PlanExecution
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.events import EventPublisher, NullPublisher, Publisher
from s3_to_sftp.known_server import KnownServers
from s3_to_sftp.queue.disposition import MessageDisposition
from s3_to_sftp.queue.message_queue import MessageQueue
from s3_to_sftp.queue.retry_policy import RetryPolicy
from s3_to_sftp.selftest import SelftestFiles
from s3_to_sftp.settings import Settings
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.connection import Connect, connect
from s3_to_sftp.sftp.trusting_connect import TrustingConnect
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.state.circuit_breaker import CircuitBreaker, NoCircuitBreaker
from s3_to_sftp.state.dynamodb_circuit_breaker import DynamoCircuitBreaker
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from s3_to_sftp.state.known_server import DynamoKnownServers
from s3_to_sftp.state.ledger import Ledger
from s3_to_sftp.state.no_ledger import NoLedger
from s3_to_sftp.state.pause import DynamoPause, NoPause, Pause
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.trusted_host_key import DynamoTrustedHostKeys
from s3_to_sftp.telemetry import Telemetry

if TYPE_CHECKING:
    from s3_to_sftp.sftp.pace import Pace

_S3_CONFIG = Config(
    connect_timeout=10,
    read_timeout=30,
    max_pool_connections=64,  # every stream reads ahead
    response_checksum_validation="when_required",  # we compute the CRC ourselves, of all ranges together
    parameter_validation=False,
)
# What is asked for is ours, and the service refuses what is malformed: to validate it before takes a quarter
# of the CPU of a write to the ledger.
_SMALL_ANSWERS = Config(connect_timeout=5, read_timeout=10, parameter_validation=False)

NewClient = Callable[..., Any]
"""boto3.client"""


@dataclass(kw_only=True)
class App:
    """What outlives an invocation.

    Attributes:
        runner: Delivers the objects of an invocation.
        disposition: Decides about messages; None where they are left to SQS.
        publisher: To be flushed at the end of an invocation.
        longest_reply: Seconds that the partner may take for one reply.
        selftests: Removes the files of self-tests; None where there is no ledger.
    """

    runner: InvocationRunner
    disposition: MessageDisposition | None
    publisher: Publisher
    longest_reply: float = 0
    selftests: SelftestFiles | None = None


def build_app(settings: Settings, *, telemetry: Telemetry, new_client: NewClient) -> App:
    """Build the function.

    Args:
        settings: From the environment.
        telemetry: Logs and counts.
        new_client: `boto3.client`.
    """
    credentials = credentials_of(settings, new_client)
    publisher = publisher_of(settings, new_client)
    table = _table(settings, new_client, credentials)
    timeouts = _timeouts(settings)
    sftp = SftpClient(
        settings.server,
        credentials,
        timeouts=timeouts,
        max_connections=settings.max_connections,
        directories=[settings.directory, *(source.directory for source in settings.sources)],
        connect=table.connect,
        known=table.known,
        pace=_pace(settings, new_client),
    )
    s3 = new_client("s3", config=_S3_CONFIG)
    execution, pause = _rules(settings, new_client, s3=s3, sftp=sftp, table=table)
    delivery = Delivery(
        s3=s3,
        sftp=sftp,
        directory=settings.directory,
        sources=settings.sources,
        ledger=table.ledger,
        sha256=settings.sha256,
        unknown_outcome=settings.unknown_outcome,
        execution=execution or _without_rules(settings, new_client, s3=s3, sftp=sftp, ledger=table.ledger),
    )
    end_of_invocation = functools.partial(sftp.end_of_invocation, keep_first=settings.keep_connection)
    return App(
        runner=InvocationRunner(
            server=settings.server,
            credentials=credentials,
            delivery=delivery,
            breaker=table.breaker,
            pause=pause,
            publisher=publisher,
            telemetry=telemetry,
            directory=settings.directory,
            end_of_invocation=end_of_invocation,
        ),
        disposition=_disposition(settings, new_client, publisher, delivery, telemetry),
        publisher=publisher,
        longest_reply=timeouts.reply,
        selftests=_selftests(settings, new_client, sftp, end_of_invocation),
    )


def _pace(settings: Settings, new_client: NewClient) -> "Pace | None":
    """Return what lets bytes wait where the partner's bandwidth is limited; None: it is not.

    Raises:
        ConfigurationError: There is no ledger in which functions could share it.
    """
    limit = settings.max_bytes_per_second
    if limit is None:
        return None
    if settings.ledger_table is None:
        raise ConfigurationError(
            "SSH_MAX_BYTES_PER_SECOND needs a ledger, in which functions share the bandwidth, and "
            "LEDGER_TABLE is not set.",
            hint="Set it in the function's configuration.",
        )
    from s3_to_sftp.sftp.pace import Pace  # functions without a limit do not load it
    from s3_to_sftp.state.bandwidth import SharedBandwidth

    table = Table(new_client("dynamodb", config=_SMALL_ANSWERS), settings.ledger_table)
    return Pace(SharedBandwidth(table, str(settings.server), bytes_per_second=limit))


def _rules(
    settings: Settings, new_client: NewClient, *, s3: Any, sftp: SftpClient, table: "_Table"
) -> tuple[PlanExecution | None, Pause]:
    """Return what executes the plans of a partner with rules (None: it has none), and what lets objects wait.

    Raises:
        ConfigurationError: The rules cannot be read, or need a ledger or a queue.
    """
    if settings.rules is None:
        return None, table.pause
    if settings.ledger_table is None:
        raise ConfigurationError(
            "SSH_RULES needs a ledger, and LEDGER_TABLE is not set.",
            hint="Set it in the function's configuration.",
        )
    from s3_to_sftp.rules.execution import RulesExecution  # functions without rules do not load them
    from s3_to_sftp.rules.rule_set import RuleSet, read_document

    rules = RuleSet(read_document(settings.rules), directory=settings.directory, sources=settings.sources)
    items = Table(new_client("dynamodb", config=_SMALL_ANSWERS), settings.ledger_table)
    pause, drops = table.pause, None
    if rules.has_timing:
        if settings.queue_url is None or settings.dead_letter_queue_url is None:
            raise ConfigurationError(
                "The rules windows, holidays and max_drops need a queue in which objects wait, and "
                "QUEUE_URL or DEAD_LETTER_QUEUE_URL is not set.",
                hint="Set them in the function's configuration.",
            )
        from s3_to_sftp.rules.drops import Drops  # others do not load it
        from s3_to_sftp.rules.partner_hours import PartnerHours

        drops = Drops(items)
        hours = PartnerHours(rules, drops, items)
        pause = DynamoPause(items, timing=hours)
    execution = RulesExecution(
        rules,
        s3=s3,
        sftp=sftp,
        ledger=table.ledger,
        table=items,
        pause=pause,
        drops=drops,
        unknown_outcome=settings.unknown_outcome,
        signing_key=_signing_keys(settings, new_client) if settings.signing_keys else None,
    )
    return execution, pause


def _without_rules(
    settings: Settings, new_client: NewClient, *, s3: Any, sftp: SftpClient, ledger: Ledger
) -> PlanExecution | None:
    """Return what ends what removed rules have begun; None: there is no ledger, and nobody remembers any."""
    name = settings.ledger_table
    if name is None:
        return None

    @functools.cache
    def former() -> PlanExecution:
        from s3_to_sftp.rules.document import RulesDocument
        from s3_to_sftp.rules.execution import RulesExecution
        from s3_to_sftp.rules.rule_set import RuleSet

        none = RulesDocument(partner=None, sources={})
        return RulesExecution(
            RuleSet(none, directory=settings.directory, sources=settings.sources),
            s3=s3,
            sftp=sftp,
            ledger=ledger,
            table=Table(new_client("dynamodb", config=_SMALL_ANSWERS), name),
            unknown_outcome=settings.unknown_outcome,
        )

    return FormerRules(former, directory=settings.directory, sources=settings.sources)


def _signing_keys(settings: Settings, new_client: NewClient) -> Callable[[str], Any]:
    """Return what reads keys that sign: nothing of it is loaded before the first one is needed."""

    @functools.cache
    def keys() -> Any:
        from s3_to_sftp.rules.signing_keys import SigningKeys

        return SigningKeys(new_client("secretsmanager", config=_SMALL_ANSWERS), settings.signing_keys)

    return lambda name: keys().key(name)


def _selftests(
    settings: Settings, new_client: NewClient, sftp: SftpClient, end_of_invocation: Callable[[], None]
) -> SelftestFiles | None:
    if settings.ledger_table is None:
        return None
    client = _WhenNeeded(lambda: new_client("dynamodb", config=_SMALL_ANSWERS))
    return SelftestFiles(Table(client, settings.ledger_table), sftp, end_of_invocation=end_of_invocation)


def _timeouts(settings: Settings) -> Timeouts:
    default = Timeouts()
    return Timeouts(
        connect=settings.connect_timeout or default.connect, reply=settings.reply_timeout or default.reply
    )


def credentials_of(settings: Settings, new_client: NewClient) -> CredentialSource:
    """Return where the login comes from."""
    if settings.secret_arn is None:
        return FixedCredentials(Credentials(username=settings.username, password=settings.password))
    client = new_client("secretsmanager", config=_SMALL_ANSWERS)
    return SecretCredentials(secret_arn=settings.secret_arn, client=client)


def publisher_of(settings: Settings, new_client: NewClient) -> Publisher:
    """Return what publishes events: nothing, where there is no bus."""
    if settings.event_bus is None:
        return NullPublisher()
    client = new_client("events", config=_SMALL_ANSWERS)
    return EventPublisher(client, bus=settings.event_bus, server=str(settings.server))


@dataclass(frozen=True, kw_only=True)
class _Table:
    """What is kept in the ledger's table, or stands for it where there is none."""

    ledger: Ledger
    breaker: CircuitBreaker
    pause: Pause
    connect: Connect
    known: KnownServers | None = None


def _table(settings: Settings, new_client: NewClient, credentials: CredentialSource) -> _Table:
    name, server = settings.ledger_table, str(settings.server)
    if name is None:
        return _Table(ledger=NoLedger(), breaker=NoCircuitBreaker(), pause=NoPause(), connect=connect)
    client = new_client("dynamodb", config=_SMALL_ANSWERS)
    known = DynamoKnownServers(Table(client, name), server, user=lambda: credentials.current().username)
    return _Table(
        ledger=DynamoLedger(client, name, receipts_for_seconds=settings.receipts_for),
        breaker=DynamoCircuitBreaker(client, name, server, beside=known),
        pause=DynamoPause(Table(client, name)),
        connect=TrustingConnect(DynamoTrustedHostKeys(client, name, server)),
        known=known,
    )


def _disposition(
    settings: Settings,
    new_client: NewClient,
    publisher: Publisher,
    delivery: Delivery,
    telemetry: Telemetry,
) -> MessageDisposition | None:
    if settings.queue_url is None or settings.dead_letter_queue_url is None:
        return None
    queue = MessageQueue(
        _WhenNeeded(lambda: new_client("sqs", config=_SMALL_ANSWERS)),
        queue_url=settings.queue_url,
        dead_letter_queue_url=settings.dead_letter_queue_url,
    )
    return MessageDisposition(
        queue,
        policy=RetryPolicy(retry_for=settings.retry_for),
        publisher=publisher,
        give_up=delivery.give_up,
        note_deferred=delivery.note_deferred,
        path_of=delivery.path_of,
        telemetry=telemetry,
    )


class _WhenNeeded:
    """A client that is made when it is first used. Making one takes a fresh function a tenth of a second."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
