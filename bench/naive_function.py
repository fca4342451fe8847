"""A naive Lambda function, for the comparison of cold starts."""

from __future__ import annotations

import os
from typing import IO, Any, cast

import boto3
import paramiko

s3 = boto3.client("s3")


def lambda_handler(event: dict[str, Any], _context: object) -> None:
    """Sends the first object of the event."""
    record = event["Records"][0]["s3"]
    key = record["object"]["key"]
    ssh = paramiko.SSHClient()
    ssh.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 - naive on purpose
    ssh.connect(
        os.environ["SSH_HOST"],
        port=int(os.environ["SSH_PORT"]),
        username=os.environ["SSH_USERNAME"],
        password=os.environ["SSH_PASSWORD"],
    )
    sftp = ssh.open_sftp()
    with sftp.file(key, "w") as file:
        s3.download_fileobj(record["bucket"]["name"], key, cast("IO[bytes]", file))
    ssh.close()
