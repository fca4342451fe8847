"""Two handles and two bytes show what a server makes of files that are not written in one go."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from s3_to_sftp.errors import ConnectionLost, ProtocolViolation, RequestRefused
from s3_to_sftp.sftp import probe
from s3_to_sftp.sftp.protocol import OPEN_WRITE, Answer, Request, Status
from s3_to_sftp.sftp.session import Conversation, SftpSession
from tests.unit.scripted_server import (
    NOTHING,
    Asked,
    ScriptedServer,
    after_start,
    framed,
    refusing,
    status,
)
from tests.unit.sending import DATA, PATH, TEMPORARY, send
from tests.unit.site import Site, wait_for_lanes

NAME = "inbox/.a-probe.part"

Probe = Callable[[SftpSession, str], Conversation[bool]]
both_probes = pytest.mark.parametrize("ask", [probe.keeps_writers_together, probe.goes_on_with_files])


class Spool(bytearray):
    """What one handle has written."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class KeepsApart(ScriptedServer):
    """What a handle has written takes the place of the file at its CLOSE."""

    def _open(self, asked: Asked) -> bytes:
        answer = super()._open(asked)
        (flags,) = struct.unpack_from(">I", asked.payload, len(asked.payload) - 8)
        if answer[4] == Answer.HANDLE and flags & OPEN_WRITE:
            handle = answer[13:].decode()
            self._handles[handle] = Spool(asked.texts[0])
        return answer

    def _close(self, asked: Asked) -> bytes:
        spool = self._handles[asked.texts[0]]
        if isinstance(spool, Spool):
            self.files[spool.path] = bytearray(spool)
        return super()._close(asked)


class IgnoresOffsets(ScriptedServer):
    """Writes everything behind what is there, as a file opened for appending."""

    def _write(self, asked: Asked) -> bytes:
        handle_end = 4 + int.from_bytes(asked.payload[:4], "big")
        end = len(self.file_of(asked.payload[4:handle_end]))
        payload = asked.payload[:handle_end] + end.to_bytes(8, "big") + asked.payload[handle_end + 8 :]
        return super()._write(Asked(asked.kind, asked.request_id, payload, asked.number))


def asking(server: ScriptedServer, ask: Probe) -> bool:
    server.directories.add("inbox")
    session = server.session()
    server.forget()
    answer = session.run_one(ask(session, NAME))
    assert server.files == {}
    assert server._handles == {}
    assert (session._waiting, session._arrived, session._abandoned) == (set(), {}, set())
    return answer


@both_probes
def test_healthy_server_says_yes(ask: Probe) -> None:
    assert asking(ScriptedServer(), ask)


@both_probes
def test_server_that_keeps_handles_apart_says_no(ask: Probe) -> None:
    assert not asking(KeepsApart(), ask)


@both_probes
def test_server_that_ignores_offsets_says_no(ask: Probe) -> None:
    assert not asking(IgnoresOffsets(), ask)


def test_two_writers_take_three_round_trips() -> None:
    server = ScriptedServer()
    asking(server, probe.keeps_writers_together)
    assert server.turns == [
        [Request.OPEN] * 2,
        [Request.WRITE] * 2 + [Request.CLOSE] * 2 + [Request.OPEN],
        [Request.READ, Request.CLOSE, Request.REMOVE],
    ]


def test_going_on_takes_four_round_trips() -> None:
    server = ScriptedServer()
    asking(server, probe.goes_on_with_files)
    assert server.turns == [
        [Request.OPEN],
        [Request.WRITE, Request.CLOSE, Request.OPEN],
        [Request.WRITE, Request.CLOSE, Request.OPEN],
        [Request.READ, Request.CLOSE, Request.REMOVE],
    ]


def test_going_on_makes_the_directory_of_the_first_file() -> None:
    session = ScriptedServer().session()
    assert session.run_one(probe.goes_on_with_files(session, "deep/er/.a.part"))


REQUESTS = [
    *((Request.OPEN, number) for number in (1, 2, 3)),
    *((Request.WRITE, number) for number in (1, 2)),
    *((Request.CLOSE, number) for number in (1, 2)),
    (Request.READ, 1),
]
each_request = pytest.mark.parametrize(("kind", "number"), REQUESTS, ids=str)


@both_probes
@each_request
@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED])
def test_refusal_is_raised_and_leaves_nothing(code: int, kind: Request, number: int, ask: Probe) -> None:
    def refused_after_it_was_done(asked: Asked) -> bytes | None:
        # The first OPEN is tried again when the directory has been made.
        due = asked.number >= number if kind == Request.OPEN else asked.number == number
        if asked.kind != kind or not due:
            return None
        if kind == Request.CLOSE:
            server.healthy(asked)
        return status(asked, code)

    server = ScriptedServer(refused_after_it_was_done)
    server.directories.add("inbox")
    session = server.session()
    server.forget()
    with pytest.raises(RequestRefused):
        session.run_one(ask(session, NAME))
    assert server.files == {}
    assert server._handles == {}
    assert not session.is_over


@both_probes
@pytest.mark.parametrize("clean_up", [Request.CLOSE, Request.REMOVE])
def test_refused_clean_up_does_not_hide_the_first_refusal(clean_up: Request, ask: Probe) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.READ:
            return status(asked, Status.OP_UNSUPPORTED)
        late = clean_up == Request.REMOVE or asked.number == 3
        return status(asked, Status.FAILURE) if asked.kind == clean_up and late else None

    server = ScriptedServer(script)
    server.directories.add("inbox")
    session = server.session()
    with pytest.raises(RequestRefused, match="OP_UNSUPPORTED"):
        session.run_one(ask(session, NAME))


