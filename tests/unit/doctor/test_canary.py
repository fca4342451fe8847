"""The canary in the function: what it remembers in the table, tells on the bus, and counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import boto3
import pytest

from s3_to_sftp import handler
from s3_to_sftp.doctor import canary
from s3_to_sftp.doctor.canary import examine_as_canary
from s3_to_sftp.doctor.report import Check, Outcome, Report
from s3_to_sftp.doctor.request import DoctorRequest
from s3_to_sftp.state.attributes import to_attribute
from s3_to_sftp.state.hold import Hold, hold_attributes
from s3_to_sftp.state.partner_profile import PartnerProfile, PartnerProfiles
from tests.support.function_environment import installed
from tests.support.lambda_events import LambdaContext
from tests.support.ledger_environment import TABLE, create_table
from tests.support.memory_aws import mock_aws

SERVER = "sftp.partner.example:22"
REGION = "eu-west-1"
ENVIRONMENT = {
    "SSH_HOST": "sftp.partner.example",
    "SSH_PORT": "22",
    "SSH_HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5hd3FVKzpXaxhGhbLB3NqPjwT3Dk8vUVlF2Rlbtq",
    "SSH_SECRET_ARN": "arn",
    "LEDGER_TABLE": TABLE,
    "EVENT_BUS": "default",
}
EVENT = DoctorRequest(canary=True).as_event()
NOW = 1_795_392_000.0


class Telemetry:
    def __init__(self) -> None:
        self.counted: list[tuple[int, int, int]] = []

    def canary(self, *, changes: Sequence[str], failures: Sequence[str], failed: int) -> None:
        self.counted.append((len(changes), len(failures), failed))


class Environment:
    """Reports in place of examinations; a table of moto; a bus that records."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.telemetry = Telemetry()
        self.slept: list[float] = []
        self.is_over = lambda: False
        self.table = boto3.client("dynamodb", region_name=REGION)
        self.now = NOW
        create_table(self.table)

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.events += Entries
        return {"Entries": [{} for _ in Entries]}

    def run(self, environment: dict[str, str] = ENVIRONMENT) -> dict[str, Any]:
        self.now += 86_400
        return examine_as_canary(
            EVENT,
            environment,
            new_client=lambda name, **_: {"dynamodb": self.table, "events": self}[name],
            is_over=lambda: self.is_over(),
            telemetry=self.telemetry,
            clock=lambda: self.now,
            sleep=self.slept.append,
        )

    @property
    def details(self) -> list[dict[str, Any]]:
        return [json.loads(each["Detail"]) for each in self.events]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        env = Environment()
        monkeypatch.setattr(canary, "examine", lambda *_, **__: env.reports.pop(0))
        yield env


def report(version: str = "SSH-2.0-a", **failed: str) -> dict[str, Any]:
    checks = [
        Check(name=name, outcome=Outcome.FAILED, text=failed[name], error="LoginRefused")
        if name in failed
        else Check(name=name, outcome=Outcome.OK, text="fine")
        for name in ("connect", "login")
    ]
    return Report(server=SERVER, ran_in="function", checks=checks, profile={"version": version}).as_json()


def test_first_canary_remembers_and_tells_nothing(env: Environment) -> None:
    env.reports = [report()]
    said = env.run()
    assert (said["changes"], said["failures"], said["healthy"]) == ([], [], True)
    assert env.events == []
    assert env.telemetry.counted == [(0, 0, 0)]
    item = env.table.get_item(
        TableName=TABLE, Key={"pk": to_attribute(f"partner#{SERVER}"), "sk": to_attribute("profile")}
    )["Item"]
    assert item["revision"] == {"N": "1"}
    assert json.loads(item["shown"]["S"]) == {"version": "SSH-2.0-a"}


def test_change_is_an_event_and_is_counted_once(env: Environment) -> None:
    env.reports = [report(), report("SSH-2.0-b"), report("SSH-2.0-b")]
    (_, second, _) = (env.run() for _ in range(3))
    assert second["changes"] == ["The version of the server changed from 'SSH-2.0-a' to 'SSH-2.0-b'."]
    assert env.telemetry.counted == [(0, 0, 0), (1, 0, 0), (0, 0, 0)]
    assert [each["DetailType"] for each in env.events] == ["S3 to SFTP Partner Changed"]
    assert env.details == [{"version": "1", "server": SERVER, "changes": second["changes"], "failures": []}]


