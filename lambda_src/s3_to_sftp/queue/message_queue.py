"""What can be done with an SQS message: send it anew, acknowledge it, dead-letter it.

A message that has to wait is sent anew, with a delay, and the old one is acknowledged. SQS counts the
receives of a message and moves it to the dead-letter queue at a limit, without a reason; one that was sent
anew begins at none. What it has been through travels in its attributes, which cannot be changed otherwise.
Send first, then acknowledge: a function that dies in between leaves two messages, which the ledger tolerates.

Sending dead-lettered messages back. `StartMessageMoveTask` without a destination returns only those messages that
SQS itself moved to the dead-letter queue. For one that was *sent* there, as `dead_letter` does, SQS knows no source
queue and the task fails with `CouldNotDetermineMessageSource` ("Troubleshoot Amazon SQS dead-letter queue and
DLQ redrive issues", SQS developer guide). So the operator names the queue; that works for both kinds:

    aws sqs start-message-move-task --source-arn DEAD_LETTER_QUEUE_ARN --destination-arn QUEUE_ARN

A message that was moved back is new to SQS: its id, the time of its sending and its count of receipts start
again, and so do its tries and the time that it is retried for. Its other attributes stay.
"""

import base64
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import OutcomeUnknown, QueueError
from s3_to_sftp.queue.retry_policy import RetryHistory
from s3_to_sftp.untrusted_text import cut, quoted

_log = logging.getLogger(__name__)

_LONGEST_DELAY = 900
"""Seconds: the most that SQS takes (SendMessage, DelaySeconds)."""

_MOST_BYTES = 256 * 1024
"""Body and attributes together: what the construct's queues take, and what SQS has always taken."""

_MOST_ATTRIBUTES = 10
_MOST_TEXT_BYTES = 4096
"""Of one explanation. An error may quote what the partner said, and nobody bounds that."""

_CONTINUED = "continued"
_RETRIES = "retries"
_OURS = (_CONTINUED, _RETRIES)
_EXPLANATIONS = ("error", "reason", "hint")
"""In the order in which they get what room there is."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One SQS message, as Lambda hands it over.

    Attributes:
        id: Message id.
        body: As it was sent.
        receipt_handle: Names this receipt of the message.
        receive_count: Receipts so far, this one included.
        sent_at: When it was sent, in seconds since the epoch. Whoever sends it anew starts this again.
        attributes: Message attributes as they came: `stringValue` or `binaryValue` (base64), `dataType`.
    """

    id: str
    body: str
    receipt_handle: str
    receive_count: int
    sent_at: float
    attributes: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Message":
        """Read a record of the Lambda event. SQS writes it, so that nothing in it is doubted."""
        return cls(
            id=record["messageId"],
            body=record["body"],
            receipt_handle=record["receiptHandle"],
            receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
            sent_at=int(record["attributes"]["SentTimestamp"]) / 1000,
            attributes=record.get("messageAttributes") or {},
        )

    @property
    def continued(self) -> int:
        """How many continuations led to this message."""
        text = _text(self.attributes, _CONTINUED)
        # Anybody who may send to the queue may write anything into an attribute.
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0

    @property
    def is_operator_resend(self) -> bool:
        """Whether it comes from the dead-letter queue, where it said that nobody knows what was delivered."""
        return _text(self.attributes, "error") == OutcomeUnknown.__name__

    @property
    def tries(self) -> RetryHistory:
        """What it has been through since its event was sent."""
        return RetryHistory.from_text(_text(self.attributes, _RETRIES), sent=self.sent_at)


