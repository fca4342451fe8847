"""The log level DEBUG, which Lambda's runtime sets on the root logger, shows no secret."""

import logging
import subprocess
import sys

import boto3
import pytest

from s3_to_sftp import handler
from tests.support.memory_aws import mock_aws

PASSWORD = "correct-horse-battery-staple"


@pytest.mark.parametrize("library", ["boto3", "botocore.parsers", "s3transfer", "urllib3.connectionpool"])
def test_debug_is_disabled_for_libraries_that_see_aws_responses(
    caplog: pytest.LogCaptureFixture, library: str
) -> None:
    assert handler.logger
    caplog.set_level(logging.DEBUG)
    assert not logging.getLogger(library).isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", True), ("INFO", False)])
def test_ssh_dialogue_is_logged_at_debug_only(level: str, *, shown: bool) -> None:
    # As Lambda does: first the level of the root, then the function's modules.
    program = (
        f"import logging; logging.getLogger().setLevel('{level}')\n"
        "import s3_to_sftp.sftp.connection\n"
        "print(logging.getLogger('paramiko.transport').isEnabledFor(logging.DEBUG))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(shown)


@mock_aws
def test_debug_log_never_shows_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = boto3.client("secretsmanager", region_name="eu-west-1")
    client.create_secret(Name="login", SecretString=PASSWORD)
    assert client.get_secret_value(SecretId="login")["SecretString"] == PASSWORD
    assert PASSWORD not in caplog.text
