"""`StaticEgress` and `DeliverySecurityGroup`: source addresses, routes and egress rules."""

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from cdk_s3_to_sftp.arguments import InvalidArgument
from cdk_s3_to_sftp.network import DeliverySecurityGroup, StaticEgress
from tests.infra.conftest import new_app
from tests.support.infra.cfn_lint import reported
from tests.support.infra.rule_packs import findings

Resources = dict[str, dict[str, Any]]


def template_of(**arguments: Any) -> Template:
    stack = cdk.Stack(new_app(), "Test")
    StaticEgress(stack, "Egress", **arguments)
    return Template.from_stack(stack)


def resources(template: Template, *kinds: str) -> Resources:
    """Return the EC2 resources of these types, by default all."""
    found: Resources = template.to_json()["Resources"]
    wanted = [f"AWS::EC2::{kind}" for kind in kinds]
    return {
        name: each
        for name, each in found.items()
        if (each["Type"] in wanted if wanted else each["Type"].startswith("AWS::EC2::"))
    }


def properties(template: Template, kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources(template, kind).values()]


@pytest.fixture(scope="module")
def one_address() -> Template:
    return template_of()


@pytest.fixture(scope="module")
def two_addresses() -> Template:
    return template_of(addresses=2)


def test_default_is_one_address_for_all_traffic(one_address: Template) -> None:
    (address,) = resources(one_address, "EIP")
    ((name, gateway),) = resources(one_address, "NatGateway").items()
    assert gateway["Properties"]["AllocationId"] == {"Fn::GetAtt": [address, "AllocationId"]}
    assert [
        route["NatGatewayId"] for route in properties(one_address, "Route") if "NatGatewayId" in route
    ] == [{"Ref": name}]


@pytest.mark.parametrize("count", [1, 2])
def test_elastic_ips_are_retained(count: int) -> None:
    addresses = resources(template_of(addresses=count), "EIP").values()
    assert [(each["DeletionPolicy"], each["UpdateReplacePolicy"]) for each in addresses] == [
        ("RetainExceptOnCreate", "Retain")
    ] * count


def test_each_address_has_its_own_zone_and_private_subnet(two_addresses: Template) -> None:
    zone_of = {
        name: json.dumps(subnet["Properties"]["AvailabilityZone"])
        for name, subnet in resources(two_addresses, "Subnet").items()
    }
    gateways = {
        name: zone_of[gateway["Properties"]["SubnetId"]["Ref"]]
        for name, gateway in resources(two_addresses, "NatGateway").items()
    }
    subnet_of_table = {
        each["RouteTableId"]["Ref"]: each["SubnetId"]["Ref"]
        for each in properties(two_addresses, "SubnetRouteTableAssociation")
    }
    leaves = {
        subnet_of_table[route["RouteTableId"]["Ref"]]: route["NatGatewayId"]["Ref"]
        for route in properties(two_addresses, "Route")
        if "NatGatewayId" in route
    }
    assert len(set(gateways.values())) == 2
    assert set(leaves) == {name for name in zone_of if "Deliveries" in name}
    assert all(zone_of[subnet] == gateways[gateway] for subnet, gateway in leaves.items())


@pytest.mark.parametrize("more", [2, 3])
def test_adding_an_address_replaces_no_subnet_route_or_gateway(
    more: int, one_address: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones = property(lambda self: ["a", "b", "c"])  # as in a stack with a region
    monkeypatch.setattr(cdk.Stack, "availability_zones", zones)
    stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="1" * 12, region="eu-west-1"))
    StaticEgress(stack, "Egress", addresses=more)
    before, after = resources(one_address), resources(Template.from_stack(stack))
    grown = {name for name, each in before.items() if each["Type"] == "AWS::EC2::VPCEndpoint"}
    for name in before.keys() - grown:
        was, becomes = before[name]["Properties"], after[name]["Properties"]
        # Zones are rendered differently with and without a Region; the CIDR range must not change.
        assert {**becomes, "AvailabilityZone": 0} == {**was, "AvailabilityZone": 0}
    for name in grown:
        tables = before[name]["Properties"]["RouteTableIds"]
        assert [each for each in tables if each not in after[name]["Properties"]["RouteTableIds"]] == []


