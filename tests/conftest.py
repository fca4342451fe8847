"""Fixtures of all layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A client of a DynamoDB in memory, one per module: loading its model takes longer than any test."""
    import boto3
    from moto import mock_aws

    with mock_aws():
        yield boto3.client("dynamodb", "eu-west-1")
