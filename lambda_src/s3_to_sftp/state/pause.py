"""The operator's pause in the ledger's DynamoDB table: which objects of an invocation have to wait.

Nothing here writes. While deliveries are not paused, an invocation costs one read.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.outcomes import DeliveriesPaused
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, read_hold
from s3_to_sftp.state.items import partition_key, read_version, version_key
from s3_to_sftp.state.table import Table
from s3_to_sftp.utc_time import utc_text

_log = logging.getLogger(__name__)


class Pause(Protocol):
    """Decides which objects may be delivered now."""

    def held(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, DeliveriesPaused]:
        """Return those of the objects that have to wait, each with the error that says for how long."""


class NoPause:
    """Holds nothing: there is no table in which anybody could pause deliveries."""

    def held(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, DeliveriesPaused]:  # noqa: ARG002
        """Hold nothing."""
        return {}


class DynamoPause:
    """The pause in the ledger's table. One per execution environment.

    Where the item cannot be read, deliveries continue, and the log says so once. A pause is for the partner's
    maintenance, the files come first, and a table that does not answer grants no lease either: nothing new is
    delivered then. An item that is read and corrupt counts as a pause: somebody has meant one, a file that
    waits can be sent later, and one that was sent cannot be taken back.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:GetItem`.
        table: The name of the ledger's table.
        clock: Seconds since 1970.
        random: Returns a number from 0 up to, but not including, 1.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._table = Table(client, table)
        self._clock = clock
        self._random = random
        self._warnings: set[str] = set()

    def held(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, DeliveriesPaused]:
        """See `Pause`. One consistent read, and while deliveries are paused one more for each object.

        An object of which something is at the partner may finish: what is half-sent is never left behind for
        the length of a pause.
        """
        now = self._clock()
        hold = self._read()
        if hold is None or not hold.is_in_force(now):
            return {}
        return {ref: self._error(hold, now) for ref in refs if not self._is_under_way(ref)}

    def _read(self) -> Hold | None:
        try:
            item = self._table.read(HOLD_PK, HOLD_SK)
        except LedgerError as error:
            self._warn_once(f"deliveries continue without knowing whether they are paused: {error}")
            return None
        if item is None:
            return None
        try:
            return read_hold(item)
        except LedgerError as error:
            self._warn_once(f"deliveries are paused by an item that is corrupt: {error}")
            # In force from the beginning of time: the alarm for a forgotten pause calls a person at once.
            return Hold(since=0, reason=error.reason)

    def _is_under_way(self, ref: ObjectRef) -> bool:
        """Return whether some or all of the version's bytes are at the partner, without its final state."""
        try:
            item = self._table.read(partition_key(ref), version_key(ref))
            version = read_version(item) if item is not None else None
        except LedgerError as error:
            self._warn_once(f"an object waits, since it is unknown whether it is under way: {error}")
            return False
        return version is not None and version.is_under_way

    def _error(self, hold: Hold, now: float) -> DeliveriesPaused:
        until = "until somebody resumes them" if hold.until is None else f"until {utc_text(hold.until)}"
        by = f" by {hold.who}" if hold.who else ""
        return DeliveriesPaused(
            f"Deliveries are paused{by} {until}: {hold.reason or 'no reason was given'}",
            hint="No action needed: it is delivered when the pause is over. `s3-to-sftp resume` ends it now.",
            # What waits for the same moment does not come back in the same second.
            retry_after=hold.wait(now) * (1 + 0.2 * self._random()),
            paused_for=hold.age(now),
        )

    def _warn_once(self, text: str) -> None:
        if text not in self._warnings:
            _log.warning("%s", text)
        self._warnings.add(text)
