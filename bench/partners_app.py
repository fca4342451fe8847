"""An app of many partners: a stack with the stock construct for each. `PARTNERS` (JSON) says which."""

from __future__ import annotations

import json
import os

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager

from cdk_s3_to_sftp import S3ToSftp, SftpServer


def main() -> None:
    """Synthesises them."""
    given = json.loads(os.environ["PARTNERS"])
    app = cdk.App(analytics_reporting=False)
    for name, directory in given["directories"].items():
        stack = cdk.Stack(app, name)
        S3ToSftp(
            stack,
            "Delivery",
            server=SftpServer(directory=directory, **given["server"]),
            credentials=secretsmanager.Secret.from_secret_complete_arn(stack, "Login", given["login"]),
        )
    app.synth()


if __name__ == "__main__":
    main()
