"""Records of S3's notifications, and S3's events on EventBridge, become `ObjectRef`s.

Field meanings: "Event message structure" and "EventBridge event message structure" in the S3 user guide. The
two write the same things differently. Keys of notifications are form-encoded (`red flower.jpg` arrives as
`red+flower.jpg`), those of EventBridge are raw; `versionId` and `eTag` are `version-id` and `etag` there. A
version is there only on versioned buckets.

Any other event of an object is acknowledged with a log line: nothing is to be delivered.
Everything else that names an object, or may, is refused: somebody means it to be delivered.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from s3_to_sftp.errors import EventError
from s3_to_sftp.s3.malformed import malformed, quoted
from s3_to_sftp.s3.object_ref import ObjectRef

_log = logging.getLogger(__name__)

_LARGEST_BYTES = 2**63 - 1

_NOT_CREATED = (
    "ObjectRemoved:",
    "ObjectRestore:",
    "ObjectTagging:",
    "ObjectAcl:",
    "ReducedRedundancyLostObject",
    "Replication:",
    "LifecycleExpiration:",
    "LifecycleTransition",
    "IntelligentTiering",
)
"""Prefixes of the names of other S3 events ("Supported event types" in the S3 user guide)."""

_NOT_CREATED_ON_EVENTBRIDGE = frozenset(
    {
        "Object Deleted",
        "Object Restore Initiated",
        "Object Restore Completed",
        "Object Restore Expired",
        "Object Tags Added",
        "Object Tags Deleted",
        "Object ACL Updated",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
    }
)


def object_in_record(record: Mapping[str, Any]) -> ObjectRef | None:
    """Return the object that a record of S3's own notification names; None where there is none.

    Raises:
        EventError: It is no such record.
    """
    source = record.get("eventSource")
    # S3-compatible stores use minio:s3 or ceph:s3.
    if source is not None and not str(source).endswith(":s3"):
        raise malformed(f"a record comes from {quoted(source)}, not from S3")
    name = record.get("eventName")
    if not isinstance(name, str):
        raise malformed("a record has no 'eventName'")
    plain = name.removeprefix("s3:")
    if plain.startswith(_NOT_CREATED):
        _log.warning(
            "event %s of %s ignored: only ObjectCreated is delivered", quoted(name), _named(record.get("s3"))
        )
        return None
    if not plain.startswith("ObjectCreated:"):
        raise malformed(f"a record has the unknown eventName {quoted(name)}")
    version = record.get("eventVersion")
    if not str(version).startswith("2."):
        raise malformed(f"its eventVersion is {quoted(version)}, known is 2.x")
    # Strict: a key that is not UTF-8 must not be delivered under a made-up name.
    decoded = functools.partial(unquote_plus, errors="strict")
    ref = _object_ref(record.get("s3"), decoded, version_id="versionId", etag="eTag")
    return _at_time(ref, record.get("eventTime"))


def object_in_event(event: Mapping[str, Any]) -> ObjectRef | None:
    """Return the object of an event that EventBridge has passed on: one each, its key as it is.

    Raises:
        EventError: It is no event of S3, or an unknown one.
    """
    if event.get("source") != "aws.s3":
        raise malformed(f"EventBridge says that it comes from {quoted(event.get('source'))}, not from aws.s3")
    kind = event.get("detail-type")
    detail = event.get("detail")
    if kind == "AWS API Call via CloudTrail":
        raise _reported_by_cloudtrail(detail)
    if isinstance(kind, str) and kind in _NOT_CREATED_ON_EVENTBRIDGE:
        _log.warning("event %s of %s ignored: only Object Created is delivered", kind, _named(detail))
        return None
    if kind != "Object Created":
        raise malformed(f"EventBridge's detail-type {quoted(kind)} is unknown")
    version = detail.get("version") if isinstance(detail, dict) else None
    if version != "0":
        raise malformed(f"its detail has the version {quoted(version)}, known is '0'")
    return _at_time(_object_ref(detail, str, version_id="version-id", etag="etag"), event.get("time"))


def _at_time(ref: ObjectRef | None, written: object) -> ObjectRef | None:
    """Return the object with the time of its event, `2026-11-29T09:35:36.000Z`, if that can be read."""
    if ref is None or not isinstance(written, str):
        return ref
    try:
        at = datetime.fromisoformat(written)
    except ValueError:  # S3 tells the time of the object, too
        return ref
    return dataclasses.replace(ref, event_time=int(at.timestamp())) if at.tzinfo else ref


def _reported_by_cloudtrail(detail: object) -> EventError:
    """Refuse it: it has neither sequencer nor ETag, so the newer of two objects is unknown."""
    called = detail.get("eventName") if isinstance(detail, dict) else None
    return malformed(
        f"it is CloudTrail's report of the call {quoted(called)} for {_named_in_call(detail)}, not S3's own "
        "event",
        hint="Switch on EventBridge for the bucket, and let the rule match the detail-type 'Object Created'. "
        "The object of this message is delivered when it is put again.",
    )


def _named(about: object) -> str:
    """Return bucket and key as the event writes them, if it does, for the log."""
    entry = about if isinstance(about, dict) else {}
    bucket, item = entry.get("bucket"), entry.get("object")
    name = bucket.get("name") if isinstance(bucket, dict) else None
    key = item.get("key") if isinstance(item, dict) else None
    return f"bucket {quoted(name)}, key {quoted(key)}"


def _named_in_call(detail: object) -> str:
    asked = detail.get("requestParameters") if isinstance(detail, dict) else None
    asked = asked if isinstance(asked, dict) else {}
    return _named({"bucket": {"name": asked.get("bucketName")}, "object": {"key": asked.get("key")}})


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
        ref = ObjectRef(
            bucket=text_of(named["bucket"]["name"]),
            key=text_of(decoded(text_of(entry["key"]))),
            version_id=_optional_text(entry.get(version_id)),
            etag=_optional_text(entry.get(etag)),
            size=_size(entry.get("size")),
            sequencer=_optional_text(entry.get("sequencer")),
        )
    except KeyError as error:
        raise malformed(f"it does not name bucket and key as S3 does (no {error})") from None
    except (TypeError, AttributeError):
        raise malformed("it does not name bucket and key as S3 does") from None
    except ValueError as error:
        raise malformed(f"it does not name bucket and key as S3 does ({_cut(error)})") from None
    if _is_folder_marker(ref):
        _log.info("folder marker %s skipped", ref)
        return None
    return ref


def _is_folder_marker(ref: ObjectRef) -> bool:
    """Return whether the object stands for a directory: it is empty, and its key ends as theirs do.

    One that holds bytes, or of unknown size, is no marker.
    """
    return ref.size == 0 and ref.is_named_like_a_folder


def text_of(value: object) -> str:
    """Return a text that can be encoded and is not empty.

    Raises:
        ValueError: The value is none.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected text, got {quoted(value)}")
    value.encode()  # UnicodeEncodeError is a ValueError
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else text_of(value)


def _size(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_BYTES:
        raise ValueError(f"expected a size, got {quoted(value)}")
    return value


def _cut(error: ValueError) -> str:
    # Those of Unicode quote the whole text.
    return "not valid Unicode" if isinstance(error, UnicodeError) else str(error)
