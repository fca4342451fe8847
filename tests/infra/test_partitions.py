"""No partition is hard-coded: China, GovCloud and isolated Regions have other ARNs and domains."""

import json
import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, StaticEgress, Trigger
from tests.infra.conftest import new_app
from tests.infra.templates import as_text
from tests.support.infra.rule_packs import SERVER

PARTITIONS = {"cn-north-1": "aws-cn", "us-iso-east-1": "aws-iso", "us-gov-west-1": "aws-us-gov"}
REGIONS = [*PARTITIONS, None]


def full_stack(region: str | None) -> cdk.Stack:
    """Return a stack whose delivery has a key, a VPC, tracing and both triggers."""
    env = cdk.Environment(account="123456789012", region=region) if region else None
    stack = cdk.Stack(new_app(), "Test", env=env)
    egress = StaticEgress(stack, "Egress")
    delivery = S3ToSftp(
        stack,
        "Delivery",
        server=SERVER,
        encryption_key=kms.Key(stack, "Key"),
        vpc=egress.vpc,
        tracing=lambda_.Tracing.ACTIVE,
        outputs=True,
    )
    delivery.add_source(s3.Bucket(stack, "Reports"), directory="/reports", trigger=Trigger.EVENTBRIDGE)
    return stack


@pytest.fixture(scope="module", params=REGIONS, ids=str)
def region(request: pytest.FixtureRequest) -> str | None:
    name: str | None = request.param
    return name


@pytest.fixture(scope="module")
def template(region: str | None) -> dict[str, Any]:
    found: dict[str, Any] = Template.from_stack(full_stack(region)).to_json()
    return found


def service_principals(template: Any) -> set[str]:
    """Return every service principal in a policy, as text."""
    found: set[str] = set()
    if isinstance(template, list):
        return found.union(*(service_principals(each) for each in template)) if template else found
    if isinstance(template, dict):
        service = (template.get("Principal") or {}).get("Service") if "Principal" in template else None
        for each in service if isinstance(service, list) else [service] if service else []:
            found.add(as_text(each))
        for each in template.values():
            found |= service_principals(each)
    return found


def test_every_arn_has_the_partition_of_the_region(template: dict[str, Any], region: str | None) -> None:
    partitions = set(re.findall(r"arn:([a-z-]+):[a-z]", json.dumps(template)))
    assert partitions <= ({PARTITIONS[region]} if region else set())


def test_logs_principal_has_the_region_and_url_suffix(template: dict[str, Any], region: str | None) -> None:
    # The only principal here that depends on Region and partition: CDK's region-info
    # (Default.servicePrincipal), and serverless/serverless#12087 for China, where
    # "logs.cn-north-1.amazonaws.com" is refused.
    (logs,) = [each for each in service_principals(template) if each.startswith("logs.")]
    assert logs == f"logs.{region or 'AWS::Region'}.AWS::URLSuffix"


def test_other_service_principals_are_the_same_in_every_partition(template: dict[str, Any]) -> None:
    others = {each for each in service_principals(template) if not each.startswith("logs.")}
    # Those that the construct names; there are more, such as the one of flow logs.
    assert others >= {"lambda.amazonaws.com", "s3.amazonaws.com", "events.amazonaws.com"}
    assert [each for each in others if not each.endswith(".amazonaws.com")] == []


def test_no_other_aws_hostname_is_hard_coded(template: dict[str, Any], region: str | None) -> None:
    text = json.dumps(template)
    for name in ("lambda", "s3", "events", "vpc-flow-logs"):
        text = text.replace(f'"{name}.amazonaws.com"', '""')
    # CDK's Secret adds this principal to the policy of a key that the app creates. It is not needed, since
    # another statement lets the account decide by IAM, and it is not ours.
    text = text.replace(f'"secretsmanager.{region}.amazonaws.com"', '""')
    text = re.sub(r'\["secretsmanager\.", \{"Ref": "AWS::Region"\}, "\.amazonaws\.com"\]', "[]", text)
    # Names of VPC endpoints of S3 and DynamoDB have this prefix in every partition.
    text = text.replace('"com.amazonaws.', '"')
    assert re.findall(r"[^\"]*amazonaws[^\"]*", text) == []
