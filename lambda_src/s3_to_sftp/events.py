"""What S3 announces, by its own notification or through EventBridge, becomes `ObjectRef`s.

Either arrives inside an SQS message, or is what the function is invoked with.

Field meanings: "Event message structure" and "EventBridge event message structure" in the S3 user guide. The
two write the same things differently. Keys of notifications are form-encoded (`red flower.jpg` arrives as
`red+flower.jpg`), those of EventBridge are raw; `versionId` and `eTag` are `version-id` and `etag` there. A
version is there only on versioned buckets.
"""

import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from s3_to_sftp.errors import EventError

_log = logging.getLogger(__name__)

_SEQUENCER_WIDTH = 64  # S3's have 16 to 18 digits today


@dataclass(frozen=True, kw_only=True)
class ObjectRef:
    """One version of one object, as it was announced.

    Attributes:
        bucket: Bucket name.
        key: Decoded key.
        version_id: Set on versioned buckets.
        etag: Without quotes; `-N` at its end for multipart uploads.
        size: Bytes, where the event says so.
        sequencer: Orders the events of one key: hexadecimal, right-pad with zeros, compare as text.
        resend: A person has sent the message again after the outcome was unknown: the partner has no file.
    """

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    sequencer: str | None = None
    resend: bool = field(default=False, compare=False)

    @property
    def padded_sequencer(self) -> str:
        """The sequencer so that text compares as S3 orders the events of a key; empty where there is none."""
        # Direct notifications write capitals, the examples of EventBridge small letters.
        return (self.sequencer or "").upper().ljust(_SEQUENCER_WIDTH if self.sequencer else 0, "0")

    def __str__(self) -> str:
        version = f" (version {self.version_id})" if self.version_id else ""
        return f"s3://{self.bucket}/{self.key}{version}"


def is_from_queue(event: object) -> bool:
    """Say whether the Lambda event is a batch of SQS messages."""
    records = event.get("Records") if isinstance(event, dict) else None
    return bool(
        isinstance(records, list)
        and records
        and isinstance(records[0], dict)
        and records[0].get("eventSource") == "aws:sqs"
    )


def objects_in_message(body: str) -> list[ObjectRef]:
    """Return the created objects that an SQS message body announces, in order.

    Raises:
        EventError: The body is not an S3 notification.
    """
    try:
        notification = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"its body is not JSON ({error})") from None
    return objects_in_notification(notification)


def objects_in_notification(notification: object) -> list[ObjectRef]:
    """Return the created objects that S3 announces, itself or through EventBridge, in order.

    Empty for `s3:TestEvent`, for folder markers and for events other than the creation of an object.

    Raises:
        EventError: This is not an S3 notification.
    """
    if not isinstance(notification, dict):
        raise _malformed(f"it is {type(notification).__name__}, not an object")
    if "detail-type" in notification:
        ref = _object_in_event(notification)
        return [] if ref is None else [ref]
    if notification.get("Event") == "s3:TestEvent":
        _log.info("test event of bucket %s acknowledged", notification.get("Bucket"))
        return []
    records = notification.get("Records")
    if not isinstance(records, list):
        raise _malformed("it has no list 'Records'")
    return [ref for record in records if (ref := _object_in_record(record)) is not None]


def _object_in_record(record: object) -> ObjectRef | None:
    if not isinstance(record, dict):
        raise _malformed("a record is not an object")
    name = record.get("eventName")
    version = str(record.get("eventVersion", ""))
    if not isinstance(name, str):
        raise _malformed("a record has no 'eventName'")
    if not name.removeprefix("s3:").startswith("ObjectCreated:"):
        _log.warning("event %s ignored: only ObjectCreated is delivered", name)
        return None
    if not version.startswith("2."):
        raise _malformed(f"its eventVersion is {version!r}, known is 2.x")
    # Strict: a key that is not UTF-8 must not be delivered under a made-up name.
    decoded = functools.partial(unquote_plus, errors="strict")
    return _object_ref(record.get("s3"), decoded, version_id="versionId", etag="eTag")


def _object_in_event(event: Mapping[str, Any]) -> ObjectRef | None:
    """Return the object of an event that EventBridge has passed on: one each, its key as it is."""
    if event.get("source") != "aws.s3":
        raise _malformed(f"EventBridge says that it comes from {event.get('source')!r}, not from aws.s3")
    if event["detail-type"] != "Object Created":
        _log.warning("event %s ignored: only Object Created is delivered", event["detail-type"])
        return None
    detail = event.get("detail")
    version = detail.get("version") if isinstance(detail, dict) else None
    if version != "0":
        raise _malformed(f"its detail has the version {version!r}, known is '0'")
    return _object_ref(detail, str, version_id="version-id", etag="etag")


def _object_ref(named: Any, decoded: Callable[[str], str], *, version_id: str, etag: str) -> ObjectRef | None:
    """Return what `bucket` and `object` name, None for the marker of a folder.

    Args:
        named: What holds the two.
        decoded: From the key as it is written to the key as it is.
        version_id: What the version is called here.
        etag: What the ETag is called here.
    """
    try:
        entry = named["object"]
        size = entry.get("size")
        ref = ObjectRef(
            bucket=_text(named["bucket"]["name"]),
            key=decoded(_text(entry["key"])),
            version_id=_optional_text(entry.get(version_id)),
            etag=_optional_text(entry.get(etag)),
            size=int(size) if size is not None else None,
            sequencer=_optional_text(entry.get("sequencer")),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise _malformed(f"it does not name bucket and key as S3 does ({error!r})") from None
    if ref.key.endswith("/") and ref.size == 0:
        _log.info("folder marker %s skipped", ref)
        return None
    return ref


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected text, got {value!r}")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _malformed(why: str) -> EventError:
    return EventError(
        f"The message is not an S3 notification: {why}.",
        hint="Only S3 should send to this queue, itself or through EventBridge; look at the message in the "
        "dead-letter queue.",
    )
