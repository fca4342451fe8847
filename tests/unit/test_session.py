"""The session believes nothing but the status that belongs to its request."""

from __future__ import annotations

import struct

import paramiko
import pytest

from s3_to_sftp.errors import ConnectionLost, Disposition, ProtocolViolation, RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Answer, Request, Status
from tests.unit.scripted_server import Asked, ScriptedServer, framed, refusing, silent_at, status


def test_writes_are_as_long_as_the_server_says() -> None:
    assert ScriptedServer(max_write=100_000).session().max_write_bytes == 100_000


def test_writes_are_never_longer_than_openssh_takes() -> None:
    assert ScriptedServer(max_write=10**9).session().max_write_bytes == 255 * 1024


@pytest.mark.parametrize(
    "server",
    [
        ScriptedServer(extensions={}),
        ScriptedServer(extensions={POSIX_RENAME: b"1"}),
        ScriptedServer(max_write=0),
        ScriptedServer(refusing(Request.EXTENDED)),
    ],
    ids=["no extensions", "no limits", "no limit stated", "limits refused"],
)
def test_writes_are_32_kib_where_no_limit_is_known(server: ScriptedServer) -> None:
    assert server.session().max_write_bytes == 32 * 1024


def test_limits_are_not_asked_for_where_they_are_not_offered() -> None:
    server = ScriptedServer(extensions={})
    server.session()
    assert server.asked == []


def test_open_asks_for_write_create_truncate_only() -> None:
    server = ScriptedServer()
    server.session().create("a.csv")
    (opened,) = [asked for asked in server.asked if asked.kind == Request.OPEN]
    flags, attributes = struct.unpack(">II", opened.payload[-8:])
    assert (flags, attributes) == (0x02 | 0x08 | 0x10, 0)


def test_answers_may_come_in_any_order() -> None:
    held: list[Asked] = []

    def hold_the_first(asked: Asked) -> bytes | None:
        if asked.kind != Request.WRITE:
            return None
        held.append(asked)
        return b"" if len(held) < 3 else b"".join(status(each, Status.OK) for each in reversed(held))

    session = ScriptedServer(hold_the_first).session()
    ids = [session.send_write(b"handle 0", offset, b"x") for offset in range(3)]
    for request_id in ids:
        session.finish_write(request_id, path="a", offset=0)


def test_failure_goes_to_the_write_that_failed() -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=2))
    session = server.session()
    handle = session.create("a")
    ids = [session.send_write(handle, offset, b"x") for offset in range(3)]
    session.finish_write(ids[2], path="a", offset=2)
    session.finish_write(ids[0], path="a", offset=0)
    with pytest.raises(RequestRefused, match="write 'a' at offset 1"):
        session.finish_write(ids[1], path="a", offset=1)


def test_answer_to_an_unknown_request_is_a_violation() -> None:
    session = ScriptedServer(lambda asked: status(4711, Status.OK), extensions={}).session()
    with pytest.raises(ProtocolViolation, match="4711"):
        session.remove("a")


def test_second_answer_to_one_request_is_a_violation() -> None:
    session = ScriptedServer(lambda asked: status(asked, Status.OK) * 2, extensions={}).session()
    session.remove("a")
    with pytest.raises(ProtocolViolation, match="already answered"):
        session.remove("b")


@pytest.mark.parametrize("length", [0, 256 * 1024 + 1, 0xFFFFFFFF])
def test_message_of_impossible_length_is_a_violation(length: int) -> None:
    session = ScriptedServer(lambda asked: struct.pack(">I", length), extensions={}).session()
    with pytest.raises(ProtocolViolation, match=f"{length} bytes"):
        session.remove("a")


def test_status_without_words_is_understood() -> None:
    code = Status.PERMISSION_DENIED
    session = ScriptedServer(lambda asked: status(asked, code, words=None), extensions={}).session()
    with pytest.raises(RequestRefused, match="status 3 PERMISSION_DENIED") as raised:
        session.remove("a")
    assert "it says" not in str(raised.value)


