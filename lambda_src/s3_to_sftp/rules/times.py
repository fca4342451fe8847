"""Dates and times in names: the directives of strftime that depend on neither language nor machine."""

import re
import zoneinfo
from collections.abc import Callable
from datetime import datetime

_DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04d}",
    "y": lambda at: f"{at.year % 100:02d}",
    "1y": lambda at: str(at.year % 10),
    "m": lambda at: f"{at.month:02d}",
    "d": lambda at: f"{at.day:02d}",
    "H": lambda at: f"{at.hour:02d}",
    "M": lambda at: f"{at.minute:02d}",
    "S": lambda at: f"{at.second:02d}",
    "j": lambda at: f"{at.timetuple().tm_yday:03d}",
    "G": lambda at: f"{at.isocalendar().year:04d}",
    "V": lambda at: f"{at.isocalendar().week:02d}",
    "u": lambda at: str(at.isoweekday()),
    "z": lambda at: at.strftime("%z"),
    "s": lambda at: str(int(at.timestamp())),
    "%": lambda _at: "%",
}
KNOWN = ", ".join(f"%{name}" for name in _DIRECTIVES)
_DIRECTIVE = re.compile(r"%(1y|.)", re.DOTALL)

_DAY = ({"j"}, {"m", "d"}, {"G", "V", "u"}, {"s"})
"""Directives that together tell the days of a year apart.

Not `%V` and `%u` alone: 1 January and 30 December 2024 are both the Monday of a week 1.
"""
_YEAR = ({"Y"}, {"y"}, {"1y"}, {"G", "V", "u"}, {"s"})
"""Not `%G` alone: 30 December 2024 is in the ISO year 2025."""
_VARYING = {"z", "s"}
_NO_ZONES = re.compile(r"localtime|posixrules|Factory|(posix|right)/.*", re.IGNORECASE)
"""Files beside the zones, not on every machine: its own zone, and zones that count leap seconds."""


def is_zone(name: str) -> bool:
    """Return whether it is the name of a time zone that means the same on every machine."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return not _NO_ZONES.fullmatch(name)


def unknown_directive(form: str) -> str:
    """Return the first directive that is not known; empty: there is none."""
    if re.search(r"(?<!%)(?:%%)*%$", form):
        return "%"
    return next((f"%{name}" for name in _DIRECTIVE.findall(form) if name not in _DIRECTIVES), "")


def formatted(at: datetime, form: str) -> str:
    """Return the time in this form; its directives are known. As in `time.strftime`; `%1y` is one digit."""
    return _DIRECTIVE.sub(lambda found: _DIRECTIVES[found[1]](at), form)


def tells_days_apart(form: str) -> bool:
    """Return whether two days never get the same text, up to the year."""
    used = set(_DIRECTIVE.findall(form))
    return any(day <= used for day in _DAY)


def tells_years_apart(form: str) -> bool:
    """Return whether two years in a row never get the same text."""
    used = set(_DIRECTIVE.findall(form))
    return any(year <= used for year in _YEAR)


def has_directive(form: str) -> bool:
    """Return whether the form has a time in it, not only text."""
    return any(name != "%" for name in _DIRECTIVE.findall(form))


def has_fixed_length(form: str) -> bool:
    """Return whether all times have the same length in this form."""
    return not _VARYING & set(_DIRECTIVE.findall(form))


def literals(form: str) -> str:
    """Return the characters that stand in this form whatever the time is."""
    return _DIRECTIVE.sub(lambda found: "%" if found[1] == "%" else "", form)
