"""Times in names: as strftime writes them, in the time zone of the rules, in no language."""

from __future__ import annotations

import calendar
import zoneinfo
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.times import (
    formatted,
    has_fixed_length,
    literals,
    tells_days_apart,
    tells_years_apart,
    unknown_directive,
)
from tests.unit.rules.objects import planned

ZONES = st.sampled_from(
    ["UTC", "Europe/Zurich", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe"]
)
DIRECTIVES = ["%Y", "%y", "%m", "%d", "%H", "%M", "%S", "%j", "%G", "%V", "%u", "%z", "%%"]
FORMS = st.lists(st.sampled_from([*DIRECTIVES, "T", "-", "1y"]), min_size=1, max_size=8).map("".join)


@given(st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30)), ZONES, FORMS)
def test_directives_mean_what_they_mean_to_strftime(at: datetime, zone: str, form: str) -> None:
    local = at.replace(tzinfo=UTC).astimezone(zoneinfo.ZoneInfo(zone)).replace(microsecond=0)
    assert formatted(local, form) == local.strftime(form)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%Y", "0007"),
        ("%G", "0007"),
        ("%y", "07"),
        ("%1y", "7"),
        ("%%1y", "%1y"),
        ("%1y%m%d", "70304"),
        ("%%%Y", "%0007"),
        ("%j", "063"),
    ],
)
def test_early_years_and_the_last_digit_of_the_year(form: str, text: str) -> None:
    assert formatted(datetime(7, 3, 4, tzinfo=UTC), form) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ((2024, 12, 29), "2024-W52-7"),
        ((2024, 12, 30), "2025-W01-1"),
        ((2027, 1, 3), "2026-W53-7"),
        ((2027, 1, 4), "2027-W01-1"),
    ],
)
def test_weeks_are_those_of_iso_8601(at: tuple[int, int, int], text: str) -> None:
    assert formatted(datetime(*at, tzinfo=UTC), "%G-W%V-%u") == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ((2024, 3, 31, 0, 59, 59), "20240331T015959+0100"),
        ((2024, 3, 31, 1, 0, 0), "20240331T030000+0200"),
        ((2024, 10, 27, 0, 59, 59), "20241027T025959+0200"),
        ((2024, 10, 27, 1, 0, 0), "20241027T020000+0100"),
        ((2024, 12, 31, 23, 0, 0), "20250101T000000+0100"),
        ((2024, 2, 28, 23, 0, 0), "20240229T000000+0100"),
    ],
)
def test_times_in_names_are_local_over_clock_changes_and_year_ends(at: tuple[int, ...], text: str) -> None:
    seconds = calendar.timegm(at)
    rules = DeliveryRules(name="{stem}_{event_time:%Y%m%dT%H%M%S%z}", time_zone="Europe/Zurich")
    assert planned(rules, "a.csv", PlanFacts(event_time=seconds)).file.path == f"/inbox/a_{text}"


@given(st.text(alphabet="%Yymd1-", max_size=8))
def test_known_forms_are_rendered_and_others_named(form: str) -> None:
    unknown = unknown_directive(form)
    if unknown:
        assert unknown in form
    else:
        assert formatted(datetime(2024, 1, 2, tzinfo=UTC), form) is not None


@pytest.mark.parametrize(
    "form", ["%j", "%m%d", "%d.%m.", "%Y%j", "%G%V%u", "%V%u", "%m", "%d", "%u", "%Y%V%u", "%s"]
)
def test_days_are_told_apart_where_it_is_said(form: str) -> None:
    years = [
        [formatted(datetime.combine(date(year, 1, 1) + timedelta(day), datetime.min.time(), UTC), form)
         for day in range(366 if calendar.isleap(year) else 365)]
        for year in range(2020, 2033)
    ]  # fmt: skip
    assert tells_days_apart(form) == all(len(set(texts)) == len(texts) for texts in years)


@pytest.mark.parametrize("form", ["%Y", "%y", "%1y", "%G", "%G%V%u", "%m", "%G%m%d", "%Y%j", "%s"])
def test_years_in_a_row_are_told_apart_where_it_is_said(form: str) -> None:
    def texts(year: int) -> set[str]:
        days = range((date(year + 1, 1, 1) - date(year, 1, 1)).days)
        start = datetime(year, 1, 1, tzinfo=UTC)
        return {formatted(start + timedelta(day), form) for day in days}

    assert tells_years_apart(form) == all(not texts(year) & texts(year + 1) for year in range(2020, 2035))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)), FORMS)
def test_form_of_fixed_length_has_it_at_all_times(at: datetime, form: str) -> None:
    if has_fixed_length(form):
        assert len(formatted(at, form)) == len(formatted(datetime(2024, 1, 1), form))
    assert all(character in formatted(at, form) for character in literals(form))
