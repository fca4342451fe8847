"""What can be done with an SQS message: return it to the queue, continue, acknowledge or dead-letter it.

A message that has to wait is sent again, with a delay, and the old one is acknowledged. SQS counts how often
a message is received and moves it to the dead-letter queue at a limit, without a reason; the count of a new
message starts at zero. The retry history travels in message attributes, which can be changed in no other way.
Send first, then acknowledge: a function that dies in between leaves two messages, which the ledger tolerates.

Redriving. `StartMessageMoveTask` without a destination returns only messages that SQS itself moved to the
dead-letter queue. For one that was *sent* there, as `dead_letter` does, SQS knows no source queue and the
task fails with `CouldNotDetermineMessageSource` ("Troubleshoot Amazon SQS dead-letter queue and DLQ redrive
issues", SQS developer guide). So the operator names the queue, which works for both kinds:

    aws sqs start-message-move-task --source-arn DEAD_LETTER_QUEUE_ARN --destination-arn QUEUE_ARN

A redriven message is new to SQS: its id, the time it was sent and its receive count start again, and so do
its retries and the time that it is retried for. Its other attributes stay.
"""

import base64
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import OutcomeUnknown, QueueError
from s3_to_sftp.operator_request import OperatorRequest
from s3_to_sftp.queue.retry_policy import RetryHistory
from s3_to_sftp.untrusted_text import cut, quoted

_log = logging.getLogger(__name__)

_MAX_DELAY_SECONDS = 900
"""The most that SQS allows (SendMessage, DelaySeconds)."""

_MAX_BYTES = 256 * 1024
"""Body and attributes together: what the construct's queues accept, and what SQS has always accepted."""

_MAX_ATTRIBUTES = 10
_MAX_TEXT_BYTES = 4096
"""Of one explanation. An error may quote the partner, and that text has no limit."""

