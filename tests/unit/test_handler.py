"""The handler tries every object of every message, and reports failures to the source of the event."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from s3_to_sftp import handler, telemetry
from s3_to_sftp.app import App
from s3_to_sftp.delivery.deadline import Invocation
from s3_to_sftp.errors import (
    ConfigurationError,
    ConnectionLost,
    DeliveryError,
    EventError,
    LoginRefused,
    ObjectGone,
)
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, CheckpointSaved, CircuitOpen, DeadlineTooClose
from s3_to_sftp.queue.disposition import Failure
from s3_to_sftp.queue.message_queue import Message
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.function_environment import receipt
from tests.support.lambda_events import lambda_context, s3_notification, s3_record, sqs_event

# As handler.py itself does; pytest has filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")


class FakeDeliveries:
    """Delivers every object except those in `failures`."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.batches: list[list[str]] = []
        self.invocations: list[Invocation] = []
        self.seen: list[ObjectRef] = []

    @property
    def tried(self) -> list[str]:
        return [key for batch in self.batches for key in batch]

    def deliver(self, refs: Sequence[ObjectRef], invocation: Invocation) -> dict[ObjectRef, Exception]:
        self.batches.append([ref.key for ref in refs])
        self.seen.extend(refs)
        self.invocations.append(invocation)
        report = handler.telemetry
        for ref in refs:
            if ref.key in self.failures:
                report.not_delivered(self.failures[ref.key], ref)
            else:
                report.delivered(receipt(ref))
        return {ref: self.failures[ref.key] for ref in refs if ref.key in self.failures}


class FakeDisposition:
    """Records the messages with their failures; keeps those in `kept`."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.applied: dict[str, list[Failure]] = {}

    def apply(self, message: Message, failures: Sequence[Failure]) -> bool:
        self.applied[message.id] = list(failures)
        return message.id not in self.kept


class FlushCounter(NullPublisher):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return an app without a message disposition."""
    fake = App(runner=FakeDeliveries(), disposition=None, publisher=FlushCounter())  # type: ignore[arg-type] # a stand-in
    monkeypatch.setattr(handler, "_app", lambda: fake)
    return fake


@pytest.fixture
def delivery(function: Any) -> FakeDeliveries:
    deliveries: FakeDeliveries = function.runner
    return deliveries


