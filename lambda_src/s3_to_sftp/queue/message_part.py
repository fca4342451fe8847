"""One object of a message that announces several: a message that announces it alone."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from s3_to_sftp.errors import EventError
from s3_to_sftp.s3.envelopes import objects_in_message, objects_in_notification
from s3_to_sftp.s3.object_ref import ObjectRef


def part_of(body: str, ref: ObjectRef) -> str:
    """Return the body of a message that announces this object and nothing else.

    That is the body itself if it announces nothing else; otherwise S3's own record of the object, or an
    equivalent one where the records cannot be distinguished.

    Args:
        body: Of a message that announces the object.
        ref: The object.
    """
    if _announces(objects_in_message, body, ref):
        return body
    notification = _parsed(body)
    records = notification.get("Records")
    for record in records if isinstance(records, list) else []:
        if _announces(objects_in_notification, {"Records": [record]}, ref):
            return json.dumps({**notification, "Records": [record]})
    return json.dumps({"Records": [_record_of(ref)]})


def _announces(parse: Callable[[Any], list[ObjectRef]], message: object, ref: ObjectRef) -> bool:
    try:
        return parse(message) == [dataclasses.replace(ref, operator=None)]
    except EventError:
        return False


def _parsed(body: str) -> dict[str, Any]:
    try:
        notification = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return notification if isinstance(notification, dict) else {}


def _record_of(ref: ObjectRef) -> dict[str, Any]:
    known = {
        "size": ref.size,
        "eTag": ref.etag,
        "versionId": ref.version_id,
        "sequencer": ref.sequencer,
    }
    entry = {name: value for name, value in known.items() if value is not None}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": ref.bucket}, "object": {"key": quote_plus(ref.key, safe="/"), **entry}},
    }
