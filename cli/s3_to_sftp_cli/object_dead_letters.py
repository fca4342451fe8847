"""Dead letters of one object version: found by what they name, and removed when it needs them no more."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from s3_to_sftp_cli.dead_letters import DeadLetterQueue
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.operator_messages import notification_of


def remove_dead_letters(client: Any, url: str, record: Record) -> int:
    """Delete the dead letters that name this version and nothing else; return how many.

    Others are hidden for a moment, and come back. A message that names several objects stays: the others need
    it, and the ledger keeps this one from being sent.

    Args:
        client: A low-level SQS client; see `DeadLetterQueue`.
        url: Of the dead-letter queue.
        record: The version.

    Raises:
        ClientError, BotoCoreError: SQS refused, or did not answer.
    """
    queue = DeadLetterQueue(client, url)
    removed = 0
    with queue.all_letters() as letters:
        for letter in letters:
            if names_only(letter.body, record):
                queue.delete(letter)
                removed += 1
    return removed


def names_only(body: str, record: Record) -> bool:
    """Return whether a message is about this version of this object, and about nothing else."""
    try:
        entries = _entries(json.loads(body))
        wanted = _identity(notification_of(record)["Records"][0]["s3"])
        return len(entries) == 1 and _identity(entries[0]) == wanted
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _entries(message: Any) -> list[Mapping[str, Any]]:
    """Return what a message names, in the form of S3's own notifications."""
    if "Message" in message and "TopicArn" in message:
        return _entries(json.loads(message["Message"]))
    if "detail-type" in message:
        return [_as_notified(message["detail"])]
    entries: list[Mapping[str, Any]] = []
    for record in message["Records"]:
        entries += _entries(record["Sns"]) if "Sns" in record else [record["s3"]]
    return entries


def _as_notified(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the detail of an EventBridge event, whose key is not form-encoded, as a notification has it."""
    about = detail["object"]
    named = {"versionId": about.get("version-id"), "eTag": about.get("etag")}
    key = about["key"].replace("%", "%25").replace("+", "%2B")
    return {"bucket": detail["bucket"], "object": {**about, **named, "key": key}}


def _identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    about = entry["object"]
    named = (entry["bucket"]["name"], unquote_plus(about["key"], errors="strict"))
    version = about.get("versionId")
    if version not in (None, "", "null"):
        return (*named, version)
    return (*named, about.get("eTag") or "", (about.get("sequencer") or "").upper())
