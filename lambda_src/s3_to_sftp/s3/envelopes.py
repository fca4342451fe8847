"""The envelopes in which S3's notifications arrive, one inside another.

    S3's notification              {"Records": [{"eventSource": "aws:s3", ...}, ...]}
    EventBridge's event            {"detail-type": "Object Created", "source": "aws.s3", ...}
    SNS in a queue                 {"Type": "Notification", "Message": "..."}
    SNS that invokes the function  {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "..."}}]}

SNS may hold either of the first two, and with raw delivery puts them into the queue as they are. Each arrives
inside an SQS message, or is what the function is invoked with. What is none of these is refused by its name.
"""

import functools
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.errors import EventError
from s3_to_sftp.s3.malformed import malformed, quoted
from s3_to_sftp.s3.notifications import object_in_event, object_in_record
from s3_to_sftp.s3.object_ref import ObjectRef

_log = logging.getLogger(__name__)

_MOST_REASONS = 3
"""Different reasons that an error quotes of one message."""

_DEEPEST = 3
"""Nested envelopes. SNS in a queue is one; wrapping it twice is never intended."""


@dataclass(frozen=True)
class ParsedMessage:
    """The objects that a message names. A malformed record does not affect the others.

    Attributes:
        objects: Created objects, in order.
        refused: What is wrong with the rest, one error for each.
    """

    objects: tuple[ObjectRef, ...] = ()
    refused: tuple[EventError, ...] = ()

    @property
    def error(self) -> EventError | None:
        """What is wrong with the message as a whole; None where nothing was refused."""
        reasons = list(dict.fromkeys(error.reason for error in self.refused))
        if not reasons:
            return None
        more = f" (and {len(self.refused) - 1} more of its records)" if len(self.refused) > 1 else ""
        return EventError(f"{' '.join(reasons[:_MOST_REASONS])}{more}", hint=self.refused[0].hint)

    def strict(self) -> list[ObjectRef]:
        """Return the objects.

        Raises:
            EventError: Something was refused.
        """
        if error := self.error:
            raise error
        return list(self.objects)


def is_from_queue(event: object) -> bool:
    """Return whether the Lambda event is a batch of SQS messages."""
    records = event.get("Records") if isinstance(event, dict) else None
    return bool(
        isinstance(records, list)
        and records
        and isinstance(records[0], dict)
        and records[0].get("eventSource") == "aws:sqs"
    )


def objects_in_message(body: str) -> list[ObjectRef]:
    """Return the created objects that an SQS message body names, in order.

    Raises:
        EventError: The body, or a part of it, is not an S3 notification.
    """
    return read_message(body).strict()


def objects_in_notification(notification: object) -> list[ObjectRef]:
    """Return the created objects that a notification names, in whichever envelope, in order.

    Raises:
        EventError: It, or a part of it, is not an S3 notification.
    """
    return read_notification(notification).strict()


def read_message(body: object) -> ParsedMessage:
    """Read the body of an SQS message. Never raises."""
    return _one(functools.partial(_in_text, body, "its body", depth=0))


def read_notification(notification: object) -> ParsedMessage:
    """Read what the function is invoked with.

    `s3:TestEvent`, folder markers, events other than the creation of an object, and an empty list name no
    object. Never raises.
    """
    return _one(functools.partial(_in_envelope, notification, depth=0))


def _one(read: Callable[[], ParsedMessage]) -> ParsedMessage:
    try:
        return read()
    except EventError as error:
        return ParsedMessage(refused=(error,))


def _all(parts: Iterable[ParsedMessage]) -> ParsedMessage:
    objects: list[ObjectRef] = []
    refused: list[EventError] = []
    for part in parts:
        objects += part.objects
        refused += part.refused
    return ParsedMessage(tuple(objects), tuple(refused))


def _in_text(text: object, what: str, *, depth: int) -> ParsedMessage:
    if not isinstance(text, str):
        raise malformed(f"{what} is {quoted(text)}, not text")
    try:
        notification = json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise malformed(f"{what} is nested too deep") from None
    except ValueError as error:  # quotes a character at most
        raise malformed(f"{what} is not JSON ({error})") from None
    return _in_envelope(notification, depth=depth)


def _in_envelope(notification: object, *, depth: int) -> ParsedMessage:
    if not isinstance(notification, dict):
        raise malformed(f"it is {type(notification).__name__}, not an object")
    if depth > _DEEPEST:
        raise malformed(f"it is nested in more than {_DEEPEST} other messages")
    if "detail-type" in notification:
        return _one_object(object_in_event(notification))
    if "Type" in notification and "TopicArn" in notification:
        return _in_sns(notification, depth=depth)
    if notification.get("Event") == "s3:TestEvent":
        _log.info("test event of bucket %s acknowledged", quoted(notification.get("Bucket")))
        return ParsedMessage()
    records = notification.get("Records")
    if not isinstance(records, list):
        raise _not_a_list(notification)
    if not records:
        _log.warning("notification with an empty list of records acknowledged: it names no object")
    return _all(_one(functools.partial(_in_record, record, depth=depth)) for record in records)


def _in_record(record: object, *, depth: int) -> ParsedMessage:
    if not isinstance(record, dict):
        raise malformed("a record is not an object")
    if record.get("EventSource") == "aws:sns":  # which writes it with a capital
        message = record.get("Sns")
        if not isinstance(message, dict):
            raise malformed("a record of SNS has no 'Sns'")
        return _in_sns(message, depth=depth)
    return _one_object(object_in_record(record))


def _in_sns(message: Mapping[str, Any], *, depth: int) -> ParsedMessage:
    kind = message.get("Type")
    if kind == "SubscriptionConfirmation":
        raise malformed(
            f"it asks to confirm the subscription of the queue to {quoted(message.get('TopicArn'))}",
            hint="Confirm it if it is yours: open the SubscribeURL in the message, or use 'aws sns "
            "confirm-subscription' with its Token. Until then the topic sends nothing.",
        )
    if kind != "Notification":
        raise malformed(f"it is a message of SNS with the Type {quoted(kind)}")
    return _in_text(message.get("Message"), "the message of SNS", depth=depth + 1)


def _not_a_list(notification: Mapping[str, Any]) -> EventError:
    if "bucket" in notification and "object" in notification:
        return malformed(
            "it is the detail of an EventBridge event alone",
            hint="Let the rule forward the whole event: no InputPath, no InputTransformer.",
        )
    if "tasks" in notification and "job" in notification:
        return malformed(
            "it is a task of S3 Batch Operations, which must invoke the function itself",
            hint="Give the function's ARN to the job.",
        )
    return malformed("it has no list 'Records'")


def _one_object(ref: ObjectRef | None) -> ParsedMessage:
    return ParsedMessage() if ref is None else ParsedMessage((ref,))