def test_output_lists_the_addresses(two_addresses: Template) -> None:
    addresses = [{"Ref": name} for name in resources(two_addresses, "EIP")]
    (listed,) = two_addresses.find_outputs(
        "*", {"Description": "Source addresses of all connections, for the partner's allow-list"}
    ).values()
    assert listed["Value"] == {"Fn::Join": [", ", addresses]}


def test_addresses_attribute_has_the_order_of_the_output() -> None:
    stack = cdk.Stack(new_app(), "Test")
    egress = StaticEgress(stack, "Egress", addresses=2)
    assert stack.resolve(egress.addresses) == [
        {"Ref": name} for name in resources(Template.from_stack(stack), "EIP")
    ]


def test_existing_elastic_ips_are_used() -> None:
    template = template_of(addresses=2, elastic_ips=["eipalloc-1", "eipalloc-2"])
    assert resources(template, "EIP") == {}
    assert [each["AllocationId"] for each in properties(template, "NatGateway")] == [
        "eipalloc-1",
        "eipalloc-2",
    ]
    assert [each["Value"] for each in template.find_outputs("*").values()] == ["eipalloc-1, eipalloc-2"]


def test_s3_and_dynamodb_bypass_the_nat_gateway(one_address: Template) -> None:
    private = [route["RouteTableId"] for route in properties(one_address, "Route") if "NatGatewayId" in route]
    endpoints = properties(one_address, "VPCEndpoint")
    services = [each["ServiceName"]["Fn::Join"][1][-1] for each in endpoints]
    assert sorted(services) == [".dynamodb", ".s3"]
    for endpoint in endpoints:
        assert endpoint["VpcEndpointType"] == "Gateway"
        assert [table for table in private if table not in endpoint["RouteTableIds"]] == []


def egress_rules(group: dict[str, Any]) -> set[tuple[str, int, str]]:
    assert all(rule["FromPort"] == rule["ToPort"] for rule in group["SecurityGroupEgress"])
    return {
        (rule["IpProtocol"], rule["ToPort"], str(rule["CidrIp"])) for rule in group["SecurityGroupEgress"]
    }


ANYWHERE = "0.0.0.0/0"
VPC = "{'Fn::GetAtt': ['EgressVpc43239058', 'CidrBlock']}"
NAME_SERVERS = {("udp", 53, VPC), ("tcp", 53, VPC)}


def test_security_group_allows_ssh_https_and_dns_out_and_nothing_in(one_address: Template) -> None:
    (group,) = properties(one_address, "SecurityGroup")
    assert egress_rules(group) == {("tcp", 22, ANYWHERE), ("tcp", 443, ANYWHERE), *NAME_SERVERS}
    assert "SecurityGroupIngress" not in group
    assert properties(one_address, "SecurityGroupIngress") == []


def test_ports_replace_port_22() -> None:
    (group,) = properties(template_of(ports=[2222, 443]), "SecurityGroup")
    assert egress_rules(group) == {("tcp", 2222, ANYWHERE), ("tcp", 443, ANYWHERE), *NAME_SERVERS}


def security_group_in(vpc: Callable[[cdk.Stack], ec2.IVpc], **arguments: Any) -> dict[str, Any]:
    stack = cdk.Stack(new_app(), "Test")
    DeliverySecurityGroup(stack, "Out", vpc=vpc(stack), **arguments)
    (group,) = properties(Template.from_stack(stack), "SecurityGroup")
    return group


def imported_vpc(stack: cdk.Stack, **more: Any) -> ec2.IVpc:
    return ec2.Vpc.from_vpc_attributes(
        stack, "Theirs", vpc_id="vpc-0123456789abcdef0", availability_zones=["eu-west-1a"], **more
    )


def test_existing_vpc_gets_the_same_egress_rules() -> None:
    group = security_group_in(lambda stack: imported_vpc(stack, vpc_cidr_block="10.1.0.0/16"))
    assert egress_rules(group) == {
        ("tcp", 22, ANYWHERE),
        ("tcp", 443, ANYWHERE),
        ("udp", 53, "10.1.0.0/16"),
        ("tcp", 53, "10.1.0.0/16"),
    }
    assert group["VpcId"] == "vpc-0123456789abcdef0"


