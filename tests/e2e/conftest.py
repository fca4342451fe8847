"""One real deployment for all tests of a worker."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.deployment import missing_tool
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.function_role import Function, deployed_function
from tests.support.e2e.stack_environment import StackEnvironment, deployed_stack
from tests.support.once import folder_of_all_workers
from tests.support.restartable_server import RestartableServer

_LIMIT_SECONDS = 3600
"""Includes the deployment of the stack, for which the first test waits."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(_LIMIT_SECONDS))


@pytest.fixture(scope="session")
def _tools() -> None:
    if platform.system() != "Linux":
        pytest.skip(f"the local AWS runs Linux wheels, this is {platform.system()}")
    if lacking := missing_tool():
        pytest.skip(lacking)


@pytest.fixture(scope="session")
def _partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableServer]:
    partner = RestartableServer(tmp_path_factory.mktemp("partner"))
    yield partner
    partner.stop()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """The bundles of the function that this run has built, shared by all workers."""
    return Bundles(folder_of_all_workers(tmp_path_factory) / "bundles")


@pytest.fixture(scope="session")
def _deployed(
    _tools: None, _partner: RestartableServer, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackEnvironment]:
    with deployed_stack(tmp_path_factory.mktemp("e2e"), _partner, bundles) as deployed:
        yield deployed


@pytest.fixture
def env(_deployed: StackEnvironment) -> Iterator[StackEnvironment]:
    """The deployed stack; server, secret and circuit breaker are restored after each test."""
    yield _deployed
    _deployed.partner.start()
    _deployed.fill_secret(_deployed.partner.password)
    _deployed.close_breaker()


@pytest.fixture(scope="session")
def function(_tools: None, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """The stock stack in a cloud that enforces IAM, and its function's permissions."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: the local AWS makes its certificate with it")
    partner = RestartableServer(tmp_path_factory.mktemp("permissions"))
    with deployed_function(tmp_path_factory.mktemp("role"), partner, bundles) as deployed:
        yield deployed
    partner.stop()
