"""A partner with rules, and functions that are killed at any of their steps; see `rules_environment`.

A step is a write of the ledger, or a request of the partner's server. Each can be the last one of a function,
undone or done: a dead function asks nobody for anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import DeliveryError, Disposition
from s3_to_sftp.outcomes import NothingToSend
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.sequence_counter import COUNTER, sequence_key
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.dynamodb_ledger import DynamoLedger
from s3_to_sftp.state.items import KEY, partition_key
from s3_to_sftp.state.key_item import read_key
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.remote_names import NameKind
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change
from tests.support.ledger_environment import (
    LEASE_SECONDS,
    TABLE,
    LedgerEnvironment,
    NamedLedger,
    record_in,
)
from tests.support.memory_table import MemoryTable
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import Disk, ScriptedServer

T = TypeVar("T")
_MOST_ROUNDS = 12


class Killed(BaseException):
    """Lambda has killed the function."""


@dataclass
class Life:
    """That of one function.

    Attributes:
        ends_at: Number of the step at whose begin (odd) or end (even) it is killed; 0: it is not.
        steps: So far, begins and ends.
        is_dead: Whether it was killed.
        asked: What it has done, for people.
        meanwhile: Number of a step -> what happens there without the function.
    """

    ends_at: int = 0
    steps: int = 0
    is_dead: bool = False
    asked: list[str] = field(default_factory=list)
    meanwhile: dict[int, Callable[[], None]] = field(default_factory=dict)

    def step(self, what: str, work: Callable[[], T]) -> T:
        """Do the work, unless the function is dead before it."""
        self._count()
        result = work()
        self.asked.append(what)
        self._count()
        return result

    def _count(self) -> None:
        self.steps += not self.is_dead
        self.is_dead |= self.steps == self.ends_at
        if self.is_dead:
            raise Killed
        self.meanwhile.pop(self.steps, lambda: None)()


@dataclass(frozen=True)
class Landed:
    """A file that was given a name."""

    path: str
    data: bytes


class WatchedDisk(Disk):
    """Records which files get which names.

    Attributes:
        landed: In this order. Names that begin with a dot or end as a temporary name are left out.
        on_landing: Told of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.landed: list[Landed] = []
        self.on_landing: Callable[[Landed], None] = lambda _landed: None

    def move(self, old: str, new: str) -> None:
        super().move(old, new)
        if is_final(new):
            self.landed.append(Landed(new, bytes(self.files[new])))
            self.on_landing(self.landed[-1])

    @property
    def names_given(self) -> list[str]:
        return [landed.path for landed in self.landed]


def is_final(path: str) -> bool:
    """Return whether a path is a final name by the rules of these tests."""
    name = path.rpartition("/")[2]
    return not name.startswith(".") and "partial" not in name


class _MemoryLedgers(LedgerEnvironment):
    """The table in memory, and what a function dies of."""

    def __init__(self) -> None:
        super().__init__(None)
        self.memory = MemoryTable()

    def function(self, name: str = "f", client: Any = None, *, table: Table | None = None) -> DynamoLedger:
        del client
        ledger = NamedLedger(name, None, TABLE, receipts_for_seconds=1, clock=self.clock)
        ledger._table = table or self.memory
        return ledger

    def _item(self, version: ObjectRef, sk: str) -> Item:
        return self.memory.items.get((partition_key(version), sk), {})


class _MortalTable(Table):
    """Passes requests to another table, step by step."""

    def __init__(self, table: Table, life: Life) -> None:
        super().__init__(None, TABLE)
        self._table = table
        self._life = life

    def read(self, pk: str, sk: str) -> Item | None:
        return self._life.step("read", lambda: self._table.read(pk, sk))

    def write(self, *changes: Change) -> dict[int, Item | None]:
        return self._life.step("write", lambda: self._table.write(*changes))

    def put(self, pk: str, sk: str, attributes: Item, *, expected_revision: int) -> bool:
        put = self._table.put
        return self._life.step("put", lambda: put(pk, sk, attributes, expected_revision=expected_revision))


