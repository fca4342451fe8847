"""An object that takes many invocations, over one connection. It has a worker of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.network import Link
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.long_object import Long, assert_arrives, stack_of_its_own
from tests.support.e2e.stack_environment import StackEnvironment


@pytest.fixture(scope="module")
def env(
    _tools: None, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackEnvironment]:
    with stack_of_its_own(bundles, tmp_path_factory) as deployed:
        yield deployed


def test_an_object_that_takes_25_continuations_arrives_byte_for_byte(
    env: StackEnvironment, tmp_path: Path
) -> None:
    assert_arrives(env, tmp_path, Long(size=28_000_000, link=Link(mbit=4.5), connections=1, timeout=4))
