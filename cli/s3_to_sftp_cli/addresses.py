"""From which addresses a function connects: the routes of its subnets, and what they lead to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from s3_to_sftp_cli.aws import Aws
from s3_to_sftp_cli.delivery import DeployedDelivery

_ANYWHERE, _ANYWHERE_IPV6 = "0.0.0.0/0", "::/0"
_TARGETS = (
    "NatGatewayId",
    "EgressOnlyInternetGatewayId",
    "NetworkInterfaceId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "GatewayId",
    "InstanceId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
)
"""The fields of a route that name where it leads to."""


@dataclass(frozen=True, kw_only=True)
class Egress:
    """A way out of some of the function's subnets.

    Attributes:
        subnets: From which it is taken.
        through: Id of what the route leads to; empty: there is no way out.
        addresses: Source addresses by this way, or IPv6 ranges; empty: not known, or none.
        is_public: Whether the partner sees these addresses, unless another network translates them again.
        is_blocked: Whether nothing passes: no route, a black hole, or a gateway that needs a public address.
    """

    subnets: tuple[str, ...]
    through: str
    addresses: tuple[str, ...] = ()
    is_public: bool = True
    is_blocked: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceAddresses:
    """From where a function connects.

    Attributes:
        vpc: Its VPC; None: it runs outside of any, and has no fixed address.
        region: Of the function.
        ways: By IPv4.
        ipv6_ways: By IPv6, where the function may use it.
    """

    vpc: str | None
    region: str
    ways: tuple[Egress, ...] = ()
    ipv6_ways: tuple[Egress, ...] = ()

    @property
    def fixed(self) -> tuple[str, ...]:
        """Public addresses and ranges that the partner can allow, each once."""
        ways = (*self.ways, *self.ipv6_ways)
        return tuple(dict.fromkeys(each for way in ways if way.is_public for each in way.addresses))


def source_addresses(aws: Aws, delivery: DeployedDelivery) -> SourceAddresses:
    """Return from where the function connects.

    Needs ec2:DescribeRouteTables, and by what the routes lead to ec2:DescribeNatGateways,
    ec2:DescribeNetworkInterfaces and (for IPv6) ec2:DescribeSubnets; nothing for a function outside a VPC.

    Raises:
        ClientError, BotoCoreError: EC2 refused, or did not answer.
    """
    region = delivery.arn.split(":")[3] if delivery.arn.count(":") > 3 else aws.region or ""
    network = delivery.configuration.get("VpcConfig") or {}
    subnets = list(network.get("SubnetIds") or ())
    if not subnets:
        return SourceAddresses(vpc=None, region=region)
    ec2 = aws.client("ec2")
    tables = _route_tables(ec2, str(network.get("VpcId", "")), subnets)
    ways = _ways(ec2, _ANYWHERE, "DestinationCidrBlock", tables)
    ipv6: tuple[Egress, ...] = ()
    if network.get("Ipv6AllowedForDualStack"):
        ipv6 = _ways(ec2, _ANYWHERE_IPV6, "DestinationIpv6CidrBlock", tables)
    return SourceAddresses(vpc=str(network.get("VpcId", "")), region=region, ways=ways, ipv6_ways=ipv6)


def _route_tables(ec2: Any, vpc: str, subnets: list[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the routes of each subnet: those of the VPC's main table where it has none of its own."""
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    pages = ec2.get_paginator("describe_route_tables").paginate(Filters=filters)
    main: list[Mapping[str, Any]] = []
    own: dict[str, list[Mapping[str, Any]]] = {}
    for table in (table for page in pages for table in page["RouteTables"]):
        for association in table.get("Associations", ()):
            if association.get("Main"):
                main = table["Routes"]
            elif association.get("SubnetId"):
                own[association["SubnetId"]] = table["Routes"]
    return {subnet: own.get(subnet, main) for subnet in subnets}


def _ways(
    ec2: Any, destination: str, field: str, tables: Mapping[str, list[Mapping[str, Any]]]
) -> tuple[Egress, ...]:
    """Return the ways to a destination, those that are the same for several subnets as one."""
    targets: dict[tuple[str, bool], list[str]] = {}
    for subnet, routes in tables.items():
        route = next((each for each in routes if each.get(field) == destination), {})
        target = next((str(route[name]) for name in _TARGETS if route.get(name)), "")
        is_usable = bool(target) and route.get("State") != "blackhole"
        targets.setdefault((target, is_usable), []).append(subnet)
    return tuple(
        _way(ec2, target, tuple(subnets), is_ipv6=destination == _ANYWHERE_IPV6)
        if is_usable
        else Egress(subnets=tuple(subnets), through=target, is_blocked=True)
        for (target, is_usable), subnets in targets.items()
    )


def _way(ec2: Any, target: str, subnets: tuple[str, ...], *, is_ipv6: bool) -> Egress:
    if is_ipv6 and target.startswith(("eigw-", "igw-")):
        return Egress(subnets=subnets, through=target, addresses=_ipv6_ranges(ec2, subnets))
    if target.startswith("nat-"):
        gateway = ec2.describe_nat_gateways(NatGatewayIds=[target])["NatGateways"][0]
        is_public = gateway.get("ConnectivityType", "public") == "public"
        field = "PublicIp" if is_public else "PrivateIp"
        found = _values(field, gateway.get("NatGatewayAddresses", ()))
        return Egress(subnets=subnets, through=target, addresses=found, is_public=is_public)
    if target.startswith("eni-"):
        answer = ec2.describe_network_interfaces(NetworkInterfaceIds=[target])
        found = _values("PublicIp", [answer["NetworkInterfaces"][0].get("Association") or {}])
        return Egress(subnets=subnets, through=target, addresses=found, is_public=bool(found))
    # A function has no public address, so an internet gateway drops what it sends.
    return Egress(subnets=subnets, through=target, is_public=False, is_blocked=target.startswith("igw-"))


def _ipv6_ranges(ec2: Any, subnets: tuple[str, ...]) -> tuple[str, ...]:
    answer = ec2.describe_subnets(SubnetIds=list(subnets))
    associations = (each for subnet in answer["Subnets"] for each in subnet["Ipv6CidrBlockAssociationSet"])
    return _values("Ipv6CidrBlock", associations)


def _values(field: str, items: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(str(each[field]) for each in items if each.get(field))
