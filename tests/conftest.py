"""Fixtures of all layers, and how `make test` shares the tests out among its workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LONGEST = ("long-object", "chaos", "stock-stack", "other-apps", "permissions")
"""Groups of the end-to-end tests, as they are begun: what waits longest comes first, beside all the rest."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups next
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of a module on one worker, for its fixtures, where they say nothing else."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_module(item)))
    items.sort(key=_turn)


def _module(item: pytest.Item) -> str:
    return "-".join(item.path.relative_to(Path(__file__).parent).with_suffix("").parts)


def _turn(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    return LONGEST.index(group.args[0]) if group and group.args[0] in LONGEST else len(LONGEST)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A client of a DynamoDB in memory, one per module: loading its model takes longer than any test."""
    import boto3
    from moto import mock_aws

    with mock_aws():
        yield boto3.client("dynamodb", "eu-west-1")
