"""When an object may be sent, as its rules say it: part of its plan."""

from datetime import tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING

from s3_to_sftp.delivery_plan import PlannedTiming
from s3_to_sftp.rules.opening_hours import OpeningHours
from s3_to_sftp.rules.window import Window, minutes_of

if TYPE_CHECKING:
    from s3_to_sftp.rules.delivery_rules import DeliveryRules

FAR_AWAY_SECONDS = 400 * 86_400
"""What stands for a window that does not come."""


def hours_of(rules: "DeliveryRules") -> OpeningHours:
    """Return when deliveries may begin, and the cut-off."""
    return _hours(tuple(rules.windows), tuple(rules.holidays), rules.cut_off, rules.zone)


@lru_cache(maxsize=64)
def _hours(
    windows: tuple[Window, ...], holidays: tuple[str, ...], cut_off: str | None, zone: tzinfo
) -> OpeningHours:
    minutes = None if cut_off is None else minutes_of("cut_off", cut_off)
    return OpeningHours(windows=windows, holidays=holidays, cut_off=minutes, zone=zone)


def timing_of(rules: "DeliveryRules", *, event_time: float, now: float) -> PlannedTiming:
    """Return the timing of an object.

    Args:
        rules: Its rules.
        event_time: When it was put, in seconds since 1970.
        now: When the plan is made.
    """
    hours = hours_of(rules)
    opens = hours.opens_at(now)
    rate = rules.max_drops
    return PlannedTiming(
        hours=hours_in_words(rules),
        not_before=None if opens == now else opens or now + FAR_AWAY_SECONDS,
        due=hours.due_at(event_time),
        drops=None if rate is None else (rate.count, rate.period),
    )


def hours_in_words(rules: "DeliveryRules") -> str:
    """Return when deliveries may begin; empty: always."""
    if not rules.windows and not rules.holidays:
        return ""
    windows = ", ".join(window.when for window in rules.windows) or "every day"
    count = len(rules.holidays)
    except_for = f", not on {count} holiday{'s' if count > 1 else ''}" if count else ""
    return f"{windows} ({rules.time_zone}){except_for}"


def period_in_words(seconds: int) -> str:
    """Return a number of seconds in the largest unit that it is a multiple of."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            count = seconds // unit
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
