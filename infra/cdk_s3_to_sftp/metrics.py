"""The metrics of the deliveries to one partner."""

from typing import Any, TypedDict, Unpack

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs

NAMESPACE = "S3ToSftp"
_SERVICE = "s3-to-sftp"
"""As the function writes them into its log in embedded metric format. Tests compare."""


class MetricOptions(TypedDict, total=False):
    """Options of a metric. All have a default.

    Attributes:
        period: Period over which values are aggregated. By default 5 minutes.
        statistic: `Sum`, `Maximum`, `p95` and so on. By default the one that suits the metric.
        label: Its name in a graph. By default the name of the metric.
        color: Its colour in a graph, such as `#2ca02c`.
    """

    period: cdk.Duration
    statistic: str
    label: str
    color: str


class WaitingOptions(TypedDict, total=False):
    """Options of a metric that is computed from others; see `MetricOptions`."""

    period: cdk.Duration
    label: str
    color: str


class DeliveryMetrics:
    """The metrics of a construct that delivers to one partner.

    Each covers this partner only, however many there are in the account, and has no data points while
    nothing happens. The function's name is a dimension: when CloudFormation replaces the function, new
    metrics begin.

    Attributes:
        function: The function that delivers.
        queue: Notifications of objects that are not delivered yet.
        dead_letter_queue: Notifications of objects that could not be delivered.
        log_group: The function's log group.
    """

    function: lambda_.Function
    queue: sqs.Queue
    dead_letter_queue: sqs.IQueue
    log_group: logs.ILogGroup

    def metric_delivered(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Objects that were delivered. By default their sum."""
        return self._metric("Delivered", "Sum", options)

    def metric_bytes(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Bytes of the objects that were delivered. By default their sum."""
        return self._metric("DeliveredBytes", "Sum", options)

    def metric_duration(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Seconds that deliveries took, from acquiring the lease to the RENAME. By default their average."""
        return self._metric("DeliverySeconds", "Average", options)

    def metric_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Attempts that failed, whether or not a later one succeeds. By default their sum."""
        return self._metric("Failed", "Sum", options)

    def metric_deferred(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Messages that were returned to the queue to wait for the next try. By default their sum."""
        return self._metric("Deferred", "Sum", options)

    def metric_dead_lettered(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Messages that the function sent to the dead-letter queue. By default their sum."""
        return self._metric("DeadLettered", "Sum", options)

    def metric_superseded(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Object versions that were not sent because there was a newer one. By default their sum."""
        return self._metric("Superseded", "Sum", options)

    def metric_gone(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Object versions that were deleted from S3 before they could be sent. By default their sum."""
        return self._metric("Gone", "Sum", options)

    def metric_filtered(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Objects that the rule `only` does not let be delivered. By default their sum."""
        return self._metric("Filtered", "Sum", options)

    def metric_circuit_breaker_open(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """1: the circuit breaker is open. 0: the server has accepted the login. No data without traffic.

        By default the minimum: one accepted login in a period means that the partner is available.
        """
        return self._metric("CircuitBreakerOpen", "Minimum", options)

    def metric_login_fallback(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Invocations in which the partner refused the secret's login and took that of another stage.

        By default their sum. No data while the partner takes the login of AWSCURRENT.
        """
        return self._metric("LoginFallback", "Sum", options)

    def metric_paused(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Seconds since an operator has paused deliveries. By default the maximum.

        No data while they are not paused, or no object waits; one that waits asks every 6 minutes at least.
        """
        return self._metric("PausedSeconds", "Maximum", options)

    def metric_retrying(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Age in seconds of messages that are returned to the queue for a retry. By default the oldest one's.

        No data while none is returned; a waiting message is returned every 15 minutes at least.
        """
        return self._metric("WaitingSeconds", "Maximum", options)

    def metric_canary_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Checks that failed in a daily examination. By default the maximum. One value a day."""
        return self._metric("CanaryFailed", "Maximum", options)

    def metric_partner_changed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Changes of the server that a daily examination found. By default the maximum. One value a day."""
        return self._metric("PartnerChanged", "Maximum", options)

    def metric_missed_cut_off(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Objects that missed the cut-off of the rules within a day. By default the maximum.

        One value every 15 minutes; no data where no rules have a cut-off.
        """
        return self._metric("MissedCutOff", "Maximum", options)

    def metric_oldest_waiting(self, **options: Unpack[WaitingOptions]) -> cloudwatch.MathExpression:
        """Seconds that the oldest message has been waiting: the higher of what SQS and the function report.

        SQS knows the age of messages that were not received yet. A message that is returned for a retry is a
        new one to SQS; `metric_retrying` has the age of those.
        """
        label = options.get("label", "oldest waiting, seconds")
        more: dict[str, Any] = {name: value for name, value in options.items() if name == "color"}
        period = options.get("period", cdk.Duration.minutes(5))
        of_ours = self.function.node.addr[-8:]  # lets a graph show several partners
        return cloudwatch.MathExpression(
            expression=f"MAX([FILL(new_{of_ours}, 0), FILL(tried_{of_ours}, 0)])",
            using_metrics={
                f"new_{of_ours}": self.queue.metric_approximate_age_of_oldest_message(),
                f"tried_{of_ours}": self.metric_retrying(),
            },
            label=label,
            period=period,
            **more,
        )

    def _metric(self, name: str, statistic: str, options: MetricOptions) -> cloudwatch.Metric:
        # No default label: CDK renders an alarm on a metric with a label as an alarm on an expression.
        chosen: dict[str, Any] = {"statistic": statistic, **options}
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"function_name": self.function.function_name, "service": _SERVICE},
            **chosen,
        )
