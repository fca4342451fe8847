"""What can be measured of the deliveries to one partner."""

from typing import Any, TypedDict, Unpack

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs

NAMESPACE = "S3ToSftp"
_SERVICE = "s3-to-sftp"
"""As the function writes them into its log, where CloudWatch finds them. Tests compare."""


class MetricOptions(TypedDict, total=False):
    """What can be said of a metric; all of it has a default.

    Attributes:
        period: Over which values are put together. By default 5 minutes.
        statistic: How: `Sum`, `Maximum`, `p95` and so on. By default what suits the metric.
        label: Its name in a graph. By default the name of the metric.
        color: Its colour in a graph, such as `#2ca02c`.
    """

    period: cdk.Duration
    statistic: str
    label: str
    color: str


class WaitingOptions(TypedDict, total=False):
    """What can be said of a metric that is computed of others; see `MetricOptions`."""

    period: cdk.Duration
    label: str
    color: str


class DeliveryMetrics:
    """The metrics of a construct that delivers to one partner.

    Each is about this partner alone, however many there are in the account, and is empty while nothing
    happens. They carry the function's name: when CloudFormation replaces the function, new ones begin.

    Attributes:
        function: The function that delivers.
        queue: Notifications of objects that are not delivered yet.
        dead_letter_queue: Notifications of objects that could not be delivered.
        log_group: The function's log.
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
        """Seconds that deliveries took, each from its turn to the rename. By default their average."""
        return self._metric("DeliverySeconds", "Average", options)

    def metric_failed(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Attempts that failed, whether or not a later one succeeds. By default their sum."""
        return self._metric("Failed", "Sum", options)

    def metric_deferred(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Times that a message went back to wait for its next try. By default their sum."""
        return self._metric("Deferred", "Sum", options)

    def metric_dead_lettered(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Messages that the function gave up, and sent to the dead-letter queue. By default their sum."""
        return self._metric("DeadLettered", "Sum", options)

    def metric_superseded(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Object versions that were not sent, because of a newer one. By default their sum."""
        return self._metric("Superseded", "Sum", options)

    def metric_gone(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Object versions that were deleted from S3 before they could be sent. By default their sum."""
        return self._metric("Gone", "Sum", options)

    def metric_circuit_breaker_open(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """1 where the partner was left in peace, 0 where he took files; nothing where nobody asked.

        By default the minimum: who takes one file in a period is up.
        """
        return self._metric("CircuitBreakerOpen", "Minimum", options)

    def metric_retrying(self, **options: Unpack[MetricOptions]) -> cloudwatch.Metric:
        """Seconds since the events of messages that go back for another try. By default the oldest one's.

        Nothing while none goes back; one that waits does so every 15 minutes at least.
        """
        return self._metric("WaitingSeconds", "Maximum", options)

    def metric_oldest_waiting(self, **options: Unpack[WaitingOptions]) -> cloudwatch.MathExpression:
        """Seconds that the oldest message has been waiting, the higher of what SQS and the function say.

        SQS knows the age of what was not received yet. What goes back for another try is a new message to
        it; `metric_retrying` has the age of those.
        """
        label = options.get("label", "oldest waiting, seconds")
        more: dict[str, Any] = {name: value for name, value in options.items() if name == "color"}
        period = options.get("period", cdk.Duration.minutes(5))
        of_ours = self.function.node.addr[-8:]  # so that a graph can show several partners
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
        # No label of ours: an alarm on a metric with a label is one on an expression to CloudFormation.
        chosen: dict[str, Any] = {"statistic": statistic, **options}
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"function_name": self.function.function_name, "service": _SERVICE},
            **chosen,
        )
