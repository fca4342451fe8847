"""The alarms and the dashboard of a delivery."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.alarm_thresholds import Alarms
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.dashboard import make_dashboard
from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.operator_command import command_for

_FIVE_MINUTES = cdk.Duration.minutes(5)

_FIFTEEN_MINUTES = cdk.Duration.minutes(15)

_COMES_BACK_WITHIN = 4
"""Periods of five minutes in which a waiting message is received at least once: it comes back after 15."""

_STILL_THROTTLED_AFTER = 3
"""Periods of five minutes. A burst may be throttled for a while without anything being wrong."""

_MORE_ARRIVES = (
    "while others are being sent: objects arrive faster than they are delivered. Raise max_connections or "
    "memory_size."
)

_PAUSED = (
    "because deliveries are paused (enabled=False). The queue drops messages after 14 days. Deploy with "
    "enabled=True to resume."
)

_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


class Monitoring(Construct):
    """Alarms and a dashboard for the deliveries to one partner.

    Attributes:
        alarms: All alarms.
        dead_lettered_alarm: There are messages in the dead-letter queue.
        backlog_alarm: An object has been waiting too long for its first try.
        retrying_alarm: An object has been failing for too long.
        breaker_alarm: The circuit breaker is open.
        paused_alarm: An operator has paused deliveries, and may have forgotten it.
        login_fallback_alarm: The partner refuses the secret's login, and takes that of another stage.
        errors_alarm: The function fails.
        throttles_alarm: The function is throttled. None if its reserved concurrency is 1.
        canary_alarm: The daily examination failed. None if there is no canary.
        changed_alarm: The daily examination has found the partner's server changed. None if there is no
            canary.
        missed_cut_off_alarm: Objects have missed the cut-off of their rules. None if no rules have one.
        dashboard: Active alarms, circuit breaker, queue, deliveries, throughput, failures and their reasons.
            None if it was turned off.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        delivery: The delivery to monitor.
        partner: Name of the partner, for the descriptions of the alarms.
        alarms: Thresholds of the alarms. By default those of `Alarms`.
        alarm_topic: Topic to notify when an alarm is raised and when it is over. By default alarms only show
            on the dashboard.
        dashboard: Whether to create a dashboard. By default True.
        enabled: Whether messages are delivered. If not, the backlog alarm says that deliveries are paused.
        canary: Whether there is a daily examination, which has two alarms.
        cut_off: Whether any rules have a cut-off, which has an alarm.
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
        canary: bool = False,
        cut_off: bool = False,
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
        self.paused_alarm = self._paused_alarm(when.paused_for)
        self.login_fallback_alarm = self._login_fallback_alarm(when.login_fallback)
        self.errors_alarm = self._errors_alarm(when.errors)
        self.throttles_alarm = self._throttles_alarm(when.throttles)
        self.canary_alarm = self._canary_alarm(when.canary_failed if canary else None)
        self.changed_alarm = self._changed_alarm(when.partner_changed if canary else None)
        self._when_missed = when.missed_cut_off
        self.missed_cut_off_alarm = self._missed_cut_off_alarm() if cut_off else None
        self.dashboard = (
            make_dashboard(self, delivery=delivery, partner=partner, alarms=self.alarms)
            if dashboard
            else None
        )

    def _dead_lettered_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        dead_letters = self._delivery.dead_letter_queue
        return self._alarm(
            "DeadLettered",
            # The maximum of five minutes: a message that somebody reads is invisible for a while.
            dead_letters.metric_approximate_number_of_messages_visible(
                period=_FIVE_MINUTES, statistic="Maximum"
            ),
            f"Deliveries to {{partner}} were dead-lettered. {self._command('status')} says how many of each "
            f"kind, and why. Fix the cause, then {self._command('redrive --error ERROR')} sends that kind "
            f"back. Without the command: the messages in {dead_letters.queue_name} have the attributes "
            "`reason` and `hint`.",
            threshold=threshold,
        )

    def _backlog_alarm(self, longest: cdk.Duration | None) -> cloudwatch.Alarm | None:
        if longest is None:
            return None
        return self._alarm(
            "Backlog",
            self._delivery.queue.metric_approximate_age_of_oldest_message(period=_FIVE_MINUTES),
            f"An object for {{partner}} has been waiting for {_in_words(longest)}, "
            + (
                f"{_MORE_ARRIVES} {self._command('status')} shows what is waiting."
                if self._enabled
                else _PAUSED
            ),
            threshold=longest.to_seconds(),
        )

    def _retrying_alarm(self, longest: cdk.Duration | None) -> cloudwatch.Alarm | None:
        if longest is None:
            return None
        return self._alarm(
            "Retrying",
            self._delivery.metric_retrying(period=_FIVE_MINUTES),
            f"An object for {{partner}} has been failing for {_in_words(longest)}. {self._command('status')} "
            f"says why, and so does {self._command('logs')}. It will be retried; "
            f"{self._command('retry KEY')} does so at once.",
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
            "The circuit breaker for {partner} is open: the server cannot be reached, presents another host "
            f"key, or refuses the login. {self._command('status')} says which, since when, and what to "
            "do. The function checks the server again on its own, and at once when the secret or the host "
            "keys change.",
            threshold=1,
            # Without traffic there is no data, and the alarm keeps its state.
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

    def _paused_alarm(self, longest: cdk.Duration | None) -> cloudwatch.Alarm | None:
        if longest is None:
            return None
        return self._alarm(
            "PausedTooLong",
            # An object that waits for the end of a pause asks at least once in this time.
            self._delivery.metric_paused(period=_FIFTEEN_MINUTES),
            f"Deliveries to {{partner}} have been paused for {_in_words(longest)} by an operator, and "
            "objects are waiting. Nothing is lost. `s3-to-sftp status` says who paused them, when and why; "
            f"`s3-to-sftp resume --name {self._delivery.function.function_name}` resumes them.",
            threshold=longest.to_seconds(),
        )

    def _login_fallback_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        return self._alarm(
            "LoginFallback",
            self._delivery.metric_login_fallback(period=_FIVE_MINUTES),
            "{partner} refuses the login of AWSCURRENT and takes that of AWSPENDING or AWSPREVIOUS; "
            f"{self._command('logs')} says which. Files are delivered. AWSPENDING: finish the rotation. "
            "AWSPREVIOUS: the new login is wrong, or the partner has not changed over: correct the secret, "
            "or ask them, within 24 hours of putting it. Later AWSPREVIOUS is not tried.",
            threshold=threshold,
        )

    def _errors_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        return self._alarm(
            "Errors",
            self._delivery.function.metric_errors(period=_FIVE_MINUTES),
            "The function that delivers to {partner} fails: it ran out of time or memory, or has a defect. "
            f"{self._command('logs')} shows its log. Nothing is lost: messages return to the queue.",
            threshold=threshold,
        )

    def _throttles_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None or _is_held_to_one(self._delivery.function):
            return None
        return self._alarm(
            "Throttles",
            self._delivery.function.metric_throttles(period=_FIVE_MINUTES),
            "The function that delivers to {partner} is throttled: all of the account's concurrency is in "
            "use. Request a higher quota, or reserve concurrency for this function. Nothing is lost: "
            "messages wait in the queue.",
            threshold=threshold,
            periods=_STILL_THROTTLED_AFTER,
        )

    def _canary_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        return self._alarm(
            "CanaryFailed",
            self._delivery.metric_canary_failed(period=_FIVE_MINUTES),
            "The daily examination of the way to {partner} failed: the next delivery probably does, too. "
            f"{self._command('doctor')} examines it again, and says what to do.",
            threshold=threshold,
            # It stays raised until the next examination.
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

    def _changed_alarm(self, threshold: int | None) -> cloudwatch.Alarm | None:
        if threshold is None:
            return None
        return self._alarm(
            "PartnerChanged",
            self._delivery.metric_partner_changed(period=_FIVE_MINUTES),
            "The server of {partner} shows something else than a day before, such as a new host key. The "
            "event 'S3 to SFTP Partner Changed' and the function's log say what: "
            f"{self._command('logs')}. Deliveries may work as before.",
            threshold=threshold,
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

    def watch_cut_off(self) -> None:
        """Add the alarm for objects that miss their cut-off, for rules that came after the dashboard."""
        if self.missed_cut_off_alarm is None:
            self.missed_cut_off_alarm = self._missed_cut_off_alarm()

    def _missed_cut_off_alarm(self) -> cloudwatch.Alarm | None:
        if self._when_missed is None:
            return None
        return self._alarm(
            "MissedCutOff",
            self._delivery.metric_missed_cut_off(period=_FIFTEEN_MINUTES),
            "Objects came before the cut-off of {partner}'s rules and are not at the partner. "
            f"{self._command('logs')} names them, {self._command('status')} says what they wait for. They "
            "are counted for a day, or until they are delivered or cancelled.",
            threshold=self._when_missed,
            missing=cloudwatch.TreatMissingData.IGNORE,
        )

    def _command(self, arguments: str) -> str:
        return command_for(self._delivery, arguments)

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
