"""Windows, holidays and cut-off at synth: what never opens is refused, what is always late is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aws_cdk as cdk
import pytest

from cdk_s3_to_sftp import DeliveryRules, Filter, S3ToSftp, Window
from cdk_s3_to_sftp.hours_warnings import check_hours
from s3_to_sftp.rules.invalid import InvalidRule
from tests.support.infra.delivery_rules import partner

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""A Monday."""


def days(first: str, count: int, *, step: int = 1) -> list[str]:
    start = datetime.fromisoformat(first)
    return [f"{start + timedelta(days=step * n):%Y-%m-%d}" for n in range(count)]


def warnings(stack: cdk.Stack, **rules: Any) -> Sequence[str]:
    check_hours(stack, DeliveryRules(**rules), now=NOW)
    return [str(each.data) for each in stack.node.metadata if each.type == "aws:cdk:warning"]


@pytest.mark.parametrize(
    "rules",
    [
        {"windows": [Window("Mon 06:00-18:00")], "holidays": days("2026-11-30", 60, step=7)},
        {"holidays": days("2026-11-30", 400)},
        {"windows": [Window("Sat,Sun")], "holidays": days("2026-11-01", 600)},
    ],
    ids=["every monday", "every day", "weekends"],
)
def test_holidays_that_close_a_year_are_refused(stack: cdk.Stack, rules: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidRule,
        match=r"^holidays must leave a day within a year on which a window starts, got \d+ holidays, and "
        r"none of .* opens before 2027-12-01: remove those",
    ):
        check_hours(stack, DeliveryRules(**rules), now=NOW)


def test_rules_of_a_construct_are_checked(stack: cdk.Stack) -> None:
    today = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    with pytest.raises(InvalidRule, match=r"^holidays must leave a day within a year"):
        S3ToSftp(stack, "Delivery", server=partner(DeliveryRules(holidays=days(today, 500))))


def test_one_open_day_within_a_year_is_enough(stack: cdk.Stack) -> None:
    closed = days("2026-11-30", 400)
    closed.remove("2027-11-29")
    assert warnings(stack, windows=[Window("Mon")], holidays=closed) == []


def test_holidays_that_are_over_are_warned_of(stack: cdk.Stack) -> None:
    (said,) = warnings(stack, holidays=["2025-12-25", "2026-11-29"])
    assert said.startswith("All days of the rule holidays are over, the last one was 2026-11-29: files will")


def test_holiday_of_today_is_not_over(stack: cdk.Stack) -> None:
    assert warnings(stack, holidays=["2025-12-25", "2026-11-30"]) == []


def test_cut_off_after_a_window_closes_is_warned_of(stack: cdk.Stack) -> None:
    windows = [Window("Mon-Fri 06:00-18:00"), Window("Sat 08:00-12:00")]
    (said,) = warnings(stack, windows=windows, cut_off="17:30")
    assert said.startswith(
        "The rule cut_off is '17:30', and windows close before it (Sat from 12:00): what comes in between is "
        "always late"
    )


@pytest.mark.parametrize("cut_off", ["06:01", "18:00"])
def test_cut_off_within_a_window_is_not_warned_of(stack: cdk.Stack, cut_off: str) -> None:
    assert warnings(stack, windows=[Window("Mon-Fri 06:00-18:00")], cut_off=cut_off) == []


def test_age_that_is_over_before_a_window_opens_is_warned_of(stack: cdk.Stack) -> None:
    windows = [Window("Mon-Fri 06:00-18:00")]
    (said,) = warnings(stack, windows=windows, only=Filter(max_age=60 * 3600 - 1))
    assert said.startswith(
        "The rule only has max_age=215999 s, and the windows are closed for up to 216000 s:"
    )


@pytest.mark.parametrize(
    "rules",
    [
        {"windows": [Window("Mon-Fri 06:00-18:00")], "only": Filter(max_age=60 * 3600)},
        {"only": Filter(max_age=60)},
        {"windows": [Window("Mon-Sun")], "only": Filter(max_age=60)},
    ],
)
def test_age_that_outlasts_closed_hours_is_not_warned_of(stack: cdk.Stack, rules: dict[str, Any]) -> None:
    assert warnings(stack, **rules) == []