_CONTINUED = "continued"
_RETRIES = "retries"
_OPERATOR = "operator"
_KEPT = (_CONTINUED, _OPERATOR)
"""Attributes of ours that every message keeps which is made of another one."""
_OURS = (*_KEPT, _RETRIES)
_EXPLANATIONS = ("error", "operation", "status", "bucket", "key", "reason", "hint")
"""In the order in which they get the remaining room: what dead letters are selected by comes first."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One SQS message, as Lambda passes it.

    Attributes:
        id: Message id.
        body: As it was sent.
        receipt_handle: Identifies this receipt of the message.
        receive_count: How often it was received, this time included.
        sent_at: When it was sent, in seconds since the epoch. Sending it again resets this.
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
        """Read a record of the Lambda event. SQS writes it, so it is not validated."""
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
        # Every sender with access to the queue may write anything into an attribute.
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0

    @property
    def is_operator_resend(self) -> bool:
        """Whether it was redriven after an unknown outcome: its attributes still carry that error."""
        return _text(self.attributes, "error") == OutcomeUnknown.__name__

    @property
    def operator(self) -> OperatorRequest | None:
        """What an operator asked for; None for a message that no operator has sent."""
        text = _text(self.attributes, _OPERATOR)
        if not text:
            return None
        try:
            return OperatorRequest.from_text(text)
        except ValueError as error:  # anybody who may send to the queue may write anything into an attribute
            _log.warning("attribute %r of message %s ignored: %s", _OPERATOR, self.id, error)
            return None

    @property
    def history(self) -> RetryHistory:
        """Its retries and waits since its event was sent."""
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
        max_delay_seconds: int = _MAX_DELAY_SECONDS,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._dead_letter_queue_url = dead_letter_queue_url
        self._clock = clock
        self._max_delay_seconds = max_delay_seconds

    def return_to_queue(self, message: Message, *, body: str, history: RetryHistory, delay: float) -> None:
        """Send the message to the queue again, to be received after a delay. The old message is still there.

        Args:
            message: As it was received.
            body: Its body, or a part of it.
            history: Its retries and waits so far.
            delay: Seconds, rounded up; at most the 15 minutes that SQS allows.

        Raises:
            QueueError: SQS refused or did not answer; the message must stay in the queue.
        """
        attributes = _kept_attributes(message, added=(_RETRIES, "error"))
        text = history.as_text(sent=self._clock())
        attributes[_RETRIES] = {"DataType": "String", "StringValue": text}
        if message.is_operator_resend:  # until it has been tried
            attributes["error"] = _as_sent(message.attributes["error"])
        self._send(
            body,
            self._queue_url,
            attributes,
            f"The message {message.id} cannot be returned to the queue",
            DelaySeconds=min(max(math.ceil(delay), 0), self._max_delay_seconds),
        )

    def send_continuation(self, message: Message, *, body: str) -> None:
        """Send the message to the queue again, so that the next invocation resumes its object.

        The time that it is retried for starts again: there was progress, and 5 TB take longer than a day.

        Args:
            message: As it was received.
            body: Its body, or a part of it.

        Raises:
            QueueError: SQS refused or did not answer; the message must stay in the queue.
        """
        attributes = _kept_attributes(message, added=(_CONTINUED,))
        attributes[_CONTINUED] = {"DataType": "Number", "StringValue": str(message.continued + 1)}
        self._send(body, self._queue_url, attributes, f"The message {message.id} cannot be continued")

    def acknowledge(self, message: Message) -> None:
        """Delete a message after its content was sent in another message.

        Lambda deletes it, too, when the invocation ends. A function that dies before that would leave the old
        message in addition to the new one, and each of the two could be duplicated again.
        """
        try:
            self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt_handle)
        except (ClientError, BotoCoreError) as error:
            _log.warning("message %s not deleted, Lambda will delete it: %s", message.id, error)

    def dead_letter(
        self,
        message: Message,
        *,
        reason: str,
        hint: str,
        error: str,
        operation: str = "",
        status: str = "",
        bucket: str = "",
        key: str = "",
    ) -> None:
        """Send the message to the dead-letter queue: the same body and attributes, and the error.

        The retry history is left out: a redrive starts the retries from the beginning. So are texts that are
        empty.

        Args:
            message: As it was received.
            reason: What is wrong.
            hint: What a person can do.
            error: Name of the error's class.
            operation: The request that the server has refused: `create`, `rename` ...
            status: The status that it has refused it with: `PERMISSION_DENIED` ...
            bucket: Of the object; of the first one, where several have failed.
            key: Of the same object.

        Raises:
            QueueError: SQS refused or did not answer; the message must stay in the queue.
        """
        explanations = {
            "error": error,
            "operation": operation,
            "status": status,
            "bucket": bucket,
            "key": key,
            "reason": reason,
            "hint": hint,
        }
        kept = _kept_attributes(message, added=[name for name, text in explanations.items() if text])
        self._send(
            message.body,
            self._dead_letter_queue_url,
            _with_explanations(kept, explanations, body=message.body),
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
        _request(
            self._client.send_message,
            failed,
            "It stays in the queue and is received again after its visibility timeout. The function's role "
            f"needs sqs:SendMessage on {queue_url}.",
            QueueUrl=queue_url,
            MessageBody=body,
            MessageAttributes=attributes,
            **options,
        )


def _request(operation: Callable[..., Any], failed: str, hint: str, **request: Any) -> None:
    try:
        operation(**request)
    except (ClientError, BotoCoreError) as error:
        raise QueueError(f"{failed}: {quoted(error)}.", hint=hint) from None


def _text(attributes: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return str(attributes.get(name, {}).get("stringValue", ""))


def _kept_attributes(message: Message, *, added: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the attributes in the form in which they are sent, without those that are rewritten each time.

    S3's messages have none. If another sender has set ten, the last ones make room for ours.

    Args:
        message: As it was received.
        added: Names of the attributes that it is about to get.
    """
    foreign = (name for name in message.attributes if name not in (*_OURS, *_EXPLANATIONS))
    kept = [name for name in message.attributes if name in _KEPT and name not in added]
    kept += list(foreign)[: _MAX_ATTRIBUTES - len(added) - len(kept)]
    return {name: _as_sent(message.attributes[name]) for name in kept}


def _as_sent(attribute: Mapping[str, Any]) -> dict[str, Any]:
    sent = {"DataType": attribute["dataType"]}
    if attribute.get("binaryValue") is not None:
        return {**sent, "BinaryValue": base64.b64decode(attribute["binaryValue"])}
    return {**sent, "StringValue": attribute["stringValue"]}


def _with_explanations(
    attributes: Mapping[str, Mapping[str, Any]], explanations: Mapping[str, str], *, body: str
) -> dict[str, Mapping[str, Any]]:
    """Add the explanations, cut so that the message is not too large. The body takes precedence."""
    explained = dict(attributes)
    for name in _EXPLANATIONS:
        around = len(name) + len("String")
        room = _MAX_BYTES - _size(body, explained) - around
        # SQS refuses an empty value: an explanation without text, or without room, is left out.
        if text := cut(explanations[name], min(room, _MAX_TEXT_BYTES)):
            explained[name] = {"DataType": "String", "StringValue": text}
    return explained


def _size(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size as SQS counts it: the body, and name, type and value of every attribute."""
    return len(body.encode()) + sum(
        len(name.encode())
        + len(attribute["DataType"].encode())
        + len(attribute.get("BinaryValue") or attribute["StringValue"].encode())
        for name, attribute in attributes.items()
    )