def test_failure_is_an_event_once_and_is_counted_each_day(env: Environment) -> None:
    env.reports = [report(), report(login="Refused."), report(login="Refused."), report()]
    for _ in range(4):
        env.run()
    assert env.telemetry.counted == [(0, 0, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0)]
    assert [len(each["failures"]) for each in env.details] == [1]
    assert env.slept == []  # a login is not sent twice


def test_server_that_does_not_answer_is_looked_at_twice(env: Environment) -> None:
    env.reports = [report(), report(connect="No answer."), report(), report(connect="x"), report(connect="y")]
    for _ in range(3):
        env.run()
    assert env.telemetry.counted == [(0, 0, 0), (0, 0, 0), (0, 1, 1)]
    assert env.slept == [30.0, 30.0]


def test_first_look_counts_where_there_is_no_time_for_a_second_one(env: Environment) -> None:
    env.is_over = lambda: bool(env.slept)
    env.reports = [report(connect="No answer.")]
    assert env.run()["checks"][0]["text"] == "No answer."
    assert (env.slept, env.telemetry.counted) == ([30.0], [(0, 0, 1)])


def test_of_two_canaries_at_once_one_tells(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    env.reports = [report(), report("SSH-2.0-b"), report("SSH-2.0-b")]
    env.run()
    read = PartnerProfiles.read

    def overtaken(profiles: PartnerProfiles) -> PartnerProfile | None:
        before = read(profiles)
        monkeypatch.setattr(PartnerProfiles, "read", read)
        env.run()
        return before

    monkeypatch.setattr(PartnerProfiles, "read", overtaken)
    env.run()
    assert env.telemetry.counted == [(0, 0, 0), (1, 0, 0), (0, 0, 0)]
    assert len(env.events) == 1


def test_item_that_is_corrupt_is_said_and_counts_as_failed(env: Environment) -> None:
    item = {"pk": to_attribute(f"partner#{SERVER}"), "sk": to_attribute("profile"), "seen": to_attribute("x")}
    env.table.put_item(TableName=TABLE, Item=item)
    env.reports = [report()]
    said = env.run()
    assert said["checks"][-1]["name"] == "profile"
    assert "is corrupt" in said["checks"][-1]["text"]
    assert said["checks"][-1]["advice"].startswith("Delete the item")
    assert env.telemetry.counted == [(0, 0, 1)]


def test_nothing_is_examined_while_an_operator_has_paused_deliveries(env: Environment) -> None:
    hold = hold_attributes(Hold(since=NOW, reason="maintenance", who="ann", revision=1))
    env.table.put_item(
        TableName=TABLE, Item={"pk": to_attribute("delivery"), "sk": to_attribute("hold"), **hold}
    )
    said = env.run()
    assert [check["text"] for check in said["checks"]] == ["deliveries are paused by ann: maintenance"]
    assert env.telemetry.counted == []


def test_function_without_a_table_remembers_nothing_and_counts_failures(env: Environment) -> None:
    without = {name: text for name, text in ENVIRONMENT.items() if name != "LEDGER_TABLE"}
    env.reports = [report(), report("SSH-2.0-b", login="Refused.")]
    assert env.run(without)["changes"] == []
    assert env.run(without)["failures"] == []
    assert env.telemetry.counted == [(0, 0, 0), (0, 0, 1)]


def test_settings_that_cannot_be_read_count_as_failed(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    said = env.run({})
    assert [check["name"] for check in said["checks"]] == ["settings"]
    assert env.telemetry.counted == [(0, 0, 1)]


def test_canary_never_writes_and_tries_the_login_of_deliveries() -> None:
    asked = DoctorRequest.from_event({"canary": True, "write": True, "secret_version": "AWSPENDING"})
    assert (asked.canary, asked.write, asked.secret_version) == (True, False, "AWSCURRENT")


def test_function_counts_both_metrics_of_a_canary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(monkeypatch)
    monkeypatch.delenv("SSH_HOST", raising=False)
    said: Any = handler.lambda_handler(EVENT, LambdaContext(function_name="acme"))
    assert said["healthy"] is False
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [(line["PartnerChanged"], line["CanaryFailed"]) for line in lines] == [([0.0], [1.0])]
