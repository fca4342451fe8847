"""However functions interleave, die, and hear of objects twice and in any order: "delivered" is never wrong.

Hypothesis plays functions that send four versions of one key with the product's own code, to partners whose
disk is a dictionary. Before any request and any write of the ledger a fault may strike: the function dies, an
answer is lost, a RENAME hangs and happens later, the partner tidies up, loses power, refuses, is exchanged.
The machine knows the truth, and compares after each step.
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
from moto import mock_aws

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import (
    AlreadyDelivered,
    CircuitOpen,
    ConnectionLost,
    DeliveryError,
    Disposition,
    LeaseHeld,
    LedgerError,
    NothingToSend,
    OutcomeUnknown,
)
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.temporary_names import another_name, void_name
from s3_to_sftp.state.attributes import Item, to_attribute
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from s3_to_sftp.state.items import (
    KEY,
    State,
    is_older,
    partition_key,
    read_key,
    read_version,
    version_key,
)
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.transitions import terminal_change
from s3_to_sftp.state.update_expression import Change, Path
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.ledger_environment import LEASE_SECONDS, TABLE, Clock, NamedLedger, create_table, ref
from tests.support.memory_s3 import MemoryS3, client_error
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

# Two are small, of two the size is not known: those take the way of large objects. The last has no order.
VERSIONS = [
    ref("0A", etag=None, size=4),
    ref("0A1", etag=None),
    ref("0B", etag=None, size=4),
    ref(None, etag=None),
]
CONTENTS = {version: bytes([number]) * 4 for number, version in enumerate(VERSIONS, 1)}
DIRECTORIES = ("inbox", "outbox")

EXAMPLES = int(os.environ.get("LEDGER_MODEL_EXAMPLES", "150"))
"""A soak takes more, and others each time."""

FAULTS = (
    "dies", "time is over", "time is short", "another function", "write is lost", "answer is lost",
    "hangs", "hangs", "is refused", "is denied", "power", "tidies up", "collects", "wakes up", "exchanged",
)  # fmt: skip
FAULTS_OF_A_RUN = st.dictionaries(st.integers(0, 16), st.sampled_from(FAULTS), max_size=3)


class MemoryTable(Table):
    """The table without DynamoDB: a hundred times faster, and the same to the rules of the ledger."""

    def __init__(self) -> None:
        super().__init__(None, TABLE, kept_for_seconds=0, clock=lambda: 0)
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def write(self, *changes: Change) -> dict[int, Item | None]:
        refused: dict[int, Item | None] = {
            position: self.items.get((change.pk, change.sk))
            for position, change in enumerate(changes)
            if not all(self._holds(change, name, value) for name, value in change.expected.items())
        }
        if not refused:
            for change in changes:
                self._make(change)
        return refused

    def _holds(self, change: Change, name: str, value: object) -> bool:
        item = self.items.get((change.pk, change.sk), {})
        allowed = value if isinstance(value, tuple) else (value,)
        return any(item.get(name) == (None if one is None else to_attribute(one)) for one in allowed)

    def _make(self, change: Change) -> None:
        fresh = {"pk": to_attribute(change.pk), "sk": to_attribute(change.sk), "revision": to_attribute(0)}
        item = self.items.setdefault((change.pk, change.sk), fresh)
        item["revision"] = to_attribute(int(item["revision"]["N"]) + 1)
        for path, value in change.put.items():
            place, name = _place(item, path)
            place[name] = to_attribute(value)
        for path in change.remove:
            place, name = _place(item, path)
            place.pop(name, None)


def _place(item: dict[str, Any], path: Path) -> tuple[dict[str, Any], str]:
    return (item, path) if isinstance(path, str) else (item[path[0]]["M"], path[1])


class Killed(BaseException):
    """Lambda has ended the function."""


class UnreliableTable(Table):
    """Another table; every write passes a gate."""

    def __init__(self, table: Table) -> None:
        super().__init__(None, TABLE, kept_for_seconds=0, clock=lambda: 0)
        self._table = table
        self.gate: Callable[[Callable[[], Any]], Any] = lambda write: write()

    def write(self, *changes: Change) -> dict[int, Item | None]:
        refused: dict[int, Item | None] = self.gate(lambda: self._table.write(*changes))
        return refused


class VersionedS3(MemoryS3):
    """Every version of the one key."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[str] = set()

    def _object(self, request: dict[str, Any]) -> bytes:
        if request["VersionId"] in self.gone:
            raise client_error("NoSuchVersion", 404)
        return next(data for ref, data in CONTENTS.items() if ref.version_id == request["VersionId"])


