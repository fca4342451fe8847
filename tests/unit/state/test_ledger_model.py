"""Functions interleave, die, and receive duplicate events in any order: "delivered" is never wrong.

Hypothesis runs functions that send four versions of one key with the product's own code, to servers whose
disk is a dictionary. Before any request and any write of the ledger a fault may occur: the function dies, a
response is lost, a RENAME hangs and happens later, the server deletes files, loses power, refuses, is
replaced. The state machine knows the truth and compares the ledger with it after each step.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import boto3
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import ConnectionLost, DeliveryError, Disposition, LedgerError, OutcomeUnknown
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyDelivered, CircuitOpen, LeaseHeld, NothingToSend
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.temporary_names import another_name, void_name
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from s3_to_sftp.state.items import KEY, State, is_older, partition_key, read_version
from s3_to_sftp.state.key_item import read_key
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.snapshot import Snapshot
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.transitions import terminal_changes
from s3_to_sftp.state.update_expression import Change
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.ledger_environment import (
    LEASE_SECONDS,
    TABLE,
    Clock,
    NamedLedger,
    create_table,
    record_in,
    ref,
)
from tests.support.memory_aws import mock_aws
from tests.support.memory_s3 import MemoryS3, client_error
from tests.support.memory_table import MemoryTable
from tests.support.model_partner import (
    THEIRS,
    File,
    Landed,
    ModelPartner,
    Server,
    Violation,
    check,
    refusal,
)

T = TypeVar("T")

# Two are small, two have no known size and are sent like large objects. The last has no order.
VERSIONS = [
    ref("0A", etag=None, size=4),
    ref("0A1", etag=None),
    ref("0B", etag=None, size=4),
    ref(None, etag=None),
]
CONTENTS = {version: bytes([number]) * 4 for number, version in enumerate(VERSIONS, 1)}
DIRECTORIES = ("inbox", "outbox")

EXAMPLES = int(os.environ.get("LEDGER_MODEL_EXAMPLES", "150"))
"""A soak test sets a higher number, which also makes the examples random."""

FAULTS = (
    "dies", "timeout", "deadline near", "another function", "write is lost", "answer is lost",
    "hangs", "hangs", "is refused", "is denied", "power loss",
    "deletes files", "collects files", "delayed rename", "replaced",
)  # fmt: skip
FAULTS_OF_A_RUN = st.dictionaries(st.integers(0, 16), st.sampled_from(FAULTS), max_size=3)


class Killed(BaseException):
    """Lambda has killed the function."""


class UnreliableTable(Table):
    """Passes every write to another table through a gate."""

    def __init__(self, table: Table) -> None:
        super().__init__(None, TABLE, kept_for_seconds=0, clock=lambda: 0)
        self._table = table
        self.gate: Callable[[Callable[[], Any]], Any] = lambda write: write()

    def read(self, pk: str, sk: str) -> Item | None:
        return self._table.read(pk, sk)

    def write(self, *changes: Change) -> dict[int, Item | None]:
        refused: dict[int, Item | None] = self.gate(lambda: self._table.write(*changes))
        return refused


class VersionedS3(MemoryS3):
    """All versions of the one key."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[str] = set()

    def _object(self, request: dict[str, Any]) -> bytes:
        if request["VersionId"] in self.gone:
            raise client_error("NoSuchVersion", 404)
        return next(data for ref, data in CONTENTS.items() if ref.version_id == request["VersionId"])