def test_name_servers_outside_the_vpc_are_an_argument() -> None:
    group = security_group_in(imported_vpc, name_servers="10.9.0.0/24")
    assert {rule for rule in egress_rules(group) if rule[1] == 53} == {
        ("udp", 53, "10.9.0.0/24"),
        ("tcp", 53, "10.9.0.0/24"),
    }


def test_vpc_with_unknown_cidr_gets_no_dns_rule() -> None:
    assert {port for _, port, _ in egress_rules(security_group_in(imported_vpc))} == {22, 443}


def function_in(egress: StaticEgress) -> lambda_.Function:
    return lambda_.Function(
        cdk.Stack.of(egress),
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_13,
        code=lambda_.Code.from_inline("-"),
        handler="index.handler",
        vpc=egress.vpc,
        vpc_subnets=egress.vpc_subnets,
        security_groups=egress.security_groups,
    )


def test_function_accepts_vpc_subnets_and_security_groups_of_the_egress(stack: cdk.Stack) -> None:
    function_in(StaticEgress(stack, "Egress", addresses=2))
    template = Template.from_stack(stack)
    (function,) = [
        each["Properties"]["VpcConfig"]
        for each in template.find_resources("AWS::Lambda::Function").values()
        if "VpcConfig" in each["Properties"]
    ]
    assert [subnet["Ref"][:25] for subnet in function["SubnetIds"]] == [
        "EgressVpcDeliveriesSubnet",
        "EgressVpcDeliveriesSubnet",
    ]
    assert len(function["SecurityGroupIds"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"addresses": 0}, "addresses must be 1-3, got 0"),
        ({"addresses": 4}, "addresses must be 1-3, got 4"),
        (
            {"addresses": 3},
            "addresses must be 1-2 in a stack without a Region, got 3: give the stack "
            "env=cdk.Environment(account=..., region=...), and CDK looks up its availability zones",
        ),
        (
            {"elastic_ips": ["203.0.113.7"]},
            "elastic_ips must be allocation ids (eipalloc-...), got '203.0.113.7': "
            "'aws ec2 describe-addresses' prints them",
        ),
        (
            {"elastic_ips": "eipalloc-1"},
            "elastic_ips must be a list of texts, got one string: put it in [brackets]",
        ),
        (
            {"elastic_ips": ["eipalloc-1", "eipalloc-2"]},
            "elastic_ips must be as many as addresses (1), got 2",
        ),
        ({"elastic_ips": []}, "elastic_ips must be as many as addresses (1), got 0"),
        ({"ports": []}, "ports must contain at least one port of a partner's server, got none"),
        ({"ports": [0]}, "ports must be 1-65535, got 0"),
    ],
)
def test_invalid_argument_is_refused(arguments: dict[str, Any], sentence: str, stack: cdk.Stack) -> None:
    with pytest.raises(InvalidArgument) as error:
        StaticEgress(stack, "Egress", **arguments)
    assert str(error.value) == sentence


def test_more_addresses_than_zones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdk.Stack, "availability_zones", property(lambda self: ["a", "b"]))
    stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="1" * 12, region="us-west-1"))
    with pytest.raises(InvalidArgument, match="must be 1-2, the number of zones of us-west-1, got 3"):
        StaticEgress(stack, "Egress", addresses=3)


def test_elastic_ips_and_ports_can_be_tokens(stack: cdk.Stack) -> None:
    port = int(cdk.CfnParameter(stack, "Port", type="Number").value_as_number)
    address = cdk.CfnParameter(stack, "Address").value_as_string
    StaticEgress(stack, "Egress", elastic_ips=[address], ports=[port])
    template = Template.from_stack(stack)
    (gateway,) = properties(template, "NatGateway")
    assert gateway["AllocationId"] == {"Ref": "Address"}


@pytest.mark.parametrize("count", [1, 2])
def test_static_egress_has_no_cdk_nag_finding(count: int) -> None:
    app = new_app()
    StaticEgress(cdk.Stack(app, "Test"), "Egress", addresses=count)
    assert findings(app) == set()


def test_cfn_lint_reports_nothing(two_addresses: Template) -> None:
    assert reported(json.dumps(two_addresses.to_json())) == []
