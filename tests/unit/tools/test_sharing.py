"""How tests are grouped and ordered for several workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="pytest-xdist is not installed: one worker shares nothing out")

from tests.support.sharing import APART, TOGETHER, WAITING, group_of, to_collect, turn_of

REPOSITORY = Path(__file__).parents[3]


def test_tests_of_one_module_share_a_worker() -> None:
    one, other = (
        group_of("tests/unit/queue/test_retry_policy.py::test_a[x::y]"),
        group_of("tests/unit/queue/test_retry_policy.py::test_b"),
    )
    assert one == other != group_of("tests/unit/delivery/test_deadline.py::test_a")


def test_modules_of_one_stack_share_a_worker() -> None:
    stock = group_of("tests/e2e/test_deployed_stack.py::test_a")
    assert (
        stock
        == group_of("tests/e2e/test_harness.py::test_a")
        != group_of("tests/e2e/test_examples.py::test_a")
    )


@pytest.mark.parametrize("module", sorted(APART))
def test_tests_that_share_nothing_and_wait_are_run_by_several_workers(module: str) -> None:
    one, other = (f"{module}::test_a[{name} connections]" for name in ("one", "two"))
    assert group_of(one) != group_of(other)
    # Each worker would start its own.
    assert not re.search(r"scope=|\bcloud: ", (REPOSITORY / module).read_text())


def test_tests_that_wait_start_before_those_that_compute() -> None:
    nodes = ["tests/unit/queue/test_retry_policy.py::test_a", "tests/integration/test_crashes.py::test_a"]
    assert max(turn_of(f"{module}::test_a") for module in WAITING) < min(map(turn_of, nodes))


def test_longest_modules_start_first() -> None:
    nodes = [
        "tests/unit/queue/test_retry_policy.py::test_a",
        *(f"{module}::test_a" for module in reversed(TOGETHER)),
    ]
    assert sorted(nodes, key=turn_of)[0].startswith("tests/e2e/test_long_object.py")
    assert sorted(nodes, key=turn_of)[-1].startswith("tests/unit/")


@pytest.mark.parametrize("workers", [1, 2, 4, 50])
def test_each_worker_collects_all_tests_and_begins_elsewhere(workers: int) -> None:
    tests = REPOSITORY / "tests"
    shares = [to_collect(tests, worker, workers) for worker in range(workers)]
    assert len({share[0] for share in shares}) == min(workers, len(shares[0]))
    for share in shares:
        files = [
            path
            for part in map(Path, share)
            for path in (part.rglob("test_*.py") if part.is_dir() else [part])
        ]
        assert sorted(files) == sorted(tests.rglob("test_*.py"))


def test_order_of_modules_does_not_depend_on_the_worker() -> None:
    nodes = [
        f"tests/{module}::test_a" for module in ("unit/a/test_a.py", "infra/test_b.py", "docs/test_c.py")
    ]
    other_way = list(reversed(nodes))
    assert sorted(nodes, key=turn_of) == sorted(other_way, key=turn_of)


def test_sharing_list_equals_the_end_to_end_modules() -> None:
    modules = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("tests/e2e/test_*.py")}
    assert set(TOGETHER) == modules
