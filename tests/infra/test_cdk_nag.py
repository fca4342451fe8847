"""cdk-nag has no unexplained finding, and every acknowledgement answers exactly one."""

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from cdk_s3_to_sftp import S3ToSftp, S3ToSftpStack
from cdk_s3_to_sftp.acknowledgements import has_validations
from tests.infra.conftest import new_app
from tests.support.infra.rule_packs import (
    AWS_SOLUTIONS,
    NIST,
    SERVER,
    acknowledged,
    findings,
    insecure_bucket,
    stock,
    through_static_egress,
    with_existing_resources,
)

HANDLER = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
"""CDK's own function, one for each stack: its findings are for the owner of the stack to suppress."""

MANAGED_POLICY = (
    "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]"
)

needs_acknowledgements = pytest.mark.skipif(
    not has_validations(), reason=f"aws-cdk-lib {version('aws-cdk-lib')} has no acknowledgements of findings"
)

ALARMS = (
    "DeadLettered",
    "Backlog",
    "Retrying",
    "CircuitBreakerOpen",
    "PausedTooLong",
    "LoginFallback",
    "Errors",
    "Throttles",
)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"prefix": "outgoing/", "max_connections": 1, "retry_for": cdk.Duration.hours(1)}],
    ids=["default", "other"],
)
def test_stock_stack_has_no_unsuppressed_finding(arguments: dict[str, Any]) -> None:
    app = new_app()
    stock(app, **arguments)
    assert findings(app) == set()


def test_existing_bucket_adds_only_findings_of_cdks_own_resources() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    existing = s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket")
    S3ToSftp(stack, "Delivery", server=SERVER, bucket=existing)
    of_bucket = ("Test/Theirs/Notifications/HandlerPolicy/Resource", "NIST.800.53.R5-IAMNoInlinePolicy")
    # Older CDKs have one policy for all buckets, which `findings` leaves out.
    assert findings(app) == {
        (f"Test/{HANDLER}/Role/Resource", MANAGED_POLICY),
        *([of_bucket] if has_validations() else []),
    }


def test_existing_encrypted_ledger_adds_no_finding() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    arn = "arn:aws:kms:eu-west-1:123456789012:key/0"
    ledger = dynamodb.Table.from_table_attributes(
        stack, "Theirs", table_name="theirs", encryption_key=kms.Key.from_key_arn(stack, "Key", arn)
    )
    S3ToSftp(stack, "Delivery", server=SERVER, ledger=ledger)
    assert findings(app) == {(f"Test/{HANDLER}/Role/Resource", MANAGED_POLICY)}


def test_existing_resources_leave_only_findings_of_others() -> None:
    app = new_app()
    with_existing_resources(app)
    assert {each for each in findings(app) if not each[0].startswith("Platform/")} == {
        (f"Test/{HANDLER}/Role/Resource", MANAGED_POLICY),
        ("Test/Role/DefaultPolicy/Resource", "NIST.800.53.R5-IAMNoInlinePolicy"),
    }


def test_static_egress_has_no_unsuppressed_finding() -> None:
    app = new_app()
    through_static_egress(app, addresses=2)
    assert findings(app) == {(f"Fixed/{HANDLER}/Role/Resource", MANAGED_POLICY)}


@pytest.mark.parametrize("pack", [AWS_SOLUTIONS, NIST])
def test_insecure_bucket_is_found(pack: str) -> None:
    app = new_app()
    insecure_bucket(app)
    expected_rules = {AWS_SOLUTIONS: "S10", NIST: "S3BucketSSLRequestsOnly"}
    assert ("Careless/Bucket/Resource", f"{pack}-{expected_rules[pack]}") in findings(app)


