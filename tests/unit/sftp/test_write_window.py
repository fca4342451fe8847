"""The writer returns only when every WRITE and the CLOSE got an OK reply."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from s3_to_sftp.errors import ConnectionLost, RequestRefused
from s3_to_sftp.sftp.protocol import ATTR_SIZE, LIMITS, Answer, FileAttributes, Request, Status
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.write_window import WINDOW_BYTES, write_and_close
from s3_to_sftp.ssh.stream import Piece
from tests.support.scripted_server import (
    NOTHING,
    START,
    Asked,
    Script,
    ScriptedServer,
    assert_nothing_pending,
    framed,
    refusing,
    result_of,
    silent_at,
    status,
)

WRITES = 12
PIECE = 32 * 1024 - 64
DATA = (bytes(range(256)) * (WRITES * 128))[: WRITES * PIECE]
NO_LIMITS: dict[str, bytes] = {}


def in_order(blocks: Iterable[Piece]) -> Iterator[tuple[int, Piece]]:
    offset = 0
    for block in blocks:
        yield offset, block
        offset += len(block)


def write(session: SftpSession, blocks: Iterable[Piece], path: str = "a") -> None:
    write_at(session, in_order(blocks), path)


def write_at(session: SftpSession, blocks: Iterable[tuple[int, Piece]], path: str = "a") -> None:
    handle = result_of(session, session.create(path))
    session.run_one(write_and_close(session, handle, blocks, path=path))


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [b""],
        [b"x"],
        [DATA],
        [DATA[:PIECE], DATA[PIECE:]],
        [DATA[:100], DATA[100:PIECE], DATA[PIECE:]],
        [b"x" * (PIECE - 1), b"y" * (PIECE + 1)],
    ],
)
def test_bytes_arrive_unchanged(blocks: list[bytes]) -> None:
    server = ScriptedServer(extensions=NO_LIMITS)
    write(server.session(), blocks)
    assert server.files == {"a": b"".join(blocks)}


def test_blocks_are_written_at_their_offsets() -> None:
    server = ScriptedServer()
    write_at(server.session(), [(7, b"third"), (0, b"one"), (3, b"more")])
    assert server.files == {"a": b"onemorethird"}


def test_block_may_be_overwritten_when_the_next_one_is_requested() -> None:
    server = ScriptedServer()
    buffer = bytearray(600_000)

    def blocks() -> Iterator[tuple[int, Piece]]:
        for number in range(8):
            buffer[:] = bytes([number]) * len(buffer)
            yield number * len(buffer), memoryview(buffer)
        buffer[:] = b"\xff" * len(buffer)

    write_at(server.session(), blocks())
    assert server.files["a"] == b"".join(bytes([number]) * len(buffer) for number in range(8))


@pytest.mark.parametrize("limit", [1000, 32 * 1024, 261_120])
def test_no_write_exceeds_the_limit_of_the_server(limit: int) -> None:
    server = ScriptedServer(max_write=limit)
    write(server.session(), [DATA])
    assert max(server.sizes) == min(limit, len(DATA))


def test_fstat_and_close_are_sent_with_the_last_write() -> None:
    server = ScriptedServer(extensions=NO_LIMITS)
    session = server.session()
    handle = result_of(session, session.create("a"))
    server.forget()
    writes = 4  # as many as are sent at first without a reply
    session.run_one(write_and_close(session, handle, [(0, DATA[: writes * PIECE])], path="a"))
    assert server.turns == [[*[Request.WRITE] * writes, Request.FSTAT, Request.CLOSE]]


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_refused_write_is_raised(number: int) -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=number), extensions=NO_LIMITS)
    with pytest.raises(RequestRefused, match=f"at offset {(number - 1) * PIECE}:"):
        write(server.session(), [DATA])


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_unanswered_write_raises_connection_lost(number: int) -> None:
    server = ScriptedServer(silent_at(Request.WRITE, number=number), extensions=NO_LIMITS)
    with pytest.raises(ConnectionLost):
        write(server.session(), [DATA])


def test_refused_close_is_raised() -> None:
    with pytest.raises(RequestRefused, match="close 'a'"):
        write(ScriptedServer(refusing(Request.CLOSE)).session(), [DATA])


def test_unanswered_close_raises_connection_lost() -> None:
    with pytest.raises(ConnectionLost, match="close 'a'"):
        write(ScriptedServer(silent_at(Request.CLOSE)).session(), [DATA])


def test_refused_write_at_the_lowest_offset_is_raised() -> None:
    def script(asked: Asked) -> bytes | None:
        failing = asked.kind == Request.WRITE and asked.number in {3, 5}
        return status(asked, Status.FAILURE) if failing or asked.kind == Request.CLOSE else None

    with pytest.raises(RequestRefused, match=f"at offset {2 * PIECE}:"):
        write(ScriptedServer(script, extensions=NO_LIMITS).session(), [DATA])


@pytest.mark.parametrize("number", [1, WRITES // 2, WRITES])
def test_handle_is_closed_once_after_any_refused_write(number: int) -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=number), extensions=NO_LIMITS)
    session = server.session()
    with pytest.raises(RequestRefused):
        write(session, [DATA])
    session.ping()
    assert len(server.paths(Request.CLOSE)) == 1


def test_handle_is_closed_once_when_a_write_is_refused_between_blocks() -> None:
    blocks = [bytes(1024 * 1024)] * 12  # more than the window: the first replies are read before the end
    server = ScriptedServer(refusing(Request.WRITE, number=1))
    session = server.session()
    with pytest.raises(RequestRefused):
        write(session, blocks)
    session.ping()
    assert len(server.sizes) < 40, "the writer stops before the last block"
    assert len(server.paths(Request.CLOSE)) == 1


def test_session_is_usable_after_a_refused_write() -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=1), extensions=NO_LIMITS)
    session = server.session()
    with pytest.raises(RequestRefused):
        write(session, [DATA])
    write(session, [DATA], path="b")
    assert server.files["b"] == DATA
    session.ping()
    assert_nothing_pending(session)


def test_source_error_leaves_the_session_usable_and_no_handle_open() -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise ValueError("the source broke")

    server = ScriptedServer(extensions=NO_LIMITS)
    session = server.session()
    with pytest.raises(ValueError, match="the source broke"):
        write(session, broken())
    write(session, [DATA], path="b")
    assert server.files["b"] == DATA
    assert server.paths(Request.CLOSE) == [["0"], ["0"]], "the second file had the number of the first"


# --- what the server shows ---


def seen_by(script: Script) -> FileAttributes | None:
    server = ScriptedServer(script, extensions=NO_LIMITS)
    session = server.session()
    handle = result_of(session, session.create("a"))
    seen = session.run_one(write_and_close(session, handle, [(0, DATA[:1000])], path="a"))
    session.ping()
    assert server.files == {"a": DATA[:1000]}
    assert server.open_handles == set()
    assert_nothing_pending(session)
    return seen


def test_size_before_the_close_is_returned() -> None:
    seen = seen_by(lambda _asked: None)
    assert seen == FileAttributes(size=1000, mtime=START + 1, permissions=0o100644)


@pytest.mark.parametrize("kind", [Answer.ATTRS, Answer.HANDLE, 250])
def test_malformed_fstat_reply_yields_no_attributes(kind: int) -> None:
    def unreadable(asked: Asked) -> bytes | None:
        body = struct.pack(">IIB", asked.request_id, ATTR_SIZE, 1)
        return framed(kind, body) if asked.kind == Request.FSTAT else None

    assert seen_by(unreadable) is None


@pytest.mark.parametrize("code", [Status.OK, Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED])
def test_refused_fstat_yields_no_attributes(code: int) -> None:
    assert seen_by(refusing(Request.FSTAT, code)) is None


def test_refused_fstat_does_not_hide_a_refused_close() -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.FAILURE) if asked.kind in {Request.FSTAT, Request.CLOSE} else None

    with pytest.raises(RequestRefused, match="close 'a'"):
        seen_by(script)


def test_unanswered_fstat_raises_connection_lost() -> None:
    """The session cannot be used any further: its next reply would be missing, too."""
    with pytest.raises(ConnectionLost, match="attributes of 'a'"):
        seen_by(lambda asked: NOTHING if asked.kind in {Request.FSTAT, Request.CLOSE} else None)


class PacedServer:
    """A server that replies to one WRITE each time that the client waits, at a given rate.

    Attributes:
        most: The most bytes that were in flight at a time.
        seconds_per_reply: How far each reply advances the clock.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self.most = 0
        self.now = 0.0
        self._held = 0
        self.seconds_per_reply = PIECE / bytes_per_second
        self.server = ScriptedServer(self._hold, extensions={LIMITS: b"1"}, max_write=PIECE)
        self._asked: list[Asked] = []
        self._receive = self.server.recv
        self.server.recv = self._recv  # type: ignore[method-assign] # at its own rate

    def _hold(self, asked: Asked) -> bytes | None:
        if asked.kind != Request.WRITE:
            return None
        self._asked.append(asked)
        self.most = max(self.most, len(self._asked) * PIECE)
        return NOTHING

    def _recv(self) -> bytes:
        if self._asked:
            self.now += self.seconds_per_reply
            self.server.say(status(self._asked.pop(0), Status.OK))
        return self._receive()

    def write(self, size: int) -> None:
        """Write this many bytes."""
        session = self.server.session()
        handle = result_of(session, session.create("a"))
        blocks = ((offset, bytes(min(PIECE, size - offset))) for offset in range(0, size, PIECE))
        session.run_one(write_and_close(session, handle, blocks, path="a", clock=lambda: self.now))


