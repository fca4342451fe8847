"""What a fresh function does with what others have learned of the server, and what it tells in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials, FixedCredentials, OtherLogin
from s3_to_sftp.diagnosis import handshake, login
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    LoginRefused,
    PartnerUnreachable,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.sftp.client import SftpClient, SmallFile
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Request, Status
from s3_to_sftp.sftp.stream_admission import Admission
from s3_to_sftp.sftp.upload_request import TransferTuning, UploadRequest
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.known_servers import MemoryKnownServers
from tests.support.odd_servers import IgnoresOffsets, KeepsConnectionsApart, OneHandle, WipesAtOpen
from tests.support.scripted_server import Asked, ScriptedServer, status
from tests.support.sending import DATA, SEGMENT, TEMPORARY, Bytes, at, waiting_for
from tests.support.sftp_environment import (
    CHANNEL,
    SERVER,
    SOON,
    SftpEnvironment,
    stream_number,
    wait_for_streams,
)

STREAMS = 4
ANY_DISTANCE = TransferTuning(
    aim_bytes_per_second=1e15, min_bytes_per_stream=1, segment_bytes=SEGMENT, last_segment_bytes=SEGMENT
)
LOGIN_NAME = "e3b0c44298fc1c14"  # SHA-256 of no version: the login of an environment
KNOWN = KnownServer(
    host_key="SHA256:abc",
    version="SSH-2.0-scripted",
    login=LOGIN_NAME,
    method="publickey",
    extensions=(LIMITS, POSIX_RENAME),
    round_trip=0.1,
    connections=STREAMS,
    streams=True,
)


@pytest.fixture
def env() -> SftpEnvironment:
    return SftpEnvironment(proven=False, tuning=ANY_DISTANCE)


@pytest.fixture
def known() -> MemoryKnownServers:
    return MemoryKnownServers(KNOWN)


def client_of(
    env: SftpEnvironment, known: MemoryKnownServers, streams: int = STREAMS, **more: Any
) -> SftpClient:
    return env.client(streams, known=known, **more)


def upload(client: SftpClient) -> int:
    """Send the object under its temporary name; return the number of its streams."""
    sent = client.upload(UploadRequest(source=Bytes(DATA), temporary=TEMPORARY))
    assert sent.complete
    return sent.streams


def send_small(client: SftpClient) -> None:
    file = SmallFile("ticket", "report.csv", ".report.csv.part", b"1,2", aside=".report.csv.old")
    assert [error for _, error in client.send_small([file])] == [None]


# --- all streams at once ---


def all_tried(env: SftpEnvironment, numbers: range) -> Callable[[], None]:
    def wait() -> None:
        for number in numbers:
            assert arrived[number].wait(SOON), "the streams wait for the first login"

    arrived = {number: threading.Event() for number in numbers}
    for number in numbers:
        env.before_connect[number] = arrived[number].set
    return wait


def test_known_server_gets_all_connections_before_the_first_login(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    env.before_accepting[0] = all_tried(env, range(1, STREAMS))
    upload(client_of(env, known))
    wait_for_streams()
    assert env.files[TEMPORARY] == DATA
    assert known.forgotten == []


def test_no_stream_connects_before_the_first_connection(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    tried: list[int] = []
    env.before_connect[0] = lambda: tried.extend(env.tried)
    env.before_accepting[0] = all_tried(env, range(1, STREAMS))
    upload(client_of(env, known))
    wait_for_streams()
    assert tried == [0]


@pytest.mark.parametrize(
    "what",
    [
        {"at_once": False},  # the circuit breaker is open
        {"known": None},
        {"known": replace(KNOWN, login="of another version of the secret")},
        {"known": replace(KNOWN, connections=1)},
        {"known": replace(KNOWN, at_once=1)},
    ],
)
def test_streams_wait_for_the_first_login_where_it_is_not_known_to_succeed(
    what: dict[str, Any], env: SftpEnvironment
) -> None:
    tried: list[int] = []
    env.before_accepting[0] = lambda: tried.extend(env.tried)
    upload(client_of(env, MemoryKnownServers(**{"known": KNOWN, **what})))
    wait_for_streams()
    assert tried == [0]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_never_more_connections_than_the_partner_allows(
    limit: int, env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    upload(client_of(env, known, limit))
    wait_for_streams()
    assert set(env.tried) <= {CHANNEL, *range(limit)}


def test_streams_log_in_as_soon_as_the_first_login_is_accepted(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    sent = threading.Event()
    env.before_accepting[1] = sent.set
    env.before_channel[0] = lambda: sent.wait(SOON) or pytest.fail("they wait for the first channel")
    upload(client_of(env, known))
    wait_for_streams()


def test_refused_login_is_sent_once(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    wait = all_tried(env, range(1, STREAMS))

    def refuse() -> None:
        wait()
        raise LoginRefused("no.", hint="")

    env.before_accepting[0] = refuse
    with pytest.raises(LoginRefused):
        upload(client_of(env, known))
    wait_for_streams()
    assert len(env.logins) == 1
    assert known.known is None


def test_streams_take_the_login_that_is_accepted_in_place_of_a_refused_one(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    old, new = Credentials(username="u", password="old"), Credentials(username="u", password="new")

    class Rotated(FixedCredentials):
        def other_than(self, _refused: Credentials) -> OtherLogin:
            return OtherLogin(new, "AWSPENDING")

    wait = all_tried(env, range(1, STREAMS))

    def refuse_old() -> None:
        if env.logins == [old]:
            wait()
            raise LoginRefused("no.", hint="")

    env.before_accepting[0] = refuse_old
    client = SftpClient(
        SERVER,
        Rotated(old),
        timeouts=Timeouts(),
        max_connections=STREAMS,
        connect=env.connect,
        tuning=ANY_DISTANCE,
        known=known,
    )
    upload(client)
    wait_for_streams()
    assert env.logins.count(old) == 1
    assert env.files[TEMPORARY] == DATA
    assert client._pool.limit == STREAMS, "no stream is disabled"


def test_refused_login_opens_no_further_connection(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    refused = threading.Event()

    def refuse() -> None:
        raise LoginRefused("no.", hint="")

    env.before_accepting[0] = refuse
    client = client_of(env, known)
    open_stream = client._pool._connector._open_stream

    def late(*args: Any, **more: Any) -> Any:
        assert refused.wait(SOON)
        return open_stream(*args, **more)

    client._pool._connector._open_stream = late  # type: ignore[method-assign]
    with pytest.raises(LoginRefused):
        upload(client)
    refused.set()
    wait_for_streams()
    assert dict(env.tried) == {0: 1}


def test_stream_that_begins_after_the_refusal_sends_no_login(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    refused = threading.Event()

    def refuse() -> None:
        raise LoginRefused("no.", hint="")

    env.before_accepting[0] = refuse
    client = client_of(env, known)
    open_stream = client._pool._connector.open_stream

    def late(login: Credentials) -> Any:
        assert refused.wait(SOON)
        return open_stream(login)

    client._pool._connector.open_stream = late  # type: ignore[method-assign]
    with pytest.raises(LoginRefused):
        upload(client)
    refused.set()
    wait_for_streams()
    assert len(env.logins) == 1


def test_failed_connection_lets_no_stream_wait(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    def fail() -> None:
        raise PartnerUnreachable("away.", hint="")

    env.before_connect[0] = fail
    with pytest.raises(PartnerUnreachable):
        upload(client_of(env, known))
    wait_for_streams()
    assert env.logins == []


# --- the proof is made all the same ---


def test_probe_is_made_although_its_result_is_known(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    client = client_of(env, known)
    assert upload(client) > 1
    wait_for_streams()
    probes = [path for each in env.made for (path,) in each.server.paths(Request.REMOVE)]
    assert any("probe" in path for path in probes)
    client.end_of_invocation(keep_first=False)
    assert known.known is not None
    assert known.known.streams


@pytest.mark.parametrize("kind", [KeepsConnectionsApart, WipesAtOpen, IgnoresOffsets, OneHandle])
def test_file_is_whole_at_a_server_that_no_longer_keeps_writes_together(
    kind: type[ScriptedServer], env: SftpEnvironment
) -> None:
    env.kind = kind
    for _ in range(5):  # which streams join before the result of the probe is a matter of chance
        env.files.clear()
        client = client_of(env, MemoryKnownServers(KNOWN))
        sent = client.upload(UploadRequest(source=Bytes(DATA), temporary=TEMPORARY))
        wait_for_streams()
        assert sent.complete
        assert env.files[sent.temporary] == DATA
        client.close()


def test_streams_that_write_before_the_result_do_not_count_without_it(env: SftpEnvironment) -> None:
    joined, refused = threading.Event(), threading.Event()
    known = MemoryKnownServers(KNOWN)
    client = client_of(env, known, 3)
    joins = Admission._joins_unproven

    def is_probe(asked: Asked) -> bool:
        return asked.kind == Request.OPEN and "probe" in asked.texts[0]

    def script(asked: Asked) -> bytes | None:
        # The stream that does the second half of the probe waits until another one writes without it.
        if stream_number() and is_probe(asked):
            assert joined.wait(SOON)
            refused.set()
            return status(asked, Status.PERMISSION_DENIED)
        return None

    def note(admission: Admission, number: int) -> bool:
        joined.set()
        return joins(admission, number)

    env.scripts = {1: script, 2: script}
    Admission._joins_unproven = note  # type: ignore[method-assign]
    try:
        sent = client.upload(UploadRequest(source=Bytes(DATA), temporary=TEMPORARY))
        wait_for_streams()
    finally:
        Admission._joins_unproven = joins  # type: ignore[method-assign]
    assert refused.is_set()
    assert sent.complete
    assert sent.temporary != TEMPORARY, "it was written again, alone"
    assert sent.streams == 1
    assert env.files[sent.temporary] == DATA
    assert known.forgotten


def function(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    """Send the object from a fresh function, which remembers what it has learned."""
    client = client_of(env, known)
    upload(client)
    wait_for_streams()
    client.end_of_invocation(keep_first=False)
    client.close()


def test_server_that_takes_one_stream_is_not_asked_again(env: SftpEnvironment) -> None:
    env.kind = WipesAtOpen
    known = MemoryKnownServers(replace(KNOWN, streams=None))
    for _ in range(100):  # the first stream may have written everything before another one asks
        function(env, known)
        if known.known is not None and known.known.streams is False:
            break
    assert known.forgotten == []
    env.tried.clear()
    assert known.known is not None
    known.known = replace(KNOWN, streams=known.known.streams)
    function(env, known)
    assert dict(env.tried) == {0: 1}


# --- less is asked ---


def test_first_requests_travel_with_init(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    upload(client_of(env, known, 1))
    assert env.made[0].server.turns[0] == [Request.INIT, Request.EXTENDED, Request.OPEN, Request.OPEN]


def test_small_files_wait_for_the_start(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    send_small(client_of(env, known))
    assert env.made[0].server.turns[0] == [Request.INIT, Request.EXTENDED]
    assert env.files["report.csv"] == b"1,2"


@pytest.mark.parametrize("send", [upload, send_small])
def test_server_that_minds_is_asked_as_before(
    send: Callable[[SftpClient], Any], env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    class Minds(ScriptedServer):
        def recv(self) -> bytes:
            if env.hints[0] is not None and len(env.hints) == 1:
                raise EOFError
            return super().recv()

    env.kind = Minds
    send(client_of(env, known, 1))
    assert env.hints == [KNOWN, None]
    assert known.forgotten
    assert known.by_shortcut


def test_streams_that_were_opened_for_a_lost_connection_write_to_the_new_name(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    first: list[ScriptedServer] = []

    class Minds(ScriptedServer):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            if not stream_number() and not first:
                first.append(self)

        def recv(self) -> bytes:
            if self is first[0]:
                raise EOFError
            return super().recv()

    env.kind = Minds
    env.before_accepting[0] = all_tried(env, range(1, STREAMS))
    source = Bytes(DATA)
    source.until = source.is_gathered
    sent = client_of(env, known).upload(UploadRequest(source=source, temporary=TEMPORARY))
    wait_for_streams()
    assert sent.complete
    assert sent.temporary != TEMPORARY
    assert env.files[sent.temporary] == DATA


class WakesUpLate(ScriptedServer):
    """Loses the first connection before it answers; what that was sent is carried out at each later CLOSE."""

    hung: list[WakesUpLate] = []  # noqa: RUF012 - of one test at a time
    sent: list[Any]

    def send(self, pieces: Any) -> None:
        if not self.hung:
            self.sent = list(map(bytes, pieces))
            self.hung.append(self)
        elif self is not self.hung[0]:
            super().send(pieces)

    def recv(self) -> bytes:
        if self is self.hung[0]:
            raise EOFError
        return super().recv()

    def _close(self, asked: Asked) -> bytes:
        answer = super()._close(asked)
        self.hung[0].broken = None  # it has not noticed that nobody listens
        ScriptedServer.send(self.hung[0], self.hung[0].sent)
        return answer


@pytest.mark.parametrize("path", ["", TEMPORARY], ids=["temporary name", "final name"])
def test_open_that_was_not_answered_does_not_empty_the_file_later(
    path: str, env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    env.kind, WakesUpLate.hung = WakesUpLate, []
    client = client_of(env, known, 1)
    request = UploadRequest(source=Bytes(DATA), temporary=TEMPORARY, path=path, most_streams=1)
    sent = client.upload(request)
    assert sent.complete
    assert env.hints == [KNOWN, None]
    assert env.files[sent.temporary] == DATA
    assert sent.probe_may_stand, "something may be left under the first name"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (login.LOST_DURING_LOGIN.error(PartnerUnreachable, server="s", error="e"), 1),
        (login.CLOSED_DURING_LOGIN.error(LoginRefused, server="s", user="u"), 1),
        (SftpNotStarted("no SFTP.", hint=""), 1),
        (LoginRefused("no.", hint=""), 0),
        (handshake.CLOSED_AT_ONCE.error(PartnerUnreachable, server="s"), 0),
        (handshake.RESET_AT_ONCE.error(PartnerUnreachable, server="s"), 0),
        (handshake.SILENT.error(PartnerUnreachable, server="s", seconds=15), 0),
        (TooManyConnections("full.", hint=""), 0),
    ],
)
def test_failure_of_a_known_server_is_tried_without_what_is_known_where_that_may_be_why(
    error: DeliveryError, again: int, env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    def fail() -> None:
        if env.hints[-1] is not None:
            raise error

    env.before_accepting[0] = fail
    client = client_of(env, known, 1)
    if again:
        upload(client)
    else:
        with pytest.raises(type(error)):
            upload(client)
    assert len(env.hints) == 1 + again
    assert known.known is None
    assert known.by_shortcut == bool(again)
    assert known.unheard == (error.cause in handshake.HEARD_NOTHING)


@pytest.mark.parametrize(
    "error",
    [
        login.LOST_DURING_LOGIN.error(PartnerUnreachable, server="s", error="e"),
        login.CLOSED_DURING_LOGIN.error(LoginRefused, server="s", user="u"),
    ],
)
@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_password_over_which_a_server_hangs_up_is_sent_once(
    method: str, error: DeliveryError, env: SftpEnvironment
) -> None:
    def fail() -> None:
        raise error

    known = MemoryKnownServers(replace(KNOWN, method=method))
    env.before_accepting[0] = fail
    with pytest.raises(type(error)):
        upload(client_of(env, known))
    wait_for_streams()
    assert len(env.logins) == 1
    assert known.known is None


def test_connection_that_is_lost_after_the_password_was_accepted_is_made_again(env: SftpEnvironment) -> None:
    def fail() -> None:
        if env.hints[0] is not None and len(env.hints) == 1:
            raise login.LOST_DURING_LOGIN.error(PartnerUnreachable, server="s", error="e")

    env.before_channel[0] = fail
    upload(client_of(env, MemoryKnownServers(replace(KNOWN, method="password")), 1))
    assert len(env.hints) == 2


def test_server_that_falls_silent_is_asked_as_before_by_the_next_attempt(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    def fail() -> None:
        raise login.NO_ANSWER_TO_LOGIN.error(PartnerUnreachable, server="s", user="u")

    env.before_accepting[0] = fail
    with pytest.raises(PartnerUnreachable):
        upload(client_of(env, known, 1))
    assert len(env.hints) == 1
    assert known.by_shortcut


def test_refused_shortcuts_are_not_used(env: SftpEnvironment) -> None:
    upload(client_of(env, MemoryKnownServers(replace(KNOWN, refuses_shortcuts=True))))
    wait_for_streams()
    assert set(env.hints) == {None}


# --- what contradicts it, and what is learned ---


@pytest.mark.parametrize("other", [{"fingerprint": "SHA256:other"}, {"version": "SSH-2.0-newer"}])
def test_another_server_is_not_taken_for_the_known_one(
    other: dict[str, str], env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    vars(env).update(other)
    upload(client_of(env, known))
    wait_for_streams()
    assert known.forgotten


def test_refused_stream_is_a_contradiction(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    def refuse() -> None:
        raise ConnectionLost("too many.", hint="")

    env.before_connect[STREAMS - 1] = refuse
    client = client_of(env, known)
    upload(client)
    wait_for_streams()
    assert known.forgotten
    client.end_of_invocation(keep_first=False)
    assert known.known is not None
    assert 0 < known.known.at_once < STREAMS
    assert known.known.connections < STREAMS


def test_connections_that_are_still_logging_in_count_as_accepted_at_once(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    is_noted = threading.Event()
    forget = known.forget

    def note(reason: str, **more: Any) -> None:
        forget(reason, **more)
        is_noted.set()

    def refuse() -> None:
        raise ConnectionLost("too many.", hint="")

    known.forget = note  # type: ignore[method-assign]
    env.before_connect[STREAMS - 1] = refuse
    env.before_channel = dict.fromkeys(range(1, STREAMS - 1), waiting_for(is_noted))
    client = client_of(env, known)
    upload(client)
    wait_for_streams()
    client.end_of_invocation(keep_first=False)
    assert known.known is not None
    assert (known.known.at_once, known.known.connections) == (STREAMS - 1, STREAMS - 1)


def test_connection_that_we_close_ourselves_is_no_contradiction(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    reads, is_closed = threading.Event(), threading.Event()
    env.scripts[1] = at(Request.READ, 1, lambda: (reads.set(), waiting_for(is_closed)()))
    source = Bytes()
    source.until = reads.is_set
    client = client_of(env, known, 2)
    client.upload(UploadRequest(source=source, temporary=TEMPORARY))
    client.end_of_invocation(keep_first=True)
    is_closed.set()
    wait_for_streams()
    assert known.forgotten == []
    assert client._pool.streams(1) == [1]


def test_refused_connections_are_not_reported_as_accepted_later(
    env: SftpEnvironment, known: MemoryKnownServers
) -> None:
    def refuse() -> None:
        raise ConnectionLost("too many.", hint="")

    now = 0.0
    client = client_of(env, known, clock=lambda: now)
    reported = []
    for _ in range(2):
        upload(client)
        wait_for_streams()
        client.end_of_invocation(keep_first=True)
        assert known.known is not None
        reported.append(known.known.connections)
        env.before_connect = {2: refuse, 3: refuse}
    now = 3600.0  # the pause after a refusal is over; no connection has been retried yet
    send_small(client)
    client.end_of_invocation(keep_first=True)
    assert known.known is not None
    reported.append(known.known.connections)
    assert reported == [STREAMS, 2, 2]


def test_extension_that_is_gone_is_a_contradiction(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    env.extensions = {LIMITS: b"1"}
    client = client_of(env, known, 1)
    upload(client)
    client.end_of_invocation(keep_first=False)
    assert known.forgotten


def test_extension_that_is_gone_is_told_once(env: SftpEnvironment, known: MemoryKnownServers) -> None:
    env.extensions = {LIMITS: b"1"}
    client = client_of(env, known, 1)
    upload(client)
    for _ in range(3):
        client.end_of_invocation(keep_first=True)
    assert len(known.forgotten) == 1


@pytest.mark.parametrize("connections", [0, 1])
def test_item_that_says_nothing_of_connections_opens_none_at_once(
    connections: int, env: SftpEnvironment
) -> None:
    tried: list[int] = []
    env.before_accepting[0] = lambda: tried.extend(env.tried)
    upload(client_of(env, MemoryKnownServers(replace(KNOWN, connections=connections))))
    wait_for_streams()
    assert tried == [0]


def test_open_files_that_a_server_accepts_are_learned_and_used(env: SftpEnvironment) -> None:
    opened = 0

    def script(asked: Asked) -> bytes | None:
        nonlocal opened
        opened += (asked.kind == Request.OPEN) - (asked.kind == Request.CLOSE)
        return None

    env.scripts[0] = script
    known = MemoryKnownServers(replace(KNOWN, files=2))
    client = client_of(env, known)
    most = 0
    files = (SmallFile(n, f"{n}.csv", f".{n}.part", b"1", aside=f".{n}.old") for n in range(8))
    for _, error in client.send_small(files):
        assert error is None
        most = max(most, opened)
    assert most <= 2
    client.end_of_invocation(keep_first=False)
    assert known.known is not None
    assert known.known.files == 2


def test_limit_of_open_files_found_by_others_is_not_reported(env: SftpEnvironment) -> None:
    known = MemoryKnownServers(replace(KNOWN, files=2))
    reported: list[int] = []
    learn = known.learn

    def note(shown: KnownServer | None) -> None:
        assert shown is not None
        reported.append(shown.files)
        learn(shown)

    known.learn = note  # type: ignore[method-assign]
    now = 0.0
    client = client_of(env, known, clock=lambda: now)
    for _ in range(2):
        send_small(client)
        client.end_of_invocation(keep_first=True)
        now += 600.0  # then twice as many are sent at a time
    assert reported == [0, 4]


def test_one_file_does_not_show_how_many_may_be_open(env: SftpEnvironment) -> None:
    known = MemoryKnownServers()
    client = client_of(env, known)
    send_small(client)
    client.end_of_invocation(keep_first=False)
    assert known.known is not None
    assert known.known.files == 0


def test_nothing_is_told_of_a_server_that_was_not_reached(known: MemoryKnownServers) -> None:
    told: list[KnownServer | None] = []
    known.learn = told.append  # type: ignore[method-assign]
    client = SftpEnvironment().client(known=known)
    client.end_of_invocation(keep_first=False)
    assert told == [None]
