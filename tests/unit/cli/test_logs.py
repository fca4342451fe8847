"""`logs`: the lines of one object or one invocation, without what tells nothing to people."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from s3_to_sftp_cli import log_reader
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import ExitCode
from s3_to_sftp_cli.log_reader import filter_pattern, parse_line
from tests.support.cli import CliEnvironment, check_schema

REQUEST = "0a1b2c3d-0000-4000-8000-000000000001"
DELIVERED = {
    "level": "INFO",
    "location": "delivered:1",
    "message": "delivered",
    "timestamp": "x",
    "service": "s3-to-sftp",
    "function_name": "f",
    "function_request_id": REQUEST,
    "object": "s3://bucket/in/a.csv (version v0A)",
    "bytes": 7,
    "remote_path": "/inbox/with blank.csv",
}
OTHER = {**DELIVERED, "object": "s3://bucket/in/a.csv.old", "function_request_id": "other"}
METRICS = {"_aws": {"CloudWatchMetrics": []}, "Delivered": 1}


def test_line_is_time_level_message_and_fields(cli: CliEnvironment) -> None:
    cli.log(DELIVERED, METRICS, f"START RequestId: {REQUEST} Version: $LATEST\n")
    (line,) = cli.run("logs").stdout.splitlines()
    assert line[8:] == (
        ' INFO    delivered  object="s3://bucket/in/a.csv (version v0A)" bytes=7 '
        f'remote_path="/inbox/with blank.csv" request={REQUEST}'
    )


def test_report_of_an_examination_is_shown_in_short(cli: CliEnvironment) -> None:
    checks = [
        {"name": "name", "outcome": "ok", "text": "it is 203.0.113.10"},
        {"name": "login", "outcome": "failed", "text": "no such user", "advice": "Ask them."},
        {"name": "sftp", "outcome": "not tried", "text": "(login)"},
    ]
    report = {"version": 1, "healthy": False, "checks": checks, "profile": {"version": "SSH-2.0-x" * 500}}
    about = {"level": "INFO", "message": "examination", "function_request_id": REQUEST}
    cli.log({**about, "report": report}, {**about, "report": {**report, "healthy": True, "checks": []}})
    first, second = cli.run("logs").stdout.splitlines()
    assert first[8:] == (
        f' INFO    examination  healthy=false failed=login reason="no such user" request={REQUEST}'
    )
    assert second.endswith(f"examination  healthy=true request={REQUEST}")
    assert cli.run("logs", "--json").lines[0]["fields"]["report"] == report


def test_line_of_the_standard_library_has_its_level(cli: CliEnvironment) -> None:
    cli.log(
        f"[WARNING]\t2026-11-29T02:00:00.000Z\t{REQUEST}\tthe circuit breaker is open\n",
        {"level": "WARNING", "message": "in JSON", "logger": "x", "requestId": REQUEST},
    )
    lines = cli.run("logs").stdout.splitlines()
    assert lines[0][8:] == f" WARNING the circuit breaker is open  request={REQUEST}"
    assert lines[1].endswith(f"request={REQUEST}")


def test_key_shows_the_lines_of_this_object_only(cli: CliEnvironment) -> None:
    cli.log(DELIVERED, OTHER, {"level": "INFO", "message": "resuming s3://bucket/in/a.csv at byte 5"})
    lines = cli.run("logs", "in/a.csv").stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["delivered", "resuming"]
    assert cli.run("logs", "s3://bucket/in/a.csv").stdout.splitlines() == lines


def test_key_in_another_bucket_is_another_object(cli: CliEnvironment) -> None:
    cli.log(DELIVERED)
    outcome = cli.run("logs", "in/a.csv", "--bucket", "other")
    assert outcome.stdout == ""
    assert "Nothing in /aws/lambda/Acme-Function since" in outcome.stderr
    assert "--since 1d" in outcome.stderr
    assert outcome.code == ExitCode.NOT_FOUND


def test_nothing_is_an_error_document_in_json(cli: CliEnvironment) -> None:
    cli.log(DELIVERED)
    outcome = cli.run("logs", "--request", "another", "--json")
    check_schema("error", outcome.json)
    assert (outcome.json["error"]["code"], outcome.code) == ("NOT_FOUND", 4)


def test_key_is_found_where_buckets_are_not_known_or_several(cli: CliEnvironment) -> None:
    cli.log(DELIVERED)
    cli.deploy(sources=())
    assert "delivered" in cli.run("logs", "in/a.csv").stdout
    cli.deploy(sources=(WatchedSource(bucket="x"), WatchedSource(bucket="bucket")))
    assert "delivered" in cli.run("logs", "in/a.csv").stdout


def test_request_shows_one_invocation(cli: CliEnvironment) -> None:
    cli.log(DELIVERED, OTHER, f"2026-11-29T02:00:00Z {REQUEST} Task timed out after 900.00 seconds")
    documents = cli.run("logs", "--request", REQUEST, "--json").lines
    for document in documents:
        check_schema("logs", document)
    assert [(each["message"], each["level"]) for each in documents] == [
        ("delivered", "INFO"),
        ("Task timed out after 900.00 seconds", "ERROR"),
    ]
    assert documents[0]["fields"]["bytes"] == 7


def test_lines_of_before_are_left_out(cli: CliEnvironment) -> None:
    cli.log(DELIVERED, at=time.time() - 7200)
    assert cli.run("logs", "--since", "1h").stdout == ""
    assert "delivered" in cli.run("logs", "--since", "3h").stdout


def test_text_cannot_move_the_cursor(cli: CliEnvironment) -> None:
    cli.log({"level": "ERROR", "message": "\x1b[2J", "exception": "Traceback\n  \x1b[31m"})
    outcome = cli.run("logs")
    assert "\x1b" not in outcome.stdout
    assert outcome.stdout.splitlines()[1].startswith("         Traceback")


def test_missing_log_group_is_said(cli: CliEnvironment) -> None:
    outcome = cli.run("logs")
    assert outcome.code == 4
    assert "There is no log group '/aws/lambda/Acme-Function'" in outcome.stderr


def test_missing_permission_names_the_action(cli: CliEnvironment) -> None:
    cli.refused.add("logs:FilterLogEvents")
    outcome = cli.run("logs")
    assert outcome.code == 5
    assert "logs:FilterLogEvents" in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [("a", "--request", "b"), ("s3://bucket",), ("s3://a/b", "--bucket", "c"), ("--since", "soon")],
)
def test_contradiction_is_a_usage_error(cli: CliEnvironment, arguments: tuple[str, ...]) -> None:
    assert cli.run("logs", *arguments).code == 2


def test_follow_shows_each_line_once(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt
        cli.log({**DELIVERED, "message": f"later {len(waits)}"})

    monkeypatch.setattr(log_reader, "_wait", wait)
    cli.log(DELIVERED)
    outcome = cli.run("logs", "--follow")
    assert [each.split("  object")[0].split(maxsplit=2)[2] for each in outcome.stdout.splitlines()] == [
        "delivered",
        "later 1",
        "later 2",
    ]
    assert outcome.code == 0


def test_pattern_has_one_of_the_texts() -> None:
    assert filter_pattern([]) == ""
    assert filter_pattern(["a b"]) == '"a b"'
    assert filter_pattern(["a", 'b"c']) == '?"a" ?"b"'


@pytest.mark.parametrize(("count", "longest"), [(1, 1024), (1, 200), (4, 1024), (7, 1024), (100, 1024)])
def test_pattern_is_not_longer_than_is_accepted(count: int, longest: int) -> None:
    terms = [f"{number}{'é' * longest}" for number in range(count)]
    pattern = filter_pattern(terms)
    assert len(pattern.encode()) <= 1024
    assert bool(pattern) is (count < 100)  # else every line is read


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "platform.report", "record": {"requestId": "r", "status": "success"}}, None),
        (
            {"type": "platform.report", "record": {"requestId": "r", "status": "timeout"}},
            ("ERROR", "the invocation ended with timeout"),
        ),
        (
            {"type": "platform.report", "record": {"status": "error", "errorType": "Runtime.OutOfMemory"}},
            ("ERROR", "the invocation ended with error (Runtime.OutOfMemory)"),
        ),
        ("REPORT RequestId: x Duration: 1 ms", None),
        ("plain text", ("", "plain text")),
        ([1], ("", "[1]")),
        ({"level": "INFO", "message": {"a": 1}}, ("INFO", '{"a": 1}')),
    ],
)
def test_what_lambda_writes_is_shown_when_it_tells_something(message: Any, expected: Any) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    line = parse_line({"timestamp": 0, "message": text})
    assert (line and (line.level, line.message)) == expected
