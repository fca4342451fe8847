"""What the bus hears is what the schemas in docs/events say, and a deaf bus fails no delivery."""

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
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from moto import mock_aws

from s3_to_sftp import events
from s3_to_sftp.errors import AlreadyGone, EventError, RemotePathRefused, Superseded
from s3_to_sftp.events import EventPublisher, NullPublisher, Publisher
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.circuit_breaker import Opened, Recovered
from s3_to_sftp.state.receipt import Receipt

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
    """Records the requests; refuses entries, or everything, as it is told."""

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
        """The events as a rule's target gets them."""
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


def announcer(bus: Any) -> EventPublisher:
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
}


def event_of(announce: Callable[[Publisher], None]) -> dict[str, Any]:
    bus = Bus()
    to = announcer(bus)
    announce(to)
    to.flush()
    (event,) = bus.events()
    return event


def closed(schema: Any) -> Any:
    """Forbid fields that the schema does not name: others may ignore them, we may not make them."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return {**parts, "additionalProperties": False} if "properties" in schema else parts


def faults(event: dict[str, Any]) -> list[str]:
    schema = closed(SCHEMAS[event["detail-type"]])
    return [error.message for error in Draft202012Validator(schema).iter_errors(event)]


def test_every_kind_of_event_has_a_schema() -> None:
    assert {event_of(announce)["detail-type"] for announce in EVERYTHING.values()} == SCHEMAS.keys()


@pytest.mark.parametrize("title", SCHEMAS)
def test_schema_is_one(title: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[title])
    assert SCHEMAS[title]["properties"]["detail-type"]["const"] == title


@pytest.mark.parametrize("announce", EVERYTHING.values(), ids=EVERYTHING)
def test_event_is_what_its_schema_says(announce: Callable[[Publisher], None]) -> None:
    assert faults(event_of(announce)) == []


def changed(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
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


@pytest.mark.parametrize("announce", EVERYTHING.values(), ids=EVERYTHING)
def test_changed_field_is_not_what_the_schema_says(announce: Callable[[Publisher], None]) -> None:
    assert [what for what, event in changed(event_of(announce)) if not faults(event)] == []


def test_example_of_the_documentation_is_what_the_schema_says() -> None:
    (example, _rule) = (
        block.split("```")[0] for block in (DOCS / "README.md").read_text().split("```json")[1:]
    )
    assert faults(json.loads(example)) == []


def test_documentation_names_every_event() -> None:
    text = (DOCS / "README.md").read_text()
    assert [title for title in SCHEMAS if f"`{title}`" not in text] == []


def test_delivered_object_is_told_with_all_its_evidence() -> None:
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


def test_outage_is_told_with_its_times() -> None:
    detail = event_of(EVERYTHING["unavailable"])["detail"]
    assert (detail["since"], detail["retryAt"]) == ("2026-11-23T00:00:00.500Z", "2026-11-23T00:01:00.500Z")


def test_event_has_the_time_at_which_it_was_published() -> None:
    now = [NOW]
    bus = Bus()
    to = EventPublisher(bus, bus="default", server=SERVER, clock=lambda: now[0])
    to.superseded(REF, NEWER)
    now[0] += 800
    to.flush()
    assert bus.requests[0][0]["Time"].timestamp() == NOW


def test_event_bridge_takes_what_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        events = boto3.client("events", region_name="eu-west-1")
        taken: list[str] = []

        class Recorder:
            def put_events(self, **request: Any) -> Any:
                answer = events.put_events(**request)
                taken.extend(result["EventId"] for result in answer["Entries"])
                return answer

        to = announcer(Recorder())
        for announce in EVERYTHING.values():
            announce(to)
        to.flush()
    assert len(set(taken)) == len(EVERYTHING)
    assert caplog.records == []


# Requests


def test_flush_without_events_sends_nothing() -> None:
    bus = Bus()
    announcer(bus).flush()
    assert bus.requests == []


def test_what_was_sent_is_not_sent_again() -> None:
    bus = Bus()
    to = announcer(bus)
    to.superseded(REF, NEWER)
    to.flush()
    to.flush()
    assert len(bus.events()) == 1


@given(lengths=st.lists(st.integers(1, 6000), max_size=45), most_bytes=st.integers(30_000, 60_000))
def test_requests_are_small_enough_and_hold_every_event_in_order(lengths: list[int], most_bytes: int) -> None:
    bus = Bus()
    to = announcer(bus)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_MAX_BYTES", most_bytes)
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


def test_largest_events_fit_many_times_into_a_request() -> None:
    bus = Bus()
    to = announcer(bus)
    error = RemotePathRefused("ü" * 1_000_000, hint="😀" * 1_000_000)
    to.failed(ObjectRef(bucket="b" * 63, key="ü" * 512), error, attempt=1, remote_path="ü" * 1000)
    to.flush()
    assert len(bus.requests[0][0]["Detail"]) < 256_000 / 4
    assert faults(bus.events()[0]) == []


# A bus that does not take them


def test_refused_entries_are_sent_once_more() -> None:
    bus = Bus()
    bus.refuses = lambda request, entry: request == 1 and "one" in entry["Detail"]
    to = announcer(bus)
    for key in ("one", "two"):
        to.superseded(ObjectRef(bucket="b", key=key), NEWER)
    to.flush()
    assert [event["detail"]["key"] for event in bus.events()] == ["one", "two", "one"]


def test_entries_refused_twice_are_logged_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    bus.refuses = lambda _request, entry: "one" in entry["Detail"]
    to = announcer(bus)
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
def test_bus_out_of_reach_fails_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus()
    bus.error = error
    to = announcer(bus)
    for _ in range(12):
        to.superseded(REF, NEWER)
    to.flush()
    assert len(bus.requests) == 2
    assert "events not sent (10)" in caplog.text


def test_without_a_bus_nothing_is_said() -> None:
    silent: Publisher = NullPublisher()
    for announce in EVERYTHING.values():
        announce(silent)
    silent.flush()
