"""The dashboard of a delivery: alarms, circuit breaker, queues, deliveries and failures."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.operator_command import command_for

_WIDTH = 24
"""Columns of every dashboard."""

_RED, _ORANGE, _GREEN, _BLUE, _GREY = "#d62728", "#ff7f0e", "#2ca02c", "#1f77b4", "#7f7f7f"
_PURPLE = "#9467bd"

_WHAT_FAILED = (
    "filter ispresent(error) and level in ['ERROR', 'WARNING']",
    "stats count(*) as times, max(@timestamp) as last_seen, latest(reason) as what_is_wrong, "
    "latest(hint) as what_to_do, latest(object) as example by error",
    "sort last_seen desc",
    "limit 20",
)
"""CloudWatch Logs Insights query over the function's log: one row for each kind of error."""

_WHAT_WAS_DELIVERED = (
    "filter message = 'delivered'",
    "fields @timestamp, object, remote_path, bytes, seconds, checksum",
    "sort @timestamp desc",
    "limit 50",
)


def make_dashboard(
    scope: Construct, *, delivery: DeliveryMetrics, partner: str, alarms: Sequence[cloudwatch.IAlarm]
) -> cloudwatch.Dashboard:
    """Make the dashboard.

    Args:
        scope: The construct that it belongs to.
        delivery: The delivery that it shows.
        partner: Name of the partner.
        alarms: Alarms to show with their state. May be empty.
    """
    return cloudwatch.Dashboard(
        scope,
        "Dashboard",
        default_interval=cdk.Duration.days(1),
        widgets=[
            [_heading(delivery, partner)],
            [_is_anything_wrong(alarms), _is_the_partner_up(delivery), _what_waits(delivery)],
            [_how_much(delivery)],
            [_what_was_delivered(delivery), _how_fast(delivery), _what_failed(delivery)],
            [_why(delivery)],
            [_the_last_ones(delivery)],
        ],
    )


def _heading(delivery: DeliveryMetrics, partner: str) -> cloudwatch.IWidget:
    return cloudwatch.TextWidget(
        markdown=f"# Deliveries to {partner}\n\nNumbers cover the selected time range, a day by default. "
        f"What needs a person, and which command to type next: {command_for(delivery, 'status')}. The kinds "
        f"of dead letters: {command_for(delivery, 'redrive --dry-run')}.",
        width=_WIDTH,
        height=3,
    )


def _is_anything_wrong(alarms: Sequence[cloudwatch.IAlarm]) -> cloudwatch.IWidget:
    if not alarms:
        return cloudwatch.TextWidget(markdown="No alarms.", width=_WIDTH // 3, height=6)
    return cloudwatch.AlarmStatusWidget(
        title="Active alarms", alarms=list(alarms), width=_WIDTH // 3, height=6
    )


def _is_the_partner_up(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Circuit breaker (1 = open)",
        left=[
            delivery.metric_circuit_breaker_open(
                period=cdk.Duration.minutes(1),
                label="circuit breaker open",
                color=_RED,
            ),
            delivery.metric_login_fallback(
                period=cdk.Duration.minutes(1),
                statistic="Maximum",
                label="login of another stage is used",
                color=_ORANGE,
            ),
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0, max=1, show_units=False),
        width=_WIDTH // 3,
        height=6,
    )


def _what_waits(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    queue, dead_letters = delivery.queue, delivery.dead_letter_queue
    return cloudwatch.GraphWidget(
        title="Queue",
        left=[
            queue.metric_approximate_number_of_messages_visible(label="waiting", color=_BLUE),
            queue.metric_approximate_number_of_messages_not_visible(label="in flight", color=_GREEN),
            queue.metric_approximate_number_of_messages_delayed(label="waiting for a retry", color=_ORANGE),
            dead_letters.metric_approximate_number_of_messages_visible(label="dead-lettered", color=_RED),
        ],
        right=[
            delivery.metric_oldest_waiting(color=_GREY),
            delivery.metric_paused(label="paused by an operator, seconds", color=_PURPLE),
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0, label="messages", show_units=False),
        right_y_axis=cloudwatch.YAxisProps(min=0, label="seconds", show_units=False),
        width=_WIDTH // 3,
        height=6,
    )


def _how_much(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    return cloudwatch.SingleValueWidget(
        title="Totals",
        metrics=[
            delivery.metric_delivered(label="delivered", color=_GREEN),
            delivery.metric_bytes(label="bytes delivered", color=_GREEN),
            delivery.metric_superseded(label="superseded", color=_GREY),
            delivery.metric_gone(label="gone from S3", color=_GREY),
            delivery.metric_filtered(label="filtered out", color=_GREY),
            delivery.metric_failed(label="failed attempts", color=_ORANGE),
            delivery.metric_deferred(label="deferred", color=_ORANGE),
            delivery.metric_dead_lettered(label="dead-lettered", color=_RED),
        ],
        set_period_to_time_range=True,
        width=_WIDTH,
        height=3,
    )


def _what_was_delivered(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Deliveries over time",
        left=[delivery.metric_delivered(label="delivered", color=_GREEN)],
        right=[delivery.metric_bytes(label="bytes delivered", color=_BLUE)],
        left_y_axis=cloudwatch.YAxisProps(min=0, label="objects", show_units=False),
        right_y_axis=cloudwatch.YAxisProps(min=0, label="bytes", show_units=False),
        width=_WIDTH // 3,
        height=6,
    )


def _how_fast(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    speed = cloudwatch.MathExpression(
        expression="bytes / seconds / 1000000",
        using_metrics={
            "bytes": delivery.metric_bytes(),
            "seconds": delivery.metric_duration(statistic="Sum"),
        },
        label="MB/s per object",
        color=_BLUE,
    )
    return cloudwatch.GraphWidget(
        title="Delivery time and throughput",
        left=[
            delivery.metric_duration(statistic="p50", label="median, seconds", color=_GREEN),
            delivery.metric_duration(statistic="p95", label="95th percentile, seconds", color=_ORANGE),
            delivery.metric_duration(statistic="Maximum", label="slowest, seconds", color=_RED),
        ],
        right=[speed],
        left_y_axis=cloudwatch.YAxisProps(min=0, label="seconds per object", show_units=False),
        right_y_axis=cloudwatch.YAxisProps(min=0, label="MB/s", show_units=False),
        width=_WIDTH // 3,
        height=6,
    )


def _what_failed(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    return cloudwatch.GraphWidget(
        title="Failures",
        left=[
            delivery.metric_failed(label="failed attempts", color=_ORANGE),
            delivery.metric_dead_lettered(label="dead-lettered", color=_RED),
            delivery.function.metric_errors(label="function errors", color=_GREY),
            delivery.function.metric_throttles(label="function throttles", color=_BLUE),
        ],
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        width=_WIDTH // 3,
        height=6,
    )


def _why(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    return cloudwatch.LogQueryWidget(
        title="Errors by kind: reason and hint",
        log_group_names=[delivery.log_group.log_group_name],
        query_lines=list(_WHAT_FAILED),
        view=cloudwatch.LogQueryVisualizationType.TABLE,
        width=_WIDTH,
        height=6,
    )


def _the_last_ones(delivery: DeliveryMetrics) -> cloudwatch.IWidget:
    return cloudwatch.LogQueryWidget(
        title="Latest deliveries",
        log_group_names=[delivery.log_group.log_group_name],
        query_lines=list(_WHAT_WAS_DELIVERED),
        view=cloudwatch.LogQueryVisualizationType.TABLE,
        width=_WIDTH,
        height=6,
    )
