"""The fixture of the command's tests."""

from __future__ import annotations

from collections.abc import Iterator

import botocore.session
import pytest
from botocore.loaders import create_loader

from tests.support.cli import CliEnvironment, cli_environment


@pytest.fixture(autouse=True, scope="package")
def _models_of_services_are_read_once() -> Iterator[None]:
    """Every client has a session of its own, which would read botocore's files anew: most of the time."""
    loader = create_loader()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", lambda *_: loader)
        yield


@pytest.fixture
def cli() -> Iterator[CliEnvironment]:
    """A deployed delivery with an empty ledger and empty queues, and the command that operates it."""
    with cli_environment() as environment:
        yield environment