@pytest.fixture
def disposition(function: Any) -> FakeDisposition:
    function.disposition = FakeDisposition()
    fake: FakeDisposition = function.disposition
    return fake


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines of the JSON log so far."""
    stream = io.StringIO()
    for logging_handler in logging.getLogger("s3-to-sftp").handlers:
        monkeypatch.setattr(logging_handler, "stream", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    telemetry.metrics.clear_metrics()


Log = Callable[[], list[dict[str, Any]]]


def direct_event(*keys: str) -> dict[str, Any]:
    return s3_notification(*(s3_record("bucket", key) for key in keys))


def queue_event(**messages: list[str] | str) -> dict[str, Any]:
    """Return an event of messages, each given as a list of keys or as a body."""
    bodies = {
        name: body if isinstance(body, str) else json.dumps(direct_event(*body))
        for name, body in messages.items()
    }
    return sqs_event(**bodies)


def returned_messages(event: dict[str, Any], *remaining: int) -> list[str]:
    answer = handler.lambda_handler(event, lambda_context(*remaining))
    assert answer is not None
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


# --- from a queue ---


def test_delivered_messages_leave_the_queue(delivery: FakeDeliveries) -> None:
    assert returned_messages(queue_event(m1=["a"], m2=["b"])) == []
    assert delivery.tried == ["a", "b"]


@pytest.mark.parametrize("bad", ["a", "b", "c"])
def test_failed_message_does_not_affect_the_others(bad: str, delivery: FakeDeliveries) -> None:
    delivery.failures[bad] = ConnectionLost("cut.", hint="")
    assert returned_messages(queue_event(m_a=["a"], m_b=["b"], m_c=["c"])) == [f"m_{bad}"]
    assert delivery.tried == ["a", "b", "c"]


def test_batch_of_failed_messages_raises_no_exception(delivery: FakeDeliveries) -> None:
    delivery.failures = {key: ConnectionLost("cut.", hint="") for key in "ab"}
    assert returned_messages(queue_event(m1=["a"], m2=["b"])) == ["m1", "m2"]


@pytest.mark.parametrize("bad", ["a", "b", "c"])
def test_failed_object_does_not_affect_the_others_of_its_message(bad: str, delivery: FakeDeliveries) -> None:
    delivery.failures[bad] = ConnectionLost("cut.", hint="")
    assert returned_messages(queue_event(m1=["a", "b", "c"])) == ["m1"]
    assert delivery.tried == ["a", "b", "c"]


@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", "null", '{"Records": [{}]}', "[" * 100_000])
def test_malformed_message_does_not_affect_the_others(body: str, delivery: FakeDeliveries, log: Log) -> None:
    assert returned_messages(queue_event(m1=["a"], m2=body, m3=["c"])) == ["m2"]
    assert delivery.tried == ["a", "c"]
    (line,) = [line for line in log() if "not delivered" in line["message"]]
    assert line["message_id"] == "m2"


def test_malformed_record_does_not_affect_the_others(
    delivery: FakeDeliveries, disposition: FakeDisposition
) -> None:
    notification = s3_notification({}, s3_record("bucket", "a"))
    returned_messages(sqs_event(m1=json.dumps(notification)))
    assert delivery.tried == ["a"]
    ((ref, error),) = disposition.applied["m1"]
    assert (ref, type(error)) == (None, EventError)


def test_malformed_record_of_a_direct_notification_raises_after_the_others_are_delivered(
    delivery: FakeDeliveries,
) -> None:
    with pytest.raises(EventError):
        handler.lambda_handler(s3_notification({}, s3_record("bucket", "a")), lambda_context())
    assert delivery.tried == ["a"]


@pytest.mark.parametrize("source", ["aws:kinesis", "aws:dynamodb"])
def test_stream_event_is_refused_and_logged(source: str, delivery: FakeDeliveries, log: Log) -> None:
    with pytest.raises(EventError, match=source):
        handler.lambda_handler(
            {"Records": [{"eventSource": source, "eventName": "INSERT"}]}, lambda_context()
        )
    assert [line["error"] for line in log()] == ["EventError"]


def test_unexpected_exception_returns_its_message_and_logs_the_traceback(
    delivery: FakeDeliveries, log: Log
) -> None:
    delivery.failures["b"] = ZeroDivisionError("surprise")
    assert returned_messages(queue_event(m1=["a"], m2=["b"], m3=["c"])) == ["m2"]
    (line,) = [line for line in log() if "unexpected" in line["message"]]
    assert line["object"] == "s3://bucket/b"
    assert "ZeroDivisionError: surprise" in line["exception"]


def test_test_event_leaves_the_queue(delivery: FakeDeliveries) -> None:
    assert returned_messages(queue_event(m1='{"Event": "s3:TestEvent", "Bucket": "bucket"}')) == []
    assert delivery.tried == []


def test_missing_configuration_returns_every_message(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    for name in ("SSH_HOST", "SSH_PORT"):
        monkeypatch.delenv(name, raising=False)
    handler._app.cache_clear()
    assert returned_messages(queue_event(m1=["a"], m2=["b"])) == ["m1", "m2"]
    assert [line["error"] for line in log()] == ["ConfigurationError"] * 2
    assert all("SSH_HOST is not set" in line["message"] for line in log())


def test_objects_of_all_messages_are_delivered_together(delivery: FakeDeliveries) -> None:
    returned_messages(queue_event(m1=["a", "b"], m2="malformed", m3=["c"]))
    assert delivery.batches == [["a", "b", "c"]]


def test_duplicate_messages_are_both_answered(delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = ConnectionLost("cut.", hint="")
    assert returned_messages(queue_event(m1=["a"], m2=["a"], m3=["b"])) == ["m1", "m2"]


def test_message_whose_object_needs_no_delivery_leaves_the_queue(delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = AlreadyDelivered("before.", hint="")
    assert returned_messages(queue_event(m1=["a"])) == []


def test_message_stays_if_one_of_its_objects_failed(
    delivery: FakeDeliveries,
) -> None:
    delivery.failures = {"a": AlreadyDelivered("before.", hint=""), "b": ConnectionLost("cut.", hint="")}
    assert returned_messages(queue_event(m1=["a", "b"])) == ["m1"]


# --- with a message disposition ---


def test_disposition_gets_the_failures_of_each_message(
    delivery: FakeDeliveries, disposition: FakeDisposition
) -> None:
    delivery.failures = {"b": ConnectionLost("cut.", hint=""), "d": CheckpointSaved("half.", hint="")}
    returned_messages(queue_event(m1=["a"], m2=["b", "c", "d"]))
    assert disposition.applied["m1"] == []
    assert [(ref.key, error) for ref, error in disposition.applied["m2"] if ref] == [
        ("b", delivery.failures["b"]),
        ("d", delivery.failures["d"]),
    ]


def test_disposition_gets_a_malformed_message_without_an_object(
    delivery: FakeDeliveries, disposition: FakeDisposition
) -> None:
    returned_messages(queue_event(m1="malformed"))
    ((ref, error),) = disposition.applied["m1"]
    assert ref is None
    assert isinstance(error, EventError)


def test_disposition_decides_which_messages_stay_in_the_queue(
    delivery: FakeDeliveries, disposition: FakeDisposition
) -> None:
    disposition.kept = {"m2"}
    assert returned_messages(queue_event(m1=["a"], m2=["b"], m3=["c"])) == ["m2"]


def test_message_stays_when_its_disposition_raises(
    delivery: FakeDeliveries, disposition: FakeDisposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(message: Message, failures: Sequence[Failure]) -> bool:
        if message.id == "m2":
            raise ZeroDivisionError
        return True

    monkeypatch.setattr(disposition, "apply", apply)
    assert returned_messages(queue_event(m1=["a"], m2=["b"], m3=["c"])) == ["m2"]


def test_request_id_is_that_of_the_invocation(delivery: FakeDeliveries) -> None:
    context = lambda_context()
    context.aws_request_id = "request-7"
    handler.lambda_handler(queue_event(m1=["a"]), context)
    assert [invocation.request_id for invocation in delivery.invocations] == ["request-7"]


def test_deadline_is_that_of_the_invocation(delivery: FakeDeliveries) -> None:
    returned_messages(queue_event(m1=["a"]), 100_000, 26_000, 24_000)
    (invocation,) = delivery.invocations
    assert invocation.deadline.reserve == 25
    assert [invocation.deadline.is_near(), invocation.deadline.is_near()] == [False, True]


def test_timeout_shorter_than_the_reply_timeout_is_logged_once(
    function: Any, delivery: FakeDeliveries, log: Log
) -> None:
    function.longest_reply = 120
    for _ in range(2):
        assert returned_messages(queue_event(m1=["a"]), 119_000) == []
    assert delivery.tried == ["a", "a"]
    (line,) = [line for line in log() if line["level"] == "WARNING"]
    assert "shorter than the 120 s" in line["message"]
    assert "SSH_REPLY_TIMEOUT" in line["hint"]


def test_timeout_as_long_as_the_reply_timeout_is_not_logged(
    function: Any, delivery: FakeDeliveries, log: Log
) -> None:
    function.longest_reply = 120
    returned_messages(queue_event(m1=["a"]), 120_000)
    assert [line["level"] for line in log()] == ["INFO"]


@pytest.mark.parametrize(
    "event", [queue_event(m1=["a"], m2=["b"]), direct_event("a", "b")], ids=["queue", "direct"]
)
def test_events_are_flushed_once_per_invocation(
    event: dict[str, Any], function: Any, delivery: FakeDeliveries
) -> None:
    handler.lambda_handler(event, lambda_context())
    assert function.publisher.flushes == 1


def test_events_are_flushed_when_the_invocation_raises(function: Any, delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = ConnectionLost("cut.", hint="")
    with pytest.raises(ConnectionLost):
        handler.lambda_handler(direct_event("a"), lambda_context())
    assert function.publisher.flushes == 1


# --- direct notifications ---


def test_direct_notification_is_delivered(delivery: FakeDeliveries) -> None:
    assert handler.lambda_handler(direct_event("a", "b"), lambda_context()) is None
    assert delivery.tried == ["a", "b"]


def test_direct_notification_raises_the_first_failure_after_all_objects_were_tried(
    delivery: FakeDeliveries,
) -> None:
    delivery.failures = {"a": ObjectGone("gone.", hint=""), "b": ConnectionLost("cut.", hint="")}
    with pytest.raises(ObjectGone):
        handler.lambda_handler(direct_event("a", "b", "c"), lambda_context())
    assert delivery.tried == ["a", "b", "c"]


@pytest.mark.parametrize("event", [{}, [], None, {"Records": None}, {"Records": [{}]}, {"detail": {}}])
def test_malformed_direct_event_raises_and_is_logged(event: Any, delivery: FakeDeliveries, log: Log) -> None:
    with pytest.raises(EventError):
        handler.lambda_handler(event, lambda_context())
    assert [line["error"] for line in log()] == ["EventError"]


def test_direct_test_event_is_acknowledged(delivery: FakeDeliveries) -> None:
    assert handler.lambda_handler({"Event": "s3:TestEvent"}, lambda_context()) is None


def test_direct_notification_of_a_delivered_object_does_not_raise(delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = AlreadyDelivered("before.", hint="")
    assert handler.lambda_handler(direct_event("a"), lambda_context()) is None


@pytest.mark.parametrize("error", ["OutcomeUnknown", "RequestRefused"])
def test_redriven_unknown_outcome_is_marked_as_resend(error: str, delivery: FakeDeliveries) -> None:
    event = sqs_event(one=json.dumps(direct_event("a")))
    event["Records"][0]["messageAttributes"] = {"error": {"stringValue": error, "dataType": "String"}}
    handler.lambda_handler(event, lambda_context())
    assert [ref.resend for ref in delivery.seen] == [error == "OutcomeUnknown"]


def test_request_of_an_operator_reaches_the_objects_of_its_message(delivery: FakeDeliveries) -> None:
    event = sqs_event(one=json.dumps(direct_event("a")), two=json.dumps(direct_event("a")))
    asked = {"stringValue": '{"action": "resend", "id": "r"}', "dataType": "String"}
    event["Records"][1]["messageAttributes"] = {"operator": asked}
    handler.lambda_handler(event, lambda_context())
    assert [ref.operator and ref.operator.id for ref in delivery.seen] == [None, "r"]
    assert len(set(delivery.seen)) == 2  # a duplicate that is already delivered does not answer for the other


def test_direct_notification_with_a_saved_checkpoint_raises(delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = CheckpointSaved("half.", hint="")
    with pytest.raises(CheckpointSaved):
        handler.lambda_handler(direct_event("a"), lambda_context())


# --- S3 Batch Operations ---


def batch_event(*keys: str, schema: str = "1.0") -> dict[str, Any]:
    bucket = {"s3BucketArn": "arn:aws:s3:::bucket"} if schema == "1.0" else {"s3Bucket": "bucket"}
    return {
        "invocationSchemaVersion": schema,
        "invocationId": "invocation",
        "job": {"id": "job"},
        "tasks": [{"taskId": f"task {key}", "s3Key": key, "s3VersionId": None, **bucket} for key in keys],
    }


def results(event: dict[str, Any]) -> dict[str, tuple[str, str]]:
    answer: Any = handler.lambda_handler(event, lambda_context())
    assert answer["invocationSchemaVersion"] == event["invocationSchemaVersion"]
    assert (answer["invocationId"], answer["treatMissingKeysAs"]) == ("invocation", "PermanentFailure")
    return {result["taskId"]: (result["resultCode"], result["resultString"]) for result in answer["results"]}


@pytest.mark.parametrize("schema", ["1.0", "2.0"])
def test_object_of_a_batch_job_is_delivered_and_reported(schema: str, delivery: FakeDeliveries) -> None:
    assert results(batch_event("a+b%2Bc", schema=schema)) == {"task a+b%2Bc": ("Succeeded", "delivered")}
    assert delivery.seen == [ObjectRef(bucket="bucket", key="a b+c")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AlreadyDelivered("before.", hint=""), "Succeeded"),
        (AlreadyGone("gone.", hint=""), "PermanentFailure"),
        (ObjectGone("gone.", hint=""), "PermanentFailure"),
        (ConnectionLost("cut.", hint=""), "TemporaryFailure"),
        (LoginRefused("no.", hint=""), "TemporaryFailure"),
        (CheckpointSaved("half.", hint=""), "TemporaryFailure"),
        (DeadlineTooClose("late.", hint="", retry_after=0), "TemporaryFailure"),
        (ZeroDivisionError("secret"), "TemporaryFailure"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_batch_job_gets_result_code_and_reason(error: Exception, code: str, delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = error
    found = results(batch_event("a", "b"))
    assert found["task b"] == ("Succeeded", "delivered")
    assert found["task a"][0] == code
    assert found["task a"][1].startswith(type(error).__name__)
    assert "secret" not in found["task a"][1]


def test_result_string_of_a_batch_job_is_bounded(delivery: FakeDeliveries) -> None:
    delivery.failures["a"] = ConnectionLost("\u00fc" * 9000, hint="")
    assert len(results(batch_event("a"))["task a"][1].encode()) <= 1024


@pytest.mark.parametrize(
    "fields", [{"s3Key": None}, {"s3Key": "%FF"}, {"s3BucketArn": 7}, {"s3VersionId": 7}]
)
def test_malformed_task_does_not_affect_the_others(fields: dict[str, Any], delivery: FakeDeliveries) -> None:
    event = batch_event("a", "b")
    event["tasks"][0].update(fields)
    found = results(event)
    assert found["task a"][0] == "PermanentFailure"
    assert "S3 Batch Operations" in found["task a"][1]
    assert delivery.tried == ["b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"invocationSchemaVersion": "3.0"},
        {"invocationId": None},
        {"tasks": None},
        {"tasks": "text"},
        {"tasks": [None]},
        {"tasks": [{"taskId": 1}]},
    ],
)
def test_malformed_batch_job_is_refused_and_logged(
    fields: dict[str, Any], delivery: FakeDeliveries, log: Log
) -> None:
    with pytest.raises(EventError, match="S3 Batch Operations"):
        handler.lambda_handler({**batch_event("a"), **fields}, lambda_context())
    assert [line["error"] for line in log()] == ["EventError"]


# --- logs and metrics ---


def metrics_in(output: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for line in output.splitlines():
        emf = json.loads(line)
        (group,) = emf["_aws"]["CloudWatchMetrics"]
        assert group["Namespace"] == "S3ToSftp"
        for metric in group["Metrics"]:
            found.setdefault(metric["Name"], []).extend(emf[metric["Name"]])
    return found


def test_deliveries_and_failures_are_counted(
    delivery: FakeDeliveries, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.failures["b"] = ConnectionLost("cut.", hint="")
    returned_messages(queue_event(m1=["a"], m2=["b"], m3=["c"], m4="malformed"))
    assert metrics_in(capsys.readouterr().out) == {
        "Delivered": [1, 1],
        "DeliveredBytes": [42, 42],
        "DeliverySeconds": [1.25, 1.25],
        "Failed": [1, 1],
    }


def test_failures_are_counted_when_the_invocation_raises(
    delivery: FakeDeliveries, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.failures["a"] = ConnectionLost("cut.", hint="")
    with pytest.raises(ConnectionLost):
        handler.lambda_handler(direct_event("a"), lambda_context())
    assert metrics_in(capsys.readouterr().out) == {"Failed": [1]}


PROOF = ("object", "remote_path", "bytes", "checksum", "streams", "seconds", "attempt", "host_key")


def test_delivery_is_logged_with_its_receipt(delivery: FakeDeliveries, log: Log) -> None:
    returned_messages(queue_event(m1=["a"]))
    (line,) = log()
    proof = {name: line[name] for name in PROOF}
    assert proof == {
        "object": "s3://bucket/a",
        "remote_path": "inbox/a",
        "bytes": 42,
        "checksum": "CRC32:y/Q5Jg==",
        "streams": 2,
        "seconds": 1.25,
        "attempt": 1,
        "host_key": "SHA256:abc",
    }
    assert line["function_request_id"]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ConnectionLost("cut.", hint="wait."), "WARNING"),
        (ObjectGone("gone.", hint="put it again."), "ERROR"),
        (LoginRefused("no.", hint="check."), "ERROR"),
        (ConfigurationError("unset.", hint="set it."), "ERROR"),
    ],
)
def test_failure_is_logged_once_with_reason_hint_and_disposition(
    error: DeliveryError, level: str, delivery: FakeDeliveries, log: Log
) -> None:
    delivery.failures["a"] = error
    returned_messages(queue_event(m1=["a"]))
    (line,) = log()
    assert line["level"] == level
    assert line["message"] == f"not delivered: {error.reason} {error.hint}"
    assert line["error"] == type(error).__name__
    assert (line["reason"], line["hint"]) == (error.reason, error.hint)
    assert line["disposition"] == error.disposition.value
    assert line["object"] == "s3://bucket/a"


@pytest.mark.parametrize(
    "error",
    [
        AlreadyDelivered("before.", hint="nothing."),
        CheckpointSaved("half.", hint="goes on."),
        CircuitOpen("open.", hint="later.", retry_after=60),
        DeadlineTooClose("late.", hint="later.", retry_after=0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_expected_outcome_is_logged_as_info_and_not_counted_as_failed(
    error: DeliveryError, delivery: FakeDeliveries, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.failures["a"] = error
    returned_messages(queue_event(m1=["a"]))
    (line,) = log()
    assert (line["level"], line["message"]) == ("INFO", f"{error.reason} {error.hint}")
    assert metrics_in(capsys.readouterr().out) == {}


def test_app_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name, value in {"HOST": "h", "PORT": "22", "USERNAME": "u", "PASSWORD": "p"}.items():
        monkeypatch.setenv(f"SSH_{name}", value)
    handler._app.cache_clear()
    try:
        assert handler._app() is handler._app()
    finally:
        handler._app.cache_clear()
