"""Dead letters of one object version: what they name, which are copies, and which it needs no more."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from s3_to_sftp.errors import OutcomeUnknown
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp_cli.dead_letters import DeadLetter, DeadLetterQueue
from s3_to_sftp_cli.ledger import Record
from s3_to_sftp_cli.operator_messages import notification_of

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What a body that nobody has checked can raise."""


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
        entry = _only_entry(body)
        wanted = _identity(notification_of(record)["Records"][0]["s3"])
        return entry is not None and _identity(entry) == wanted
    except _UNREADABLE:
        return False


def what_copies_share(letter: DeadLetter) -> tuple[str, ...] | None:
    """Return what is the same in all copies of a dead letter; None: it has none that can be told.

    `retry` sends a second message, and where the object fails permanently, both are dead-lettered. One of
    them does what both do. A message that asks for something else (`resend`, `backfill`, or to send it after
    an unknown outcome) is no copy, and one that names several objects has none.
    """
    try:
        entry = _only_entry(letter.body)
        if entry is None:
            return None
        sequencer = (entry["object"].get("sequencer") or "").upper()
        wanted = (_unless_retry(letter.text("operator"), sequencer), _resends(letter))
        return (*_identity(entry), sequencer, *wanted)
    except _UNREADABLE:
        return None


def _unless_retry(operator: str, sequencer: str) -> str:
    """Return what an operator asks for; empty: no more than the event itself, which has a sequencer."""
    if not operator or not sequencer:
        return operator
    try:
        request = OperatorRequest.from_text(operator)
    except ValueError:
        return operator
    return "" if request.action is Action.RETRY else operator


def _resends(letter: DeadLetter) -> str:
    return str(letter.text("error") == OutcomeUnknown.__name__)


def _only_entry(body: str) -> Mapping[str, Any] | None:
    entries = _entries(json.loads(body))
    return entries[0] if len(entries) == 1 else None


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
