"""The whole construct: what it creates by default, and which arguments it refuses."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer
from tests.infra.conftest import Synthesise, new_app
from tests.infra.templates import (
    PARTNER_TAGS,
    as_text,
    environment_variables,
    own_properties,
    role_permissions,
    work_queue_properties,
)


class TestBucket:
    def test_bucket_is_private_encrypted_and_versioned(self, default_template: Template) -> None:
        assert own_properties(default_template, "AWS::S3::Bucket") == {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                        "ExpiredObjectDeleteMarker": True,
                        "Id": "OldVersions",
                        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                        "Status": "Enabled",
                    }
                ]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "Tags": PARTNER_TAGS,
            "VersioningConfiguration": {"Status": "Enabled"},
        }

    def test_notification_sends_every_created_object_to_the_queue(self, default_template: Template) -> None:
        (rule,) = own_properties(default_template, "Custom::S3BucketNotifications")[
            "NotificationConfiguration"
        ]["QueueConfigurations"]
        assert as_text(rule["QueueArn"]) == "DeliveryQueue"
        assert rule["Events"] == ["s3:ObjectCreated:*"]
        assert "Filter" not in rule

    def test_notification_filters_by_prefix_and_suffix(self, synthesise: Synthesise) -> None:
        template = synthesise(prefix="outgoing/", suffix=".csv")
        (rule,) = own_properties(template, "Custom::S3BucketNotifications")["NotificationConfiguration"][
            "QueueConfigurations"
        ]
        assert rule["Filter"]["Key"]["FilterRules"] == [
            {"Name": "suffix", "Value": ".csv"},
            {"Name": "prefix", "Value": "outgoing/"},
        ]

    def test_existing_bucket_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        template = synthesise(bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket"))
        template.resource_count_is("AWS::S3::Bucket", 0)
        template.has_resource_properties("Custom::S3BucketNotifications", {"BucketName": "their-bucket"})

    def test_bucket_of_another_stack_causes_no_dependency_cycle(self, server: SftpServer) -> None:
        app = new_app()
        existing = s3.Bucket(cdk.Stack(app, "Theirs"), "Bucket")
        ours = cdk.Stack(app, "Ours")
        S3ToSftp(ours, "Delivery", server=server, bucket=existing)
        app.synth()
        (custom,) = Template.from_stack(ours).find_resources("Custom::S3BucketNotifications").values()
        assert custom["Properties"]["Managed"] is False

    def test_function_may_decrypt_with_the_key_of_an_existing_bucket(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        template = synthesise(
            bucket=s3.Bucket(stack, "Theirs", encryption_key=kms.Key(stack, "DeliveryKey")),
        )
        assert role_permissions(template)["DeliveryKey"] == ["kms:Decrypt"]


class TestCredentials:
    def test_secret_placeholder_is_constant(self, default_template: Template) -> None:
        # A changed placeholder would overwrite the login when a stack is updated.
        assert own_properties(default_template, "AWS::SecretsManager::Secret")["SecretString"] == (
            '{"username":"REPLACE-ME","password":"","private_key":"","passphrase":""}'
        )

    def test_existing_secret_is_used(self, stack: cdk.Stack, synthesise: Synthesise) -> None:
        arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:bank-AbCdEf"
        template = synthesise(
            credentials=secretsmanager.Secret.from_secret_complete_arn(stack, "Theirs", arn),
        )
        template.resource_count_is("AWS::SecretsManager::Secret", 0)
        assert role_permissions(template)[arn] == ["secretsmanager:GetSecretValue"]
        assert (
            own_properties(template, "AWS::Lambda::Function")["Environment"]["Variables"]["SSH_SECRET_ARN"]
            == arn
        )

    def test_secret_imported_by_name_is_readable_with_any_arn_suffix(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        template = synthesise(credentials=secretsmanager.Secret.from_secret_name_v2(stack, "Theirs", "bank"))
        (resource,) = [each for each in role_permissions(template) if "secret:" in each]
        assert resource.endswith(":secret:bank-??????")

    def test_function_may_decrypt_with_the_key_of_an_existing_secret(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        template = synthesise(
            credentials=secretsmanager.Secret(stack, "Theirs", encryption_key=kms.Key(stack, "DeliveryKey")),
        )
        assert role_permissions(template)["DeliveryKey"] == ["kms:Decrypt"]


class TestEventBus:
    def test_events_go_to_the_default_bus(self, default_template: Template) -> None:
        default_template.resource_count_is("AWS::Events::EventBus", 0)
        assert as_text(environment_variables(default_template)["EVENT_BUS"]).endswith(":event-bus/default")

    def test_existing_event_bus_of_another_account_is_used(
        self, stack: cdk.Stack, synthesise: Synthesise
    ) -> None:
        arn = "arn:aws:events:eu-west-1:210987654321:event-bus/central"
        template = synthesise(event_bus=events.EventBus.from_event_bus_arn(stack, "Theirs", arn))
        assert environment_variables(template)["EVENT_BUS"] == arn
        assert role_permissions(template)[arn] == ["events:PutEvents"]


def test_no_resource_has_a_physical_name(default_template: Template) -> None:
    names = {"BucketName", "QueueName", "TableName", "FunctionName", "RoleName", "LogGroupName", "Name"}
    for name, resource in default_template.to_json()["Resources"].items():
        if resource["Type"] in {"Custom::S3BucketNotifications", "AWS::Lambda::EventSourceMapping"}:
            continue  # they refer to others by these names
        assert not names & set(resource.get("Properties", {})), name


def test_one_stack_can_contain_two_deliveries(stack: cdk.Stack, server: SftpServer) -> None:
    S3ToSftp(stack, "ToBank", server=server)
    S3ToSftp(stack, "ToInsurer", server=server)
    Template.from_stack(stack).resource_count_is("AWS::S3::Bucket", 2)


def test_resources_are_attributes(stack: cdk.Stack, server: SftpServer) -> None:
    delivery = S3ToSftp(stack, "Delivery", server=server)
    parts = (
        "bucket",
        "credentials",
        "ledger",
        "event_bus",
        "queue",
        "dead_letter_queue",
        "function",
        "log_group",
    )
    assert {stack.of(getattr(delivery, part)).stack_name for part in parts} == {"Test"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"max_connections": 0}, "max_connections must be 1-128, got 0"),
        ({"max_connections": 129}, "max_connections must be 1-128, got 129"),
        ({"memory_size": 127}, "memory_size must be 128-10240 MB, got 127"),
        ({"memory_size": 10241}, "memory_size must be 128-10240 MB, got 10241"),
        ({"timeout": cdk.Duration.minutes(31)}, "timeout must be 1-1800 seconds, got 1860"),
        ({"timeout": cdk.Duration.seconds(0)}, "timeout must be 1-1800 seconds, got 0"),
        (
            {"timeout": cdk.Duration.seconds(120)},
            "timeout must be longer than the 120 seconds that the server may take for one reply, got 120; "
            "SftpServer(reply_timeout=...) lowers the former",
        ),
        ({"timeout": cdk.Duration.millis(1500)}, "timeout must be whole seconds, got 1.5"),
        ({"retry_for": cdk.Duration.minutes(30)}, "retry_for must be 1-72 hours, got 0.5"),
        ({"retry_for": cdk.Duration.days(4)}, "retry_for must be 1-72 hours, got 96"),
        ({"receipts_for": cdk.Duration.days(31)}, "receipts_for must be 32-3650 days, got 31"),
        ({"receipts_for": cdk.Duration.days(3651)}, "receipts_for must be 32-3650 days, got 3651"),
        (
            {"suffix": "*.csv"},
            "suffix must not contain '*': S3 compares it literally, got '*.csv'; remove the '*'",
        ),
        (
            {"prefix": "out/*"},
            "prefix must not contain '*': S3 compares it literally, got 'out/*'; remove the '*'",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:30],
)
def test_invalid_argument_is_refused(
    synthesise: Synthesise, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        synthesise(**arguments)
    assert str(caught.value) == sentence


def test_numbers_and_durations_can_be_tokens(stack: cdk.Stack, synthesise: Synthesise) -> None:
    number: Any = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    seconds = cdk.Duration.seconds(number)
    template = synthesise(memory_size=number, timeout=seconds, retry_for=seconds, receipts_for=seconds)
    function = own_properties(template, "AWS::Lambda::Function")
    assert (function["MemorySize"], function["Timeout"]) == ({"Ref": "Number"}, {"Ref": "Number"})
    # The visibility timeout exceeds the longest possible timeout of the function.
    assert work_queue_properties(template)["VisibilityTimeout"] == 1860
    assert environment_variables(template)["RECEIPTS_FOR_SECONDS"] == {"Ref": "Number"}


def test_max_connections_cannot_be_a_token(stack: cdk.Stack, synthesise: Synthesise) -> None:
    number: Any = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    with pytest.raises(InvalidArgument) as caught:
        synthesise(max_connections=number)
    assert str(caught.value) == (
        "max_connections must be known when the app is synthesised, since it decides how many functions "
        "there are at a time: got a Token"
    )
