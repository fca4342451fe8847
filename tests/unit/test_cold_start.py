"""A fresh function loads what a delivery needs, and no library or part of one that it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

UNUSED = (
    "asyncio",
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.data_classes",
    "boto3",
    "invoke",
    "multiprocessing",
    "s3_to_sftp.doctor.doctor",
    "s3_to_sftp.rules",
    "s3transfer",
    "unittest",
    "zoneinfo",
)
PLAIN = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "SSH_HOST": "sftp.partner.example",
    "SSH_PORT": "22",
    "SSH_HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFSoAxGLpZnQI1v0mzwWMTe9QmKhgMRCpsgl2hzl0Xvz",
}
FULL = {
    **PLAIN,
    "SSH_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:partner",
    "LEDGER_TABLE": "ledger",
    "QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/objects",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/dead",
    "EVENT_BUS": "default",
}
SCRIPT = """
import sys
from s3_to_sftp import handler
handler._app()
print(*(name for name in {unused!r} if name in sys.modules))
print("paramiko" in sys.modules, "invoke" in sys.modules)
"""


@pytest.mark.parametrize(
    "environment", [{**PLAIN, "SSH_USERNAME": "partner", "SSH_PASSWORD": "test"}, FULL], ids=["plain", "full"]
)
def test_fresh_function_loads_no_unused_module(environment: dict[str, str]) -> None:
    script = SCRIPT.format(unused=UNUSED)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["", "True False"]


def test_invoke_can_be_imported_afterwards() -> None:
    script = "from s3_to_sftp import handler; import invoke; print(invoke.Context.__name__)"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=PLAIN
    )
    assert run.stdout.strip() == "Context"