@needs_acknowledgements
def test_acknowledgements_of_the_stock_stack_are_these(stock_stack: S3ToSftpStack) -> None:
    by_path: dict[str, set[str]] = {}
    for path, rule in acknowledged(stock_stack):
        by_path.setdefault(path.removeprefix("S3ToSftp/"), set()).add(rule)
    inline_policy = "NIST.800.53.R5-IAMNoInlinePolicy"
    assert by_path == {
        "Delivery/Bucket": {
            "AwsSolutions-S1",
            "NIST.800.53.R5-S3BucketLoggingEnabled",
            "NIST.800.53.R5-S3BucketReplicationEnabled",
            "NIST.800.53.R5-S3DefaultEncryptionKMS",
            inline_policy,
        },
        "Delivery/Credentials": {
            "AwsSolutions-SMG4",
            "NIST.800.53.R5-SecretsManagerRotationEnabled",
            "NIST.800.53.R5-SecretsManagerUsingKMSKey",
        },
        "Delivery/Ledger": {"NIST.800.53.R5-DynamoDBInBackupPlan"},
        "Delivery/Log": {"NIST.800.53.R5-CloudWatchLogGroupEncrypted"},
        "Delivery/Role": {
            "AwsSolutions-IAM5[Resource::<DeliveryBucket818C8F75.Arn>/*]",
            inline_policy,
        },
        "Delivery/Function": {
            "AwsSolutions-L1",
            "NIST.800.53.R5-LambdaConcurrency",
            "NIST.800.53.R5-LambdaDLQ",
            "NIST.800.53.R5-LambdaInsideVPC",
        },
        **{f"Delivery/Monitoring/{name}": {"NIST.800.53.R5-CloudWatchAlarmAction"} for name in ALARMS},
        HANDLER: {MANAGED_POLICY},
    }


@needs_acknowledgements
@pytest.mark.parametrize("build", [stock, with_existing_resources, through_static_egress])
def test_every_acknowledgement_answers_exactly_one_finding(
    build: Callable[[cdk.App], cdk.Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = acknowledged(build(new_app()))
    monkeypatch.setattr(cdk.Validations, "acknowledge", lambda *_: None)
    app = new_app()
    build(app)
    found = findings(app)
    answered = {
        answer: [each for each, rule in found if rule == answer[1] and each.startswith(f"{answer[0]}/")]
        for answer in answers
    }
    assert {answer: each for answer, each in answered.items() if len(each) != 1} == {}


@needs_acknowledgements
@pytest.mark.parametrize(
    ("arguments", "rules"),
    [
        (
            lambda stack: {"encryption_key": kms.Key(stack, "Key", enable_key_rotation=True)},
            {"S3DefaultEncryptionKMS", "SecretsManagerUsingKMSKey", "CloudWatchLogGroupEncrypted"},
        ),
        (lambda stack: {"vpc": ec2.Vpc(stack, "Vpc")}, {"LambdaInsideVPC"}),
        (lambda stack: {"alarm_topic": sns.Topic(stack, "Topic")}, {"CloudWatchAlarmAction"}),
        (lambda _: {"max_connections": 1}, {"LambdaConcurrency"}),
    ],
    ids=["encryption_key", "vpc", "alarm_topic", "max_connections"],
)
def test_argument_removes_the_finding_and_its_acknowledgement(
    arguments: Callable[[cdk.Stack], dict[str, Any]], rules: set[str]
) -> None:
    gone = {f"{NIST}-{rule}" for rule in rules}
    app = new_app()
    default, changed = cdk.Stack(new_app(), "Default"), cdk.Stack(app, "Changed")
    S3ToSftp(default, "Delivery", server=SERVER)
    S3ToSftp(changed, "Delivery", server=SERVER, **arguments(changed))
    assert gone <= {rule for _, rule in acknowledged(default)}
    assert not gone & {rule for _, rule in acknowledged(changed)}
    assert not gone & {rule for path, rule in findings(app) if path.startswith("Changed/Delivery/")}


@needs_acknowledgements
def test_acknowledgements_are_not_in_the_template(stock_template: dict[str, Any]) -> None:
    text = json.dumps(stock_template)
    assert [pack for pack in (AWS_SOLUTIONS, NIST) if pack in text] == []
