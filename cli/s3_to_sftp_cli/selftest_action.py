"""What the rule `after_delivery` does with the object of a self-test, and removing the copy that it makes."""

from collections.abc import Mapping
from typing import Any

from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.receipt_words import after_in_words

_LEFT = ("pending", "copied")


def action_of(record: Record | None) -> Mapping[str, Any]:
    """Return what was done with the object, or is left to do; empty: nothing is done with it."""
    after = record.item.get("after") if record is not None and record.state == "DELIVERED" else None
    return after if isinstance(after, Mapping) else {}


def is_under_way(record: Record | None) -> bool:
    """Return whether the action has neither ended nor failed."""
    after = action_of(record)
    return after.get("state") in _LEFT and not after.get("reason")


def in_words(record: Record | None) -> str:
    """Return what was done with the object, or is left to do; empty: nothing is done with it."""
    return after_in_words(action_of(record) or None)


def copy_of(record: Record | None) -> dict[str, str]:
    """Return where a move has put the object, as S3's requests name it; empty: nowhere."""
    after = action_of(record)
    if after.get("action") != "move" or not after.get("bucket") or not after.get("key"):
        return {}
    version = {"VersionId": str(after["version_id"])} if after.get("version_id") else {}
    return {"Bucket": str(after["bucket"]), "Key": str(after["key"]), **version}
