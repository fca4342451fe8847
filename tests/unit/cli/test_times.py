"""Times as people type and read them, in a zone whose clocks are set forward and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from s3_to_sftp_cli.commands import pause as pause_module
from s3_to_sftp_cli.errors import CliError, ExitCode
from s3_to_sftp_cli.times import clock, in_zone_of, parse_future, parse_month, parse_past
from tests.support.cli import CliEnvironment


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clocks go from 03:00 back to 02:00 on 25 October 2026."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


def before() -> datetime:
    """The evening before the clocks are set back, as `local_now` returns it."""
    return datetime(2026, 10, 24, 20, tzinfo=UTC).astimezone()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("06:00", datetime(2026, 10, 25, 5, tzinfo=UTC)),
        ("23:00", datetime(2026, 10, 24, 21, tzinfo=UTC)),
        ("2026-10-26T06:00", datetime(2026, 10, 26, 5, tzinfo=UTC)),
        ("2026-10-26", datetime(2026, 10, 25, 23, tzinfo=UTC)),
        ("2026-10-26T06:00Z", datetime(2026, 10, 26, 6, tzinfo=UTC)),
        ("2026-10-26T06:00+02:00", datetime(2026, 10, 26, 4, tzinfo=UTC)),
        ("10h", datetime(2026, 10, 25, 6, tzinfo=UTC)),
    ],
)
def test_time_to_come_is_what_the_clock_will_show_then(text: str, meant: datetime) -> None:
    assert parse_future(text, now=before()) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("06:00", datetime(2026, 10, 24, 4, tzinfo=UTC)),
        ("23:00", datetime(2026, 10, 23, 21, tzinfo=UTC)),
        ("2026-03-01T06:00", datetime(2026, 3, 1, 5, tzinfo=UTC)),
    ],
)
def test_time_that_is_over_is_what_the_clock_showed_then(text: str, meant: datetime) -> None:
    assert parse_past(text, now=before()) == meant


def test_time_is_shown_as_the_clock_shows_it_then() -> None:
    ends = datetime(2026, 10, 25, 5, tzinfo=UTC)
    assert clock(ends, now=before()) == "Sun 25 Oct 06:00"
    assert f"{in_zone_of(before(), ends):%H:%M %z}" == "06:00 +0100"


def test_time_is_in_the_zone_of_now_where_that_is_another_one() -> None:
    tokyo = before().astimezone(UTC) + timedelta(days=60)  # as far from UTC as no clock of this machine
    assert clock(tokyo + timedelta(hours=1), now=tokyo) == "21:00"
    assert parse_future("2026-12-24T06:00", now=tokyo) == datetime(2026, 12, 24, 6, tzinfo=UTC)


def test_pause_until_the_morning_after_lasts_until_then(
    cli: CliEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause_module, "local_now", before)
    said = cli.run("pause", "--until", "06:00", "--reason", "maintenance", "--json").json
    assert datetime.fromisoformat(said["paused"]["until"]) == datetime(2026, 10, 25, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59",
        "9999-12-31T23:59-12:00",
        "9" * 5000 + "d",
    ],
    ids=lambda text: text[:30],
)
def test_time_at_the_end_of_the_calendar_is_refused_before_anything_is_done(
    cli: CliEnvironment, text: str
) -> None:
    for arguments in (
        ("report", "--since", text),
        ("receipts", "--since", text),
        ("logs", "--since", text),
        ("resume", "--until", text, "--reason", "r"),
        ("pause", "--until", text, "--reason", "r"),
    ):
        outcome = cli.run(*arguments)
        assert (outcome.code, outcome.stdout) == (ExitCode.USAGE, ""), arguments[0]


@pytest.mark.parametrize("command", ["receipts", "report"])
def test_last_month_of_the_calendar_is_in_the_future(cli: CliEnvironment, command: str) -> None:
    outcome = cli.run(command, "--month", "9999-12")
    assert (outcome.code, outcome.stdout) == (ExitCode.USAGE, "")
    assert "9999-12 is in the future" in outcome.stderr


def test_last_day_of_a_month() -> None:
    assert [parse_month(f"2024-{month:02}")[1].day for month in (1, 2, 4, 12)] == [31, 29, 30, 31]
    with pytest.raises(CliError, match="is not a month"):
        parse_month("2024-13")
