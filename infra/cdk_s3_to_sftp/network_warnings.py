"""Warnings at synth, when all rules are known, about a network that blocks deliveries."""

from collections.abc import Iterable, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_s3_to_sftp.annotations import validate_with, warn
from cdk_s3_to_sftp.arguments import is_made_here, is_token
from cdk_s3_to_sftp.function_settings import FunctionSettings

_ALL_PROTOCOLS = "-1"


def warn_at_synth_of_network(
    scope: Construct, settings: FunctionSettings, security_groups: Sequence[ec2.ISecurityGroup]
) -> None:
    """Warn at synth about what the function cannot reach from its VPC, if any.

    Args:
        scope: The construct that the function belongs to.
        settings: Those of the function.
        security_groups: Its security groups.
    """
    vpc = settings.vpc
    if vpc is None:
        return

    def look() -> list[str]:
        _warn_of_closed_port(scope, settings.server.port, security_groups)
        _warn_of_isolation(scope, vpc, settings.vpc_subnets)
        return []

    validate_with(scope, look)


def _warn_of_closed_port(scope: Construct, port: int, groups: Sequence[ec2.ISecurityGroup]) -> None:
    if is_token(port) or not all(is_made_here(group) for group in groups):
        return
    rules = [rule for group in groups for rule in _egress_rules(group)]
    if any(_may_let_out(rule, port) for rule in rules):
        return
    names = ", ".join(group.node.path for group in groups)
    warn(
        scope,
        "portNotOpen",
        f"The server listens on port {port}, and no rule of {names} allows outbound traffic to it: nothing "
        f"can be delivered. Open it with ports=[{port}] in StaticEgress or DeliverySecurityGroup, or with "
        "add_egress_rule().",
    )


def _egress_rules(group: ec2.ISecurityGroup) -> Iterable[dict[str, Any]]:
    """Yield the rules in the group, and those that CDK adds as separate resources."""
    resolve = cdk.Stack.of(group).resolve
    for each in group.node.find_all():
        if isinstance(each, ec2.CfnSecurityGroup):
            yield from resolve(each.security_group_egress) or []
        elif isinstance(each, ec2.CfnSecurityGroupEgress):
            ports = resolve([each.from_port, each.to_port])
            yield {"ipProtocol": each.ip_protocol, "fromPort": ports[0], "toPort": ports[1]}


def _may_let_out(rule: dict[str, Any], port: int) -> bool:
    """Return whether the rule may allow the port. Addresses are not known at synth."""
    protocol, low, high = (rule.get(name) for name in ("ipProtocol", "fromPort", "toPort"))
    if protocol == _ALL_PROTOCOLS or not isinstance(protocol, str):
        return True
    if protocol not in ("tcp", "6"):
        return False
    return not (isinstance(low, int | float) and isinstance(high, int | float)) or low <= port <= high


def _warn_of_isolation(scope: Construct, vpc: ec2.IVpc, selection: ec2.SubnetSelection | None) -> None:
    """Warn about subnets without a route to the internet, if the app has no VPC endpoints either.

    CDK selects isolated subnets on its own if there are no private ones. From there a function reaches only
    the VPC (https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html). This is not an
    error, since routes and endpoints may be created elsewhere.
    """
    isolated = {each.subnet_id for each in vpc.isolated_subnets}
    subnets = vpc.select_subnets(**_given(selection)).subnet_ids
    if not subnets or not isolated.issuperset(subnets) or _has_endpoints(scope):
        return
    warn(
        scope,
        "isolatedSubnets",
        f"The subnets of {vpc.node.path} that the function runs in are isolated, and the app has no VPC "
        "endpoints: unless routes and endpoints are created elsewhere, it cannot reach the server, S3, "
        "SQS, DynamoDB, Secrets Manager or EventBridge, and nothing is delivered. Choose vpc_subnets with a "
        "NAT gateway, or use StaticEgress.",
    )


def _given(selection: ec2.SubnetSelection | None) -> dict[str, Any]:
    names = (
        "availability_zones",
        "one_per_az",
        "subnet_filters",
        "subnet_group_name",
        "subnets",
        "subnet_type",
    )
    return {name: getattr(selection, name) for name in names} if selection else {}


def _has_endpoints(scope: Construct) -> bool:
    return any(isinstance(each, ec2.CfnVPCEndpoint) for each in scope.node.root.node.find_all())
