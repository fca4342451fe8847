"""Synth-time warnings about a network in which the function could not work."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2

from cdk_s3_to_sftp import DeliverySecurityGroup, S3ToSftp, SftpServer, StaticEgress
from tests.infra.conftest import warnings_of
from tests.support.infra.keys import ED25519


def deliver(stack: cdk.Stack, *, port: int = 22, **network: Any) -> None:
    server = SftpServer("sftp.partner.example", port=port, host_keys=[ED25519])
    S3ToSftp(stack, "Delivery", server=server, **network)


def network_of(egress: StaticEgress) -> dict[str, Any]:
    return {
        "vpc": egress.vpc,
        "vpc_subnets": egress.vpc_subnets,
        "security_groups": egress.security_groups,
    }


def test_closed_server_port_adds_a_warning(stack: cdk.Stack) -> None:
    deliver(stack, port=2222, **network_of(StaticEgress(stack, "Egress")))
    (warning,) = warnings_of(stack, "portNotOpen")
    assert "port 2222, and no rule of Test/Egress/SecurityGroup allows outbound traffic to it" in warning
    assert "ports=[2222]" in warning


def test_open_server_port_adds_no_warning(stack: cdk.Stack) -> None:
    deliver(stack, port=2222, **network_of(StaticEgress(stack, "Egress", ports=[2222])))
    assert warnings_of(stack, "portNotOpen") == []


@pytest.mark.parametrize(
    "how",
    [ec2.Port.all_traffic(), ec2.Port.all_tcp(), ec2.Port.tcp_range(2200, 2300)],
    ids=["all", "tcp", "range"],
)
def test_egress_rule_added_later_removes_the_warning(stack: cdk.Stack, how: ec2.Port) -> None:
    egress = StaticEgress(stack, "Egress")
    deliver(stack, port=2222, **network_of(egress))
    egress.security_group.add_egress_rule(ec2.Peer.ipv4("198.51.100.7/32"), how)
    assert warnings_of(stack, "portNotOpen") == []


def test_egress_rule_to_a_security_group_removes_the_warning(stack: cdk.Stack) -> None:
    egress = StaticEgress(stack, "Egress")
    deliver(stack, port=2222, **network_of(egress))
    existing = ec2.SecurityGroup(stack, "Server", vpc=egress.vpc)
    egress.security_group.add_egress_rule(existing, ec2.Port.tcp(2222))
    assert warnings_of(stack, "portNotOpen") == []


def test_imported_security_group_adds_no_warning(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)
    existing = ec2.SecurityGroup.from_security_group_id(stack, "Theirs", "sg-0123456789abcdef0")
    deliver(
        stack, port=2222, vpc=vpc, security_groups=[DeliverySecurityGroup(stack, "Out", vpc=vpc), existing]
    )
    assert warnings_of(stack, "portNotOpen") == []


ISOLATED = ec2.SubnetConfiguration(name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)


def isolated_vpc(stack: cdk.Stack) -> ec2.Vpc:
    return ec2.Vpc(stack, "Vpc", subnet_configuration=[ISOLATED])


def test_vpc_with_only_isolated_subnets_adds_a_warning(stack: cdk.Stack) -> None:
    deliver(stack, vpc=isolated_vpc(stack))
    (warning,) = warnings_of(stack, "isolatedSubnets")
    assert "Test/Vpc that the function runs in are isolated, and the app has no VPC endpoints" in warning


def test_imported_isolated_subnets_add_a_warning(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Theirs",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["eu-west-1a"],
        isolated_subnet_ids=["subnet-0123456789abcdef0"],
    )
    deliver(stack, vpc=vpc)
    assert len(warnings_of(stack, "isolatedSubnets")) == 1


def test_selected_isolated_subnets_add_a_warning(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        subnet_configuration=[
            ISOLATED,
            ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC),
            ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        ],
    )
    deliver(stack, vpc=vpc, vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED))
    assert len(warnings_of(stack, "isolatedSubnets")) == 1


def test_endpoint_added_later_removes_the_warning(stack: cdk.Stack) -> None:
    vpc = isolated_vpc(stack)
    deliver(stack, vpc=vpc)
    vpc.add_interface_endpoint("Secrets", service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER)
    assert warnings_of(stack, "isolatedSubnets") == []


def test_private_subnets_add_no_warning(stack: cdk.Stack) -> None:
    deliver(stack, **network_of(StaticEgress(stack, "Egress")))
    assert warnings_of(stack, "isolatedSubnets") == []