class Run:
    """One invocation, and what happens to it: faults by the number of the step that they strike."""

    def __init__(self, world: DeliveryModel, version: ObjectRef, faults: dict[int, str]) -> None:
        self._world = world
        self._version = version
        self._faults = faults
        self._steps = itertools.count()
        self._is_cut = False
        self.seconds = LEASE_SECONDS
        self.ledger, table = world.function()
        table.gate = lambda write: self.pass_("ledger", write, lambda: None)

    def deliver(self) -> Receipt | Exception:
        world = self._world
        deadline = Deadline(lambda: self.seconds, clock=world.clock)
        partner = ModelPartner(world.server, plain(self._version), self.pass_)
        delivery = world.delivery(partner, self.ledger)
        ((_, outcome),) = deliver_all(delivery, [self._version], Invocation(deadline))
        if isinstance(outcome, DeliveryError) and outcome.disposition is Disposition.PERMANENT:
            error = outcome
            return _outcome_of(lambda: delivery.give_up(self._version, error)) or error
        return outcome

    def pass_(self, what: str, work: Callable[[], T], hang: Callable[[], None]) -> T:
        """Carry out a request, or a write of the ledger, unless a fault strikes."""
        step = next(self._steps)
        fault = self._faults.pop(step, "")
        if fault == "hangs" and what != "rename":  # it is RENAMEs that hang, and come back
            self._faults.setdefault(step + 1, fault)
            fault = ""
        self._strike(fault)
        lost: Exception = ConnectionLost("Cut.", hint="")
        self._is_cut |= fault in ("power", "exchanged")
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

    def _strike(self, fault: str) -> None:
        world = self._world
        match fault:
            case "dies":
                raise Killed
            case "time is over":
                world.clock.now += LEASE_SECONDS + 2
                raise Killed
            case "time is short":
                self.seconds = 0
            case "another function":
                world.another_function_hears()
            case "power":
                world.server.loses_power()
            case "tidies up":
                world.server.tidies_up()
            case "collects":
                world.server.collects()
            case "wakes up":
                world.server.wakes_up()
            case "exchanged":
                world.server.is_exchanged()


def _outcome_of(step: Callable[[], None]) -> Exception | None:
    try:
        step()
    except DeliveryError as error:
        return error
    return None


def plain(version: ObjectRef) -> ObjectRef:
    """The version, whoever wants it sent."""
    return dataclasses.replace(version, operator=None)


