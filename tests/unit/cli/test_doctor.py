"""`doctor`: what it asks the function, and how it shows the report."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ReadTimeoutError
from rich.console import Console

from s3_to_sftp.diagnosis.handshake import FTP
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp_cli.doctor_text import print_check
from s3_to_sftp_cli.errors import ExitCode
from tests.support.cli import FUNCTION, CliEnvironment, check_schema
from tests.support.measured_servers import stored

SERVER = "sftp.partner.example:22"
EVENT = {
    "operation": "doctor",
    "write": False,
    "secret_version": "AWSCURRENT",
    "canary": False,
    "retry_login": False,
    "measure": False,
}
ERROR = FTP.error(PartnerUnreachable, "It said '220 hello'.", server=SERVER)
CHECKS = [
    Check(name="name", outcome=Outcome.OK, text="it is 203.0.113.10", advice="not shown", seconds=0.1),
    Check(name="connect", outcome=Outcome.WARNING, text="slow", advice="Ask them.", seconds=0.1),
    Check(
        name="handshake",
        outcome=Outcome.FAILED,
        text=ERROR.reason,
        advice=ERROR.hint,
        to_partner=ERROR.to_partner,
        cause=ERROR.cause,
        error="PartnerUnreachable",
        seconds=1.0,
    ),
    Check(name="login", outcome=Outcome.NOT_TRIED, text="(handshake)"),
]


def report(*checks: Check) -> dict[str, Any]:
    profile = {"version": "SSH-2.0-x"}
    return Report(server=SERVER, ran_in="function", checks=checks, profile=profile, connections=1).as_json()


def measured_report(measured: dict[str, Any]) -> dict[str, Any]:
    return {**report(CHECKS[0]), "profile": {"measured": measured}}


class Function:
    """Answers invocations.

    Attributes:
        answer: The payload, or what is raised.
        extra: Other fields of Lambda's answer.
        events: What it was asked.
        answers: Operation -> what AWS answers, or what is raised.
    """

    def __init__(self, cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self.answer: object = report(CHECKS[0])
        self.extra: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {
            "ListEventSourceMappings": {"EventSourceMappings": [{"State": "Enabled"}]},
            "GetFunctionConcurrency": {},
            "GetBucketNotificationConfiguration": {"EventBridgeConfiguration": {}},
        }
        call: Any = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

        def invoke(client: Any, operation: str, request: dict[str, Any]) -> Any:
            if operation in self.answers:
                if isinstance(answer := self.answers[operation], Exception):
                    raise answer
                return answer
            if operation != "Invoke":
                return call(client, operation, request)
            assert request["FunctionName"] == FUNCTION
            self.events.append(json.loads(request["Payload"]))
            if isinstance(self.answer, BaseException):
                raise self.answer
            return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **self.extra}

        monkeypatch.setattr(BaseClient, "_make_api_call", invoke)


@pytest.fixture(name="function")
def _function(cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch) -> Function:
    return Function(cli, monkeypatch)


def test_healthy_delivery_is_said_in_one_line_for_each_check(function: Function) -> None:
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.OK
    assert outcome.stdout.splitlines() == [
        "✓ trigger      the queue starts the function",
        "✓ notification bucket announces new objects",
        "✓ name         it is 203.0.113.10",
        "healthy; writing was not tried (--write) (0 s)",
    ]
    assert function.events == [{**EVENT, "write": False}]


def test_first_failure_names_the_cause_the_advice_and_the_text_for_the_partner(function: Function) -> None:
    function.answer = report(*CHECKS)
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.FAILED
    assert outcome.stdout.splitlines()[2:] == [
        "✓ name         it is 203.0.113.10",
        "! connect      slow",
        "               → Ask them.",
        f"✗ handshake    {ERROR.reason}",
        f"               → {ERROR.hint}",
        f"               ✉ {ERROR.to_partner}",
        "– login        not tried (handshake)",  # noqa: RUF001 - what is printed
        "handshake failed (1 s)",
    ]


def test_json_has_the_report(function: Function) -> None:
    function.answer = report(*CHECKS)
    document = function.cli.run("doctor", "--json").json
    check_schema("doctor", document)
    assert document["healthy"] is False
    assert [check["outcome"] for check in document["checks"]][2:] == ["ok", "warning", "failed", "not tried"]


def test_options_reach_the_function(function: Function) -> None:
    function.cli.run("doctor", "--write", "--secret-version", "AWSPENDING")
    assert function.events == [{**EVENT, "write": True, "secret_version": "AWSPENDING"}]


def test_measurement_is_asked_for_and_saved(function: Function, tmp_path: Path) -> None:
    file, shown = tmp_path / "partner.json", stored("proftpd")
    function.answer = measured_report(shown.as_json())
    outcome = function.cli.run("doctor", "--save", str(file))
    assert MeasuredServer.from_text(file.read_text()) == shown
    assert "has what the server showed: SftpServer(profile=...) takes it" in outcome.stderr
    assert function.events == [{**EVENT, "measure": True}]


def test_nothing_is_saved_where_the_server_could_not_be_measured(function: Function, tmp_path: Path) -> None:
    file = tmp_path / "partner.json"
    outcome = function.cli.run("doctor", "--save", str(file))
    assert not file.exists()
    assert "was not written: the server could not be measured" in outcome.stderr


def test_measurement_of_another_version_is_not_saved(function: Function, tmp_path: Path) -> None:
    file = tmp_path / "partner.json"
    newer = {**stored("proftpd").as_json(), "version": 2}
    function.answer = measured_report(newer)
    outcome = function.cli.run("doctor", "--save", str(file))
    assert not file.exists()
    assert "a file of version 2, and 1 is known" in outcome.stderr


def test_file_that_cannot_be_saved_is_told_before_the_login(function: Function, tmp_path: Path) -> None:
    file = tmp_path / "partner.json"
    file.write_text("mine")
    assert function.cli.run("doctor", "--save", str(file)).code == ExitCode.CONFLICT
    assert file.read_text() == "mine"
    outcome = function.cli.run("doctor", "--save", str(tmp_path / "nodir" / "x.json"))
    assert (outcome.code, function.events) == (ExitCode.USAGE, [])
    assert "nodir does not exist" in outcome.stderr


def held(name: str) -> Check:
    return Check(name=name, outcome=Outcome.WARNING, text="nothing is delivered; x", advice="End it.")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pause", "healthy now, but deliveries are paused: nothing is delivered (0 s)"),
        (
            "breaker",
            "healthy now, but the circuit breaker is open: `s3-to-sftp retry --partner --reason TEXT` tries "
            "at once (0 s)",
        ),
    ],
)
def test_last_line_says_that_nothing_is_delivered(name: str, said: str, function: Function) -> None:
    function.answer = report(held(name))
    outcome = function.cli.run("doctor", "--write")
    assert outcome.code == ExitCode.OK
    assert outcome.stdout.splitlines()[-1] == said


def test_command_of_the_advice_can_be_typed_as_it_is(function: Function) -> None:
    pause = Check(name="pause", outcome=Outcome.WARNING, text="x", advice="`s3-to-sftp resume` ends it.")
    function.answer = report(pause)
    outcome = function.cli.run("doctor", "--name", "Acme-Function")
    assert "→ `s3-to-sftp resume --name Acme-Function` ends it." in outcome.stdout
    assert function.cli.run("doctor", "--json").json["checks"][-1]["advice"] == pause.advice


DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Get")


@pytest.mark.parametrize(
    ("operation", "answer", "name", "words"),
    [
        (
            "ListEventSourceMappings",
            {"EventSourceMappings": [{"State": "Disabled"}]},
            "trigger",
            "the trigger is disabled",
        ),
        ("ListEventSourceMappings", {"EventSourceMappings": []}, "trigger", "no trigger leads"),
        ("GetBucketNotificationConfiguration", {}, "notification", "bucket does not notify the queue"),
        (
            "GetBucketNotificationConfiguration",
            {"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:eu-west-1:1:other"}]},
            "notification",
            "bucket does not notify the queue",
        ),
    ],
)
def test_what_starts_no_delivery_is_a_warning(
    operation: str, answer: object, name: str, words: str, function: Function
) -> None:
    function.answers[operation] = answer
    outcome = function.cli.run("doctor", "--write")
    assert outcome.code == ExitCode.OK
    (shown,) = (each for each in outcome.stdout.splitlines() if each.startswith(f"! {name}"))
    assert words in shown
    assert outcome.stdout.splitlines()[-1].startswith("healthy now, but ")


def test_what_the_operator_may_not_read_is_left_out(function: Function) -> None:
    for operation in function.answers:
        function.answers[operation] = DENIED
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.OK
    assert [each[2:6] for each in outcome.stdout.splitlines()[:-1]] == ["name"]


def test_function_that_may_not_run_is_not_invoked(function: Function) -> None:
    function.answers["GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 0}
    outcome = function.cli.run("doctor")
    assert (outcome.code, function.events) == (ExitCode.CONFLICT, [])
    assert "reserved concurrency is 0" in outcome.stderr
    assert f"delete-function-concurrency --function-name {FUNCTION}" in outcome.stderr


def test_throttled_function_leads_to_its_concurrency(function: Function) -> None:
    error = {"Error": {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}}
    function.answer = ClientError(error, "Invoke")
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.FAILED
    assert "get-function-concurrency" in outcome.stderr
    assert "--region" not in outcome.stderr


def test_reason_is_set_apart_from_what_was_not_tried(function: Function) -> None:
    function.answer = report(Check(name="login", outcome=Outcome.NOT_TRIED, text="it was refused before"))
    outcome = function.cli.run("doctor")
    assert "not tried: it was refused before" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "not everything was tried (0 s)"


def test_missing_version_of_the_secret_is_not_found(function: Function) -> None:
    missing = Check(name="secret", outcome=Outcome.FAILED, text="none", error="SecretVersionMissing")
    function.answer = report(missing)
    assert function.cli.run("doctor", "--secret-version", "AWSPENDING").code == ExitCode.NOT_FOUND


def test_who_interrupts_is_told_that_the_examination_goes_on(function: Function) -> None:
    function.answer = KeyboardInterrupt()
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.INTERRUPTED
    assert "the examination goes on in the function" in outcome.stderr


def test_lines_are_wrapped_where_somebody_reads_them() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=60)
    advice = "Check what the partner has on record and ask them whether the account is locked."
    check = Check(name="login", outcome=Outcome.FAILED, text="The login was refused. " * 4, advice=advice)
    print_check(console, check.as_json())
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("✗ login        The login was refused.")
    assert sum(line.startswith(" " * 15 + "→ ") for line in lines) == 1
    assert lines[-1].startswith(" " * 17)


@pytest.mark.parametrize(
    ("answer", "extra", "said", "hint"),
    [
        (
            {"errorMessage": "2026-11-29T03:00:00Z 1a2b Task timed out after 60.00 seconds"},
            {"FunctionError": "Unhandled"},
            "ran out of time before the examination was complete",
            "raise it, or use `doctor --local`",
        ),
        (
            {"errorMessage": "Unable to import module"},
            {"FunctionError": "Unhandled"},
            "failed (Unhandled)",
            "logs",
        ),
        (None, {}, "its answer is not a report", "deploy it again"),
        ({"removed": True}, {}, "its answer is not a report", "deploy it again"),
    ],
)
def test_function_without_a_report_is_an_error_with_advice(
    answer: object, extra: dict[str, Any], said: str, hint: str, function: Function
) -> None:
    function.answer, function.extra = answer, extra
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.FAILED
    assert said in outcome.stderr
    assert hint in outcome.stderr


def test_function_that_does_not_answer_is_not_asked_twice(function: Function) -> None:
    function.answer = ReadTimeoutError(endpoint_url="https://lambda")
    outcome = function.cli.run("doctor")
    assert outcome.code == ExitCode.FAILED
    assert "has not answered" in outcome.stderr
    assert len(function.events) == 1


@pytest.mark.parametrize(
    ("code", "exit_code"), [("AccessDeniedException", ExitCode.DENIED), ("TooManyRequestsException", 1)]
)
def test_function_that_may_not_be_invoked_is_explained(code: str, exit_code: int, function: Function) -> None:
    message = "User: arn:aws:iam::1:user/u is not authorized to perform: lambda:InvokeFunction"
    function.answer = ClientError({"Error": {"Code": code, "Message": message}}, "Invoke")
    outcome = function.cli.run("doctor")
    assert outcome.code == exit_code
    assert "\nerror: " in outcome.stderr
    assert len(function.events) == 1


def test_wrong_version_of_the_secret_is_a_usage_error(function: Function) -> None:
    assert function.cli.run("doctor", "--secret-version", "AWSNEXT").code == ExitCode.USAGE
    assert function.events == []
