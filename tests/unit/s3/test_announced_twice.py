"""An S3 notification and an EventBridge event of one put lead to one item in the ledger.

The examples are those of the Amazon S3 User Guide, with one object in both:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.s3.notifications import object_in_event, object_in_record
from s3_to_sftp.state.items import identifies_one_put, partition_key, version_key


def record(**version: str) -> dict[str, Any]:
    entry = {"key": "a+b%2B1.csv", "size": 5, "eTag": "b1946ac9", "sequencer": "617f08299329d189", **version}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "claims"}, "object": entry},
    }


def event(**version: str) -> dict[str, Any]:
    entry = {"key": "a b+1.csv", "size": 5, "etag": "b1946ac9", "sequencer": "617f08299329d189", **version}
    detail = {"version": "0", "bucket": {"name": "claims"}, "object": entry, "reason": "PutObject"}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


@pytest.mark.parametrize("version", ["IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", None])
def test_notification_and_eventbridge_event_name_the_same_version(version: str | None) -> None:
    notified = object_in_record(record(**{"versionId": version} if version else {}))
    published = object_in_event(event(**{"version-id": version} if version else {}))
    assert notified
    assert published
    assert partition_key(notified) == partition_key(published)
    assert version_key(notified) == version_key(published)
    assert identifies_one_put(notified)


def test_second_put_of_the_same_content_is_another_version() -> None:
    first, second = object_in_event(event()), object_in_event(event(sequencer="617f08299329d190"))
    assert first
    assert second
    assert version_key(first) != version_key(second)
