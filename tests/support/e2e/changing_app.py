"""An app that is made from a description. Deployed again, it is the same app after a change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_secretsmanager as secretsmanager

from cdk_s3_to_sftp import S3ToSftp, SftpServer, Trigger

INVOCATION = cdk.Duration.minutes(3)
"""Short: where one dies, its messages come back a minute after this, while the test still waits."""


def synthesise(state: Mapping[str, Any], folder: Path) -> None:
    """Synthesise the app into a folder.

    In this process, whose CDK has started already: another one would spend seconds on that at each of many
    deployments. How the command line starts an app is tested with the examples.
    """
    app = cdk.App(context=state["context"], outdir=str(folder), analytics_reporting=False)
    stack = cdk.Stack(app, state["name"])
    owner = cdk.Stack(app, f"{state['name']}Owner") if state["owned_elsewhere"] else stack
    buckets = {
        name: s3.Bucket(owner, name, bucket_name=name, versioned=state["versioned"])
        for name in state["buckets"]
    }
    if owner is not stack:
        # Requested from the start: the emulator ignores an update that only adds an output.
        for name, bucket in buckets.items():
            cdk.CfnOutput(stack, f"{name}Name", value=bucket.bucket_name)
    login = secretsmanager.Secret.from_secret_complete_arn(stack, "Login", state["secret"])
    for name, partner in state["partners"].items():
        add_partner(stack, name, partner, buckets, login)
    app.synth()


def add_partner(
    stack: cdk.Stack,
    name: str,
    partner: Mapping[str, Any],
    buckets: Mapping[str, s3.Bucket],
    login: secretsmanager.ISecret,
) -> None:
    delivery = S3ToSftp(
        stack,
        name,
        server=SftpServer(**partner["server"]),
        sources=[],
        credentials=login,
        timeout=INVOCATION,
        dashboard=False,
    )
    for source in partner["sources"]:
        trigger = Trigger(source.get("trigger", "notification"))
        delivery.add_source(buckets[source["bucket"]], prefix=source.get("prefix"), trigger=trigger)
    for source in partner.get("former", []):
        delivery.add_former_source(buckets[source["bucket"]], prefix=source.get("prefix"))
    if partner.get("code"):
        replace_code(stack, delivery.function, partner["code"])


def replace_code(stack: cdk.Stack, function: lambda_.Function, path: str) -> None:
    """Let the function run other code, as another version of the construct would."""
    asset = assets.Asset(stack, "OtherVersion", path=path)
    resource = function.node.default_child
    assert isinstance(resource, lambda_.CfnFunction)
    resource.code = lambda_.CfnFunction.CodeProperty(
        s3_bucket=asset.s3_bucket_name, s3_key=asset.s3_object_key
    )
