"""What a network keeps from a delivery, as far as the app knows: said at synth, when all rules are there."""

from collections.abc import Iterable, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_s3_to_sftp.annotations import validate_with, warn
from cdk_s3_to_sftp.arguments import is_made_here, is_token

_ALL_PROTOCOLS = "-1"


def warn_at_synth_of_network(
    scope: Construct,
    *,
    port: int,
    vpc: ec2.IVpc,
    vpc_subnets: ec2.SubnetSelection | None,
    security_groups: Sequence[ec2.ISecurityGroup],
) -> None:
    """Say at synth what a function cannot reach from there.

    Args:
        scope: The construct that the function belongs to.
        port: Of the partner's server.
        vpc: The network.
        vpc_subnets: Where in it; None: where CDK puts functions by default.
        security_groups: Those of the function.
    """

    def look() -> list[str]:
        _warn_of_closed_port(scope, port, security_groups)
        _warn_of_isolation(scope, vpc, vpc_subnets)
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
        f"The server listens on port {port}, to which no rule of {names} lets anything out: nothing can be "
        f"delivered. Open it with ports=[{port}] in StaticEgress or DeliverySecurityGroup, or with "
        "add_egress_rule().",
    )


def _egress_rules(group: ec2.ISecurityGroup) -> Iterable[dict[str, Any]]:
    """Those that are written in the group, and those of their own that CDK puts beside it."""
    resolve = cdk.Stack.of(group).resolve
    for each in group.node.find_all():
        if isinstance(each, ec2.CfnSecurityGroup):
            yield from resolve(each.security_group_egress) or []
        elif isinstance(each, ec2.CfnSecurityGroupEgress):
            ports = resolve([each.from_port, each.to_port])
            yield {"ipProtocol": each.ip_protocol, "fromPort": ports[0], "toPort": ports[1]}


def _may_let_out(rule: dict[str, Any], port: int) -> bool:
    """Whether it is for the port, as far as that is known. Whether the address fits nobody knows here."""
    protocol, low, high = (rule.get(name) for name in ("ipProtocol", "fromPort", "toPort"))
    if protocol == _ALL_PROTOCOLS or not isinstance(protocol, str):
        return True
    if protocol not in ("tcp", "6"):
        return False
    return not (isinstance(low, int | float) and isinstance(high, int | float)) or low <= port <= high


def _warn_of_isolation(scope: Construct, vpc: ec2.IVpc, selection: ec2.SubnetSelection | None) -> None:
    """Warn of subnets without a way out, where the app has no endpoint of AWS either.

    CDK takes isolated subnets by itself where there are no private ones. From there a function reaches only
    the VPC (https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html). This is no
    refusal, since routes and endpoints may be made elsewhere.
    """
    isolated = {each.subnet_id for each in vpc.isolated_subnets}
    subnets = vpc.select_subnets(**_given(selection)).subnet_ids
    if not subnets or not isolated.issuperset(subnets) or _has_endpoints(scope):
        return
    warn(
        scope,
        "isolatedSubnets",
        f"The subnets of {vpc.node.path} that the function runs in are isolated, and the app makes no VPC "
        "endpoints: unless routes and endpoints are made elsewhere it reaches neither the server nor S3, "
        "SQS, DynamoDB, Secrets Manager and EventBridge, and nothing is delivered. Give vpc_subnets that "
        "have a NAT gateway, or use StaticEgress.",
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
