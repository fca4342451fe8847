"""Static source addresses that a partner can allow-list, and a security group for the function."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_s3_to_sftp import suppressions
from cdk_s3_to_sftp.acknowledgements import acknowledge
from cdk_s3_to_sftp.argument_types import checks_types
from cdk_s3_to_sftp.arguments import InvalidArgument, check_range, is_token

_MOST_ADDRESSES = 3
"""One per availability zone, and every Region has three that can be used."""

_CIDR = "10.213.0.0/24"
"""Nothing is ever routed to it from outside. 3 zones with 16 and 32 addresses use 144 of its 256."""

_PUBLIC_MASK, _PRIVATE_MASK = 28, 27

_HTTPS, _DNS, _SFTP = 443, 53, 22

_OUTLIVES_THE_STACK = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
"""But not a failed first deployment: nobody knows the addresses yet, and they would only cost money."""


class DeliverySecurityGroup(ec2.SecurityGroup):
    """Allows no inbound traffic, and outbound only to SFTP servers, AWS by HTTPS, and name servers.

    For an existing VPC; `StaticEgress` already has one.

    Args:
        scope: The construct that it belongs to.
        id: Its name in that scope.
        vpc: The VPC of the function.
        ports: TCP ports of the partners' servers. By default 22.
        name_servers: CIDR of the name servers, if they are not Amazon's own: those are always reachable,
            security groups do not apply to them. By default the CIDR of the VPC, if it is known.

    Raises:
        InvalidArgument: A port is invalid.
    """

    @checks_types
    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        vpc: ec2.IVpc,
        ports: Sequence[int] = (_SFTP,),
        name_servers: str | None = None,
    ) -> None:
        _check_ports(ports)
        super().__init__(
            scope,
            id,
            vpc=vpc,
            allow_all_outbound=False,
            description="S3 to SFTP: out to the partner, AWS and name servers, nothing in",
        )
        for port in ports:
            self.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(port), "SFTP servers")
        if _HTTPS not in ports:
            self.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(_HTTPS), "AWS")
        if cidr := name_servers or _cidr_of(vpc):
            for dns in (ec2.Port.udp(_DNS), ec2.Port.tcp(_DNS)):
                self.add_egress_rule(ec2.Peer.ipv4(cidr), dns, "Name servers")


class StaticEgress(Construct):
    """A network whose outbound traffic always has the same source addresses, for partners' allow-lists.

    One network serves any number of partners, and is paid for once. Pass it to a delivery as
    `vpc=egress.vpc, vpc_subnets=egress.vpc_subnets, security_groups=egress.security_groups`.

    Traffic to S3 and DynamoDB uses gateway endpoints: only traffic to the partner passes the NAT gateway and
    is charged for it.

    Attributes:
        vpc: The network.
        vpc_subnets: Its private subnets, one for each address.
        security_group: Allows the outbound traffic of a delivery, see `DeliverySecurityGroup`.
        security_groups: The same as a list, as functions accept it.
        addresses: The addresses, known at deployment. Empty if `elastic_ips` were given, whose owner knows
            them.
        elastic_ips: Allocation ids of the Elastic IPs.
        flow_log_group: The log group of the VPC flow logs.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        addresses: Number of addresses, 1 to 3, each in its own availability zone. By default 1: while its
            zone is down, deliveries wait. With 2 they continue; the partner must allow both, because a
            connection may come from either. It can be raised later without changing the first ones.
        elastic_ips: Allocation ids (`eipalloc-...`) of existing Elastic IPs, as many as `addresses`. By
            default new ones are created. They are retained when the stack is deleted: a partner may take
            weeks to allow another address.
        ports: TCP ports of the partners' servers. By default 22.
        ip_addresses: Range of the network, a /24 or larger. By default 10.213.0.0/24. It may overlap other
            networks: nothing is routed between them.
        flow_log_retention: How long flow logs are kept. By default three months.

    Raises:
        InvalidArgument: A value is invalid; the message says what to write instead.
    """

    @checks_types
    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 -- what every construct calls it
        *,
        addresses: int = 1,
        elastic_ips: Sequence[str] | None = None,
        ports: Sequence[int] = (_SFTP,),
        ip_addresses: ec2.IIpAddresses | None = None,
        flow_log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
    ) -> None:
        super().__init__(scope, id)
        check_range("addresses", addresses, 1, _MOST_ADDRESSES)
        self._check_zones(addresses)
        _check_elastic_ips(elastic_ips, addresses)

        self.addresses: list[str] = []
        self.elastic_ips = list(elastic_ips) if elastic_ips else self._make_elastic_ips(addresses)
        self.flow_log_group = logs.LogGroup(
            self, "FlowLog", retention=flow_log_retention, removal_policy=_OUTLIVES_THE_STACK
        )
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ip_addresses or ec2.IpAddresses.cidr(_CIDR),
            max_azs=addresses,
            # Reserves room for zones that are added later: otherwise the existing subnets would have to move.
            reserved_azs=_MOST_ADDRESSES - addresses,
            nat_gateways=addresses,
            nat_gateway_provider=ec2.NatProvider.gateway(eip_allocation_ids=self.elastic_ips),
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Nat",
                    subnet_type=ec2.SubnetType.PUBLIC,
                    cidr_mask=_PUBLIC_MASK,
                    map_public_ip_on_launch=False,
                ),
                ec2.SubnetConfiguration(
                    name="Deliveries",
                    subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS,
                    cidr_mask=_PRIVATE_MASK,
                ),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            },
            flow_logs={
                "Connections": ec2.FlowLogOptions(
                    destination=ec2.FlowLogDestination.to_cloud_watch_logs(self.flow_log_group)
                )
            },
        )
        self.vpc_subnets = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
        self.security_group = DeliverySecurityGroup(self, "SecurityGroup", vpc=self.vpc, ports=ports)
        self.security_groups: list[ec2.ISecurityGroup] = [self.security_group]
        self._acknowledge_findings()
        self._add_outputs()

    def _acknowledge_findings(self) -> None:
        acknowledge(self.flow_log_group, suppressions.FLOW_LOG_KEY)
        acknowledge(self.vpc.node.find_child("Connections"), suppressions.FLOW_LOG_POLICY)
        for subnet in self.vpc.public_subnets:
            acknowledge(subnet, suppressions.NAT_ROUTE)

    def _check_zones(self, addresses: int) -> None:
        stack = cdk.Stack.of(self)
        zones = len(stack.availability_zones)
        if addresses <= zones:
            return
        if is_token(stack.region):
            raise InvalidArgument(
                "addresses",
                f"must be 1-{zones} in a stack without a Region, got {addresses}: give the stack "
                "env=cdk.Environment(account=..., region=...), and CDK looks up its availability zones",
            )
        raise InvalidArgument(
            "addresses", f"must be 1-{zones}, the number of zones of {stack.region}, got {addresses}"
        )

    def _make_elastic_ips(self, addresses: int) -> list[str]:
        """Create the addresses. They outlive the stack, because partners have allowed them."""
        return [self._make_elastic_ip(number) for number in range(1, addresses + 1)]

    def _make_elastic_ip(self, number: int) -> str:
        address = ec2.CfnEIP(self, f"Address{number}", domain="vpc")
        address.apply_removal_policy(_OUTLIVES_THE_STACK)
        cdk.Tags.of(address).add("Name", f"{self.node.path}: partners have allowed this address")
        self.addresses.append(address.ref)
        return address.attr_allocation_id

    def _add_outputs(self) -> None:
        if self.addresses:
            cdk.CfnOutput(
                self,
                "Addresses",
                description="Source addresses of all connections, for the partner's allow-list",
                value=cdk.Fn.join(", ", self.addresses),
            )
        cdk.CfnOutput(
            self,
            "ElasticIps",
            description="Allocation ids of the addresses: elastic_ips=[...] reuses them in another stack",
            value=cdk.Fn.join(", ", self.elastic_ips),
        )


def _check_ports(ports: Sequence[int]) -> None:
    if not ports:
        raise InvalidArgument("ports", "must contain at least one port of a partner's server, got none")
    for port in ports:
        check_range("ports", port, 1, 65535)


def _check_elastic_ips(elastic_ips: Sequence[str] | None, addresses: int) -> None:
    if elastic_ips is None or is_token(elastic_ips):
        return
    for each in elastic_ips:
        if not is_token(each) and not each.startswith("eipalloc-"):
            raise InvalidArgument(
                "elastic_ips",
                f"must be allocation ids (eipalloc-...), got {each!r}: 'aws ec2 describe-addresses' prints "
                "them",
            )
    if len(elastic_ips) != addresses:
        raise InvalidArgument(
            "elastic_ips", f"must be as many as addresses ({addresses}), got {len(elastic_ips)}"
        )


def _cidr_of(vpc: ec2.IVpc) -> str | None:
    try:
        return vpc.vpc_cidr_block
    except RuntimeError:  # jsii's form of "was not supplied when the VPC was imported"
        return None
