"""Gapless numbers: the next one is taken when the last one is delivered.

A version holds its number from the moment when its bytes are at the partner until its receipt is recorded:
both writes are transactions with its record. One that has ended without being delivered, and of
which nothing with the number can be at the partner, loses it to the next version that asks.

An operator may let the others go past a number that the partner may have seen: its version keeps it, and is
completed with it. None is completed with a number that it has lost.
"""

from dataclasses import dataclass, replace

from s3_to_sftp.errors import Disposition, LedgerError, RemotePathRefused, RuleRefused
from s3_to_sftp.outcomes import SequenceHeld
from s3_to_sftp.rules.sequence_counter import (
    COUNTER,
    Counter,
    begin_change,
    delivered_change,
    holder_of,
    kept_delivered_change,
    kept_key,
    read_counter,
    sequence_key,
    stop_change,
    take_change,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.items import State, VersionItem, read_version
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.transitions import contention_error, held_change, lease_lost_error
from s3_to_sftp.state.update_expression import Change

_MAX_ATTEMPTS = 8
_HELD_SECONDS = 20.0
"""How long an object waits that another one is in front of. It costs a message, and no connection."""

_IF_EXISTS = "if_exists"
"""The rule that refuses a name which something at the partner has."""

_NEVER_DELIVERED = (State.SUPERSEDED, State.GONE, State.SKIPPED, State.CANCELLED)
_ENDED = (State.FAILED, *_NEVER_DELIVERED)


@dataclass(frozen=True, kw_only=True)
class TakenNumber:
    """A number that a version holds.

    Attributes:
        number: The number.
        taken_at: When it was taken, in seconds since 1970.
        with_receipt: The change that is written with the receipt of the version.
    """

    number: int
    taken_at: int
    with_receipt: Change


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
            own = _own(lease.ref, sequence, seen)
            if seen_as is not None and (own is None or own.number != seen_as):
                raise _changed(lease.ref, sequence, seen, seen_as)
            if own is not None:
                return own
            free, given_up = self._without_holder(lease.ref, sequence, seen, at=at)
            if period < seen.period and not seen.is_finer_than(period):  # another function's clock is ahead
                raise _held(lease.ref, sequence, seen, "was taken by a clock that is ahead of this one")
            number = free.next_number(start=start, period=period)
            take = take_change(sequence, seen, number=number, period=period, at=at, ref=lease.ref)
            first = () if seen.revision else (begin_change(sequence, at=at),)
            refused = self._table.write(held_change(lease, {}), take, *given_up, *first)
            if not refused:
                return TakenNumber(
                    number=number, taken_at=at, with_receipt=delivered_change(sequence, lease.ref)
                )
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
        own = _own(ref, sequence, read_counter(self._table.read(sequence_key(sequence), COUNTER)))
        return own.number if own is not None else None

    def with_receipt(self, ref: ObjectRef, sequence: str, number: int | None) -> Change:
        """Return the change that is written with the receipt of a version whose files an earlier attempt put.

        Args:
            ref: The version.
            sequence: The one that its rules name now.
            number: By which the partner knows it; None: by none of this sequence, its rules were changed.

        Raises:
            LedgerError: It has lost its number, or the ledger cannot be used. Another object may have
                replaced its file since: it must not get a receipt.
        """
        seen = read_counter(self._table.read(sequence_key(sequence), COUNTER))
        own = _own(ref, sequence, seen)
        if number is not None and (own is None or own.number != number):
            raise _changed(ref, sequence, seen, number)
        return delivered_change(sequence, ref) if own is None else own.with_receipt

    def stop(self, lease: Lease, sequence: str, why: str) -> None:
        """Keep the number of the version from going to the next object, should it be given up.

        Args:
            lease: On the version.
            sequence: Which one.
            why: For people: what would happen to the next object, too.

        Raises:
            LedgerError: The ledger cannot be used.
        """
        self._table.write(stop_change(sequence, lease.ref, why))  # refused: it does not hold the last one

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
        if own := _own(ref, sequence, seen):
            return own.number, own.taken_at, ""
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
        item = find_record(self._table, *seen.holder)
        version = read_version(item) if item is not None else None
        if version is None:
            raise _held(ref, sequence, seen, "is no longer in the ledger, and nobody knows its outcome")
        if version.state is State.DELIVERED and version.had_other_names:
            return seen, ()
        if not gives_back(version, seen.stopped):
            is_being_sent = version.owner is not None and version.lease_until > at
            why = f"is {version.state}, and not delivered" + (f" ({seen.stopped})" if seen.stopped else "")
            if version.state in _NEVER_DELIVERED:
                raise _held_for_good(ref, sequence, seen, why, version)
            raise _held(ref, sequence, seen, why, is_being_sent=is_being_sent)
        pk, _ = seen.holder
        unchanged = Change(pk=pk, sk=version.stored_as, expected={"revision": version.revision})
        return replace(seen, number=seen.number - 1), (unchanged,)


def gives_back(version: VersionItem, stopped: str = "") -> bool:
    """Return whether the next object gets the number that this version holds.

    Args:
        version: Its item.
        stopped: See `Counter`.
    """
    if version.state is State.DELIVERED:  # by other rules: otherwise its receipt would have freed the number
        return not version.had_other_names
    is_stopped = bool(stopped) and version.state is State.FAILED
    return version.state in _ENDED and not version.may_be_seen and not is_stopped


def hint_when_stopped(refused: RemotePathRefused, sequence: str, number: int) -> str:
    """Return what to do where the name of an object is refused because of its number."""
    waiting = f"The sequence {sequence!r} has stopped with number {number}: the other objects wait."
    if isinstance(refused, RuleRefused) and refused.rule != _IF_EXISTS:
        return f"{waiting} {refused.hint}"
    return (
        f"{waiting} Ask the partner which number they expect. If {number}: ask them to remove what has the "
        "name, then redrive the message. If another one: "
        f"`s3-to-sftp sequence {sequence} --set N --reason TEXT`, then redrive it."
    )


def _own(ref: ObjectRef, sequence: str, counter: Counter) -> TakenNumber | None:
    """Return the number that the version has: the last one, or one that others went past; None: none."""
    own = holder_of(ref)
    if counter.holder == own:
        change = delivered_change(sequence, ref)
        return TakenNumber(number=counter.number, taken_at=counter.taken_at, with_receipt=change)
    if (kept := counter.kept.get(kept_key(own))) is not None:
        change = kept_delivered_change(sequence, ref)
        return TakenNumber(number=kept.number, taken_at=kept.taken_at, with_receipt=change)
    return None


def _changed(ref: ObjectRef, sequence: str, counter: Counter, seen_as: int | None) -> LedgerError:
    name = "a number of" if seen_as is None else f"number {seen_as} of"
    now = f"has {counter.number} as its last number" if counter.revision else "is deleted"
    holder = f", held by {counter.holder_name or 'no object'}" if counter.revision else ""
    return LedgerError(
        f"The partner may know {ref} by {name} the sequence {sequence!r}, and its counter {now}{holder}: "
        "somebody has changed it. The object takes no other number.",
        hint="Ask the partner what they have. `s3-to-sftp cancel KEY --reason TEXT` gives the object up; "
        "then `s3-to-sftp resend KEY --reason TEXT` sends it with a new number.",
        disposition=Disposition.PERMANENT,
    )


def _deleted(ref: ObjectRef, sequence: str) -> LedgerError:
    return LedgerError(
        f"{ref} needs a number of the sequence {sequence!r}, and its counter was deleted: it would begin "
        "again with numbers that the partner has.",
        hint="Ask the partner which number they expect. `s3-to-sftp sequence "
        f"{sequence} --set N --reason TEXT` gives it to the next object. Then redrive the message.",
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


def _held_for_good(
    ref: ObjectRef, sequence: str, counter: Counter, why: str, version: VersionItem
) -> SequenceHeld:
    """Return the error where only a person can let the others go on: no retry delivers the holder."""
    names = ", ".join(sorted(repr(step.remote_path) for step in version.steps.values()))
    held = _held(ref, sequence, counter, f"{why}, and the partner may have seen {names or 'a file with it'}")
    number = counter.number
    held.hint = (
        f"Ask the partner whether they count number {number}. If so: "
        f"`s3-to-sftp sequence {sequence} --set {number + 1} --reason TEXT`; if not, have them remove what "
        f"they have of it: `s3-to-sftp sequence {sequence} --set {number} --reuse --reason TEXT`."
    )
    return held
