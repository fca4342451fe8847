"""Tags and descriptions that name the partner of a resource."""

import inspect
import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger
from cdk_s3_to_sftp.tagging import PARTNER_TAG
from tests.infra.conftest import REPOSITORY
from tests.support.infra.keys import ED25519

TAGGED = {
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::DynamoDB::Table",
    "AWS::SecretsManager::Secret",
    "AWS::Lambda::Function",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Logs::LogGroup",
    "AWS::IAM::Role",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Events::Rule",
}

DESCRIBED = {
    "AWS::SecretsManager::Secret": "Description",
    "AWS::Lambda::Function": "Description",
    "AWS::IAM::Role": "Description",
    "AWS::CloudWatch::Alarm": "AlarmDescription",
    "AWS::Events::Rule": "Description",
}


def partner_tags(resource: Any) -> list[Any]:
    return [each["Value"] for each in resource["Properties"].get("Tags", []) if each["Key"] == PARTNER_TAG]


def synthesised(stack: cdk.Stack, host: str, **arguments: Any) -> dict[str, Any]:
    server = SftpServer(host, host_keys=[ED25519])
    S3ToSftp(stack, "Delivery", server=server, **{"trigger": Trigger.EVENTBRIDGE, **arguments})
    resources: dict[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return resources


TAGGED_BY_NEWER_CDKS: dict[str, type[cdk.CfnResource]] = {
    "AWS::CloudWatch::Alarm": cloudwatch.CfnAlarm,
    "AWS::CloudWatch::Dashboard": cloudwatch.CfnDashboard,
    "AWS::Events::Rule": events.CfnRule,
    "AWS::Lambda::EventSourceMapping": lambda_.CfnEventSourceMapping,
}

UNTAGGED_IN_THIS_CDK = {
    kind
    for kind, resource in TAGGED_BY_NEWER_CDKS.items()
    if "tags" not in inspect.signature(resource.__init__).parameters
}


def test_every_taggable_resource_has_the_partner_tag(stack: cdk.Stack) -> None:
    resources = synthesised(stack, "sftp.partner.example")
    ours = {name: each for name, each in resources.items() if name.startswith("Delivery")}
    assert {each["Type"] for each in ours.values()} >= TAGGED
    for name, each in ours.items():
        if each["Type"] in TAGGED - UNTAGGED_IN_THIS_CDK:
            assert partner_tags(each) == ["sftp.partner.example"], name


def test_every_describable_resource_has_a_description(stack: cdk.Stack) -> None:
    resources = synthesised(stack, "sftp.partner.example")
    for name, each in resources.items():
        if name.startswith("Delivery") and (described := DESCRIBED.get(each["Type"])):
            assert each["Properties"][described], name


def test_existing_resources_and_those_of_cdk_are_not_tagged(stack: cdk.Stack) -> None:
    resources = synthesised(
        stack,
        "sftp.partner.example",
        bucket=s3.Bucket(stack, "TheirBucket"),
        trigger=Trigger.NOTIFICATION,
        role=iam.Role(stack, "TheirRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
        dead_letter_queue=sqs.Queue(stack, "TheirQueue"),
        log_group=logs.LogGroup(stack, "TheirLog"),
    )
    others = {name: each for name, each in resources.items() if not name.startswith("Delivery")}
    assert any(name.startswith("BucketNotificationsHandler") for name in others)
    assert [name for name, each in others.items() if PARTNER_TAG in str(each)] == []


@pytest.mark.parametrize("host", ["a_b.partner.example", "2001:db8::1", "x." * 126 + "y", "fe80::1%eth0"])
def test_tag_value_contains_only_characters_that_aws_accepts(stack: cdk.Stack, host: str) -> None:
    # https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
    resources = synthesised(stack, host)
    values = {value for each in resources.values() for value in partner_tags(each)}
    (value,) = values
    assert re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]{1,256}", value)
    assert value == host.replace("%", "_")


def test_tag_value_can_be_a_token(stack: cdk.Stack) -> None:
    resources = synthesised(stack, cdk.CfnParameter(stack, "Host").value_as_string)
    (bucket,) = [each for each in resources.values() if each["Type"] == "AWS::S3::Bucket"]
    assert partner_tags(bucket) == [{"Ref": "Host"}]
    (role,) = [
        each for name, each in resources.items() if name.startswith("DeliveryRole") and "Role" in each["Type"]
    ]
    assert {"Ref": "Host"} in role["Properties"]["Description"]["Fn::Join"][1]


def test_security_page_names_the_tag() -> None:
    assert f"`{PARTNER_TAG}`" in (REPOSITORY / "docs" / "reference" / "security.md").read_text()


def test_descriptions_with_the_longest_host_fit_the_quotas(stack: cdk.Stack) -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html: Description, at most 256."""
    host = ".".join(["a" * 49] * 5) + ".abc"
    assert len(host) == 253
    S3ToSftp(stack, "Delivery", server=SftpServer(host, host_keys=[ED25519]))
    template = Template.from_stack(stack).to_json()["Resources"].values()
    (description,) = [
        each["Properties"]["Description"]
        for each in template
        if each["Type"] == "AWS::Lambda::Function"
        and "Description" in each["Properties"]
        and each["Properties"]["Description"].startswith("Delivers")
    ]
    assert len(description) <= 256
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html: at most 1,024.
    alarms = [
        str(each["Properties"]["AlarmDescription"])
        for each in template
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert alarms
    assert max(map(len, alarms)) <= 1024
