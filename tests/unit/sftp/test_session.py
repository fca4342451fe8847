"""Each request gets its own reply, malformed replies end the session, and tasks do not affect each other."""

from __future__ import annotations

import gc
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from s3_to_sftp.diagnosis.server_messages import ServerMessages
from s3_to_sftp.errors import ConnectionLost, Disposition, ProtocolViolation, RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Answer, Request, Status
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    Script,
    ScriptedServer,
    after_start,
    assert_nothing_pending,
    framed,
    refusing,
    result_of,
    silent_at,
    status,
)

SOON = 120
"""Seconds to wait for what must happen; a passing test does not wait that long."""

SAFE_WRITE = 32 * 1024 - 64
"""With its header it fits the 32 KiB that every server accepts."""


def session_with(script: Script) -> SftpSession:
    """A started session whose server replies as the script says from then on."""
    return ScriptedServer(after_start(script)).session()


def remove(session: SftpSession, path: str = "a") -> None:
    result_of(session, session.remove(path))


def test_write_size_is_the_limit_that_the_server_states() -> None:
    assert ScriptedServer(max_write=100_000).session().max_write_bytes == 100_000


def test_write_size_never_exceeds_the_limit_of_openssh() -> None:
    assert ScriptedServer(max_write=10**9).session().max_write_bytes == 255 * 1024


@pytest.mark.parametrize(
    "server",
    [
        ScriptedServer(extensions={}),
        ScriptedServer(extensions={POSIX_RENAME: b"1"}),
        ScriptedServer(max_write=0),
        ScriptedServer(max_write=1),
        ScriptedServer(max_write=511),
        ScriptedServer(refusing(Request.EXTENDED)),
        ScriptedServer(refusing(Request.EXTENDED, Status.BAD_MESSAGE)),
    ],
    ids=[
        "no extensions",
        "no limits",
        "no limit stated",
        "a byte",
        "not believable",
        "limits refused",
        "limits not understood",
    ],
)
def test_write_size_fits_32_kib_without_a_stated_limit(server: ScriptedServer) -> None:
    assert server.session().max_write_bytes == SAFE_WRITE


def start(server: ScriptedServer) -> SftpSession:
    """A session before its first request."""
    return SftpSession(server, server="sftp.partner.example:22")


def test_limits_request_is_sent_with_the_first_open() -> None:
    server = ScriptedServer()
    session = start(server)
    assert server.turns == [[Request.INIT]]
    result_of(session, session.create("a"))
    assert server.turns == [[Request.INIT], [Request.EXTENDED, Request.OPEN]]
    assert session.max_write_bytes == 255 * 1024


def test_limits_are_not_requested_where_the_extension_is_not_offered() -> None:
    server = ScriptedServer(extensions={})
    session = start(server)
    result_of(session, session.create("a"))
    assert server.turns == [[Request.INIT], [Request.OPEN]]


def test_unanswered_limits_request_keeps_the_safe_write_size() -> None:
    server = ScriptedServer(silent_at(Request.EXTENDED))
    session = start(server)
    result_of(session, session.create("a"))
    assert session.max_write_bytes == SAFE_WRITE
    remove(session)


def test_late_limits_apply_from_their_arrival() -> None:
    late: list[Asked] = []

    def script(asked: Asked) -> bytes | None:
        if asked.kind != Request.EXTENDED:
            return None
        late.append(asked)
        return NOTHING

    server = ScriptedServer(script)
    session = start(server)
    result_of(session, session.create("a"))
    assert session.max_write_bytes == SAFE_WRITE
    server.say(server.healthy(late[0]))
    session.ping()
    assert session.max_write_bytes == 255 * 1024
    assert_nothing_pending(session)


def test_truncated_limits_are_a_protocol_violation() -> None:
    def script(asked: Asked) -> bytes | None:
        cut = framed(Answer.EXTENDED_REPLY, struct.pack(">IQ", asked.request_id, 1))
        return cut if asked.kind == Request.EXTENDED else None

    session = start(ScriptedServer(script))
    handle = result_of(session, session.create("a"))
    with pytest.raises(ProtocolViolation, match="unreadable"):
        session.run_one(write_and_close(session, handle, [(0, b"x")], path="a"))
    assert session.is_over


def flags_of(server: ScriptedServer) -> tuple[int, int]:
    (opened,) = [asked for asked in server.asked if asked.kind == Request.OPEN]
    flags, attributes = struct.unpack(">II", opened.payload[-8:])
    return flags, attributes


