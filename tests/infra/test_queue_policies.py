"""Queue policies: who may send messages, and the quotas of a policy with many sources."""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger
from tests.infra.conftest import new_app

# Amazon SQS Developer Guide, "Amazon SQS policy quotas":
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html
STATEMENTS, CONDITIONS, BYTES = 20, 10, 8192

PLACE = cdk.Environment(account="123456789012", region="eu-west-1")


@pytest.fixture
def stack_in_region(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Test", env=PLACE)


def new_delivery(scope: cdk.Stack, server: SftpServer) -> S3ToSftp:
    return S3ToSftp(scope, "Delivery", server=server, sources=[])


def policies(stack: cdk.Stack) -> list[list[dict[str, Any]]]:
    """Return the policy statements of the queue, and those of the dead-letter queue."""
    found = Template.from_stack(stack).find_resources("AWS::SQS::QueuePolicy")
    ordered = sorted(found.items(), key=lambda item: "DeadLetter" in item[0])
    return [each["Properties"]["PolicyDocument"]["Statement"] for _, each in ordered]


def senders(statements: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["Principal"]["Service"]: each for each in statements if "Service" in each["Principal"]}


def conditions(statements: list[dict[str, Any]]) -> int:
    return sum(len(keys) for each in statements for keys in each.get("Condition", {}).values())


def as_deployed(statements: list[dict[str, Any]]) -> str:
    """Return the policy with names of the maximum length in place of values known at deployment."""

    def known(value: Any) -> Any:
        match value:
            case {"Ref": "AWS::Partition"}:
                return "aws-us-gov"
            case {"Ref": _} | {"Fn::GetAtt": _}:
                return "x" * 110
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(known(part) for part in parts)
            case dict():
                return {key: known(part) for key, part in value.items()}
            case list():
                return [known(part) for part in value]
        return value

    return json.dumps(known(statements), separators=(",", ":"))


def test_policies_of_60_sources_are_within_the_quotas(
    app: cdk.App, stack_in_region: cdk.Stack, server: SftpServer
) -> None:
    delivery = new_delivery(stack_in_region, server)
    for number in range(60):
        name = f"{number:02}".ljust(63, "x")
        bucket = s3.Bucket.from_bucket_name(stack_in_region, f"Theirs{number}", name)
        delivery.add_source(bucket, prefix="a/")
        delivery.add_source(bucket, prefix="b/", trigger=Trigger.EVENTBRIDGE)
    app.synth()
    for statements in policies(stack_in_region):
        assert len(statements) <= STATEMENTS
        assert conditions(statements) <= CONDITIONS
        assert len(as_deployed(statements)) <= BYTES
    sources = senders(policies(stack_in_region)[0])["s3.amazonaws.com"]["Condition"]["ArnLike"][
        "aws:SourceArn"
    ]
    assert len(sources) == 60


def test_only_source_buckets_may_send(stack_in_region: cdk.Stack, server: SftpServer) -> None:
    delivery = new_delivery(stack_in_region, server)
    for name in ("one", "two"):
        delivery.add_source(s3.Bucket.from_bucket_name(stack_in_region, name, f"bucket-{name}"))
    s3_may = senders(policies(stack_in_region)[0])["s3.amazonaws.com"]
    assert s3_may["Action"] == "sqs:SendMessage"
    named = s3_may["Condition"]["ArnLike"]["aws:SourceArn"]
    assert [json.dumps(arn).rpartition(":")[2].split('"')[0] for arn in named] == ["bucket-one", "bucket-two"]
    assert s3_may["Condition"]["StringEquals"] == {"aws:SourceAccount": PLACE.account}


@pytest.mark.parametrize("same_account_flag", [True, False])
def test_only_rules_of_this_account_and_region_may_send(
    server: SftpServer, *, same_account_flag: bool
) -> None:
    """Otherwise a rule of any account may: https://github.com/aws/aws-cdk/issues/22740."""
    app = new_app(**{"@aws-cdk/aws-events:eventsTargetQueueSameAccount": same_account_flag})
    stack = cdk.Stack(app, "Test", env=PLACE)
    new_delivery(stack, server).add_source(s3.Bucket(stack, "Bucket"), trigger=Trigger.EVENTBRIDGE)
    for statements in policies(stack):
        condition = senders(statements)["events.amazonaws.com"]["Condition"]
        assert ":events:eu-west-1:123456789012:rule/*" in json.dumps(condition["ArnLike"]["aws:SourceArn"])
        assert condition["StringEquals"] == {"aws:SourceAccount": PLACE.account}


def test_queue_policy_is_the_same_for_every_trigger(server: SftpServer) -> None:
    """EventBridge does not retry an event that it is not allowed to send.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    written = []
    for trigger in Trigger:
        stack = cdk.Stack(new_app(), "Test")
        new_delivery(stack, server).add_source(s3.Bucket(stack, "Bucket"), trigger=trigger)
        written.append(policies(stack)[0])
    assert written == [written[0]] * len(Trigger)


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        (Trigger.NOTIFICATION, "Custom::S3BucketNotifications"),
        (Trigger.EVENTBRIDGE, "AWS::Events::Rule"),
    ],
)
def test_trigger_depends_on_the_queue_policy(
    stack_in_region: cdk.Stack, server: SftpServer, trigger: Trigger, kind: str
) -> None:
    new_delivery(stack_in_region, server).add_source(s3.Bucket(stack_in_region, "Bucket"), trigger=trigger)
    (announcing,) = Template.from_stack(stack_in_region).find_resources(kind).values()
    assert any(name.startswith("DeliveryQueuePolicy") for name in announcing["DependsOn"])


def test_more_buckets_than_the_policy_quota_are_refused(
    app: cdk.App, stack_in_region: cdk.Stack, server: SftpServer
) -> None:
    delivery = new_delivery(stack_in_region, server)
    for number in range(81):
        bucket = s3.Bucket.from_bucket_name(stack_in_region, f"Theirs{number}", f"bucket-{number}")
        delivery.add_source(bucket, trigger=Trigger.EVENTBRIDGE)
    with pytest.raises(
        RuntimeError, match=r"its sources are in 81 buckets, and the policy of a queue has room"
    ):
        app.synth()
