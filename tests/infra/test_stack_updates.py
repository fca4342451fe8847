"""Updates and deletion of a deployed stack do not replace or delete stateful resources."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import DeliveryRules, S3ToSftp, SftpServer, StaticEgress, Trigger
from tests.infra.conftest import new_app
from tests.support.infra.keys import ECDSA, ED25519

STATEFUL_RESOURCES = {
    "AWS::DynamoDB::Table": 1,
    "AWS::S3::Bucket": 1,
    "AWS::SQS::Queue": 2,
    "AWS::SecretsManager::Secret": 1,
    "AWS::Logs::LogGroup": 1,
}

Resources = dict[str, dict[str, Any]]


def stateful_resources(
    *,
    host: str = "sftp.partner.example",
    directory: str | None = None,
    key: str = ED25519,
    rules: DeliveryRules | None = None,
    **arguments: Any,
) -> Resources:
    """Map the logical id of each stateful resource to the resource."""
    stack = cdk.Stack(new_app(), "Test")
    server = SftpServer(host, directory=directory, host_keys=[key], rules=rules)
    S3ToSftp(stack, "Delivery", server=server, **arguments)
    return stateful_resources_of(stack)


def stateful_resources_of(stack: cdk.Stack) -> Resources:
    resources: Resources = Template.from_stack(stack).to_json()["Resources"]
    return {name: each for name, each in resources.items() if each["Type"] in STATEFUL_RESOURCES}


def create_only_properties(kind: str) -> set[str]:
    """Return the properties whose change makes CloudFormation replace the resource."""
    # Half a second, of which only the process that runs these tests needs to know.
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # it ships no types

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", kind).schema
    paths = [
        *schema.get("createOnlyProperties", []),
        *schema.get("conditionalCreateOnlyProperties", []),
    ]
    return {path.split("/")[2] for path in paths}


@pytest.fixture(scope="module")
def before() -> Resources:
    return stateful_resources()


def test_stateful_resources_are_complete(before: Resources) -> None:
    kinds = [each["Type"] for each in before.values()]
    assert {kind: kinds.count(kind) for kind in STATEFUL_RESOURCES} == STATEFUL_RESOURCES
    assert create_only_properties("AWS::DynamoDB::Table") >= {"TableName", "KeySchema"}


@pytest.mark.parametrize(
    "change",
    [
        {"host": "sftp.new-partner.example"},
        {"directory": "/other"},
        {"rules": DeliveryRules(name="{name}")},
        {"key": ECDSA},
        {"retry_for": cdk.Duration.hours(1)},
        {"receipts_for": cdk.Duration.days(32)},
        {"timeout": cdk.Duration.minutes(3)},
        {"max_connections": 1},
        {"prefix": "outgoing/"},
        {"sha256": True},
        {"memory_size": 1769},
        {"log_retention": logs.RetentionDays.ONE_YEAR},
        {"architecture": lambda_.Architecture.ARM_64},
        {"runtime": lambda_.Runtime.PYTHON_3_12},
        {"trigger": Trigger.EVENTBRIDGE},
        {"removal_policy": cdk.RemovalPolicy.RETAIN},
    ],
    ids=lambda change: next(iter(change)),
)
def test_configuration_change_replaces_no_stateful_resource(
    before: Resources, change: dict[str, Any]
) -> None:
    assert_no_replacement(before, stateful_resources(**change))


def test_additional_source_replaces_no_stateful_resource(before: Resources) -> None:
    stack = cdk.Stack(new_app(), "Test")
    server = SftpServer("sftp.partner.example", host_keys=[ED25519])
    delivery = S3ToSftp(stack, "Delivery", server=server)
    existing = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    delivery.add_source(existing, prefix="in/", directory="/theirs")
    assert_no_replacement(before, stateful_resources_of(stack))


def test_added_encryption_key_replaces_no_stateful_resource(before: Resources) -> None:
    stack = cdk.Stack(new_app(), "Test")
    server = SftpServer("sftp.partner.example", host_keys=[ED25519])
    S3ToSftp(stack, "Delivery", server=server, encryption_key=kms.Key(stack, "Key"))
    assert_no_replacement(before, stateful_resources_of(stack))


def deletion_and_replacement_policies(resources: Resources) -> set[tuple[str, str]]:
    """Return the pairs of deletion policy and update replace policy."""
    return {(each["DeletionPolicy"], each["UpdateReplacePolicy"]) for each in resources.values()}


class TestDeletion:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html.

    `RetainExceptOnCreate` retains a resource that leaves the stack, or whose stack is deleted. It does not
    retain a resource that a failed deployment created: it is empty, and the next deployment creates another.
    """

    def test_stateful_resources_are_retained_except_after_a_failed_creation(self, before: Resources) -> None:
        assert deletion_and_replacement_policies(before) == {("RetainExceptOnCreate", "Retain")}

    def test_deletion_protection_is_off_by_default(self, before: Resources) -> None:
        # Deletion protection would end the rollback in ROLLBACK_FAILED.
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html
        (table,) = [each for each in before.values() if each["Type"] == "AWS::DynamoDB::Table"]
        assert table["Properties"]["DeletionProtectionEnabled"] is False

    def test_removal_policy_retain_always_retains(self) -> None:
        kept = stateful_resources(removal_policy=cdk.RemovalPolicy.RETAIN)
        assert deletion_and_replacement_policies(kept) == {("Retain", "Retain")}
        (table,) = [each for each in kept.values() if each["Type"] == "AWS::DynamoDB::Table"]
        assert table["Properties"]["DeletionProtectionEnabled"] is True

    def test_removal_policy_destroy_deletes(self) -> None:
        gone = stateful_resources(removal_policy=cdk.RemovalPolicy.DESTROY)
        assert deletion_and_replacement_policies(gone) == {("Delete", "Delete")}

    def test_renaming_the_construct_retains_both_queues(self, before: Resources) -> None:
        stack = cdk.Stack(new_app(), "Test")
        S3ToSftp(stack, "Renamed", server=SftpServer("sftp.partner.example", host_keys=[ED25519]))
        assert not before.keys() & stateful_resources_of(stack).keys()
        removed = [each for each in before.values() if each["Type"] == "AWS::SQS::Queue"]
        assert [each["DeletionPolicy"] for each in removed] == ["RetainExceptOnCreate"] * 2

    def test_failed_creation_of_static_egress_retains_no_elastic_ip(self) -> None:
        stack = cdk.Stack(new_app(), "Test")
        StaticEgress(stack, "Egress")
        resources: Resources = Template.from_stack(stack).to_json()["Resources"]
        lasting = {"AWS::EC2::EIP", "AWS::Logs::LogGroup"}
        kept = {name: each for name, each in resources.items() if each["Type"] in lasting}
        assert len(kept) == len(lasting)
        assert deletion_and_replacement_policies(kept) == {("RetainExceptOnCreate", "Retain")}


def assert_no_replacement(before: Resources, after: Resources) -> None:
    assert after.keys() == before.keys()
    for name, resource in after.items():
        old, new = before[name].get("Properties", {}), resource.get("Properties", {})
        changed = {each for each in old.keys() | new.keys() if old.get(each) != new.get(each)}
        assert not changed & create_only_properties(resource["Type"]), name
        # CloudFormation writes the secret again when this text changes, which would overwrite the login.
        assert "SecretString" not in changed
