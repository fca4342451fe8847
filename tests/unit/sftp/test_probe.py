"""Two-byte probes show whether a server supports parallel writes and resume."""

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
from s3_to_sftp.sftp.temporary_names import probe_name, resume_probe_name
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
    assert_nothing_pending,
    framed,
    refusing,
    status,
)
from tests.support.sending import DATA, PATH, TEMPORARY, Bytes, gathering, send, send_part
from tests.support.sftp_environment import CHANNEL, SOON, SftpEnvironment, wait_for_streams

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
        """Probe whether two connections may write one file."""
        writers = probe.TwoWriters(NAME)

        def write_first() -> None:
            try:
                self.sessions[0].run_one(writers.first(self.sessions[0]))
            except Exception as error:  # noqa: BLE001 - the second raises it
                self.trouble = error

        thread = threading.Thread(target=write_first)
        thread.start()
        try:
            return self.sessions[1].run_one(writers.second(self.sessions[1]))
        finally:
            thread.join()

    def resume(self) -> bool:
        """Probe whether a later connection may resume a file."""
        self.sessions[0].run_one(probe.begin_file(self.sessions[0], NAME))
        return self.sessions[1].run_one(probe.resumes_file(self.sessions[1], NAME))

    def is_cleaned_up(self) -> bool:
        for session, server in zip(self.sessions, self.servers, strict=True):
            assert server.open_handles == set()
            assert_nothing_pending(session)
        return self.files == {}


RunProbe = Callable[[Pair], bool]
each_probe = pytest.mark.parametrize("run_probe", [Pair.parallel, Pair.resume])


@each_probe
def test_probe_passes_on_a_healthy_server(run_probe: RunProbe) -> None:
    pair = Pair()
    assert run_probe(pair)
    assert pair.is_cleaned_up()


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_parallel_probe_fails_on_a_server_that_undoes_other_writes(kind: type[ScriptedServer]) -> None:
    pair = Pair(kind)
    assert not pair.parallel()
    assert pair.is_cleaned_up()


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_resume_probe_fails_on_a_server_that_does_not_resume(kind: type[ScriptedServer]) -> None:
    pair = Pair(kind)
    assert not pair.resume()
    assert pair.is_cleaned_up()


def test_second_handle_is_opened_after_the_first_byte_is_acknowledged() -> None:
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


def test_resume_probe_uses_two_connections() -> None:
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
    ("run_probe", "where", "kind", "number"),
    [(run_probe, *request) for run_probe in REQUESTS for request in REQUESTS[run_probe]],
)


def pair_with(script: Script, where: int) -> Pair:
    return Pair(**{("first", "second")[where]: script})


@each_request
@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED])
def test_refused_probe_request_is_raised_and_leaves_no_file(
    code: int, kind: Request, number: int, where: int, run_probe: RunProbe
) -> None:
    def refused_after_it_was_done(asked: Asked) -> bytes | None:
        if (asked.kind, asked.number) != (kind, number):
            return None
        if kind == Request.CLOSE:
            pair.servers[where].healthy(asked)
        return status(asked, code)

    pair = pair_with(refused_after_it_was_done, where)
    with pytest.raises(RequestRefused):
        run_probe(pair)
    assert pair.is_cleaned_up()
    assert not any(session.is_over for session in pair.sessions)


@each_request
def test_unanswered_probe_request_raises_connection_lost(
    kind: Request, number: int, where: int, run_probe: RunProbe
) -> None:
    def script(asked: Asked) -> bytes | None:
        return NOTHING if (asked.kind, asked.number) == (kind, number) else None

    with pytest.raises(ConnectionLost, match="did not answer in time"):
        run_probe(pair_with(script, where))


@each_probe
def test_malformed_reply_to_a_probe_raises_protocol_violation(run_probe: RunProbe) -> None:
    def script(asked: Asked) -> bytes:
        return framed(250, asked.request_id.to_bytes(4, "big"))

    with pytest.raises(ProtocolViolation):
        run_probe(Pair(second=after_start(script)))


@each_probe
def test_probe_fails_when_other_bytes_are_read_back(run_probe: RunProbe) -> None:
    def script(asked: Asked) -> bytes | None:
        body = asked.request_id.to_bytes(4, "big") + b"\0\0\0\x03abc"
        return framed(Answer.DATA, body) if asked.kind == Request.READ else None

    assert not run_probe(Pair(second=script))


