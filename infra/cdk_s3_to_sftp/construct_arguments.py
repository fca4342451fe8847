"""Checks of the arguments of `S3ToSftp`, one by one and in combination."""

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
from cdk_s3_to_sftp.function_settings import FUNCTIONS, FunctionSettings
from cdk_s3_to_sftp.queues import LONGEST_INVOCATION

_LONGEST_RETRIES_HOURS = 72
"""A weekend and a bit: an operator should look at what fails for longer."""

_SHORTEST_RECEIPTS_DAYS = 32
"""Longer than an object can be announced again: 14 days in the dead-letter queue, 14 in the queue after a
redrive, three of retries, and a lease. An object whose item DynamoDB has deleted by then would be delivered
again.
"""

_WAITS_DAYS = 28
"""How long an announced version may wait in addition to its retries: 14 days in the dead-letter queue, and
14 in the queue after a redrive.
"""

_LONGEST_VERSIONS_DAYS = 36_500
"""A century, which stands for indefinitely."""

_SECONDS_IN_A_DAY = 86_400

_LOG_LEVELS = ("TRACE", "DEBUG", "INFO")
"""At a higher level Lambda drops lines without a level, which count as INFO. The metrics are such lines.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
"""

_REMOVAL_POLICIES = ("RETAIN", "RETAIN_ON_UPDATE_OR_DELETE", "DESTROY")
"""Buckets, secrets and log groups have no snapshots."""

_MOST_STREAMS = 64
"""The most connections that one function opens."""


def check_function(settings: FunctionSettings) -> None:
    """Refuse invalid arguments that concern the function.

    Raises:
        InvalidArgument: A value is out of its range, not one of the choices, or contradicts another one.
    """
    _check_sizes(settings)
    settings.server.check_replies_within(settings.timeout)
    _check_times(settings)
    _check_code(settings.code, architecture=settings.architecture, runtime=settings.runtime)
    _check_network(settings.vpc, settings.vpc_subnets, settings.security_groups)
    _check_log_level(settings.log_level)


def _check_sizes(settings: FunctionSettings) -> None:
    connections = settings.max_connections
    check_known("max_connections", connections, "how many functions there are at a time")
    check_range("max_connections", connections, 1, FUNCTIONS * _MOST_STREAMS)
    check_range("memory_size", settings.memory_size, 128, 10240, "MB")
    check_duration("timeout", settings.timeout, 1, int(LONGEST_INVOCATION.to_seconds()), "seconds")


def _check_times(settings: FunctionSettings) -> None:
    check_duration("retry_for", settings.retry_for, 1, _LONGEST_RETRIES_HOURS, "hours")
    check_duration("receipts_for", settings.receipts_for, _SHORTEST_RECEIPTS_DAYS, 3650, "days")


def _check_code(
    code: lambda_.Code | None, *, architecture: lambda_.Architecture, runtime: lambda_.Runtime
) -> None:
    """Refuse an unsupported architecture or runtime, and code that was built for another one.

    Raises:
        InvalidArgument: A value is not one of the choices, or the code was built for another one.
    """
    check_choice("architecture", architecture.name, [each.name for each in ARCHITECTURES])
    check_choice("runtime", runtime.name, [each.name for each in RUNTIMES])
    if code is not None:
        check_prebuilt(code, architecture=architecture, runtime=runtime)


def check_removal_policy(policy: cdk.RemovalPolicy) -> None:
    """Refuse a policy that not every created resource supports.

    Raises:
        InvalidArgument: It is one.
    """
    check_choice("removal_policy", policy.name, _REMOVAL_POLICIES)


def _check_network(
    vpc: ec2.IVpc | None,
    vpc_subnets: ec2.SubnetSelection | None,
    security_groups: Sequence[ec2.ISecurityGroup] | None,
) -> None:
    """Refuse subnets and security groups without a VPC.

    Raises:
        InvalidArgument: One is given without it.
    """
    for name, value in (("vpc_subnets", vpc_subnets), ("security_groups", security_groups)):
        if value and not vpc:
            raise InvalidArgument(name, "must not be given without vpc, the network that they are in")


def check_no_source_arguments(**others: object) -> None:
    """Refuse arguments that describe a source next to `sources`.

    Raises:
        InvalidArgument: One is given.
    """
    if given := [name for name, value in others.items() if value is not None]:
        raise InvalidArgument(
            "sources", f"must not be given together with {', '.join(given)}: move them into a Source"
        )


def check_log(
    scope: Construct, log_group: logs.ILogGroup | None, log_retention: logs.RetentionDays | None
) -> None:
    """Refuse a retention for a log group that is passed in, and a log group in another account or Region.

    Raises:
        InvalidArgument: One is given without it.
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


def _check_log_level(level: lambda_.ApplicationLogLevel | None) -> None:
    """Refuse a log level that would drop the metrics, and with them two alarms.

    Raises:
        InvalidArgument: It is one.
    """
    if level is not None and level.name not in _LOG_LEVELS:
        raise InvalidArgument(
            "log_level",
            f"must be one of {', '.join(_LOG_LEVELS)}, got {level.name}: the metrics are log lines of level "
            "INFO, and without them the alarms Retrying and CircuitBreakerOpen never fire. A short "
            "log_retention keeps the log small",
        )


def check_versions(
    keep_versions_for: cdk.Duration | None, *, retry_for: cdk.Duration, makes_bucket: bool
) -> None:
    """Refuse a version retention that is too short, or that is given for an existing bucket.

    Raises:
        InvalidArgument: It is one of these.
    """
    if keep_versions_for is None:
        return
    if not makes_bucket:
        raise InvalidArgument(
            "keep_versions_for",
            "must not be given together with bucket or sources: the owner of an existing bucket adds a "
            "lifecycle rule (Bucket.add_lifecycle_rule)",
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
            "(retry_for, 14 in the dead-letter queue, 14 in the queue after a redrive)",
        )
