"""Which object versions `receipts` shows, and their fields in JSON and CSV."""

import csv
import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any

from s3_to_sftp_cli.deliveries import (
    earlier_deliveries,
    is_final,
    number_of_delivery,
    seconds_to_deliver,
    sent_so_far,
)
from s3_to_sftp_cli.ledger import FINAL_STATES, LedgerReader, Record
from s3_to_sftp_cli.receipt_words import checksum_hex, hint_of
from s3_to_sftp_cli.times import from_epoch

FAILURES = ("FAILED", "UNKNOWN")

CSV_COLUMNS = (
    "bucket",
    "key",
    "version_id",
    "state",
    "first_seen",
    "changed",
    "seconds_to_deliver",
    "bytes",
    "remote_path",
    "checksum_algorithm",
    "checksum",
    "sha256",
    "verified_by",
    "evidence",
    "attempts",
    "host_key",
    "request_id",
    "error",
    "operation",
    "sftp_status",
    "reason",
    "earlier_receipts",
    "operator_actions",
    "delivery",
    "sequence",
    "companions",
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a cell with such a first character for a formula, and names of objects are not ours."""


_AFTER = ("action", "state", "bucket", "key", "version_id", "reason", "other_copy")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which object versions are shown.

    Attributes:
        since: Those that came into their state from then on; None: however long ago.
        until: Before then; None: up to now, those in flight included.
        name: A pattern such as `in/*.csv`, where `*` also stands for slashes; None: any key.
        bucket: None: any.
        failed: Only those that were given up, or whose outcome is unknown.
    """

    since: datetime | None
    until: datetime | None = None
    name: str | None = None
    bucket: str | None = None
    failed: bool = False

    def records(self, ledger: LedgerReader, *, today: date) -> Iterator[Record]:
        """Yield versions: those delivered in order of time, then other final states, then what is in flight.

        Of a time that is over also those that were delivered then, and were sent again since.

        Args:
            ledger: Where to read; one page of a query is in memory at a time.
            today: In UTC.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        matches = re.compile(fnmatch.translate(self.name)).match if self.name is not None else None
        for record in self._all(ledger, today):
            if self.bucket not in (None, record.bucket):
                continue
            if matches is None or matches(record.key):
                yield record

    def events(self, record: Record) -> Iterator[Record]:
        """Yield what happened to the version in this time: its earlier deliveries, and its present state.

        Args:
            record: One of `records`.
        """
        if not self.failed and self.since is not None:
            for each in earlier_deliveries(record):
                if each.changed is not None and self.since <= each.changed and not self._is_later(each):
                    yield each
        if self.until is None or (is_final(record) and not self._is_later(record)):
            yield record

    def _is_later(self, record: Record) -> bool:
        return self.until is not None and record.changed is not None and record.changed >= self.until

    def _all(self, ledger: LedgerReader, today: date) -> Iterator[Record]:
        if not self.failed and self.since is not None:
            last = (self.until - timedelta(microseconds=1)).astimezone(UTC).date() if self.until else today
            first = self.since.astimezone(UTC).date()
            yield from ledger.delivered(first, last, since=self.since, until=self.until)
        for state in FAILURES if self.failed else FINAL_STATES:
            for record in ledger.in_state(state, since=self.since):
                if not self._is_later(record):
                    yield record
        if self.failed:
            return
        if self.until is None:
            yield from ledger.in_flight()
            return
        for record in ledger.sent_again(self.until, today):
            if any(self.events(record)):
                yield record


def row(record: Record, *, now: float) -> dict[str, Any]:
    """Return the fields of a version in JSON.

    Args:
        record: From the ledger.
        now: Seconds since 1970: what is over is not told as if it were not.
    """
    receipt = record.receipt if record.state == "DELIVERED" else {}
    return {
        "bucket": record.bucket,
        "key": record.key,
        "version_id": record.version or None,
        "state": record.state,
        "being_sent": not is_final(record) and record.is_being_sent(now),
        "first_seen": record.first_seen,
        "changed": record.changed,
        "delivery": number_of_delivery(record),
        "seconds_to_deliver": seconds_to_deliver(record),
        "bytes": record.size,
        "progress": None if is_final(record) else sent_so_far(record),
        "attempts": record.attempts,
        "remote_path": record.remote_path or None,
        "next_try": None if is_final(record) or record.next_try is None else from_epoch(record.next_try),
        "error": record.error or None,
        "operation": record.operation or None,
        "sftp_status": record.sftp_status or None,
        "reason": record.reason or None,
        "hint": hint_of(record) or None,
        "receipt": receipt_json(receipt) if receipt else None,
        "earlier_receipts": [
            {**receipt_json(each), "at": None if each.get("at") is None else from_epoch(float(each["at"]))}
            for each in record.earlier_receipts
        ],
        "after": after_json(record),
        "operator_actions": [
            {
                "action": str(each.get("action", "")),
                "who": str(each.get("who", "")),
                "at": from_epoch(float(each["at"])) if each.get("at") is not None else None,
                "reason": str(each.get("reason", "")),
                "id": str(each.get("id", "")),
            }
            for each in record.operator_actions
        ],
    }


def after_json(record: Record) -> dict[str, Any] | None:
    """Return what was done, or is left to do, with the object in S3 after its delivery; None: nothing."""
    after = record.item.get("after") if record.state == "DELIVERED" else None
    if not isinstance(after, Mapping):
        return None
    texts = {name: str(after[name]) if after.get(name) else None for name in _AFTER}
    return {**texts, "at": from_epoch(float(after["at"])) if after.get("at") is not None else None}


def receipt_json(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a receipt in JSON: as the ledger has them, the checksum in hexadecimal."""
    return {**receipt, "checksum": checksum_hex(receipt)}


class CsvWriter:
    """Writes rows for spreadsheets, the header first.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(CSV_COLUMNS)

    def write(self, fields: Mapping[str, Any]) -> None:
        """Write a row.

        Args:
            fields: As `row` returns them.
        """
        receipt = fields["receipt"] or {}
        actions = [
            f"{each['action']} by {each['who']}: {each['reason']}" for each in fields["operator_actions"]
        ]
        flat = {**receipt, **{name: value for name, value in fields.items() if name in CSV_COLUMNS}}
        if fields["state"] == "SENDING" and not fields["being_sent"]:
            flat["state"] = "WAITING"
        flat["companions"] = " ".join(map(str, receipt.get("companions") or ()))
        flat |= {"earlier_receipts": len(fields["earlier_receipts"]), "operator_actions": "; ".join(actions)}
        self._writer.writerow([_cell(flat.get(name)) for name in CSV_COLUMNS])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
