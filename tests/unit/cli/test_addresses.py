"""`addresses`: the routes of the function's subnets, followed to public addresses."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp_cli.addresses import source_addresses
from tests.support.cli import CliEnvironment, check_schema


class Network:
    """A VPC with a subnet for the function, and what its route leads to."""

    def __init__(self, cli: CliEnvironment) -> None:
        self._cli = cli
        self.ec2 = cli.aws.client("ec2")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self._blocks = iter(range(255))
        self.subnet = self.new_subnet()
        self.deploy(self.subnet)

    def deploy(self, *subnets: str, **more: Any) -> None:
        network = {"VpcId": self.vpc, "SubnetIds": list(subnets), "SecurityGroupIds": ["sg-1"], **more}
        self._cli.deploy(configuration={"VpcConfig": network})

    def new_subnet(self) -> str:
        block = f"10.0.{next(self._blocks)}.0/24"
        return str(self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=block)["Subnet"]["SubnetId"])

    def route(self, subnet: str | None, **target: str) -> None:
        """Lead a subnet's traffic there; None: that of the main table."""
        if subnet is None:
            tables = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
            table = tables["RouteTables"][0]["RouteTableId"]
        else:
            table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        destination = {"DestinationCidrBlock": "0.0.0.0/0"} if "Egress" not in "".join(target) else {}
        self.ec2.create_route(RouteTableId=table, **destination, **target)

    def nat_gateway(self) -> tuple[str, str]:
        address = self.ec2.allocate_address(Domain="vpc")
        gateway = self.ec2.create_nat_gateway(
            SubnetId=self.new_subnet(), AllocationId=address["AllocationId"]
        )
        return gateway["NatGateway"]["NatGatewayId"], address["PublicIp"]

    def internet_gateway(self) -> str:
        gateway = str(self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        return gateway


@pytest.fixture
def network(cli: CliEnvironment) -> Network:
    return Network(cli)


def addresses_json(cli: CliEnvironment) -> Any:
    outcome = cli.run("addresses", "--json")
    assert outcome.code == 0
    check_schema("addresses", outcome.json)
    return outcome.json


def test_function_outside_a_vpc_has_no_fixed_address(cli: CliEnvironment) -> None:
    document = addresses_json(cli)
    assert (document["vpc"], document["addresses"]) == (None, [])
    text = " ".join(cli.run("addresses").stdout.split())
    assert "not fixed: the function runs outside a VPC" in text
    assert "changing addresses of AWS in eu-west-1" in text
    assert "partner-wants-our-ip-addresses.md" in text


def test_nat_gateway_has_the_address(cli: CliEnvironment, network: Network) -> None:
    gateway, address = network.nat_gateway()
    network.route(network.subnet, NatGatewayId=gateway)
    assert addresses_json(cli)["addresses"] == [address]
    assert cli.run("addresses").stdout.startswith(f"address   {address}     by {gateway}")


def test_subnet_without_a_table_of_its_own_uses_the_main_one(cli: CliEnvironment, network: Network) -> None:
    gateway, address = network.nat_gateway()
    network.route(None, NatGatewayId=gateway)
    assert addresses_json(cli)["addresses"] == [address]


def test_subnets_with_gateways_of_their_own_have_several_addresses(
    cli: CliEnvironment, network: Network
) -> None:
    other = network.new_subnet()
    network.deploy(network.subnet, other)
    expected = []
    for subnet in (network.subnet, other):
        gateway, address = network.nat_gateway()
        network.route(subnet, NatGatewayId=gateway)
        expected.append(address)
    assert addresses_json(cli)["addresses"] == expected
    assert "Tell the partner all of them" in cli.run("addresses").stdout


def test_subnet_without_a_way_out_is_said(cli: CliEnvironment, network: Network) -> None:
    assert addresses_json(cli)["ways"][0]["blocked"]
    assert "none: there is no route to the internet" in cli.run("addresses").stdout


def test_internet_gateway_is_no_way_out_of_a_function(cli: CliEnvironment, network: Network) -> None:
    network.route(network.subnet, GatewayId=network.internet_gateway())
    assert addresses_json(cli)["addresses"] == []
    assert "a function has no public address" in " ".join(cli.run("addresses").stdout.split())


def test_what_is_behind_another_network_is_not_known(
    cli: CliEnvironment, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = {"Associations": [{"Main": True}], "Routes": [default_route(TransitGatewayId="tgw-1")]}
    answer_with(monkeypatch, network, "DescribeRouteTables", {"RouteTables": [routes]})
    way = addresses_json(cli)["ways"][0]
    assert (way["through"], way["public"], way["blocked"]) == ("tgw-1", False, False)
    assert "not known: what is behind tgw-1 decides" in cli.run("addresses").stdout


def test_black_hole_is_no_way_out(
    cli: CliEnvironment, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = default_route(NatGatewayId="nat-gone", State="blackhole")
    routes = {"Associations": [{"Main": True}], "Routes": [route]}
    answer_with(monkeypatch, network, "DescribeRouteTables", {"RouteTables": [routes]})
    assert addresses_json(cli)["ways"][0]["blocked"]


def test_private_nat_gateway_has_no_public_address(
    cli: CliEnvironment, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = network.nat_gateway()
    network.route(network.subnet, NatGatewayId=gateway)
    found = {"ConnectivityType": "private", "NatGatewayAddresses": [{"PrivateIp": "10.9.9.9"}]}
    answer_with(monkeypatch, network, "DescribeNatGateways", {"NatGateways": [found]})
    document = addresses_json(cli)
    assert (document["addresses"], document["ways"][0]["addresses"]) == ([], ["10.9.9.9"])
    assert "another network translates them" in " ".join(cli.run("addresses").stdout.split())


def test_nat_instance_has_the_address_of_its_interface(
    cli: CliEnvironment, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = {"Associations": [{"Main": True}], "Routes": [default_route(NetworkInterfaceId="eni-1")]}
    interface = {"Association": {"PublicIp": "198.51.100.9"}}
    answer_with(
        monkeypatch,
        network,
        ("DescribeRouteTables", {"RouteTables": [routes]}),
        ("DescribeNetworkInterfaces", {"NetworkInterfaces": [interface]}),
    )
    assert addresses_json(cli)["addresses"] == ["198.51.100.9"]


def test_ipv6_leaves_from_the_ranges_of_the_subnets(
    cli: CliEnvironment, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.deploy(network.subnet, Ipv6AllowedForDualStack=True)
    route = {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1", "State": "active"}
    subnet = {"Ipv6CidrBlockAssociationSet": [{"Ipv6CidrBlock": "2001:db8:1::/64"}]}
    answer_with(
        monkeypatch,
        network,
        ("DescribeRouteTables", {"RouteTables": [{"Associations": [{"Main": True}], "Routes": [route]}]}),
        ("DescribeSubnets", {"Subnets": [subnet]}),
    )
    document = addresses_json(cli)
    assert document["addresses"] == ["2001:db8:1::/64"]
    assert [way["family"] for way in document["ways"]] == ["ipv4", "ipv6"]


def test_missing_permission_names_the_action(cli: CliEnvironment, network: Network) -> None:
    cli.refused.add("ec2:DescribeRouteTables")
    outcome = cli.run("addresses")
    assert outcome.code == 5
    assert "ec2:DescribeRouteTables" in outcome.stderr


def test_status_has_the_addresses_while_the_circuit_breaker_is_open(
    cli: CliEnvironment, network: Network
) -> None:
    gateway, address = network.nat_gateway()
    network.route(network.subnet, NatGatewayId=gateway)
    cli.breaker()
    assert f"from {address}" in cli.run("status").stdout
    assert source_addresses(cli.aws, cli.delivery).fixed == (address,)


def default_route(**fields: str) -> dict[str, str]:
    return {"DestinationCidrBlock": "0.0.0.0/0", "State": "active", **fields}


def answer_with(monkeypatch: pytest.MonkeyPatch, network: Network, *answers: Any) -> None:
    """Have EC2 give these answers, by operation."""
    from botocore.client import BaseClient

    given = dict(answers) if isinstance(answers[0], tuple) else {answers[0]: answers[1]}
    call = BaseClient._make_api_call  # type: ignore[attr-defined] # what everybody patches

    def answer(client: Any, operation: str, request: Any) -> Any:
        return given[operation] if operation in given else call(client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
