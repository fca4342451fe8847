"""A message waits longer after every failure, by chance, and not for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.retry import RetryPolicy

below_one = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(
    attempt=st.integers(min_value=1, max_value=100_000),
    base=st.floats(min_value=1, max_value=1000),
    cap=st.floats(min_value=1, max_value=43_200),
    chance=below_one,
)
def test_wait_is_within_its_bounds(attempt: int, base: float, cap: float, chance: float) -> None:
    waited = RetryPolicy(base=base, cap=cap).wait(attempt, random=lambda: chance)
    assert 1 <= waited <= min(cap, base * 2 ** min(attempt - 1, 64))


@pytest.mark.parametrize(("attempt", "longest"), [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900), (1000, 900)])
def test_bound_doubles_up_to_the_cap(attempt: int, longest: int) -> None:
    assert RetryPolicy().wait(attempt, random=lambda: 0.999_999) == longest


def test_every_second_up_to_the_bound_is_as_likely() -> None:
    draws = [n / 1000 for n in range(1000)]
    waits = [RetryPolicy().wait(1, random=lambda draw=draw: draw) for draw in draws]  # type: ignore[misc]  # mypy cannot infer a default
    assert {second: waits.count(second) for second in range(1, 6)} == dict.fromkeys(range(1, 6), 200)


def test_wait_is_left_to_chance_by_default() -> None:
    assert len({RetryPolicy().wait(20) for _ in range(100)}) > 10


def test_bound_below_a_second_is_a_second() -> None:
    assert RetryPolicy(base=0.1).wait(1) == 1


@pytest.mark.parametrize(("age", "over"), [(0, False), (86_399.9, False), (86_400, True), (1e9, True)])
def test_is_over_when_the_message_is_as_old_as_the_policy_allows(age: float, over: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert RetryPolicy().is_over(first_sent=1000, now=1000 + age) is over
