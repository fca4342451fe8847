"""One announced object, a ledger, and functions that deliver it, each with its own connections."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from local.sftp_server import RunningServer
from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.receipt import Receipt
from tests.support.ledger_environment import TABLE, LedgerEnvironment, create_table
from tests.support.memory_s3 import MemoryS3
from tests.support.pace import short
from tests.support.partner import files_below, partner_at

KEY = "report.csv"
SHORT = short(connect=3, handshake=2, login=2, reply=1)
"""Servers on loopback answer at once or never."""


class LedgerHarness:
    """Delivers `KEY` to a server."""

    def __init__(self, dynamodb: Any, s3: MemoryS3) -> None:
        create_table(dynamodb)
        self._dynamodb = dynamodb
        self._ledger = LedgerEnvironment(dynamodb)
        self._names = (f"function {number}" for number in itertools.count(1))
        self.s3 = s3
        self.ref = self.announced("0A")

    def close(self) -> None:
        """Delete the table."""
        self._dynamodb.delete_table(TableName=TABLE)

    def announced(self, sequencer: str, *, key: str = KEY) -> ObjectRef:
        """An object as it is now, and its place in the order of events."""
        return dataclasses.replace(self.s3.ref(key), sequencer=sequencer)

    def redriven(self) -> ObjectRef:
        """The object as it is announced by a message that a person has sent again."""
        return dataclasses.replace(self.ref, resend=True)

    @contextmanager
    def function(
        self, server: RunningServer, *, port: int | None = None, directory: str = "", **more: Any
    ) -> Iterator[Delivery]:
        """A new function without connections."""
        partner = partner_at(server, port=port, timeouts=SHORT)
        ledger = self._ledger.function(next(self._names))
        try:
            yield Delivery(s3=self.s3, sftp=partner, directory=directory, ledger=ledger, **more)
        finally:
            partner.close()

    def attempt(
        self,
        server: RunningServer,
        *,
        port: int | None = None,
        ref: ObjectRef | None = None,
        remaining: Callable[[], float] = lambda: 900.0,
        **more: Any,
    ) -> Receipt | Exception:
        """What comes of one invocation of a new function."""
        with self.function(server, port=port, **more) as function:
            return self.invoke(function, ref=ref, remaining=remaining)

    def invoke(
        self,
        function: Delivery,
        *,
        ref: ObjectRef | None = None,
        remaining: Callable[[], float] = lambda: 900.0,
    ) -> Receipt | Exception:
        """What comes of one invocation."""
        deadline = Deadline(remaining, clock=self._ledger.clock)
        ((_, outcome),) = deliver_all(function, [ref or self.ref], Invocation(deadline))
        return outcome

    def state(self, ref: ObjectRef | None = None) -> str:
        """How far the ledger says it is."""
        return self._ledger.state(ref or self.ref)

    def names(self) -> dict[str, str]:
        """The names that the ledger says may stand at the partner, and of what kind each is."""
        entries = self._ledger.key_item(self.ref).get("temporaries", {"M": {}})["M"]
        return {name: entry["M"]["kind"]["S"] for name, entry in entries.items()}

    def keys_with_leftovers(self) -> int:
        """How many keys people see who ask the ledger for leftovers."""
        return len(self._ledger.with_status("LEFTOVERS"))

    def give_up(self, error: DeliveryError) -> None:
        """Record what dead-lettering records."""
        self._without_partner().give_up(self.ref, error)

    def leases_expire(self) -> None:
        """Let the time of every invocation so far be over."""
        self._ledger.all_leases_expire()

    def _without_partner(self) -> Delivery:
        ledger = self._ledger.function(next(self._names))
        return Delivery(s3=self.s3, sftp=None, directory="", ledger=ledger)  # type: ignore[arg-type] # not asked

    def receipt(self) -> dict[str, Any]:
        """What the ledger keeps of the delivery, as DynamoDB writes it."""
        receipt: dict[str, Any] = self._ledger.item(self.ref)["receipt"]["M"]
        return receipt

    def is_leased(self) -> bool:
        """Whether the ledger says that somebody has it."""
        return "owner" in self._ledger.key_item(self.ref) or "owner" in self._ledger.item(self.ref)


def are_files(server: RunningServer, **expected: bytes) -> bool:
    """Return whether exactly these files are at the partner; names without their `.csv`."""
    # Not left to `assert a == b`: pytest would explain the difference of megabytes.
    return files_below(server.root) == {f"{name}.csv": data for name, data in expected.items()}