def test_file_that_may_not_be_removed_does_not_change_the_answer() -> None:
    server = ScriptedServer(refusing(Request.REMOVE))
    session = server.session()
    assert session.run_one(probe.keeps_writers_together(session, ".a-probe.part"))


@both_probes
@each_request
def test_silence_ends_the_probe(kind: Request, number: int, ask: Probe) -> None:
    def script(asked: Asked) -> bytes | None:
        return NOTHING if (asked.kind, asked.number) == (kind, number) else None

    server = ScriptedServer(script)
    server.directories.add("inbox")
    session = server.session()
    server.forget()
    with pytest.raises(ConnectionLost, match="did not answer in time"):
        session.run_one(ask(session, NAME))


@both_probes
def test_nonsense_ends_the_probe(ask: Probe) -> None:
    def script(asked: Asked) -> bytes:
        return framed(250, asked.request_id.to_bytes(4, "big"))

    session = ScriptedServer(after_start(script)).session()
    with pytest.raises(ProtocolViolation):
        session.run_one(ask(session, NAME))


@both_probes
def test_bytes_of_somebody_else_are_a_no(ask: Probe) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind != Request.READ:
            return None
        body = asked.request_id.to_bytes(4, "big") + b"\0\0\0\x03abc"
        return framed(Answer.DATA, body)

    assert not asking(ScriptedServer(script), ask)


# --- what follows from it for a file ---


def probed(site: Site) -> bool:
    return any("-probe" in path for (path,) in site.connection(0).server.paths(Request.OPEN))


def of_probe(asked: Asked) -> bool:
    return asked.kind == Request.OPEN and b"-probe" in asked.payload


def made_inbox(**more: Any) -> Site:
    site = Site(proven=False, **more)
    site.disk.directories.add("inbox")
    return site


def test_lanes_join_where_the_probe_says_yes(caplog: pytest.LogCaptureFixture) -> None:
    site = made_inbox()
    pool = site.pool(2)
    send(pool)
    wait_for_lanes()
    assert probed(site)
    assert pool.keeps_writers_together
    assert site.files == {PATH: DATA}
    assert caplog.records == []
    site.connection(0).server.forget()
    send(pool)
    wait_for_lanes()
    assert not probed(site), "once is enough"


def test_nobody_probes_for_a_file_of_one_lane() -> None:
    site = made_inbox()
    send(site.pool())
    assert not probed(site)


def test_probe_travels_with_the_open_of_the_file() -> None:
    site = made_inbox()
    send(site.pool(2))
    wait_for_lanes()
    opens = [turn for turn in site.connection(0).server.turns if Request.OPEN in turn]
    assert opens[0] == [Request.OPEN] * 3


def test_server_that_says_no_gets_one_lane_for_good(caplog: pytest.LogCaptureFixture) -> None:
    site = made_inbox(kind=KeepsApart)
    now = 0.0
    pool = site.pool(3, clock=lambda: now)
    for now in (0.0, 10_000.0):  # noqa: B007 - the clock above reads it
        assert send(pool) == 1
        wait_for_lanes()
        assert site.files == {PATH: DATA}
    assert pool.limit == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gets every file over one connection" in caplog.text


@pytest.mark.parametrize("kind", [Request.OPEN, Request.READ])
def test_server_that_refuses_the_probe_gets_one_lane(kind: Request, caplog: pytest.LogCaptureFixture) -> None:
    def script(asked: Asked) -> bytes | None:
        refused = of_probe(asked) if kind == Request.OPEN else asked.kind == kind
        return status(asked, Status.FAILURE) if refused else None

    site = made_inbox(scripts={0: script})
    pool = site.pool(3)
    assert send(pool) == 1
    wait_for_lanes()
    assert site.files == {PATH: DATA}
    assert pool.limit == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_probe_that_came_before_the_directory_says_nothing(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    def vague(asked: Asked) -> bytes | None:
        missing = asked.kind == Request.OPEN and "inbox" not in site.disk.directories
        return status(asked, code) if missing else None

    site = Site(proven=False, scripts={0: vague})
    pool = site.pool(2)
    assert send(pool) == 1
    wait_for_lanes()
    assert pool.limit == 2
    assert caplog.records == []
    send(pool)
    wait_for_lanes()
    assert pool.keeps_writers_together


def test_directory_that_nobody_may_write_to_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.OPEN else None

    site = made_inbox(scripts={0: script})
    pool = site.pool(2)
    with pytest.raises(RequestRefused, match=TEMPORARY):
        send(pool)
    wait_for_lanes()
    assert pool.limit == 2
    assert caplog.records == []


def test_probe_leaves_nothing_when_the_file_cannot_be_opened() -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and not of_probe(asked)
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    site = made_inbox(scripts={0: script})
    with pytest.raises(RequestRefused, match=TEMPORARY):
        send(site.pool(2))
    wait_for_lanes()
    assert site.files == {}
    assert site.connection(0).server._handles == {}


def test_server_that_is_lost_during_the_probe_is_not_probed_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def script(asked: Asked) -> bytes | None:
        return NOTHING if asked.kind == Request.READ else None

    site = made_inbox(scripts={0: script})
    pool = site.pool(2)
    with pytest.raises(ConnectionLost):
        send(pool)
    wait_for_lanes()
    assert PATH not in site.files
    assert send(pool) == 1
    assert not probed(site)
    assert site.files[PATH] == DATA
    assert len(caplog.records) == 1
