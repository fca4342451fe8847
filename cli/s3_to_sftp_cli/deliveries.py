"""The deliveries of an object version: one that was sent again has several, and each has a receipt."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from s3_to_sftp_cli.ledger import FINAL_STATES, Record
from s3_to_sftp_cli.times import from_epoch


def earlier_deliveries(record: Record) -> Iterator[Record]:
    """Yield what the ledger had of the version after each delivery before the last one, the oldest first.

    `changed` is the time of that delivery; None: an old version of the function has not recorded it.
    """
    for number, receipt in enumerate(record.earlier_receipts):
        at = float(receipt["at"]) if receipt.get("at") is not None else None
        yield replace(
            record,
            state="DELIVERED",
            attempts=int(receipt.get("attempt", 0)),
            remote_path=str(receipt.get("remote_path", "")),
            reason="",
            hint="",
            error="",
            operation="",
            sftp_status="",
            size=int(receipt["bytes"]) if "bytes" in receipt else record.size,
            changed=None if at is None else from_epoch(at),
            next_try=None,
            owner=None,
            lease_until=0.0,
            progress={},
            receipt=receipt,
            earlier_receipts=record.earlier_receipts[:number],
            operator_actions=tuple(
                each for each in record.operator_actions if each.get("at", 0) <= (at or 0)
            ),
            was_sent_again=True,
        )


def number_of_delivery(record: Record) -> int | None:
    """Return 1 for the first delivery of a version, 2 for the next one; None: it is not delivered."""
    return len(record.earlier_receipts) + 1 if record.state == "DELIVERED" else None


def seconds_to_deliver(record: Record) -> float | None:
    """Return the seconds from the first sight to the first receipt; None: not delivered, or sent again."""
    if number_of_delivery(record) != 1 or not (record.changed and record.first_seen):
        return None
    return round(max(0.0, (record.changed - record.first_seen).total_seconds()), 3)


def sent_so_far(record: Record) -> dict[str, Any] | None:
    """Return `bytes` and `total` of an upload, and the time `at` which that was; None: not recorded.

    The function records it of large uploads, 10 seconds after their start and then every 20.
    """
    progress = record.progress
    if "bytes" not in progress:
        return None
    return {
        "bytes": int(progress["bytes"]),
        "total": int(progress.get("total") or record.size or 0),
        "at": from_epoch(float(progress["at"])) if "at" in progress else None,
    }


def is_final(record: Record) -> bool:
    """Return whether nothing will be done about the version unless somebody asks for it."""
    return record.state == "DELIVERED" or record.state in FINAL_STATES
