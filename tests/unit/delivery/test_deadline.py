"""The remaining time of an invocation, and which objects may start in it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from s3_to_sftp.delivery.deadline import SMALL_BYTES, Deadline
from s3_to_sftp.outcomes import DeadlineTooClose
from s3_to_sftp.s3.object_ref import ObjectRef

START = 1_795_392_000.0


@dataclass
class RemainingSeconds:
    """The remaining seconds of an invocation."""

    seconds: float

    def __call__(self) -> float:
        return self.seconds


def started(seconds: float) -> tuple[Deadline, RemainingSeconds]:
    left = RemainingSeconds(seconds)
    return Deadline(left, clock=lambda: START), left


def sized(size: int | None) -> ObjectRef:
    return ObjectRef(bucket="bucket", key="a", size=size)


SMALL, LARGE, HUGE, UNKNOWN = sized(SMALL_BYTES), sized(SMALL_BYTES + 1), sized(10**12), sized(None)


def may_start(deadline: Deadline, ref: ObjectRef, *, is_resumable: bool = False) -> bool:
    try:
        deadline.require_time_for(ref, is_resumable=is_resumable)
    except DeadlineTooClose:
        return False
    return True


def test_invocation_has_ended_two_seconds_after_its_timeout() -> None:
    deadline, left = started(900)
    left.seconds = 10
    assert deadline.ends_at == START + 902


@pytest.mark.parametrize(("seconds", "reserve"), [(900, 30), (120, 30), (60, 15), (4, 1)])
def test_reserve_is_30_seconds_or_a_quarter_of_the_time(seconds: float, reserve: float) -> None:
    assert started(seconds)[0].reserve == reserve


def test_deadline_is_near_when_only_the_reserve_is_left() -> None:
    deadline, left = started(900)
    left.seconds = 30
    assert not deadline.is_near()
    left.seconds = 29.9
    assert deadline.is_near()


def test_time_suffices_for_bytes_at_the_rate_of_a_slow_server() -> None:
    deadline, _ = started(130)
    assert deadline.suffices_for(499_000_000)
    assert not deadline.suffices_for(501_000_000)


def test_time_suffices_at_best_for_bytes_at_the_rate_of_the_network() -> None:
    deadline, _ = started(130)
    assert deadline.suffices_for(7_400_000_000, at_best=True)
    assert not deadline.suffices_for(7_600_000_000, at_best=True)


@pytest.mark.parametrize("ref", [SMALL, LARGE, HUGE, UNKNOWN])
@pytest.mark.parametrize("is_resumable", [True, False])
def test_no_object_starts_in_the_reserve(
    ref: ObjectRef,
    is_resumable: bool,  # noqa: FBT001 - a parameter
) -> None:
    deadline, left = started(900)
    left.seconds = 29
    assert not may_start(deadline, ref, is_resumable=is_resumable)


def test_first_large_object_may_use_all_the_remaining_time() -> None:
    deadline, left = started(900)
    left.seconds = 31
    assert may_start(deadline, HUGE)


def test_second_large_object_must_fit_the_remaining_time() -> None:
    deadline, _ = started(130)
    assert may_start(deadline, HUGE)
    assert not may_start(deadline, HUGE)
    assert may_start(deadline, LARGE)
    assert may_start(deadline, UNKNOWN)


def test_resumable_objects_may_always_start() -> None:
    deadline, _ = started(130)
    assert all(may_start(deadline, HUGE, is_resumable=True) for _ in range(3))


def test_small_object_does_not_count_as_the_first_large_one() -> None:
    deadline, _ = started(130)
    assert may_start(deadline, SMALL)
    assert may_start(deadline, HUGE)


def test_deferred_object_does_not_count_as_the_first_large_one() -> None:
    deadline, left = started(900)
    left.seconds = 29
    assert not may_start(deadline, HUGE)
    left.seconds = 31
    assert may_start(deadline, HUGE)


def test_deferral_names_the_object_and_has_no_delay() -> None:
    deadline, left = started(900)
    left.seconds = 0
    with pytest.raises(DeadlineTooClose, match="s3://bucket/a was not started") as raised:
        deadline.require_time_for(HUGE, is_resumable=False)
    assert raised.value.retry_after == 0
