"""What others say about the template: cdk-nag, cfn-lint, and the snapshot that a reviewer looks at."""

import json
import os
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk_nag
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from cfnlint import api as cfnlint  # type: ignore[import-untyped]  # it ships no types

from cdk_s3_to_sftp import S3ToSftp, S3ToSftpStack, SftpServer, Trigger
from tests.infra.conftest import new_app
from tests.infra.keys import ED25519

SNAPSHOT = Path(__file__).with_name("snapshot.json")


def findings(app: cdk.App) -> list[str]:
    """What AwsSolutions has to say about the app."""
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError:  # a finding ends the synth; the report says which
        report = json.loads((Path(app.outdir) / "validation-report.json").read_text())
        return [
            violation["ruleName"] for plugin in report["pluginReports"] for violation in plugin["violations"]
        ]
    return []


def acknowledged(stack: cdk.Stack) -> list[tuple[str, str, str]]:
    """Construct path, rule and reason of everything that is acknowledged in the stack."""
    key = cdk.Validations.ACKNOWLEDGED_RULES_METADATA_KEY
    return [
        (construct.node.path, rule.removeprefix("AwsSolutions::"), reason)
        for construct in stack.node.find_all()
        for entry in construct.node.metadata
        if entry.type == key
        for rule, reason in entry.data.items()
    ]


@pytest.fixture(scope="module")
def stock_stack() -> S3ToSftpStack:
    return stack_in(new_app())


def stack_in(app: cdk.App, **arguments: Any) -> S3ToSftpStack:
    return S3ToSftpStack(
        app, "S3ToSftp", server=SftpServer("sftp.partner.example", host_keys=[ED25519]), **arguments
    )


@pytest.fixture(scope="module")
def template(stock_stack: S3ToSftpStack) -> dict[str, Any]:
    app = stock_stack.node.root
    assert isinstance(app, cdk.App)
    found: dict[str, Any] = app.synth().get_stack_by_name("S3ToSftp").template
    return found


@pytest.mark.parametrize(
    "arguments",
    [{}, {"prefix": "outgoing/", "max_connections": 1, "retry_for": cdk.Duration.hours(1)}],
    ids=["default", "other"],
)
def test_cdk_nag_finds_nothing_unexplained(arguments: dict[str, Any]) -> None:
    app = new_app()
    stack_in(app, **arguments)
    assert findings(app) == []


def test_cdk_nag_finds_nothing_unexplained_about_a_bucket_that_is_passed_in() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    server = SftpServer("sftp.partner.example", host_keys=[ED25519])
    S3ToSftp(
        stack, "Delivery", server=server, bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket")
    )
    about_cdks_own_function = ("AwsSolutions-IAM4", "AwsSolutions-IAM5[Resource::*]")
    assert [each for each in findings(app) if not each.startswith(about_cdks_own_function)] == []


def test_cdk_nag_finds_nothing_unexplained_about_a_ledger_with_a_key_of_its_own() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    arn = "arn:aws:kms:eu-west-1:123456789012:key/0"
    ledger = dynamodb.Table.from_table_attributes(
        stack, "Theirs", table_name="theirs", encryption_key=kms.Key.from_key_arn(stack, "Key", arn)
    )
    server = SftpServer("sftp.partner.example", host_keys=[ED25519])
    S3ToSftp(stack, "Delivery", server=server, ledger=ledger)
    assert [each for each in findings(app) if "kms" in each or "dynamodb" in each] == []


