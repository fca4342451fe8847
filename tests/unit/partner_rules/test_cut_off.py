"""Objects that are not at the partner by their cut-off are found, whatever keeps them, for a day."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from s3_to_sftp import handler
from s3_to_sftp.errors import LedgerError
from s3_to_sftp.outcomes import WindowClosed
from s3_to_sftp.remote_path import SourceDirectory
from s3_to_sftp.rules import cut_off
from s3_to_sftp.rules.cut_off import Missed, look_for_missed, missed_objects
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import FILE, PACKAGE, RulesDocument
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.rules.window import Window
from tests.support.lambda_events import lambda_context
from tests.support.ledger_environment import TABLE
from tests.support.rules_environment import RulesEnvironment

RULES = DeliveryRules(name="{stem}.csv", windows=[Window("Mon-Fri 06:00-18:00")], cut_off="17:30")
DAY = 86_400


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


MORNING, CUT_OFF = at("2026-11-23T09:00"), at("2026-11-23T17:30")  # a Monday


@pytest.fixture(name="env")
def _env(ledger_table: Any) -> RulesEnvironment:
    env = RulesEnvironment(ledger_table, RULES, dict.fromkeys(("a", "b", "c", "own/d"), b"data"))
    env.ledger.clock.now = MORNING
    return env


def missed(env: RulesEnvironment, now: float, *, sources: tuple[SourceDirectory, ...] = ()) -> list[Missed]:
    document = RulesDocument(partner=RULES, sources={"1": DeliveryRules()})
    rules = RuleSet(document, directory="inbox", sources=sources)
    return list(missed_objects(env.ledger.dynamodb, TABLE, rules, now=now))


def waits(env: RulesEnvironment, key: str, *, put_at: float | None = None) -> None:
    error = WindowClosed("closed.", hint="wait.", retry_after=60)
    event_time = int(env.ledger.clock.now if put_at is None else put_at)
    ref = replace(env.ref(key), event_time=event_time)
    env.ledger.function().note_deferred(ref, error, next_try=0, was_tried=False)


def test_object_that_was_put_before_the_cut_off_and_first_seen_after_it_is_missed(
    env: RulesEnvironment,
) -> None:
    env.ledger.clock.now = CUT_OFF + 1800
    waits(env, "a", put_at=CUT_OFF - 1800)
    assert missed(env, CUT_OFF + 1900) == [Missed(name="s3://bucket/a", due=CUT_OFF, status="IN_FLIGHT")]


def test_object_that_waits_is_missed_from_its_cut_off_on_for_a_day(env: RulesEnvironment) -> None:
    waits(env, "a")
    assert missed(env, CUT_OFF - 1) == []
    found = [Missed(name="s3://bucket/a", due=CUT_OFF, status="IN_FLIGHT")]
    assert missed(env, CUT_OFF) == found
    assert missed(env, CUT_OFF + DAY - 1) == found
    assert missed(env, CUT_OFF + DAY) == []


def test_dead_lettered_object_is_missed_although_nothing_retries_it(env: RulesEnvironment) -> None:
    env.function().give_up(replace(env.ref("a"), event_time=int(MORNING)), LedgerError("r", hint="h"))
    assert [each.status for each in missed(env, CUT_OFF)] == ["FAILED"]


def test_delivered_and_cancelled_objects_are_not(env: RulesEnvironment) -> None:
    env.deliver(env.ref("a"))
    env.ledger.function().record_outcome(env.ref("b"), state="GONE", reason="r", hint="h")
    assert missed(env, CUT_OFF) == []


def test_object_that_came_after_the_cut_off_is_due_on_the_next_day(env: RulesEnvironment) -> None:
    env.ledger.clock.now = CUT_OFF
    waits(env, "a")
    assert missed(env, CUT_OFF + DAY - 1) == []
    assert [each.due for each in missed(env, CUT_OFF + DAY)] == [CUT_OFF + DAY]


def test_objects_of_rules_without_a_cut_off_are_not_missed(env: RulesEnvironment) -> None:
    waits(env, "own/d")
    sources = (SourceDirectory(bucket="bucket", prefix="own/", rules="1"),)
    assert missed(env, CUT_OFF, sources=sources) == []


class Counting:
    """Telemetry."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def missed_cut_off(self, count: int) -> None:
        self.counts.append(count)


def test_schedule_counts_and_logs_them(
    env: RulesEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    document = RulesDocument(partner=RULES, sources={})
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / FILE).write_text(document.as_text())
    monkeypatch.syspath_prepend(str(tmp_path))
    plain = {"SSH_HOST": "h", "SSH_PORT": "22", "SSH_USERNAME": "u", "SSH_PASSWORD": "p"}
    environment = {**plain, "SSH_RULES": document.digest, "LEDGER_TABLE": TABLE}
    waits(env, "a")
    telemetry = Counting()
    for now in (MORNING, CUT_OFF):
        look_for_missed(
            environment,
            new_client=lambda *_a, **_o: env.ledger.dynamodb,
            telemetry=telemetry,
            now=lambda now=now: now,
        )
    assert telemetry.counts == [0, 1]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "missed its cut-off: s3://bucket/a (IN_FLIGHT)"
    ]


def test_function_looks_for_missed_objects_when_the_schedule_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def looks(environment: Any, *, telemetry: Any, **_more: Any) -> dict[str, Any]:
        asked.append(environment)
        telemetry.missed_cut_off(3)
        return {"missed": 3}

    monkeypatch.setattr(cut_off, "look_for_missed", looks)
    answer: Any = handler.lambda_handler(dict(cut_off.EVENT), lambda_context())
    assert answer == {"missed": 3}
    assert len(asked) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [line["MissedCutOff"] for line in lines if "MissedCutOff" in line] == [[3.0]]