@each_probe
def test_refused_remove_does_not_change_the_probe_result(run_probe: RunProbe) -> None:
    assert run_probe(Pair(second=refusing(Request.REMOVE)))


@pytest.mark.parametrize("has_started", [False, True])
def test_cancelled_first_writer_leaves_no_file_and_releases_the_second(*, has_started: bool) -> None:
    pair = Pair()
    writers = probe.TwoWriters(NAME)
    if not has_started:
        writers.call_off()
    thread = threading.Thread(target=lambda: pair.sessions[0].run_one(writers.first(pair.sessions[0])))
    thread.start()
    if has_started:
        writers.wait_for_first()
        writers.call_off()
    thread.join()
    with pytest.raises(probe.CalledOff):
        pair.sessions[1].run_one(writers.second(pair.sessions[1]))
    assert pair.is_cleaned_up()


def test_second_writer_does_not_wait_for_a_closed_first_writer() -> None:
    pair = Pair()
    writers = probe.TwoWriters(NAME)
    conversation = writers.first(pair.sessions[0])
    conversation.send(None)
    conversation.close()
    with pytest.raises(probe.CalledOff):
        pair.sessions[1].run_one(writers.second(pair.sessions[1]))


# --- how the probe decides the number of streams ---


@pytest.fixture(autouse=True)
def wait_for_all_streams() -> Iterator[None]:
    yield
    wait_for_streams()


def probe_opens(env: SftpEnvironment, number: int = 0) -> int:
    return sum("-probe" in path for (path,) in env.connection(number).server.paths(Request.OPEN))


def opens_probe_file(asked: Asked) -> bool:
    return asked.kind == Request.OPEN and b"-probe" in asked.payload


def environment_with_inbox(**more: Any) -> SftpEnvironment:
    env = SftpEnvironment(proven=False, **more)
    env.disk.directories.add("inbox")
    return env


def test_streams_join_where_the_server_supports_parallel_writes(caplog: pytest.LogCaptureFixture) -> None:
    env = environment_with_inbox()
    pool = env.pool(3)
    assert send(pool, gathering()) == 3
    wait_for_streams()
    assert probe_opens(env) == 1
    assert probe_opens(env, 1) + probe_opens(env, 2) == 2
    assert env.files == {PATH: DATA}
    assert caplog.records == []
    env.connection(0).server.forget()
    assert send(pool, gathering()) == 3
    assert not probe_opens(env), "the result is remembered"


def test_single_stream_upload_is_not_probed() -> None:
    env = environment_with_inbox()
    send(env.pool())
    assert not probe_opens(env)


def test_first_stream_writes_as_soon_as_its_file_is_open() -> None:
    env = environment_with_inbox()
    send(env.pool(2))
    turns = env.connection(0).server.turns
    opening = next(place for place, turn in enumerate(turns) if Request.OPEN in turn)
    assert turns[opening] == [Request.OPEN] * 2
    assert set(turns[opening + 1]) == {Request.WRITE}
    assert env.connection(0).server.sizes[0] == 1, "the byte of the probe is sent before the data of the file"
    assert len(turns[opening + 1]) > 2


@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_file_in_a_new_directory_gets_parallel_streams(code: int, caplog: pytest.LogCaptureFixture) -> None:
    def vague(asked: Asked) -> bytes | None:
        missing = asked.kind == Request.OPEN and "inbox" not in env.disk.directories
        return status(asked, code) if missing else None

    env = SftpEnvironment(proven=False, scripts={0: vague})
    assert send(env.pool(2), gathering()) == 2
    assert env.files == {PATH: DATA}
    assert caplog.records == []


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_server_without_parallel_writes_gets_one_stream_permanently(
    kind: type[ScriptedServer], caplog: pytest.LogCaptureFixture
) -> None:
    env = environment_with_inbox(kind=kind)
    now = 0.0
    pool = env.pool(3, clock=lambda: now)
    for now in (0.0, 10_000.0):  # noqa: B007 - the clock above reads it
        assert send(pool, gathering()) == 1
        wait_for_streams()
        assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "using one connection per file" in caplog.text


