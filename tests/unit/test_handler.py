"""Every message and every object gets its turn, and failures go back where they came from."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from s3_to_sftp import handler
from s3_to_sftp.delivery import Outcome, Receipt
from s3_to_sftp.errors import (
    ConfigurationError,
    ConnectionLost,
    DeadlineTooClose,
    DeliveryError,
    EventError,
    LoginRefused,
    ObjectGone,
)
from s3_to_sftp.events import ObjectRef
from tests.lambda_events import lambda_context, s3_notification, s3_record, sqs_event

# As handler.py itself does; pytest has filters of its own.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

RESERVE = handler._START_RESERVE_SECONDS * 1000
"""Milliseconds that an object must find left."""


class FakeDelivery:
    """Delivers, but for the keys that it was told to fail on."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.tried: list[str] = []

    def deliver_all(
        self, refs: Sequence[ObjectRef], *, before_each: Callable[[ObjectRef], None]
    ) -> Iterator[Outcome]:
        for ref in refs:
            try:
                before_each(ref)
            except DeliveryError as error:
                yield ref, error
                continue
            self.tried.append(ref.key)
            yield ref, self.failures.get(ref.key) or receipt(ref)


def receipt(ref: ObjectRef) -> Receipt:
    return Receipt(
        ref=ref,
        remote_path=f"inbox/{ref.key}",
        size=42,
        seconds=1.25,
        checksum_algorithm="CRC32",
        checksum="y/Q5Jg==",
        lanes=2,
        host_key_fingerprint="SHA256:abc",
    )


