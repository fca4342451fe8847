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
from s3_to_sftp.state.key_item import read_key
from s3_to_sftp.state.receipt import Receipt
from tests.support.ledger_environment import TABLE, LedgerEnvironment, create_table
from tests.support.memory_s3 import MemoryS3
from tests.support.pace import short
from tests.support.partner import client_for, contents_below

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
        """Return the object as it is now, with this sequencer."""
        return dataclasses.replace(self.s3.ref(key), sequencer=sequencer)

    def redriven(self) -> ObjectRef:
        """Return the object as a redriven message announces it."""
        return dataclasses.replace(self.ref, resend=True)

    @contextmanager
    def function(
        self, server: RunningServer, *, port: int | None = None, directory: str = "", **more: Any
    ) -> Iterator[Delivery]:
        """A new function without connections."""
        client = client_for(server, port=port, timeouts=SHORT)
        ledger = self._ledger.function(next(self._names))
        try:
            yield Delivery(s3=self.s3, sftp=client, directory=directory, ledger=ledger, **more)
        finally:
            client.close()

    def attempt(
        self,
        server: RunningServer,
        *,
        port: int | None = None,
        ref: ObjectRef | None = None,
        remaining: Callable[[], float] = lambda: 900.0,
        **more: Any,
    ) -> Receipt | Exception:
        """Return the outcome of one invocation of a new function."""
        with self.function(server, port=port, **more) as function:
            return self.invoke(function, ref=ref, remaining=remaining)

    def invoke(
        self,
        function: Delivery,
        *,
        ref: ObjectRef | None = None,
        remaining: Callable[[], float] = lambda: 900.0,
    ) -> Receipt | Exception:
        """Return the outcome of one invocation."""
        deadline = Deadline(remaining, clock=self._ledger.clock)
        ((_, outcome),) = deliver_all(function, [ref or self.ref], Invocation(deadline))
        return outcome

    def state(self, ref: ObjectRef | None = None) -> str:
        """Return the state in the ledger."""
        return self._ledger.state(ref or self.ref)

    def names(self) -> dict[str, str]:
        """Return the names that may exist at the partner according to the ledger, and the kind of each."""
        item = self._ledger.key_item(self.ref)
        return {name: str(entry.kind) for name, entry in read_key(item).names.items()} if item else {}

    def keys_with_leftovers(self) -> int:
        """Return the number of keys that the index of the ledger lists with leftovers."""
        return len(self._ledger.with_status("LEFTOVERS"))

    def give_up(self, error: DeliveryError) -> None:
        """Record what dead-lettering records."""
        self._without_partner().give_up(self.ref, error)

    def leases_expire(self) -> None:
        """Let all leases expire."""
        self._ledger.all_leases_expire()

    def _without_partner(self) -> Delivery:
        ledger = self._ledger.function(next(self._names))
        return Delivery(s3=self.s3, sftp=None, directory="", ledger=ledger)  # type: ignore[arg-type] # not asked

    def receipt(self) -> dict[str, Any]:
        """Return the receipt in the ledger, as DynamoDB stores it."""
        receipt: dict[str, Any] = self._ledger.item(self.ref)["receipt"]["M"]
        return receipt

    def is_leased(self) -> bool:
        """Return whether the ledger has a lease on the object."""
        return "owner" in self._ledger.key_item(self.ref) or "owner" in self._ledger.item(self.ref)


def are_files(server: RunningServer, **expected: bytes) -> bool:
    """Return whether exactly these files are at the partner; names without their `.csv`."""
    # Not left to `assert a == b`: pytest would explain the difference of megabytes.
    return contents_below(server.root) == {f"{name}.csv": data for name, data in expected.items()}
