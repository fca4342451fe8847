"""No byte leaves before its turn: over several streams, in batches of small files, and at the end of time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from s3_to_sftp.outcomes import CheckpointSaved
from s3_to_sftp.sftp.client import SmallFile
from s3_to_sftp.sftp.pace import Pace
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.sftp.session import SftpSession
from tests.support.delivery_environment import DeliveryEnvironment
from tests.support.sending import DATA, PATH, Bytes, at, send
from tests.support.sftp_environment import SOON, SftpEnvironment, wait_for_streams


class Portions:
    """Bandwidth that is always free, and remembers what it has given.

    Attributes:
        given: Bytes so far.
    """

    def __init__(self, bytes_per_second: float = 100_000, seconds: float = 0) -> None:
        self.bytes_per_second = bytes_per_second
        self.seconds = seconds
        self.given = 0

    def reserve(self, size: int) -> float:
        self.given += size
        return self.seconds


@pytest.fixture
def portions(monkeypatch: pytest.MonkeyPatch) -> Portions:
    """Every WRITE of the test is within what was given before it."""
    given, lock, written = Portions(), threading.Lock(), [0]
    write = SftpSession.write

    def within(session: SftpSession, handle: bytes, offset: int, data: Any, **about: Any) -> Any:
        with lock:
            written[0] += len(data)
            assert written[0] <= given.given
        return write(session, handle, offset, data, **about)

    monkeypatch.setattr(SftpSession, "write", within)
    return given


def test_all_streams_of_a_file_share_one_pace(portions: Portions) -> None:
    all_write = threading.Barrier(3)
    scripts = {number: at(Request.WRITE, 1, lambda: all_write.wait(SOON)) for number in range(3)}
    env = SftpEnvironment(scripts=scripts)
    assert send(env.pool(3, pace=Pace(portions, sleep=lambda _: None)), Bytes()) == 3
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert len(DATA) <= portions.given <= len(DATA) + portions.bytes_per_second


def test_small_files_of_a_batch_share_one_pace(portions: Portions) -> None:
    env = SftpEnvironment()
    client = env.client(pace=Pace(portions, sleep=lambda _: None))
    files = [SmallFile(n, f"in/{n}", f"in/.{n}", bytes(30_000), aside=f"in/.old{n}") for n in range(40)]
    outcomes = dict(client.send_small(files))
    assert set(outcomes.values()) == {None}
    assert 40 * 30_000 <= portions.given <= 40 * 30_000 + portions.bytes_per_second


def test_no_more_streams_than_the_bandwidth_fills() -> None:
    env = SftpEnvironment(round_trip=0.1)
    paced = env.client(8, pace=Pace(Portions(1_000_000), sleep=lambda _: None))
    assert paced._tuning.aim_bytes_per_second == 1_000_000
    assert paced.is_slow_for(1_000_001)
    assert not paced.is_slow_for(1_000_000)
    assert not env.client(8).is_slow_for(10**12)


def test_small_object_that_takes_long_in_the_bandwidth_travels_alone(ledger_table: Any) -> None:
    harness = DeliveryEnvironment(ledger_table, {"a": bytes(150_000), "b": bytes(50_000)})
    slow = harness.env.client(pace=Pace(Portions(100_000), sleep=lambda _: None))
    function = harness.function(partner=slow)
    assert [function.travels_alone(harness.ref(key)) for key in ("a", "b")] == [True, False]
    assert not harness.function().travels_alone(harness.ref("a"))


def test_invocation_that_ends_while_bytes_wait_saves_a_checkpoint_and_the_next_one_goes_on(
    ledger_table: Any,
) -> None:
    data = bytes(range(256)) * 12_000
    harness = DeliveryEnvironment(ledger_table, {"a": data})
    ref, clock = harness.ref("a"), harness.ledger.clock
    begun = clock.now

    def sleeps(seconds: float) -> None:
        clock.now += seconds

    def partner() -> Any:
        return harness.env.client(pace=Pace(Portions(seconds=1), clock=clock, sleep=sleeps))

    deadline = harness.deadline(is_over=lambda: clock.now >= begun + 8)
    with pytest.raises(CheckpointSaved):
        harness.deliver(ref, name="first", partner=partner(), deadline=deadline)
    assert clock.now == begun + 8
    assert 0 < int(harness.item(ref)["checkpoint"]["M"]["offset"]["N"]) < len(data)
    harness.deliver(ref, name="second", partner=partner())
    assert harness.whole == {"inbox/a": data}
    assert harness.written < len(data) + 1_000_000
