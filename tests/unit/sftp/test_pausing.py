"""An upload may stop and resume at any byte: what is reported is there, and the file ends up whole."""

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
from tests.support.sftp_environment import SOON, wait_for_streams
from tests.support.sftp_environment import SftpEnvironment as Environment

START = 3 * WRITE + 77


@pytest.fixture(autouse=True)
def no_stream_is_left() -> Iterator[None]:
    yield
    wait_for_streams()


def after(questions: int) -> Callable[[], bool]:
    """Pause at this question, and never be asked to answer rightly again."""
    lock = threading.Lock()
    asked = 0

    def pause() -> bool:
        nonlocal asked
        with lock:
            asked += 1
            return asked == questions + 1

    return pause


def begun(env: Environment, size: int = START) -> Environment:
    """The first bytes are at the partner."""
    env.disk.directories.add("inbox")
    env.files[TEMPORARY] = bytearray(DATA[:size])
    return env


# --- any number of rounds ---


def crc_of(data: bytes) -> int:
    return RangeChecksum("CRC64NVME").of(data)


def whole_of(data: bytes) -> str:
    checksum = RangeChecksum("CRC64NVME")
    checksum.add(0, len(data), checksum.of(data))
    return checksum.value(len(data))


def full(data: bytes) -> dict[str, str]:
    return {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": whole_of(data)}


@settings(max_examples=120, deadline=None)
@given(
    size=st.integers(0, 60_000),
    pauses=st.lists(st.integers(0, 40), max_size=6),
    limit=st.integers(1, 4),
    tail=st.sampled_from([b"", b"?"]),
)
def test_file_is_whole_after_any_number_of_pauses(
    size: int, pauses: list[int], limit: int, tail: bytes
) -> None:
    data = DATA[:size]
    s3 = MemoryS3({"a": data}, checksums={"a": full(data)})
    env = Environment(max_write=1000)
    so_far: ChecksumSoFar | None = None
    temporary = TEMPORARY
    for questions in (*pauses, 10**9):
        # Another invocation, with nothing but what was written down.
        source = ObjectReader(s3, s3.ref("a"), before=so_far)
        assert source.start == (so_far.size if so_far else 0)
        request = UploadRequest(
            source=source, temporary=temporary, start=source.start, stop=yielding(after(questions))
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
        # What is behind was never told to be there.
        file[so_far.size :] = tail * (len(file) - so_far.size)
    assert sent.complete
    assert sent.acknowledged == size
    assert env.files == {sent.temporary: data}
    assert (source.verify().checksum_algorithm, source.verify().checksum) == ("CRC64NVME", whole_of(data))


def yielding(pause: Callable[[], bool]) -> Callable[[], bool]:
    """Give the other streams a chance at each question."""

    def ask() -> bool:
        time.sleep(0.0001)
        return pause()

    return ask


# --- a pause ---


@pytest.mark.parametrize("blocks", [0, 1, 2, 17])
def test_everything_before_the_pause_is_acknowledged(blocks: int) -> None:
    env = Environment()
    pool = env.pool()
    # One question for the range, then one before each block.
    sent = send_part(pool, stop=after(blocks and 1 + blocks))
    assert (sent.complete, sent.acknowledged, sent.streams) == (False, blocks * WRITE, 1)
    assert sent.temporary == TEMPORARY
    assert env.files == {TEMPORARY: DATA[: blocks * WRITE]}


def test_pause_closes_the_file_and_gives_it_no_other_name() -> None:
    env = Environment()
    pool = env.pool()
    sent = send_part(pool, stop=after(5))
    assert not sent.complete
    server = env.connection(0).server
    assert server._handles == {}
    assert server.asked[-1].kind == Request.CLOSE
    send(pool, Bytes(DATA[:SEGMENT]), temporary="inbox/.b.part")
    assert env.tried[0] == 1, "the connection stays warm"


def test_pause_ends_all_streams_in_order() -> None:
    both = {0: threading.Event(), 1: threading.Event()}
    env = Environment(
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
    assert env.connection(0).server._handles == env.connection(1).server._handles == {}
    assert pool.limit == 2
    assert not env.connection(1).closed


def meet(events: dict[int, threading.Event], number: int) -> None:
    events[number].set()
    waiting_for(*events.values())()


def test_bytes_of_a_stream_that_has_failed_before_the_pause_are_not_acknowledged() -> None:
    """The second stream has the second range, and loses it; the first goes on behind it until the pause."""
    begun, failed = threading.Event(), threading.Event()

    def lossy(asked: Asked) -> bytes | None:
        if asked.kind == Request.CLOSE:
            return status(asked, Status.FAILURE)
        return status(asked, Status.OK) if asked.kind == Request.WRITE else None

    env = Environment(
        scripts={
            0: at(Request.WRITE, 1, waiting_for(begun)),
            1: at(Request.WRITE, 1, begun.set, lossy),
        }
    )
    pool = env.pool(2)
    give_up = pool.disable_stream

    def note(number: int, reason: Exception) -> None:
        give_up(number, reason)
        failed.set()

    pool.disable_stream = note  # type: ignore[method-assign] # tells when
    asked_by: set[str] = set()

    def pause() -> bool:
        asked_by.add(threading.current_thread().name)
        return begun.is_set() and "stream-1" in asked_by

    sent = send_part(pool, stop=pause)
    waiting_for(failed)()
    assert env.files[TEMPORARY][: sent.acknowledged] == DATA[: sent.acknowledged]
    assert sent.acknowledged < len(DATA)


@pytest.mark.parametrize("kind", [Request.WRITE, Request.CLOSE])
@pytest.mark.parametrize("script", [refusing, silent_at])
def test_refusal_behind_the_pause_is_raised(kind: Request, script: Callable[..., Script]) -> None:
    env = Environment(scripts={0: script(kind)})
    error: Exception | None = None
    try:
        sent = send_part(env.pool(), stop=after(3))
        error = sent.lost
        assert (kind, sent.acknowledged) == (Request.CLOSE, 2 * WRITE)
    except RequestRefused as refused:
        error = refused
    except ConnectionLost as lost:
        assert kind == Request.WRITE
        error = lost
    assert isinstance(error, ConnectionLost if script is silent_at else RequestRefused)


@pytest.mark.parametrize("is_up", [True, False])
def test_progress_of_a_stream_that_was_lost_beside_others_does_not_count(*, is_up: bool) -> None:
    # It may have been in the server's memory, and the others have made the file as long as it should be.
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

    env = Environment(scripts={0: cut, 1: close})
    sent = send_part(env.pool(2), gathering())
    wait_for_streams()
    assert isinstance(sent.lost, ConnectionLost)
    assert sent.streams == 2
    assert (sent.acknowledged, sent.is_spread) == (0, True)
    assert env.files[TEMPORARY][: sent.acknowledged] == DATA[: sent.acknowledged]


def test_pause_that_comes_too_late_is_none() -> None:
    env = Environment()
    closed = threading.Event()
    env.scripts = {0: at(Request.CLOSE, 1, closed.set)}
    send(env.pool(), stop=closed.is_set)
    assert env.files == {PATH: DATA}


# --- going on ---


def test_file_is_gone_on_with_behind_what_is_there() -> None:
    env = begun(Environment())
    source = Bytes()
    send(env.pool(), source, start=START)
    assert env.files == {PATH: DATA}
    assert source.read == {0: [START]}
    server = env.connection(0).server
    assert server.paths(Request.OPEN) == [[TEMPORARY]]
    assert sum(server.sizes) == len(DATA) - START


def test_file_is_gone_on_with_in_streams() -> None:
    joined = threading.Event()
    env = begun(
        Environment(
            scripts={0: at(Request.WRITE, 1, waiting_for(joined)), 1: at(Request.WRITE, 1, joined.set)}
        )
    )
    assert send(env.pool(2), start=START) == 2
    assert env.files == {PATH: DATA}
    assert sum(sum(each.server.sizes) for each in env.made) == len(DATA) - START


def test_file_that_is_all_there_just_gets_its_name() -> None:
    env = begun(Environment(), len(DATA))
    send(env.pool(), start=len(DATA))
    assert env.files == {PATH: DATA}


def test_bytes_that_were_never_acknowledged_are_written_over() -> None:
    env = begun(Environment())
    env.files[TEMPORARY] += b"?" * 200_000
    send(env.pool(), start=START)
    assert env.files == {PATH: DATA}


@pytest.mark.parametrize("left", [0, 1, START - 1])
def test_file_that_is_shorter_than_was_acknowledged_is_lost(left: int) -> None:
    env = begun(Environment(), left)
    with pytest.raises(CheckpointLost, match=f"has {left} bytes at the partner, {START} were") as raised:
        send_part(env.pool(), start=START)
    assert raised.value.disposition is Disposition.RETRY
    assert env.files == {TEMPORARY: DATA[:left]}
    pool_is_usable(env)


def pool_is_usable(env: Environment) -> None:
    connection = env.connection(0)
    assert connection.is_open()
    connection.session.ping()
    assert connection.server._handles == {}


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_file_that_is_gone_is_lost(code: int) -> None:
    env = Environment(scripts={0: refusing(Request.OPEN, code)})
    with pytest.raises(CheckpointLost, match="no longer at the partner"):
        send_part(env.pool(), start=START)
    pool_is_usable(env)


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE, Status.OP_UNSUPPORTED])
@pytest.mark.parametrize("look", [Status.OK, Status.PERMISSION_DENIED])
def test_file_that_may_not_be_opened_again_is_kept_for_the_next_time(look: int, code: int) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.STAT and look:
            return status(asked, look)
        return status(asked, code) if asked.kind == Request.OPEN else None

    env = begun(Environment(scripts={0: script}))
    with pytest.raises(ResumeRefused, match="refused to open") as raised:
        send_part(env.pool(), start=START)
    assert raised.value.disposition is Disposition.RETRY
    assert env.files == {TEMPORARY: DATA[:START]}
    pool_is_usable(env)


def size_is_a_secret(asked: Asked) -> bytes | None:
    secret = framed(Answer.ATTRS, struct.pack(">II", asked.request_id, 0))
    return secret if asked.kind == Request.STAT else None


@pytest.mark.parametrize("script", [refusing(Request.STAT, Status.PERMISSION_DENIED), size_is_a_secret])
def test_drop_box_that_shows_nothing_is_gone_on_with(script: Script) -> None:
    env = begun(Environment(scripts={0: script}))
    send(env.pool(), start=START)
    assert env.files == {PATH: DATA}


@pytest.mark.parametrize("kind", [Request.WRITE, Request.CLOSE])
def test_file_that_was_begun_before_stays_when_going_on_fails(kind: Request) -> None:
    env = begun(Environment(scripts={0: refusing(kind)}))
    with pytest.raises(RequestRefused):
        send_part(env.pool(), start=START)
    assert env.files[TEMPORARY][:START] == DATA[:START]
    assert PATH not in env.files


def test_refusal_among_streams_never_costs_the_bytes_that_are_there() -> None:
    """What is there is not sent again, so there is no other file that it could be put into."""
    begun_writing, refused = threading.Event(), threading.Event()

    def fail_once(asked: Asked) -> bytes | None:
        if (asked.kind, asked.number) != (Request.WRITE, 1):
            return None
        waiting_for(begun_writing)()
        refused.set()
        return status(asked, Status.FAILURE)

    env = begun(Environment())
    env.scripts = {
        0: fail_once,
        1: at(Request.WRITE, 1, lambda: (begun_writing.set(), waiting_for(refused)())),
    }
    pool = env.pool(2)
    assert send(pool, start=START) == 1
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 1


def test_pause_in_a_second_attempt_tells_where_it_is() -> None:
    """A server that takes bytes only in order gets another file, which is the one to resume."""
    env = Environment()
    begun_writing, refused = threading.Event(), threading.Event()

    def in_order(asked: Asked) -> bytes | None:
        handle, behind = read_text(asked.payload)
        (offset,) = struct.unpack_from(">Q", asked.payload, behind)
        if asked.kind != Request.WRITE or offset == len(env.connection(0).server.file_of(handle)):
            return None
        refused.set()
        return status(asked, Status.OP_UNSUPPORTED)

    def stream_writes() -> None:
        begun_writing.set()
        waiting_for(refused)()

    anew: list[str] = []

    def first(asked: Asked) -> bytes | None:
        if asked.kind == Request.OPEN and b"-2.part" in asked.payload:
            anew.append("begun")
        return in_order(asked) if asked.kind == Request.WRITE else None

    env.scripts = {
        0: at(Request.WRITE, 1, waiting_for(begun_writing), first),
        1: at(Request.WRITE, 1, stream_writes),
    }
    pool = env.pool(2)
    sent = send_part(pool, stop=lambda: bool(anew) and len(env.connection(0).server.sizes) > 20)
    wait_for_streams()
    assert sent.temporary == "inbox/.a-2.part"
    assert 0 < sent.acknowledged < len(DATA)
    assert env.files == {sent.temporary: DATA[: sent.acknowledged]}
    send(pool, start=sent.acknowledged, temporary=sent.temporary)
    assert env.files == {PATH: DATA}
