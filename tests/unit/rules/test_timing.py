"""Windows, cut-off and rate in rules and plans: what is refused, what is written, and what a plan says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.document import RulesDocument
from s3_to_sftp.rules.explanation import plan_as_json, steps_of
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.week import closed_before_cut_off
from s3_to_sftp.rules.window import Rate, Window
from tests.unit.rules.objects import planned

RULES = DeliveryRules(
    time_zone="Europe/Zurich",
    windows=[Window("Mon-Fri 06:00-18:00"), Window("Sat 08:00-12:00")],
    holidays=["2026-12-25"],
    cut_off="17:30",
    max_drops=Rate(1, minutes=15),
)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (lambda: Window("Mon-"), "windows must have days of Mon, Tue, Wed, Thu, Fri, Sat, Sun, got ''"),
        (lambda: Window(""), "windows must be days and hours such as 'Mon-Fri 06:00-18:00'"),
        (lambda: Window("Mon-Fri 6-18"), "windows must be days and hours"),
        (lambda: Window("Mon -Fri 06:00-18:00"), "windows must be days and hours"),
        (lambda: Window("Mo-Fr 06:00-18:00"), "windows must have days of Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
        (lambda: Window("Mon,,Fri"), "windows must have days of Mon, Tue"),
        (lambda: Window("Mon06:00-18:00"), "windows must have a blank between days and hours"),
        (lambda: Window("06:00-25:00"), "windows must have times from 00:00 to 23:59"),
        (lambda: Window("24:00-06:00"), "windows must have times from 00:00 to 23:59, and 24:00 as an end"),
        (lambda: Window("06:00-06:00"), "windows must end at another time than it starts, got '06:00-06:00'"),
        (lambda: Window(7), "windows must be a text such as"),  # type: ignore[arg-type]
        (lambda: Rate(0, minutes=15), "max_drops must be 1-100, got 0"),
        (lambda: Rate(1), "max_drops must have a period of 1 minute to 24 hours"),
        (lambda: Rate(1, hours=25), "max_drops must have hours from 0 to 24, got 25"),
        (lambda: Rate(1, hours=24, minutes=1), "max_drops must have a period of 1 minute to 24 hours"),
        (lambda: Rate(1, seconds=-1, minutes=5), "max_drops must have seconds from 0 to 86400, got -1"),
        (lambda: Rate(1, minutes=525_600), "max_drops must have minutes from 0 to 1440, got 525600"),
        (lambda: DeliveryRules(windows="Mon-Fri"), "windows must be a list of windows"),  # type: ignore[arg-type]
        (lambda: DeliveryRules(windows=["Mon"]), "windows must be a list of windows"),  # type: ignore[list-item]
        (lambda: DeliveryRules(holidays=["25.12.2026"]), "holidays must be days such as 2026-12-25"),
        (lambda: DeliveryRules(holidays=["2026-02-30"]), "holidays must be days such as 2026-12-25"),
        (lambda: DeliveryRules(holidays=["20261225"]), "holidays must be days such as 2026-12-25"),
        (
            lambda: DeliveryRules(cut_off="24:00"),
            "cut_off must be a time such as 17:30, from 00:00 to 23:59, got '24:00'",
        ),
        (lambda: DeliveryRules(cut_off=17), "cut_off must be a time such as 17:30, got 17"),  # type: ignore[arg-type]
        (
            lambda: DeliveryRules(windows=[Window("Mon-Fri 06:00-18:00")], cut_off="05:00"),
            "cut_off must be later than the first window of each day on which one starts, got '05:00', and "
            "on "
            "Mon, Tue, Wed, Thu, Fri nothing is open before it: what comes since the last window closed is "
            "always late. Write a time after 06:00",
        ),
        (
            lambda: DeliveryRules(windows=[Window("Mon-Fri 06:00-18:00")], cut_off="06:00"),
            "cut_off must be later than the first window of each day",
        ),
        (
            lambda: DeliveryRules(
                windows=[Window("Mon-Fri 06:00-18:00"), Window("Sat 20:00-22:00")], cut_off="17:30"
            ),
            "cut_off must be later than the first window of each day on which one starts, got '17:30', and "
            "on "
            "Sat nothing is open before it: what comes since the last window closed is always late. Write a "
            "time after 20:00",
        ),
        (
            lambda: DeliveryRules(windows=[Window("Mon-Fri 22:00-04:00")], cut_off="03:00"),
            "cut_off must be later than the first window of each day on which one starts, got '03:00', and "
            "on "
            "Mon nothing is open before it",
        ),
        (
            lambda: DeliveryRules(windows=[Window("Mon-Fri")], cut_off="00:00"),
            "cut_off must be later than the first window of each day on which one starts, got '00:00', and "
            "on "
            "Mon nothing is open before it",
        ),
        (lambda: DeliveryRules(max_drops=1), r"max_drops must be a Rate\(...\)"),  # type: ignore[arg-type]
        (
            lambda: RulesDocument(partner=RULES, sources={"1": DeliveryRules(name="{stem}")}),
            "max_drops must be the same in all rules of a partner",
        ),
    ],
)
def test_wrong_value_has_its_sentence(given: Any, complaint: str) -> None:
    with pytest.raises(InvalidRule, match=complaint):
        given()


@pytest.mark.parametrize("when", ["Mon-Fri 06:00-18:00", "Sat", "22:00-04:00", "Mon,Wed 00:00-24:00"])
def test_rules_are_read_as_they_were_written(when: str) -> None:
    rules = DeliveryRules(windows=[Window(when)], holidays=["2026-12-25"], max_drops=Rate(3, hours=1))
    document = RulesDocument(partner=rules, sources={})
    assert RulesDocument.from_text(document.as_text()) == document


def test_plan_says_until_when_an_object_waits() -> None:
    friday_evening = seconds("2026-11-27T18:00:00")
    plan = planned(RULES, "a.csv", PlanFacts(delivery_time=friday_evening, event_time=friday_evening))
    assert plan_as_json(plan)["timing"] == {
        "windows": "Mon-Fri 06:00-18:00, Sat 08:00-12:00 (Europe/Zurich), not on 1 holiday",
        "not_before": seconds("2026-11-28T07:00:00"),
        "due": seconds("2026-11-28T16:30:00"),
        "max_drops": 1,
        "in_seconds": 900,
    }
    assert steps_of(plan)[0].endswith("not on 1 holiday, which opens at 2026-11-28 07:00 UTC")
    assert "wait until it is one of at most 1 file in 15 minutes" in steps_of(plan)


def test_plan_in_a_window_does_not_wait() -> None:
    noon = seconds("2026-11-27T11:00:00")
    plan = planned(RULES, "a.csv", PlanFacts(delivery_time=noon, event_time=noon))
    assert plan.timing is not None
    assert plan.timing.not_before is None
    assert steps_of(plan)[0].endswith("which is open now")


def test_plan_without_such_rules_has_no_timing() -> None:
    assert planned(DeliveryRules(), "a.csv").timing is None


@pytest.mark.parametrize(
    ("windows", "cut_off"),
    [
        ([], "00:00"),
        (["06:00-18:00"], "06:01"),
        (["Mon-Fri 06:00-18:00"], "18:00"),
        (["Mon-Fri 06:00-18:00"], "23:00"),
        (["22:00-04:00"], "03:00"),
        (["22:00-04:00"], "04:00"),
        (["Mon-Sun"], "00:00"),
        (["Sun-Thu 22:00-04:00"], "23:00"),
    ],
)
def test_cut_off_that_can_be_met_is_taken(windows: list[str], cut_off: str) -> None:
    DeliveryRules(windows=list(map(Window, windows)), cut_off=cut_off)


@pytest.mark.parametrize(
    ("windows", "cut_off", "late"),
    [
        (["Mon-Fri 06:00-18:00"], "18:00", {}),
        (["Mon-Fri 06:00-18:00"], "17:30", {}),
        (["Mon-Fri 06:00-18:00"], "23:00", dict.fromkeys(range(5), 18 * 60)),
        (["Mon-Fri 06:00-18:00", "Sat 08:00-12:00"], "17:30", {5: 12 * 60}),
        (["06:00-12:00", "14:00-18:00"], "13:00", dict.fromkeys(range(7), 12 * 60)),
        (["Mon 03:00-04:30", "Mon 22:00-04:00", "Tue 05:00-06:00"], "04:30", {1: 4 * 60}),
        ([], "13:00", {}),
    ],
)
def test_days_on_which_it_closes_before_the_cut_off_are_known(
    windows: list[str], cut_off: str, late: dict[int, int]
) -> None:
    assert closed_before_cut_off(list(map(Window, windows)), cut_off) == late
