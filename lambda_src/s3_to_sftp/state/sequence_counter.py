"""The item of a sequence: the number that was taken last, and which version holds it.

A number is taken by a version and held until it is delivered. Only then is the next one taken. A version that
ends otherwise, and of which nothing with the number can be at the partner, returns it.
"""

from dataclasses import dataclass

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Fields, Item
from s3_to_sftp.state.items import instant
from s3_to_sftp.state.update_expression import Change

COUNTER = "counter"
"""Sort key of the item."""

SEQUENCE = "SEQUENCE"
"""Partition of the index `by-status` that lists the counters."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """What the ledger knows of a sequence.

    Attributes:
        revision: Counts the writes to the item; 0: there is none yet.
        number: The last one that was taken.
        period: The day or year that it belongs to; empty: the sequence never begins again.
        taken_at: When it was taken, in seconds since 1970.
        holder: The version that holds it; empty: it is delivered.
        holder_name: The same for people.
    """

    revision: int = 0
    number: int = 0
    period: str = ""
    taken_at: int = 0
    holder: str = ""
    holder_name: str = ""

    def next_number(self, *, start: int, period: str) -> int:
        """Return the number that follows in this period."""
        return self.number + 1 if self.revision and self.period == period else start


def sequence_key(sequence: str) -> str:
    """Return the partition key of the item of a sequence."""
    return f"sequence#{sequence}"


def holder_of(pk: str, sk: str) -> str:
    """Return how the item names a version."""
    return f"{pk} {sk}"


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
        holder=fields.optional_text("holder") or "",
        holder_name=fields.optional_text("holder_name") or "",
    )


def take_change(
    sequence: str, seen: Counter, *, number: int, period: str, at: int, holder: str, ref: ObjectRef
) -> Change:
    """Return the change by which a version takes a number, on condition that the item is as seen."""
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"revision": seen.revision} if seen.revision else {"pk": None},
        put={
            "number": number,
            "period": period,
            "taken_at": at,
            "holder": holder,
            "holder_name": str(ref),
            "status": SEQUENCE,
            "status_at": instant(at),
        },
        is_permanent=True,
    )


def delivered_change(sequence: str, holder: str) -> Change:
    """Return the change that lets the next number be taken: the holder is delivered."""
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"holder": holder},
        remove=("holder", "holder_name"),
        is_permanent=True,
    )


def return_change(sequence: str, number: int, holder: str) -> Change:
    """Return the change by which the holder returns its number: the next version takes it."""
    return Change(
        pk=sequence_key(sequence),
        sk=COUNTER,
        expected={"holder": holder, "number": number},
        put={"number": number - 1},
        remove=("holder", "holder_name"),
        is_permanent=True,
    )
