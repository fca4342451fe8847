"""The thresholds of the alarms."""

from dataclasses import dataclass

import aws_cdk as cdk

from cdk_s3_to_sftp.argument_types import check_fields
from cdk_s3_to_sftp.arguments import InvalidArgument, check_duration, is_token

_FIVE_MINUTES = cdk.Duration.minutes(5)
_ONE_HOUR = cdk.Duration.hours(1)
_HALF_A_DAY = cdk.Duration.hours(12)
_DAY_IN_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """When to raise which alarm. None: there is no such alarm.

    Attributes:
        dead_lettered: Number of messages in the dead-letter queue. By default 1.
        oldest_waiting: How long an object has been waiting, 5 minutes to 14 days. By default 1 hour. There
            are two alarms: one for objects that were not tried yet (more arrive than are sent), one for
            objects that keep failing.
        breaker_open_for: How long the circuit breaker has been open at every check, whole minutes up to a
            day. By default 5 minutes. Longer suits a partner with an outage every night.
        paused_for: How long an operator's pause (`s3-to-sftp pause`) has lasted, 5 minutes to 14 days. By
            default 12 hours: a longer one has probably been forgotten.
        login_fallback: Number of invocations in 5 minutes in which the partner refused the secret's login and
            took that of AWSPENDING or AWSPREVIOUS. By default 1.
        errors: Number of invocations in 5 minutes that ended in an error: out of time or memory, or a
            defect. A failed delivery is not counted. By default 1.
        throttles: Number of invocations that were throttled in each of three periods of 5 minutes, because
            the account's concurrency is used up. By default 10. A function with a reserved concurrency of 1
            is throttled whenever two messages wait, so it has no such alarm.
        canary_failed: Number of checks of the daily examination that failed. By default 1. Only with
            `canary=True`.
        partner_changed: Number of changes of the partner's server that the daily examination has found. By
            default 1. Only with `canary=True`.
        missed_cut_off: Number of objects that came before a cut-off of the last day and were not at the
            partner by then. By default 1. Only with rules that have a `cut_off`.

    Raises:
        InvalidArgument: A value is invalid; the message says why.
    """

    dead_lettered: int | None = 1
    oldest_waiting: cdk.Duration | None = _ONE_HOUR
    breaker_open_for: cdk.Duration | None = _FIVE_MINUTES
    paused_for: cdk.Duration | None = _HALF_A_DAY
    login_fallback: int | None = 1
    errors: int | None = 1
    throttles: int | None = 10
    canary_failed: int | None = 1
    partner_changed: int | None = 1
    missed_cut_off: int | None = 1

    def __post_init__(self) -> None:
        check_fields(self)
        names = (
            "dead_lettered",
            "login_fallback",
            "errors",
            "throttles",
            "canary_failed",
            "partner_changed",
            "missed_cut_off",
        )
        for name in names:
            value = getattr(self, name)
            if value is not None and not is_token(value) and value < 1:
                raise InvalidArgument(name, f"must be at least 1, or None for no such alarm, got {value}")
        if self.oldest_waiting:
            check_duration("oldest_waiting", self.oldest_waiting, 300, 14 * _DAY_IN_SECONDS, "seconds")
        if self.paused_for:
            check_duration("paused_for", self.paused_for, 300, 14 * _DAY_IN_SECONDS, "seconds")
        if self.breaker_open_for:
            check_duration("breaker_open_for", self.breaker_open_for, 60, _DAY_IN_SECONDS, "seconds")
            _check_whole_minutes(self.breaker_open_for)


def _check_whole_minutes(value: cdk.Duration) -> None:
    if not value.is_unresolved() and value.to_seconds() % 60:
        raise InvalidArgument(
            "breaker_open_for", f"must be whole minutes, got {value.to_seconds():g} seconds"
        )
