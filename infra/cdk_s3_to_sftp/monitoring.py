"""Who is told when something needs a person, and where to look."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.alarms import Alarms
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.dashboard import make_dashboard
from cdk_s3_to_sftp.metrics import DeliveryMetrics

_FIVE_MINUTES = cdk.Duration.minutes(5)

_COMES_BACK_WITHIN = 4
"""Periods of five minutes in which a message that waits is seen once at least: it comes back after 15."""

_STILL_THROTTLED_AFTER = 3
"""Periods of five minutes. A burst is throttled for a while, and nothing is wrong."""

_MORE_ARRIVES = (
    "and others are sent: more arrives than leaves. More connections help (max_connections), or more memory."
)

_PAUSED = (
    "since deliveries are paused (enabled=False). The queue forgets what has waited for 14 days. Deploy with "
    "enabled=True to deliver it."
)

_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


class Monitoring(Construct):
    """Alarms and a dashboard for the deliveries to one partner.

    Attributes:
        alarms: Every alarm that there is.
        dead_lettered_alarm: Something is in the dead-letter queue.
        backlog_alarm: An object waits too long for its first try.
        retrying_alarm: An object has been tried in vain for too long.
        breaker_alarm: The partner has its circuit breaker open.
        errors_alarm: The function fails.
        throttles_alarm: The function is not started. None for one that is held to one at a time.
        dashboard: Whether the partner is up, what waits, what was delivered, how fast, what failed and why.
            None where none was wanted.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        delivery: What is watched.
        partner: Its name, for people who read an alarm at night.
        alarms: When to raise which. By default as `Alarms` says.
        alarm_topic: Who is told, when an alarm is raised and when it is over. By default nobody: alarms are
            seen on the dashboard only.
        dashboard: Whether there is one. By default there is.
        enabled: Whether messages are delivered at all: else the alarm for the backlog says that they wait.
    """

    @checks_types
    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        delivery: DeliveryMetrics,
        partner: str,
        alarms: Alarms | None = None,
        alarm_topic: sns.ITopic | None = None,
        dashboard: bool = True,
        enabled: bool = True,
    ) -> None:
        super().__init__(scope, id)
        self._delivery = delivery
        self._partner = partner
        self._topic = alarm_topic
        self._enabled = enabled
        self.alarms: list[cloudwatch.Alarm] = []
        when = alarms or Alarms()
        self.dead_lettered_alarm = self._dead_lettered_alarm(when.dead_lettered)
        self.backlog_alarm = self._backlog_alarm(when.oldest_waiting)
        self.retrying_alarm = self._retrying_alarm(when.oldest_waiting)
        self.breaker_alarm = self._breaker_alarm(when.breaker_open_for)
        self.errors_alarm = self._errors_alarm(when.errors)
        self.throttles_alarm = self._throttles_alarm(when.throttles)
        self.dashboard = (
            make_dashboard(self, delivery=delivery, partner=partner, alarms=self.alarms)
            if dashboard
            else None
        )

    def _dead_lettered_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        queue, dead_letters = self._delivery.queue, self._delivery.dead_letter_queue
        return self._alarm(
            "DeadLettered",
            # The highest of five minutes: a message that somebody looks at is out of sight for a while.
            dead_letters.metric_approximate_number_of_messages_visible(
                period=_FIVE_MINUTES, statistic="Maximum"
            ),
            f"Deliveries to {{partner}} were given up. The messages in {dead_letters.queue_name} say why: "
            "see their attributes `reason` and `hint`. Mend the cause, then send them back: "
            f"aws sqs start-message-move-task --source-arn {dead_letters.queue_arn} "
            f"--destination-arn {queue.queue_arn}",
            threshold=threshold,
        )

    def _backlog_alarm(self, longest: cdk.Duration | None) -> cloudwatch.Alarm | None:
        if longest is None:
            return None
        return self._alarm(
            "Backlog",
            self._delivery.queue.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES),
            f"An object for {{partner}} has been waiting for {_in_words(longest)}, "
            + (_MORE_ARRIVES if self._enabled else _PAUSED),
            threshold=longest.to_seconds(),
        )

    def _retrying_alarm(self, longest: cdk.Duration | None) -> cloudwatch.Alarm | None:
        if longest is None:
            return None
        return self._alarm(
            "Retrying",
            self._delivery.metric_retrying(period=_FIVE_MINUTES),
            f"An object for {{partner}} has been tried for {_in_words(longest)} in vain. The function's log "
            f"{self._delivery.log_group.log_group_name} says why. It is tried again by itself.",
            threshold=longest.to_seconds(),
            periods=_COMES_BACK_WITHIN,
            breaching=1,
        )

    def _breaker_alarm(self, lasting: cdk.Duration | None) -> cloudwatch.Alarm | None:
        if lasting is None:
            return None
        return self._alarm(
            "CircuitBreakerOpen",
            self._delivery.metric_circuit_breaker_open(period=lasting),
            "{partner} has its circuit breaker open: the server cannot be reached, shows another host key, or refuses "
            "the login. The function's log says which, and what to do. It is tried again by itself, and at "
            "once when secret or host keys have been changed.",
            threshold=1,
            # While nobody asks, it is as it was.
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

    def _errors_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        return self._alarm(
            "Errors",
            self._delivery.function.metric_errors(period=_FIVE_MINUTES),
            "The function that delivers to {partner} fails: it runs out of time or memory, or has a defect. "
            f"Its log is {self._delivery.log_group.log_group_name}. Nothing is lost: messages come back.",
            threshold=threshold,
        )

    def _throttles_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None or _is_held_to_one(self._delivery.function):
            return None
        return self._alarm(
            "Throttles",
            self._delivery.function.metric_throttles(period=_FIVE_MINUTES),
            "The function that delivers to {partner} is not started: all of the account's concurrency is in "
            "use. Ask AWS for more, or reserve some for this function. Nothing is lost: messages wait.",
            threshold=threshold,
            periods=_STILL_THROTTLED_AFTER,
        )

    def _alarm(
        self,
        id: str,  # noqa: A002 -- what every construct calls it
        metric: cloudwatch.Metric,
        description: str,
        *,
        threshold: float,
        periods: int = 1,
        breaching: int | None = None,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            id,
            metric=metric,
            alarm_description=description.replace("{partner}", self._partner),
            threshold=threshold,
            comparison_operator=_ABOVE,
            evaluation_periods=periods,
            datapoints_to_alarm=breaching or periods,
            treat_missing_data=missing,
        )
        if self._topic:
            alarm.add_alarm_action(actions.SnsAction(self._topic))
            alarm.add_ok_action(actions.SnsAction(self._topic))
        else:
            acknowledge(alarm, suppressions.ALARM_ACTION)
        self.alarms.append(alarm)
        return alarm


def _in_words(value: cdk.Duration) -> str:
    return "too long" if value.is_unresolved() else value.to_human_string()


def _is_held_to_one(function: lambda_.Function) -> bool:
    resource = function.node.default_child
    return isinstance(resource, lambda_.CfnFunction) and resource.reserved_concurrent_executions == 1