class Run:
    """One invocation and its faults, by the number of the step in which they occur."""

    def __init__(self, world: DeliveryModel, version: ObjectRef, faults: dict[int, str]) -> None:
        self._world = world
        self._version = version
        self._faults = faults
        self._steps = itertools.count()
        self._is_cut = False
        self.seconds = LEASE_SECONDS
        self.ledger, table = world.function()
        table.gate = lambda write: self.intercept("ledger", write, lambda: None)

    def deliver(self) -> Receipt | Exception:
        world = self._world
        deadline = Deadline(lambda: self.seconds, clock=world.clock)
        client = ModelPartner(world.server, plain(self._version), self.intercept)
        delivery = world.delivery(client, self.ledger)
        ((_, outcome),) = deliver_all(delivery, [self._version], Invocation(deadline))
        if isinstance(outcome, DeliveryError) and outcome.disposition is Disposition.PERMANENT:
            error = outcome
            return _outcome_of(lambda: delivery.give_up(self._version, error)) or error
        return outcome

    def intercept(self, what: str, work: Callable[[], T], hang: Callable[[], None]) -> T:
        """Run a request, or a write of the ledger, unless a fault occurs."""
        step = next(self._steps)
        fault = self._faults.pop(step, "")
        if fault == "hangs" and what != "rename":  # only a RENAME hangs and happens later
            self._faults.setdefault(step + 1, fault)
            fault = ""
        self._inject(fault)
        lost: Exception = ConnectionLost("Cut.", hint="")
        self._is_cut |= fault in ("power loss", "replaced")
        if what == "ledger":
            lost = LedgerError("No answer.", hint="")
        elif self._is_cut:
            self._is_cut = False
            raise lost
        elif fault == "hangs":
            hang()
            raise lost
        elif fault == "is refused":
            raise refusal(Status.FAILURE, what)
        elif fault == "is denied":
            raise refusal(Status.PERMISSION_DENIED, what)
        if fault == "write is lost":
            raise lost
        result = work()
        self._world.compare()
        if fault == "answer is lost":
            raise lost
        return result

    def _inject(self, fault: str) -> None:
        world = self._world
        match fault:
            case "dies":
                raise Killed
            case "timeout":
                world.clock.now += LEASE_SECONDS + 2
                raise Killed
            case "deadline near":
                self.seconds = 0
            case "another function":
                world.another_function_tries()
            case "power loss":
                world.server.loses_power()
            case "deletes files":
                world.server.tidies_up()
            case "collects files":
                world.server.collects()
            case "delayed rename":
                world.server.wakes_up()
            case "replaced":
                world.server.is_exchanged()


def _outcome_of(step: Callable[[], None]) -> Exception | None:
    try:
        step()
    except DeliveryError as error:
        return error
    return None


def plain(version: ObjectRef) -> ObjectRef:
    """The version, without the request of an operator."""
    return dataclasses.replace(version, operator=None)


