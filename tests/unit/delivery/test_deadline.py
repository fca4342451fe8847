"""How much of an invocation is left, and what may be begun in it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from s3_to_sftp.delivery.deadline import SMALL_BYTES, Deadline
from s3_to_sftp.errors import DeadlineTooClose
from s3_to_sftp.s3.object_ref import ObjectRef

START = 1_795_392_000.0


@dataclass
class Left:
    """Seconds that are left of an invocation."""

    seconds: float

    def __call__(self) -> float:
        return self.seconds


def begin(seconds: float) -> tuple[Deadline, Left]:
    left = Left(seconds)
    return Deadline(left, clock=lambda: START), left


def sized(size: int | None) -> ObjectRef:
    return ObjectRef(bucket="bucket", key="a", size=size)


SMALL, LARGE, HUGE, UNKNOWN = sized(SMALL_BYTES), sized(SMALL_BYTES + 1), sized(10**12), sized(None)


def may_begin(deadline: Deadline, ref: ObjectRef, *, can_be_continued: bool = False) -> bool:
    try:
        deadline.require_time_for(ref, can_be_continued=can_be_continued)
    except DeadlineTooClose:
        return False
    return True


def test_invocation_has_surely_ended_a_little_after_its_time() -> None:
    deadline, left = begin(900)
    left.seconds = 10
    assert deadline.ends_at == START + 902


@pytest.mark.parametrize(("seconds", "reserve"), [(900, 30), (120, 30), (60, 15), (4, 1)])
def test_reserve_is_30_seconds_or_a_quarter(seconds: float, reserve: float) -> None:
    assert begin(seconds)[0].reserve == reserve


def test_end_is_near_when_only_the_reserve_is_left() -> None:
    deadline, left = begin(900)
    left.seconds = 30
    assert not deadline.is_near()
    left.seconds = 29.9
    assert deadline.is_near()


def test_bytes_are_in_time_when_a_slow_partner_takes_them_before_the_reserve() -> None:
    deadline, _ = begin(130)
    assert deadline.suffices_for(499_000_000)
    assert not deadline.suffices_for(501_000_000)


def test_bytes_are_in_time_at_best_when_the_network_carries_them_before_the_reserve() -> None:
    deadline, _ = begin(130)
    assert deadline.suffices_for(7_400_000_000, at_best=True)
    assert not deadline.suffices_for(7_600_000_000, at_best=True)


@pytest.mark.parametrize("ref", [SMALL, LARGE, HUGE, UNKNOWN])
@pytest.mark.parametrize("can_be_continued", [True, False])
def test_nothing_is_begun_in_the_reserve(
    ref: ObjectRef,
    can_be_continued: bool,  # noqa: FBT001 - a parameter
) -> None:
    deadline, left = begin(900)
    left.seconds = 29
    assert not may_begin(deadline, ref, can_be_continued=can_be_continued)


def test_first_large_object_has_all_the_time_that_there_is() -> None:
    deadline, left = begin(900)
    left.seconds = 31
    assert may_begin(deadline, HUGE)


def test_second_large_object_must_be_in_time() -> None:
    deadline, _ = begin(130)
    assert may_begin(deadline, HUGE)
    assert not may_begin(deadline, HUGE)
    assert may_begin(deadline, LARGE)
    assert may_begin(deadline, UNKNOWN)


def test_every_object_that_can_be_continued_may_begin() -> None:
    deadline, _ = begin(130)
    assert all(may_begin(deadline, HUGE, can_be_continued=True) for _ in range(3))


def test_small_objects_do_not_take_the_turn_of_a_huge_one() -> None:
    deadline, _ = begin(130)
    assert may_begin(deadline, SMALL)
    assert may_begin(deadline, HUGE)


def test_object_that_was_put_off_is_not_the_first() -> None:
    deadline, left = begin(900)
    left.seconds = 29
    assert not may_begin(deadline, HUGE)
    left.seconds = 31
    assert may_begin(deadline, HUGE)


def test_refusal_names_the_object_and_lets_it_come_back_at_once() -> None:
    deadline, left = begin(900)
    left.seconds = 0
    with pytest.raises(DeadlineTooClose, match="s3://bucket/a was not started") as raised:
        deadline.require_time_for(HUGE, can_be_continued=False)
    assert raised.value.retry_after == 0
