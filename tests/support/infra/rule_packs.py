"""Stacks for rule packs, their cdk-nag findings, and their acknowledgements."""

import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk_nag
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from cdk_s3_to_sftp import (
    AfterDelivery,
    DeliveryRules,
    S3ToSftp,
    S3ToSftpStack,
    SftpServer,
    StaticEgress,
    Trigger,
)
from cdk_s3_to_sftp.acknowledgements import has_validations
from tests.support.infra.keys import ED25519

SERVER = SftpServer("sftp.partner.example", host_keys=[ED25519])
PLACE = cdk.Environment(account="123456789012", region="eu-west-1")

AWS_SOLUTIONS, NIST = "AwsSolutions", "NIST.800.53.R5"

_OLD_POLICY = "/BucketNotificationsHandler050a0587b7544547bf325f094a3db834/Role/DefaultPolicy/"
"""The policy of CDK's notification handler before there was one for each bucket: not ours to narrow."""

Finding = tuple[str, str]
"""Path of a construct, and the full id of the rule."""


def stock(app: cdk.App, **arguments: Any) -> S3ToSftpStack:
    return S3ToSftpStack(app, "S3ToSftp", server=SERVER, **arguments)


def with_existing_resources(app: cdk.App) -> cdk.Stack:
    """Return a stack whose key, VPC, role and topic are not created by the construct."""
    platform, stack = cdk.Stack(app, "Platform", env=PLACE), cdk.Stack(app, "Test", env=PLACE)
    made = S3ToSftp(
        stack,
        "Delivery",
        server=SERVER,
        encryption_key=kms.Key(stack, "Key", enable_key_rotation=True),
        vpc=ec2.Vpc(platform, "Vpc"),
        role=iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")),
        alarm_topic=sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:eu-west-1:123456789012:on-call"),
        tracing=lambda_.Tracing.ACTIVE,
    )
    theirs = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    tagged = DeliveryRules(name="{tag[partner]}_{name}")
    made.add_source(theirs, suffix=".csv", directory="/theirs", trigger=Trigger.EVENTBRIDGE, rules=tagged)
    for name, after in (("tag", AfterDelivery.tag({"a": "b"})), ("move", AfterDelivery.move())):
        mine = s3.Bucket.from_bucket_name(stack, f"Bucket-{name}", name)
        rules = DeliveryRules(after_delivery=after)
        made.add_source(mine, prefix="out/", directory=f"/{name}", trigger=Trigger.EVENTBRIDGE, rules=rules)
    return stack


def through_static_egress(app: cdk.App, addresses: int = 1) -> cdk.Stack:
    stack = cdk.Stack(app, "Fixed")
    egress = StaticEgress(stack, "Egress", addresses=addresses)
    S3ToSftp(
        stack,
        "Delivery",
        server=SERVER,
        vpc=egress.vpc,
        vpc_subnets=egress.vpc_subnets,
        security_groups=egress.security_groups,
    )
    return stack


def insecure_bucket(app: cdk.App) -> cdk.Stack:
    stack = cdk.Stack(app, "Careless")
    s3.Bucket(stack, "Bucket")
    return stack


def findings(app: cdk.App) -> set[Finding]:
    """Return the findings of both packs in the app."""
    return _reported(app) if has_validations() else _annotated(app)


def _reported(app: cdk.App) -> set[Finding]:
    """Return the findings of cdk-nag 3, which CDK writes into a report."""
    validations = cdk.Validations.of(app)
    validations.add_plugins(cdk_nag.AwsSolutionsChecks(app), cdk_nag.NIST80053R5Checks(app))
    try:
        app.synth()
    except RuntimeError:  # a finding fails the synth; the report contains it
        report = json.loads((Path(app.outdir) / "validation-report.json").read_text())
        return {
            (construct["constructPath"], violation["ruleName"])
            for plugin in report["pluginReports"]
            if plugin["pluginName"] in {AWS_SOLUTIONS, NIST}  # warnings of ours are in the report, too
            for violation in plugin["violations"]
            for construct in violation["violatingConstructs"]
        }
    return set()


def _annotated(app: cdk.App) -> set[Finding]:
    """Return the findings of cdk-nag 2, errors and warnings of resources: `RULE[FINDING]: sentence`."""
    packs = (cdk_nag.AwsSolutionsChecks(reports=False), cdk_nag.NIST80053R5Checks(reports=False))
    for pack in packs:
        cdk.Aspects.of(app).add(pack)
    messages = [each for stack in app.synth().stacks_recursively for each in stack.messages]
    return {
        (message.id.removeprefix("/"), re.split(r":\s", said)[0])
        for message, said in ((each, str(each.entry.data)) for each in messages)
        if said.startswith((AWS_SOLUTIONS, NIST)) and _OLD_POLICY not in message.id
    }


def acknowledged(stack: cdk.Stack) -> dict[Finding, str]:
    """Map each acknowledged finding of the stack to its reason. CDK's own acknowledgements are left out."""
    key = cdk.Validations.ACKNOWLEDGED_RULES_METADATA_KEY
    return {
        (construct.node.path, rule.partition("::")[2]): reason
        for construct in stack.node.find_all()
        for entry in construct.node.metadata
        if entry.type == key
        for rule, reason in entry.data.items()
        if rule.startswith((AWS_SOLUTIONS, NIST))
    }
