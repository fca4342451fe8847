"""An operator's pause: which objects it holds back, for how long, and what an item that is no use means."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_sftp.errors import Disposition, LedgerError
from s3_to_sftp.outcomes import DeliveriesPaused
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.hold import HOLD_PK, HOLD_SK, LONGEST_WAIT, Hold, hold_attributes, read_hold
from s3_to_sftp.state.items import KEY, partition_key
from s3_to_sftp.state.ledger import Checkpoint
from s3_to_sftp.state.pause import DynamoPause, NoPause
from s3_to_sftp.state.table import Table
from tests.support.ledger_environment import (
    START,
    TABLE,
    LedgerEnvironment,
    commit_of,
    create_table,
    ref,
    refused,
)

A, B = ref(key="a"), ref(key="b")
HOLD = Hold(since=START - 60, until=START + 100, reason="maintenance", who="arn:who", revision=3)


class CountingClient:
    """Counts reads, and fails with an error for those of a sort key."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.read: list[str] = []
        self.fails: dict[str, Exception] = {}

    def get_item(self, **request: Any) -> Any:
        assert request["ConsistentRead"]
        sk = request["Key"]["sk"]["S"]
        self.read.append(sk)
        if sk in self.fails:
            raise self.fails[sk]
        return self._client.get_item(**request)


class PauseEnvironment:
    """A table, and a function that looks for the pause."""

    def __init__(self, dynamodb: Any) -> None:
        create_table(dynamodb)
        self.ledger = LedgerEnvironment(dynamodb)
        self.client = CountingClient(dynamodb)
        self.pause = DynamoPause(Table(self.client, TABLE), clock=self.ledger.clock, random=lambda: 0)

    def set(self, hold: Hold = HOLD, **attributes: Any) -> None:
        keys = {"pk": {"S": HOLD_PK}, "sk": {"S": HOLD_SK}}
        item = {**keys, **hold_attributes(hold), **attributes}
        self.ledger.dynamodb.put_item(TableName=TABLE, Item=item)

    def held(self, *refs: ObjectRef) -> dict[ObjectRef, DeliveriesPaused]:
        return dict(self.pause.held(refs or (A,)))


@pytest.fixture
def env(dynamodb: Any) -> Iterator[PauseEnvironment]:
    yield PauseEnvironment(dynamodb)
    dynamodb.delete_table(TableName=TABLE)


# --- the item ---


@pytest.mark.parametrize("hold", [HOLD, Hold(since=1.5)], ids=["with an end", "without"])
def test_item_is_read_as_it_was_written(hold: Hold) -> None:
    assert read_hold(hold_attributes(hold)) == hold


@pytest.mark.parametrize(
    "item",
    [{}, {"since": {"S": "yesterday"}}, {"since": {"N": "1"}, "until": {"NULL": True}}],
    ids=["empty", "no number", "until is null"],
)
def test_corrupt_item_is_refused_and_says_how_to_end_it(item: Any) -> None:
    with pytest.raises(LedgerError) as raised:
        read_hold(item)
    assert "s3-to-sftp resume" in raised.value.hint


def test_pause_is_over_at_its_end_and_without_one_lasts() -> None:
    assert HOLD.is_in_force(HOLD.until - 0.1)  # type: ignore[operator]
    assert not HOLD.is_in_force(HOLD.until)  # type: ignore[arg-type]
    assert Hold(since=0).is_in_force(1e10)


@pytest.mark.parametrize(("until", "wait"), [(None, LONGEST_WAIT), (90, 90), (9_000, LONGEST_WAIT), (-1, 0)])
def test_message_asks_again_at_the_end_and_in_five_minutes_at_the_latest(
    until: float | None, wait: float
) -> None:
    assert Hold(since=0, until=None if until is None else START + until).wait(START) == wait


# --- which objects wait ---


def test_without_a_pause_nothing_waits_at_the_price_of_one_read(env: PauseEnvironment) -> None:
    assert env.held(A, B) == {}
    assert env.client.read == [HOLD_SK]


