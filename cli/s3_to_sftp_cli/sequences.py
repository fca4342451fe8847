"""The numbers of a partner's sequences: which was taken last, which object has it, and which one is next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.rules.sequence_counter import COUNTER, SEQUENCE, sequence_key
from s3_to_sftp.rules.sequence_numbers import gives_back
from s3_to_sftp.state.attributes import to_attribute
from s3_to_sftp.state.items import VersionItem, read_version
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.object_selection import IN_FLIGHT_STATES
from s3_to_sftp_cli.times import from_epoch

_PREFIX = sequence_key("")
_EVERYWHERE = timedelta(hours=12)
"""So long after the end of a day in UTC it is over in all time zones."""


def version_of(record: Record) -> VersionItem:
    """Return the version as the function reads it.

    Raises:
        CliError: The item is corrupt.
    """
    try:
        return read_version({name: to_attribute(value) for name, value in record.item.items()})
    except LedgerError as error:
        raise CliError(error.reason, hint=error.hint, code=ExitCode.CONFLICT) from None


@dataclass(frozen=True, kw_only=True)
class Holder:
    """An object version that has a number, and is not delivered.

    Attributes:
        pk: Partition key of its item.
        sk: Sort key.
        name: For people: `s3://bucket/key (version ...)`.
        number: The number.
        record: What the ledger has of it; None: nothing, it was removed or has expired.
        period: The day or year of the number; empty: the sequence never begins again.
        taken_at: When it was taken, in seconds since 1970.
    """

    pk: str
    sk: str
    name: str
    number: int
    record: Record | None
    period: str = ""
    taken_at: float = 0

    @property
    def state(self) -> str:
        """Its state; empty: the ledger has nothing of it."""
        return self.record.state if self.record is not None else ""

    @property
    def is_in_flight(self) -> bool:
        """Whether the function still tries to deliver it."""
        return self.state in IN_FLIGHT_STATES

    @property
    def may_be_seen(self) -> bool:
        """Whether files with the number may be at the partner: the ledger shows that, or nothing at all."""
        return self.record is None or version_of(self.record).may_be_seen

    def is_version(self, record: Record) -> bool:
        """Return whether it is this one."""
        return (self.pk, self.sk) == (record.item["pk"], record.item["sk"])


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A sequence.

    Attributes:
        name: As the rules name it.
        number: The last one that was taken.
        period: The day or year that it belongs to; empty: the sequence never begins again.
        taken_at: When it was taken, in seconds since 1970; 0: none was, an operator has set the first one.
        revision: Of the item; 0: there is none.
        holder: None: the object with the last number is delivered.
        set_next: The number that an operator has set for the next object; None: none has.
        stopped: Why the number of a holder that was given up does not go to the next object.
        kept: Objects that keep a number that others went past, as the item has them.
        operator_actions: What operators did, the oldest first.
    """

    name: str
    number: int = 0
    period: str = ""
    taken_at: float = 0
    revision: int = 0
    holder: Holder | None = None
    set_next: int | None = None
    stopped: str = ""
    kept: tuple[Holder, ...] = ()
    operator_actions: tuple[Mapping[str, Any], ...] = ()

    @property
    def next_number(self) -> int:
        """The number that the next object gets, once the holder is delivered; of this period unless set."""
        if self.set_next is not None:
            return self.set_next
        return self.number if self.is_given_back else self.number + 1

    @property
    def is_given_back(self) -> bool:
        """Whether the next object gets the number of the holder."""
        record = self.holder.record if self.holder is not None else None
        return record is not None and gives_back(version_of(record), self.stopped)

    def may_be_used(self, now: float) -> int | None:
        """Return the last number that the partner may have seen in the present period; None: they saw none.

        Args:
            now: Seconds since 1970.
        """
        if not self.taken_at or self.is_over(now):
            return None
        return self.number - 1 if self.is_given_back else self.number

    def is_over(self, now: float) -> bool:
        """Return whether the day or year of the last number has ended, in whichever time zone."""
        if not self.period:
            return False
        form = "%Y-%m-%d" if "-" in self.period else "%Y"
        begin = datetime.strptime(self.period, form).replace(tzinfo=UTC)
        days = 1 if "-" in self.period else 366
        return datetime.fromtimestamp(now, UTC) > begin + timedelta(days=days) + _EVERYWHERE

    def has(self, record: Record) -> bool:
        """Return whether the version has a number of the sequence."""
        held = (*self.kept, *((self.holder,) if self.holder is not None else ()))
        return any(each.is_version(record) for each in held)

    def as_json(self) -> dict[str, Any]:
        """Return its fields in JSON."""
        has_begun = bool(self.taken_at)
        return {
            "name": self.name,
            "last_number": self.number if has_begun else None,
            "next_number": self.next_number,
            "period": self.period or None,
            "taken_at": from_epoch(self.taken_at) if has_begun else None,
            "holder": None if self.holder is None else holder_json(self.holder),
            "stopped": self.stopped or None,
            "kept": [{**holder_json(each), "number": each.number} for each in self.kept],
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
        set_next=None if item.get("set_next") is None else int(item["set_next"]),
        stopped=str(item.get("stopped", "")),
        kept=tuple(_kept(ledger, item.get("kept") or {})),
        operator_actions=tuple(item.get("operator_actions") or ()),
    )


def _holder(ledger: LedgerReader, item: Mapping[str, Any]) -> Holder | None:
    pk, sk = str(item.get("holder_pk", "")), str(item.get("holder_sk", ""))
    if not (pk and sk):
        return None
    return _holder_of(ledger, pk, sk, item, name=str(item.get("holder_name", "")))


def _kept(ledger: LedgerReader, entries: Mapping[str, Any]) -> Iterator[Holder]:
    for key, entry in entries.items():
        pk, sk = key.split("\n")
        yield _holder_of(ledger, pk, sk, entry, name=str(entry.get("name", "")))


def _holder_of(ledger: LedgerReader, pk: str, sk: str, taken: Mapping[str, Any], *, name: str) -> Holder:
    return Holder(
        pk=pk,
        sk=sk,
        name=name,
        number=int(taken["number"]),
        record=ledger.version(pk, sk),
        period=str(taken.get("period", "")),
        taken_at=float(taken["taken_at"]),
    )
