"""Exponential backoff with full jitter, the end of the retries, and the retry history of a message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_to_sftp.queue.retry_policy import RetryHistory, RetryPolicy

below_one = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(
    attempt=st.integers(min_value=1, max_value=100_000),
    base=st.floats(min_value=1, max_value=1000),
    cap=st.floats(min_value=1, max_value=43_200),
    chance=below_one,
)
def test_delay_is_within_its_bounds(attempt: int, base: float, cap: float, chance: float) -> None:
    waited = RetryPolicy(base=base, cap=cap).wait(attempt, random=lambda: chance)
    assert 1 <= waited <= min(cap, base * 2 ** min(attempt - 1, 64))


@pytest.mark.parametrize(("attempt", "longest"), [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900), (1000, 900)])
def test_upper_bound_doubles_up_to_the_cap(attempt: int, longest: int) -> None:
    assert RetryPolicy().wait(attempt, random=lambda: 0.999_999) == longest


def test_delays_up_to_the_bound_are_equally_likely() -> None:
    draws = [n / 1000 for n in range(1000)]
    waits = [RetryPolicy().wait(1, random=lambda draw=draw: draw) for draw in draws]  # type: ignore[misc]  # mypy cannot infer a default
    assert {second: waits.count(second) for second in range(1, 6)} == dict.fromkeys(range(1, 6), 200)


def test_delay_is_random_by_default() -> None:
    assert len({RetryPolicy().wait(20) for _ in range(100)}) > 10


def test_delay_is_at_least_one_second() -> None:
    assert RetryPolicy(base=0.1).wait(1) == 1


@pytest.mark.parametrize(("age", "over"), [(0, False), (86_399.9, False), (86_400, True), (1e9, True)])
def test_retries_are_over_when_the_first_try_is_retry_for_ago(age: float, over: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert RetryPolicy().is_over(first_try=1000, now=1000 + age) is over


def test_retries_are_never_over_before_the_first_try() -> None:
    assert not RetryPolicy().is_over(first_try=None, now=1e12)


moments = st.floats(min_value=0, max_value=1e10).map(lambda moment: round(moment, 3))


@given(
    history=st.builds(
        RetryHistory,
        first_sent=moments,
        count=st.integers(0, 10**6),
        since=st.none() | moments,
        waits=st.integers(0, 10**6),
    ),
    sent=moments,
    late=st.floats(-299, 299),
)
def test_retry_history_survives_serialisation(history: RetryHistory, sent: float, late: float) -> None:
    assert RetryHistory.from_text(history.as_text(sent=sent), sent=sent + late) == history


@given(history=st.builds(RetryHistory, first_sent=moments, count=st.integers(1, 9)), sent=moments)
def test_retry_history_of_another_message_is_ignored(history: RetryHistory, sent: float) -> None:
    assert RetryHistory.from_text(history.as_text(sent=sent), sent=sent + 301) == RetryHistory(
        first_sent=sent + 301
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "not json",
        "[" * 100_000,
        "{}",
        *(
            json.dumps({"sent": 1000, "first_sent": 1000, "tries": 1, "first_try": 1000, "waits": 1, **wrong})
            for wrong in (
                {"sent": None},
                {"tries": "3"},
                {"tries": -1},
                {"waits": True},
                {"first_try": float("nan")},
                {"first_try": float("inf")},
                {"first_sent": 10**400},
            )
        ),
    ],
)
def test_invalid_retry_history_is_ignored(text: str) -> None:
    assert RetryHistory.from_text(text, sent=1000) == RetryHistory(first_sent=1000)
