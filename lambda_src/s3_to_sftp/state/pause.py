"""Which objects of an invocation have to wait: for the end of an operator's pause, or by the partner's rules.

The operator's pause, and his release of a closed window, are one item of the ledger's table.

Nothing here writes. While deliveries are not paused, an invocation costs one read.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.outcomes import DeliveriesPaused, DropRateReached, OnHold
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, read_hold
from s3_to_sftp.state.items import VersionItem, partition_key, read_version, version_key
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table
from s3_to_sftp.utc_time import utc_text

_log = logging.getLogger(__name__)


class Pause(Protocol):
    """Decides which objects may be delivered now."""

    def held(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, OnHold]:
        """Return those of the objects that have to wait, each with the error that says for how long."""


class Timing(Protocol):
    """When the partner's rules let objects be sent. `rules/` has the implementation."""

    def waits(
        self, refs: Iterable[ObjectRef], now: float, *, is_released: bool
    ) -> Mapping[ObjectRef, Sequence[OnHold]]:
        """Return what each of the objects waits for; one that waits for nothing may be left out.

        Args:
            refs: The objects.
            now: Seconds since 1970.
            is_released: Whether an operator lets deliveries begin outside windows.
        """


class NoPause:
    """Holds nothing: there is no table in which anybody could pause deliveries."""

    def held(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, OnHold]:  # noqa: ARG002
        """Hold nothing."""
        return {}


class DynamoPause:
    """The pause in the ledger's table. One per execution environment.

    Where the item cannot be read, deliveries continue, and the log says so once. A pause is for the partner's
    maintenance, the files come first, and a table that does not answer grants no lease either: nothing new is
    delivered then. An item that is read and corrupt counts as a pause: somebody has meant one, a file that
    waits can be sent later, and one that was sent cannot be taken back.

    Args:
        table: The ledger's table; only read.
        timing: When the partner's rules let objects be sent. By default at any time.
        clock: Seconds since 1970.
        random: Returns a number from 0 up to, but not including, 1.
    """

    def __init__(
        self,
        table: Table,
        *,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._timing = timing
        self._clock = clock
        self._random = random
        self._warnings: set[str] = set()

    def held(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, OnHold]:
        """See `Pause`. One consistent read, and one more for each object that would have to wait.

        An object of which something is at the partner may finish: what is half-sent is never left behind for
        the length of a pause, or of a weekend.
        """
        now = self._clock()
        hold = self._read()
        if hold is not None and hold.is_in_force(now):
            paused = self._error(hold, now)
            return {ref: paused for ref in refs if not _may_finish(self._version(ref), paused)}
        if self._timing is None:
            return {}
        is_released = hold is not None and hold.opens_windows(now)
        held: dict[ObjectRef, OnHold] = {}
        for ref, errors in self._timing.waits(refs, now, is_released=is_released).items():
            version = self._version(ref) if errors else None
            for error in errors:
                if ref not in held and not _may_finish(version, error):
                    held[ref] = error
        return held

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

    def _version(self, ref: ObjectRef) -> VersionItem | None:
        """Return what the ledger has of a version under way; None: it is not, or that is unknown."""
        try:
            item = find_record(self._table, partition_key(ref), version_key(ref))
            version = read_version(item) if item is not None else None
        except LedgerError as error:
            self._warn_once(f"an object waits, since it is unknown whether it is under way: {error}")
            return None
        return version if version is not None and version.is_under_way else None

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


def _may_finish(version: VersionItem | None, error: OnHold) -> bool:
    """Return whether an object may go on nevertheless: some or all of its bytes are at the partner.

    One that is complete waits for its turn among the drops, unless the partner may have it already.
    """
    if version is None:
        return False
    commit = version.commit
    if isinstance(error, DropRateReached) and commit is not None:
        return commit.rename_unanswered or commit.is_renamed
    return version.checkpoint is not None or commit is not None
