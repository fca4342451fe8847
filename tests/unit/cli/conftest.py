"""The fixture of the command's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cli import CliEnvironment, cli_environment


@pytest.fixture
def cli() -> Iterator[CliEnvironment]:
    """A deployed delivery with an empty ledger and empty queues, and the command that operates it."""
    with cli_environment() as environment:
        yield environment
