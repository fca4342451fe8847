"""What the arguments of `S3ToSftp` must be, each by itself and together."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp.arguments import InvalidArgument, check_choice, check_duration, check_known, check_range
from cdk_s3_to_sftp.bundling import ARCHITECTURES, RUNTIMES, check_prebuilt
from cdk_s3_to_sftp.function import FUNCTIONS

_LONGEST_RETRIES_HOURS = 72
"""A weekend and a bit: what does not work for longer should be seen by a person."""

_SHORTEST_RECEIPTS_DAYS = 32
"""Longer than anything can ask for an object again: 14 days in the dead-letter queue, 14 in the queue that it
is sent back to, three of retries, and a lease. What DynamoDB has deleted by then would be delivered again.
"""

_REMOVAL_POLICIES = ("RETAIN", "RETAIN_ON_UPDATE_OR_DELETE", "DESTROY")
"""Buckets, secrets and logs have no snapshots."""

_MOST_LANES = 64
"""What the function takes as its share of the connections."""


def check_sizes(*, max_connections: int, memory_size: int, timeout: cdk.Duration) -> None:
    """Refuse what a function cannot have.

    Raises:
        InvalidArgument: A value is out of its range.
    """
    check_known("max_connections", max_connections, "how many functions there are at a time")
    check_range("max_connections", max_connections, 1, FUNCTIONS * _MOST_LANES)
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


def check_alone(**others: object) -> None:
    """Refuse what describes a source beside `sources`.

    Raises:
        InvalidArgument: Something does.
    """
    if given := [name for name, value in others.items() if value is not None]:
        raise InvalidArgument(
            "sources", f"must not be given together with {', '.join(given)}: put them into a Source"
        )
