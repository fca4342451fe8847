"""Gapless numbers: the next one is taken when the last one is delivered.

A version holds its number from the moment when its bytes are at the partner until its receipt is recorded:
both writes are transactions with the item of the version. One that has ended without being delivered, and of
which nothing with the number can be at the partner, loses it to the next version that asks.
"""

from dataclasses import dataclass, replace

from s3_to_sftp.errors import Disposition, LedgerError
from s3_to_sftp.outcomes import SequenceHeld
from s3_to_sftp.rules.sequence_counter import (
    BEGUN,
    COUNTER,
    Counter,
    begin_change,
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

    def take(
        self, lease: Lease, sequence: str, *, start: int, period: str, at: int, seen_as: int | None = None
    ) -> TakenNumber:
        """Take the next number of a sequence, or return the one that the version holds.

        Args:
            lease: On the version.
            sequence: Which one.
            start: The first number, and the first of each period.
            period: The present one; later ones sort behind earlier ones.
            at: Now, in seconds since 1970.
            seen_as: The number by which the partner may know the version; None: by none.

        Raises:
            SequenceHeld: Another version holds the last number, and is not delivered.
            LedgerError: The lease is lost, the ledger cannot be used, or somebody has changed the counter.
        """
        seen = read_counter(self._table.read(sequence_key(sequence), COUNTER))
        for _ in range(_MAX_ATTEMPTS):
            is_held = seen.holder == holder_of(lease.ref)
            if seen_as is not None and not (is_held and seen.number == seen_as):
                raise _changed(lease.ref, sequence, seen, seen_as)
            if is_held:
                return TakenNumber(number=seen.number, taken_at=seen.taken_at)
            free, given_up = self._without_holder(lease.ref, sequence, seen, at=at)
            if period < seen.period and not seen.is_finer_than(period):  # another function's clock is ahead
                raise _held(lease.ref, sequence, seen, "was taken by a clock that is ahead of this one")
            number = free.next_number(start=start, period=period)
            take = take_change(sequence, seen, number=number, period=period, at=at, ref=lease.ref)
            first = () if seen.revision else (begin_change(sequence, at=at),)
            refused = self._table.write(version_change(lease, {}), take, *given_up, *first)
            if not refused:
                return TakenNumber(number=number, taken_at=at)
            if 0 in refused:
                raise lease_lost_error(lease)
            if first and 1 not in refused:
                raise _deleted(lease.ref, sequence)
            seen = read_counter(refused[1]) if 1 in refused else seen
        raise contention_error(lease.ref)

    def held_by(self, ref: ObjectRef, sequence: str) -> int | None:
        """Return the number that the version holds; None: it holds none.

        Raises:
            LedgerError: The ledger cannot be used.
        """
        seen = read_counter(self._table.read(sequence_key(sequence), COUNTER))
        return seen.number if seen.holder == holder_of(ref) else None

    def next_number(
        self, ref: ObjectRef, sequence: str, *, start: int, period: str
    ) -> tuple[int, int | None, str]:
        """Return what `take` would now, for people: nothing is taken.

        Returns:
            The number; when the version has taken it (None: it has not); who must be delivered before (empty:
            nobody).

        Raises:
            LedgerError: The ledger cannot be used.
        """
        seen = read_counter(self._table.read(sequence_key(sequence), COUNTER))
        if seen.holder == holder_of(ref):
            return seen.number, seen.taken_at, ""
        try:
            free, _ = self._without_holder(ref, sequence, seen)
        except SequenceHeld:
            return seen.next_number(start=start, period=period), None, seen.holder_name or "another object"
        return free.next_number(start=start, period=period), None, ""

    def _without_holder(
        self, ref: ObjectRef, sequence: str, seen: Counter, *, at: float = 0
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
        if version.state not in _ENDED or may_be_seen(version):
            is_being_sent = version.owner is not None and version.lease_until > at
            why = f"is {version.state}, and not delivered"
            raise _held(ref, sequence, seen, why, is_being_sent=is_being_sent)
        pk, sk = seen.holder
        unchanged = Change(pk=pk, sk=sk, expected={"revision": version.revision})
        return replace(seen, number=seen.number - 1), (unchanged,)


def may_be_seen(version: VersionItem) -> bool:
    """Return whether the partner may have seen a name with the number of the version."""
    commit = version.commit
    return bool(version.steps) or (commit is not None and (commit.rename_unanswered or commit.is_renamed))


def _changed(ref: ObjectRef, sequence: str, counter: Counter, seen_as: int | None) -> LedgerError:
    name = "a number of" if seen_as is None else f"number {seen_as} of"
    now = f"has {counter.number} as its last number" if counter.revision else "is deleted"
    holder = f", held by {counter.holder_name or 'no object'}" if counter.revision else ""
    return LedgerError(
        f"The partner may know {ref} by {name} the sequence {sequence!r}, and its counter {now}{holder}: "
        "somebody has changed it. The object takes no other number.",
        hint="Ask the partner what they have. Put the number and the holder back into the counter, then "
        "redrive the message; or `s3-to-sftp resend KEY --reason TEXT` sends the object with a new number.",
        disposition=Disposition.PERMANENT,
    )


def _deleted(ref: ObjectRef, sequence: str) -> LedgerError:
    return LedgerError(
        f"{ref} needs a number of the sequence {sequence!r}, and its counter was deleted: it would begin "
        "again with numbers that the partner has.",
        hint="Ask the partner which number they expect. To begin again, delete the item of the ledger whose "
        f"partition key is {sequence_key(sequence)!r} and whose sort key is {BEGUN!r}; to go on, restore the "
        f"item whose sort key is {COUNTER!r}. Then redrive the message.",
        disposition=Disposition.PERMANENT,
    )


def _held(
    ref: ObjectRef, sequence: str, counter: Counter, why: str, *, is_being_sent: bool = False
) -> SequenceHeld:
    holder = counter.holder_name or "The last object"
    held = SequenceHeld(
        f"{ref} waits for the next number of the sequence {sequence!r}: {holder} has number "
        f"{counter.number} and {why}.",
        hint=f"No action needed while {holder} is being retried. If it was dead-lettered, redrive it; if the "
        "partner has it, `s3-to-sftp confirm` it. `s3-to-sftp sequence` shows and sets numbers.",
        retry_after=_HELD_SECONDS,
    )
    held.holder, held.is_being_sent = f"{sequence} {counter.number} {holder}", is_being_sent
    return held