def test_words_that_are_not_utf_8_are_shown_as_well_as_they_can_be() -> None:
    def latin_1(asked: Asked) -> bytes:
        return framed(Answer.STATUS, struct.pack(">III", asked.request_id, 4, 1) + b"\xfc")

    with pytest.raises(RequestRefused, match="\ufffd"):
        ScriptedServer(latin_1, extensions={}).session().remove("a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        struct.pack(">I", 0),
        struct.pack(">I", 0) + b"\0\0",
        struct.pack(">III", 0, 4, 99) + b"cut",
    ],
    ids=["empty", "cut id", "no code", "cut code", "cut words"],
)
def test_unreadable_status_is_a_violation(body: bytes) -> None:
    session = ScriptedServer(lambda asked: framed(Answer.STATUS, body), extensions={}).session()
    with pytest.raises(ProtocolViolation):
        session.remove("a")


@pytest.mark.parametrize("kind", [Answer.HANDLE, Answer.ATTRS, Answer.VERSION, 250])
def test_answer_of_the_wrong_type_is_a_violation(kind: int) -> None:
    def script(asked: Asked) -> bytes:
        return framed(kind, struct.pack(">II", asked.request_id, 0))

    with pytest.raises(ProtocolViolation, match=f"message type {int(kind)}"):
        ScriptedServer(script, extensions={}).session().remove("a")


def test_ok_without_a_handle_is_a_violation() -> None:
    session = ScriptedServer(lambda asked: status(asked, Status.OK), extensions={}).session()
    with pytest.raises(ProtocolViolation, match="no handle"):
        session.create("a")


def test_cut_handle_is_a_violation() -> None:
    def script(asked: Asked) -> bytes:
        return framed(Answer.HANDLE, struct.pack(">II", asked.request_id, 99) + b"cut")

    with pytest.raises(ProtocolViolation, match="handle"):
        ScriptedServer(script, extensions={}).session().create("a")


def test_ok_without_attributes_is_a_violation() -> None:
    session = ScriptedServer(lambda asked: status(asked, Status.OK), extensions={}).session()
    with pytest.raises(ProtocolViolation, match="no attributes"):
        session.exists("a")


@pytest.mark.parametrize(
    "version",
    [
        framed(Answer.STATUS, struct.pack(">I", 0)),
        framed(Answer.VERSION, struct.pack(">II", 3, 99) + b"cut"),
        b"Welcome to our server!\r\n",
    ],
    ids=["refused", "cut extensions", "a greeting of a shell"],
)
def test_unusable_start_is_a_violation(version: bytes) -> None:
    server = ScriptedServer(version=version)
    with pytest.raises(ProtocolViolation):
        server.session()
    assert server.closed


@pytest.mark.parametrize(
    "broken",
    [
        TimeoutError(),
        OSError("reset"),
        EOFError(),
        paramiko.SSHException("Key-exchange timed out waiting for key negotiation"),
    ],
)
def test_broken_channel_is_a_lost_connection(broken: Exception) -> None:
    server = ScriptedServer()
    session = server.session()
    server.broken = broken
    with pytest.raises(ConnectionLost, match=r"sftp\.partner\.example:22"):
        session.remove("a")
    assert session.is_over


def test_peer_that_takes_no_more_data_is_named_as_that() -> None:
    server = ScriptedServer()
    session = server.session()
    server.broken = TimeoutError()
    with pytest.raises(ConnectionLost, match="took no more data for too long while we asked it to remove"):
        session.remove("a")


def test_silence_is_a_lost_connection() -> None:
    session = ScriptedServer(silent_at(Request.REMOVE)).session()
    with pytest.raises(ConnectionLost, match="did not answer in time when asked to remove 'a'"):
        session.remove("a")


def test_end_of_the_channel_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer(silent_at(Request.REMOVE))
    session = server.session()
    monkeypatch.setattr(server, "recv", lambda nbytes: b"")
    with pytest.raises(ConnectionLost, match="closed the connection"):
        session.remove("a")


def test_nothing_is_sent_after_the_first_doubt() -> None:
    server = ScriptedServer(silent_at(Request.REMOVE))
    session = server.session()
    with pytest.raises(ConnectionLost):
        session.remove("a")
    sent = len(server.asked)
    with pytest.raises(ConnectionLost, match="no session any more"):
        session.remove("b")
    assert len(server.asked) == sent
    assert server.closed


def test_channel_that_cannot_even_be_closed_does_not_hide_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedServer(silent_at(Request.REMOVE))
    session = server.session()

    def close() -> None:
        raise EOFError

    monkeypatch.setattr(server, "close", close)
    with pytest.raises(ConnectionLost):
        session.remove("a")


