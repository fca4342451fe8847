"""Object versions of the ledger as lines for people."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from s3_to_sftp_cli.deliveries import is_final, seconds_to_deliver, sent_so_far
from s3_to_sftp_cli.layout import labelled, printable
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.receipt_words import (
    after_in_words,
    checksum_hex,
    evidence_in_words,
    hint_of,
    verified_in_words,
)
from s3_to_sftp_cli.sizes import count_text, size_text
from s3_to_sftp_cli.times import from_epoch, in_words, in_zone_of

_LABEL = 14

_STYLES = {"DELIVERED": "green", "FAILED": "bold red", "UNKNOWN": "bold red"}


def summary(record: Record, *, now: datetime) -> Text:
    """Return one line: since when it is in its state, the state, the size, the key."""
    state = state_in_words(record, now.timestamp())
    text = Text(f"{_time(record.changed, now)}  ")
    text.append(f"{state:<10}  ", style=_STYLES.get(record.state, ""))
    text.append(f"{'' if record.size is None else size_text(record.size):>8}  {printable(record.key)}")
    if record.state != "DELIVERED" and (why := cause(record)):
        text.append(f"  {why}", style="dim")
    if record.was_sent_again:
        text.append("  sent again since", style="dim")
    return text


def cause(record: Record) -> str:
    """Return why it was not delivered, in as few words as there are for it."""
    return printable(f"{record.sftp_status} {record.operation}".strip() or record.error)


def state_in_words(record: Record, now: float) -> str:
    """Return the state; what nobody sends now is waiting, whatever the last attempt has left."""
    if record.state in ("WAITING", "SENDING") and not record.is_being_sent(now):
        return "waiting"
    return record.state


def details(record: Record, *, now: datetime, width: int) -> Iterator[Text]:
    """Yield all that is known of a version, line by line.

    Args:
        record: From the ledger.
        now: With the time zone of the reader.
        width: Columns of the terminal.
    """
    name = f"version {record.version}" if record.version else "version without an id"
    head = Text(f"{printable(name)}   ", style="bold")
    yield head.append(state_in_words(record, now.timestamp()), style=_STYLES.get(record.state, ""))
    for label, text in _details(record, now):
        yield labelled(label, [text], width=width, label_width=_LABEL)
    for number, receipt in enumerate(record.earlier_receipts, start=1):
        yield labelled(f"receipt {number}", [_earlier(receipt, now)], width=width, label_width=_LABEL)
    for action in record.operator_actions:
        yield labelled("operator", [_action(action, now)], width=width, label_width=_LABEL)


def _details(record: Record, now: datetime) -> Iterator[tuple[str, str]]:
    if record.first_seen:
        yield "first seen", _time(record.first_seen, now)
    if is_final(record):
        took = seconds_to_deliver(record)
        after = f", {took:.1f} s later" if took is not None and took < 60 else ""
        after = f", {in_words(took)} later" if took is not None and took >= 60 else after
        yield record.state.lower(), f"{_time(record.changed, now)}{after}"
    elif record.is_being_sent(now.timestamp()):
        yield "being sent", printable(f"by the invocation {record.owner}")
    elif record.next_try is not None:
        is_due = record.next_try <= now.timestamp()
        yield "next try", "due" if is_due else _time(from_epoch(record.next_try), now)
    yield "attempts", str(record.attempts)
    if record.size is not None:
        yield "size", f"{record.size:,} bytes ({size_text(record.size)})"
    if not is_final(record) and (sent := _progress(record, now)):
        yield "sent so far", sent
    if record.remote_path:
        yield "remote path", printable(record.remote_path)
    if record.state == "DELIVERED":
        yield from _receipt(record.receipt)
        if after := after_in_words(record.item.get("after")):
            yield "afterwards", printable(after)
        return
    for label, text in (("error", record.error), ("reason", record.reason), ("hint", hint_of(record))):
        if text:
            yield label, printable(text)
    if record.operation or record.sftp_status:
        yield "refused", cause(record)


def _progress(record: Record, now: datetime) -> str:
    progress = sent_so_far(record)
    if progress is None:
        return ""
    sent, total, at = progress["bytes"], progress["total"], progress["at"]
    share = f" of {total:,} bytes ({sent * 100 // total} %)" if total else " bytes"
    ago = f", {in_words(now.timestamp() - at.timestamp())} ago" if at is not None else ""
    return f"{sent:,}{share}{ago}"


def _receipt(receipt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if checksum := checksum_hex(receipt):
        yield "checksum", printable(f"{receipt.get('checksum_algorithm', '')} {checksum}".strip())
    if receipt.get("sha256"):
        yield "sha256", printable(receipt["sha256"])
    if receipt.get("sequence") is not None:
        yield "number", printable(receipt["sequence"])
    for companion in receipt.get("companions") or ():
        yield "beside it", printable(companion)
    yield "verified", printable(verified_in_words(receipt))
    yield "evidence", printable(evidence_in_words(receipt))
    if receipt.get("host_key"):
        yield "host key", printable(receipt["host_key"])
    if receipt.get("streams"):
        sent = f"{count_text(int(receipt['streams']), 'stream')}, {float(receipt.get('seconds', 0)):.1f} s"
        yield "sent", sent + (", recorded by a later invocation" if receipt.get("recovered") else "")
    if receipt.get("request_id"):
        yield "request", printable(receipt["request_id"])


def _earlier(receipt: Mapping[str, Any], now: datetime) -> str:
    at = _time(from_epoch(float(receipt["at"])), now) if receipt.get("at") is not None else ""
    checksum = f"{receipt.get('checksum_algorithm', '')} {checksum_hex(receipt)}".strip()
    size = f"{int(receipt['bytes']):,} bytes" if receipt.get("bytes") is not None else ""
    parts = [at, str(receipt.get("remote_path", "")), size, checksum, evidence_in_words(receipt)]
    request = f"request {receipt['request_id']}" if receipt.get("request_id") else ""
    return printable(", ".join(part for part in (*parts, request) if part))


def _action(action: Mapping[str, Any], now: datetime) -> str:
    at = _time(from_epoch(float(action["at"])), now) if action.get("at") is not None else ""
    why = f": {action['reason']}" if action.get("reason") else ""
    return printable(f"{at} {action.get('action', '')} by {action.get('who', '')}{why}".strip())


def _time(time: datetime | None, now: datetime) -> str:
    return f"{in_zone_of(now, time):%Y-%m-%d %H:%M:%S}" if time else ""
