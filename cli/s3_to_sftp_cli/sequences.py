"""The numbers of a partner's sequences: which was taken last, and which object holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.rules.sequence_counter import COUNTER, SEQUENCE, sequence_key
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.object_selection import IN_FLIGHT_STATES
from s3_to_sftp_cli.times import from_epoch

_PREFIX = sequence_key("")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The object version that has the last number, and is not delivered.

    Attributes:
        pk: Partition key of its item.
        sk: Sort key.
        name: For people: `s3://bucket/key (version ...)`.
        record: What the ledger has of it; None: nothing, it was removed or has expired.
    """

    pk: str
    sk: str
    name: str
    record: Record | None

    @property
    def state(self) -> str:
        """Its state; empty: the ledger has nothing of it."""
        return self.record.state if self.record is not None else ""

    @property
    def is_in_flight(self) -> bool:
        """Whether the function still tries to deliver it."""
        return self.state in IN_FLIGHT_STATES


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A sequence.

    Attributes:
        name: As the rules name it.
        number: The last one that was taken.
        period: The day or year that it belongs to; empty: the sequence never begins again.
        taken_at: When it was taken, in seconds since 1970.
        revision: Of the item.
        holder: None: the object with the last number is delivered.
        operator_actions: What operators did, the oldest first.
    """

    name: str
    number: int
    period: str
    taken_at: float
    revision: int
    holder: Holder | None
    operator_actions: tuple[Mapping[str, Any], ...] = ()

    @property
    def next_number(self) -> int:
        """The number that the next object of this period gets."""
        return self.number + 1

    def as_json(self) -> dict[str, Any]:
        """Return its fields in JSON."""
        return {
            "name": self.name,
            "last_number": self.number,
            "next_number": self.next_number,
            "period": self.period or None,
            "taken_at": from_epoch(self.taken_at),
            "holder": None if self.holder is None else holder_json(self.holder),
            "operator_actions": [
                {**action, "at": from_epoch(float(action["at"]))} for action in self.operator_actions
            ],
        }


def holder_json(holder: Holder) -> dict[str, Any]:
    """Return the fields of a holder in JSON."""
    record = holder.record
    return {
        "name": holder.name,
        "bucket": record.bucket if record else None,
        "key": record.key if record else None,
        "version_id": (record.version or None) if record else None,
        "state": holder.state or None,
    }


def read_sequences(ledger: LedgerReader) -> list[Sequence]:
    """Return all sequences, by name.

    Raises:
        ClientError, BotoCoreError: The table refused, or did not answer.
        ValueError, KeyError: An item is corrupt.
    """
    found = (_read(ledger, pk) for pk in ledger.listed_keys(SEQUENCE))
    return [each for each in found if each is not None]


def _read(ledger: LedgerReader, pk: str) -> Sequence | None:
    item = ledger.item(pk, COUNTER)
    if item is None:
        return None
    return Sequence(
        name=pk.removeprefix(_PREFIX),
        number=int(item["number"]),
        period=str(item.get("period", "")),
        taken_at=float(item["taken_at"]),
        revision=int(item["revision"]),
        holder=_holder(ledger, item),
        operator_actions=tuple(item.get("operator_actions") or ()),
    )


def _holder(ledger: LedgerReader, item: Mapping[str, Any]) -> Holder | None:
    pk, sk = str(item.get("holder_pk", "")), str(item.get("holder_sk", ""))
    if not (pk and sk):
        return None
    return Holder(pk=pk, sk=sk, name=str(item.get("holder_name", "")), record=ledger.version(pk, sk))
