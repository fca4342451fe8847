"""Stack outputs of the construct and of the stock stack."""

import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, StaticEgress
from tests.infra.conftest import Synthesise
from tests.infra.templates import OUTPUT_NAMES


def outputs_of(template: Template) -> dict[str, Any]:
    """Map the name of each output, without construct id and hash, to its value."""
    outputs = template.to_json().get("Outputs", {})
    return {
        re.sub(r"^Delivery|[0-9A-F]{8}$", "", name): each["Value"]
        for name, each in outputs.items()
        if name.startswith("Delivery")
    }


def test_construct_has_no_outputs_by_default(default_template: Template) -> None:
    assert outputs_of(default_template) == {}


def test_outputs_true_adds_the_outputs_of_the_stock_stack(synthesise: Synthesise) -> None:
    outputs = outputs_of(synthesise(outputs=True))
    assert set(outputs) == OUTPUT_NAMES
    assert outputs["SourceAddresses"].startswith("Not fixed")
    assert outputs["EventSourceMappingId"].keys() == {"Ref"}


def test_commands_and_outputs_are_attributes(stack: cdk.Stack, server: SftpServer) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=server)
    assert "put-secret-value" in delivery.fill_secret_command
    assert "start-message-move-task" in delivery.redrive_command
    assert delivery.event_source_mapping.node.path == "Test/Delivery/Function/Deliveries"
    assert set(delivery.outputs) == OUTPUT_NAMES


def test_outputs_of_a_missing_bucket_and_dashboard_are_omitted(stack: cdk.Stack, server: SftpServer) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=server, sources=[], dashboard=False)
    assert set(delivery.outputs) == OUTPUT_NAMES - {"BucketName", "DashboardName"}


def test_addresses_are_those_of_the_static_egress(stack: cdk.Stack, server: SftpServer) -> None:
    egress = StaticEgress(stack, "Egress", addresses=2)
    delivery = S3ToSftp(stack, "Delivery", server=server, vpc=egress.vpc, outputs=True)
    assert delivery.addresses == tuple(egress.addresses)
    addresses = stack.resolve(list(delivery.addresses))
    assert outputs_of(Template.from_stack(stack))["SourceAddresses"] == {"Fn::Join": [", ", addresses]}


def test_source_addresses_output_names_existing_elastic_ips(stack: cdk.Stack, server: SftpServer) -> None:
    egress = StaticEgress(stack, "Egress", elastic_ips=["eipalloc-1"])
    delivery = S3ToSftp(stack, "Delivery", server=server, vpc=egress.vpc)
    assert delivery.addresses == ()
    assert stack.resolve(delivery.outputs["SourceAddresses"]) == "The Elastic IPs eipalloc-1"


def test_source_addresses_output_names_an_existing_vpc(stack: cdk.Stack, server: SftpServer) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Theirs",
        vpc_id="vpc-0123456789abcdef0",
        availability_zones=["eu-west-1a"],
        private_subnet_ids=["subnet-0123456789abcdef0"],
    )
    delivery = S3ToSftp(stack, "Delivery", server=server, vpc=vpc)
    assert delivery.addresses == ()
    assert "leaves vpc-0123456789abcdef0" in delivery.outputs["SourceAddresses"]


def test_created_bucket_accepts_lifecycle_rules(stack: cdk.Stack, server: SftpServer) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=server)
    delivery.made_bucket.add_lifecycle_rule(noncurrent_version_expiration=cdk.Duration.days(30))
    assert delivery.made_bucket is delivery.bucket
    Template.from_stack(stack).has_resource_properties(
        "AWS::S3::Bucket",
        {
            "LifecycleConfiguration": {
                "Rules": Match.array_with(
                    [Match.object_like({"NoncurrentVersionExpiration": {"NoncurrentDays": 30}})]
                )
            }
        },
    )


def test_made_bucket_with_an_existing_bucket_raises_lookup_error(
    stack: cdk.Stack, server: SftpServer
) -> None:
    existing = s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket")
    delivery = S3ToSftp(stack, "Delivery", server=server, bucket=existing)
    with pytest.raises(LookupError, match=r"Test/Delivery has created no bucket, since it was given"):
        _ = delivery.made_bucket


def test_fill_secret_command_is_an_output(stock_template: dict[str, Any]) -> None:
    assert set(stock_template["Outputs"]) == OUTPUT_NAMES
    secret = {"Ref": "DeliveryCredentials9BE288DA"}
    assert stock_template["Outputs"]["SecretArn"]["Value"] == secret
    (_, words) = stock_template["Outputs"]["FillSecretCommand"]["Value"]["Fn::Join"]
    assert words == [
        "aws secretsmanager put-secret-value --region ",
        {"Ref": "AWS::Region"},
        " --secret-id ",
        secret,
        " --secret-string "
        """'{"username": "NAME", "password": "PASSWORD", "private_key": "", "passphrase": ""}'""",
    ]


def test_redrive_command_is_an_output(stock_template: dict[str, Any]) -> None:
    (_, words) = stock_template["Outputs"]["RedriveCommand"]["Value"]["Fn::Join"]
    assert words == [
        "aws sqs start-message-move-task --region ",
        {"Ref": "AWS::Region"},
        " --source-arn ",
        {"Fn::GetAtt": ["DeliveryDeadLetterQueue7D230F16", "Arn"]},
        " --destination-arn ",
        {"Fn::GetAtt": ["DeliveryQueue6A0D8ED9", "Arn"]},
    ]