class DeliveryModel(RuleBasedStateMachine):
    """Functions, a ledger, two servers, and people who do what they are told."""

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

    def delivery(self, partner: ModelPartner, ledger: DynamoLedger) -> Delivery:
        return Delivery(
            s3=self.s3,
            sftp=partner,
            directory=self.directory,
            ledger=ledger,
            unknown_outcome=self.policy,
            new_token=lambda: next(self.tokens),
            now=self.clock,
        )

    # What functions and people do

    @rule(events=st.lists(st.tuples(st.sampled_from(VERSIONS), FAULTS_OF_A_RUN), min_size=1, max_size=3))
    def functions_hear_of(self, events: list[tuple[ObjectRef, dict[int, str]]]) -> None:
        for version, faults in events:
            self.run(version, faults)

    @rule(version=st.sampled_from(VERSIONS), faults=FAULTS_OF_A_RUN)
    def a_person_asks_the_partner(self, version: ObjectRef, faults: dict[int, str]) -> None:
        """The partner knows the file: the message is deleted. Otherwise it is sent again."""
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
        item = self.items().get((partition_key(version), version_key(version)))
        known = read_version(item) if item else None
        if known is None or not (known.state.is_in_flight or known.state in (State.FAILED, State.UNKNOWN)):
            return
        if known.owner is None or known.lease_until <= self.clock.now:
            self.table.write(terminal_change(version, known, State.CANCELLED, self.clock.now, "r", ""))

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

    def another_function_hears(self) -> None:
        """While one holds the lease: nobody else gets one on the key."""
        key = self.key()
        if key is None or key.owner is None or key.lease_until <= self.clock.now:
            return
        ledger, _ = self.function()
        for version in VERSIONS:
            try:
                ledger.acquire(version, owner="f", remote_path="p", temporary="t", until=self.clock.now + 1)
            except (LeaseHeld, NothingToSend, OutcomeUnknown):
                continue
            check(holds=False, claim="two have the key")

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
    def the_configuration_is_changed(self, number: int, directory: str, policy: UnknownOutcome) -> None:
        self.server, self.directory, self.policy = self.servers[number], directory, policy

    # What happens at the partner

    @rule(what=st.sampled_from(["power", "tidies up", "collects", "wakes up", "exchanged", "new key"]))
    def the_partner_does_something(self, what: str) -> None:
        try:
            match what:
                case "power":
                    self.server.loses_power()
                case "tidies up":
                    self.server.tidies_up()
                case "collects":
                    self.server.collects()
                case "wakes up":
                    self.server.wakes_up()
                case "exchanged":
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
    def the_partner_is_of_another_kind(
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

    # The truth

    def compare(self) -> None:
        """Nothing in the ledger is wrong, and nothing is missing there."""
        items = self.items()
        for version in VERSIONS:
            item = items.get((partition_key(version), version_key(version)))
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
        check(Landed(version, path) in landed, f"a false receipt: {version} was never {path!r} at {host_key}")

    def check_order(self, server: Server, landed: Landed) -> None:
        for other in server.landed:
            is_older_one = is_older(landed.version.padded_sequencer, other.version.padded_sequencer)
            if is_older_one and other.path == landed.path:
                check(
                    self.state_of(other.version) is not State.DELIVERED,
                    f"{landed.version} is put over {other.version}, which is newer and delivered",
                )

    def check_aside(self, sender: ObjectRef, moved: File) -> None:
        """A RENAME that hung takes a file from its final name."""
        if moved.version and (
            sender == moved.version or is_older(sender.padded_sequencer, moved.version.padded_sequencer)
        ):
            check(self.state_of(moved.version) is not State.DELIVERED, "a delivered file was moved aside")

    def has_landed(self, version: ObjectRef) -> bool:
        disks = [disk for server in self.servers for disk in server.disks]
        return any(landed.version == version for _, there in disks for landed in there)

    def state_of(self, version: ObjectRef) -> State | None:
        item = self.items().get((partition_key(version), version_key(version)))
        return read_version(item).state if item else None

    def key(self) -> Any:
        item = self.items().get((partition_key(VERSIONS[0]), KEY))
        return read_key(item) if item else None

    # In the end

    def teardown(self) -> None:
        """Nothing is stuck: at a healthy partner one healthy function brings all to an end."""
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


def play(
    make_table: Callable[[], tuple[Table, Callable[[], dict[tuple[str, str], Item]]]], *, examples: int
) -> None:
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


def test_delivered_is_never_wrong_whatever_happens() -> None:
    play(in_memory, examples=EXAMPLES)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1")
        create_table(client)
        yield client


def test_nor_is_it_in_dynamodb(dynamodb: Any) -> None:
    def empty_table() -> tuple[Table, Callable[[], dict[tuple[str, str], Item]]]:
        dynamodb.delete_table(TableName=TABLE)
        create_table(dynamodb)

        def items() -> dict[tuple[str, str], Item]:
            found = dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"]
            return {(item["pk"]["S"], item["sk"]["S"]): item for item in found}

        return Table(dynamodb, TABLE, kept_for_seconds=1, clock=lambda: 0), items

    play(empty_table, examples=3)
