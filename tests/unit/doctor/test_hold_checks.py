"""The checks of what holds deliveries back, against moto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from s3_to_sftp.doctor.checklist import Checklist
from s3_to_sftp.doctor.hold_checks import HoldChecks
from s3_to_sftp.doctor.report import Check, Outcome
from s3_to_sftp.errors import LoginRefused
from s3_to_sftp.server import Server
from s3_to_sftp.settings import Settings
from s3_to_sftp.state.breaker_item import BREAKER, breaker_attributes, breaker_key
from s3_to_sftp.state.breaker_state import BreakerState
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, Hold, hold_attributes
from tests.support.ledger_environment import TABLE, create_table
from tests.support.memory_aws import mock_aws

SERVER = Server(host="sftp.partner.example", port=22)
NOW = 1_795_919_640.0  # 2026-11-29 02:34 UTC


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def put(pk: str, sk: str, attributes: dict[str, Any]) -> None:
    item = {"pk": {"S": pk}, "sk": {"S": sk}, **attributes}
    boto3.client("dynamodb").put_item(TableName=TABLE, Item=item)


def checks(table: str | None = TABLE) -> dict[str, Check]:
    checklist = Checklist(is_over=lambda: False)
    settings = Settings(server=SERVER, ledger_table=table)
    for name, step in HoldChecks(settings, boto3.client, clock=lambda: NOW).steps():
        checklist.run(name, step)
    return {check.name: check for check in checklist.checks}


def refused(**later: Any) -> BreakerState:
    error = LoginRefused("The login was refused.", hint="Ask.")
    state = BreakerState().after_failure(error, configuration="a", now=NOW - 60, jitter=1)
    return BreakerState(**{**vars(state), **later})


def open_breaker(**later: Any) -> None:
    put(breaker_key(str(SERVER)), BREAKER, dict(breaker_attributes(refused(**later))))


def test_nothing_is_looked_at_without_a_ledger() -> None:
    assert checks(table=None) == {}


def test_delivery_that_nothing_holds_back() -> None:
    create_table(boto3.client("dynamodb"))
    found = checks()
    assert [(each.outcome, each.text) for each in found.values()] == [
        (Outcome.OK, "deliveries are not paused"),
        (Outcome.OK, "closed"),
    ]


def test_pause_says_who_why_until_when_and_what_ends_it() -> None:
    create_table(boto3.client("dynamodb"))
    hold = Hold(since=NOW - 3600, until=NOW + 3600, reason="maintenance", who="arn:eve")
    put(HOLD_PK, HOLD_SK, dict(hold_attributes(hold)))
    check = checks()["pause"]
    assert check.outcome is Outcome.WARNING
    assert check.text == (
        "nothing is delivered; paused since 2026-11-29 01:34 UTC by arn:eve, until 2026-11-29 03:34 UTC: "
        "maintenance"
    )
    assert "s3-to-sftp resume" in check.advice


def test_pause_without_an_end_is_told_apart_from_one_that_is_over() -> None:
    create_table(boto3.client("dynamodb"))
    put(HOLD_PK, HOLD_SK, dict(hold_attributes(Hold(since=NOW - 60))))
    assert "until somebody resumes them: no reason was given" in checks()["pause"].text
    put(HOLD_PK, HOLD_SK, dict(hold_attributes(Hold(since=NOW - 60, until=NOW - 1))))
    assert checks()["pause"].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("later", "words"),
    [
        ({}, "next attempt 2026-11-29 02:38 UTC"),
        ({"retry_at": NOW - 1}, "next attempt due"),
        ({"claimed_until": NOW + 60}, "an attempt is under way"),
    ],
)
def test_open_circuit_breaker_says_why_since_when_and_what_tries_at_once(
    later: dict[str, Any], words: str
) -> None:
    create_table(boto3.client("dynamodb"))
    open_breaker(**later)
    check = checks()["breaker"]
    assert check.outcome is Outcome.WARNING
    assert check.text == (
        f"nothing is delivered; open since 2026-11-29 02:33 UTC, {words}: The login was refused."
    )
    assert "s3-to-sftp retry --partner --reason TEXT" in check.advice


def test_closed_circuit_breaker_with_failures_says_them() -> None:
    create_table(boto3.client("dynamodb"))
    open_breaker(openings={})
    check = checks()["breaker"]
    assert check.outcome is Outcome.OK
    assert check.text == "closed, after 1 failures in a row: The login was refused."


def test_ledger_that_cannot_be_read_is_told_by_its_own_check() -> None:
    assert [(each.outcome, each.text) for each in checks().values()] == [
        (Outcome.NOT_TRIED, "(ledger)"),
        (Outcome.NOT_TRIED, "(ledger)"),
    ]
