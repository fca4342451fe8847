"""Every statement for an AWS service has a condition on the caller: otherwise any account matches.

The confused deputy: https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html. CDK adds the
condition only with the feature flag `eventsTargetQueueSameAccount` (aws/aws-cdk#22740), which apps may lack.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Source, Trigger
from tests.infra.conftest import new_app
from tests.infra.test_examples import EXAMPLES, synthesised
from tests.support.infra.keys import ED25519
from tests.support.infra.rule_packs import SERVER, stock, through_static_egress, with_existing_resources

CALLER_CONDITIONS = {
    "aws:SourceArn",
    "aws:SourceAccount",
    # What CloudWatch Logs offers instead: the ARN of the log group, with the account in it.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    "kms:EncryptionContext:aws:logs:arn",
}

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0f0f0f0f-0000-4000-8000-0123456789ab"


def service_statements(template: Any) -> Iterator[dict[str, Any]]:
    """Yield every statement for a service in a resource policy. Trust policies of roles are left out."""
    if isinstance(template, list):
        for each in template:
            yield from service_statements(each)
    elif isinstance(template, dict):
        if template.get("Effect") == "Allow" and "Service" in (template.get("Principal") or ()):
            yield template
        for name, each in template.items():
            if name != "AssumeRolePolicyDocument":
                yield from service_statements(each)


def statements_without_caller(template: Any) -> list[dict[str, Any]]:
    return [
        each
        for each in service_statements(template)
        if not CALLER_CONDITIONS & {key for keys in each.get("Condition", {}).values() for key in keys}
    ]


def app_with_flags(*, on: bool) -> cdk.App:
    """Return an app with all feature flags of the stock app, or with none."""
    return new_app() if on else cdk.App(context={"aws:cdk:bundling-stacks": []}, analytics_reporting=False)


def stock_stack(app: cdk.App) -> None:
    stock(app)


def existing_resources(app: cdk.App) -> None:
    with_existing_resources(app)


def static_egress(app: cdk.App) -> None:
    through_static_egress(app)


def by_every_trigger(app: cdk.App, *, encrypted: bool) -> cdk.Stack:
    platform, stack = cdk.Stack(app, "Platform"), cdk.Stack(app, "Test")
    delivery = S3ToSftp(
        stack,
        "Delivery",
        server=SERVER,
        sources=[
            Source(s3.Bucket(scope, f"{scope.node.id}{trigger}"), trigger=trigger)
            for scope in (stack, platform)
            for trigger in Trigger
        ],
        encryption_key=kms.Key(stack, "Key") if encrypted else None,
        alarm_topic=sns.Topic(stack, "Topic"),
    )
    delivery.add_source(s3.Bucket.from_bucket_name(stack, "Theirs", "theirs"))
    return stack


def encrypted(app: cdk.App) -> None:
    by_every_trigger(app, encrypted=True)


def unencrypted(app: cdk.App) -> None:
    by_every_trigger(app, encrypted=False)


def existing_dead_letter_queue(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Test")
    S3ToSftp(
        stack,
        "Delivery",
        server=SERVER,
        trigger=Trigger.EVENTBRIDGE,
        dead_letter_queue=sqs.Queue(stack, "DeadLettered", encryption_master_key=kms.Key(stack, "Key")),
    )


@pytest.mark.parametrize("on", [True, False], ids=["flags", "no-flags"])
@pytest.mark.parametrize(
    "make",
    [stock_stack, existing_resources, static_egress, encrypted, unencrypted, existing_dead_letter_queue],
    ids=lambda make: make.__name__,
)
def test_every_service_statement_has_a_caller_condition(make: Callable[[cdk.App], None], *, on: bool) -> None:
    app = app_with_flags(on=on)
    make(app)
    templates = [each.template for each in app.synth().stacks]
    assert list(service_statements(templates))
    assert statements_without_caller(templates) == []


@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/app.py")))
def test_every_service_statement_of_the_examples_has_a_caller_condition(
    example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    templates = synthesised(example, monkeypatch, tmp_path)
    assert statements_without_caller(list(templates.values())) == []


def test_key_policy_statements_have_a_caller_condition() -> None:
    stack = cdk.Stack(app_with_flags(on=False), "Test")
    key = kms.Key.from_key_arn(stack, "Theirs", KEY_ARN)
    delivery = S3ToSftp(stack, "Delivery", server=SERVER, encryption_key=key, trigger=Trigger.EVENTBRIDGE)
    statements = [stack.resolve(each.to_statement_json()) for each in delivery.key_policy_statements(key)]
    assert "events.amazonaws.com" in json.dumps(statements)
    assert statements_without_caller(statements) == []


def test_s3_and_eventbridge_may_use_the_key_for_the_own_account_only() -> None:
    stack = cdk.Stack(new_app(), "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    delivery = S3ToSftp(
        stack,
        "Delivery",
        server=SftpServer("sftp.partner.example", host_keys=[ED25519]),
        encryption_key=kms.Key(stack, "Key"),
    )
    existing = {"bucket_name": "theirs", "account": "222222222222"}
    bucket = s3.Bucket.from_bucket_attributes(stack, "Theirs", **existing)
    delivery.add_source(bucket, trigger=Trigger.EVENTBRIDGE)  # forwarded to a bus of this account
    for service in ("s3.amazonaws.com", "events.amazonaws.com"):
        assert allowed_accounts(stack, service) == ["111111111111"]


def allowed_accounts(stack: cdk.Stack, service: str) -> list[str]:
    """Return the accounts on whose behalf the service may use the key."""
    (key,) = [each for each in stack.node.find_all() if isinstance(each, kms.CfnKey)]
    return sorted(
        each["Condition"]["StringEquals"]["aws:SourceAccount"]
        for each in service_statements(stack.resolve(key.key_policy))
        if service in str(each["Principal"])
    )
