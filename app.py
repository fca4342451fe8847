#!/usr/bin/env python3
"""The stock app: context (`-c key=value`, or cdk.json) -> one stack. No AWS call, no git, no clock."""

import json
import sys
from collections.abc import Collection
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Node

from cdk_s3_to_sftp import Bundling, InvalidArgument, S3ToSftpStack, SftpServer

EXAMPLES = {
    "ssh_host": "sftp.partner.example",
    "ssh_port": "22",
    "ssh_dir": "/inbox",
    "ssh_host_key": '"ssh-ed25519 AAAA..."',
    "prefix": "outgoing/",
    "suffix": ".csv",
    "memory_size": "512",
    "max_connections": "2",
    "retry_for_hours": "24",
    "alarm_topic": "arn:aws:sns:eu-west-1:123456789012:on-call",
    "architecture": "x86_64",
    "bundling": "auto",
    "stack_name": "S3ToSftp",
}
KEYS_OF_ARGUMENTS = {
    "host": "ssh_host",
    "port": "ssh_port",
    "directory": "ssh_dir",
    "host_keys": "ssh_host_key",
    "retry_for": "retry_for_hours",
}
ARCHITECTURES = {each.name: each for each in (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)}


def main() -> None:
    """Synthesise the stack, or say in one sentence which value is wrong, or why there is no bundle."""
    # The CLI reads cdk.json only where it is started. Read here, too, it holds from every directory.
    defaults = json.loads(Path(__file__).with_name("cdk.json").read_text())["context"]
    app = cdk.App(context=defaults, analytics_reporting=False)
    try:
        add_stack(app)
    except InvalidArgument as error:
        key = KEYS_OF_ARGUMENTS.get(error.argument, error.argument)
        sys.exit(f"{key} {error.complaint}. Set it with -c {key}={EXAMPLES[key]}")
    except RuntimeError as error:  # what jsii makes of an error in CDK, and of one in our bundler
        if "Failed to bundle" not in str(error):
            raise
        sys.exit(str(error))
    app.synth()


def add_stack(app: cdk.App) -> None:
    """Add the stack that the context describes.

    Raises:
        InvalidArgument: A value is missing or wrong.
    """
    context = app.node
    host_keys = text(context, "ssh_host_key").replace(",", "\n").splitlines()
    S3ToSftpStack(
        app,
        required(context, "stack_name"),
        server=SftpServer(
            required(context, "ssh_host"),
            port=number(context, "ssh_port"),
            directory=text(context, "ssh_dir") or None,
            host_keys=[key for key in host_keys if key.strip()],
        ),
        prefix=text(context, "prefix") or None,
        suffix=text(context, "suffix") or None,
        memory_size=number(context, "memory_size"),
        max_connections=number(context, "max_connections"),
        retry_for=cdk.Duration.hours(number(context, "retry_for_hours")),
        alarm_topic=text(context, "alarm_topic") or None,
        architecture=ARCHITECTURES[choice(context, "architecture", ARCHITECTURES)],
        bundling=Bundling(choice(context, "bundling", list(Bundling))),
    )


def text(context: Node, key: str) -> str:
    """The value, stripped; empty when there is none."""
    value = context.try_get_context(key)
    return "" if value is None else str(value).strip()


def required(context: Node, key: str) -> str:
    """The value, which must be there."""
    if not (value := text(context, key)):
        raise InvalidArgument(key, "is not set")
    return value


def number(context: Node, key: str) -> int:
    """The value as a whole number."""
    value = required(context, key)
    if not (value.isascii() and value.isdigit()):
        raise InvalidArgument(key, f"must be a whole number, got {value!r}")
    return int(value)


def choice(context: Node, key: str, values: Collection[str]) -> str:
    """The value, which must be one of these."""
    value = required(context, key)
    if value not in values:
        raise InvalidArgument(key, f"must be one of {', '.join(values)}, got {value!r}")
    return value


if __name__ == "__main__":
    main()
