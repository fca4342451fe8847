"""The item of a sequence in the ledger's table: the number that was taken last, and who holds it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Fields, Item
from s3_to_sftp.state.items import instant, partition_key, version_key
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change

COUNTER = "counter"
"""Sort key of the item."""

SEQUENCE = "SEQUENCE"
"""Partition of the index `by-status` that lists the counters."""

BEGUN = "begun"
"""Sort key of the item that says that the first number was taken: a deleted counter does not begin again."""

OF_THE_NEXT = ("set_next", "stopped")
"""Attributes of the item that end when the next number is taken."""


@dataclass(frozen=True, kw_only=True)
class KeptNumber:
    """A number of a version that others went past: an operator has set the next one.

    Attributes:
        number: The number.
        taken_at: When it was taken, in seconds since 1970.
    """

    number: int
    taken_at: int


@dataclass(frozen=True, kw_only=True)
class Counter:
    """What the ledger knows of a sequence.

    Attributes:
        revision: Counts the writes to the item; 0: there is none yet.
        number: The last one that was taken.
        period: The day or year that it belongs to; empty: the sequence never begins again.
        taken_at: When it was taken, in seconds since 1970.
        holder: Partition and sort key of the version that holds it; None: it is delivered.
        holder_name: The same for people.
        set_next: The number that an operator has set for the next object; None: none has.
        stopped: Why the number of a holder that was given up must not go to the next object, which would be
            refused for the same reason; empty: it may.
        kept: Numbers that others went past, by `kept_key`.
    """

    revision: int = 0
    number: int = 0
    period: str = ""
    taken_at: int = 0
    holder: tuple[str, str] | None = None
    holder_name: str = ""
    set_next: int | None = None
    stopped: str = ""
    kept: Mapping[str, KeptNumber] = field(default_factory=dict)

    def next_number(self, *, start: int, period: str) -> int:
        """Return the number that follows in this period; one that was set follows in whichever comes."""
        if self.set_next is not None:
            return self.set_next
        # One that is reset less often from now on goes on: the numbers of its last day may be in use.
        goes_on = self.period == period or self.is_finer_than(period)
        return self.number + 1 if self.revision and goes_on else start

    def is_finer_than(self, period: str) -> bool:
        """Return whether the sequence began again more often when its last number was taken."""
        return len(self.period) > len(period)


def sequence_key(sequence: str) -> str:
    """Return the partition key of the item of a sequence."""
    return f"sequence#{sequence}"


def holder_of(ref: ObjectRef) -> tuple[str, str]:
    """Return how the item names a version."""
    return partition_key(ref), version_key(ref)


def kept_key(holder: tuple[str, str]) -> str:
    """Return the entry of a version in `kept`."""
    return "\n".join(holder)


def read_counter(item: Item | None) -> Counter:
    """Read and check the item.

    Raises:
        LedgerError: It is corrupt.
    """
    if item is None:
        return Counter()
    fields = Fields(
        item,
        hint="Ask the partner which number they expect next; set 'number' of the item to the one before it.",
    )
    return Counter(
        revision=fields.integer("revision"),
        number=int(fields.number("number")),
        period=fields.text("period"),
        taken_at=fields.integer("taken_at"),
        holder=_holder(fields.optional_text("holder_pk"), fields.optional_text("holder_sk")),
        holder_name=fields.optional_text("holder_name") or "",
        set_next=fields.integer("set_next") if "set_next" in item else None,
        stopped=fields.optional_text("stopped") or "",
        kept=_read_kept(fields.optional_map("kept")),
    )


def holders(table: Table, sequences: Iterable[str]) -> set[tuple[str, str]]:
    """Return the versions that hold the last numbers of these sequences. One read for each.

    Raises:
        LedgerError: The ledger cannot be used, or an item is corrupt.
    """
    counters = (read_counter(table.read(sequence_key(sequence), COUNTER)) for sequence in sequences)
    return {counter.holder for counter in counters if counter.holder is not None}


def _read_kept(fields: Fields | None) -> Mapping[str, KeptNumber]:
    entries = () if fields is None else fields.maps()
    return {
        key: KeptNumber(number=each.integer("number"), taken_at=each.integer("taken_at"))
        for key, each in entries
    }


def _holder(pk: str | None, sk: str | None) -> tuple[str, str] | None:
    return (pk, sk) if pk and sk else None


def take_change(sequence: str, seen: Counter, *, number: int, period: str, at: int, ref: ObjectRef) -> Change:
    """Return the change by which a version takes a number, on condition that the item is as seen."""
    pk, sk = holder_of(ref)
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"revision": seen.revision} if seen.revision else {"pk": None},
        put={
            "number": number,
            "period": period,
            "taken_at": at,
            "holder_pk": pk,
            "holder_sk": sk,
            "holder_name": str(ref),
            "status": SEQUENCE,
            "status_at": instant(at),
        },
        remove=OF_THE_NEXT,
        is_permanent=True,
    )


def begin_change(sequence: str, *, at: int) -> Change:
    """Return the change that comes with the first number of a sequence, on condition that it is the first."""
    return Change(
        pk=sequence_key(sequence), sk=BEGUN, expected={"pk": None}, put={"at": at}, is_permanent=True
    )


def delivered_change(sequence: str, ref: ObjectRef) -> Change:
    """Return the change that lets the next number be taken: the holder is delivered."""
    pk, sk = holder_of(ref)
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"holder_pk": pk, "holder_sk": sk},
        remove=("holder_pk", "holder_sk", "holder_name", "stopped"),
        is_permanent=True,
    )


def kept_delivered_change(sequence: str, ref: ObjectRef) -> Change:
    """Return the change that comes with the receipt of a version whose number others went past."""
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"pk": sequence_key(sequence)},
        remove=(("kept", kept_key(holder_of(ref))),),
        is_permanent=True,
    )


def stop_change(sequence: str, ref: ObjectRef, why: str) -> Change:
    """Return the change that keeps the number of the holder from going to the next object."""
    pk, sk = holder_of(ref)
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"holder_pk": pk, "holder_sk": sk},
        put={"stopped": why},
        is_permanent=True,
    )