class DeliveryModel(RuleBasedStateMachine):
    """Functions, a ledger, two servers, and operators."""

    def __init__(self, table: Table, items: Callable[[], dict[tuple[str, str], Item]]) -> None:
        super().__init__()
        self.table = table
        self.items = items
        self.clock = Clock()
        self.s3 = VersionedS3()
        self.tokens = (f"{number}" for number in itertools.count())
        self.owners = (f"f{number}" for number in itertools.count())
        self.servers = [self.make_server("a"), self.make_server("b")]
        self.server = self.servers[0]
        self.directory = DIRECTORIES[0]
        self.policy = UnknownOutcome.HOLD
        self.requests = (f"r{number}" for number in itertools.count())
        self.receipts_seen: set[tuple[ObjectRef, str]] = set()

    def make_server(self, host: str) -> Server:
        identity = ServerIdentity(host=host, port=22, user="us", host_key=f"{host}-0")
        server = Server(identity, CONTENTS, self.check_order, self.check_aside, fingerprints=[f"{host}-0"])
        server.files = {f"{each}/in/a.csv": File(THEIRS, 0) for each in DIRECTORIES}
        return server

    def function(self) -> tuple[DynamoLedger, UnreliableTable]:
        name = next(self.owners)
        table = UnreliableTable(self.table)
        ledger = NamedLedger(name, None, TABLE, receipts_for_seconds=1, clock=self.clock)
        ledger._table = table
        return ledger, table

    def delivery(self, client: ModelPartner, ledger: DynamoLedger) -> Delivery:
        return Delivery(
            s3=self.s3,
            sftp=client,
            directory=self.directory,
            ledger=ledger,
            unknown_outcome=self.policy,
            new_token=lambda: next(self.tokens),
            now=self.clock,
        )

    # Functions and operators

    @rule(events=st.lists(st.tuples(st.sampled_from(VERSIONS), FAULTS_OF_A_RUN), min_size=1, max_size=3))
    def events_arrive(self, events: list[tuple[ObjectRef, dict[int, str]]]) -> None:
        for version, faults in events:
            self.run(version, faults)

    @rule(version=st.sampled_from(VERSIONS), faults=FAULTS_OF_A_RUN)
    def operator_resolves_unknown_outcome(self, version: ObjectRef, faults: dict[int, str]) -> None:
        """Redrive the message of an unknown outcome if the partner does not have the file."""
        if self.state_of(version) is State.UNKNOWN and not self.has_landed(version):
            self.run(ObjectRef(**{**vars(version), "resend": True}), faults)

    @rule(version=st.sampled_from(VERSIONS[:-1]), faults=FAULTS_OF_A_RUN)
    def an_operator_resends(self, version: ObjectRef, faults: dict[int, str]) -> None:
        """What has been asked for once is sent once, however often the message comes."""
        asked = self.asked(version, Action.RESEND)
        if isinstance(self.run(asked, faults), Receipt):
            again = self.run(asked, {})
            check(isinstance(again, AlreadyDelivered), f"one resend, and then another: {again!r}")

    @rule(version=st.sampled_from(VERSIONS[:-1]), faults=FAULTS_OF_A_RUN)
    def an_operator_retries(self, version: ObjectRef, faults: dict[int, str]) -> None:
        was = self.state_of(version)
        outcome = self.run(self.asked(version, Action.RETRY), faults)
        check(was is not State.DELIVERED or not isinstance(outcome, Receipt), "a retry has sent it again")

    @rule(version=st.sampled_from(VERSIONS))
    def an_operator_cancels(self, version: ObjectRef) -> None:
        """As the command does: what is delivered or being sent cannot be cancelled."""
        known = self.known(version).version
        if known is None or not (known.state.is_in_flight or known.state in (State.FAILED, State.UNKNOWN)):
            return
        if known.owner is None or known.lease_until <= self.clock.now:
            end = terminal_changes(version, self.known(version), State.CANCELLED, self.clock.now, "r", "")
            self.table.write(*end)

    @rule(version=st.sampled_from(VERSIONS), was_tried=st.booleans())
    def waits(self, version: ObjectRef, was_tried: bool) -> None:  # noqa: FBT001 - drawn
        was = self.state_of(version)
        ledger, _ = self.function()
        error = CircuitOpen("r", hint="h", retry_after=1)
        ledger.note_deferred(version, error, next_try=self.clock.now + 1, was_tried=was_tried)
        state = self.state_of(version)
        check(state is was or was in (None, State.FAILED), f"waiting has made {state} of {was}")
        check(state is not None, "what waits is not in the ledger")

    def asked(self, version: ObjectRef, action: Action) -> ObjectRef:
        request = OperatorRequest(action=action, id=next(self.requests))
        return dataclasses.replace(version, operator=request)

    def run(self, version: ObjectRef, faults: dict[int, str]) -> Receipt | Exception | None:
        was = self.state_of(version)
        try:
            outcome = Run(self, version, dict(faults)).deliver()
        except Killed:
            return None
        except Violation as violation:
            raise AssertionError(str(violation)) from None
        if isinstance(outcome, Receipt):
            is_asked = version.operator is not None and version.operator.action is Action.RESEND
            assert was is not State.UNKNOWN or version.resend or is_asked, (
                "sent again, and nobody asked for it"
            )
            assert was is not State.CANCELLED or is_asked, "cancelled, and sent"
            self.check_receipt(plain(version), outcome.host_key_fingerprint, outcome.remote_path)
        elif not isinstance(outcome, DeliveryError):
            raise outcome
        return outcome

    def another_function_tries(self) -> None:
        """No other function gets a lease on a leased key."""
        key = self.key()
        if key is None or key.owner is None or key.lease_until <= self.clock.now:
            return
        ledger, _ = self.function()
        for version in VERSIONS:
            try:
                ledger.acquire(version, owner="f", remote_path="p", temporary="t", until=self.clock.now + 1)
            except (LeaseHeld, NothingToSend, OutcomeUnknown):
                continue
            check(holds=False, claim="two functions hold leases on one key")

    @rule(version=st.sampled_from(VERSIONS))
    def is_dead_lettered(self, version: ObjectRef) -> None:
        with_no_lease, _ = self.function()
        _outcome_of(lambda: with_no_lease.record_outcome(version, state="FAILED", reason="r", hint="h"))

    @rule(version=st.sampled_from(VERSIONS))
    def is_deleted_from_s3(self, version: ObjectRef) -> None:
        self.s3.gone.add(str(version.version_id))

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS + 2, 90_000]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(
        number=st.integers(0, 1),
        directory=st.sampled_from(DIRECTORIES),
        policy=st.sampled_from([UnknownOutcome.HOLD, UnknownOutcome.RESEND]),
    )
    def configuration_changes(self, number: int, directory: str, policy: UnknownOutcome) -> None:
        self.server, self.directory, self.policy = self.servers[number], directory, policy

    # The server

    @rule(
        what=st.sampled_from(
            ["power loss", "deletes files", "collects files", "delayed rename", "replaced", "new key"]
        )
    )
    def server_event_occurs(self, what: str) -> None:
        try:
            match what:
                case "power loss":
                    self.server.loses_power()
                case "deletes files":
                    self.server.tidies_up()
                case "collects files":
                    self.server.collects()
                case "delayed rename":
                    self.server.wakes_up()
                case "replaced":
                    self.server.is_exchanged()
                case "new key":
                    self.server.gets_new_key()
        except Violation as violation:
            raise AssertionError(str(violation)) from None

    @rule(
        replaces=st.booleans(),
        shows=st.booleans(),
        rename=st.booleans(),
        remove=st.booleans(),
    )
    def server_behaviour_changes(
        self,
        replaces: bool,  # noqa: FBT001 - drawn
        shows: bool,  # noqa: FBT001 - drawn
        rename: bool,  # noqa: FBT001 - drawn
        remove: bool,  # noqa: FBT001 - drawn
    ) -> None:
        self.server.replaces, self.server.shows = replaces, True
        if not shows:
            self.server.shows_nothing()
        self.server.refuses_rename, self.server.refuses_remove = rename, remove

    # Checks

    def compare(self) -> None:
        """Check that receipts are true and that every temporary file is in the ledger."""
        items = self.items()
        for version in VERSIONS:
            item = record_in(items, version)
            if not item:
                continue
            if item["state"]["S"] == State.DELIVERED:
                receipt = item["receipt"]["M"]
                if (version, receipt["attempt"]["N"]) not in self.receipts_seen:
                    self.receipts_seen.add((version, receipt["attempt"]["N"]))
                    self.check_receipt(version, receipt["host_key"]["S"], receipt["remote_path"]["S"])
            kept = len(item.get("earlier_receipts", {"L": []})["L"]) + ("receipt" in item)
            seen = sum(seen == version for seen, _ in self.receipts_seen)
            check(kept >= seen, f"{seen} receipts of {version}, and {kept} are kept")
        key = self.key()
        known = key.names if key else {}
        for server in self.servers:
            account = server.identity.account
            here = [name for name, entry in known.items() if entry.server in ("", account)]
            family = {each for name in here for each in (name, another_name(name), void_name(name))}
            standing = {name for name, file in server.files.items() if ".part" in name}
            check(standing <= family, f"{standing - family} at {account} is not in the ledger")

    def check_receipt(self, version: ObjectRef, host_key: str, path: str) -> None:
        disks = [disk for server in self.servers for disk in server.disks if host_key in disk[0]]
        landed = [each for _, there in disks for each in there]
        check(
            Landed(version, path) in landed,
            f"false receipt: {version} was never published as {path!r} at {host_key}",
        )

    def check_order(self, server: Server, landed: Landed) -> None:
        for other in server.landed:
            is_older_one = is_older(landed.version.padded_sequencer, other.version.padded_sequencer)
            if is_older_one and other.path == landed.path:
                check(
                    self.state_of(other.version) is not State.DELIVERED,
                    f"{landed.version} replaced {other.version}, which is newer and delivered",
                )

    def check_aside(self, sender: ObjectRef, moved: File) -> None:
        """Check a file that a delayed RENAME moves from its final name."""
        if moved.version and (
            sender == moved.version or is_older(sender.padded_sequencer, moved.version.padded_sequencer)
        ):
            check(self.state_of(moved.version) is not State.DELIVERED, "a delivered file was moved aside")

    def has_landed(self, version: ObjectRef) -> bool:
        disks = [disk for server in self.servers for disk in server.disks]
        return any(landed.version == version for _, there in disks for landed in there)

    def state_of(self, version: ObjectRef) -> State | None:
        item = record_in(self.items(), version)
        return read_version(item).state if item else None

    def known(self, version: ObjectRef) -> Snapshot:
        key = self.items().get((partition_key(version), KEY))
        return Snapshot.of(version, key, lambda: record_in(self.items(), version))

    def key(self) -> Any:
        item = self.items().get((partition_key(VERSIONS[0]), KEY))
        return read_key(item) if item else None

    # The end

    def teardown(self) -> None:
        """Check that one healthy function at a healthy server brings every version to a terminal state."""
        for server in self.servers:
            server.replaces = server.shows = True
            server.refuses_rename = server.refuses_remove = False
            server.pending = []
        for version in VERSIONS:
            self.clock.now += LEASE_SECONDS + 2
            outcome = self.run(version, {})
            if isinstance(outcome, OutcomeUnknown):
                self.clock.now += LEASE_SECONDS + 2
                if not self.has_landed(version):
                    outcome = self.run(ObjectRef(**{**vars(version), "resend": True}), {})
                    assert not isinstance(outcome, OutcomeUnknown)
            state = self.state_of(version)
            ends = (State.DELIVERED, State.SUPERSEDED, State.GONE, State.UNKNOWN, State.CANCELLED)
            assert state in ends, (version, outcome)