def test_paused_objects_wait_until_the_end_and_are_told_why(env: PauseEnvironment) -> None:
    env.set()
    held = env.held(A, B)
    assert list(held) == [A, B]
    assert held[A].disposition is Disposition.WAIT
    assert (held[A].retry_after, held[A].paused_for) == (100, 60)
    assert held[A].reason == "Deliveries are paused by arn:who until 2026-11-23 00:01 UTC: maintenance"
    assert "s3-to-sftp resume" in held[A].hint


def test_jitter_is_added_and_never_brings_a_message_back_too_early(env: PauseEnvironment) -> None:
    env.set()
    pause = DynamoPause(Table(env.client, TABLE), clock=env.ledger.clock, random=lambda: 1)
    assert pause.held([A])[A].retry_after == pytest.approx(120)


def test_pause_ends_by_itself(env: PauseEnvironment) -> None:
    env.set()
    env.ledger.clock.now = START + 100
    assert env.held(A) == {}


def test_pause_without_end_and_without_reason_is_told_as_such(env: PauseEnvironment) -> None:
    env.set(Hold(since=START))
    error = env.held(A)[A]
    assert error.retry_after == LONGEST_WAIT
    assert error.reason == "Deliveries are paused until somebody resumes them: no reason was given"


def test_end_beyond_the_calendar_is_told_all_the_same(env: PauseEnvironment) -> None:
    env.set(Hold(since=START, until=1e15))
    assert "1e+15 s after 1970" in env.held(A)[A].reason


def checkpointed(env: PauseEnvironment, version: ObjectRef) -> None:
    ledger = env.ledger.function()
    lease = env.ledger.lease(version, ledger)
    checkpoint = Checkpoint(
        temporary=lease.temporary, offset=7, algorithm="CRC32", crc=1, rounds_without_progress=0
    )
    ledger.checkpoint(lease, checkpoint)


def staged(env: PauseEnvironment, version: ObjectRef) -> None:
    ledger = env.ledger.function()
    lease = env.ledger.lease(version, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.stage(lease, commit_of(lease, rename_unanswered=False), reason="refused.")


@pytest.mark.parametrize("begin", [checkpointed, staged], ids=lambda begin: begin.__name__)
def test_what_is_under_way_may_finish(begin: Any, env: PauseEnvironment) -> None:
    begin(env, A)
    env.set()
    assert list(env.held(A, B)) == [B]


def test_failed_object_waits_though_a_part_of_it_is_at_the_partner(env: PauseEnvironment) -> None:
    """A redrive is a new delivery."""
    checkpointed(env, A)
    env.ledger.function().record_outcome(A, state="FAILED", reason="no.", hint="")
    assert "checkpoint" in env.ledger.item(A)
    env.set()
    assert list(env.held(A)) == [A]


def test_object_that_was_only_tried_waits(env: PauseEnvironment) -> None:
    ledger = env.ledger.function()
    ledger.release(env.ledger.lease(A, ledger), reason="cut.")
    env.set()
    assert list(env.held(A)) == [A]


# --- what cannot be read ---


def test_unreadable_table_stops_nothing_and_is_logged_once(
    env: PauseEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    env.set()
    env.client.fails[HOLD_SK] = refused("InternalServerError")
    with caplog.at_level(logging.WARNING):
        assert env.held(A) == env.held(B) == {}
    (record,) = caplog.records
    assert "deliveries continue without knowing whether they are paused" in record.getMessage()


def test_corrupt_item_counts_as_a_pause_and_calls_a_person(
    env: PauseEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    env.set(until={"S": "06:00"})
    with caplog.at_level(logging.WARNING):
        error = env.held(A)[A]
        env.held(A)
    assert error.paused_for == START, "far above the threshold of the alarm"
    assert "corrupt" in error.reason
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["unreadable", "corrupt"])
def test_object_of_which_nothing_is_known_waits(kind: str, env: PauseEnvironment) -> None:
    checkpointed(env, A)
    if kind == "corrupt":
        env.ledger.write(A, "state", {"S": "NONSENSE"})
    else:
        env.client.fails[KEY] = refused("InternalServerError")
    env.set()
    assert partition_key(A) == "object#bucket/a"
    assert list(env.held(A)) == [A]


def test_without_a_table_nothing_is_paused() -> None:
    assert NoPause().held([A]) == {}
