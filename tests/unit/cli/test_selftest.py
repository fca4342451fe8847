"""`selftest`: a small file through the whole way, and nothing of it left."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ReadTimeoutError

from s3_to_sftp_cli import dead_letters
from s3_to_sftp_cli.commands import selftest
from s3_to_sftp_cli.delivery import WatchedSource
from s3_to_sftp_cli.errors import ExitCode
from tests.support.cli import BUCKET, FUNCTION, REGION, CliEnvironment, Outcome, check_schema

Happens = Callable[[str], object]


class Selftest:
    """A bucket, the function's answers, and what happens to the object while the command waits.

    Attributes:
        happens: Called one by one with the object's key, each at another look into the ledger.
        answer: What the function answers.
        requests: What the function was asked.
        plan: What it answers about an object that is not there yet.
        content: Of the object that was put.
    """

    def __init__(self, cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self.s3 = cli.aws.client("s3")
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.happens: list[Happens] = []
        self.answer: dict[str, Any] = {"Payload": b'{"removed": true, "reason": ""}'}
        self.requests: list[dict[str, Any]] = []
        self.content = b""
        self.plan: dict[str, Any] = {"plan": {}, "sequence": None}
        self._now = 0.0
        monkeypatch.setattr(selftest, "_clock", lambda: self._now)
        monkeypatch.setattr(selftest, "_sleep", self._sleep)
        monkeypatch.setattr(dead_letters, "_WAIT_SECONDS", 0)
        call: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

        def invoke(client: Any, operation: str, request: dict[str, Any]) -> Any:
            if operation != "Invoke":
                return call(client, operation, request)
            assert request["FunctionName"] == FUNCTION
            if json.loads(request["Payload"])["operation"] == "plan":
                assert not self.keys()  # asked before anything is put
                return {"Payload": io.BytesIO(json.dumps(self.plan).encode())}
            assert self.keys() == [self.requests_key(request)]
            self.requests.append(json.loads(request["Payload"]))
            if "Error" in self.answer:
                raise ClientError(self.answer, "Invoke")  # type: ignore[arg-type]
            return {**self.answer, "Payload": io.BytesIO(self.answer["Payload"])}

        monkeypatch.setattr(BaseClient, "_make_api_call", invoke)

    @staticmethod
    def requests_key(request: dict[str, Any]) -> str:
        return str(json.loads(request["Payload"])["key"])

    def _sleep(self, seconds: float) -> None:
        self._now += seconds
        (key,) = self.keys()
        self.content = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        if self.happens:
            self.happens.pop(0)(key)

    def keys(self) -> list[str]:
        """Of all versions in the bucket."""
        answer = self.s3.list_object_versions(Bucket=BUCKET)
        assert not answer.get("DeleteMarkers")
        return [each["Key"] for each in answer.get("Versions", [])]

    def run(self, *arguments: str) -> Outcome:
        return self.cli.run("selftest", *arguments)


@pytest.fixture(name="env")
def _environment(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> Selftest:
    return Selftest(cli, monkeypatch)


@pytest.fixture
def delivered(env: Selftest) -> Selftest:
    env.happens = [lambda key: env.cli.waiting(key, reason="another function sends it"), env.cli.delivered]
    return env


def test_every_step_is_shown_and_nothing_is_left(delivered: Selftest) -> None:
    outcome = delivered.run()
    assert outcome.code == 0
    lines = [line.strip() for line in outcome.stdout.splitlines()]
    key = delivered.requests[0]["key"]
    assert lines == [
        f"0.0 s  s3://{BUCKET}/{key}",
        "0.5 s  WAITING  another function sends it",
        f"1.0 s  DELIVERED  out/{key}",
        "1.0 s  the partner's file is removed",
        "1.0 s  the object is deleted",
        f"delivered in 1.0 s to sftp.acme.example:22 out/{key}",
    ]
    assert delivered.keys() == []


def test_function_is_asked_to_remove_the_version_that_was_delivered(delivered: Selftest) -> None:
    delivered.run()
    (request,) = delivered.requests
    assert request == {
        "operation": "remove-selftest",
        "bucket": BUCKET,
        "key": request["key"],
        "version_id": "v0A",
    }


def test_object_has_the_name_that_the_source_watches_and_says_what_it_is(delivered: Selftest) -> None:
    delivered.cli.deploy(sources=(WatchedSource(bucket=BUCKET, prefix="in/", suffix=".csv"),))
    delivered.run()
    key = delivered.requests[0]["key"]
    assert key.startswith("in/s3-to-sftp-selftest-20")
    assert key.endswith(".csv")
    assert b"It may be deleted." in delivered.content


def test_json_has_the_same(delivered: Selftest) -> None:
    document = delivered.run("--json").json
    check_schema("selftest", document)
    assert document["delivered"] is document["file_removed"] is document["object_deleted"] is True
    assert [step["step"] for step in document["steps"]] == [
        "put",
        "WAITING",
        "DELIVERED",
        "file_removed",
        "object_deleted",
    ]


def test_kept_object_and_file_stay(delivered: Selftest) -> None:
    outcome = delivered.run("--keep")
    assert outcome.code == 0
    assert "(it is still there)" in outcome.stdout
    assert (len(delivered.keys()), delivered.requests) == (1, [])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"Payload": b'{"removed": false, "reason": "the partner has collected it."}'}, "has collected it"),
        (
            {"Payload": b'{"errorMessage": "x"}', "FunctionError": "Unhandled"},
            "the function failed (Unhandled)",
        ),
        ({"Payload": b"null"}, "the function failed (no answer)"),
        ({"Payload": b"{"}, "cannot be read"),
        (
            {"Error": {"Code": "AccessDeniedException", "Message": "no lambda:InvokeFunction"}},
            "lack the permission",
        ),
    ],
)
def test_file_that_stays_is_no_failure_of_the_delivery(
    answer: dict[str, Any], words: str, delivered: Selftest
) -> None:
    delivered.answer = answer
    outcome = delivered.run()
    assert outcome.code == 0
    assert "the partner's file stays: " in outcome.stderr
    assert words in outcome.stderr.replace("\n", " ")
    assert delivered.keys() == []


def test_failure_shows_reason_and_hint_and_leaves_no_dead_letter(env: Selftest) -> None:
    def fail(key: str) -> None:
        ref = env.cli.failed(key, dead_letter=False)
        env.cli.dead_letter(ref, error="RequestRefused")

    env.happens = [fail]
    outcome = env.run()
    assert outcome.code == ExitCode.FAILED
    assert "not delivered: The server refused to create the file: permission denied." in outcome.stdout
    assert "Ask the partner for write permission." in outcome.stdout
    assert (env.keys(), env.requests) == ([], [])
    dead = env.cli.aws.client("sqs").receive_message(QueueUrl=env.cli.dead_letter_queue_url)
    assert "Messages" not in dead


def test_failure_in_json(env: Selftest) -> None:
    env.happens = [lambda key: env.cli.failed(key, dead_letter=False)]
    document = env.run("--json").json
    check_schema("selftest", document)
    assert (document["delivered"], document["state"], document["error"]) == (
        False,
        "FAILED",
        "RequestRefused",
    )


def test_object_that_the_function_never_sees_times_out(env: Selftest) -> None:
    env.happens = []
    outcome = env.run("--timeout", "2s")
    assert outcome.code == ExitCode.FAILED
    assert "the function has not seen the object within 2 s" in outcome.stdout
    assert "Check the trigger" in outcome.stdout
    assert env.keys() == []


def test_object_that_waits_for_too_long_says_for_what(env: Selftest) -> None:
    env.happens = [lambda key: env.cli.waiting(key, reason="The circuit breaker is open.")]
    outcome = env.run("--timeout", "2s", "--json")
    assert outcome.code == ExitCode.FAILED
    assert outcome.json["reason"] == "it is still WAITING after 2 s: The circuit breaker is open."
    check_schema("selftest", outcome.json)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (ReadTimeoutError(endpoint_url="https://s3"), ExitCode.FAILED),
    ],
)
def test_object_to_which_s3_has_not_answered_is_named(
    env: Selftest, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: ExitCode
) -> None:
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

    def put(client: Any, operation: str, request: dict[str, Any]) -> Any:
        answer = call(client, operation, request)
        if operation == "PutObject":
            raise error
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", put)
    outcome = env.run()
    (key,) = env.keys()
    assert outcome.code == code
    assert f"s3://{BUCKET}/{key} may be there" in outcome.stderr


def test_ctrl_c_deletes_the_object(env: Selftest) -> None:
    def ctrl_c(_key: str) -> None:
        raise KeyboardInterrupt

    env.happens = [ctrl_c]
    assert env.run().code == ExitCode.INTERRUPTED
    assert env.keys() == []


@pytest.mark.parametrize("source", [{"prefix": "in/report-"}, {"suffix": "/data.csv"}])
def test_filter_that_leaves_no_room_for_the_name_is_refused_before_anything_is_put(
    source: dict[str, str], env: Selftest
) -> None:
    env.cli.deploy(sources=(WatchedSource(bucket=BUCKET, **source),))
    outcome = env.run()
    assert outcome.code == ExitCode.CONFLICT
    assert "cannot begin with s3-to-sftp-selftest-" in outcome.stderr.replace("\n", " ")
    assert env.keys() == []


def test_nothing_is_put_while_deliveries_are_paused(env: Selftest) -> None:
    env.cli.pause()
    assert env.run().code == ExitCode.CONFLICT
    assert env.keys() == []


def test_bucket_that_is_not_watched_is_refused(env: Selftest) -> None:
    assert env.run("--bucket", "elsewhere").code == ExitCode.NOT_FOUND


def test_function_that_does_not_tell_its_sources_needs_a_bucket(delivered: Selftest) -> None:
    delivered.cli.deploy(sources=())
    assert delivered.run().code == ExitCode.USAGE
    assert delivered.run("--bucket", BUCKET).code == 0


@pytest.mark.parametrize("timeout", ["soon", "0s", "2020-01-01"])
def test_timeout_that_is_none_is_refused_before_anything_is_put(timeout: str, env: Selftest) -> None:
    assert env.run("--timeout", timeout).code == ExitCode.USAGE
    assert env.keys() == []


@pytest.mark.parametrize("timeout", ["bad", "06:00", "0s"])
def test_timeout_that_is_no_duration_is_refused_with_durations(cli: CliEnvironment, timeout: str) -> None:
    outcome = cli.run("selftest", "--timeout", timeout)
    assert outcome.code == 2
    assert f"{timeout!r} is not a duration." in outcome.stderr
    assert "06:00 (local" not in outcome.stderr


NUMBERED = {"plan": {}, "sequence": {"name": "default", "number": 57}}


def test_no_number_is_spent_without_a_word(env: Selftest) -> None:
    env.plan = NUMBERED
    outcome = env.run()
    assert outcome.code == ExitCode.CONFLICT
    assert "would take 57 of the sequence default" in outcome.stderr
    assert "--spend-number" in outcome.stderr
    assert env.keys() == []


def test_number_is_spent_when_that_is_wanted(delivered: Selftest) -> None:
    delivered.plan = NUMBERED
    assert delivered.run("--spend-number").code == ExitCode.OK


def test_function_that_cannot_plan_is_tested_all_the_same(delivered: Selftest) -> None:
    delivered.plan = {"errorMessage": "unknown event"}
    assert delivered.run().code == ExitCode.OK


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (
            {"refused": {"error": "Filtered", "reason": "It has 200 bytes, and 'min_bytes' is 1000."}},
            "do not let the test file through: It has 200 bytes",
        ),
        (
            {"waits": {"error": "WindowClosed", "reason": "The window opens on Monday."}},
            "would wait: The window",
        ),
    ],
)
def test_file_that_the_rules_hold_back_is_not_put(env: Selftest, plan: dict[str, Any], said: str) -> None:
    env.plan = {"plan": None, "sequence": None, **plan}
    outcome = env.run()
    assert outcome.code == ExitCode.CONFLICT
    assert said in outcome.stderr
    assert env.keys() == []