def test_new_file_is_opened_with_write_create_truncate_only() -> None:
    server = ScriptedServer()
    session = server.session()
    result_of(session, session.create("a.csv"))
    assert flags_of(server) == (0x02 | 0x08 | 0x10, 0)


def test_existing_file_is_opened_with_write_only() -> None:
    server = ScriptedServer()
    server.files["a.csv"] = bytearray(b"kept")
    session = server.session()
    result_of(session, session.open_existing("a.csv"))
    assert flags_of(server) == (0x02, 0)
    assert server.files == {"a.csv": b"kept"}


# --- replies reach their requests ---


def test_replies_in_any_order_reach_their_requests() -> None:
    held: list[Asked] = []
    codes = [Status.OK, Status.QUOTA_EXCEEDED, Status.PERMISSION_DENIED]

    def reply_in_reverse(asked: Asked) -> bytes | None:
        if asked.kind != Request.WRITE:
            return None
        held.append(asked)
        replies = [status(each, code) for each, code in zip(held, codes, strict=False)]
        return NOTHING if len(held) < 3 else b"".join(reversed(replies))

    session = ScriptedServer(reply_in_reverse).session()
    first, second, third = [session.write(b"0", offset, b"x", path="a") for offset in range(3)]
    result_of(session, first)
    with pytest.raises(RequestRefused, match="write 'a' at offset 1: status 15 QUOTA_EXCEEDED"):
        result_of(session, second)
    with pytest.raises(RequestRefused, match="write 'a' at offset 2: status 3 PERMISSION_DENIED"):
        result_of(session, third)


def test_refusal_is_raised_by_the_write_that_failed() -> None:
    session = ScriptedServer(refusing(Request.WRITE, number=2)).session()
    handle = result_of(session, session.create("a"))
    pending = [session.write(handle, offset, b"x", path="a") for offset in range(3)]
    result_of(session, pending[2])
    result_of(session, pending[0])
    with pytest.raises(RequestRefused, match="write 'a' at offset 1"):
        result_of(session, pending[1])


def test_reply_to_an_unknown_request_is_a_protocol_violation() -> None:
    with pytest.raises(ProtocolViolation, match="4711"):
        remove(session_with(lambda asked: status(4711, Status.OK)))


async def remove_two_files(session: SftpSession) -> None:
    await session.remove("a")
    await session.remove("b")


def test_second_reply_to_a_request_is_a_protocol_violation() -> None:
    session = session_with(lambda asked: status(asked, Status.OK) * 2)
    with pytest.raises(ProtocolViolation, match="already answered"):
        session.run_one(remove_two_files(session))


@pytest.mark.parametrize("length", [0, 256 * 1024 + 1, 0xFFFFFFFF])
def test_message_of_impossible_length_is_a_protocol_violation(length: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"{length} bytes"):
        remove(session_with(lambda asked: struct.pack(">I", length)))


def test_reply_may_arrive_byte_by_byte() -> None:
    server = ScriptedServer()
    session = server.session()
    receive = server.recv
    pieces: list[int] = []

    def recv() -> bytes:
        if not pieces:
            pieces.extend(receive())
        return bytes([pieces.pop(0)])

    server.recv = recv  # type: ignore[method-assign] # a slow line
    assert result_of(session, session.create("a")) == b"0"


