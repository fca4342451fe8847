"""Fixtures of all layers, and how `make test` shares the tests out among its workers."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("any-machine", deadline=None)  # no test depends on the machine's speed
hypothesis.settings.load_profile("any-machine")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Shares the tests out as sharing.py says."""
    from tests.support.sharing import Groups

    config.option.loadscopereorder = False  # they are in order
    return Groups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collects without looking for garbage: all that is made stays until the end."""
    _begin_elsewhere(session.config)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _begin_elsewhere(config: pytest.Config) -> None:
    """Has each of several workers collect all tests in an order of its own."""
    tests = Path(__file__).parent
    if hasattr(config, "workerinput") and [Path(each).resolve() for each in config.args] == [tests]:
        from tests.support.sharing import to_collect

        worker = int(config.workerinput["workerid"].removeprefix("gw"))
        config.args = to_collect(tests, worker, config.workerinput["workercount"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has each of several workers begin with what takes longest."""
    if hasattr(config, "workerinput"):
        from tests.support.sharing import turn_of

        items.sort(key=lambda item: turn_of(item.nodeid))


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A client of a DynamoDB in memory, one per module: loading its model takes longer than any test."""
    import boto3

    from tests.support.memory_aws import mock_aws

    with mock_aws():
        yield boto3.client("dynamodb", "eu-west-1")


@pytest.fixture
def ledger_table(dynamodb: Any) -> Iterator[Any]:
    """The client, with an empty table of the ledger."""
    from tests.support.ledger_environment import TABLE, create_table

    create_table(dynamodb)
    yield dynamodb
    dynamodb.delete_table(TableName=TABLE)