class MessageQueue:
    """The queue that the function reads, and its dead-letter queue."""

    def __init__(
        self,
        client: Any,
        *,
        queue_url: str,
        dead_letter_queue_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._dead_letter_queue_url = dead_letter_queue_url
        self._clock = clock

    def resend(self, message: Message, *, body: str, tries: RetryHistory, delay: float) -> None:
        """Send a message to the queue again, to be received after a delay. The old one is still there.

        Args:
            message: As it was received.
            body: Its body, or a part of it.
            tries: What it has been through.
            delay: Seconds, rounded up; cut to the 15 minutes that SQS takes.

        Raises:
            QueueError: Could not; the message must stay in the queue.
        """
        attributes = _kept_attributes(message)
        text = tries.as_text(sent=self._clock())
        attributes[_RETRIES] = {"DataType": "String", "StringValue": text}
        if message.is_operator_resend:  # until it has been tried
            attributes["error"] = _as_sent(message.attributes["error"])
        self._send(
            body,
            self._queue_url,
            attributes,
            f"The message {message.id} cannot be sent anew",
            DelaySeconds=min(max(math.ceil(delay), 0), _LONGEST_DELAY),
        )

    def continue_(self, message: Message, *, body: str) -> None:
        """Send a message to the queue again, for the next invocation to resume its object.

        The time that it is retried for starts again: there was progress, and 5 TB take longer than a day.

        Args:
            message: As it was received.
            body: Its body, or a part of it.

        Raises:
            QueueError: Could not; the message must stay in the queue.
        """
        attributes = _kept_attributes(message)
        attributes[_CONTINUED] = {"DataType": "Number", "StringValue": str(message.continued + 1)}
        self._send(body, self._queue_url, attributes, f"The message {message.id} cannot be continued")

    def acknowledge(self, message: Message) -> None:
        """Delete a message whose content was sent elsewhere.

        Lambda deletes it, too, when the invocation ends. A function that dies before that would leave the old
        message beside the new one, and each of the two could be doubled again.
        """
        try:
            self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt_handle)
        except (ClientError, BotoCoreError) as error:
            _log.warning("the message %s is left to Lambda to delete: %s", message.id, error)

    def dead_letter(self, message: Message, *, reason: str, hint: str, error: str) -> None:
        """Send the message to the dead-letter queue: the same body and attributes, and what was wrong.

        What it has been through is left out: whoever sends it back wants it to be tried anew.

        Args:
            message: As it was received.
            reason: What is wrong.
            hint: What a person can do.
            error: Name of the error's class.

        Raises:
            QueueError: Could not; the message must stay in the queue.
        """
        explanations = {"error": error, "reason": reason, "hint": hint}
        self._send(
            message.body,
            self._dead_letter_queue_url,
            _with_explanations(_kept_attributes(message), explanations, body=message.body),
            f"The message {message.id} cannot be sent to the dead-letter queue",
        )

    def _send(
        self,
        body: str,
        queue_url: str,
        attributes: Mapping[str, Mapping[str, Any]],
        failed: str,
        **options: Any,
    ) -> None:
        _ask(
            self._client.send_message,
            failed,
            "It stays in the queue and comes back when its visibility timeout is over. The function's role "
            f"needs sqs:SendMessage on {queue_url}.",
            QueueUrl=queue_url,
            MessageBody=body,
            MessageAttributes=attributes,
            **options,
        )


def _ask(operation: Callable[..., Any], failed: str, hint: str, **request: Any) -> None:
    try:
        operation(**request)
    except (ClientError, BotoCoreError) as error:
        raise QueueError(f"{failed}: {quoted(error)}.", hint=hint) from None


def _text(attributes: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return str(attributes.get(name, {}).get("stringValue", ""))


def _kept_attributes(message: Message) -> dict[str, dict[str, Any]]:
    """Return the attributes in the form in which they are sent, without what is written anew each time.

    S3's messages have none. Of a stranger's ten, the last ones make room for what is said here.
    """
    strangers = (name for name in message.attributes if name not in (*_OURS, *_EXPLANATIONS))
    kept = [name for name in message.attributes if name == _CONTINUED]
    kept += list(strangers)[: _MOST_ATTRIBUTES - len(_EXPLANATIONS) - 1]
    return {name: _as_sent(message.attributes[name]) for name in kept}


def _as_sent(attribute: Mapping[str, Any]) -> dict[str, Any]:
    sent = {"DataType": attribute["dataType"]}
    if attribute.get("binaryValue") is not None:
        return {**sent, "BinaryValue": base64.b64decode(attribute["binaryValue"])}
    return {**sent, "StringValue": attribute["stringValue"]}


def _with_explanations(
    attributes: Mapping[str, Mapping[str, Any]], explanations: Mapping[str, str], *, body: str
) -> dict[str, Mapping[str, Any]]:
    """Add the explanations, cut so that the message is not too large. The body always goes first."""
    explained = dict(attributes)
    for name in _EXPLANATIONS:
        around = len(name) + len("String")
        room = _MOST_BYTES - _size(body, explained) - around
        # SQS refuses an empty value: what has no text, or no room, is left out.
        if text := cut(explanations[name], min(room, _MOST_TEXT_BYTES)):
            explained[name] = {"DataType": "String", "StringValue": text}
    return explained


def _size(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """Count as SQS does: the body, and name, type and value of every attribute."""
    return len(body.encode()) + sum(
        len(name.encode())
        + len(attribute["DataType"].encode())
        + len(attribute.get("BinaryValue") or attribute["StringValue"].encode())
        for name, attribute in attributes.items()
    )
