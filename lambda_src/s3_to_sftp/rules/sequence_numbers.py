"""Gapless numbers: the next one is taken when the last one is delivered.

A version holds its number from the moment when its bytes are at the partner until its receipt is recorded:
both writes are transactions with the item of the version. One that has ended without being delivered, and of
which nothing with the number can be at the partner, loses it to the next version that asks.
"""

from dataclasses import dataclass, replace

from s3_to_sftp.outcomes import SequenceHeld
from s3_to_sftp.rules.sequence_counter import (
    COUNTER,
    Counter,
    holder_of,
    read_counter,
    sequence_key,
    take_change,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.items import State, VersionItem, read_version
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.transitions import contention_error, lease_lost_error, version_change
from s3_to_sftp.state.update_expression import Change

_MAX_ATTEMPTS = 8
_HELD_SECONDS = 20.0
"""How long an object waits that another one is in front of. It costs a message, and no connection."""

_ENDED = (State.FAILED, State.SUPERSEDED, State.GONE, State.SKIPPED, State.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class TakenNumber:
    """A number that a version holds.

    Attributes:
        number: The number.
        taken_at: When it was taken, in seconds since 1970.
    """

    number: int
    taken_at: int


class SequenceNumbers:
    """The numbers of all sequences of a partner."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, lease: Lease, sequence: str, *, start: int, period: str, at: int) -> TakenNumber:
        """Take the next number of a sequence, or return the one that the version holds.

        Args:
            lease: On the version.
            sequence: Which one.
            start: The first number, and the first of each period.
            period: The present one; later ones sort behind earlier ones.
            at: Now, in seconds since 1970.

        Raises:
            SequenceHeld: Another version holds the last number, and is not delivered.
            LedgerError: The lease is lost, or the ledger cannot be used.
        """
        seen = read_counter(self._table.read(sequence_key(sequence), COUNTER))
        for _ in range(_MAX_ATTEMPTS):
            if seen.holder == holder_of(lease.ref):
                return TakenNumber(number=seen.number, taken_at=seen.taken_at)
            free, given_up = self._without_holder(lease.ref, sequence, seen)
            if period < seen.period:  # the clock of another function is ahead
                raise _held(lease.ref, sequence, seen, "was taken by a clock that is ahead of this one")
            number = free.next_number(start=start, period=period)
            take = take_change(sequence, seen, number=number, period=period, at=at, ref=lease.ref)
            refused = self._table.write(version_change(lease, {}), take, *given_up)
            if not refused:
                return TakenNumber(number=number, taken_at=at)
            if 0 in refused:
                raise lease_lost_error(lease)
            seen = read_counter(refused[1]) if 1 in refused else seen
        raise contention_error(lease.ref)

    def next_number(self, sequence: str, *, start: int, period: str) -> int:
        """Return the number that would be taken if the last one is delivered, for people."""
        seen = read_counter(self._table.read(sequence_key(sequence), COUNTER))
        return seen.next_number(start=start, period=period)

    def _without_holder(
        self, ref: ObjectRef, sequence: str, seen: Counter
    ) -> tuple[Counter, tuple[Change, ...]]:
        """Return the counter as it is once the holder has given up its number, and the check that it has.

        Raises:
            SequenceHeld: It has not.
        """
        if seen.holder is None:
            return seen, ()
        item = self._table.read(*seen.holder)
        version = read_version(item) if item is not None else None
        if version is None:
            raise _held(ref, sequence, seen, "is no longer in the ledger, and nobody knows its outcome")
        if version.state is State.DELIVERED:
            return seen, ()
        if version.state not in _ENDED or _may_be_seen(version):
            raise _held(ref, sequence, seen, f"is {version.state}, and not delivered")
        pk, sk = seen.holder
        unchanged = Change(pk=pk, sk=sk, expected={"revision": version.revision})
        return replace(seen, number=seen.number - 1), (unchanged,)


def _may_be_seen(version: VersionItem) -> bool:
    """Return whether the partner may have seen a name with the number of the version."""
    commit = version.commit
    return bool(version.steps) or (commit is not None and (commit.rename_unanswered or commit.is_renamed))


def _held(ref: ObjectRef, sequence: str, counter: Counter, why: str) -> SequenceHeld:
    holder = counter.holder_name or "The last object"
    return SequenceHeld(
        f"{ref} waits for the next number of the sequence {sequence!r}: {holder} has number "
        f"{counter.number} and {why}.",
        hint=f"No action needed while {holder} is being retried. If it was dead-lettered, redrive it; if the "
        "partner has it, `s3-to-sftp confirm` it. `s3-to-sftp sequence` shows and sets numbers.",
        retry_after=_HELD_SECONDS,
    )
