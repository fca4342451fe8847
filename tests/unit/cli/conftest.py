"""The fixtures of the command's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3_to_sftp_cli import dead_letters
from tests.support.cli import CliEnvironment, cli_environment


@pytest.fixture(autouse=True)
def no_long_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an empty queue answer at once: SQS in memory hands out all that it has with the first answer."""
    monkeypatch.setattr(dead_letters, "_WAIT_SECONDS", 0)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliEnvironment]:
    """A deployed delivery with an empty ledger and empty queues, and the command that operates it."""
    with cli_environment(monkeypatch) as environment:
        yield environment
