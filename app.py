#!/usr/bin/env python3
"""The stock app: one stack from partner.toml or context (`-c key=value`). No AWS call, no git, no clock."""

import json
import sys
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from cdk_s3_to_sftp import Bundling, InvalidArgument, S3ToSftpStack, SftpServer, configured_by
from cdk_s3_to_sftp.partner_file import InvalidFile, Values, read_values

KEYS_OF_ARGUMENTS = {
    "host": "ssh_host",
    "port": "ssh_port",
    "directory": "ssh_dir",
    "host_keys": "ssh_host_key",
    "retry_for": "retry_for_hours",
}
ARCHITECTURES = {each.name: each for each in (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)}


def main() -> None:
    """Synthesise the stack, or exit with one sentence about the invalid value, or why there is no bundle."""
    # The CLI reads cdk.json only from its working directory. Reading it here makes it apply from every
    # directory.
    flags = json.loads(Path(__file__).with_name("cdk.json").read_text())["context"]
    app = cdk.App(context=flags, analytics_reporting=False)
    try:
        values = read_values(app.node, Path(__file__).with_name("partner.toml"))
    except InvalidFile as error:
        sys.exit(str(error))
    try:
        add_stack(app, values)
    except InvalidArgument as error:
        key = KEYS_OF_ARGUMENTS.get(error.argument, error.argument)
        sys.exit(values.complaint(key, error.complaint))
    except RuntimeError as error:  # jsii turns errors in CDK and in our bundler into one
        if "Failed to bundle" not in str(error):
            raise
        sys.exit(str(error))
    app.synth()


def add_stack(app: cdk.App, values: Values) -> None:
    """Add the stack that the values describe.

    Raises:
        InvalidArgument: A value is missing or wrong.
    """
    bundle = values.bundle()
    stack = S3ToSftpStack(
        app,
        values.stack_name(),
        server=SftpServer(
            values.required("ssh_host"),
            port=values.number("ssh_port"),
            directory=values.text("ssh_dir") or None,
            host_keys=values.host_keys(),
        ),
        prefix=values.text("prefix") or None,
        suffix=values.text("suffix") or None,
        former_prefixes=values.former_prefixes(),
        memory_size=values.number("memory_size"),
        max_connections=values.number("max_connections"),
        retry_for=cdk.Duration.hours(values.number("retry_for_hours")),
        canary=values.flag("canary"),
        alarm_topic=values.text("alarm_topic") or None,
        architecture=ARCHITECTURES[values.choice("architecture", ARCHITECTURES)],
        bundling=Bundling(values.choice("bundling", list(Bundling))),
        code=lambda_.Code.from_asset(str(bundle.absolute())) if bundle else None,
    )
    stack.delivery.function.add_environment(configured_by.VARIABLE, configured_by.PARTNER_FILE)
    if changes := values.not_kept():
        cdk.Annotations.of(stack).add_warning_v2(
            "cdk-s3-to-sftp:notKept",
            f"For this command only, {'; '.join(changes)}. The next deployment without -c reverts to the "
            "values of "
            f"{values.file.name}, or to the defaults: write values to keep into that file.",
        )


if __name__ == "__main__":
    main()
