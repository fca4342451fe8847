"""On a CDK without acknowledgements, suppressions are metadata that cdk-nag 2 reads.

`make compat` runs cdk-nag 2 itself, on the oldest CDK that pyproject.toml allows: see test_cdk_nag.
"""

from types import SimpleNamespace
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, acknowledgements, suppressions
from tests.infra.conftest import new_app
from tests.support.infra.rule_packs import SERVER


@pytest.fixture
def resources(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The resources as a CDK without acknowledgements synthesises them."""
    monkeypatch.setattr(acknowledgements, "has_validations", lambda: False)
    stack = cdk.Stack(new_app(), "Test")
    S3ToSftp(stack, "Delivery", server=SERVER, prefix="outgoing/")
    found: dict[str, dict[str, Any]] = Template.from_stack(stack).to_json()["Resources"]
    return found


def suppressed_rules(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the suppressions in the format of https://github.com/cdklabs/cdk-nag, Suppressing a Rule."""
    rules: list[dict[str, Any]] = resource["Metadata"]["cdk_nag"]["rules_to_suppress"]
    return rules


def only_resource(resources: dict[str, dict[str, Any]], start: str, kind: str) -> dict[str, Any]:
    (found,) = (each for name, each in resources.items() if name.startswith(start) and each["Type"] == kind)
    return found


def test_rules_are_suppressed_with_reasons(resources: dict[str, dict[str, Any]]) -> None:
    rules = suppressed_rules(only_resource(resources, "DeliveryFunction", "AWS::Lambda::Function"))
    assert [each["id"] for each in rules] == [
        "AwsSolutions-L1",
        "NIST.800.53.R5-LambdaDLQ",
        "NIST.800.53.R5-LambdaInsideVPC",
        "NIST.800.53.R5-LambdaConcurrency",
    ]
    assert [each for each in rules if len(each["reason"]) < 50] == []


def test_wildcard_finding_is_suppressed_for_that_wildcard_only(
    resources: dict[str, dict[str, Any]],
) -> None:
    """The policy is created after the suppression was added to the role."""
    rules = suppressed_rules(only_resource(resources, "DeliveryRoleDefaultPolicy", "AWS::IAM::Policy"))
    assert [each["applies_to"] for each in rules if each["id"] == "AwsSolutions-IAM5"] == [
        ["Resource::<DeliveryBucket818C8F75.Arn>/outgoing/*"]
    ]


def test_checkov_metadata_is_kept(resources: dict[str, dict[str, Any]]) -> None:
    function = only_resource(resources, "DeliveryFunction", "AWS::Lambda::Function")
    assert "CKV_AWS_116" in {each["id"] for each in function["Metadata"]["checkov"]["skip"]}


def test_finding_id_rejected_by_cdk_does_not_fail_the_synth(monkeypatch: pytest.MonkeyPatch) -> None:
    """CDK 2.256 to 2.270 reject `::` in the id of a finding."""

    refused: list[object] = []

    def refuse(acknowledgment: object) -> None:
        refused.append(acknowledgment)
        raise RuntimeError("InvalidValidationId: Invalid validation rule ID")

    monkeypatch.setattr(acknowledgements, "has_validations", lambda: True)
    refusing = SimpleNamespace(of=lambda _: SimpleNamespace(acknowledge=refuse))
    monkeypatch.setattr(cdk, "Validations", refusing, raising=False)
    monkeypatch.setattr(cdk, "Acknowledgment", lambda **given: given["id"], raising=False)
    acknowledgements.acknowledge(cdk.Stack(new_app(), "Test"), suppressions.FUNCTION_RUNTIME)
    assert refused == ["AwsSolutions::AwsSolutions-L1"]
