"""An upload may stop and resume at any byte: what is reported is there, and the file ends up complete."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.errors import CheckpointLost, ConnectionLost, Disposition, RequestRefused, ResumeRefused
from s3_to_sftp.s3.checksum import RangeChecksum
from s3_to_sftp.s3.object_reader import ChecksumSoFar, ObjectReader
from s3_to_sftp.sftp.parallel_upload import upload_parallel
from s3_to_sftp.sftp.protocol import Answer, Request, Status, read_text
from s3_to_sftp.sftp.temporary_names import another_name
from s3_to_sftp.sftp.upload_request import TransferTuning, UploadRequest
from tests.support.memory_s3 import MemoryS3
from tests.support.scripted_server import NOTHING, Asked, Script, framed, refusing, silent_at, status
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
    send_part,
    waiting_for,
)
from tests.support.sftp_environment import SOON, SftpEnvironment, wait_for_streams

START = 3 * WRITE + 77


@pytest.fixture(autouse=True)
def wait_for_all_streams() -> Iterator[None]:
    yield
    wait_for_streams()


def stop_at_check(checks: int) -> Callable[[], bool]:
    """Stop at this check only: later checks return False, and the upload must stay stopped."""
    lock = threading.Lock()
    asked = 0

    def stop() -> bool:
        nonlocal asked
        with lock:
            asked += 1
            return asked == checks + 1

    return stop


def with_checkpoint(env: SftpEnvironment, size: int = START) -> SftpEnvironment:
    """Put the first bytes of the file at the partner."""
    env.disk.directories.add("inbox")
    env.files[TEMPORARY] = bytearray(DATA[:size])
    return env


# --- any number of stops ---


def crc_of(data: bytes) -> int:
    return RangeChecksum("CRC64NVME").of(data)


def checksum_of(data: bytes) -> str:
    checksum = RangeChecksum("CRC64NVME")
    checksum.add(0, len(data), checksum.of(data))
    return checksum.value(len(data))


def full_object_checksum(data: bytes) -> dict[str, str]:
    return {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": checksum_of(data)}


@settings(max_examples=120, deadline=None)
@given(
    size=st.integers(0, 60_000),
    stops=st.lists(st.integers(0, 40), max_size=6),
    limit=st.integers(1, 4),
    tail=st.sampled_from([b"", b"?"]),
)
def test_file_is_complete_after_any_number_of_stops(
    size: int, stops: list[int], limit: int, tail: bytes
) -> None:
    data = DATA[:size]
    s3 = MemoryS3({"a": data}, checksums={"a": full_object_checksum(data)})
    env = SftpEnvironment(max_write=1000)
    so_far: ChecksumSoFar | None = None
    temporary = TEMPORARY
    for checks in (*stops, 10**9):
        # Another invocation, which knows only what was recorded.
        source = ObjectReader(s3, s3.ref("a"), before=so_far)
        assert source.start == (so_far.size if so_far else 0)
        request = UploadRequest(
            source=source, temporary=temporary, start=source.start, stop=with_yield(stop_at_check(checks))
        )
        tuning = TransferTuning(min_bytes_per_stream=1, segment_bytes=7000, last_segment_bytes=1500)
        sent = upload_parallel(env.pool(limit), request, tuning)
        wait_for_streams()
        if sent.complete:
            break
        temporary = sent.temporary
        file = env.files[temporary]
        assert file[: sent.acknowledged] == data[: sent.acknowledged]
        so_far = source.checksum_up_to(sent.acknowledged)
        assert source.start <= so_far.size <= sent.acknowledged
        assert so_far.crc == crc_of(data[: so_far.size])
        # What follows was never reported as acknowledged.
        file[so_far.size :] = tail * (len(file) - so_far.size)
    assert sent.complete
    assert sent.acknowledged == size
    assert env.files == {sent.temporary: data}
    assert (source.verify().checksum_algorithm, source.verify().checksum) == ("CRC64NVME", checksum_of(data))


def with_yield(stop: Callable[[], bool]) -> Callable[[], bool]:
    """Let the other threads run at each check."""

    def ask() -> bool:
        time.sleep(0.0001)
        return stop()

    return ask


# --- a stop ---


@pytest.mark.parametrize("blocks", [0, 1, 2, 17])
def test_everything_before_the_stop_is_acknowledged(blocks: int) -> None:
    env = SftpEnvironment()
    pool = env.pool()
    # One check for the range, then one before each block.
    sent = send_part(pool, stop=stop_at_check(blocks and 1 + blocks))
    assert (sent.complete, sent.acknowledged, sent.streams) == (False, blocks * WRITE, 1)
    assert sent.temporary == TEMPORARY
    assert env.files == {TEMPORARY: DATA[: blocks * WRITE]}


def test_stop_closes_the_file_and_keeps_its_temporary_name() -> None:
    env = SftpEnvironment()
    pool = env.pool()
    sent = send_part(pool, stop=stop_at_check(5))
    assert not sent.complete
    server = env.connection(0).server
    assert server.open_handles == set()
    assert server.asked[-1].kind == Request.CLOSE
    send(pool, Bytes(DATA[:SEGMENT]), temporary="inbox/.b.part")
    assert env.tried[0] == 1, "the connection stays warm"


def test_stop_ends_all_streams_cleanly() -> None:
    both = {0: threading.Event(), 1: threading.Event()}
    env = SftpEnvironment(
        scripts={
            number: at(Request.WRITE, 1, lambda number=number: meet(both, number))  # type: ignore[misc] # its default
            for number in both
        }
    )
    pool = env.pool(2)
    sent = send_part(pool, stop=lambda: all(event.is_set() for event in both.values()))
    wait_for_streams()
    assert sent.streams == 2
    assert not sent.complete
    assert 0 < sent.acknowledged < len(DATA)
    assert env.files[TEMPORARY][: sent.acknowledged] == DATA[: sent.acknowledged]
    assert env.connection(0).server.open_handles == env.connection(1).server.open_handles == set()
    assert pool.limit == 2
    assert not env.connection(1).closed


def meet(events: dict[int, threading.Event], number: int) -> None:
    events[number].set()
    waiting_for(*events.values())()


def test_bytes_of_a_stream_that_failed_before_the_stop_are_not_acknowledged() -> None:
    """The second stream has the second range, and loses it; the first continues after it until the stop."""
    has_written, failed = threading.Event(), threading.Event()

    def lossy(asked: Asked) -> bytes | None:
        if asked.kind == Request.CLOSE:
            return status(asked, Status.FAILURE)
        return status(asked, Status.OK) if asked.kind == Request.WRITE else None

    env = SftpEnvironment(
        scripts={
            0: at(Request.WRITE, 1, waiting_for(has_written)),
            1: at(Request.WRITE, 1, has_written.set, lossy),
        }
    )
    pool = env.pool(2)
    disable_stream = pool.disable_stream

    def note(number: int, reason: Exception) -> None:
        disable_stream(number, reason)
        failed.set()

    pool.disable_stream = note  # type: ignore[method-assign] # notes the call
    asked_by: set[str] = set()

    def stop() -> bool:
        asked_by.add(threading.current_thread().name)
        return has_written.is_set() and "stream-1" in asked_by

    sent = send_part(pool, stop=stop)
    waiting_for(failed)()
    assert env.files[TEMPORARY][: sent.acknowledged] == DATA[: sent.acknowledged]
    assert sent.acknowledged < len(DATA)


@pytest.mark.parametrize("kind", [Request.WRITE, Request.CLOSE])
def test_refusal_after_the_stop_is_raised(kind: Request) -> None:
    env = SftpEnvironment(scripts={0: refusing(kind)})
    with pytest.raises(RequestRefused):
        send_part(env.pool(), stop=stop_at_check(3))


def test_unanswered_first_write_after_the_stop_raises_connection_lost() -> None:
    env = SftpEnvironment(scripts={0: silent_at(Request.WRITE)})
    with pytest.raises(ConnectionLost):
        send_part(env.pool(), stop=stop_at_check(3))


def test_unanswered_close_after_the_stop_leaves_a_checkpoint() -> None:
    env = SftpEnvironment(scripts={0: silent_at(Request.CLOSE)})
    sent = send_part(env.pool(), stop=stop_at_check(3))
    assert isinstance(sent.lost, ConnectionLost)
    assert (sent.complete, sent.acknowledged) == (False, 2 * WRITE)


@pytest.mark.parametrize("is_up", [True, False])
def test_progress_of_a_lost_stream_among_several_does_not_count(*, is_up: bool) -> None:
    # Its bytes may only be in the server's memory, while the others have made the file as long as expected.
    lost = threading.Event()

    def cut(asked: Asked) -> bytes | None:
        if (asked.kind, asked.number) != (Request.WRITE, 5):
            return None
        lost.set()
        return NOTHING

    def close(asked: Asked) -> bytes | None:
        if asked.kind != Request.CLOSE:
            return None
        assert lost.wait(SOON)
        return None if is_up else NOTHING

    env = SftpEnvironment(scripts={0: cut, 1: close})
    sent = send_part(env.pool(2), gathering())
    wait_for_streams()
    assert isinstance(sent.lost, ConnectionLost)
    assert sent.streams == 2
    assert (sent.acknowledged, sent.is_spread) == (0, True)
    assert env.files[TEMPORARY][: sent.acknowledged] == DATA[: sent.acknowledged]


def test_stop_after_the_close_is_ignored() -> None:
    env = SftpEnvironment()
    closed = threading.Event()
    env.scripts = {0: at(Request.CLOSE, 1, closed.set)}
    send(env.pool(), stop=closed.is_set)
    assert env.files == {PATH: DATA}


# --- resume ---


def test_resume_writes_only_the_missing_bytes() -> None:
    env = with_checkpoint(SftpEnvironment())
    source = Bytes()
    send(env.pool(), source, start=START)
    assert env.files == {PATH: DATA}
    assert source.read == {0: [START]}
    server = env.connection(0).server
    assert server.paths(Request.OPEN) == [[TEMPORARY]]
    assert sum(server.sizes) == len(DATA) - START


def test_resume_uses_several_streams() -> None:
    joined = threading.Event()
    env = with_checkpoint(
        SftpEnvironment(
            scripts={0: at(Request.WRITE, 1, waiting_for(joined)), 1: at(Request.WRITE, 1, joined.set)}
        )
    )
    assert send(env.pool(2), start=START) == 2
    assert env.files == {PATH: DATA}
    assert sum(sum(each.server.sizes) for each in env.made) == len(DATA) - START


def test_resume_of_a_complete_file_only_renames_it() -> None:
    env = with_checkpoint(SftpEnvironment(), len(DATA))
    send(env.pool(), start=len(DATA))
    assert env.files == {PATH: DATA}


def test_resume_overwrites_unacknowledged_bytes() -> None:
    env = with_checkpoint(SftpEnvironment())
    env.files[TEMPORARY] += b"?" * 200_000
    send(env.pool(), start=START)
    assert env.files == {PATH: DATA}


@pytest.mark.parametrize("left", [0, 1, START - 1])
def test_file_shorter_than_its_checkpoint_raises_checkpoint_lost(left: int) -> None:
    env = with_checkpoint(SftpEnvironment(), left)
    with pytest.raises(CheckpointLost, match=f"has {left} bytes at the partner, {START} were") as raised:
        send_part(env.pool(), start=START)
    assert raised.value.disposition is Disposition.RETRY
    assert env.files == {TEMPORARY: DATA[:left]}
    assert_connection_is_usable(env)


def assert_connection_is_usable(env: SftpEnvironment) -> None:
    connection = env.connection(0)
    assert connection.is_open()
    connection.session.ping()
    assert connection.server.open_handles == set()


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_missing_file_raises_checkpoint_lost(code: int) -> None:
    env = SftpEnvironment(scripts={0: refusing(Request.OPEN, code)})
    with pytest.raises(CheckpointLost, match="no longer at the partner"):
        send_part(env.pool(), start=START)
    assert_connection_is_usable(env)


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE, Status.OP_UNSUPPORTED])
@pytest.mark.parametrize("look", [Status.OK, Status.PERMISSION_DENIED])
def test_file_that_cannot_be_reopened_is_kept_for_a_retry(look: int, code: int) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.STAT and look:
            return status(asked, look)
        return status(asked, code) if asked.kind == Request.OPEN else None

    env = with_checkpoint(SftpEnvironment(scripts={0: script}))
    with pytest.raises(ResumeRefused, match="refused to open") as raised:
        send_part(env.pool(), start=START)
    assert raised.value.disposition is Disposition.RETRY
    assert env.files == {TEMPORARY: DATA[:START]}
    assert_connection_is_usable(env)


def without_a_size(asked: Asked) -> bytes | None:
    without_size = framed(Answer.ATTRS, struct.pack(">II", asked.request_id, 0))
    return without_size if asked.kind == Request.STAT else None


@pytest.mark.parametrize("script", [refusing(Request.STAT, Status.PERMISSION_DENIED), without_a_size])
def test_resume_works_where_the_server_shows_no_size(script: Script) -> None:
    env = with_checkpoint(SftpEnvironment(scripts={0: script}))
    send(env.pool(), start=START)
    assert env.files == {PATH: DATA}


@pytest.mark.parametrize("kind", [Request.WRITE, Request.CLOSE])
def test_failed_resume_keeps_the_bytes_of_the_checkpoint(kind: Request) -> None:
    env = with_checkpoint(SftpEnvironment(scripts={0: refusing(kind)}))
    with pytest.raises(RequestRefused):
        send_part(env.pool(), start=START)
    assert env.files[TEMPORARY][:START] == DATA[:START]
    assert PATH not in env.files


def test_refusal_among_streams_keeps_the_bytes_of_the_checkpoint() -> None:
    """A resumed file gets no second attempt under another name: its first bytes are not sent again."""
    has_written, refused = threading.Event(), threading.Event()

    def fail_once(asked: Asked) -> bytes | None:
        if (asked.kind, asked.number) != (Request.WRITE, 1):
            return None
        waiting_for(has_written)()
        refused.set()
        return status(asked, Status.FAILURE)

    env = with_checkpoint(SftpEnvironment())
    env.scripts = {
        0: fail_once,
        1: at(Request.WRITE, 1, lambda: (has_written.set(), waiting_for(refused)())),
    }
    pool = env.pool(2)
    assert send(pool, start=START) == 1
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 1


def test_stop_in_a_second_attempt_returns_its_temporary_name() -> None:
    """A server that requires sequential writes gets a second file, which is the one to resume."""
    env = SftpEnvironment()
    has_written, refused = threading.Event(), threading.Event()

    def in_order(asked: Asked) -> bytes | None:
        handle, behind = read_text(asked.payload)
        (offset,) = struct.unpack_from(">Q", asked.payload, behind)
        if asked.kind != Request.WRITE or offset == len(env.connection(0).server.file_of(handle)):
            return None
        refused.set()
        return status(asked, Status.OP_UNSUPPORTED)

    def stream_writes() -> None:
        has_written.set()
        waiting_for(refused)()

    second_attempts: list[str] = []

    def first(asked: Asked) -> bytes | None:
        if asked.kind == Request.OPEN and b"-2.part" in asked.payload:
            second_attempts.append("started")
        return in_order(asked) if asked.kind == Request.WRITE else None

    env.scripts = {
        0: at(Request.WRITE, 1, waiting_for(has_written), first),
        1: at(Request.WRITE, 1, stream_writes),
    }
    pool = env.pool(2)
    sent = send_part(pool, stop=lambda: bool(second_attempts) and len(env.connection(0).server.sizes) > 20)
    wait_for_streams()
    assert sent.temporary == another_name(TEMPORARY)
    assert 0 < sent.acknowledged < len(DATA)
    assert env.files == {sent.temporary: DATA[: sent.acknowledged]}
    send(pool, start=sent.acknowledged, temporary=sent.temporary)
    assert env.files == {PATH: DATA}
