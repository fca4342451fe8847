"""Windows and holidays as they are today: refused where nothing opens, warned of where something is late."""

from datetime import UTC, date, datetime, timedelta

from constructs import IConstruct

from cdk_s3_to_sftp.annotations import warn
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.invalid import InvalidRule
from s3_to_sftp.rules.timing import hours_of
from s3_to_sftp.rules.week import closed_before_cut_off, longest_closure
from s3_to_sftp.rules.window import DAYS

_WITHIN = timedelta(days=366)


def check_hours(scope: IConstruct, rules: DeliveryRules, *, now: datetime | None = None) -> None:
    """Refuse windows none of which opens within a year, and warn of what is always late, or never sent.

    Args:
        scope: The construct that the rules belong to.
        rules: Of a partner, or of a source.
        now: When the app is synthesised.

    Raises:
        InvalidRule: Nothing opens.
    """
    now = now or datetime.now(UTC)
    _check_something_opens(rules, now)
    _warn_of_old_holidays(scope, rules, now.astimezone(rules.zone).date())
    if rules.cut_off is not None and rules.windows:
        _warn_of_late_hours(scope, rules, rules.cut_off)
    _warn_of_age(scope, rules)


def _check_something_opens(rules: DeliveryRules, now: datetime) -> None:
    if not rules.holidays:
        return
    opens = hours_of(rules).opens_at(now.timestamp())
    if opens is None or opens > (now + _WITHIN).timestamp():
        windows = ", ".join(window.when for window in rules.windows) or "every day"
        raise InvalidRule(
            "holidays",
            f"must leave a day within a year on which a window starts, got {len(rules.holidays)} holidays, "
            f"and "
            f"none of {windows} opens before {now + _WITHIN:%Y-%m-%d}: remove those on which the partner "
            f"takes "
            "files, or add a window",
        )


def _warn_of_old_holidays(scope: IConstruct, rules: DeliveryRules, today: date) -> None:
    if rules.holidays and (last := max(rules.holidays)) < today.isoformat():
        warn(
            scope,
            "holidaysAreOver",
            f"All days of the rule holidays are over, the last one was {last}: files will be sent on the "
            "partner's next holiday. Add those to come, or remove the rule.",
        )


def _warn_of_late_hours(scope: IConstruct, rules: DeliveryRules, cut_off: str) -> None:
    closes = closed_before_cut_off(rules.windows, cut_off)
    if closes:
        listed = ", ".join(
            f"{DAYS[day]} from {minute // 60:02d}:{minute % 60:02d}" for day, minute in closes.items()
        )
        warn(
            scope,
            "cutOffAfterWindow",
            f"The rule cut_off is {cut_off!r}, and windows close before it ({listed}): what comes in "
            f"between is "
            "always late, and raises the alarm MissedCutOff. Write the time at which they close, or longer "
            "windows.",
        )


def _warn_of_age(scope: IConstruct, rules: DeliveryRules) -> None:
    oldest = rules.only.max_age if rules.only else None
    closed = 60 * longest_closure(rules.windows)
    if isinstance(oldest, int) and oldest < closed:
        warn(
            scope,
            "maxAgeShorterThanClosure",
            f"The rule only has max_age={oldest} s, and the windows are closed for up to {closed} s: what "
            f"comes "
            "when they have just closed is too old when they open, and is never delivered. Write a longer "
            "max_age, or leave it out.",
        )
