"""Windows by the partner's clock: the week, holidays, midnight, and both changes of the clocks."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.rules.opening_hours import OpeningHours
from s3_to_sftp.rules.window import DAYS, Window

ZURICH = zoneinfo.ZoneInfo("Europe/Zurich")
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Zurich",
        "America/New_York",
        "America/Havana",  # at midnight, and back to 23:00 of the day before
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "Asia/Beirut",
        "Pacific/Apia",  # without 30 December 2011
        "Australia/Lord_Howe",  # by half an hour
        "Africa/Casablanca",
    ]
).map(zoneinfo.ZoneInfo)
INSTANTS = st.integers(min_value=1_000_000_000, max_value=2_200_000_000)
CLOCKS = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
WINDOWS = st.builds(
    "{} {}-{}".format,
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=4, unique=True).map(",".join),
    CLOCKS,
    CLOCKS | st.just("24:00"),
).filter(lambda text: text[-5:] != text[-11:-6])


def at(text: str, zone: zoneinfo.ZoneInfo | None = None, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or ZURICH, fold=fold).timestamp()


def hours(*windows: str, holidays: tuple[str, ...] = (), cut_off: int | None = None) -> OpeningHours:
    return OpeningHours(
        windows=[Window(each) for each in windows], holidays=holidays, cut_off=cut_off, zone=ZURICH
    )


@pytest.mark.parametrize(
    ("windows", "now", "opens"),
    [
        (["Mon-Fri 06:00-18:00"], "2026-11-27T17:59:59", "2026-11-27T17:59:59"),
        (["Mon-Fri 06:00-18:00"], "2026-11-27T18:00:00", "2026-11-30T06:00:00"),
        (["Mon-Fri 06:00-18:00", "Sat 08:00-12:00"], "2026-11-27T18:00:00", "2026-11-28T08:00:00"),
        (["Mon-Fri 06:00-18:00"], "2026-12-24T19:00:00", "2026-12-28T06:00:00"),  # Friday is a holiday
        (["22:00-04:00"], "2026-11-27T03:59:59", "2026-11-27T03:59:59"),
        (["22:00-04:00"], "2026-11-27T04:00:00", "2026-11-27T22:00:00"),
        (["Fri 22:00-04:00"], "2026-11-28T03:00:00", "2026-11-28T03:00:00"),
        (["Fri 22:00-04:00"], "2026-11-27T03:00:00", "2026-11-27T22:00:00"),
        (["Fri 22:00-04:00"], "2026-12-26T03:00:00", "2027-01-01T22:00:00"),  # it would start on a holiday
        (["Thu 22:00-04:00"], "2026-12-25T03:00:00", "2026-12-25T03:00:00"),  # it starts the day before one
        (["Sat"], "2026-11-27T12:00:00", "2026-11-28T00:00:00"),
        (["Sat 20:00-24:00"], "2026-11-28T23:59:59", "2026-11-28T23:59:59"),
        (["Sat 20:00-24:00"], "2026-11-29T00:00:00", "2026-12-05T20:00:00"),
        (["Sat-Mon 10:00-11:00"], "2026-11-29T11:00:00", "2026-11-30T10:00:00"),
        (["02:30-03:30"], "2026-03-29T01:59:59", "2026-03-29T03:00:00"),  # clocks jump from 02:00 to 03:00
        (["02:15-02:45"], "2026-03-29T01:59:59", "2026-03-30T02:15:00"),  # that day has no such time
        (["02:15-02:45"], "2026-10-25T02:00:00", "2026-10-25T02:15:00"),
    ],
)
def test_opens(windows: list[str], now: str, opens: str) -> None:
    assert hours(*windows, holidays=("2026-12-25",)).opens_at(at(now)) == at(opens)


def test_an_hour_that_clocks_show_twice_is_open_twice() -> None:
    shown_twice = hours("02:15-02:45")
    between = at("2026-10-25T02:45:00")
    assert not shown_twice.is_open(between)
    assert shown_twice.opens_at(between) == at("2026-10-25T02:15:00", fold=1)


def test_a_window_that_clocks_are_set_back_into_opens_again() -> None:
    early = hours("02:30-03:30")
    assert early.is_open(at("2026-10-25T02:59:59"))
    assert not early.is_open(at("2026-10-25T02:00:00", fold=1))
    assert early.opens_at(at("2026-10-25T02:00:00", fold=1)) == at("2026-10-25T02:30:00", fold=1)


def test_no_window_within_a_year_is_no_answer() -> None:
    every_friday = [f"{year}-{month:02}-{day:02}" for year in (2026, 2027, 2028) for month in range(1, 13)
                    for day in range(1, 29)]  # fmt: skip
    only_those = [each for each in every_friday if datetime.fromisoformat(each).weekday() == 4]
    rest = [f"{year}-{month:02}-{day}" for year in (2026, 2027, 2028) for month in range(1, 13)
            for day in (29, 30, 31) if _exists(year, month, day)]  # fmt: skip
    closed = hours("Fri 10:00-11:00", holidays=(*only_those, *rest))
    assert closed.opens_at(at("2026-11-28T00:00:00")) is None


def _exists(year: int, month: int, day: int) -> bool:
    try:
        datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("came", "due"),
    [
        ("2026-11-27T17:29:59", "2026-11-27T17:30:00"),
        ("2026-11-27T17:30:00", "2026-11-30T17:30:00"),
        ("2026-11-28T09:00:00", "2026-11-30T17:30:00"),
        ("2026-12-24T18:00:00", "2026-12-28T17:30:00"),
    ],
)
def test_cut_off_is_that_of_the_next_delivery_day(came: str, due: str) -> None:
    until = hours("Mon-Fri 06:00-18:00", holidays=("2026-12-25",), cut_off=17 * 60 + 30)
    assert until.due_at(at(came)) == at(due)


def test_cut_off_at_a_time_that_clocks_jump_over_or_show_twice() -> None:
    early = hours(cut_off=150)
    assert early.due_at(at("2026-03-29T01:00:00")) == at("2026-03-29T03:00:00")
    assert early.due_at(at("2026-10-25T01:00:00")) == at("2026-10-25T02:30:00")


@settings(max_examples=150, deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3), ZONES, INSTANTS)
def test_is_open_and_opens_at_agree(texts: list[str], zone: zoneinfo.ZoneInfo, now: int) -> None:
    those = OpeningHours(windows=[Window(each) for each in texts], zone=zone)
    opens = those.opens_at(now)
    assert opens is not None
    assert those.is_open(opens)
    assert (opens == now) == those.is_open(now)
    # Nothing is open in between: windows begin and end with full minutes, clocks change at such.
    step = 60
    waits = range((now // step + 1) * step, min(int(opens), now + 4 * 86_400), step)
    assert not any(those.is_open(each) for each in waits)


@settings(max_examples=150, deadline=None)
@given(WINDOWS, ZONES, INSTANTS)
def test_is_open_means_what_the_clock_shows(text: str, zone: zoneinfo.ZoneInfo, now: int) -> None:
    window = Window(text)
    local = datetime.fromtimestamp(now, zone)
    clock, day = local.strftime("%H:%M"), DAYS[local.weekday()]
    before = DAYS[local.weekday() - 1]
    days, _, span = text.partition(" ")
    start, _, end = span.partition("-")
    if start < end:
        shown = day in days and start <= clock < end
    else:
        shown = (day in days and start <= clock) or (before in days and clock < end)
    assert OpeningHours(windows=[window], zone=zone).is_open(now) == shown


@settings(max_examples=100, deadline=None)
@given(st.lists(WINDOWS, max_size=2), ZONES, INSTANTS, st.integers(0, 24 * 60 - 1))
def test_every_object_has_a_cut_off_after_it_came(
    texts: list[str], zone: zoneinfo.ZoneInfo, came: int, minute: int
) -> None:
    those = OpeningHours(windows=[Window(each) for each in texts], cut_off=minute, zone=zone)
    due = those.due_at(came)
    assert due is not None
    assert due > came
    assert those.due_at(due - 1) == due
