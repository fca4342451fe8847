"""When which alarm is raised."""

from dataclasses import dataclass

import aws_cdk as cdk

from cdk_s3_to_sftp.argument_types import check_fields
from cdk_s3_to_sftp.arguments import InvalidArgument, check_duration, is_token

_FIVE_MINUTES = cdk.Duration.minutes(5)
_ONE_HOUR = cdk.Duration.hours(1)
_DAY_IN_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """When to raise which alarm; None for never.

    Attributes:
        dead-lettered: So many messages are in the dead-letter queue. By default 1.
        oldest_waiting: An object waits for so long, 5 minutes to 14 days. By default 1 hour. Two alarms: one
            for what was not tried yet (more arrives than is sent), one for what was tried in vain.
        breaker_open_for: The partner was left in peace at every look in so long, whole minutes up to a day.
            By default 5 minutes. More for a partner with an outage every night.
        errors: So many invocations in 5 minutes ended in an error: out of time or memory, or a defect. What
            goes wrong with a delivery is none. By default 1.
        throttles: So many invocations in each of three times 5 minutes were refused, because the account's
            concurrency is used up. By default 10. A function that is held to one at a time is refused
            whenever two messages wait: for it, there is no such alarm.

    Raises:
        InvalidArgument: A value cannot be right; the message says why.
    """

    dead_lettered: int | None = 1
    oldest_waiting: cdk.Duration | None = _ONE_HOUR
    breaker_open_for: cdk.Duration | None = _FIVE_MINUTES
    errors: int | None = 1
    throttles: int | None = 10

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("dead_lettered", "errors", "throttles"):
            value = getattr(self, name)
            if value is not None and not is_token(value) and value < 1:
                raise InvalidArgument(name, f"must be at least 1, or None for no such alarm, got {value}")
        if self.oldest_waiting:
            check_duration("oldest_waiting", self.oldest_waiting, 300, 14 * _DAY_IN_SECONDS, "seconds")
        if self.breaker_open_for:
            check_duration("breaker_open_for", self.breaker_open_for, 60, _DAY_IN_SECONDS, "seconds")
            _check_whole_minutes(self.breaker_open_for)


def _check_whole_minutes(value: cdk.Duration) -> None:
    if not value.is_unresolved() and value.to_seconds() % 60:
        raise InvalidArgument(
            "breaker_open_for", f"must be whole minutes, got {value.to_seconds():g} seconds"
        )
