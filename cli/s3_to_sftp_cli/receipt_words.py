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


def after_in_words(after: object) -> str:
    """Return what was done with the object in S3 after its delivery, or is left to do; empty: nothing."""
    if not isinstance(after, Mapping):
        return ""
    words = _action_in_words(after)
    if not after.get("other_copy"):
        return words
    return f"{words.removesuffix('.')}. A copy may be at {after['other_copy']}"


def _action_in_words(after: Mapping[str, Any]) -> str:
    action, state = str(after.get("action", "")), str(after.get("state", ""))
    done = _AFTER.get(action, action)
    version = f" (version {after['version_id']})" if after.get("version_id") else ""
    target = f" to s3://{after['bucket']}/{after.get('key', '')}{version}" if after.get("bucket") else ""
    reason = f": {after['reason']}" if after.get("reason") else ""
    match state:
        case "done":
            return f"{done}{target}"
        case "copied":
            return f"copied{target}, and not deleted yet{reason}"
        case "gone" | "kept":
            return f"not {done}{reason}"
    return f"still to be {done}{target}{reason}"


_AFTER = {"tag": "tagged in S3", "move": "moved", "delete": "deleted from S3"}
