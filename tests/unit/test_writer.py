"""The writer returns only when every WRITE was answered with OK."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from s3_to_sftp.errors import ConnectionLost, RequestRefused
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.sftp.writer import WINDOW_BYTES, write_blocks
from tests.unit.scripted_server import NOTHING, Asked, ScriptedServer, refusing, silent_at, status

WRITES = 12
PIECE = 32 * 1024
DATA = bytes(range(256)) * (WRITES * PIECE // 256)


def write(server: ScriptedServer, blocks: Iterator[bytes] | list[bytes]) -> int:
    session = server.session()
    return write_blocks(session, session.create("a"), blocks, path="a")


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
def test_bytes_arrive_as_they_are(blocks: list[bytes]) -> None:
    server = ScriptedServer(extensions={})
    assert write(server, blocks) == len(b"".join(blocks))
    assert server.files == {"a": b"".join(blocks)}


@pytest.mark.parametrize("limit", [1000, 32 * 1024, 261_120])
def test_no_write_is_longer_than_the_server_takes(limit: int) -> None:
    server = ScriptedServer(max_write=limit)
    write(server, [DATA])
    assert max(server.sizes) == min(limit, len(DATA))


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_failure_of_any_write_is_raised(number: int) -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=number), extensions={})
    with pytest.raises(RequestRefused, match=f"at offset {(number - 1) * PIECE}:"):
        write(server, [DATA])


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_missing_answer_to_any_write_is_raised(number: int) -> None:
    server = ScriptedServer(silent_at(Request.WRITE, number=number), extensions={})
    with pytest.raises(ConnectionLost):
        write(server, [DATA])


def test_first_failure_in_the_file_is_the_one_that_is_raised() -> None:
    def script(asked: Asked) -> bytes | None:
        failing = asked.kind == Request.WRITE and asked.number in {3, 5}
        return status(asked, Status.FAILURE) if failing else None

    with pytest.raises(RequestRefused, match=f"at offset {2 * PIECE}:"):
        write(ScriptedServer(script, extensions={}), [DATA])


def test_session_can_be_used_after_a_failure() -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=1), extensions={})
    session = server.session()
    with pytest.raises(RequestRefused):
        write_blocks(session, session.create("a"), [DATA], path="a")
    assert write_blocks(session, session.create("b"), [DATA], path="b") == len(DATA)
    assert server.files["b"] == DATA
    assert session._arrived == {}, "answers to writes that nobody waits for pile up"


def test_blocks_that_raise_leave_the_session_usable() -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise ValueError("the source broke")

    server = ScriptedServer(extensions={})
    session = server.session()
    with pytest.raises(ValueError, match="the source broke"):
        write_blocks(session, session.create("a"), broken(), path="a")
    assert write_blocks(session, session.create("b"), [DATA], path="b") == len(DATA)


def test_window_bounds_what_is_not_yet_acknowledged() -> None:
    held: list[Asked] = []
    most = 0

    def answer_late(asked: Asked) -> bytes | None:
        nonlocal most
        if asked.kind != Request.WRITE:
            return None
        held.append(asked)
        most = max(most, len(held) * PIECE)
        return NOTHING

    server = ScriptedServer(answer_late, extensions={})
    receive = server.recv

    def recv(nbytes: int) -> bytes:
        # A server that answers only when the client waits: nothing is acknowledged before.
        if held:
            server.say(status(held.pop(0), Status.OK))
        return receive(nbytes)

    server.recv = recv  # type: ignore[method-assign] # a slower server
    write(server, [bytes(1024 * 1024)] * 20)
    assert WINDOW_BYTES <= most <= WINDOW_BYTES + PIECE


def test_memory_is_that_of_one_block() -> None:
    block = bytes(1024 * 1024)

    class Discards(ScriptedServer):
        def _write(self, asked: Asked) -> bytes:
            self.asked.clear()
            return status(asked, Status.OK)

    server = Discards()
    session = server.session()
    handle = session.create("a")
    tracemalloc.start()
    try:
        write_blocks(session, handle, (block for _ in range(64)), path="a")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(block)