class Clock:
    """A clock that only the server of a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("pause", "in_time"), [(5.0, True), (10.0, False)])
def test_slow_reply_must_be_complete_within_the_reply_timeout(pause: float, in_time: object) -> None:
    """Each byte is in time by itself; the reply to REMOVE has 41."""
    server = ScriptedServer()
    clock = Clock()
    session = SftpSession(server, server="sftp.partner.example:22", reply_timeout=300, clock=clock)
    result_of(session, session.create("a"))
    receive = server.recv
    pieces: list[int] = []

    def drip() -> bytes:
        if not pieces:
            pieces.extend(receive())
        clock.now += pause
        return bytes([pieces.pop(0)])

    server.recv = drip  # type: ignore[method-assign] # a byte at a time
    if in_time:
        remove(session)
        assert not session.is_over
        return
    with pytest.raises(ConnectionLost, match="did not finish its answer in time when asked to remove 'a'"):
        remove(session)
    assert clock.now - 1000 <= 300 + 2 * pause
    assert session.is_over


def test_reply_timeout_starts_anew_with_each_reply() -> None:
    server = ScriptedServer()
    clock = Clock()
    session = SftpSession(server, server="sftp.partner.example:22", reply_timeout=60, clock=clock)
    result_of(session, session.create("a"))
    receive = server.recv

    def slow() -> bytes:
        clock.now += 50
        return receive()

    server.recv = slow  # type: ignore[method-assign] # a slow server
    for _ in range(5):
        session.ping()
    assert clock.now == 1000 + 5 * 50
    assert not session.is_over


def test_connection_that_is_gone_after_a_pause_was_cut_while_idle() -> None:
    server = ScriptedServer()
    clock = Clock()
    session = SftpSession(server, server="sftp.partner.example:22", clock=clock)
    session.ping()
    clock.now += 351
    server.broken = OSError("Connection reset by peer")
    with pytest.raises(ConnectionLost, match="while nothing was sent for 5 min") as raised:
        remove(session)
    assert raised.value.cause == "idle-cut"


def test_pause_before_an_answered_request_does_not_count() -> None:
    server = ScriptedServer()
    clock = Clock()
    session = SftpSession(server, server="sftp.partner.example:22", clock=clock)
    clock.now += 351
    session.ping()
    server.broken = OSError("Connection reset by peer")
    with pytest.raises(ConnectionLost) as raised:
        remove(session)
    assert raised.value.cause == "connection-closed"


@pytest.mark.parametrize(
    ("accepted", "cause"), [(0, "large-write-closes"), (40_000, "connection-closed")], ids=["first", "later"]
)
def test_connection_closed_at_the_first_large_write(accepted: int, cause: str) -> None:
    server = ScriptedServer()
    session = server.session()
    handle = result_of(session, session.create("a"))
    result_of(session, session.write(handle, 0, bytes(accepted), path="a"))
    server.broken = OSError("Connection reset by peer")
    with pytest.raises(ConnectionLost) as raised:
        result_of(session, session.write(handle, accepted, bytes(40_000), path="a"))
    assert raised.value.cause == cause


def test_disconnect_of_the_server_is_quoted() -> None:
    server = ScriptedServer()
    said = ServerMessages()
    session = SftpSession(server, server="sftp.partner.example:22", received=said)
    said.goodbye = 11, b"maintenance"
    server.broken = OSError("Socket is closed")
    with pytest.raises(ConnectionLost, match="and said 'maintenance'") as raised:
        remove(session)
    assert raised.value.cause == "server-disconnects"


def test_status_without_a_message_is_accepted() -> None:
    session = session_with(lambda asked: status(asked, Status.PERMISSION_DENIED, words=None))
    with pytest.raises(RequestRefused, match="status 3 PERMISSION_DENIED") as raised:
        remove(session)
    assert "it says" not in str(raised.value)


def test_status_message_that_is_not_utf_8_is_shown_as_latin_1() -> None:
    def latin_1(asked: Asked) -> bytes:
        return framed(Answer.STATUS, struct.pack(">III", asked.request_id, 4, 1) + b"\xfc")

    with pytest.raises(RequestRefused, match="it says 'ü'"):
        remove(session_with(latin_1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        struct.pack(">I", 1),
        struct.pack(">I", 1) + b"\0\0",
        struct.pack(">III", 1, 4, 99) + b"cut",
    ],
    ids=["empty", "truncated id", "no code", "truncated code", "truncated message"],
)
def test_malformed_status_is_a_protocol_violation(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="unreadable"):
        remove(session_with(lambda asked: framed(Answer.STATUS, body)))


@pytest.mark.parametrize("kind", [Answer.HANDLE, Answer.ATTRS, Answer.VERSION, 250])
def test_reply_of_the_wrong_type_is_a_protocol_violation(kind: int) -> None:
    def script(asked: Asked) -> bytes:
        return framed(kind, struct.pack(">II", asked.request_id, 0))

    with pytest.raises(ProtocolViolation, match=f"message type {int(kind)}"):
        remove(session_with(script))


def test_ok_in_place_of_a_handle_is_a_protocol_violation() -> None:
    session = session_with(lambda asked: status(asked, Status.OK))
    with pytest.raises(ProtocolViolation, match="no handle"):
        result_of(session, session.create("a"))


def test_truncated_handle_is_a_protocol_violation() -> None:
    session = session_with(
        lambda asked: framed(Answer.HANDLE, struct.pack(">II", asked.request_id, 99) + b"cut")
    )
    with pytest.raises(ProtocolViolation, match="handle"):
        result_of(session, session.create("a"))


def test_ok_in_place_of_attributes_is_a_protocol_violation() -> None:
    session = session_with(lambda asked: status(asked, Status.OK))
    with pytest.raises(ProtocolViolation, match="no attributes"):
        result_of(session, session.exists("a"))


@pytest.mark.parametrize(
    "version",
    [
        framed(Answer.STATUS, struct.pack(">I", 0)),
        framed(Answer.VERSION, struct.pack(">II", 3, 99) + b"cut"),
        b"Welcome to our server!\r\n",
    ],
    ids=["refused", "truncated extensions", "greeting of a shell"],
)
def test_malformed_version_reply_is_a_protocol_violation(version: bytes) -> None:
    server = ScriptedServer(version=version)
    with pytest.raises(ProtocolViolation):
        server.session()
    assert server.closed


# --- the stream ends ---


@pytest.mark.parametrize("broken", [TimeoutError(), OSError("reset"), EOFError()])
def test_broken_stream_raises_connection_lost(broken: Exception) -> None:
    server = ScriptedServer()
    session = server.session()
    server.broken = broken
    with pytest.raises(ConnectionLost, match=r"sftp\.partner\.example:22"):
        remove(session)
    assert session.is_over


def test_send_timeout_is_named_in_the_error() -> None:
    server = ScriptedServer()
    session = server.session()
    server.broken = TimeoutError()
    with pytest.raises(ConnectionLost, match="took no more data for too long while we asked it to remove"):
        remove(session)


def test_unanswered_request_raises_connection_lost() -> None:
    with pytest.raises(ConnectionLost, match="did not answer in time when asked to remove 'a'"):
        remove(ScriptedServer(silent_at(Request.REMOVE)).session())


def test_end_of_stream_raises_connection_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer(silent_at(Request.REMOVE))
    session = server.session()
    monkeypatch.setattr(server, "recv", lambda: b"")
    with pytest.raises(ConnectionLost, match="closed the connection"):
        remove(session)


def test_nothing_is_sent_after_a_lost_connection() -> None:
    server = ScriptedServer(silent_at(Request.REMOVE))
    session = server.session()
    with pytest.raises(ConnectionLost):
        remove(session, "a")
    sent = len(server.asked)
    with pytest.raises(ConnectionLost, match="closed the session"):
        remove(session, "b")
    assert len(server.asked) == sent
    assert server.closed


def test_session_stays_open_after_a_refusal() -> None:
    session = ScriptedServer(refusing(Request.REMOVE, number=1)).session()
    with pytest.raises(RequestRefused):
        remove(session)
    result_of(session, session.create("a"))
    remove(session)
    assert not session.is_over


# --- abandoned requests ---


def test_reply_to_an_abandoned_request_is_discarded() -> None:
    server = ScriptedServer(silent_at(Request.WRITE))
    session = server.session()
    abandoned = session.write(result_of(session, session.create("a")), 0, b"x", path="a")
    session.abandon(abandoned)
    server.say(status(abandoned.id, Status.FAILURE))
    remove(session)
    assert not session.is_over


@pytest.mark.parametrize("answered", ["before", "after"])
def test_abandoned_requests_leave_nothing_in_memory(answered: str) -> None:
    server = ScriptedServer(silent_at(Request.WRITE) if answered == "after" else lambda asked: None)
    session = server.session()
    abandoned = session.write(result_of(session, session.create("a")), 0, b"x", path="a")
    if answered == "before":
        session.ping()
    session.abandon(abandoned)
    if answered == "after":
        server.say(status(abandoned.id, Status.OK))
    session.ping()
    assert_nothing_pending(session)


def test_abandoned_failed_write_leaves_nothing_in_memory() -> None:
    session = ScriptedServer(refusing(Request.WRITE)).session()
    failed = session.write(result_of(session, session.create("a")), 0, b"x", path="a")
    with pytest.raises(RequestRefused):
        result_of(session, failed)
    session.abandon(failed)
    assert_nothing_pending(session)


# --- renames, statuses, pings ---


def test_posix_rename_is_used_where_it_is_offered() -> None:
    server = ScriptedServer()
    session = server.session()
    result_of(session, session.create("a"))
    result_of(session, session.rename("a", "b"))
    assert server.paths(Request.EXTENDED)[-1] == [POSIX_RENAME, "a", "b"]
    assert session.renames_over_existing


def test_plain_rename_is_used_where_posix_rename_is_not_offered() -> None:
    server = ScriptedServer(extensions={LIMITS: b"1"})
    session = server.session()
    result_of(session, session.create("a"))
    result_of(session, session.rename("a", "b"))
    assert server.paths(Request.RENAME) == [["a", "b"]]
    assert not session.renames_over_existing


@pytest.mark.parametrize("code", [*(code for code in Status if code != Status.OK), 32, 0xFFFFFFFF])
def test_every_status_but_ok_is_a_refusal_with_a_hint(code: int) -> None:
    with pytest.raises(RequestRefused, match="refused to remove 'a'") as raised:
        remove(ScriptedServer(refusing(Request.REMOVE, code)).session())
    assert raised.value.code == code
    assert raised.value.hint
    assert isinstance(raised.value, TransferError)


REFUSABLE: dict[str, Callable[[SftpSession], Pending[Any]]] = {
    "create": lambda session: session.create("a"),
    "open": lambda session: session.open_existing("a"),
    "read": lambda session: session.read(b"h", 0, 1, path="a"),
    "write": lambda session: session.write(b"h", 0, b"x", path="a"),
    "close": lambda session: session.close_file(b"h", path="a"),
    "rename": lambda session: session.rename("a", "b"),
    "remove": lambda session: session.remove("a"),
    "mkdir": lambda session: session.make_directory("a"),
    "stat": lambda session: session.size_of("a"),
}


@pytest.mark.parametrize("extensions", [{}, {POSIX_RENAME: b"1"}], ids=["rename", "posix-rename"])
@pytest.mark.parametrize("request_name", REFUSABLE)
def test_refusal_names_its_request(request_name: str, extensions: dict[str, bytes]) -> None:
    server = ScriptedServer(lambda asked: status(asked, Status.FAILURE), extensions=extensions)
    session = server.session()
    with pytest.raises(RequestRefused) as raised:
        result_of(session, REFUSABLE[request_name](session))
    assert raised.value.request == request_name


LATER_CODES = {
    9: "INVALID_HANDLE",
    10: "NO_SUCH_PATH",
    11: "FILE_ALREADY_EXISTS",
    12: "WRITE_PROTECT",
    13: "NO_MEDIA",
    14: "NO_SPACE_ON_FILESYSTEM",
    15: "QUOTA_EXCEEDED",
    16: "UNKNOWN_PRINCIPAL",
    17: "LOCK_CONFLICT",
    18: "DIR_NOT_EMPTY",
    19: "NOT_A_DIRECTORY",
    20: "INVALID_FILENAME",
    21: "LINK_LOOP",
    22: "CANNOT_DELETE",
    23: "INVALID_PARAMETER",
    24: "FILE_IS_A_DIRECTORY",
    25: "BYTE_RANGE_LOCK_CONFLICT",
    26: "BYTE_RANGE_LOCK_REFUSED",
    27: "DELETE_PENDING",
    28: "FILE_CORRUPT",
    29: "OWNER_INVALID",
    30: "GROUP_INVALID",
    31: "NO_MATCHING_BYTE_RANGE_LOCK",
}
"""draft-ietf-secsh-filexfer-13, section 9.1."""


@pytest.mark.parametrize(("code", "name"), LATER_CODES.items())
def test_status_codes_of_later_drafts_are_named(code: int, name: str) -> None:
    with pytest.raises(RequestRefused, match=f"status {code} {name}"):
        remove(ScriptedServer(refusing(Request.REMOVE, code)).session())


PERMANENT = {Status.INVALID_FILENAME, Status.FILE_IS_A_DIRECTORY}


@pytest.mark.parametrize("code", [*(code for code in Status if code != Status.OK), 32])
def test_refusal_is_permanent_only_for_an_unusable_name(code: int) -> None:
    with pytest.raises(RequestRefused) as raised:
        remove(ScriptedServer(refusing(Request.REMOVE, code)).session())
    expected = Disposition.PERMANENT if code in PERMANENT else Disposition.RETRY
    assert raised.value.disposition is expected


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.NO_SUCH_PATH])
def test_exists_is_false_for_every_missing_file_status(code: int) -> None:
    session = ScriptedServer(refusing(Request.STAT, code)).session()
    assert result_of(session, session.exists("a/b")) is False


def test_ping_accepts_any_reply() -> None:
    for server in (ScriptedServer(), ScriptedServer(refusing(Request.REALPATH))):
        session = server.session()
        session.ping()
        assert len(server.paths(Request.REALPATH)) == 1
        assert not session.is_over


def test_unanswered_ping_raises_connection_lost() -> None:
    with pytest.raises(ConnectionLost):
        ScriptedServer(silent_at(Request.REALPATH)).session().ping()


def test_request_id_wraps_to_zero_after_the_highest() -> None:
    server = ScriptedServer()
    session = server.session()
    server.forget()
    session._wire._next_id = 0xFFFFFFFF
    result_of(session, session.create("a"))
    remove(session)
    assert [asked.request_id for asked in server.asked] == [0xFFFFFFFF, 0]


# --- which requests are sent together ---


def test_requests_are_not_sent_before_a_reply_is_awaited() -> None:
    server = ScriptedServer()
    session = server.session()
    server.forget()
    session.create("a")
    session.remove("b")
    assert server.sends == []


def test_requests_of_all_tasks_are_sent_together() -> None:
    server = ScriptedServer()
    session = server.session()
    server.forget()

    async def create(path: str) -> None:
        await session.create(path)

    list(session.run((create(path) for path in "abc"), at_a_time=3))
    assert server.sends == [[Request.OPEN] * 3]


@pytest.mark.parametrize(("size", "sent_at_once"), [(60 * 1024, 3), (127 * 1024, 2), (128 * 1024, 3)])
def test_requests_are_buffered_up_to_128_kib(size: int, sent_at_once: int) -> None:
    server = ScriptedServer()
    session = server.session()
    handle = result_of(session, session.create("a"))
    server.forget()
    pending = [session.write(handle, index * size, bytes(size), path="a") for index in range(3)]
    assert sum(map(len, server.sends)) == sent_at_once
    for each in pending:
        result_of(session, each)
    assert sum(map(len, server.sends)) == 3


def test_large_write_is_sent_at_once_without_a_copy() -> None:
    server = ScriptedServer()
    session = server.session()
    handle = result_of(session, session.create("a"))
    data = memoryview(bytearray(128 * 1024))
    sent: list[Piece] = []

    def send(pieces: Sequence[Piece]) -> None:
        sent.extend(pieces)

    server.send = send  # type: ignore[method-assign] # records what is sent
    session.write(handle, 0, data, path="a")
    assert any(piece is data for piece in sent)


@pytest.mark.parametrize("size", [1, 1000, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 255 * 1024])
def test_write_buffer_may_be_reused_after_write_returns(size: int) -> None:
    server = ScriptedServer()
    session = server.session()
    handle = result_of(session, session.create("a"))
    buffer = bytearray(size)
    pending = []
    for number in range(1, 6):
        buffer[:] = bytes([number]) * size
        pending.append(session.write(handle, (number - 1) * size, memoryview(buffer), path="a"))
    buffer[:] = b"\xff" * size
    for each in pending:
        result_of(session, each)
    assert server.files["a"] == b"".join(bytes([number]) * size for number in range(1, 6))


# --- many tasks ---


def test_outcome_carries_the_index_of_its_task() -> None:
    held: dict[str, Asked] = {}

    def last_comes_first(asked: Asked) -> bytes | None:
        if asked.kind != Request.OPEN:
            return None
        held[asked.texts[0]] = asked
        return NOTHING if len(held) < 4 else b"".join(server.healthy(held[path]) for path in "dbca")

    server = ScriptedServer(last_comes_first)
    session = server.session()

    async def create(path: str) -> str:
        await session.create(path)
        return path

    outcomes = list(session.run((create(path) for path in "abcd"), at_a_time=4))
    assert outcomes == [(3, "d"), (1, "b"), (2, "c"), (0, "a")]


def test_no_more_tasks_run_than_allowed() -> None:
    server = ScriptedServer()
    session = server.session()
    server.forget()

    async def create(path: str) -> None:
        await session.create(path)

    list(session.run((create(str(number)) for number in range(10)), at_a_time=4))
    assert [len(turn) for turn in server.turns] == [4, 4, 2]


def test_task_is_started_when_a_slot_is_free() -> None:
    session = ScriptedServer().session()
    started: list[int] = []

    async def create(number: int) -> None:
        started.append(number)
        await session.create(str(number))

    outcomes = session.run((create(number) for number in range(9)), at_a_time=3)
    next(outcomes)
    assert started == [0, 1, 2]
    list(outcomes)
    assert started == list(range(9))


def test_failing_task_does_not_affect_the_others() -> None:
    session = ScriptedServer(refusing(Request.OPEN, number=2)).session()

    async def create(path: str) -> str:
        await session.create(path)
        if path == "c":
            raise ValueError("of its own")
        return path

    outcomes = dict(session.run((create(path) for path in "abcd"), at_a_time=4))
    assert (outcomes[0], outcomes[3]) == ("a", "d")
    assert isinstance(outcomes[1], RequestRefused)
    assert isinstance(outcomes[2], ValueError)
    assert not session.is_over


def test_task_that_never_awaits_has_an_outcome() -> None:
    session = ScriptedServer().session()

    async def three() -> int:
        return 3

    assert list(session.run([three(), three()], at_a_time=2)) == [(0, 3), (1, 3)]


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
def test_lost_connection_fails_all_tasks_and_each_cleans_up(at_a_time: int) -> None:
    server = ScriptedServer(silent_at(Request.OPEN))
    session = server.session()
    cleaned_up: list[str] = []
    waits = 0
    receive = server.recv

    def recv() -> bytes:
        nonlocal waits
        waits += 1
        return receive()

    async def create(path: str) -> None:
        try:
            # The first gets no reply, so that all others still wait when the loss is noticed.
            await session.create(path)
            await session.create(path + path)
        finally:
            with pytest.raises(ConnectionLost, match="closed the session"):
                await session.remove(path)
            cleaned_up.append(path)

    server.script = lambda asked: NOTHING if asked.kind == Request.OPEN else None
    server.recv = recv  # type: ignore[method-assign] # counts
    outcomes = dict(session.run((create(path) for path in "abcd"), at_a_time=at_a_time))
    assert sorted(outcomes) == [0, 1, 2, 3]
    assert all(isinstance(outcome, ConnectionLost) for outcome in outcomes.values())
    assert sorted(cleaned_up) == list("abcd")
    assert waits == 1, "no clean-up waits for a lost server"


def test_lost_connection_error_names_the_first_cause() -> None:
    session = ScriptedServer(silent_at(Request.OPEN)).session()

    async def create() -> None:
        try:
            await session.create("a")
        except ConnectionLost:
            with pytest.raises(ConnectionLost):
                await session.remove("a")
            raise

    ((_, outcome),) = session.run([create()])
    assert "did not answer in time when asked to create 'a'" in str(outcome)


def test_session_is_usable_after_the_caller_stops_early() -> None:
    server = ScriptedServer(silent_at(Request.OPEN, number=2))
    session = server.session()
    ended: list[str] = []

    async def create(path: str) -> None:
        try:
            await session.create(path)
        finally:
            ended.append(path)

    outcomes = session.run((create(path) for path in "abc"), at_a_time=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined] # it is a generator
    gc.collect()  # a task that was not ended would be reported now
    assert ended == ["a", "b"]
    (unanswered,) = [asked for asked in server.asked if asked.texts == ["b"]]
    server.say(server.healthy(unanswered))
    remove(session)
    assert_nothing_pending(session)


def test_error_in_the_task_iterator_ends_running_tasks() -> None:
    session = ScriptedServer().session()
    ended: list[str] = []

    async def create(path: str) -> None:
        try:
            await session.create(path)
        finally:
            ended.append(path)

    def tasks() -> Iterator[object]:
        yield create("a")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(session.run(tasks(), at_a_time=2))  # type: ignore[arg-type] # one is enough here
    assert ended == ["a"]


# --- tasks that wait for another thread ---


def test_task_receives_the_result_of_another_thread() -> None:
    session = ScriptedServer().session()

    async def ask(future: Future[int]) -> int:
        return await ExternalFuture(future)

    with ThreadPoolExecutor(1) as pool:
        assert session.run_one(ask(pool.submit(lambda: 7))) == 7


def test_task_receives_the_error_of_another_thread() -> None:
    session = ScriptedServer().session()
    failed: Future[int] = Future()
    failed.set_exception(ValueError("of its own"))

    async def ask() -> int:
        return await ExternalFuture(failed)

    with pytest.raises(ValueError, match="of its own"):
        session.run_one(ask())
    assert not session.is_over


def test_tasks_proceed_while_one_waits_for_another_thread() -> None:
    session = ScriptedServer().session()
    slow: Future[str] = Future()
    done: list[str] = []

    async def create(path: str) -> None:
        await session.create(path)
        done.append(path)
        if path == "c":
            slow.set_result("late")

    async def ask() -> None:
        done.append(await ExternalFuture(slow))

    list(session.run([ask(), *(create(path) for path in "abc")], at_a_time=2))
    assert done == ["a", "b", "c", "late"]


def test_reply_is_delivered_while_another_task_waits_for_a_thread() -> None:
    """The first gets its result and sends a request; the reply must not wait for the thread of the second."""
    server = ScriptedServer()
    session = server.session()
    ready: Future[None] = Future()
    late: Future[None] = Future()

    async def first() -> None:
        await ExternalFuture(ready)
        await session.create("a")
        late.set_result(None)

    async def second() -> None:
        await ExternalFuture(late)

    async def begins() -> None:
        await session.create("b")
        ready.set_result(None)

    timeout = threading.Timer(SOON, lambda: late.done() or late.set_exception(TimeoutError()))
    timeout.start()
    outcomes = dict(session.run([first(), second(), begins()], at_a_time=3))
    timeout.cancel()
    assert outcomes == {0: None, 1: None, 2: None}


def test_task_waiting_for_a_thread_counts_as_running() -> None:
    session = ScriptedServer().session()
    started: list[int] = []
    futures: list[Future[None]] = [Future() for _ in range(6)]

    async def ask(number: int) -> None:
        started.append(number)
        if number == 2:
            pool.submit(futures[1].set_result, None)
        await ExternalFuture(futures[number])

    outcomes = session.run((ask(number) for number in range(6)), at_a_time=3)
    with ThreadPoolExecutor(1) as pool:
        assert next(outcomes) == (1, None)
        assert started == [0, 1, 2]
        for number in (0, 2, 3, 4, 5):
            pool.submit(futures[number].set_result, None)
        assert sorted(place for place, _ in outcomes) == [0, 2, 3, 4, 5]


def test_lost_connection_does_not_affect_a_task_waiting_for_a_thread() -> None:
    session = ScriptedServer(silent_at(Request.OPEN)).session()
    slow: Future[str] = Future()

    async def create() -> None:
        try:
            await session.create("a")
        finally:
            slow.set_result("done all the same")

    async def ask() -> str:
        result = await ExternalFuture(slow)
        with pytest.raises(ConnectionLost, match="closed the session"):
            await session.remove("b")
        return result

    outcomes = dict(session.run([ask(), create()], at_a_time=2))
    assert outcomes[0] == "done all the same"
    assert isinstance(outcomes[1], ConnectionLost)


def test_abandoned_request_is_sent_before_all_tasks_wait_for_threads() -> None:
    server = ScriptedServer()
    session = server.session()
    seen: Future[None] = Future()

    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.REMOVE:
            seen.set_result(None)
        return None

    server.script = script

    async def ask() -> None:
        session.abandon(session.remove("a"))
        await ExternalFuture(seen)

    session.run_one(ask())
    assert server.asked[-1].kind == Request.REMOVE


def test_abandoned_request_on_a_closed_session_does_not_end_other_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = ScriptedServer().session()
    session.close()
    done: Future[str] = Future()
    # Done only when the scheduler waits for it.
    monkeypatch.setattr("s3_to_sftp.sftp.scheduler.wait", lambda *_, **__: done.set_result("fine"))

    async def ask() -> str:
        session.abandon(session.remove("a"))
        return await ExternalFuture(done)

    assert session.run_one(ask()) == "fine"


def test_tasks_waiting_for_a_thread_end_when_the_caller_stops_early() -> None:
    session = ScriptedServer().session()
    never: Future[None] = Future()
    ended: list[str] = []

    async def ask() -> None:
        try:
            await ExternalFuture(never)
        finally:
            ended.append("ask")

    async def create() -> None:
        await session.create("a")

    outcomes = session.run([ask(), create()], at_a_time=2)
    assert next(outcomes) == (1, None)
    outcomes.close()  # type: ignore[attr-defined] # it is a generator
    assert ended == ["ask"]
