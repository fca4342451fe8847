"""Addresses that a partner can allow-list, and a security group that lets out what a delivery needs."""

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
"""One per availability zone, and every region has three that can be used."""

_CIDR = "10.213.0.0/24"
"""Nothing is ever routed to it from outside. 3 zones of 16 and 32 addresses are 144 of its 256."""

_PUBLIC_MASK, _PRIVATE_MASK = 28, 27

_HTTPS, _DNS, _SFTP = 443, 53, 22

_OUTLIVES_THE_STACK = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
"""But not a deployment that fails before anybody has been told the addresses: they would only cost."""


class DeliverySecurityGroup(ec2.SecurityGroup):
    """Lets nobody in, and out only to SFTP servers, to AWS by HTTPS, and to the name servers of the VPC.

    For a VPC that exists; `StaticEgress` has one already.

    Args:
        scope: The construct that it belongs to.
        id: Its name in that scope.
        vpc: The VPC of the function.
        ports: TCP ports of the partners' servers. By default 22.
        name_servers: CIDR that holds the name servers, where they are not Amazon's own: those are always
            within reach, no security group can bar the way. By default the VPC, where its CIDR is known.

    Raises:
        InvalidArgument: A port cannot be right.
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
    """A network that is always left from the same addresses, to be given to partners for their allow-lists.

    One network serves any number of partners; what it costs, it costs once. Hand it to a delivery as
    `vpc=egress.vpc, vpc_subnets=egress.vpc_subnets, security_groups=egress.security_groups`.

    Objects and ledger take gateway endpoints: only what goes to the partner passes the NAT, and pays for it.

    Attributes:
        vpc: The network.
        vpc_subnets: Its private subnets, one for each address.
        security_group: Lets out what a delivery needs, see `DeliverySecurityGroup`.
        security_groups: The same as a list, as functions take it.
        addresses: The addresses, known when it is deployed. Empty where `elastic_ips` were given: whoever has
            made those knows them.
        elastic_ips: Allocation ids of the Elastic IPs.
        flow_log_group: Who talked to whom, as far as the network saw it.

    Args:
        scope: The construct that this one belongs to.
        id: Its name in that scope.
        addresses: How many addresses, 1 to 3, each in an availability zone of its own. By default 1: while
            its zone is down, deliveries wait. With 2 they go on; the partner must allow both, for nobody can
            say which one a connection comes from. It can be raised later, and the first ones stay.
        elastic_ips: Allocation ids (`eipalloc-...`) of addresses that you have, as many as `addresses`. By
            default new ones are made. They are kept when the stack is deleted: a partner may take weeks to
            allow another.
        ports: TCP ports of the partners' servers. By default 22.
        ip_addresses: Range of the network, a /24 or larger. By default 10.213.0.0/24. It may be the range of
            other networks, too: nothing is routed between them.
        flow_log_retention: How long the record of connections is kept. By default three months.

    Raises:
        InvalidArgument: A value cannot be right; the message says what to write instead.
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
            # Room for the zones that may come later: otherwise the subnets that there are would have to move.
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
        self._tell()

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
                f"must be 1-{zones} in a stack without a region, got {addresses}: give the stack "
                "env=cdk.Environment(account=..., region=...), and CDK looks up the zones that there are",
            )
        raise InvalidArgument("addresses", f"must be 1-{zones}, the zones of {stack.region}, got {addresses}")

    def _make_elastic_ips(self, addresses: int) -> list[str]:
        """Make the addresses. They outlive the stack: partners know them."""
        return [self._make_elastic_ip(number) for number in range(1, addresses + 1)]

    def _make_elastic_ip(self, number: int) -> str:
        address = ec2.CfnEIP(self, f"Address{number}", domain="vpc")
        address.apply_removal_policy(_OUTLIVES_THE_STACK)
        cdk.Tags.of(address).add("Name", f"{self.node.path}: partners have allowed this address")
        self.addresses.append(address.ref)
        return address.attr_allocation_id

    def _tell(self) -> None:
        if self.addresses:
            cdk.CfnOutput(
                self,
                "Addresses",
                description="Give these to the partner: all connections come from them",
                value=cdk.Fn.join(", ", self.addresses),
            )
        cdk.CfnOutput(
            self,
            "ElasticIps",
            description="The same as allocation ids: elastic_ips=[...] takes them over in another stack",
            value=cdk.Fn.join(", ", self.elastic_ips),
        )


def _check_ports(ports: Sequence[int]) -> None:
    if not ports:
        raise InvalidArgument("ports", "must hold at least one port of a partner's server, got none")
    for port in ports:
        check_range("ports", port, 1, 65535)


def _check_elastic_ips(elastic_ips: Sequence[str] | None, addresses: int) -> None:
    if elastic_ips is None or is_token(elastic_ips):
        return
    for each in elastic_ips:
        if not is_token(each) and not each.startswith("eipalloc-"):
            raise InvalidArgument(
                "elastic_ips",
                f"must be allocation ids (eipalloc-...), got {each!r}: "
                "'aws ec2 describe-addresses' prints them",
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
