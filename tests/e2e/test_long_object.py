"""An object that takes many invocations, over one and over two connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.network import Link
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.long_object import LongObject, assert_arrives, own_stack
from tests.support.e2e.stack_environment import StackEnvironment

_LIMIT_SECONDS = 4 * 3600
"""A machine that is ten times slower takes ten times as long. A delivery that hangs fails much earlier."""


@pytest.fixture(scope="module")
def env(
    _tools: None, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackEnvironment]:
    with own_stack(bundles, tmp_path_factory) as deployed:
        yield deployed


@pytest.mark.timeout(_LIMIT_SECONDS)
@pytest.mark.parametrize(
    "long",
    [
        # 4 s of the link and the window are 1,071,072 bytes: at most four blocks, on any machine.
        LongObject(size=28_000_000, link=Link(mbit=1.88), connections=1, timeout=4, continuations=25),
        # How often a message may come back does not depend on the connections: a few are enough, most of them
        # before 32 MiB are left. 9.7 MB fit into an invocation.
        LongObject(
            size=60_000_000, link=Link(mbit=18.8, rtt_ms=40), connections=2, timeout=4, continuations=5
        ),
    ],
    ids=["one connection", "two connections"],
)
def test_object_that_takes_many_continuations_arrives_byte_for_byte(
    long: LongObject, env: StackEnvironment, tmp_path: Path
) -> None:
    assert_arrives(env, tmp_path, long)
