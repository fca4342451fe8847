"""The defaults of the construct equal those of the function and those in the documentation."""

import pytest

from cdk_s3_to_sftp import S3ToSftp, S3ToSftpStack, SftpServer, configured_by, defaults, queues
from s3_to_sftp import configured_by as functions_configured_by
from s3_to_sftp import defaults as functions_defaults
from s3_to_sftp.delivery import deadline
from s3_to_sftp.queue.retry_policy import RetryPolicy
from s3_to_sftp.settings import Server, Settings
from s3_to_sftp.ssh.connect import Timeouts
from tests.infra.conftest import REPOSITORY

STOCK_APP = (REPOSITORY / "docs" / "guides" / "stock-app.md").read_text()
RETRY_FOR = f"By default {defaults.RETRY_FOR_HOURS} hours."


def test_construct_and_function_have_the_same_defaults() -> None:
    ours = (defaults.REPLY_TIMEOUT, defaults.RETRY_FOR, defaults.RECEIPTS_FOR)
    assert [each.to_seconds() for each in ours] == [
        functions_defaults.REPLY_TIMEOUT_SECONDS,
        functions_defaults.RETRY_FOR_SECONDS,
        functions_defaults.RECEIPTS_FOR_SECONDS,
    ]


def test_modules_of_the_function_share_its_defaults() -> None:
    settings = Settings(server=Server(host="sftp.partner.example", port=22))
    assert settings.retry_for == RetryPolicy().retry_for == functions_defaults.RETRY_FOR_SECONDS
    assert settings.receipts_for == functions_defaults.RECEIPTS_FOR_SECONDS
    assert Timeouts().reply == functions_defaults.REPLY_TIMEOUT_SECONDS


def test_construct_and_function_name_the_configuring_tools_alike() -> None:
    names = ("VARIABLE", "CONSTRUCT", "PARTNER_FILE", "TEMPLATE")
    assert [getattr(configured_by, name) for name in names] == [
        getattr(functions_configured_by, name) for name in names
    ]


def test_longest_invocation_is_the_same_for_construct_and_function() -> None:
    assert queues.LONGEST_INVOCATION.to_seconds() == deadline._LONGEST_SECONDS


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        (S3ToSftp.__doc__, f"By default {defaults.MAX_CONNECTIONS}, one for each of two instances."),
        (S3ToSftp.__doc__, f"in MB; CPU and network speed grow with it. By default {defaults.MEMORY_MB}."),
        (S3ToSftp.__doc__, RETRY_FOR),
        (S3ToSftp.__doc__, f"By default {defaults.RECEIPTS_FOR.to_days():g} days."),
        (S3ToSftpStack.__doc__, f"at a time. By default {defaults.MAX_CONNECTIONS}; see"),
        (S3ToSftpStack.__doc__, f"By default {defaults.MEMORY_MB}."),
        (S3ToSftpStack.__doc__, RETRY_FOR),
        (SftpServer.__doc__, f"TCP port. By default {defaults.PORT}."),
    ],
)
def test_docstrings_state_the_defaults(text: str | None, statement: str) -> None:
    assert statement in " ".join(str(text).split())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ssh_port", defaults.PORT),
        ("memory_size", defaults.MEMORY_MB),
        ("max_connections", defaults.MAX_CONNECTIONS),
        ("retry_for_hours", defaults.RETRY_FOR_HOURS),
        ("stack_name", defaults.STACK_NAME),
    ],
)
def test_stock_app_page_states_the_defaults(key: str, value: object) -> None:
    (row,) = (line for line in STOCK_APP.splitlines() if line.startswith(f"| `{key}` |"))
    assert row.endswith(f"| `{value}` |")
