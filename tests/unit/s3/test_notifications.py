"""Every event format of S3 is parsed into ObjectRefs; the rest is refused, or ignored with a log line."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import EventError
from s3_to_sftp.s3.envelopes import (
    ParsedMessage,
    is_from_queue,
    objects_in_message,
    objects_in_notification,
    read_message,
    read_notification,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.lambda_events import eventbridge_event, s3_notification, s3_record, sqs_event


def only_object(record: Any) -> ObjectRef:
    (ref,) = objects_in_notification(s3_notification(record))
    return ref


def with_object(**fields: Any) -> Any:
    """A record whose `object` has these fields; None leaves one out."""
    record = s3_record("bucket", "a.csv", etag="abc")
    record["s3"]["object"].update(fields)
    return record


def test_record_is_parsed_into_all_fields() -> None:
    record = with_object(versionId="v1", size=42, eTag="abc-3", sequencer="00F")
    assert only_object(record) == ObjectRef(
        bucket="bucket", key="a.csv", version_id="v1", etag="abc-3", size=42, sequencer="00F"
    )


def test_unversioned_bucket_has_no_version() -> None:
    assert only_object(with_object()).version_id is None


def test_queue_message_is_parsed_like_a_direct_notification() -> None:
    notification = s3_notification(s3_record("bucket", "a b.csv"))
    assert objects_in_message(json.dumps(notification)) == objects_in_notification(notification)


def test_records_are_read_in_order() -> None:
    records = [s3_record("bucket", key) for key in ("c", "a", "b")]
    assert [ref.key for ref in objects_in_notification(s3_notification(*records))] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a+b%2Bc", "a b+c"),
        ("red+flower.jpg", "red flower.jpg"),
        ("a+b%2B%C3%BC%281%29%26%2541.csv", "a b+ü(1)&%41.csv"),
        ("%F0%9F%9A%80.csv", "🚀.csv"),
        ("ü.csv", "ü.csv"),
        ("in/box/%2e%2e/a", "in/box/../a"),
        ("100%", "100%"),
    ],
)
def test_key_is_decoded_once(encoded: str, key: str) -> None:
    assert only_object(with_object(key=encoded)).key == key


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_url_encoded_key_is_decoded(key: str) -> None:
    assert only_object(with_object(key=quote_plus(key, safe="/"))).key == key


def test_key_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(EventError):
        only_object(with_object(key="%FF.csv"))


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
@pytest.mark.parametrize("prefix", ["", "s3:"])
def test_every_object_created_event_is_accepted(name: str, prefix: str) -> None:
    assert only_object({**with_object(), "eventName": f"{prefix}ObjectCreated:{name}"}).key == "a.csv"


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRemoved:Delete",
        "ObjectTagging:Put",
        "s3:ObjectRestore:Completed",
        "ObjectAcl:Put",
        "ReducedRedundancyLostObject",
        "Replication:OperationFailedReplication",
        "LifecycleExpiration:Delete",
        "LifecycleTransition",
        "IntelligentTiering",
    ],
)
def test_other_s3_events_are_ignored_with_a_log_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    record = {**with_object(), "eventName": name}
    assert objects_in_notification(s3_notification(record)) == []
    assert f"event {name!r} of bucket 'bucket', key 'a.csv' ignored" in caplog.text


@pytest.mark.parametrize("name", ["ObjectCreatedX", "", "INSERT", "aws:kinesis:record", "x" * 9000])
def test_unknown_events_are_refused_and_named(name: str) -> None:
    with pytest.raises(EventError, match=f"the unknown eventName '{name[:20]}") as raised:
        objects_in_notification(s3_notification({**with_object(), "eventName": name}))
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.6", "2.99"])
def test_minor_versions_are_all_accepted(version: str) -> None:
    assert only_object({**with_object(), "eventVersion": version, "newField": {"any": "thing"}})


@pytest.mark.parametrize("version", ["3.0", "1.0", "20.0", "", 2])
def test_other_major_versions_are_refused_and_named(version: object) -> None:
    with pytest.raises(EventError, match=f"{version!r}, known is 2.x"):
        only_object({**with_object(), "eventVersion": version})


def test_test_event_announces_no_object() -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"}
    assert objects_in_message(json.dumps(event)) == []


def test_folder_marker_is_skipped_with_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert objects_in_notification(s3_notification(with_object(key="folder/", size=0))) == []
    assert "folder marker s3://bucket/folder/ skipped" in caplog.text


def test_empty_file_is_no_folder_marker() -> None:
    assert only_object(with_object(size=0)).size == 0


@pytest.mark.parametrize("size", [1, None])
def test_key_with_a_trailing_slash_is_skipped_only_if_empty(size: int | None) -> None:
    assert only_object(with_object(key="folder/", size=size)).key == "folder/"


def test_empty_hadoop_folder_marker_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert objects_in_notification(s3_notification(with_object(key="a/b_%24folder%24", size=0))) == []
    assert "folder marker s3://bucket/a/b_$folder$ skipped" in caplog.text


@pytest.mark.parametrize("size", [1, None])
def test_nonempty_hadoop_folder_marker_is_delivered(size: int | None) -> None:
    assert only_object(with_object(key="b_%24folder%24", size=size)).key == "b_$folder$"


def test_empty_list_of_records_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert objects_in_message('{"Records": []}') == []
    assert "empty list of records acknowledged" in caplog.text


def test_malformed_records_do_not_affect_the_others() -> None:
    announced = read_notification(s3_notification({}, with_object(), None, with_object(key="b")))
    assert [ref.key for ref in announced.objects] == ["a.csv", "b"]
    assert announced.error is not None
    assert "no 'eventName'" in announced.error.reason
    assert "a record is not an object. (and 1 more of its records)" in announced.error.reason


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("aws:kinesis", {"kinesis": {"data": "aGVsbG8="}, "eventName": "aws:kinesis:record"}),
        ("aws:dynamodb", {"dynamodb": {"Keys": {}}, "eventName": "INSERT"}),
        ("aws:kafka", {"value": "aGVsbG8="}),
        ("aws:sqs", {"body": "{}"}),
        (7, {}),
    ],
)
def test_batch_of_another_service_is_refused_and_named(source: object, body: dict[str, Any]) -> None:
    with pytest.raises(EventError, match=f"comes from {source!r}, not from S3"):
        objects_in_notification({"Records": [{"eventSource": source, **body}]})


def test_events_of_s3_compatible_stores_are_accepted() -> None:
    assert only_object({**with_object(), "eventSource": "minio:s3"}).key == "a.csv"


ANNOUNCEMENTS = [s3_notification(s3_record("bucket", "a b")), eventbridge_event("bucket", "a b")]


def sns_message(message: object, **more: Any) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    topic = "arn:aws:sns:eu-west-1:123456789012:topic"
    return {"Type": "Notification", "MessageId": "m", "TopicArn": topic, "Message": text, **more}


def sns_event(*messages: dict[str, Any]) -> dict[str, Any]:
    records = [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": message} for message in messages]
    return {"Records": records}


class TestSns:
    @pytest.mark.parametrize("announcement", ANNOUNCEMENTS, ids=["S3", "EventBridge"])
    def test_message_in_a_queue_is_unwrapped(self, announcement: Any) -> None:
        body = json.dumps(sns_message(announcement))
        assert objects_in_message(body) == objects_in_notification(announcement)

    @pytest.mark.parametrize("announcement", ANNOUNCEMENTS, ids=["S3", "EventBridge"])
    def test_raw_delivery_is_the_announcement_itself(self, announcement: Any) -> None:
        assert objects_in_message(json.dumps(announcement)) == objects_in_notification(announcement)

    def test_messages_that_invoke_the_function_are_unwrapped_each(self) -> None:
        event = sns_event(*map(sns_message, ANNOUNCEMENTS), sns_message("not json"))
        announced = read_notification(event)
        assert [ref.key for ref in announced.objects] == ["a b", "a b"]
        assert "the message of SNS is not JSON" in str(announced.error)

    def test_test_event_announces_no_object(self) -> None:
        assert objects_in_message(json.dumps(sns_message({"Event": "s3:TestEvent", "Bucket": "b"}))) == []

    def test_request_to_confirm_is_refused_with_what_to_do(self) -> None:
        body = json.dumps(sns_message("Open ...", Type="SubscriptionConfirmation", Token="t0ken"))
        with pytest.raises(
            EventError, match=r"asks to confirm the subscription .* to 'arn:aws:sns:"
        ) as raised:
            objects_in_message(body)
        assert "SubscribeURL" in raised.value.hint
        assert "t0ken" not in str(raised.value)

    @pytest.mark.parametrize(
        "message",
        [
            sns_message("hello"),
            sns_message("{}"),
            sns_message("[]"),
            sns_message({}, Message=None),
            sns_message({}, Message={"Records": []}),
            sns_message({}, Type="UnsubscribeConfirmation"),
            sns_message(sns_message(sns_message(sns_message(sns_message(ANNOUNCEMENTS[0]))))),
        ],
    )
    def test_message_that_announces_nothing_of_s3_is_refused(self, message: dict[str, Any]) -> None:
        for announced in (read_message(json.dumps(message)), read_notification(sns_event(message))):
            assert announced.error is not None
            assert announced.objects == ()

    @pytest.mark.parametrize("sns", [None, "text", []])
    def test_record_without_message_is_refused(self, sns: object) -> None:
        with pytest.raises(EventError, match="a record of SNS has no 'Sns'"):
            objects_in_notification({"Records": [{"EventSource": "aws:sns", "Sns": sns}]})


NAMES = st.sampled_from(
    [
        "Records",
        "eventSource",
        "eventName",
        "eventVersion",
        "s3",
        "bucket",
        "name",
        "object",
        "key",
        "size",
        "sequencer",
        "Type",
        "TopicArn",
        "Message",
        "detail-type",
        "source",
        "detail",
        "version",
        "EventSource",
        "Sns",
        "Event",
        "invocationSchemaVersion",
        "tasks",
    ]
)
VALUES = st.sampled_from(
    [
        "aws:s3",
        "aws:sns",
        "ObjectCreated:Put",
        "2.1",
        "b",
        "k/",
        "%FF",
        "aws.s3",
        "Object Created",
        "0",
        "\ud800",
    ]
)
EVENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(NAMES | st.text(), parts),
)


@settings(deadline=None)
@given(EVENTS)
def test_arbitrary_event_raises_no_exception(event: object) -> None:
    assert isinstance(read_notification(event), ParsedMessage)
    assert isinstance(read_message(json.dumps(event)), ParsedMessage)


def test_malformed_record_among_valid_ones_raises() -> None:
    with pytest.raises(EventError):
        objects_in_notification(s3_notification(with_object(), {}))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        '"text"',
        "null",
        "1",
        "[]",
        "{}",
        '{"Records": null}',
        '{"Records": {}}',
        "\ufeff{}",
        "[" * 100_000,
    ],
)
def test_message_that_is_not_a_notification_is_refused(body: str) -> None:
    with pytest.raises(EventError, match="not an S3 notification"):
        objects_in_message(body)


@pytest.mark.parametrize(
    "record",
    [
        {},
        "text",
        None,
        [],
        {**with_object(), "eventName": 1},
        {**with_object(), "s3": None},
        {**with_object(), "s3": {}},
        {**with_object(), "s3": {"bucket": {"name": "b"}}},
        {**with_object(), "s3": {"bucket": "b", "object": {"key": "k"}}},
        {**with_object(), "s3": {"bucket": {"name": "b"}, "object": "k"}},
        {**with_object(), "s3": {"bucket": {"name": 1}, "object": {"key": "k"}}},
        with_object(key=None),
        with_object(key=""),
        with_object(key=["k"]),
        with_object(size="many"),
        with_object(size=[]),
        with_object(size=float("inf")),
        with_object(size=-1),
        with_object(size=1.5),
        with_object(size=True),
        with_object(size=10**30),
        with_object(key="\ud800"),
        with_object(sequencer="\ud800"),
        with_object(versionId=1),
        with_object(eTag={}),
        with_object(sequencer=7),
    ],
)
def test_malformed_record_is_refused(record: Any) -> None:
    with pytest.raises(EventError, match="not an S3 notification"):
        objects_in_notification(s3_notification(record))


def object_of(event: Any) -> ObjectRef:
    (ref,) = objects_in_notification(event)
    return ref


class TestEventBridge:
    def test_event_is_parsed_into_all_fields(self) -> None:
        entry = {"key": "a.csv", "version-id": "v1", "size": 42, "etag": "abc-3", "sequencer": "00F"}
        assert object_of(eventbridge_event("bucket", "", detail={"object": entry})) == ObjectRef(
            bucket="bucket", key="a.csv", version_id="v1", etag="abc-3", size=42, sequencer="00F"
        )

    def test_unversioned_bucket_has_no_version(self) -> None:
        assert object_of(eventbridge_event("bucket", "a.csv")).version_id is None

    def test_queue_message_is_parsed_like_a_direct_event(self) -> None:
        event = eventbridge_event("bucket", "a b.csv")
        assert objects_in_message(json.dumps(event)) == objects_in_notification(event)

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    def test_every_key_is_read_unchanged(self, key: str) -> None:
        assert object_of(eventbridge_event("bucket", key)).key == key

    @pytest.mark.parametrize("key", ["a+b.csv", "100%25.csv", "red flower.jpg"])
    def test_key_is_not_decoded(self, key: str) -> None:
        assert object_of(eventbridge_event("bucket", key)).key == key

    def test_folder_marker_is_skipped(self) -> None:
        marker = {"object": {"key": "folder/", "size": 0}}
        assert objects_in_notification(eventbridge_event("bucket", "", detail=marker)) == []

    @pytest.mark.parametrize(
        "name",
        [
            "Object Deleted",
            "Object Tags Added",
            "Object Tags Deleted",
            "Object Restore Initiated",
            "Object Restore Completed",
            "Object Restore Expired",
            "Object ACL Updated",
            "Object Storage Class Changed",
            "Object Access Tier Changed",
        ],
    )
    def test_other_s3_events_are_ignored_with_a_log_line(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        event = eventbridge_event("bucket", "a.csv", **{"detail-type": name})
        assert objects_in_notification(event) == []
        assert f"event {name} of bucket 'bucket', key 'a.csv' ignored" in caplog.text

    @pytest.mark.parametrize("name", ["", "Object created", "Object Annotated", None, ["Object Created"]])
    def test_unknown_events_are_refused_and_named(self, name: object) -> None:
        with pytest.raises(EventError, match=r"EventBridge's detail-type .* is unknown"):
            objects_in_notification(eventbridge_event("bucket", "a.csv", **{"detail-type": name}))

    @pytest.mark.parametrize("call", ["PutObject", "CopyObject", "CompleteMultipartUpload"])
    def test_cloudtrail_event_is_refused_with_a_hint(self, call: str) -> None:
        detail = {"eventName": call, "requestParameters": {"bucketName": "bucket", "key": "a.csv"}}
        event = eventbridge_event("bucket", "a.csv", **{"detail-type": "AWS API Call via CloudTrail"})
        with pytest.raises(EventError, match=f"CloudTrail's report of the call '{call}'") as raised:
            objects_in_notification({**event, "detail": detail})
        assert "'Object Created'" in raised.value.hint

    @pytest.mark.parametrize("source", ["aws.ec2", "s3-to-sftp", "", None])
    def test_event_of_another_source_is_refused_and_named(self, source: object) -> None:
        with pytest.raises(EventError, match=f"{source!r}, not from aws.s3"):
            objects_in_notification(eventbridge_event("bucket", "a.csv", source=source))

    @pytest.mark.parametrize("version", ["1", "", None, 0])
    def test_other_versions_are_refused_and_named(self, version: object) -> None:
        with pytest.raises(EventError, match=f"{version!r}, known is '0'"):
            objects_in_notification(eventbridge_event("bucket", "a.csv", detail={"version": version}))

    @pytest.mark.parametrize(
        "detail",
        [
            {"bucket": None},
            {"bucket": "bucket"},
            {"bucket": {}},
            {"object": None},
            {"object": {}},
            {"object": {"key": ""}},
            {"object": {"key": 1}},
            {"object": {"key": "k", "version-id": 1}},
            {"object": {"key": "k", "etag": {}}},
            {"object": {"key": "k", "size": "many"}},
        ],
    )
    def test_malformed_event_is_refused(self, detail: Any) -> None:
        with pytest.raises(EventError, match="not an S3 notification"):
            objects_in_notification(eventbridge_event("bucket", "a.csv", detail=detail))

    @pytest.mark.parametrize("detail", [None, "text", []])
    def test_event_without_detail_is_refused(self, detail: object) -> None:
        event = {**eventbridge_event("bucket", "a.csv"), "detail": detail}
        with pytest.raises(EventError, match="not an S3 notification"):
            objects_in_notification(event)

    def test_detail_without_its_event_is_refused_with_a_hint(self) -> None:
        with pytest.raises(EventError, match="the detail of an EventBridge event alone") as raised:
            objects_in_notification(eventbridge_event("bucket", "a.csv")["detail"])
        assert "InputPath" in raised.value.hint

    def test_event_is_not_from_a_queue(self) -> None:
        assert not is_from_queue(eventbridge_event("bucket", "a.csv"))


def test_object_ref_is_printed_as_an_s3_url() -> None:
    assert str(ObjectRef(bucket="b", key="k")) == "s3://b/k"
    assert str(ObjectRef(bucket="b", key="k", version_id="v")) == "s3://b/k (version v)"


def test_queue_and_direct_notification_are_distinguished() -> None:
    assert is_from_queue(sqs_event(m1="{}"))
    assert not is_from_queue(s3_notification(with_object()))


@pytest.mark.parametrize("event", [{}, {"Records": []}, {"Records": None}, {"Records": [1]}, [], None, "x"])
def test_other_events_are_not_from_a_queue(event: object) -> None:
    assert not is_from_queue(event)
