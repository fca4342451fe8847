"""Buckets of other Regions and accounts: S3 sends events only in the bucket's own Region.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
"""

import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from cdk_s3_to_sftp import InvalidArgument, S3ToSftp, SftpServer, Trigger
from tests.infra.conftest import warnings_of

OURS, THEIRS = "111111111111", "222222222222"
REGION = "eu-west-1"


@pytest.fixture
def here(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Here", env=cdk.Environment(account=OURS, region=REGION))


def bucket_of_another_account(stack: cdk.Stack) -> s3.IBucket:
    return s3.Bucket.from_bucket_attributes(stack, "Theirs", bucket_name="theirs", account=THEIRS)


@pytest.fixture
def foreign(here: cdk.Stack, server: SftpServer) -> S3ToSftp:
    bucket = bucket_of_another_account(here)
    return S3ToSftp(here, "Delivery", server=server, bucket=bucket, trigger=Trigger.EVENTBRIDGE)


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("imported", [True, False])
def test_bucket_of_another_region_is_refused(
    app: cdk.App, here: cdk.Stack, server: SftpServer, trigger: Trigger, *, imported: bool
) -> None:
    there = cdk.Stack(app, "There", env=cdk.Environment(account=OURS, region="us-east-1"))
    bucket = (
        s3.Bucket.from_bucket_attributes(here, "Theirs", bucket_name="theirs", region="us-east-1")
        if imported
        else s3.Bucket(there, "Theirs", bucket_name="theirs")
    )
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(here, "Delivery", server=server, bucket=bucket, trigger=trigger)
    assert str(caught.value) == (
        f"bucket must be in eu-west-1, the Region of the stack, got {bucket.node.path} in us-east-1: S3 "
        "announces objects only in the bucket's own Region. Create the construct in a stack in us-east-1"
    )


def test_bucket_region_is_not_checked_in_a_stack_without_region(stack: cdk.Stack, server: SftpServer) -> None:
    bucket = s3.Bucket.from_bucket_attributes(stack, "Theirs", bucket_name="theirs", region="us-east-1")
    assert S3ToSftp(stack, "Delivery", server=server, bucket=bucket).bucket is bucket


def test_notification_trigger_for_another_account_is_refused(here: cdk.Stack, server: SftpServer) -> None:
    with pytest.raises(InvalidArgument) as caught:
        S3ToSftp(here, "Delivery", server=server, bucket=bucket_of_another_account(here))
    assert str(caught.value) == (
        "trigger must be Trigger.EVENTBRIDGE for Here/Theirs, which belongs to account 222222222222: only "
        "its owner can write its notifications. `forwarding_template(bucket)` is what the owner deploys"
    )


def test_event_bus_allows_the_other_account_and_the_rule_matches_it(
    here: cdk.Stack, foreign: S3ToSftp
) -> None:
    template = Template.from_stack(here)
    (policy,) = template.find_resources("AWS::Events::EventBusPolicy").values()
    statement = policy["Properties"]["Statement"]
    assert THEIRS in json.dumps(statement["Principal"])
    assert (statement["Action"], statement["Condition"]) == (
        "events:PutEvents",
        {"StringEquals": {"events:source": "aws.s3"}},
    )
    (rule,) = template.find_resources("AWS::Events::Rule").values()
    assert rule["Properties"]["EventPattern"]["account"] == [THEIRS]
    template.resource_count_is("Custom::S3BucketNotifications", 0)
    (warning,) = warnings_of(here, "eventsOfForeignBucket")
    assert "stay in account 222222222222 until its owner deploys `forwarding_template(bucket)`" in warning
    assert foreign.bucket_policy_statements(foreign.bucket)


def test_event_bus_policy_is_created_once_for_an_account(
    here: cdk.Stack, foreign: S3ToSftp, server: SftpServer
) -> None:
    S3ToSftp(here, "Second", server=server, bucket=foreign.bucket, trigger=Trigger.EVENTBRIDGE)
    Template.from_stack(here).resource_count_is("AWS::Events::EventBusPolicy", 1)


def test_forwarding_template_sends_events_to_the_default_bus(foreign: S3ToSftp) -> None:
    template: dict[str, Any] = json.loads(json.dumps(foreign.forwarding_template(foreign.bucket)))
    bus = f"arn:aws:events:{REGION}:{OURS}:event-bus/default"
    rule = template["Resources"]["Rule"]["Properties"]
    assert rule["EventPattern"]["detail"] == {"bucket": {"name": ["theirs"]}}
    (target,) = rule["Targets"]
    assert json.dumps(target["Arn"]).replace('{"Ref": "AWS::Partition"}', "aws").count(bus[4:]) == 1
    (policy,) = template["Resources"]["Role"]["Properties"]["Policies"]
    (send,) = policy["PolicyDocument"]["Statement"]
    assert (send["Action"], send["Resource"]) == ("events:PutEvents", target["Arn"])


def test_forwarding_template_of_a_bucket_without_source_is_refused(
    here: cdk.Stack, foreign: S3ToSftp
) -> None:
    with pytest.raises(InvalidArgument, match="must be a source of Here/Delivery, got Here/Other"):
        foreign.forwarding_template(s3.Bucket(here, "Other"))
