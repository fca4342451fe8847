"""However functions interleave, die, and hear of objects twice and in any order: the ledger keeps its word.

Hypothesis plays functions that send four versions of one key to a partner whose disk is a dictionary. Every
step of a delivery is a rule; a function may die between any two of them, and the answer to any write of the
ledger may be lost. The machine knows the truth, and compares after each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from moto import mock_aws

from s3_to_sftp.errors import (
    AlreadyDelivered,
    AlreadyGone,
    BeingSent,
    LedgerError,
    NothingToSend,
    Superseded,
)
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.ledger import Checkpoint, DynamoLedger, Lease
from s3_to_sftp.ledger.items import Item, to_attribute
from s3_to_sftp.ledger.table import Change, LedgerTable, Path
from tests.ledger_site import LEASE_SECONDS, TABLE, Clock, create_table, ref

VERSIONS = [ref("0A"), ref("0A1"), ref("0B"), ref(None)]
FUNCTIONS = range(3)
BLOCKS = 2  # of which every version consists
UNDER_WAY = ("starting", "sending", "committed", "renamed")


class MemoryTable(LedgerTable):
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


class UnreliableTable(LedgerTable):
    """Another table, to which writes and from which answers can be lost."""

    def __init__(self, table: LedgerTable) -> None:
        super().__init__(None, TABLE, kept_for_seconds=0, clock=lambda: 0)
        self._table = table
        self.loses: dict[int, str] = {}
        self.made: tuple[Change, ...] = ()
        self.lost = False

    def write(self, *changes: Change) -> dict[int, Item | None]:
        loses = self.loses.pop(0, None)
        self.loses = {after - 1: what for after, what in self.loses.items()}
        self.lost = loses is not None
        if loses == "write":
            self.made = ()
            raise LedgerError("The write was lost.", hint="")
        refused = self._table.write(*changes)
        self.made = () if refused else changes
        if loses == "answer":
            raise LedgerError("The answer was lost.", hint="")
        return refused


@dataclass
class File:
    """A temporary file at the partner.

    Attributes:
        good: Blocks from its start that hold the right bytes.
        size: Its length in blocks; behind the good ones there may be holes.
    """

    version: ObjectRef
    good: int = 0
    size: int = 0


@dataclass
class Function:
    """One that runs, and what it is doing."""

    name: str
    ledger: DynamoLedger = field(repr=False)
    table: UnreliableTable = field(repr=False)
    doing: str = "nothing"
    lease: Lease | None = field(default=None, repr=False)

    @property
    def held(self) -> Lease:
        assert self.lease is not None
        return self.lease


@dataclass
class Truth:
    """What is the case, whoever knows it."""

    leases: dict[Hashable, float] = field(default_factory=dict)  # version and attempt -> until
    committing: dict[ObjectRef, str] = field(default_factory=dict)
    committed: set[ObjectRef] = field(default_factory=set)
    checkpoints: dict[ObjectRef, Checkpoint] = field(default_factory=dict)
    ended: dict[ObjectRef, type[NothingToSend]] = field(default_factory=dict)


def is_newer(one: ObjectRef, than: ObjectRef) -> bool:
    return bool(one.sequencer and than.sequencer) and one.padded_sequencer > than.padded_sequencer


class Deliveries(RuleBasedStateMachine):
    """Functions, a ledger, a partner."""

    def __init__(self, table: LedgerTable) -> None:
        super().__init__()
        self.clock = Clock()
        self.truth = Truth()
        self.files: dict[str, File] = {}  # temporary ones, at the partner
        self.renamed: list[ObjectRef] = []  # in this order, to the final name
        self.names = (f".{number}.part" for number in itertools.count())
        self.functions = [self.function(number, table) for number in FUNCTIONS]

    def function(self, number: int, table: LedgerTable) -> Function:
        unreliable = UnreliableTable(table)
        ledger = DynamoLedger(
            None, TABLE, receipts_for_seconds=1, owner=lambda: f"f{number}", clock=self.clock
        )
        ledger._table = unreliable
        return Function(f"f{number}", ledger, unreliable)

    # The life of a function

    @rule(data=st.data(), version=st.sampled_from(VERSIONS), steps=st.integers(0, 5))
    def hears_of_a_version(self, data: st.DataObject, version: ObjectRef, steps: int) -> None:
        if idle := self.those("nothing"):
            function = data.draw(st.sampled_from(idle))
            self.acquire(function, version)
            self.go_on(function, steps)

    @precondition(lambda self: self.those(*UNDER_WAY))
    @rule(data=st.data(), steps=st.integers(1, 5))
    def goes_on(self, data: st.DataObject, steps: int) -> None:
        self.go_on(data.draw(st.sampled_from(self.those(*UNDER_WAY))), steps)

    def go_on(self, function: Function, steps: int) -> None:
        """So many steps on the way from the lease to the receipt."""
        for _ in range(steps):
            match function.doing:
                case "starting":
                    self.open(function)
                case "sending" if not self.is_complete(function):
                    file = self.files[function.held.temporary]
                    file.good = file.size = BLOCKS
                case "sending":
                    self.commit(function)
                case "committed":
                    self.rename(function)
                case "renamed":
                    self.record(function)

    def acquire(self, function: Function, version: ObjectRef) -> None:
        name, until = next(self.names), self.clock.now + LEASE_SECONDS
        function.table.made = ()
        try:
            lease = function.ledger.acquire(version, remote_path="a.csv", temporary=name, until=until)
        except NothingToSend as error:
            self.check_refusal(version, error)
        except BeingSent as error:
            self.check_wait(error)
        except LedgerError:
            self.check_was_lost(function)
            if len(function.table.made) == 2:  # it has a lease, and will never know
                self.truth.leases[name] = until
            elif function.table.made:
                self.truth.ended[version] = Superseded
        else:
            self.check_lease(version, lease)
            self.truth.leases[lease.ref, lease.attempt] = until
            function.lease, function.doing = lease, "starting"
            for dead in lease.abandoned:
                self.files.pop(dead, None)

    def check_refusal(self, version: ObjectRef, error: NothingToSend) -> None:
        if isinstance(error, Superseded) and version not in self.truth.ended:
            assert any(is_newer(other, version) for other in self.truth.committed)
            self.truth.ended[version] = Superseded
        self.check_end(version, error)

    def check_end(self, version: ObjectRef, error: NothingToSend) -> None:
        assert isinstance(error, self.truth.ended[version])

    def check_wait(self, error: BeingSent) -> None:
        assert self.clock.now + error.retry_after in self.running()

    def check_lease(self, version: ObjectRef, lease: Lease) -> None:
        assert not self.running(), "two have the key"
        assert version not in self.truth.ended, "it was delivered, or ended for good"
        assert not any(is_newer(other, version) for other in self.truth.committed), "an old one goes on"
        assert lease.committing == self.truth.committing.get(version)
        if lease.committing is None:
            assert lease.checkpoint == self.truth.checkpoints.get(version)

    def open(self, function: Function) -> None:
        lease = function.held
        function.doing = "sending"
        if lease.committing is not None:
            function.doing = "committed"
        elif lease.checkpoint is None:
            self.files[lease.temporary] = File(lease.ref)
        elif (file := self.files.get(lease.temporary)) and file.size >= lease.checkpoint.offset:
            assert file.version == lease.ref
            assert file.good >= lease.checkpoint.offset, "it resumes behind a hole"
            file.good = lease.checkpoint.offset
        else:  # it was cut, or removed by one who could not say so
            self.start_over(function)

    def start_over(self, function: Function) -> None:
        version, before = function.held.ref, function.held
        name = next(self.names)
        try:
            function.lease = function.ledger.start_over(before, temporary=name)
        except LedgerError:
            self.check_was_lost(function)
            function.doing = "at a loss"
        else:
            function.doing = "sending"
            self.files[name] = File(version)
            for dead in function.lease.abandoned:
                self.files.pop(dead, None)
        if function.table.made:
            self.truth.committing.pop(version, None)
            self.truth.checkpoints.pop(version, None)

    @precondition(lambda self: self.those("sending"))
    @rule(data=st.data(), blocks=st.integers(1, BLOCKS), holes=st.booleans())
    def writes_a_part(self, data: st.DataObject, blocks: int, holes: bool) -> None:  # noqa: FBT001 - drawn
        function = data.draw(st.sampled_from(self.those("sending")))
        file = self.files[function.held.temporary]
        file.good = min(BLOCKS, file.good + (0 if holes else blocks))
        file.size = max(file.size, file.good, BLOCKS if holes else 0)

    @precondition(lambda self: self.those("sending"))
    @rule(data=st.data())
    def runs_out_of_time(self, data: st.DataObject) -> None:
        function = data.draw(st.sampled_from(self.those("sending")))
        lease = function.held
        good = self.files[lease.temporary].good
        checkpoint = Checkpoint(
            temporary=lease.temporary, offset=good, algorithm="CRC32", crc=0, rounds_without_progress=0
        )
        self.ends(function, lambda ledger: ledger.checkpoint(lease, checkpoint))
        if function.table.made:
            self.truth.checkpoints[lease.ref] = checkpoint

    def commit(self, function: Function) -> None:
        lease = function.held
        try:
            function.ledger.commit(lease)
        except LedgerError:
            self.check_was_lost(function)
            function.doing = "at a loss"
        else:
            function.doing = "committed"
        if function.table.made:
            self.truth.committing[lease.ref] = lease.temporary
            self.truth.committed.add(lease.ref)

    def rename(self, function: Function) -> None:
        lease = function.held
        if lease.temporary in self.files:
            file = self.files.pop(lease.temporary)
            assert (file.version, file.good) == (lease.ref, BLOCKS), "half a file"
            assert not any(is_newer(other, lease.ref) for other in self.renamed), "an old one over a newer"
            self.renamed.append(lease.ref)
        assert lease.ref in self.renamed, "no such file, and yet it was not renamed: it is lost"
        for dead in (*lease.abandoned, *lease.outdated):
            self.files.pop(dead, None)
        function.doing = "renamed"

    def record(self, function: Function) -> None:
        lease = function.held
        self.ends(function, lambda ledger: ledger.delivered(lease, {"bytes": 1}))
        if function.table.made:
            self.truth.ended[lease.ref] = AlreadyDelivered

    # What goes wrong

    @precondition(lambda self: self.those(*UNDER_WAY, "at a loss"))
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        dead = data.draw(st.sampled_from(self.those(*UNDER_WAY, "at a loss")))
        dead.doing, dead.lease = "nothing", None

    @precondition(lambda self: self.those("sending", "committed", "at a loss"))
    @rule(data=st.data(), cleans_up=st.booleans())
    def gives_up_for_now(self, data: st.DataObject, cleans_up: bool) -> None:  # noqa: FBT001 - drawn
        function = data.draw(st.sampled_from(self.those("sending", "committed", "at a loss")))
        lease = function.held
        is_gone = cleans_up and function.doing == "sending"
        if is_gone:
            self.files.pop(lease.temporary, None)
        self.ends(function, lambda ledger: ledger.release(lease, reason="r", temporary_is_gone=is_gone))
        if function.table.made and is_gone:
            self.truth.checkpoints.pop(lease.ref, None)

    @precondition(lambda self: self.those("sending", "committed"))
    @rule(data=st.data())
    def starts_over(self, data: st.DataObject) -> None:
        """The server refused to write at an offset, or to rename."""
        function = data.draw(st.sampled_from(self.those("sending", "committed")))
        if function.held.ref not in self.renamed:
            self.start_over(function)

    @precondition(lambda self: self.those("sending", "committed"))
    @rule(data=st.data(), state=st.sampled_from(["FAILED", "GONE"]))
    def gives_up_for_good(self, data: st.DataObject, state: Any) -> None:
        function = data.draw(st.sampled_from(self.those("sending", "committed")))
        lease = function.held
        if lease.ref in self.renamed:
            return
        if function.doing == "committed":
            state = "FAILED"  # its bytes were all read: it cannot be found gone any more
        self.ends(
            function, lambda ledger: ledger.settle(lease.ref, state=state, reason="r", hint="h", lease=lease)
        )
        if function.table.made:
            self.files.pop(lease.temporary, None)
            self.truth.committing.pop(lease.ref, None)
            self.truth.checkpoints.pop(lease.ref, None)
            if state == "GONE":
                self.truth.ended[lease.ref] = AlreadyGone

    @rule(version=st.sampled_from(VERSIONS))
    def is_parked_by_one_without_a_lease(self, version: ObjectRef) -> None:
        try:
            self.functions[0].ledger.settle(version, state="FAILED", reason="r", hint="h")
        except NothingToSend as error:
            self.check_end(version, error)
        except BeingSent as error:
            self.check_wait(error)
        except LedgerError:
            self.check_was_lost(self.functions[0])

    @rule(data=st.data(), after=st.integers(0, 2), what=st.sampled_from(["write", "answer"]))
    def the_network_fails(self, data: st.DataObject, after: int, what: str) -> None:
        data.draw(st.sampled_from(self.functions)).table.loses = {after: what}

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS / 2, LEASE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds
        for function in self.functions:
            if function.lease is not None and function.lease.until <= self.clock.now:
                function.doing, function.lease = "nothing", None  # Lambda has ended it

    @precondition(lambda self: self.resumable_files())
    @rule(data=st.data())
    def the_partner_cuts_a_file(self, data: st.DataObject) -> None:
        file = self.files[data.draw(st.sampled_from(self.resumable_files()))]
        file.good = file.size = 0

    # In the end

    def teardown(self) -> None:
        """Nothing is stuck: when all leases have expired, one healthy function brings all to an end."""
        self.clock.now += LEASE_SECONDS
        (function, *_) = self.functions
        function.table.loses, function.doing = {}, "nothing"
        for version in VERSIONS:
            self.acquire(function, version)
            self.go_on(function, steps=5)
            assert version in self.truth.ended
        gone = {version for version, how in self.truth.ended.items() if how is AlreadyGone}
        assert {file.version for file in self.files.values()} <= gone, "a temporary file is left"

    def ends(self, function: Function, step: Callable[[DynamoLedger], None]) -> None:
        """A step that gives the lease back."""
        function.table.made = ()
        lease = function.held
        try:
            step(function.ledger)
        except LedgerError:
            self.check_was_lost(function)
        if function.table.made:
            del self.truth.leases[lease.ref, lease.attempt]
        function.doing, function.lease = "nothing", None

    def check_was_lost(self, function: Function) -> None:
        """An error of the ledger needs a reason; all functions here are alive, so theirs is the network."""
        assert function.table.lost

    def those(self, *doing: str) -> Sequence[Function]:
        return [function for function in self.functions if function.doing in doing]

    def is_complete(self, function: Function) -> bool:
        return self.files[function.held.temporary].good == BLOCKS

    def resumable_files(self) -> Sequence[str]:
        names = {checkpoint.temporary for checkpoint in self.truth.checkpoints.values()}
        under_way = {function.lease.temporary for function in self.functions if function.lease is not None}
        return sorted((names - under_way - set(self.truth.committing.values())) & set(self.files))

    def running(self) -> list[float]:
        """When the running leases end."""
        return [until for until in self.truth.leases.values() if until > self.clock.now]


def play(make_table: Callable[[], LedgerTable], *, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Deliveries(make_table()),  # type: ignore[arg-type] # any maker of machines will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_rules_hold_whatever_happens() -> None:
    play(MemoryTable, examples=500)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1")
        create_table(client)
        yield client


def test_the_rules_hold_in_dynamodb_as_well(dynamodb: Any) -> None:
    def empty_table() -> LedgerTable:
        dynamodb.delete_table(TableName=TABLE)
        create_table(dynamodb)
        return LedgerTable(dynamodb, TABLE, kept_for_seconds=1, clock=lambda: 0)

    play(empty_table, examples=6)
