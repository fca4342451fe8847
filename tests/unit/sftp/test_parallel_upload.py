"""Whatever a stream does, the final name has the complete file or does not exist."""

from __future__ import annotations

import contextlib
import itertools
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import (
    ConnectionLost,
    LoginRefused,
    ObjectReadInterrupted,
    PartnerUnreachable,
    ProtocolViolation,
    RequestRefused,
)
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.sftp import parallel_upload
from s3_to_sftp.sftp.byte_ranges import ByteRanges, first_of
from s3_to_sftp.sftp.protocol import OPEN_WRITE, Request, Status, read_text
from s3_to_sftp.sftp.stream_count import stream_count
from s3_to_sftp.sftp.upload_request import TransferTuning
from tests.support.known_servers import MemoryKnownServers
from tests.support.odd_servers import flags_of
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    Script,
    ScriptedServer,
    framed,
    refusing,
    silent_at,
    status,
)
from tests.support.sending import (
    DATA,
    PATH,
    SEGMENT,
    TEMPORARY,
    WRITE,
    Bytes,
    at,
    gathering,
    send,
    upload_part,
    waiting_for,
)
from tests.support.sftp_environment import (
    CHANNEL,
    SOON,
    SftpEnvironment,
    stream_number,
    stream_threads,
    wait_for_streams,
)

MIB = 1024 * 1024


# --- the number of streams ---


@pytest.mark.parametrize(
    ("size", "round_trip", "limit", "expected"),
    [
        (0, 0.1, 8, 1),
        (1024 * MIB, 0.0, 8, 1),
        (1024 * MIB, 0.001, 8, 1),
        (1024 * MIB, 0.02, 64, 4),
        (1024 * MIB, 0.1, 64, 20),
        (1024 * MIB, 0.1, 8, 8),
        (1024 * MIB, 0.1, 1, 1),
        (16 * MIB, 0.1, 8, 1),
        (32 * MIB, 0.1, 8, 2),
        (32 * MIB - 1, 0.1, 8, 1),
        (256 * MIB, 0.1, 64, 16),
    ],
)
def test_stream_count_depends_on_size_round_trip_and_limit(
    size: int, round_trip: float, limit: int, expected: int
) -> None:
    assert stream_count(size=size, round_trip=round_trip, limit=limit) == expected


@pytest.mark.parametrize(
    ("at_login", "at_open", "expected"), [(0.019, 0.001, 1), (0.019, 0.015, 2), (0.02, 0.001, 2)]
)
def test_short_round_trip_is_measured_once_more_before_streams_are_started(
    at_login: float, at_open: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_and_answered = itertools.count(0, at_open)
    monkeypatch.setattr(parallel_upload, "_clock", lambda: next(asked_and_answered))
    env = SftpEnvironment(round_trip=at_login)
    assert send(env.pool(2), gathering() if expected > 1 else None) == expected
    assert len(env.tried) == expected, "a further connection was opened"
    assert env.files == {PATH: DATA}


def test_round_trip_that_was_measured_again_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_and_answered = itertools.count(0, 0.001)
    monkeypatch.setattr(parallel_upload, "_clock", lambda: next(asked_and_answered))
    env = SftpEnvironment(round_trip=0.019)
    pool = env.pool(2)
    send(pool)
    assert env.connection(0).session.round_trip == pytest.approx(0.001)


# --- the ranges of the streams ---


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(0, 10_000),
    start=st.integers(0, 10_000),
    segment=st.integers(1, 999),
    sharing=st.integers(1, 8),
    choices=st.lists(st.booleans(), max_size=300),
)
def test_every_byte_is_handed_out_once_and_again_after_release(
    size: int, start: int, segment: int, sharing: int, choices: list[bool]
) -> None:
    start = min(start, size)
    byte_ranges = ranges_for(size, segment, sharing, start=start)
    kept: list[tuple[int, int]] = []
    failing: list[tuple[int, int]] = []
    for keeps in choices:
        taken = byte_ranges.take()
        if taken is None:
            break
        (kept if keeps else failing).append(taken)
        if len(failing) == 3:
            byte_ranges.release(failing)
            failing = []
    byte_ranges.release(failing)
    while (taken := byte_ranges.take()) is not None:
        kept.append(taken)
    position = start
    for offset, length in sorted(kept):
        assert offset == position
        assert 1 <= length <= segment
        position += length
    assert position == size
    assert not byte_ranges.left()
    assert byte_ranges.acknowledged() == size


