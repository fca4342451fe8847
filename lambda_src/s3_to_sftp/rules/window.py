"""When a partner takes files, and how many: windows of the week, and a rate of drops."""

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date
from functools import cached_property

from s3_to_sftp.rules.invalid import InvalidRule, require_items, require_range, require_type

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_OF_DAY = 24 * 60
_FORM = re.compile(r"(?P<days>[A-Za-z][A-Za-z,-]*)?( ?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d))?")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SHORTEST_SECONDS, _LONGEST_SECONDS = 60, 86_400
_MOST_DROPS = 100
_EXAMPLE = "such as 'Mon-Fri 06:00-18:00', 'Sat,Sun 22:00-04:00' or 'Mon-Sun'"


@dataclass(frozen=True)
class Window:
    """Hours of some days of the week in which deliveries may begin, by clocks in the rules' time zone.

    Attributes:
        when: Days, hours, or both: `Mon-Fri 06:00-18:00`. Days are English abbreviations, as ranges or lists
            (`Mon,Wed,Fri`, `Sat-Mon`); without them the hours are those of every day. The end is not part of
            the window, and 24:00 is the end of the day; without hours it is the whole day. A window whose end
            is before its start goes on after midnight, and belongs to the day on which it starts.
    """

    when: str

    def __post_init__(self) -> None:
        require_type("windows", self.when, str, wanted=f"a text {_EXAMPLE}")
        found = _FORM.fullmatch(self.when)
        if not self.when or found is None or (found["days"] and self.when[found.end("days") :][:1] == "-"):
            raise InvalidRule("windows", f"must be days and hours {_EXAMPLE}, got {self.when!r}")
        if found["days"] and found["start"] and " " not in self.when:
            raise InvalidRule("windows", f"must have a blank between days and hours, got {self.when!r}")
        _ = self.weekdays
        if self.start == self.end:
            raise InvalidRule(
                "windows",
                f"must end at another time than it starts, got {self.when!r}: the whole day is written "
                "without hours, or as 00:00-24:00",
            )

    @cached_property
    def weekdays(self) -> frozenset[int]:
        """The days on which it starts; Monday is 0."""
        days = self._part("days")
        if not days:
            return frozenset(range(7))
        numbers: set[int] = set()
        for each in days.split(","):
            first, dash, last = each.partition("-")
            start, end = self._day(first), self._day(last if dash else first)
            numbers |= {(start + n) % 7 for n in range((end - start) % 7 + 1)}
        return frozenset(numbers)

    @cached_property
    def start(self) -> int:
        """Minutes after midnight."""
        return self._minutes("start") if self._part("start") else 0

    @cached_property
    def end(self) -> int:
        """Minutes after midnight; not after the start: on the next day."""
        if not self._part("end"):
            return MINUTES_OF_DAY
        return MINUTES_OF_DAY if self._part("end") == "24:00" else self._minutes("end")

    def _part(self, name: str) -> str:
        found = _FORM.fullmatch(self.when)
        return (found and found[name]) or ""

    def _day(self, name: str) -> int:
        if name not in DAYS:
            raise InvalidRule(
                "windows", f"must have days of {', '.join(DAYS)}, got {name!r} in {self.when!r}"
            )
        return DAYS.index(name)

    def _minutes(self, part: str) -> int:
        return minutes_of("windows", self._part(part))


_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}


@dataclass(frozen=True)
class Rate:
    """At most so many in a period, whenever it begins: `Rate(1, minutes=15)`.

    Attributes:
        count: The most, 1 to 100.
        seconds: Length of the period; `minutes` and `hours` are added to it. 1 minute to 24 hours in all.
    """

    count: int
    _: KW_ONLY
    seconds: int = 0
    minutes: int = 0
    hours: int = 0

    def __post_init__(self) -> None:
        require_range("max_drops", self.count, 1, _MOST_DROPS)
        for name in ("seconds", "minutes", "hours"):
            given = getattr(self, name)
            require_type("max_drops", given, int, wanted=f"a whole number of {name}")
            most = _LONGEST_SECONDS // _SECONDS[name]
            if not 0 <= given <= most:
                raise InvalidRule("max_drops", f"must have {name} from 0 to {most}, got {given}")
        if not _SHORTEST_SECONDS <= self.period <= _LONGEST_SECONDS:
            raise InvalidRule(
                "max_drops",
                f"must have a period of 1 minute to 24 hours, such as Rate(1, minutes=15), got {self.period} "
                "seconds",
            )

    @property
    def period(self) -> int:
        """Its period in seconds."""
        return self.seconds + 60 * self.minutes + 3600 * self.hours


def minutes_of(rule: str, clock: str) -> int:
    """Return the minutes after midnight that `HH:MM` stands for.

    Raises:
        InvalidRule: It is no such time.
    """
    found = _CLOCK.fullmatch(clock)
    if found is None:
        raise InvalidRule(rule, f"must have times from 00:00 to 23:59, and 24:00 as an end, got {clock!r}")
    return 60 * int(found[1]) + int(found[2])


def check_timing(windows: object, holidays: object, cut_off: object, max_drops: object) -> None:
    """Refuse values of `DeliveryRules` that cannot work.

    Raises:
        InvalidRule: One cannot.
    """
    require_items("windows", windows, Window, wanted='windows, as Window("Mon-Fri 06:00-18:00")')
    require_items("holidays", holidays, str, wanted="days, as 2026-12-25")
    if isinstance(holidays, Sequence):
        for holiday in holidays:
            _check_day(holiday)
    if cut_off is not None:
        require_type("cut_off", cut_off, str, wanted="a time such as 17:30")
        if _CLOCK.fullmatch(str(cut_off)) is None:
            wanted = "must be a time such as 17:30, from 00:00 to 23:59"
            raise InvalidRule("cut_off", f"{wanted}, got {cut_off!r}")
    if max_drops is not None:
        require_type("max_drops", max_drops, Rate, wanted="a Rate(...), such as Rate(1, minutes=15)")


def _check_day(text: str) -> None:
    try:
        is_written_so = date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_written_so = False
    if not is_written_so:
        raise InvalidRule("holidays", f"must be days such as 2026-12-25, got {text!r}")