def test_fast_server_gets_the_whole_window_and_no_more() -> None:
    fast = PacedServer(100e6)
    fast.write(5 * WINDOW_BYTES)
    assert WINDOW_BYTES <= fast.most <= WINDOW_BYTES + PIECE


@pytest.mark.parametrize("bytes_per_second", [20e3, 200e3, 1e6])
def test_bytes_in_flight_to_a_slow_server_are_a_few_seconds_of_its_rate(bytes_per_second: float) -> None:
    slow = PacedServer(bytes_per_second)
    slow.write(2 * WINDOW_BYTES)
    assert slow.most <= 256 * 1024 + 3 * bytes_per_second + 2 * PIECE


def test_window_grows_again_after_a_slow_phase() -> None:
    slow = PacedServer(20e3)
    slow.write(WINDOW_BYTES)
    slow.most, slow.seconds_per_reply = 0, PIECE / 100e6
    slow.write(5 * WINDOW_BYTES)
    assert slow.most >= WINDOW_BYTES


def test_memory_is_bounded_by_one_block() -> None:
    block = bytes(1024 * 1024)

    class Discards(ScriptedServer):
        def _write(self, asked: Asked) -> bytes:
            self.asked.clear()
            return status(asked, Status.OK)

    server = Discards()
    session = server.session()
    handle = result_of(session, session.create("a"))
    server.sizes, server.turns, server.sends = [], [], []
    tracemalloc.start()
    try:
        blocks = ((number * len(block), block) for number in range(64))
        session.run_one(write_and_close(session, handle, blocks, path="a"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(block)
