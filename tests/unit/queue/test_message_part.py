"""The part of a message for one of its objects announces this object and nothing else."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.queue.message_part import part_of
from s3_to_sftp.s3.envelopes import objects_in_message
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.lambda_events import eventbridge_event, s3_notification, s3_record

RECORDS = [s3_record("bucket", key) for key in ("a", "b +\u00fc", "a")]
RECORDS[2]["s3"]["object"]["sequencer"] = "0055AED6DCD90281E6"
SEVERAL = json.dumps(s3_notification(*RECORDS))


@pytest.mark.parametrize("place", range(3))
def test_part_has_the_original_record_of_the_object(place: int) -> None:
    ref = objects_in_message(SEVERAL)[place]
    part = part_of(SEVERAL, ref)
    assert json.loads(part) == {"Records": [RECORDS[place]]}
    assert objects_in_message(part) == [ref]


@pytest.mark.parametrize(
    "message", [s3_notification(RECORDS[1]), eventbridge_event("bucket", "a b")], ids=["S3", "EventBridge"]
)
def test_message_of_one_object_is_unchanged(message: Any) -> None:
    body = json.dumps(message, indent=3)
    assert part_of(body, *objects_in_message(body)) is body


def test_record_is_found_of_an_object_that_an_operator_asks_for() -> None:
    ref = objects_in_message(SEVERAL)[1]
    asked = dataclasses.replace(ref, operator=OperatorRequest(action=Action.RETRY, id="r"))
    assert json.loads(part_of(SEVERAL, asked)) == {"Records": [RECORDS[1]]}


def test_part_omits_records_that_announce_no_object() -> None:
    marker, removed = s3_record("bucket", "dir/", size=0), s3_record("bucket", "c")
    removed["eventName"] = "ObjectRemoved:Delete"
    body = json.dumps(s3_notification(marker, removed, *RECORDS[:2]))
    assert json.loads(part_of(body, objects_in_message(body)[1])) == {"Records": [RECORDS[1]]}


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
refs = st.builds(
    ObjectRef,
    bucket=texts,
    key=texts,
    version_id=st.none() | texts,
    etag=st.none() | texts,
    size=st.none() | st.integers(0, 5 * 10**13),
    sequencer=st.none() | texts,
).filter(lambda ref: not (ref.key.endswith("/") and ref.size == 0))


@given(ref=refs)
@pytest.mark.parametrize("body", ["", "[]", '{"Type": "Notification", "Message": "{}"}', '{"Records": 3}'])
def test_part_announces_an_object_without_a_record_in_the_body(body: str, ref: ObjectRef) -> None:
    assert objects_in_message(part_of(body, ref)) == [ref]
