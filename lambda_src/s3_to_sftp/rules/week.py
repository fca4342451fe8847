"""What follows from the windows of a week as clocks show them: cut-offs that cannot be met, closed hours."""

from collections.abc import Mapping, Sequence

from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.window import DAYS, MINUTES_OF_DAY, Window, minutes_of

_WEEK = 7 * MINUTES_OF_DAY


def check_cut_off(windows: Sequence[Window], cut_off: str) -> None:
    """Refuse a cut-off before which nothing is open on a day.

    Raises:
        InvalidRule: It would be missed on that day, whatever happens.
    """
    minute = minutes_of("cut_off", cut_off)
    closed = [day for day in _days_of(windows) if _closed_for(windows, day, minute) >= max(minute, 1)]
    if not closed:
        return
    listed = ", ".join(DAYS[day] for day in closed)
    opens = max(min(each.start for each in windows if day in each.weekdays) for day in closed)
    raise InvalidRule(
        "cut_off",
        f"must be later than the first window of each day on which one starts, got {cut_off!r}, and on "
        f"{listed} "
        "nothing is open before it: what comes since the last window closed is always late. Write a time "
        "after "
        f"{opens // 60:02d}:{opens % 60:02d}",
    )


def closed_before_cut_off(windows: Sequence[Window], cut_off: str) -> Mapping[int, int]:
    """Return the days on which a window closes before the cut-off, and when the last one does.

    What comes in between is late by rule. Days are numbers from 0, Monday; times are minutes after midnight.
    """
    minute = minutes_of("cut_off", cut_off)
    gaps = {day: _closed_for(windows, day, minute) for day in _days_of(windows)}
    return {day: minute - gap for day, gap in gaps.items() if 0 < gap < minute}


def longest_closure(windows: Sequence[Window]) -> int:
    """Return for how many minutes of a week nothing is open at a stretch; 0: it is never closed."""
    starts = [start for start, _ in _spans(windows)]
    return max((_closed_for(windows, *divmod(start, MINUTES_OF_DAY)) for start in starts), default=0)


def _days_of(windows: Sequence[Window]) -> list[int]:
    return sorted({day for window in windows for day in window.weekdays})


def _closed_for(windows: Sequence[Window], day: int, minute: int) -> int:
    """Return for how many minutes nothing has been open at this time; 0: something is, right before it."""
    now, gaps = day * MINUTES_OF_DAY + minute, list[int]()
    for start, length in _spans(windows):
        passed = (now - start) % _WEEK or _WEEK  # one that starts at this very time was open a week ago
        gaps.append(max(passed - length, 0))
    return min(gaps)


def _spans(windows: Sequence[Window]) -> list[tuple[int, int]]:
    """Return when windows start in the week, and how long they are, in minutes."""
    return [
        (day * MINUTES_OF_DAY + window.start, (window.end - window.start) % MINUTES_OF_DAY or MINUTES_OF_DAY)
        for window in windows
        for day in window.weekdays
    ]