@pytest.fixture
def delivery(monkeypatch: pytest.MonkeyPatch) -> FakeDelivery:
    fake = FakeDelivery()
    monkeypatch.setattr(handler, "_delivery", lambda: fake)
    return fake


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines of the JSON log so far."""
    stream = io.StringIO()
    for logging_handler in logging.getLogger("s3-to-sftp").handlers:
        monkeypatch.setattr(logging_handler, "stream", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    handler.metrics.clear_metrics()


Log = Callable[[], list[dict[str, Any]]]


def direct(*keys: str) -> dict[str, Any]:
    return s3_notification(*(s3_record("bucket", key) for key in keys))


def queued(**messages: list[str] | str) -> dict[str, Any]:
    """Messages of a queue: each a list of keys, or a body as it is."""
    bodies = {
        name: body if isinstance(body, str) else json.dumps(direct(*body)) for name, body in messages.items()
    }
    return sqs_event(**bodies)


def put_back(event: dict[str, Any], *remaining: int) -> list[str]:
    answer = handler.lambda_handler(event, lambda_context(*remaining))
    assert answer is not None
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


# --- from a queue ---


def test_delivered_messages_leave_the_queue(delivery: FakeDelivery) -> None:
    assert put_back(queued(m1=["a"], m2=["b"])) == []
    assert delivery.tried == ["a", "b"]


@pytest.mark.parametrize("bad", ["a", "b", "c"])
def test_one_bad_message_never_costs_the_others(bad: str, delivery: FakeDelivery) -> None:
    delivery.failures[bad] = ConnectionLost("cut.", hint="")
    assert put_back(queued(m_a=["a"], m_b=["b"], m_c=["c"])) == [f"m_{bad}"]
    assert delivery.tried == ["a", "b", "c"]


def test_all_messages_can_go_back_without_an_exception(delivery: FakeDelivery) -> None:
    delivery.failures = {key: ConnectionLost("cut.", hint="") for key in "ab"}
    assert put_back(queued(m1=["a"], m2=["b"])) == ["m1", "m2"]


@pytest.mark.parametrize("bad", ["a", "b", "c"])
def test_one_bad_object_of_a_message_never_costs_the_others(bad: str, delivery: FakeDelivery) -> None:
    delivery.failures[bad] = ConnectionLost("cut.", hint="")
    assert put_back(queued(m1=["a", "b", "c"])) == ["m1"]
    assert delivery.tried == ["a", "b", "c"]


@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", "null", '{"Records": [{}]}', "[" * 100_000])
def test_malformed_message_goes_back_alone(body: str, delivery: FakeDelivery, log: Log) -> None:
    assert put_back(queued(m1=["a"], m2=body, m3=["c"])) == ["m2"]
    assert delivery.tried == ["a", "c"]
    (line,) = [line for line in log() if "not delivered" in line["message"]]
    assert line["message_id"] == "m2"


def test_unexpected_exception_goes_back_alone_with_its_traceback_in_the_log(
    delivery: FakeDelivery, log: Log
) -> None:
    delivery.failures["b"] = ZeroDivisionError("surprise")
    assert put_back(queued(m1=["a"], m2=["b"], m3=["c"])) == ["m2"]
    (line,) = [line for line in log() if "unexpected" in line["message"]]
    assert line["object"] == "s3://bucket/b"
    assert "ZeroDivisionError: surprise" in line["exception"]


def test_test_event_leaves_the_queue(delivery: FakeDelivery) -> None:
    assert put_back(queued(m1='{"Event": "s3:TestEvent", "Bucket": "bucket"}')) == []
    assert delivery.tried == []


def test_missing_configuration_puts_everything_back(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    for name in ("SSH_HOST", "SSH_PORT"):
        monkeypatch.delenv(name, raising=False)
    handler._delivery.cache_clear()
    assert put_back(queued(m1=["a"], m2=["b"])) == ["m1", "m2"]
    assert [line["error"] for line in log()] == ["ConfigurationError"] * 2
    assert all("SSH_HOST is not set" in line["message"] for line in log())


def test_objects_of_all_messages_are_delivered_together(
    delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []
    deliver_all = delivery.deliver_all

    def noting(refs: Sequence[ObjectRef], **more: Any) -> Iterator[Outcome]:
        batches.append([ref.key for ref in refs])
        return deliver_all(refs, **more)

    monkeypatch.setattr(delivery, "deliver_all", noting)
    put_back(queued(m1=["a", "b"], m2="malformed", m3=["c"]))
    assert batches == [["a", "b", "c"]]


def test_message_that_comes_twice_is_answered_twice(delivery: FakeDelivery) -> None:
    delivery.failures["a"] = ConnectionLost("cut.", hint="")
    assert put_back(queued(m1=["a"], m2=["a"], m3=["b"])) == ["m1", "m2"]


def test_outcomes_may_come_in_any_order(delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery.failures["b"] = ConnectionLost("cut.", hint="")
    deliver_all = delivery.deliver_all
    monkeypatch.setattr(delivery, "deliver_all", lambda refs, **more: deliver_all(refs[::-1], **more))
    assert put_back(queued(m1=["a"], m2=["b"], m3=["c"])) == ["m2"]


# --- from S3 itself ---


def test_direct_notification_is_delivered(delivery: FakeDelivery) -> None:
    assert handler.lambda_handler(direct("a", "b"), lambda_context()) is None
    assert delivery.tried == ["a", "b"]


def test_direct_notification_raises_the_first_failure_after_the_others_had_their_turn(
    delivery: FakeDelivery,
) -> None:
    delivery.failures = {"a": ObjectGone("gone.", hint=""), "b": ConnectionLost("cut.", hint="")}
    with pytest.raises(ObjectGone):
        handler.lambda_handler(direct("a", "b", "c"), lambda_context())
    assert delivery.tried == ["a", "b", "c"]


@pytest.mark.parametrize("event", [{}, [], None, {"Records": None}, {"Records": [{}]}, {"detail": {}}])
def test_malformed_direct_event_raises_and_is_logged(event: Any, delivery: FakeDelivery, log: Log) -> None:
    with pytest.raises(EventError):
        handler.lambda_handler(event, lambda_context())
    assert [line["error"] for line in log()] == ["EventError"]


def test_direct_test_event_is_acknowledged(delivery: FakeDelivery) -> None:
    assert handler.lambda_handler({"Event": "s3:TestEvent"}, lambda_context()) is None


# --- the deadline ---


def sized(key: str, size: int | None) -> str:
    return json.dumps(s3_notification(s3_record("bucket", key, size=size)))


def test_nothing_is_started_when_the_invocation_is_about_to_end(delivery: FakeDelivery, log: Log) -> None:
    assert put_back(queued(m1=["a"], m2=["b"]), RESERVE + 1000, RESERVE - 1) == ["m2"]
    assert delivery.tried == ["a"]
    assert [line["error"] for line in log() if line["level"] == "WARNING"] == ["DeadlineTooClose"]


def test_object_that_would_not_be_ready_in_time_is_put_back(delivery: FakeDelivery) -> None:
    event = queued(m1=sized("big", 10**8), m2=sized("huge", 10**9), m3=sized("unknown", None))
    assert put_back(event, RESERVE + 60_000) == ["m2"]
    assert delivery.tried == ["big", "unknown"]


def test_small_objects_do_not_take_the_turn_of_a_huge_one(delivery: FakeDelivery) -> None:
    event = queued(m1=["a"], m2=["b"], m3=sized("huge", 10**12))
    assert put_back(event, RESERVE) == []
    assert delivery.tried == ["a", "b", "huge"]


def test_first_object_has_all_the_time_that_there_is(delivery: FakeDelivery) -> None:
    event = queued(m1=sized("huge", 10**12), m2=sized("as huge", 10**12))
    assert put_back(event, RESERVE) == ["m2"]
    assert delivery.tried == ["huge"]


def test_object_that_was_put_off_is_not_counted_as_the_first(delivery: FakeDelivery) -> None:
    event = queued(m1=["a"], m2=sized("huge", 10**12))
    assert put_back(event, RESERVE - 1, RESERVE) == ["m1"]
    assert delivery.tried == ["huge"]


def test_direct_notification_near_the_deadline_raises(delivery: FakeDelivery) -> None:
    with pytest.raises(DeadlineTooClose):
        handler.lambda_handler(direct("a"), lambda_context(RESERVE - 1))


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
    delivery: FakeDelivery, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.failures["b"] = ConnectionLost("cut.", hint="")
    put_back(queued(m1=["a"], m2=["b"], m3=["c"], m4="malformed"))
    assert metrics_in(capsys.readouterr().out) == {
        "Delivered": [1, 1],
        "DeliveredBytes": [42, 42],
        "DeliverySeconds": [1.25, 1.25],
        "Failed": [1, 1],
    }


def test_failures_are_counted_also_when_the_invocation_raises(
    delivery: FakeDelivery, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery.failures["a"] = ConnectionLost("cut.", hint="")
    with pytest.raises(ConnectionLost):
        handler.lambda_handler(direct("a"), lambda_context())
    assert metrics_in(capsys.readouterr().out) == {"Failed": [1]}


PROOF = ("object", "remote_path", "bytes", "checksum", "lanes", "seconds", "host_key")


def test_delivery_is_logged_with_all_that_proves_it(delivery: FakeDelivery, log: Log) -> None:
    put_back(queued(m1=["a"]))
    (line,) = log()
    proof = {name: line[name] for name in PROOF}
    assert proof == {
        "object": "s3://bucket/a",
        "remote_path": "inbox/a",
        "bytes": 42,
        "checksum": "CRC32:y/Q5Jg==",
        "lanes": 2,
        "seconds": 1.25,
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
def test_failure_is_logged_once_with_cause_next_step_and_kind(
    error: DeliveryError, level: str, delivery: FakeDelivery, log: Log
) -> None:
    delivery.failures["a"] = error
    put_back(queued(m1=["a"]))
    (line,) = log()
    assert line["level"] == level
    assert line["message"] == f"not delivered: {error.reason} {error.hint}"
    assert line["error"] == type(error).__name__
    assert (line["reason"], line["hint"]) == (error.reason, error.hint)
    assert line["disposition"] == error.disposition.value
    assert line["object"] == "s3://bucket/a"


def test_clients_and_connection_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name, value in {"HOST": "h", "PORT": "22", "USERNAME": "u", "PASSWORD": "p"}.items():
        monkeypatch.setenv(f"SSH_{name}", value)
    handler._delivery.cache_clear()
    try:
        assert handler._delivery() is handler._delivery()
    finally:
        handler._delivery.cache_clear()
