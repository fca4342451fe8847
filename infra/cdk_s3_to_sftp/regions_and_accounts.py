"""Checks the Region of a bucket, and forwards the events of a bucket in another account."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_s3_to_sftp.arguments import InvalidArgument, is_token
from cdk_s3_to_sftp.sources import Source


def check_region_and_account(scope: Construct, source: Source) -> None:
    """Refuse a source whose objects would never be announced. Tokens pass.

    Raises:
        InvalidArgument: It is in another Region, or in another account and has a notification of S3.
    """
    bucket, ours = source.bucket, cdk.Stack.of(scope).region
    theirs = bucket.env.region
    if theirs != ours and not is_token(theirs) and not is_token(ours):
        raise InvalidArgument(
            "bucket",
            f"must be in {ours}, the Region of the stack, got {bucket.node.path} in {theirs}: S3 announces "
            f"objects only in the bucket's own Region. Create the construct in a stack in {theirs}",
        )
    if source.trigger.has_notification and (account := other_account(scope, bucket)):
        raise InvalidArgument(
            "trigger",
            f"must be Trigger.EVENTBRIDGE for {bucket.node.path}, which belongs to account {account}: only "
            "its owner can write its notifications. `forwarding_template(bucket)` is what the owner deploys",
        )


def other_account(scope: Construct, bucket: s3.IBucket) -> str | None:
    """Return the account of the bucket, if it is known to be another one."""
    theirs, ours = bucket.env.account, cdk.Stack.of(scope).account
    return None if theirs == ours or is_token(theirs) or is_token(ours) else theirs


def allow_events_from(scope: Construct, account: str) -> None:
    """Allow another account to send S3 events to the default bus of this one: once in a stack."""
    stack = cdk.Stack.of(scope)
    name = f"EventsOfS3From{account}"
    if stack.node.try_find_child(name):
        return
    policy = events.CfnEventBusPolicy(
        stack,
        name,
        statement_id=f"{cdk.Names.unique_resource_name(stack, max_length=44)}{account}",
        statement={
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{stack.partition}:iam::{account}:root"},
            "Action": "events:PutEvents",
            "Resource": _default_bus(stack),
            "Condition": {"StringEquals": {"events:source": "aws.s3"}},
        },
    )
    policy.event_bus_name = "default"


def forwarding_template(scope: Construct, bucket: s3.IBucket) -> dict[str, Any]:
    """Return the template that the owner of a bucket deploys to forward its events to the default bus here.

    Nothing in it depends on this stack's resources: it can be deployed before or after.
    """
    stack = cdk.Stack.of(scope)
    bus = _default_bus(stack)
    assume: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    send = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Forwards the S3 events of {bucket.bucket_name} to account {stack.account}",
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [assume]},
                    "Policies": [
                        {
                            "PolicyName": "Forward",
                            "PolicyDocument": {"Version": "2012-10-17", "Statement": [send]},
                        }
                    ],
                },
            },
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "EventPattern": {
                        "source": ["aws.s3"],
                        "detail-type": ["Object Created"],
                        "detail": {"bucket": {"name": [bucket.bucket_name]}},
                    },
                    "Targets": [{"Id": "Bus", "Arn": bus, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}],
                },
            },
        },
    }
    resolved: dict[str, Any] = stack.resolve(template)
    return resolved


def _default_bus(stack: cdk.Stack) -> str:
    return stack.format_arn(service="events", resource="event-bus", resource_name="default")
