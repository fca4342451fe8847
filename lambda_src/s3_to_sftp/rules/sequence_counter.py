"""The item of a sequence in the ledger's table: the number that was taken last, and who holds it."""

from dataclasses import dataclass

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Fields, Item
from s3_to_sftp.state.items import instant, partition_key, version_key
from s3_to_sftp.state.update_expression import Change

COUNTER = "counter"
"""Sort key of the item."""

SEQUENCE = "SEQUENCE"
"""Partition of the index `by-status` that lists the counters."""

BEGUN = "begun"
"""Sort key of the item that says that the first number was taken: a deleted counter does not begin again."""


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
    """

    revision: int = 0
    number: int = 0
    period: str = ""
    taken_at: int = 0
    holder: tuple[str, str] | None = None
    holder_name: str = ""

    def next_number(self, *, start: int, period: str) -> int:
        """Return the number that follows in this period."""
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
    )


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
        remove=("holder_pk", "holder_sk", "holder_name"),
        is_permanent=True,
    )