def test_probe_result_is_forgotten_with_its_connection() -> None:
    """The server behind the address is replaced by one without parallel writes."""
    env = environment_with_inbox()
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
    env = environment_with_inbox()
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


def test_another_server_is_probed_again() -> None:
    env = environment_with_inbox(kind=KeepsApart)
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


def test_probe_over_connections_proves_nothing_about_channels() -> None:
    env = environment_with_inbox(channels=True)
    pool = env.pool(2)
    assert send(pool, gathering()) == 2
    wait_for_streams()
    assert pool.capabilities.supports_stream(1)
    assert not pool.capabilities.supports_stream(CHANNEL)


def test_channels_are_probed_over_channels() -> None:
    env = environment_with_inbox(channels=True)
    pool = env.pool()
    assert send(pool, gathering()) == 2
    wait_for_streams()
    assert pool.capabilities.supports_stream(CHANNEL)
    assert not pool.capabilities.supports_stream(1)
    assert probe_opens(env, CHANNEL) == 2


@pytest.mark.parametrize(
    ("number", "kind"), [(1, Request.OPEN), (1, Request.READ), (1, Request.WRITE), (0, Request.OPEN)]
)
def test_server_that_refuses_the_probe_gets_one_stream(
    number: int, kind: Request, caplog: pytest.LogCaptureFixture
) -> None:
    def script(asked: Asked) -> bytes | None:
        refused = opens_probe_file(asked) if kind == Request.OPEN else asked.kind == kind
        return status(asked, Status.FAILURE) if refused else None

    env = environment_with_inbox(scripts={0: script, 1: script} if number == 0 else {number: script})
    pool = env.pool(2)
    assert send(pool, gathering()) == 1
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 1
    assert len(caplog.records) == 1


def source_waiting_for_a_free_handle(monkeypatch: pytest.MonkeyPatch) -> Bytes:
    """A source whose first stream waits until it must close its file, and then for the other streams."""
    asked = threading.Event()
    ask = Admission._ask_for_free_handle

    def ask_and_note(admission: Admission) -> None:
        ask(admission)
        asked.set()

    monkeypatch.setattr(Admission, "_ask_for_free_handle", ask_and_note)
    source = Bytes()
    source.until = lambda: source.is_gathered() if source.closed else asked.is_set()
    return source


@pytest.mark.parametrize("limit", [2, 3])
@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED])
def test_server_with_one_handle_per_connection_gets_parallel_streams(
    code: int, limit: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OneHandle, "code", code)
    env = environment_with_inbox(kind=OneHandle)
    pool = env.pool(limit)
    assert send(pool, source_waiting_for_a_free_handle(monkeypatch)) == limit
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert caplog.records == []
    assert send(pool, gathering()) == limit, "and is not probed again"


def test_file_is_opened_when_the_probe_file_was_opened_first() -> None:
    env = environment_with_inbox(kind=OneHandleAnsweredInAnyOrder)
    assert send(env.pool(2), most_streams=2) == 1
    assert env.files == {PATH: DATA}


def test_read_only_directory_does_not_count_against_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.OPEN else None

    env = environment_with_inbox(scripts={0: script})
    pool = env.pool(2)
    with pytest.raises(RequestRefused, match=TEMPORARY):
        send(pool)
    wait_for_streams()
    assert pool.limit == 2
    assert caplog.records == []


def test_probe_leaves_no_file_when_the_upload_cannot_be_opened() -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and not opens_probe_file(asked)
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    env = environment_with_inbox(scripts={0: script})
    with pytest.raises(RequestRefused, match=TEMPORARY):
        send(env.pool(2))
    wait_for_streams()
    assert env.files == {}
    assert env.connection(0).server.open_handles == set()


def test_probe_leaves_no_file_when_no_stream_joins_in_time() -> None:
    let_in = threading.Event()
    env = environment_with_inbox(before_connect={1: let_in.wait})
    pool = env.pool(2)
    assert send(pool) == 1
    assert env.files == {PATH: DATA}
    assert env.connection(0).server.open_handles == set()
    let_in.set()
    wait_for_streams()
    assert env.files == {PATH: DATA}
    assert pool.limit == 2