class KillableEnvironment(RulesEnvironment):
    """A partner with rules.

    Attributes:
        life: Of the function that runs.
        options: Of all functions.
    """

    def __init__(self, rules: DeliveryRules, objects: dict[str, bytes], **more: Any) -> None:
        super().__init__(None, rules, objects, **more)
        self.ledger: _MemoryLedgers = _MemoryLedgers()
        self.disk = WatchedDisk()
        self.disk.directories.add("inbox")
        self.env.disk = self.disk
        self.life = Life()
        self.options: dict[str, Any] = {"now": self.ledger.clock}
        self.outcomes: dict[ObjectRef, object] = {}
        self._functions = 0
        environment = self

        class Server(ScriptedServer):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                self._life = environment.life
                super().__init__(*arguments, **options)

            def _take(self, message: bytes) -> Request:
                if Request(message[0]) == Request.INIT:
                    return super()._take(message)
                return self._life.step(Request(message[0]).name, lambda: super(Server, self)._take(message))

        self.env.kind = Server

    def invoke(self, refs: Sequence[ObjectRef], *, dies_at: int = 0, **more: Any) -> Life:
        """Let a new function deliver objects after all leases of earlier ones have expired.

        Returns:
            How it has lived.
        """
        self.ledger.clock.now += LEASE_SECONDS + 2
        return self.live(Life(dies_at), refs, **more)

    def live(self, life: Life, refs: Sequence[ObjectRef], **more: Any) -> Life:
        """Let a new function deliver objects now."""
        self.life = life
        function = self.living_function(**more)
        invocation = Invocation(self.deadline(), f"f{self._functions}")
        try:
            for ref, outcome in deliver_all(function, refs, invocation):
                self.outcomes[ref] = outcome
                if not isinstance(outcome, Receipt | DeliveryError):
                    raise outcome
                if isinstance(outcome, DeliveryError) and outcome.disposition is Disposition.PERMANENT:
                    with contextlib.suppress(NothingToSend):  # it has ended otherwise: see `disposition`
                        function.give_up(ref, outcome)
        except Killed:
            assert life.is_dead
        return life

    def living_function(self, **more: Any) -> Delivery:
        """A function that dies as `life` says."""
        self._functions += 1
        table = _MortalTable(self.ledger.memory, self.life)
        ledger = self.ledger.function(f"f{self._functions}", table=table)
        return self.function(f"f{self._functions}", ledger=ledger, table=table, **{**self.options, **more})

    def settle(self, refs: Iterable[ObjectRef]) -> None:
        """Let functions that are not killed try again what is not delivered, or known to have ended."""
        waiting = list(refs)
        for _ in range(_MOST_ROUNDS):
            if not waiting:
                return
            self.invoke(waiting)
            waiting = [ref for ref in waiting if not self.has_ended(ref)]
        raise AssertionError({ref.key: repr(self.outcomes.get(ref)) for ref in waiting})

    def has_ended(self, ref: ObjectRef) -> bool:
        outcome = self.outcomes.get(ref)
        is_refused = isinstance(outcome, DeliveryError) and outcome.disposition is Disposition.PERMANENT
        return isinstance(outcome, Receipt | NothingToSend) or is_refused

    def refs(self, *keys: str) -> list[ObjectRef]:
        """Announce objects as they are now; by default all."""
        return [self.ref(key) for key in keys or self.s3.objects]

    def counter(self, sequence: str = "default") -> Item:
        """The item of a sequence."""
        return self.ledger.memory.items.get((sequence_key(sequence), COUNTER), {})

    def names_known(self) -> set[str]:
        """Every name that may stand at the partner, as the ledger knows it."""
        return {name for name, must_stay_unused in self._names() if not must_stay_unused}

    def names_unused(self) -> set[str]:
        """Every name that must stay unused, because a delayed OPEN or RENAME may find what gets it."""
        return {name for name, must_stay_unused in self._names() if must_stay_unused}

    def _names(self) -> list[tuple[str, bool]]:
        items = [item for (_, sk), item in self.ledger.memory.items.items() if sk == KEY]
        entries = [entry for item in items for entry in read_key(item).names.items()]
        return [(name, entry.kind is NameKind.BLOCKER and entry.rename_pending) for name, entry in entries]

    def version_item(self, ref: ObjectRef) -> Item:
        return record_in(self.ledger.memory.items, ref) or {}
