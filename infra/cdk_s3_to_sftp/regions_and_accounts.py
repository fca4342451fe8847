"""Buckets of other Regions, which cannot announce anything here, and of other accounts, which need help."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_s3_to_sftp.arguments import InvalidArgument, is_token
from cdk_s3_to_sftp.sources import Source


def check_region_and_account(scope: Construct, source: Source) -> None:
    """Refuse a source that would never announce anything here. What only a deployment knows passes.

    Raises:
        InvalidArgument: It is in another Region, or in another account with a trigger that stays there.
    """
    bucket, ours = source.bucket, cdk.Stack.of(scope).region
    theirs = bucket.env.region
    if theirs != ours and not is_token(theirs) and not is_token(ours):
        raise InvalidArgument(
            "bucket",
            f"must be in {ours}, the Region of the stack, got {bucket.node.path} in {theirs}: S3 announces "
            f"objects only in the bucket's own Region. Make the construct in a stack in {theirs}",
        )
    if source.trigger.has_notification and (account := other_account(scope, bucket)):
        raise InvalidArgument(
            "trigger",
            f"must be Trigger.EVENTBRIDGE for {bucket.node.path}, which belongs to account {account}: only "
            "its owner can write its notifications. `forwarding_template(bucket)` is what the owner deploys",
        )


def other_account(scope: Construct, bucket: s3.IBucket) -> str | None:
    """The account of the bucket, where it is known to be another one."""
    theirs, ours = bucket.env.account, cdk.Stack.of(scope).account
    return None if theirs == ours or is_token(theirs) or is_token(ours) else theirs


def allow_events_from(scope: Construct, account: str) -> None:
    """Let another account send what its S3 announces to the default bus of this one: once in a stack."""
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
    """The template with which the owner of a bucket has its events sent to the default bus here.

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
        "Description": f"Forwards what S3 announces about {bucket.bucket_name} to account {stack.account}",
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
