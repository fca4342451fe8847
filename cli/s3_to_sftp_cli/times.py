"""Times as people type and read them."""

import re
from datetime import UTC, date, datetime, timedelta

from s3_to_sftp_cli.errors import CliError, ExitCode

_DURATION = re.compile(
    r"(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?", re.IGNORECASE
)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_MOST_DIGITS = 100
"""Characters of a duration: Python reads no number of thousands of digits."""
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
"""What every clock and every zone can represent."""
_EXAMPLES = (
    "Write 06:00 (local time), 2026-11-29, 2026-11-29T06:00, 2026-11-29T06:00Z, or a duration: 30m, 2h, 7d."
)


def parse_future(text: str, *, now: datetime) -> datetime:
    """Return the time that is meant, after now: a clock time is the next one, a duration counts from now.

    Args:
        text: `06:00`, `2026-11-29T06:00`, with `Z` or an offset, or `2h`.
        now: With a time zone; texts without one mean this zone, as its clocks are set at that time.

    Raises:
        CliError: It cannot be read, or is not after now.
    """
    if clock := _CLOCK.fullmatch(text.strip()):
        today = _on_this_day(now, clock)
        time = _at(today, now)
        return time if time > now else _at(today + timedelta(days=1), now)
    time = _shifted(text, now, sign=1) or _instant(text, now)
    if time <= now:
        raise CliError(
            f"{text!r} is not in the future: it is {now:%Y-%m-%d %H:%M %Z} now.",
            hint=_EXAMPLES,
            code=ExitCode.USAGE,
        )
    return time


def parse_past(text: str, *, now: datetime) -> datetime:
    """Return the time that is meant, before now: a clock time is the last one, a duration counts back.

    Raises:
        CliError: It cannot be read, or is not before now.
    """
    if clock := _CLOCK.fullmatch(text.strip()):
        today = _on_this_day(now, clock)
        time = _at(today, now)
        return time if time <= now else _at(today - timedelta(days=1), now)
    time = _shifted(text, now, sign=-1) or _instant(text, now)
    if time > now:
        raise CliError(
            f"{text!r} is in the future: it is {now:%Y-%m-%d %H:%M %Z} now.",
            hint=_EXAMPLES,
            code=ExitCode.USAGE,
        )
    return time


def parse_day(text: str) -> date:
    """Return the day, a calendar day in UTC, as the ledger counts them.

    Raises:
        CliError: It is none, or in the future.
    """
    today = datetime.now(UTC).date()
    if text in {"today", "yesterday"}:
        return today - timedelta(days=text == "yesterday")
    hint = "Write 2026-11-29, today or yesterday (UTC)."
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CliError(f"{text!r} is not a day.", hint=hint, code=ExitCode.USAGE) from None
    if day > today:
        raise CliError(f"{text!r} is in the future: today is {today} (UTC).", hint=hint, code=ExitCode.USAGE)
    return day


def parse_month(text: str) -> tuple[date, date]:
    """Return the first and the last day of a month, written 2026-11.

    Raises:
        CliError: It is none, or has not begun in UTC.
    """
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise CliError(f"{text!r} is not a month.", hint="Write 2026-11.", code=ExitCode.USAGE) from None
    if first > datetime.now(UTC).date():
        raise CliError(f"{text} is in the future.", hint="Name a month that has begun.", code=ExitCode.USAGE)
    return first, (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def parse_duration(text: str) -> timedelta:
    """Return a duration, written 30s, 5m, 2h or 1d.

    Raises:
        CliError: It is none, or takes no time.
    """
    hint = "Write a duration: 30s, 5m, 1h30m, 2d."
    try:
        duration = _duration(text)
    except OverflowError:
        raise CliError(f"{text[:40]!r} is too long.", hint=hint, code=ExitCode.USAGE) from None
    if not duration:
        raise CliError(f"{text!r} is not a duration.", hint=hint, code=ExitCode.USAGE)
    return duration


def is_clock(text: str) -> bool:
    """Return whether a text is a time without its day, such as 06:00."""
    return _CLOCK.fullmatch(text.strip()) is not None


def local_now() -> datetime:
    """Return the time, in the time zone of this machine."""
    return datetime.now().astimezone()


def in_words(seconds: float) -> str:
    """Return a duration as people say it: `6 min`, `2 h 10 min`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def clock(time: datetime, *, now: datetime) -> str:
    """Return a time in the zone of `now`: `06:00` today, else `Mon 30 Nov 06:00`, with another year named."""
    local = in_zone_of(now, time)
    if local.date() == now.date():
        return f"{local:%H:%M}"
    return f"{local:%a %d %b %H:%M}" if local.year == now.year else f"{local:%a %d %b %Y %H:%M}"


def in_zone_of(now: datetime, time: datetime) -> datetime:
    """Return a time in the zone of `now`, as its clocks are set at that time.

    A time that `local_now` returns has the offset of now only: half a year later it is another one.
    """
    return time.astimezone(None if _is_local(now) else now.tzinfo)


def from_epoch(seconds: float) -> datetime:
    """Return the time of seconds since 1970, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _shifted(text: str, now: datetime, *, sign: int) -> datetime | None:
    """Return the time that is a duration away; None: the text is no duration."""
    try:
        duration = _duration(text)
        return now + sign * duration if duration else None
    except OverflowError:
        raise CliError(f"{text[:40]!r} is too long.", hint=_EXAMPLES, code=ExitCode.USAGE) from None


def _duration(text: str) -> timedelta | None:
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    if len(text) > _MOST_DIGITS:
        raise OverflowError
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _instant(text: str, now: datetime) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CliError(f"{text!r} is not a time.", hint=_EXAMPLES, code=ExitCode.USAGE) from None
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise CliError(
            f"{text!r} is not between the years {_FIRST_YEAR} and {_LAST_YEAR}.",
            hint=_EXAMPLES,
            code=ExitCode.USAGE,
        )
    return time if time.tzinfo else _at(time, now)


def _on_this_day(now: datetime, clock: re.Match[str]) -> datetime:
    return datetime(now.year, now.month, now.day, int(clock[1]), int(clock[2]))


def _at(wall: datetime, now: datetime) -> datetime:
    """Return when the clocks in the zone of `now` show a time; of two such times the first."""
    return wall.astimezone() if _is_local(now) else wall.replace(tzinfo=now.tzinfo)


def _is_local(now: datetime) -> bool:
    return now.utcoffset() == now.astimezone().utcoffset()
