"""When deliveries may begin, and by when an object must be there: exact through every change of the clocks.

One definition decides everything: deliveries may begin while a clock in the partner's time zone shows a time
of a window. So a window that begins at a time which does not exist, since clocks are set forward over it,
begins when they are; and one that lies in an hour which clocks show twice is open in both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property

from s3_to_sftp.rules.window import MINUTES_OF_DAY, Window

_HORIZON_DAYS = 400
"""So far ahead is looked for a window: a list of holidays may close a year."""
_HOUR = 3600
_WIDEST_OFFSET = 15 * _HOUR
"""From UTC in seconds; the widest today is 14 hours (Pacific/Kiritimati)."""


@dataclass(frozen=True, kw_only=True)
class OpeningHours:
    """The windows of a partner in its time zone.

    Attributes:
        windows: None: always open, except on holidays.
        holidays: Days on which no window starts, as `YYYY-MM-DD`.
        cut_off: Minutes after midnight; None: objects need not be there by any time.
        zone: Time zone.
    """

    windows: Sequence[Window] = ()
    holidays: Sequence[str] = ()
    cut_off: int | None = None
    zone: tzinfo = UTC

    @cached_property
    def _closed_days(self) -> frozenset[date]:
        return frozenset(map(date.fromisoformat, self.holidays))

    @cached_property
    def _windows(self) -> Sequence[Window]:
        return tuple(self.windows) or (Window("Mon-Sun"),)

    def is_open(self, at: float) -> bool:
        """Return whether deliveries may begin at this time (seconds since 1970)."""
        local = self._local(at)
        minute = local.hour * 60 + local.minute
        today = local.date()
        return any(
            (window.start <= minute < (window.end if window.end > window.start else MINUTES_OF_DAY))
            for window in self._starting_on(today)
        ) or any(
            window.end <= window.start and minute < window.end
            for window in self._starting_on(_day_after(today, -1))
        )

    def opens_at(self, at: float) -> float | None:
        """Return the first time from this one on at which they may begin (seconds since 1970).

        None: not within 400 days.
        """
        if self.is_open(at):
            return at
        first = self._local(at).date()
        days = [_day_after(first, n) for n in range(-1, _HORIZON_DAYS)]
        ahead: set[float] = set()
        for day in days:
            # The hours of two days can mix: clocks that are set back at midnight show the day before again.
            ahead = {each for each in (*ahead, *self._changes(day)) if each > at and self.is_open(each)}
            if ahead and day > self._local(min(ahead)).date():
                return min(ahead)
        return min(ahead, default=None)

    def due_at(self, at: float) -> float | None:
        """Return by when an object must be there that came at this time: the first cut-off after it.

        A cut-off is that of a delivery day, on which a window starts. Where clocks show it twice it is the
        first time, and where they jump over it, that moment. None: there is no cut-off, or none within 400
        days.
        """
        if self.cut_off is None:
            return None
        first = self._local(at).date()
        for n in range(-1, _HORIZON_DAYS):
            day = _day_after(first, n)
            if self._starting_on(day) and (moment := self._first_moment(day, self.cut_off)) > at:
                return moment
        return None

    def _starting_on(self, day: date) -> Sequence[Window]:
        if day in self._closed_days:
            return ()
        return [window for window in self._windows if day.weekday() in window.weekdays]

    def _changes(self, day: date) -> Iterator[float]:
        """Yield every time of about this day at which they may begin to be open."""
        for window in self._starting_on(day):
            yield from self._moments(day, window.start)
        yield from self._clock_changes(day)

    def _moments(self, day: date, minute: int) -> tuple[float, float]:
        """Return the two readings of a local time; they are the same where clocks show it once."""
        local = datetime.combine(day, time(*divmod(minute, 60)), self.zone)
        return local.timestamp(), local.replace(fold=1).timestamp()

    def _first_moment(self, day: date, minute: int) -> float:
        first, second = self._moments(day, minute)
        return first if first <= second else self._change_between(second, first)

    def _clock_changes(self, day: date) -> Iterator[float]:
        """Yield when the offset from UTC changes on about this day."""
        start = datetime.combine(day, time(), UTC).timestamp() - _WIDEST_OFFSET
        for hour in range(2 * (_WIDEST_OFFSET // _HOUR) + 24):
            before, after = start + hour * _HOUR, start + (hour + 1) * _HOUR
            if self._offset(before) != self._offset(after):
                yield self._change_between(before, after)

    def _change_between(self, before: float, after: float) -> float:
        """Return the second at which the offset changes, which it does once in between."""
        old = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == old:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, at: float) -> timedelta | None:
        return self._local(at).utcoffset()

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, UTC).astimezone(self.zone)


def _day_after(day: date, days: int) -> date:
    ordinal = day.toordinal() + days
    return date.fromordinal(min(max(ordinal, 1), date.max.toordinal() - 1))