def ranges_for(size: int, segment: int, streams: int = 2, **more: Any) -> ByteRanges:
    """Ranges of at most this size for this number of streams, which may start."""
    byte_ranges = ByteRanges(size, tuning=TransferTuning(segment_bytes=segment), **more)
    byte_ranges.share(streams)
    byte_ranges.open()
    return byte_ranges


def test_single_stream_takes_the_whole_file_as_one_range() -> None:
    byte_ranges = ByteRanges(1024 * MIB, start=5)
    assert byte_ranges.take() == (5, 1024 * MIB - 5)
    assert byte_ranges.take() is None


def test_ranges_shrink_towards_the_end_and_never_grow() -> None:
    byte_ranges = ByteRanges(100 * MIB)
    byte_ranges.share(4)
    lengths = [length for _, length in iter(byte_ranges.take, None)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 4 * MIB
    assert lengths[-2] == MIB
    assert sum(lengths) == 100 * MIB


def test_no_range_but_the_last_is_shorter_than_one_mib() -> None:
    byte_ranges = ByteRanges(10 * MIB + 1)
    byte_ranges.share(8)
    assert [length for _, length in iter(byte_ranges.take, None)] == [MIB] * 10 + [1]


def test_stop_is_permanent() -> None:
    answers = iter([False, True, False, False])
    byte_ranges = ByteRanges(100, stop=lambda: next(answers))
    assert byte_ranges.take() == (0, 100)
    byte_ranges.release([(30, 70)])
    assert byte_ranges.take() is None
    assert byte_ranges.take() is None
    assert byte_ranges.stopped
    assert byte_ranges.acknowledged() == 30


@given(
    size=st.integers(1, 5_000),
    start=st.integers(0, 5_000),
    segment=st.integers(1, 700),
    ends=st.lists(st.integers(0, 700), max_size=8),
)
def test_acknowledged_is_the_offset_of_the_first_missing_byte(
    size: int, start: int, segment: int, ends: list[int]
) -> None:
    """Some ranges are written up to a point, as after a stop; all others to their end."""
    start = min(start, size)
    byte_ranges = ranges_for(size, segment, start=start)
    there = [True] * start + [False] * (size - start)
    back = []
    for place, (offset, length) in enumerate(iter(byte_ranges.take, None)):
        done = min(length, ends[place]) if place < len(ends) else length
        there[offset : offset + done] = [True] * done
        if done < length:
            back.append((offset + done, length - done))
    byte_ranges.release(back)
    assert byte_ranges.acknowledged() == (there.index(False) if False in there else size)


@given(
    size=st.integers(1, 5_000),
    start=st.integers(0, 5_000),
    segment=st.integers(1, 700),
    streams=st.lists(
        st.tuples(st.sampled_from(["lost", "at work", "closed"]), st.integers(0, 3_000)), max_size=6
    ),
)
def test_acknowledged_after_loss_is_the_offset_of_the_first_missing_byte(
    size: int, start: int, segment: int, streams: list[tuple[str, int]]
) -> None:
    """The streams take turns; of the bytes of a lost one, only the first were acknowledged."""
    start = min(start, size)
    byte_ranges = ranges_for(size, segment, start=start)
    there = [True] * start + [False] * (size - start)
    taken: list[list[tuple[int, int]]] = [[] for _ in streams]
    for place, range_ in enumerate(iter(byte_ranges.take, None)):
        if not streams:
            byte_ranges.release([range_])
            break
        taken[place % len(streams)].append(range_)
    with contextlib.ExitStack() as at_work:
        for (end, acknowledged), ranges in zip(streams, taken, strict=True):
            if end == "at work":
                at_work.enter_context(byte_ranges.being_written(ranges))
            elif end == "lost":
                byte_ranges.release(ranges)
                byte_ranges.note_unclosed(first_of(ranges, acknowledged))
            for offset, length in ranges if end != "at work" else []:
                done = length if end == "closed" else min(acknowledged, length)
                acknowledged -= done
                there[offset : offset + done] = [True] * done
        assert byte_ranges.acknowledged_after_loss() == (there.index(False) if False in there else size)


def test_concurrent_streams_never_take_the_same_range() -> None:
    byte_ranges = ranges_for(50_000, 7)
    taken: list[list[tuple[int, int]]] = [[] for _ in range(8)]
    start = threading.Barrier(8)

    def take(mine: list[tuple[int, int]]) -> None:
        start.wait(SOON)
        while (segment := byte_ranges.take()) is not None:
            mine.append(segment)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    wait_for_streams(threads)
    everything = sorted(segment for mine in taken for segment in mine)
    assert [offset for offset, _ in everything] == list(range(0, 50_000, 7))
    assert sum(length for _, length in everything) == 50_000
    assert byte_ranges._given == everything


def test_no_range_is_handed_out_after_abort() -> None:
    byte_ranges = ranges_for(100, 10)
    byte_ranges.take()
    byte_ranges.abort()
    byte_ranges.release([(0, 10)])
    assert byte_ranges.take() is None
    assert byte_ranges.aborted


@pytest.mark.parametrize("end", [ByteRanges.close, ByteRanges.abort])
def test_joining_stream_is_visible_to_the_thread_that_ends_the_upload(
    end: Callable[[ByteRanges], None],
) -> None:
    for _ in range(100):
        byte_ranges = ByteRanges(100)
        at_work = [threading.Event() for _ in range(4)]
        joined: list[bool] = [False] * 4
        start = threading.Barrier(5)

        def enter(place: int) -> None:
            start.wait(SOON)  # noqa: B023 - the threads end within the round
            joined[place] = byte_ranges.join(at_work[place])  # noqa: B023

        threads = [threading.Thread(target=enter, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        start.wait(SOON)
        byte_ranges.open()
        end(byte_ranges)
        seen = [event.is_set() for event in at_work]
        wait_for_streams(threads)
        assert joined == seen, "a stream that joins unseen would write after the end"


@pytest.mark.parametrize("end", [ByteRanges.close, ByteRanges.abort])
def test_stream_cannot_join_after_the_end(end: Callable[[ByteRanges], None]) -> None:
    byte_ranges = ByteRanges(100)
    byte_ranges.open()
    end(byte_ranges)
    at_work = threading.Event()
    assert not byte_ranges.join(at_work)
    assert not at_work.is_set()


def test_abort_wakes_streams_that_wait_for_the_file() -> None:
    byte_ranges = ByteRanges(100)
    at_work = threading.Event()
    thread = threading.Thread(target=lambda: byte_ranges.join(at_work))
    thread.start()
    byte_ranges.abort()
    wait_for_streams([thread])
    assert not at_work.is_set()


# --- one file ---


@pytest.fixture(autouse=True)
def wait_for_all_streams() -> Iterator[None]:
    yield
    wait_for_streams()


@pytest.mark.parametrize("size", [0, 1, WRITE, SEGMENT, SEGMENT + 1, len(DATA)])
def test_file_of_any_size_arrives_over_one_connection(size: int) -> None:
    env = SftpEnvironment()
    assert send(env.pool(), Bytes(DATA[:size])) == 1
    assert env.files == {PATH: DATA[:size]}
    assert stream_threads() == []


@pytest.mark.parametrize("limit", [2, 3, 8])
def test_file_arrives_over_several_connections(limit: int) -> None:
    all_write = threading.Barrier(limit)
    env = SftpEnvironment(
        scripts={number: at(Request.WRITE, 1, lambda: all_write.wait(SOON)) for number in range(limit)}
    )
    source = Bytes()
    assert send(env.pool(limit), source) == limit
    assert env.files == {PATH: DATA}
    assert sorted(source.read) == list(range(limit))
    assert source.closed == limit


def test_further_streams_open_without_truncating_and_only_the_first_renames() -> None:
    joined = threading.Event()
    env = SftpEnvironment(
        scripts={0: at(Request.WRITE, 1, waiting_for(joined)), 1: at(Request.WRITE, 1, joined.set)}
    )
    send(env.pool(2))
    assert env.files == {PATH: DATA}
    requests = env.connection(1).server.asked
    kinds = [asked.kind for asked in requests]
    assert kinds[1] == Request.OPEN
    assert flags_of(requests[1]) == OPEN_WRITE
    assert kinds[-1] == Request.CLOSE
    assert set(kinds[2:-2]) == {Request.WRITE}
    assert env.connection(0).server.asked[-1].kind == Request.EXTENDED


def test_upload_is_complete_only_after_all_streams_have_closed() -> None:
    order: list[str] = []
    joined = threading.Event()

    def note(asked: Asked) -> bytes | None:
        if asked.kind == Request.CLOSE or (asked.kind == Request.EXTENDED and b"posix" in asked.payload):
            order.append(asked.kind.name)
        return None

    env = SftpEnvironment(
        scripts={
            0: at(Request.WRITE, 1, waiting_for(joined), note),
            1: at(Request.WRITE, 1, joined.set, note),
        }
    )
    sent = upload_part(env.pool(2))
    order.append("complete")
    assert sent.complete
    assert order == ["CLOSE", "CLOSE", "complete"]
    assert set(env.files) == {TEMPORARY}


def test_connections_are_reused_for_the_next_file() -> None:
    joined = threading.Event()
    env = SftpEnvironment(
        scripts={0: at(Request.WRITE, 1, waiting_for(joined)), 1: at(Request.WRITE, 1, joined.set)}
    )
    pool = env.pool(2)
    send(pool)
    send(pool, Bytes(DATA[::-1]))
    wait_for_streams()
    assert env.files == {PATH: DATA[::-1]}
    assert dict(env.tried) == {0: 1, 1: 1}


# --- streams that fail ---


def malformed_reply(asked: Asked) -> bytes | None:
    return framed(250, asked.request_id.to_bytes(4, "big")) if asked.kind == Request.WRITE else None


FAILING_STREAMS: dict[str, Script] = {
    "open is refused": refusing(Request.OPEN, Status.FAILURE),
    "open is not allowed": refusing(Request.OPEN, Status.PERMISSION_DENIED),
    "open is not answered": silent_at(Request.OPEN),
    "first write is refused": refusing(Request.WRITE, number=1),
    "second write is refused": refusing(Request.WRITE, Status.OP_UNSUPPORTED, number=2),
    "second write is not answered": silent_at(Request.WRITE, number=2),
    "a write gets a malformed reply": malformed_reply,
    "close is refused": refusing(Request.CLOSE),
    "close is not answered": silent_at(Request.CLOSE),
}


def falsely_acknowledging(script: Script) -> Script:
    """Script: each WRITE is answered with OK and not executed, so that only writing again helps."""

    def lossy(asked: Asked) -> bytes | None:
        answer = script(asked)
        return status(asked, Status.OK) if answer is None and asked.kind == Request.WRITE else answer

    return lossy


@pytest.mark.parametrize("fault", FAILING_STREAMS)
def test_ranges_of_a_failed_stream_are_written_again_by_the_others(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    started = threading.Event()
    first_step = Request.OPEN if "open" in fault else Request.WRITE
    env = SftpEnvironment(
        scripts={
            0: at(Request.WRITE, 1, waiting_for(started)),
            1: at(first_step, 1, started.set, falsely_acknowledging(FAILING_STREAMS[fault])),
        }
    )
    pool = env.pool(2)
    source = Bytes()
    send(pool, source)
    assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "does not accept all streams" in caplog.text
    assert env.connection(1).closed
    assert not env.connection(0).closed
    assert set(source.read.get(1, [])) <= set(source.read[0]), "the first stream wrote all of them again"


@pytest.mark.parametrize(
    "error",
    [
        PartnerUnreachable("full.", hint=""),
        LoginRefused("too many.", hint=""),
        ConnectionLost("cut.", hint=""),
        ProtocolViolation("odd.", hint=""),
    ],
)
def test_stream_that_cannot_connect_is_disabled_with_one_warning(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    asked_for = threading.Event()

    def refuse() -> None:
        asked_for.set()
        raise error

    env = SftpEnvironment(
        before_connect={1: refuse}, scripts={0: at(Request.WRITE, 1, waiting_for(asked_for))}
    )
    pool = env.pool(2)
    assert send(pool) == 1
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert len(caplog.records) == 1


def test_learned_stream_limit_applies_to_the_next_file(caplog: pytest.LogCaptureFixture) -> None:
    asked_for = threading.Event()
    third = threading.Event()

    def refuse() -> None:
        third.set()
        raise PartnerUnreachable("two are enough.", hint="")

    env = SftpEnvironment(
        before_connect={2: refuse},
        scripts={
            0: at(Request.WRITE, 1, waiting_for(asked_for, third)),
            1: at(Request.WRITE, 1, asked_for.set),
        },
    )
    pool = env.pool(3)
    send(pool)
    wait_for_streams()
    assert pool.limit == 2
    send(pool)
    wait_for_streams()
    assert dict(env.tried) == {0: 1, 1: 1, 2: 1}
    assert len(caplog.records) == 1


def test_file_arrives_when_all_streams_but_the_first_fail() -> None:
    all_write = threading.Barrier(6)  # then each has a segment of two WRITEs
    faults = [lambda asked: None, *map(falsely_acknowledging, list(FAILING_STREAMS.values())[-5:])]
    env = SftpEnvironment(
        scripts={
            number: at(Request.WRITE, 1, lambda: all_write.wait(SOON), fault)
            for number, fault in enumerate(faults)
        }
    )
    pool = env.pool(6)
    send(pool)
    assert env.files == {PATH: DATA}
    assert pool.limit == 1


def test_first_stream_reopens_the_file_for_ranges_released_after_its_close() -> None:
    """The first stream has closed its file before the ranges of the other one are released."""
    started, first_is_done = threading.Event(), threading.Event()

    def begin() -> None:
        started.set()
        waiting_for(first_is_done)()

    env = SftpEnvironment(
        scripts={
            0: at(Request.CLOSE, 1, first_is_done.set, at(Request.WRITE, 1, waiting_for(started))),
            1: at(
                Request.WRITE,
                1,
                begin,
                falsely_acknowledging(refusing(Request.WRITE, number=1)),
            ),
        }
    )
    send(env.pool(2))
    assert env.files == {PATH: DATA}
    assert len(env.connection(0).server.paths(Request.OPEN)) >= 2


# --- uploads that fail ---


def remaining_files(env: SftpEnvironment) -> list[str]:
    return sorted(env.files)


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("error", [ObjectReadInterrupted("S3.", hint=""), ValueError("surprise")])
def test_source_error_ends_all_streams_and_leaves_no_file(
    where: int, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    both_read = {0: threading.Event(), 1: threading.Event()}

    def fail(offset: int) -> None:
        number = stream_number()
        both_read[number].set()
        waiting_for(*both_read.values())()
        if number == where:
            raise error

    env = SftpEnvironment()
    pool = env.pool(2)
    with pytest.raises(type(error)) as raised:
        send(pool, Bytes(on_range=fail))
    wait_for_streams()
    assert raised.value is error
    assert remaining_files(env) == []
    assert pool.limit == 2, "the error is not the partner's"
    assert caplog.records == []
    assert not env.connection(0).closed
    assert send(pool, Bytes(DATA[:SEGMENT])) == 1


def test_unexpected_error_while_a_stream_connects_ends_the_upload_at_the_next_block() -> None:
    started, stopped = threading.Event(), threading.Event()

    def surprise() -> None:
        waiting_for(started)()
        raise ZeroDivisionError

    def begin() -> None:
        started.set()
        waiting_for(stopped)()

    env = SftpEnvironment(before_connect={1: surprise}, scripts={0: at(Request.WRITE, 1, begin)})
    stop = ByteRanges.abort

    def stop_and_tell(byte_ranges: ByteRanges) -> None:
        stop(byte_ranges)
        stopped.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ByteRanges, "abort", stop_and_tell)
        with pytest.raises(ZeroDivisionError):
            send(env.pool(2))
    assert remaining_files(env) == []
    assert env.connection(0).server.sizes == [WRITE]


@pytest.mark.parametrize("extra", [-1, 1, WRITE])
def test_source_with_a_wrong_number_of_bytes_raises(extra: int) -> None:
    env = SftpEnvironment()
    with pytest.raises(RuntimeError, match="the source gave"):
        send(env.pool(), Bytes(extra=extra))
    assert remaining_files(env) == []


@pytest.mark.parametrize("step", [Request.OPEN, Request.WRITE, Request.CLOSE])
@pytest.mark.parametrize("limit", [1, 2])
def test_refusal_on_the_first_stream_leaves_no_file(step: Request, limit: int) -> None:
    env = SftpEnvironment(scripts={0: refusing(step)})
    with pytest.raises(RequestRefused):
        send(env.pool(limit))
    wait_for_streams()
    assert remaining_files(env) == []


def test_handle_is_closed_once_after_a_refused_write() -> None:
    env = SftpEnvironment(scripts={0: refusing(Request.WRITE, number=5)})
    with pytest.raises(RequestRefused):
        send(env.pool())
    assert len(env.connection(0).server.paths(Request.CLOSE)) == 1


def test_source_stops_reading_when_a_write_fails() -> None:
    env = SftpEnvironment(scripts={0: refusing(Request.WRITE, number=1)})
    source = Bytes(DATA * 2)  # more than the window: the refusal is read before the end
    with pytest.raises(RequestRefused) as raised:
        send(env.pool(), source)
    assert raised.value.__traceback__ is not None  # which keeps the frames of the failed upload alive
    assert source.closed == 1
    assert len(source.read[0]) < 30


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (lambda _asked: NOTHING, ConnectionLost),
        (refusing(Request.OPEN, Status.PERMISSION_DENIED), RequestRefused),
    ],
    ids=["server is silent after the login", "open is refused"],
)
def test_streams_end_when_the_file_cannot_be_created(script: Script, error: type[Exception]) -> None:
    env = SftpEnvironment(scripts={0: script})
    with pytest.raises(error):
        send(env.pool(3))
    wait_for_streams()
    assert env.files == {}


# --- streams that connect late ---


def test_upload_does_not_wait_for_a_stream_that_is_still_connecting() -> None:
    let_in = threading.Event()
    env = SftpEnvironment(before_connect={1: waiting_for(let_in)})
    pool = env.pool(2)
    assert send(pool) == 1
    assert env.files == {PATH: DATA}
    let_in.set()
    wait_for_streams()
    assert pool.stream(1) is env.connection(1)  # type: ignore[comparison-overlap] # it is a fake
    assert not env.connection(1).closed
    assert pool.limit == 2


def test_late_connection_is_used_by_the_next_upload() -> None:
    let_in, joined = threading.Event(), threading.Event()
    env = SftpEnvironment(
        before_connect={1: waiting_for(let_in)}, scripts={1: at(Request.WRITE, 1, joined.set)}
    )
    pool = env.pool(2)
    send(pool)

    def wait_for_the_stream() -> None:
        let_in.set()
        waiting_for(joined)()

    env.connection(0).server.forget()
    env.connection(0).server.script = at(Request.WRITE, 1, wait_for_the_stream)
    assert send(pool, Bytes(DATA[::-1])) == 2
    assert env.files == {PATH: DATA[::-1]}
    assert env.tried[1] == 1


def test_stream_refused_after_the_upload_lowers_the_limit() -> None:
    let_in = threading.Event()

    def refuse() -> None:
        waiting_for(let_in)()
        raise PartnerUnreachable("full.", hint="")

    pool = SftpEnvironment(before_connect={1: refuse}).pool(2)
    send(pool)
    let_in.set()
    wait_for_streams()
    assert pool.limit == 1


def test_hanging_stream_does_not_delay_the_failure_of_the_upload(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, hangs, let_go = threading.Event(), threading.Event(), threading.Event()

    def begin() -> None:
        begun.set()
        waiting_for(hangs)()

    def hang() -> None:
        hangs.set()
        waiting_for(let_go)()

    env = SftpEnvironment(
        scripts={
            0: at(Request.WRITE, 1, begin, silent_at(Request.WRITE)),
            1: at(Request.WRITE, 1, hang),
        }
    )
    env.before_connect[1] = waiting_for(begun)  # the first stream has the first range
    pool = env.pool(2)
    with pytest.raises(ConnectionLost):
        send(pool)
    assert PATH not in env.files
    assert env.connection(1).closed
    old = stream_threads()
    assert old
    # The next object has its own connection, which the old stream must not close.
    env.scripts.clear()
    pool.first()
    new = pool.stream(1)
    let_go.set()
    wait_for_streams(old)
    assert pool.stream(1) is new
    assert not env.made[-1].closed
    assert pool.limit == 2
    assert caplog.records == []


# --- servers that accept one writer, or sequential writes only ---


def sequential_writes_only(env: SftpEnvironment, number: int, refused: threading.Event) -> Script:
    """Script: as in front of an object store, a WRITE must start where the file ends."""

    def script(asked: Asked) -> bytes | None:
        if asked.kind != Request.WRITE:
            return None
        handle, behind = read_text(asked.payload)
        (offset,) = struct.unpack_from(">Q", asked.payload, behind)
        if offset == len(env.connection(number).server.file_of(handle)):
            return None
        refused.set()
        return status(asked, Status.OP_UNSUPPORTED)

    return script


def environment_with_sequential_writes() -> SftpEnvironment:
    """The server refuses a WRITE of the first stream while the other one is writing."""
    env = SftpEnvironment()
    started, refused = threading.Event(), threading.Event()

    def begin() -> None:
        started.set()
        waiting_for(refused)()

    env.scripts = {
        0: at(Request.WRITE, 1, waiting_for(started), sequential_writes_only(env, 0, refused)),
        1: at(Request.WRITE, 1, begin, sequential_writes_only(env, 1, threading.Event())),
    }
    return env


def test_server_that_requires_sequential_writes_gets_one_stream(caplog: pytest.LogCaptureFixture) -> None:
    env = environment_with_sequential_writes()
    pool = env.pool(2)
    send(pool)
    assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert len(caplog.records) == 1
    assert send(pool, Bytes(DATA[::-1])) == 1
    assert env.files == {PATH: DATA[::-1]}
    assert env.tried[1] == 1


def test_failed_second_attempt_leaves_no_final_name() -> None:
    env = environment_with_sequential_writes()
    script = env.scripts[0]
    env.scripts[0] = lambda asked: (
        refused
        if (refused := refusing(Request.OPEN, Status.PERMISSION_DENIED, number=3)(asked))
        else script(asked)
    )
    # The directory is made after the first OPEN; the third is that of the second attempt.
    with pytest.raises(RequestRefused):
        send(env.pool(2))
    assert PATH not in env.files


def test_second_name_is_not_used_for_a_third_file() -> None:
    """A known server refuses the shortcuts, and accepts only sequential writes."""
    env = environment_with_sequential_writes()
    servers: list[ScriptedServer] = []

    class RefusesShortcuts(ScriptedServer):
        def recv(self) -> bytes:
            servers.append(self)
            if self is servers[0]:
                raise EOFError
            return super().recv()

    env.kind = RefusesShortcuts
    shown = {"host_key": env.fingerprint, "version": env.version, "login": "e3b0c44298fc1c14"}
    known = KnownServer(**shown, extensions=(), round_trip=env.round_trip)
    pool = env.pool(2, known=MemoryKnownServers(known))
    with pytest.raises(RequestRefused):
        upload_part(pool)
    wait_for_streams()
    assert env.files == {}
    sent = upload_part(pool, temporary="inbox/.b.part")
    assert sent.complete
    assert env.files == {"inbox/.b.part": DATA}


def test_second_attempt_reads_all_ranges_again() -> None:
    source = Bytes()
    send(environment_with_sequential_writes().pool(2), source)
    assert source.read[0][-len(DATA) // SEGMENT :] == list(range(0, len(DATA), SEGMENT))


@pytest.mark.parametrize("code", [Status.NO_SPACE_ON_FILESYSTEM, Status.QUOTA_EXCEEDED])
def test_full_disk_is_not_retried_and_disables_no_stream(code: int) -> None:
    joined = threading.Event()
    env = SftpEnvironment(
        scripts={
            0: at(Request.WRITE, 1, waiting_for(joined), refusing(Request.WRITE, code)),
            1: at(Request.WRITE, 1, joined.set),
        }
    )
    env.disk.directories.add("inbox")
    pool = env.pool(2)
    with pytest.raises(RequestRefused):
        send(pool)
    wait_for_streams()
    assert len(env.connection(0).server.paths(Request.OPEN)) == 1
    assert remaining_files(env) == []
    assert pool.limit == 2


def test_refusal_without_a_second_active_stream_is_not_retried() -> None:
    let_in = threading.Event()
    env = SftpEnvironment(before_connect={1: waiting_for(let_in)}, scripts={0: refusing(Request.WRITE)})
    env.disk.directories.add("inbox")
    pool = env.pool(2)
    with pytest.raises(RequestRefused):
        send(pool)
    assert len(env.connection(0).server.paths(Request.OPEN)) == 1
    let_in.set()
    wait_for_streams()
    assert pool.limit == 2


# --- a second channel where one connection is allowed ---


def test_file_arrives_over_two_channels_of_one_connection() -> None:
    joined = threading.Event()
    env = SftpEnvironment(
        channels=True,
        scripts={0: at(Request.WRITE, 1, waiting_for(joined)), CHANNEL: at(Request.WRITE, 1, joined.set)},
    )
    pool = env.pool()
    assert send(pool) == 2
    send(pool, Bytes(DATA[::-1]))
    wait_for_streams()
    assert env.files == {PATH: DATA[::-1]}
    assert dict(env.tried) == {0: 1, CHANNEL: 1}
    assert env.connection(CHANNEL).server.sizes


@pytest.mark.parametrize("fault", FAILING_STREAMS)
def test_failed_channel_leaves_the_connection_to_write_its_ranges(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    started = threading.Event()
    first_step = Request.OPEN if "open" in fault else Request.WRITE
    env = SftpEnvironment(
        channels=True,
        scripts={
            0: at(Request.WRITE, 1, waiting_for(started)),
            CHANNEL: at(first_step, 1, started.set, falsely_acknowledging(FAILING_STREAMS[fault])),
        },
    )
    pool = env.pool()
    send(pool)
    assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert len(caplog.records) == 1
    assert env.connection(CHANNEL).closed
    assert not env.connection(0).closed


def test_most_streams_limits_the_number_of_streams() -> None:
    env = SftpEnvironment(channels=True)
    assert send(env.pool(8), most_streams=1) == 1
    assert dict(env.tried) == {0: 1}


def test_streams_that_fail_with_the_first_do_not_lower_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The partner goes down: that proves no limit of connections."""
    refused = threading.Event()

    def down() -> None:
        refused.set()
        raise PartnerUnreachable("down.", hint="")

    def last(asked: Asked) -> bytes:
        waiting_for(refused)()
        return NOTHING

    env = SftpEnvironment(before_connect={1: down, 2: down}, scripts={0: last})
    pool = env.pool(3)
    with pytest.raises(ConnectionLost):
        send(pool)
    wait_for_streams()
    assert pool.limit == 3
    assert caplog.records == []
