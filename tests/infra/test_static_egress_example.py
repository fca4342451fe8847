"""The example static_egress_vpc: two deliveries share a VPC, and its address is an output."""

import json
import runpy
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from tests.infra.conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "static_egress_vpc" / "app.py"

Template = dict[str, dict[str, Any]]


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Template:
    """The template of the example, without bundling."""
    real = cdk.App
    context: dict[str, Any] = {"aws:cdk:bundling-stacks": []}
    monkeypatch.setattr(cdk, "App", lambda: real(context=context, outdir=str(tmp_path)))
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    found: Template = json.loads((tmp_path / "Payments.template.json").read_text())
    return found


def properties(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in template["Resources"].items() if each["Type"] == kind}


def test_both_functions_use_the_subnet_and_security_group_of_the_egress(template: Template) -> None:
    functions = [
        each
        for each in properties(template, "AWS::Lambda::Function").values()
        if each.get("Handler") == "s3_to_sftp.handler.lambda_handler"
    ]
    assert len(functions) == 2
    (group,) = properties(template, "AWS::EC2::SecurityGroup")
    (private,) = (name for name in properties(template, "AWS::EC2::Subnet") if "Deliveries" in name)
    for function in functions:
        assert function["VpcConfig"]["SubnetIds"] == [{"Ref": private}]
        assert function["VpcConfig"]["SecurityGroupIds"] == [{"Fn::GetAtt": [group, "GroupId"]}]


def test_both_roles_may_create_network_interfaces(template: Template) -> None:
    policies = json.dumps(list(properties(template, "AWS::IAM::Policy").values()))
    assert policies.count('"ec2:CreateNetworkInterface"') >= 2


def test_address_is_an_output(template: Template) -> None:
    (address,) = properties(template, "AWS::EC2::EIP")
    assert {"Ref": address} in [output["Value"] for output in template["Outputs"].values()]


def test_ports_of_both_partners_are_open(template: Template) -> None:
    (group,) = properties(template, "AWS::EC2::SecurityGroup").values()
    assert {rule["ToPort"] for rule in group["SecurityGroupEgress"]} == {22, 2222, 443, 53}
