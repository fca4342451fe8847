"""Published events conform to the schemas in docs/events, and an unreachable bus fails no delivery."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.errors import EventError, RemotePathRefused
from s3_to_sftp.events import EventPublisher, NullPublisher, Publisher
from s3_to_sftp.outcomes import AlreadyGone, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.circuit_breaker import Opened, Recovered
from s3_to_sftp.state.receipt import Receipt
from tests.support.json_schemas import draft_2020_12, without_additional_properties
from tests.support.memory_aws import mock_aws

DOCS = Path(__file__).parents[2] / "docs" / "events"
SCHEMAS = {
    schema["title"]: schema for schema in (json.loads(path.read_text()) for path in DOCS.glob("*.json"))
}

NOW = 1_795_392_000.5
SERVER = "sftp.partner.example:22"
REF = ObjectRef(bucket="outgoing", key="a b/ü.csv", version_id="3HL4kqtJ", etag="e", size=5, sequencer="0055")
UNVERSIONED = ObjectRef(bucket="outgoing", key="a")
REFUSED = RemotePathRefused("The path holds '..'.", hint="Rename the object.")
NEWER = Superseded("A newer version is there.", hint="Nothing.")
GONE = AlreadyGone("It is not in S3.", hint="Nothing.")
OPENED = Opened(
    server=SERVER, reason="No answer.", error="PartnerUnreachable", since=NOW, failures=3, retry_at=NOW + 60
)
RECOVERED = Recovered(server=SERVER, reason="No answer.", error="PartnerUnreachable", since=NOW, failures=3)


class Bus:
    """Records the requests; refuses entries by `refuses`, or fails with `error`."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.refuses: Callable[[int, dict[str, Any]], bool] = lambda _request, _entry: False
        self.error: Exception | None = None

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.requests.append(Entries)
        if self.error:
            raise self.error
        request = len(self.requests)
        results = [
            {"ErrorCode": "ThrottlingException", "ErrorMessage": "Busy."}
            if self.refuses(request, entry)
            else {"EventId": "1"}
            for entry in Entries
        ]
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def events(self) -> list[dict[str, Any]]:
        """Return the events as the target of a rule receives them."""
        return [
            {
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "time": entry["Time"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                "detail": json.loads(entry["Detail"]),
            }
            for request in self.requests
            for entry in request
        ]


def publisher_to(bus: Any) -> EventPublisher:
    return EventPublisher(bus, bus="default", server=SERVER, clock=lambda: NOW)


def completed(to: Publisher, ref: ObjectRef = REF, *, checksum: str = "rosUhgp5mIg=", **more: Any) -> None:
    to.completed(
        Receipt(
            ref=ref,
            remote_path="/inbox/a b/ü.csv",
            size=5,
            checksum_algorithm="CRC64NVME" if checksum else "",
            checksum=checksum,
            seconds=0.4123456,
            attempt=2,
            streams=4,
            host_key_fingerprint="SHA256:abc",
            **more,
        )
    )


EVERYTHING: dict[str, Callable[[Publisher], None]] = {
    "completed": lambda to: completed(to, sha256="ab" * 32),
    "completed, compared with a composite checksum": lambda to: completed(
        to, verified_by="composite:CRC32C/12", evidence="seen_after_rename"
    ),
    "completed, unversioned": lambda to: completed(to, UNVERSIONED),
    "completed, recovered after the object had gone": lambda to: completed(to, checksum="", recovered=True),
    "failed": lambda to: to.failed(REF, REFUSED, attempt=3, remote_path="/inbox/a"),
    "failed, no path": lambda to: to.failed(UNVERSIONED, REFUSED, attempt=1),
    "failed, no object": lambda to: to.failed(None, EventError("No JSON.", hint="Look."), attempt=1),
    "superseded": lambda to: to.superseded(REF, NEWER),
    "superseded, unversioned": lambda to: to.superseded(UNVERSIONED, NEWER),
    "gone": lambda to: to.gone(REF, GONE),
    "gone, unversioned": lambda to: to.gone(UNVERSIONED, GONE),
    "unavailable": lambda to: to.unavailable(OPENED),
    "recovered": lambda to: to.recovered(RECOVERED),
    "changed": lambda to: to.changed(changes=["The cipher changed."], failures=["login failed."]),
}


def event_of(publish: Callable[[Publisher], None]) -> dict[str, Any]:
    bus = Bus()
    to = publisher_to(bus)
    publish(to)
    to.flush()
    (event,) = bus.events()
    return event


def schema_errors(event: dict[str, Any]) -> list[str]:
    schema = without_additional_properties(SCHEMAS[event["detail-type"]])
    return [error.message for error in draft_2020_12()(schema).iter_errors(event)]


def test_every_kind_of_event_has_a_schema() -> None:
    assert {event_of(publish)["detail-type"] for publish in EVERYTHING.values()} == SCHEMAS.keys()


@pytest.mark.parametrize("title", SCHEMAS)
def test_schema_is_valid(title: str) -> None:
    draft_2020_12().check_schema(SCHEMAS[title])
    assert SCHEMAS[title]["properties"]["detail-type"]["const"] == title


@pytest.mark.parametrize("publish", EVERYTHING.values(), ids=EVERYTHING)
def test_event_conforms_to_its_schema(publish: Callable[[Publisher], None]) -> None:
    assert schema_errors(event_of(publish)) == []


def with_changed_fields(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Change one field at a time: another name, another type."""
    for name in event["detail"]:
        for change in ("renamed", "retyped"):
            other = copy.deepcopy(event)
            value = other["detail"].pop(name)
            other["detail"][name if change == "retyped" else f"{name}Two"] = (
                value if change == "renamed" else [value]
            )
            yield f"{name} {change}", other
    for name in ("algorithm", "value"):
        if "checksum" in event["detail"]:
            other = copy.deepcopy(event)
            other["detail"]["checksum"][f"{name}Two"] = other["detail"]["checksum"].pop(name)
            yield f"checksum.{name} renamed", other


@pytest.mark.parametrize("publish", EVERYTHING.values(), ids=EVERYTHING)
def test_schema_rejects_a_renamed_or_retyped_field(publish: Callable[[Publisher], None]) -> None:
    assert [what for what, event in with_changed_fields(event_of(publish)) if not schema_errors(event)] == []


def test_documented_example_conforms_to_its_schema() -> None:
    (example, _rule) = (
        block.split("```")[0] for block in (DOCS / "README.md").read_text().split("```json")[1:]
    )
    assert schema_errors(json.loads(example)) == []


def test_documentation_names_every_event() -> None:
    text = (DOCS / "README.md").read_text()
    assert [title for title in SCHEMAS if f"`{title}`" not in text] == []


def test_delivery_event_has_all_fields_of_the_receipt() -> None:
    assert event_of(EVERYTHING["completed"])["detail"] == {
        "version": "1",
        "server": SERVER,
        "bucket": "outgoing",
        "key": "a b/ü.csv",
        "versionId": "3HL4kqtJ",
        "remotePath": "/inbox/a b/ü.csv",
        "bytes": 5,
        "checksum": {"algorithm": "CRC64NVME", "value": "rosUhgp5mIg="},
        "verifiedBy": "none",
        "evidence": "rename_ok",
        "sha256": "ab" * 32,
        "duration": 0.412,
        "attempt": 2,
        "streams": 4,
        "hostKey": "SHA256:abc",
    }


def test_unavailable_event_has_its_times() -> None:
    detail = event_of(EVERYTHING["unavailable"])["detail"]
    assert (detail["since"], detail["retryAt"]) == ("2026-11-23T00:00:00.500Z", "2026-11-23T00:01:00.500Z")


def test_event_has_the_time_of_its_publication() -> None:
    now = [NOW]
    bus = Bus()
    to = EventPublisher(bus, bus="default", server=SERVER, clock=lambda: now[0])
    to.superseded(REF, NEWER)
    now[0] += 800
    to.flush()
    assert bus.requests[0][0]["Time"].timestamp() == NOW


def test_eventbridge_accepts_every_event(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        events = boto3.client("events", region_name="eu-west-1")
        accepted: list[str] = []

        class Recorder:
            def put_events(self, **request: Any) -> Any:
                answer = events.put_events(**request)
                accepted.extend(result["EventId"] for result in answer["Entries"])
                return answer

        to = publisher_to(Recorder())
        for publish in EVERYTHING.values():
            publish(to)
        to.flush()
    assert len(set(accepted)) == len(EVERYTHING)
    assert caplog.records == []


# Requests


def test_flush_without_events_sends_nothing() -> None:
    bus = Bus()
    publisher_to(bus).flush()
    assert bus.requests == []


def test_sent_events_are_not_sent_again() -> None:
    bus = Bus()
    to = publisher_to(bus)
    to.superseded(REF, NEWER)
    to.flush()
    to.flush()
    assert len(bus.events()) == 1


@given(lengths=st.lists(st.integers(1, 40_000), max_size=45))
def test_requests_respect_the_limits_and_hold_every_event_in_order(lengths: list[int]) -> None:
    most_bytes = 256_000
    bus = Bus()
    to = publisher_to(bus)
    for length in lengths:
        to.superseded(ObjectRef(bucket="b", key="ü" * length), NEWER)
    to.flush()
    assert [len(event["detail"]["key"]) for event in bus.events()] == lengths
    for request in bus.requests:
        sizes = [
            14 + sum(len(entry[part].encode()) for part in ("Source", "DetailType", "Detail"))
            for entry in request
        ]
        assert 1 <= len(request) <= 10
        assert sum(sizes) <= most_bytes or len(request) == 1
    for before, after in zip(bus.requests, bus.requests[1:], strict=False):
        full = sum(14 + len(e["Detail"]) + len(e["Source"] + e["DetailType"]) for e in [*before, after[0]])
        assert len(before) == 10 or full > most_bytes


def test_largest_event_is_below_a_quarter_of_a_request() -> None:
    bus = Bus()
    to = publisher_to(bus)
    error = RemotePathRefused("ü" * 1_000_000, hint="😀" * 1_000_000)
    to.failed(ObjectRef(bucket="b" * 63, key="ü" * 512), error, attempt=1, remote_path="ü" * 1000)
    to.flush()
    assert len(bus.requests[0][0]["Detail"]) < 256_000 / 4
    assert schema_errors(bus.events()[0]) == []


# Refused events and an unreachable bus


def test_refused_entries_are_retried_once() -> None:
    bus = Bus()
    bus.refuses = lambda request, entry: request == 1 and "one" in entry["Detail"]
    to = publisher_to(bus)
    for key in ("one", "two"):
        to.superseded(ObjectRef(bucket="b", key=key), NEWER)
    to.flush()
    assert [event["detail"]["key"] for event in bus.events()] == ["one", "two", "one"]


def test_entries_refused_twice_are_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    bus.refuses = lambda _request, entry: "one" in entry["Detail"]
    to = publisher_to(bus)
    for key in ("one", "two"):
        to.superseded(ObjectRef(bucket="b", key=key), NEWER)
    to.flush()
    to.flush()
    assert len(bus.requests) == 2
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "events not sent (1): ThrottlingException: Busy." in record.message


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutEvents"),
        EndpointConnectionError(endpoint_url="https://events"),
    ],
)
def test_unreachable_bus_raises_no_error(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    bus.error = error
    to = publisher_to(bus)
    for _ in range(12):
        to.superseded(REF, NEWER)
    to.flush()
    assert len(bus.requests) == 2
    assert "events not sent (10)" in caplog.text


def test_null_publisher_accepts_every_event() -> None:
    publisher: Publisher = NullPublisher()
    for publish in EVERYTHING.values():
        publish(publisher)
    publisher.flush()
    assert vars(publisher) == {}, "it keeps nothing"
