"""What others say about the template: cdk-nag, cfn-lint, and the snapshot that a reviewer looks at."""

import json
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from cfnlint import api as cfnlint  # type: ignore[import-untyped]  # it ships no types

from cdk_s3_to_sftp import S3ToSftp, S3ToSftpStack
from cdk_s3_to_sftp.acknowledgements import has_validations
from tests.infra.conftest import REPOSITORY, new_app
from tests.infra.test_outputs import NAMES
from tests.support.infra.rule_packs import (
    AWS_SOLUTIONS,
    NIST,
    SERVER,
    acknowledged,
    all_brought_along,
    careless,
    findings,
    stock,
    through_static_egress,
)

SNAPSHOT = Path(__file__).with_name("snapshot.json")

HANDLER = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
"""CDK's own function, one for a whole stack: what there is to say about it is for the stack to say."""

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
    "Errors",
    "Throttles",
)


@pytest.fixture(scope="module")
def stock_stack() -> S3ToSftpStack:
    return stock(new_app())


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
    stock(app, **arguments)
    assert findings(app) == set()


def test_cdk_nag_finds_nothing_unexplained_about_a_bucket_that_is_passed_in() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    theirs = s3.Bucket.from_bucket_name(stack, "Theirs", "their-bucket")
    S3ToSftp(stack, "Delivery", server=SERVER, bucket=theirs)
    of_bucket = ("Test/Theirs/Notifications/HandlerPolicy/Resource", "NIST.800.53.R5-IAMNoInlinePolicy")
    # Older CDKs have one policy for all buckets, which `findings` leaves out.
    assert findings(app) == {
        (f"Test/{HANDLER}/Role/Resource", MANAGED_POLICY),
        *([of_bucket] if has_validations() else []),
    }


def test_cdk_nag_finds_nothing_unexplained_about_a_ledger_with_a_key_of_its_own() -> None:
    app = new_app()
    stack = cdk.Stack(app, "Test")
    arn = "arn:aws:kms:eu-west-1:123456789012:key/0"
    ledger = dynamodb.Table.from_table_attributes(
        stack, "Theirs", table_name="theirs", encryption_key=kms.Key.from_key_arn(stack, "Key", arn)
    )
    S3ToSftp(stack, "Delivery", server=SERVER, ledger=ledger)
    assert findings(app) == {(f"Test/{HANDLER}/Role/Resource", MANAGED_POLICY)}


def test_cdk_nag_finds_nothing_unexplained_but_about_what_is_brought_along() -> None:
    app = new_app()
    all_brought_along(app)
    assert {each for each in findings(app) if not each[0].startswith("Platform/")} == {
        (f"Test/{HANDLER}/Role/Resource", MANAGED_POLICY),
        ("Test/Role/DefaultPolicy/Resource", "NIST.800.53.R5-IAMNoInlinePolicy"),
    }


def test_cdk_nag_finds_nothing_unexplained_about_static_egress() -> None:
    app = new_app()
    through_static_egress(app, addresses=2)
    assert findings(app) == {(f"Fixed/{HANDLER}/Role/Resource", MANAGED_POLICY)}


@pytest.mark.parametrize("pack", [AWS_SOLUTIONS, NIST])
def test_cdk_nag_is_awake(pack: str) -> None:
    app = new_app()
    careless(app)
    told = {AWS_SOLUTIONS: "S10", NIST: "S3BucketSSLRequestsOnly"}
    assert ("Careless/Bucket/Resource", f"{pack}-{told[pack]}") in findings(app)


@needs_acknowledgements
def test_acknowledgements_are_few_and_each_for_one_resource(stock_stack: S3ToSftpStack) -> None:
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
@pytest.mark.parametrize("build", [stock, all_brought_along, through_static_egress])
def test_every_acknowledgement_answers_one_finding(
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
    ("bring", "rules"),
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
def test_argument_takes_a_finding_away_and_its_acknowledgement_with_it(
    bring: Callable[[cdk.Stack], dict[str, Any]], rules: set[str]
) -> None:
    gone = {f"{NIST}-{rule}" for rule in rules}
    app = new_app()
    plain, brought = cdk.Stack(new_app(), "Plain"), cdk.Stack(app, "Brought")
    S3ToSftp(plain, "Delivery", server=SERVER)
    S3ToSftp(brought, "Delivery", server=SERVER, **bring(brought))
    assert gone <= {rule for _, rule in acknowledged(plain)}
    assert not gone & {rule for _, rule in acknowledged(brought)}
    assert not gone & {rule for path, rule in findings(app) if path.startswith("Brought/Delivery/")}


@needs_acknowledgements
def test_acknowledgements_of_cdk_nag_are_not_in_the_template(template: dict[str, Any]) -> None:
    text = json.dumps(template)
    assert [pack for pack in (AWS_SOLUTIONS, NIST) if pack in text] == []


def test_cfn_lint_has_nothing_to_say(template: dict[str, Any]) -> None:
    # W3005: CDK writes dependencies that a reference implies anyway.
    config = cfnlint.ManualArgs(ignore_checks=["W3005"], regions=["eu-west-1"])
    assert cfnlint.lint(json.dumps(template), config=config) == []


def test_template_is_the_one_that_was_reviewed(template: dict[str, Any]) -> None:
    """After a change that is meant: `UPDATE_SNAPSHOTS=1 pytest tests/infra -k reviewed`; look at the diff."""
    if f"aws-cdk-lib=={version('aws-cdk-lib')}\n" not in (REPOSITORY / "requirements.txt").read_text():
        pytest.skip(f"it was reviewed as another CDK than {version('aws-cdk-lib')} makes it")
    text = re.sub(r"[0-9a-f]{64}", "<hash>", json.dumps(template, indent=1, sort_keys=True)) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert json.loads(text) == json.loads(SNAPSHOT.read_text())


def test_outputs_say_what_a_person_needs_next(template: dict[str, Any]) -> None:
    assert set(template["Outputs"]) == NAMES
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


def test_dead_lettered_messages_are_sent_back_by_one_command(template: dict[str, Any]) -> None:
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