def assert_no_false_delivery(
    make_table: Callable[[], tuple[Table, Callable[[], dict[tuple[str, str], Item]]]], *, examples: int
) -> None:
    """Let Hypothesis run the model, whose steps and end assert what the ledger may say."""
    run_state_machine_as_test(
        lambda: DeliveryModel(*make_table()),  # type: ignore[arg-type] # any maker of machines will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=EXAMPLES == 150,
            suppress_health_check=list(HealthCheck),
        ),
    )


def in_memory() -> tuple[Table, Callable[[], dict[tuple[str, str], Item]]]:
    table = MemoryTable()
    return table, lambda: table.items  # type: ignore[return-value] # an item is a mapping


def test_ledger_never_records_a_false_delivery() -> None:
    assert_no_false_delivery(in_memory, examples=EXAMPLES)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1")
        create_table(client)
        yield client


def test_ledger_never_records_a_false_delivery_in_dynamodb(dynamodb: Any) -> None:
    def empty_table() -> tuple[Table, Callable[[], dict[tuple[str, str], Item]]]:
        dynamodb.delete_table(TableName=TABLE)
        create_table(dynamodb)

        def items() -> dict[tuple[str, str], Item]:
            found = dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"]
            return {(item["pk"]["S"], item["sk"]["S"]): item for item in found}

        return Table(dynamodb, TABLE, kept_for_seconds=1, clock=lambda: 0), items

    assert_no_false_delivery(empty_table, examples=3)
