"""What the arguments of `S3ToSftp` must be, each by itself and together."""

import math
from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_s3_to_sftp.arguments import (
    InvalidArgument,
    check_choice,
    check_duration,
    check_known,
    check_range,
    check_same_place,
)
from cdk_s3_to_sftp.bundling import ARCHITECTURES, RUNTIMES, check_prebuilt
from cdk_s3_to_sftp.function import FUNCTIONS

_LONGEST_RETRIES_HOURS = 72
"""A weekend and a bit: what does not work for longer should be seen by a person."""

_SHORTEST_RECEIPTS_DAYS = 32
"""Longer than anything can ask for an object again: 14 days in the dead-letter queue, 14 in the queue that it
is sent back to, three of retries, and a lease. What DynamoDB has deleted by then would be delivered again.
"""

_WAITS_DAYS = 28
"""How long an announced version may wait beside its retries: 14 days in the dead-letter queue, and 14 in the
queue that it is sent back to.
"""

_LONGEST_VERSIONS_DAYS = 36_500
"""A century, which stands for always."""

_SECONDS_IN_A_DAY = 86_400

_LOG_LEVELS = ("TRACE", "DEBUG", "INFO")
"""With a higher one Lambda drops lines without a level, which count as INFO: so are those with the metrics.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
"""

_REMOVAL_POLICIES = ("RETAIN", "RETAIN_ON_UPDATE_OR_DELETE", "DESTROY")
"""Buckets, secrets and logs have no snapshots."""

_MOST_STREAMS = 64
"""What the function takes as its share of the connections."""


def check_sizes(*, max_connections: int, memory_size: int, timeout: cdk.Duration) -> None:
    """Refuse what a function cannot have.

    Raises:
        InvalidArgument: A value is out of its range.
    """
    check_known("max_connections", max_connections, "how many functions there are at a time")
    check_range("max_connections", max_connections, 1, FUNCTIONS * _MOST_STREAMS)
    check_range("memory_size", memory_size, 128, 10240, "MB")
    check_duration("timeout", timeout, 1, 1800, "seconds")


def check_times(*, retry_for: cdk.Duration, receipts_for: cdk.Duration) -> None:
    """Refuse to try for too long, and to remember for too short.

    Raises:
        InvalidArgument: A value is out of its range.
    """
    check_duration("retry_for", retry_for, 1, _LONGEST_RETRIES_HOURS, "hours")
    check_duration("receipts_for", receipts_for, _SHORTEST_RECEIPTS_DAYS, 3650, "days")


def check_code(
    code: lambda_.Code | None, *, architecture: lambda_.Architecture, runtime: lambda_.Runtime
) -> None:
    """Refuse what the function cannot run on, and code that is not for it.

    Raises:
        InvalidArgument: A value is none of the choices, or the code is for another one.
    """
    check_choice("architecture", architecture.name, [each.name for each in ARCHITECTURES])
    check_choice("runtime", runtime.name, [each.name for each in RUNTIMES])
    if code is not None:
        check_prebuilt(code, architecture=architecture, runtime=runtime)


def check_removal_policy(policy: cdk.RemovalPolicy) -> None:
    """Refuse what not everything that is made can have.

    Raises:
        InvalidArgument: It is such a policy.
    """
    check_choice("removal_policy", policy.name, _REMOVAL_POLICIES)


def check_network(
    vpc: ec2.IVpc | None,
    vpc_subnets: ec2.SubnetSelection | None,
    security_groups: Sequence[ec2.ISecurityGroup] | None,
) -> None:
    """Refuse places in a network that is not given.

    Raises:
        InvalidArgument: There is one.
    """
    for name, value in (("vpc_subnets", vpc_subnets), ("security_groups", security_groups)):
        if value and not vpc:
            raise InvalidArgument(name, "must not be given without vpc, the network that they are in")


def check_no_source_arguments(**others: object) -> None:
    """Refuse what describes a source beside `sources`.

    Raises:
        InvalidArgument: Something does.
    """
    if given := [name for name, value in others.items() if value is not None]:
        raise InvalidArgument(
            "sources", f"must not be given together with {', '.join(given)}: put them into a Source"
        )


def check_log(
    scope: Construct, log_group: logs.ILogGroup | None, log_retention: logs.RetentionDays | None
) -> None:
    """Refuse a retention for a log group that is not made here, and a log group that is out of reach.

    Raises:
        InvalidArgument: There is one.
    """
    if log_group is None:
        return
    if log_retention is not None:
        raise InvalidArgument(
            "log_retention",
            "must not be given together with log_group, got both: set the retention of "
            f"{log_group.node.path} itself",
        )
    check_same_place(
        scope,
        "log_group",
        log_group,
        log_group.log_group_arn,
        beside="function",
        otherwise="Lambda would not find it",
    )


def check_log_level(level: lambda_.ApplicationLogLevel | None) -> None:
    """Refuse a level at which the metrics would be lost, and with them two alarms.

    Raises:
        InvalidArgument: It is one.
    """
    if level is not None and level.name not in _LOG_LEVELS:
        raise InvalidArgument(
            "log_level",
            f"must be one of {', '.join(_LOG_LEVELS)}, got {level.name}: the metrics are log lines of level "
            "INFO, and without them the alarms Retrying and CircuitBreakerOpen see nothing. A short log_retention "
            "keeps the log small",
        )


def check_versions(
    keep_versions_for: cdk.Duration | None, *, retry_for: cdk.Duration, makes_bucket: bool
) -> None:
    """Refuse to delete versions that may still have to be sent, and a rule for a bucket that is given.

    Raises:
        InvalidArgument: It is so.
    """
    if keep_versions_for is None:
        return
    if not makes_bucket:
        raise InvalidArgument(
            "keep_versions_for",
            "must not be given together with bucket or sources, got a bucket that is not made here: its "
            "owner adds a lifecycle rule (Bucket.add_lifecycle_rule)",
        )
    if keep_versions_for.is_unresolved():
        return
    days = keep_versions_for.to_seconds(integral=False) / _SECONDS_IN_A_DAY
    if days % 1:
        raise InvalidArgument("keep_versions_for", f"must be whole days, got {days:g}")
    hours = _LONGEST_RETRIES_HOURS if retry_for.is_unresolved() else retry_for.to_hours(integral=False)
    shortest = _WAITS_DAYS + math.ceil(hours / 24)
    if not shortest <= days <= _LONGEST_VERSIONS_DAYS:
        raise InvalidArgument(
            "keep_versions_for",
            f"must be {shortest}-{_LONGEST_VERSIONS_DAYS} days, got {days:g}: an object that is replaced "
            f"before it is delivered is sent from its old version, which may wait for {shortest} days "
            "(retry_for, 14 in the dead-letter queue, 14 in the queue that it is sent back to)",
        )
