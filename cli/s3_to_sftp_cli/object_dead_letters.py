"""Dead letters of one object version: found by what they name, and removed when it needs them no more."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.operator_messages import notification_of

_BATCH = 10
_HIDDEN_SECONDS = 120
"""How long a received message is hidden from others; it comes back by itself after an interruption."""

_EMPTY_ANSWERS = 3
"""This many answers in a row without anything new mean that all were seen: SQS asks a part of its servers."""


def remove_dead_letters(client: Any, url: str, record: Record) -> int:
    """Delete the dead letters that name this version and nothing else; return how many.

    Others are hidden for a moment, and come back. A message that names several objects stays: the others need
    it, and the ledger keeps this one from being sent.

    Args:
        client: A low-level SQS client; needs `sqs:ReceiveMessage`, `sqs:ChangeMessageVisibility` and
            `sqs:DeleteMessage` on the dead-letter queue.
        url: Of the dead-letter queue.
        record: The version.

    Raises:
        ClientError, BotoCoreError: SQS refused, or did not answer.
    """
    others: dict[str, str] = {}
    removed: set[str] = set()
    empty = 0
    try:
        while empty < _EMPTY_ANSWERS:
            answer = client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HIDDEN_SECONDS,
                WaitTimeSeconds=1,
            )
            messages = answer.get("Messages", [])
            empty = 0 if any(each["MessageId"] not in others for each in messages) else empty + 1
            for message in messages:
                if names_only(message["Body"], record):
                    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    removed.add(message["MessageId"])
                else:
                    others[message["MessageId"]] = message["ReceiptHandle"]
    finally:
        _show_again(client, url, list(others.values()))
    return len(removed)


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


def _show_again(client: Any, url: str, handles: Sequence[str]) -> None:
    for start in range(0, len(handles), _BATCH):
        entries = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for number, handle in enumerate(handles[start : start + _BATCH])
        ]
        with contextlib.suppress(ClientError, BotoCoreError):  # they come back by themselves
            client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