def test_cdk_nag_finds_nothing_unexplained_about_what_is_brought_along() -> None:
    app = new_app()
    env = cdk.Environment(account="123456789012", region="eu-west-1")
    platform, stack = cdk.Stack(app, "Platform", env=env), cdk.Stack(app, "Test", env=env)
    delivery = S3ToSftp(
        stack,
        "Delivery",
        server=SftpServer("sftp.partner.example", host_keys=[ED25519]),
        encryption_key=kms.Key(stack, "Key", enable_key_rotation=True),
        vpc=ec2.Vpc(platform, "Vpc"),
        role=iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
    )
    theirs = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    delivery.add_source(theirs, suffix=".csv", directory="/theirs", trigger=Trigger.EVENTBRIDGE)
    report = findings(app)
    # About the network, and about CDK's own functions; what is not of AwsSolutions are warnings of ours.
    not_ours = ("AwsSolutions-VPC7", "AwsSolutions-IAM4")
    rules = [each for each in report if each.startswith("AwsSolutions")]
    assert [each for each in rules if not each.startswith(not_ours)] == []


def test_cdk_nag_is_awake() -> None:
    app = new_app()
    s3.Bucket(stack_in(app), "Careless")
    assert "AwsSolutions-S10" in findings(app)


def test_acknowledgements_are_few_and_each_for_one_resource(stock_stack: S3ToSftpStack) -> None:
    assert {(path, rule) for path, rule, _ in acknowledged(stock_stack)} == {
        ("S3ToSftp/Delivery/Bucket", "AwsSolutions-S1"),
        ("S3ToSftp/Delivery/Credentials", "AwsSolutions-SMG4"),
        ("S3ToSftp/Delivery/Role", "AwsSolutions-IAM5[Resource::<DeliveryBucket818C8F75.Arn>/*]"),
        ("S3ToSftp/Delivery/Function", "AwsSolutions-L1"),
        (
            "S3ToSftp/BucketNotificationsHandler050a0587b7544547bf325f094a3db834",
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]",
        ),
    }


def test_cfn_lint_has_nothing_to_say(template: dict[str, Any]) -> None:
    # W3005: CDK writes dependencies that a reference implies anyway.
    config = cfnlint.ManualArgs(ignore_checks=["W3005"], regions=["eu-west-1"])
    assert cfnlint.lint(json.dumps(template), config=config) == []


def test_template_is_the_one_that_was_reviewed(template: dict[str, Any]) -> None:
    """After a change that is meant: `UPDATE_SNAPSHOTS=1 pytest tests/infra -k reviewed`; look at the diff."""
    text = re.sub(r"[0-9a-f]{64}", "<hash>", json.dumps(template, indent=1, sort_keys=True)) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert json.loads(text) == json.loads(SNAPSHOT.read_text())


def test_outputs_say_what_a_person_needs_next(template: dict[str, Any]) -> None:
    assert set(template["Outputs"]) == {
        "BucketName",
        "SecretArn",
        "FillSecretCommand",
        "QueueUrl",
        "DeadLetterQueueUrl",
        "RedriveCommand",
        "LedgerTableName",
        "FunctionName",
        "DashboardName",
    }
    secret = {"Ref": "DeliveryCredentials9BE288DA"}
    assert template["Outputs"]["SecretArn"]["Value"] == secret
    (_, words) = template["Outputs"]["FillSecretCommand"]["Value"]["Fn::Join"]
    assert words == [
        "aws secretsmanager put-secret-value --region ",
        {"Ref": "AWS::Region"},
        " --secret-id ",
        secret,
        " --secret-string "
        """'{"username": "NAME", "password": "PASSWORD", "private_key": "", "passphrase": ""}'""",
    ]


def test_parked_messages_are_sent_back_by_one_command(template: dict[str, Any]) -> None:
    (_, words) = template["Outputs"]["RedriveCommand"]["Value"]["Fn::Join"]
    assert words == [
        "aws sqs start-message-move-task --region ",
        {"Ref": "AWS::Region"},
        " --source-arn ",
        {"Fn::GetAtt": ["DeliveryDeadLetterQueue7D230F16", "Arn"]},
        " --destination-arn ",
        {"Fn::GetAtt": ["DeliveryQueue6A0D8ED9", "Arn"]},
    ]


def test_template_holds_no_secret(template: dict[str, Any]) -> None:
    text = json.dumps(template)
    assert "resolve:" not in text
    assert [name for name in ("SSH_USERNAME", "SSH_PASSWORD") if name in text] == []
