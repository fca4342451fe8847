"""Two bytes show what a server makes of files that are not written by one handle in one go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3_to_sftp.errors import CheckpointLost, ConnectionLost, ProtocolViolation, RequestRefused
from s3_to_sftp.sftp import probe
from s3_to_sftp.sftp.protocol import Answer, Request, Status
from s3_to_sftp.sftp.resume import supports_resume
from s3_to_sftp.sftp.stream_admission import Admission
from s3_to_sftp.sftp.temporary_names import resume_probe_name
from tests.support.odd_servers import (
    IgnoresOffsets,
    KeepsApart,
    KeepsConnectionsApart,
    OneHandle,
    OneHandleAnsweredInAnyOrder,
    WipesAtOpen,
)
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    Disk,
    Script,
    ScriptedServer,
    after_start,
    framed,
    refusing,
    status,
)
from tests.support.sending import DATA, PATH, TEMPORARY, Bytes, gathering, send, send_part
from tests.support.sftp_environment import CHANNEL, SOON, wait_for_streams
from tests.support.sftp_environment import SftpEnvironment as Environment

NAME = "inbox/.a-probe.part"


class Pair:
    """Two connections to one server."""

    def __init__(
        self,
        kind: type[ScriptedServer] = ScriptedServer,
        first: Script | None = None,
        second: Script | None = None,
    ) -> None:
        disk = Disk()
        disk.directories.add("inbox")
        self.servers = [kind(script or (lambda _asked: None), disk=disk) for script in (first, second)]
        self.sessions = [server.session() for server in self.servers]
        for server in self.servers:
            server.forget()
        self.files = disk.files

    def parallel(self) -> bool:
        """Ask whether two connections may write one file."""
        writers = probe.TwoWriters(NAME)

        def write_first() -> None:
            try:
                self.sessions[0].run_one(writers.first(self.sessions[0]))
            except Exception as error:  # noqa: BLE001 - told to the second
                self.trouble = error

        thread = threading.Thread(target=write_first)
        thread.start()
        try:
            return self.sessions[1].run_one(writers.second(self.sessions[1]))
        finally:
            thread.join()

    def resume(self) -> bool:
        """Ask whether a file is resumed by a later connection."""
        self.sessions[0].run_one(probe.begin_file(self.sessions[0], NAME))
        return self.sessions[1].run_one(probe.resumes_file(self.sessions[1], NAME))

    def left_nothing(self) -> bool:
        for session, server in zip(self.sessions, self.servers, strict=True):
            assert server._handles == {}
            assert (session._wire._waiting, session._wire._arrived, session._wire._abandoned) == (
                set(),
                {},
                set(),
            )
        return self.files == {}


Ask = Callable[[Pair], bool]
both = pytest.mark.parametrize("ask", [Pair.parallel, Pair.resume])


@both
def test_healthy_server_says_yes(ask: Ask) -> None:
    pair = Pair()
    assert ask(pair)
    assert pair.left_nothing()


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_server_that_undoes_what_another_connection_writes_says_no(kind: type[ScriptedServer]) -> None:
    pair = Pair(kind)
    assert not pair.parallel()
    assert pair.left_nothing()


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_server_that_does_not_resume_says_no(kind: type[ScriptedServer]) -> None:
    pair = Pair(kind)
    assert not pair.resume()
    assert pair.left_nothing()


def test_second_handle_is_opened_when_the_first_byte_is_acknowledged() -> None:
    pair = Pair()
    pair.parallel()
    first, second = pair.servers
    assert first.turns == [[Request.OPEN], [Request.WRITE], [Request.CLOSE]]
    assert second.turns == [
        [Request.OPEN],
        [Request.WRITE, Request.CLOSE],
        [Request.OPEN],
        [Request.READ, Request.CLOSE, Request.REMOVE],
    ]


def test_resuming_is_asked_over_two_connections() -> None:
    pair = Pair()
    pair.resume()
    assert pair.servers[0].turns == [[Request.OPEN], [Request.WRITE, Request.CLOSE]]
    assert pair.servers[1].turns == [
        [Request.OPEN],
        [Request.WRITE, Request.CLOSE],
        [Request.OPEN],
        [Request.READ, Request.CLOSE, Request.REMOVE],
    ]


REQUESTS = {
    Pair.parallel: [
        *((0, kind, 1) for kind in (Request.OPEN, Request.WRITE, Request.CLOSE)),
        *((1, kind, 1) for kind in (Request.OPEN, Request.WRITE, Request.CLOSE, Request.READ)),
        (1, Request.OPEN, 2),
    ],
    Pair.resume: [
        *((0, kind, 1) for kind in (Request.WRITE, Request.CLOSE)),
        *((1, kind, 1) for kind in (Request.OPEN, Request.WRITE, Request.CLOSE, Request.READ)),
        (1, Request.OPEN, 2),
    ],
}
each_request = pytest.mark.parametrize(
    ("ask", "where", "kind", "number"), [(ask, *request) for ask in REQUESTS for request in REQUESTS[ask]]
)


def pair_with(script: Script, where: int) -> Pair:
    return Pair(**{("first", "second")[where]: script})


@each_request
@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED])
def test_refusal_is_raised_and_leaves_nothing(
    code: int, kind: Request, number: int, where: int, ask: Ask
) -> None:
    def refused_after_it_was_done(asked: Asked) -> bytes | None:
        if (asked.kind, asked.number) != (kind, number):
            return None
        if kind == Request.CLOSE:
            pair.servers[where].healthy(asked)
        return status(asked, code)

    pair = pair_with(refused_after_it_was_done, where)
    with pytest.raises(RequestRefused):
        ask(pair)
    assert pair.left_nothing()
    assert not any(session.is_over for session in pair.sessions)


@each_request
def test_silence_ends_it(kind: Request, number: int, where: int, ask: Ask) -> None:
    def script(asked: Asked) -> bytes | None:
        return NOTHING if (asked.kind, asked.number) == (kind, number) else None

    with pytest.raises(ConnectionLost, match="did not answer in time"):
        ask(pair_with(script, where))


@both
def test_nonsense_ends_it(ask: Ask) -> None:
    def script(asked: Asked) -> bytes:
        return framed(250, asked.request_id.to_bytes(4, "big"))

    with pytest.raises(ProtocolViolation):
        ask(Pair(second=after_start(script)))


@both
def test_bytes_of_somebody_else_are_a_no(ask: Ask) -> None:
    def script(asked: Asked) -> bytes | None:
        body = asked.request_id.to_bytes(4, "big") + b"\0\0\0\x03abc"
        return framed(Answer.DATA, body) if asked.kind == Request.READ else None

    assert not ask(Pair(second=script))


@both
def test_file_that_may_not_be_removed_does_not_change_the_answer(ask: Ask) -> None:
    assert ask(Pair(second=refusing(Request.REMOVE)))


@pytest.mark.parametrize("begun", [False, True])
def test_first_writer_that_is_called_off_leaves_nothing_and_lets_nobody_wait(*, begun: bool) -> None:
    pair = Pair()
    writers = probe.TwoWriters(NAME)
    if not begun:
        writers.call_off()
    thread = threading.Thread(target=lambda: pair.sessions[0].run_one(writers.first(pair.sessions[0])))
    thread.start()
    if begun:
        writers.wait_for_first()
        writers.call_off()
    thread.join()
    with pytest.raises(probe.CalledOff):
        pair.sessions[1].run_one(writers.second(pair.sessions[1]))
    assert pair.left_nothing()


def test_nobody_waits_for_a_first_writer_that_is_not_driven_any_more() -> None:
    pair = Pair()
    writers = probe.TwoWriters(NAME)
    conversation = writers.first(pair.sessions[0])
    conversation.send(None)
    conversation.close()
    with pytest.raises(probe.CalledOff):
        pair.sessions[1].run_one(writers.second(pair.sessions[1]))


# --- what follows from it for a file ---


@pytest.fixture(autouse=True)
def no_stream_is_left() -> Iterator[None]:
    yield
    wait_for_streams()


def opens_of_probe(env: Environment, number: int = 0) -> int:
    return sum("-probe" in path for (path,) in env.connection(number).server.paths(Request.OPEN))


def of_probe(asked: Asked) -> bool:
    return asked.kind == Request.OPEN and b"-probe" in asked.payload


def made_inbox(**more: Any) -> Environment:
    env = Environment(proven=False, **more)
    env.disk.directories.add("inbox")
    return env


def test_streams_join_where_the_server_bears_them(caplog: pytest.LogCaptureFixture) -> None:
    env = made_inbox()
    pool = env.pool(3)
    assert send(pool, gathering()) == 3
    wait_for_streams()
    assert opens_of_probe(env) == 1
    assert opens_of_probe(env, 1) + opens_of_probe(env, 2) == 2
    assert env.files == {PATH: DATA}
    assert caplog.records == []
    env.connection(0).server.forget()
    assert send(pool, gathering()) == 3
    assert not opens_of_probe(env), "once is enough"


def test_nobody_is_asked_for_a_file_of_one_stream() -> None:
    env = made_inbox()
    send(env.pool())
    assert not opens_of_probe(env)


def test_first_stream_writes_as_soon_as_its_file_is_open() -> None:
    env = made_inbox()
    send(env.pool(2))
    turns = env.connection(0).server.turns
    opening = next(place for place, turn in enumerate(turns) if Request.OPEN in turn)
    assert turns[opening] == [Request.OPEN] * 2
    assert set(turns[opening + 1]) == {Request.WRITE}
    assert env.connection(0).server.sizes[0] == 1, "the byte of the proof goes ahead of what fills the line"
    assert len(turns[opening + 1]) > 2


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_file_in_a_new_directory_gets_streams(code: int, caplog: pytest.LogCaptureFixture) -> None:
    def vague(asked: Asked) -> bytes | None:
        missing = asked.kind == Request.OPEN and "inbox" not in env.disk.directories
        return status(asked, code) if missing else None

    env = Environment(proven=False, scripts={0: vague})
    assert send(env.pool(2), gathering()) == 2
    assert env.files == {PATH: DATA}
    assert caplog.records == []


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_server_that_does_not_bear_streams_gets_one_for_good(
    kind: type[ScriptedServer], caplog: pytest.LogCaptureFixture
) -> None:
    env = made_inbox(kind=kind)
    now = 0.0
    pool = env.pool(3, clock=lambda: now)
    for now in (0.0, 10_000.0):  # noqa: B007 - the clock above reads it
        assert send(pool, gathering()) == 1
        wait_for_streams()
        assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gets every file over one connection" in caplog.text


def test_proof_is_forgotten_with_the_connection_it_was_made_on() -> None:
    """The server behind the address was exchanged for one that keeps apart what two connections write."""
    env = made_inbox()
    pool = env.pool(2)
    assert send(pool, gathering()) == 2
    wait_for_streams()
    env.kind = KeepsConnectionsApart
    for number in (0, 1):
        pool.drop(number)
    source = gathering(DATA[::-1])
    assert send(pool, source) == 1
    assert env.files == {PATH: DATA[::-1]}


def test_streams_of_one_file_go_to_one_server(caplog: pytest.LogCaptureFixture) -> None:
    """Several servers may share an address: another host key is another server."""
    env = made_inbox()
    connect = env.connect

    def balanced(*args: Any, **more: Any) -> Any:
        connection = connect(*args, **more)
        connection.host_key_fingerprint = f"SHA256:{connection.number}"
        return connection

    env.connect = balanced  # type: ignore[method-assign] # two servers
    assert send(env.pool(2), gathering()) == 1
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert "another host key" in caplog.text


def test_another_server_is_asked_again_whatever_the_former_one_has_shown() -> None:
    env = made_inbox(kind=KeepsApart)
    pool = env.pool(2)
    assert send(pool, gathering()) == 1
    wait_for_streams()
    pool.drop(0)
    pool.drop(1)
    env.kind = ScriptedServer
    env.fingerprint = "SHA256:new"
    send(pool)
    wait_for_streams()
    assert send(pool, gathering()) == 2


def test_proof_over_connections_says_nothing_about_channels() -> None:
    env = made_inbox(channels=True)
    pool = env.pool(2)
    assert send(pool, gathering()) == 2
    wait_for_streams()
    assert pool.capabilities.supports_stream(1)
    assert not pool.capabilities.supports_stream(CHANNEL)


def test_channels_are_proven_over_channels() -> None:
    env = made_inbox(channels=True)
    pool = env.pool()
    assert send(pool, gathering()) == 2
    wait_for_streams()
    assert pool.capabilities.supports_stream(CHANNEL)
    assert not pool.capabilities.supports_stream(1)
    assert opens_of_probe(env, CHANNEL) == 2


@pytest.mark.parametrize(
    ("number", "kind"), [(1, Request.OPEN), (1, Request.READ), (1, Request.WRITE), (0, Request.OPEN)]
)
def test_server_that_refuses_the_proof_gets_one_stream(
    number: int, kind: Request, caplog: pytest.LogCaptureFixture
) -> None:
    def script(asked: Asked) -> bytes | None:
        refused = of_probe(asked) if kind == Request.OPEN else asked.kind == kind
        return status(asked, Status.FAILURE) if refused else None

    env = made_inbox(scripts={0: script, 1: script} if number == 0 else {number: script})
    pool = env.pool(2)
    assert send(pool, gathering()) == 1
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert len(caplog.records) == 1


def of_one_handle(monkeypatch: pytest.MonkeyPatch) -> Bytes:
    """A source that makes the first stream wait until it is to close its file, and then for the others."""
    asked = threading.Event()
    ask = Admission._ask_for_free_handle

    def ask_and_tell(admission: Admission) -> None:
        ask(admission)
        asked.set()

    monkeypatch.setattr(Admission, "_ask_for_free_handle", ask_and_tell)
    source = Bytes()
    source.until = lambda: source.is_gathered() if source.closed else asked.is_set()
    return source


@pytest.mark.parametrize("limit", [2, 3])
@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED])
def test_server_with_one_handle_for_each_connection_gets_streams(
    code: int, limit: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OneHandle, "code", code)
    env = made_inbox(kind=OneHandle)
    pool = env.pool(limit)
    assert send(pool, of_one_handle(monkeypatch)) == limit
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert caplog.records == []
    assert send(pool, gathering()) == limit, "and is not asked again"


def test_file_is_opened_although_the_file_of_the_proof_was_opened_before_it() -> None:
    env = made_inbox(kind=OneHandleAnsweredInAnyOrder)
    assert send(env.pool(2), most_streams=2) == 1
    assert env.files == {PATH: DATA}


def test_directory_that_nobody_may_write_to_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.OPEN else None

    env = made_inbox(scripts={0: script})
    pool = env.pool(2)
    with pytest.raises(RequestRefused, match=TEMPORARY):
        send(pool)
    wait_for_streams()
    assert pool.limit == 2
    assert caplog.records == []


def test_proof_leaves_nothing_when_the_file_cannot_be_opened() -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and not of_probe(asked)
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    env = made_inbox(scripts={0: script})
    with pytest.raises(RequestRefused, match=TEMPORARY):
        send(env.pool(2))
    wait_for_streams()
    assert env.files == {}
    assert env.connection(0).server._handles == {}


def test_proof_leaves_nothing_when_no_stream_comes_in_time() -> None:
    let_in = threading.Event()
    env = made_inbox(before_connect={1: let_in.wait})
    pool = env.pool(2)
    assert send(pool) == 1
    assert env.files == {PATH: DATA}
    assert env.connection(0).server._handles == {}
    let_in.set()
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 2


def test_server_that_is_lost_during_the_proof_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    def script(asked: Asked) -> bytes | None:
        return NOTHING if asked.kind == Request.WRITE and len(asked.payload) < 50 else None

    env = made_inbox(scripts={0: script})
    pool = env.pool(2)
    lost = send_part(pool).lost
    assert isinstance(lost, ConnectionLost)
    wait_for_streams()
    assert send(pool, temporary="inbox/.b.part") == 1
    assert not opens_of_probe(env)
    assert env.files[PATH] == DATA
    assert len(caplog.records) == 1


def test_stream_that_is_lost_during_the_proof_leaves_the_first_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = made_inbox(scripts={1: lambda asked: NOTHING if asked.kind == Request.READ else None})
    now = 0.0
    pool = env.pool(2, clock=lambda: now)
    assert send(pool, gathering()) == 1
    wait_for_streams()
    assert bytes(env.files[PATH]) == DATA
    assert pool.limit == 1
    assert len(caplog.records) == 1
    now = 600.0
    assert pool.limit == 2, "one cut cable says little"


@pytest.mark.parametrize("kind", [Request.OPEN, Request.WRITE, Request.CLOSE, Request.READ, Request.REMOVE])
def test_proof_that_is_cut_short_at_the_end_of_the_invocation_leaves_nothing(kind: Request) -> None:
    """The object was sent while the further stream was still busy with its half of the proof."""
    is_asked, is_sent = threading.Event(), threading.Event()

    def held(asked: Asked) -> bytes | None:
        if asked.kind == kind:
            is_asked.set()
            assert is_sent.wait(SOON)
        return None

    env = made_inbox(scripts={1: held})
    pool = env.pool(2)
    source = Bytes()
    source.until = is_asked.is_set
    sent = send_part(pool, source)
    lost = env.connection(1).server
    lost.script = lambda _asked: NOTHING
    pool.end_of_invocation(keep_first=True)
    is_sent.set()
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert sent.probe_may_stand, "what the further stream does now comes too late to be known of"


def test_proof_that_is_complete_leaves_nothing_to_look_after() -> None:
    env = made_inbox()
    sent = send_part(env.pool(2), gathering())
    assert sent.streams == 2
    assert not sent.probe_may_stand
    assert not send_part(env.pool(), most_streams=1).probe_may_stand


def test_file_of_the_proof_that_may_not_be_removed_is_known_to_stand() -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.REMOVE and "-probe" in asked.texts[0]
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    env = made_inbox(scripts={0: script, 1: script})
    sent = send_part(env.pool(2), gathering())
    wait_for_streams()
    assert sent.streams == 2
    assert sent.probe_may_stand
    assert set(env.files) == {PATH, "inbox/.a-probe.part"}


# --- what follows from it for resuming ---


def test_stream_that_was_called_off_does_not_disturb_the_question_whether_files_are_resumed() -> None:
    """It removes the file of the proof late: the file of the question must be another one."""
    is_asked, is_paused, is_begun = threading.Event(), threading.Event(), threading.Event()

    def held(asked: Asked) -> bytes | None:
        if asked.kind == Request.CLOSE:
            is_asked.set()
            assert is_begun.wait(SOON)
        return None

    def begun(asked: Asked) -> bytes | None:
        if asked.kind == Request.OPEN and is_paused.is_set():
            answer = env.connection(0).server.healthy(asked)
            is_begun.set()
            wait_for_streams()
            return answer
        return None

    env = made_inbox(scripts={0: begun, 1: held})
    pool = env.pool(2)
    paused = send_part(pool, stop=is_asked.is_set)
    assert not paused.complete
    is_paused.set()
    assert supports_resume(pool, resume_probe_name(TEMPORARY))
    assert set(env.files) == {TEMPORARY}


@pytest.mark.parametrize("channels", [True, False])
def test_file_is_resumed_where_the_server_shows_that_it_does(*, channels: bool) -> None:
    env = made_inbox(channels=channels)
    env.files[TEMPORARY] = bytearray(DATA[:5])
    pool = env.pool()
    assert pool.capabilities.resume is None
    send(pool, start=5, most_streams=1)
    assert env.files == {PATH: DATA}
    assert pool.capabilities.resume
    assert env.tried == ({0: 1, CHANNEL: 1} if channels else {0: 2})
    env.files[TEMPORARY] = bytearray(DATA[:5])
    send(pool, start=5, most_streams=1)
    opens = [path for each in env.made for (path,) in each.server.paths(Request.OPEN)]
    assert sum(path.endswith("-resume.part") for path in opens) == 3, "asked once"
    pool.drop(0)
    assert pool.capabilities.resume is None, "forgotten with the connection"


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_file_is_not_resumed_at_a_server_that_undoes_it(kind: type[ScriptedServer]) -> None:
    """The checkpoint was written at another server, or before this one was changed."""
    env = made_inbox(kind=kind)
    env.files[TEMPORARY] = bytearray(DATA[:5])
    with pytest.raises(CheckpointLost, match="does not keep what was written when a file is resumed"):
        send_part(env.pool(), start=5)
    assert env.files == {TEMPORARY: DATA[:5]}
