"""What a receipt says, in words and in the notation that partners compare."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from s3_to_sftp.doctor.advice import without_retry
from s3_to_sftp_cli.ledger import FINAL_STATES, Record

EVIDENCE = {
    "close_ok": "it was written under its final name, and the server answered all of that with OK",
    "rename_ok": "the server answered the RENAME with OK",
    "seen_after_rename": "no answer came to the RENAME; later the final name had the size and the "
    "modification time of the temporary file",
    "assumed": "no answer came to the RENAME, and the configuration counts that as delivered",
    "confirmed": "an operator has said that the partner has the file",
}
"""What proves that a file has its final name."""


def checksum_hex(receipt: Mapping[str, Any]) -> str:
    """Return the checksum in hexadecimal; empty where there is none. S3 and the ledger write base64."""
    text = str(receipt.get("checksum") or "")
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return text


def evidence_in_words(receipt: Mapping[str, Any]) -> str:
    """Return what proves that the file has its final name."""
    evidence = str(receipt.get("evidence", ""))
    return EVIDENCE.get(evidence, evidence)


def verified_in_words(receipt: Mapping[str, Any]) -> str:
    """Return which checksum that S3 has stored the sent bytes were compared with."""
    kind, _, rest = str(receipt.get("verified_by", "none")).partition(":")
    algorithm, _, parts = rest.partition("/")
    if kind == "full_object":
        return f"the bytes match S3's {algorithm} of the whole object"
    if kind == "composite":
        return f"the bytes match S3's composite {algorithm} of {parts or 'all'} parts"
    return "no checksum stored by S3 was compared" if kind == "none" else str(receipt["verified_by"])


def hint_of(record: Record) -> str:
    """Return what a person can do about a version; its end promises no retry."""
    return without_retry(record.hint) if record.state in FINAL_STATES else record.hint