def test_server_lost_during_the_probe_is_not_probed_again(caplog: pytest.LogCaptureFixture) -> None:
    def script(asked: Asked) -> bytes | None:
        return NOTHING if asked.kind == Request.WRITE and len(asked.payload) < 50 else None

    env = environment_with_inbox(scripts={0: script})
    pool = env.pool(2)
    lost = send_part(pool).lost
    assert isinstance(lost, ConnectionLost)
    wait_for_streams()
    assert send(pool, temporary="inbox/.b.part") == 1
    assert not probe_opens(env)
    assert env.files[PATH] == DATA
    assert len(caplog.records) == 1


def test_stream_lost_during_the_probe_does_not_affect_the_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = environment_with_inbox(scripts={1: lambda asked: NOTHING if asked.kind == Request.READ else None})
    now = 0.0
    pool = env.pool(2, clock=lambda: now)
    assert send(pool, gathering()) == 1
    wait_for_streams()
    assert bytes(env.files[PATH]) == DATA
    assert pool.limit == 1
    assert len(caplog.records) == 1
    now = 600.0
    assert pool.limit == 2, "one lost connection does not prove a limit"


@pytest.mark.parametrize("kind", [Request.OPEN, Request.WRITE, Request.CLOSE, Request.READ, Request.REMOVE])
def test_probe_interrupted_by_the_end_of_the_invocation_leaves_no_file(kind: Request) -> None:
    """The upload is complete while the further stream still runs its half of the probe."""
    is_asked, is_sent = threading.Event(), threading.Event()

    def held(asked: Asked) -> bytes | None:
        if asked.kind == kind:
            is_asked.set()
            assert is_sent.wait(SOON)
        return None

    env = environment_with_inbox(scripts={1: held})
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
    assert sent.probe_may_stand, "the further stream may still create it, unnoticed"


def test_completed_probe_is_not_reported_as_possibly_left() -> None:
    env = environment_with_inbox()
    sent = send_part(env.pool(2), gathering())
    assert sent.streams == 2
    assert not sent.probe_may_stand
    assert not send_part(env.pool(), most_streams=1).probe_may_stand


def test_probe_file_that_cannot_be_removed_is_reported() -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.REMOVE and "-probe" in asked.texts[0]
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    env = environment_with_inbox(scripts={0: script, 1: script})
    sent = send_part(env.pool(2), gathering())
    wait_for_streams()
    assert sent.streams == 2
    assert sent.probe_may_stand
    assert set(env.files) == {PATH, probe_name(TEMPORARY)}


# --- how the probe decides whether a file is resumed ---


def test_cancelled_stream_does_not_disturb_the_resume_probe() -> None:
    """It removes the file of the parallel probe late: the resume probe must use another name."""
    is_asked, is_stopped, is_created = threading.Event(), threading.Event(), threading.Event()

    def held(asked: Asked) -> bytes | None:
        if asked.kind == Request.CLOSE:
            is_asked.set()
            assert is_created.wait(SOON)
        return None

    def create_late(asked: Asked) -> bytes | None:
        if asked.kind == Request.OPEN and is_stopped.is_set():
            answer = env.connection(0).server.healthy(asked)
            is_created.set()
            wait_for_streams()
            return answer
        return None

    env = environment_with_inbox(scripts={0: create_late, 1: held})
    pool = env.pool(2)
    stopped = send_part(pool, stop=is_asked.is_set)
    assert not stopped.complete
    is_stopped.set()
    assert supports_resume(pool, resume_probe_name(TEMPORARY))
    assert set(env.files) == {TEMPORARY}


@pytest.mark.parametrize("channels", [True, False])
def test_file_is_resumed_where_the_resume_probe_passes(*, channels: bool) -> None:
    env = environment_with_inbox(channels=channels)
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
    assert sum(path.endswith("-resume.part") for path in opens) == 3, "probed once"
    pool.drop(0)
    assert pool.capabilities.resume is None, "forgotten with the connection"


@pytest.mark.parametrize("kind", [KeepsApart, KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets])
def test_file_is_not_resumed_where_the_resume_probe_fails(kind: type[ScriptedServer]) -> None:
    """The checkpoint was written on another server, or before this one was changed."""
    env = environment_with_inbox(kind=kind)
    env.files[TEMPORARY] = bytearray(DATA[:5])
    with pytest.raises(CheckpointLost, match="does not keep what was written when a file is resumed"):
        send_part(env.pool(), start=5)
    assert env.files == {TEMPORARY: DATA[:5]}