def test_refusal_keeps_the_session() -> None:
    session = ScriptedServer(refusing(Request.REMOVE, number=1)).session()
    with pytest.raises(RequestRefused):
        session.remove("a")
    session.create("a")
    session.remove("a")
    assert not session.is_over


def test_answer_to_an_abandoned_request_is_thrown_away_when_it_comes() -> None:
    server = ScriptedServer(silent_at(Request.WRITE))
    session = server.session()
    abandoned = session.send_write(session.create("a"), 0, b"x")
    session.abandon(abandoned)
    server.say(status(abandoned, Status.FAILURE))
    session.remove("a")
    assert not session.is_over


def test_answer_that_came_before_its_request_was_abandoned_is_thrown_away() -> None:
    session = ScriptedServer().session()
    handle = session.create("a")
    first = session.send_write(handle, 0, b"x")
    session.close_file(handle, path="a")
    session.abandon(first)
    session.remove("a")


@pytest.mark.parametrize("answered", ["before", "after"])
def test_abandoned_requests_leave_nothing_in_memory(answered: str) -> None:
    server = ScriptedServer(silent_at(Request.WRITE) if answered == "after" else lambda asked: None)
    session = server.session()
    handle = session.create("a")
    abandoned = session.send_write(handle, 0, b"x")
    if answered == "before":
        session.ping()
    session.abandon(abandoned)
    if answered == "after":
        server.say(status(abandoned, Status.OK))
    session.ping()
    assert (session._waiting, session._arrived, session._abandoned) == (set(), {}, set())


def test_failed_write_that_is_abandoned_leaves_nothing_in_memory() -> None:
    session = ScriptedServer(refusing(Request.WRITE)).session()
    failed = session.send_write(session.create("a"), 0, b"x")
    with pytest.raises(RequestRefused):
        session.finish_write(failed, path="a", offset=0)
    session.abandon(failed)
    assert session._abandoned == set()


def test_posix_rename_is_used_where_it_is_offered() -> None:
    server = ScriptedServer()
    session = server.session()
    session.create("a")
    session.rename("a", "b")
    assert server.paths(Request.EXTENDED)[-1] == [POSIX_RENAME, "a", "b"]
    assert session.renames_over_existing


def test_plain_rename_is_used_where_posix_rename_is_not_offered() -> None:
    server = ScriptedServer(extensions={LIMITS: b"1"})
    session = server.session()
    session.create("a")
    session.rename("a", "b")
    assert server.paths(Request.RENAME) == [["a", "b"]]
    assert not session.renames_over_existing


@pytest.mark.parametrize("code", [*(code for code in Status if code != Status.OK), 31, 0xFFFFFFFF])
def test_every_status_but_ok_is_a_refusal_with_advice(code: int) -> None:
    session = ScriptedServer(refusing(Request.REMOVE, code)).session()
    with pytest.raises(RequestRefused, match="refused to remove 'a'") as raised:
        session.remove("a")
    assert raised.value.code == code
    assert raised.value.hint
    assert isinstance(raised.value, TransferError)


@pytest.mark.parametrize(
    ("code", "disposition"),
    [
        (Status.FAILURE, Disposition.RETRY),
        (Status.NO_SPACE_ON_FILESYSTEM, Disposition.RETRY),
        (Status.PERMISSION_DENIED, Disposition.PERMANENT),
        (Status.OP_UNSUPPORTED, Disposition.PERMANENT),
    ],
)
def test_status_decides_whether_it_is_tried_again(code: int, disposition: Disposition) -> None:
    session = ScriptedServer(refusing(Request.REMOVE, code)).session()
    with pytest.raises(RequestRefused) as raised:
        session.remove("a")
    assert raised.value.disposition is disposition


def test_ping_is_content_with_any_answer() -> None:
    ScriptedServer().session().ping()
    ScriptedServer(refusing(Request.REALPATH)).session().ping()


def test_ping_notices_silence() -> None:
    with pytest.raises(ConnectionLost):
        ScriptedServer(silent_at(Request.REALPATH)).session().ping()


def test_request_ids_start_again_at_zero_after_the_highest() -> None:
    server = ScriptedServer(extensions={})
    session = server.session()
    session._next_id = 0xFFFFFFFF
    session.create("a")
    session.remove("a")
    assert [asked.request_id for asked in server.asked] == [0xFFFFFFFF, 0]
