"""A warm connection is reused while its login is current and it answers, and replaced otherwise."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials, OtherLogin
from s3_to_sftp.errors import (
    ConnectionLost,
    CredentialsError,
    LoginRefused,
    PartnerUnreachable,
    PasswordExpired,
    TooManyConnections,
)
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import Connect, Connection
from s3_to_sftp.sftp.connector import HANDSHAKES_AT_A_TIME, Connector
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.known_servers import MemoryKnownServers
from tests.support.sftp_environment import CHANNEL, SERVER, SOON, stream_number, wait_for_streams

OLD = Credentials(username="u", password="old")
NEW = Credentials(username="u", password="new")


@dataclass
class FakeConnection:
    """A connection whose health a test sets."""

    login: Credentials
    number: int
    looks_open: bool = True
    answers: bool = True
    pings: int = 0
    closed: bool = False
    channels: list[FakeConnection] = field(default_factory=list)
    host_key_fingerprint: str = "SHA256:abc"
    round_trip: float = 0.02
    is_windows: bool = False
    has_started: bool = True

    @property
    def session(self) -> FakeConnection:
        return self

    def is_open(self) -> bool:
        return self.looks_open and not self.closed

    def ping(self) -> None:
        self.pings += 1
        if not self.answers:
            raise ConnectionLost("silent.", hint="")

    def close(self) -> None:
        self.closed = True

    def another_channel(self) -> FakeConnection:
        self.channels.append(FakeConnection(self.login, stream_number()))
        return self.channels[-1]


@dataclass
class FakePartner:
    """Connects, and refuses the passwords in `refuses`."""

    refuses: dict[str, Exception] = field(default_factory=dict)
    tried: list[Credentials] = field(default_factory=list)
    made: list[FakeConnection] = field(default_factory=list)
    on_connect: Callable[[], object] = lambda: None

    def connect(
        self,
        server: Server,
        login: Credentials,
        timeouts: Timeouts,
        logged_in: Callable[[float], None] = lambda _round_trip: None,
    ) -> Any:
        assert server == SERVER
        self.tried.append(login)
        self.on_connect()
        if login.password in self.refuses:
            raise self.refuses[login.password]
        logged_in(0.3)
        self.made.append(FakeConnection(login, stream_number()))
        return self.made[-1]


@dataclass
class FakeSecret:
    """The cached login, and the one that is in the secret now.

    Attributes:
        other: What may be tried where that one is refused.
        told: What the pool has told of logins.
    """

    cached: Credentials = OLD
    real: Credentials = OLD
    reads: int = 0
    other: OtherLogin | None = None
    told: list[tuple[str, str]] = field(default_factory=list)
    version: str = ""
    fallback: str = ""

    def renew(self) -> None:
        pass

    def other_than(self, refused: Credentials) -> OtherLogin | None:
        fresh = self.refreshed()
        return self.other if fresh == refused else OtherLogin(fresh, "AWSCURRENT")

    def accepted(self, login: Credentials) -> None:
        self.told.append(("accepted", login.password))
        self.cached = login  # as the secret does with one that it has offered

    def refused(self, login: Credentials) -> None:
        self.told.append(("refused", login.password))

    def current(self) -> Credentials:
        return self.cached

    def refreshed(self) -> Credentials:
        self.reads += 1
        self.cached = self.real
        return self.real


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def partner() -> FakePartner:
    return FakePartner()


@pytest.fixture
def secret() -> FakeSecret:
    return FakeSecret()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(partner: FakePartner, secret: FakeSecret, clock: Clock) -> Iterator[ConnectionPool]:
    connect: Connect = partner.connect  # type: ignore[assignment] # its connections are fakes
    yield ConnectionPool(SERVER, secret, timeouts=Timeouts(), limit=8, connect=connect, clock=clock)
    wait_for_streams()


def refused() -> LoginRefused:
    return LoginRefused("no.", hint="")


# --- a session limit that looks like a wrong password ---


def test_refusal_of_a_recently_accepted_login_is_too_many_connections(
    pool: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    pool.first()
    pool.drop(0)
    partner.refuses["old"] = refused()
    clock.now += 119
    with pytest.raises(TooManyConnections, match="accepted 119 s before"):
        pool.first()
    clock.now += 1
    with pytest.raises(LoginRefused):
        pool.first()


def test_refusal_of_a_login_never_accepted_is_login_refused(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    pool.first()
    secret.cached = secret.real = NEW
    partner.refuses["new"] = refused()
    with pytest.raises(LoginRefused):
        pool.first()


def test_expired_password_is_not_reported_as_too_many_connections(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    pool.first()
    pool.drop(0)
    partner.refuses["old"] = PasswordExpired("change it.", hint="")
    with pytest.raises(PasswordExpired):
        pool.first()


# --- connection 0 ---


def test_first_connection_is_new(pool: ConnectionPool, partner: FakePartner) -> None:
    assert pool.first() is partner.made[0]  # type: ignore[comparison-overlap] # it is a fake
    assert not pool.reused
    assert pool.host_key_fingerprint == "SHA256:abc"


def test_recently_used_connection_is_reused_without_a_ping(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    assert pool.first() is pool.first()
    assert pool.reused
    assert partner.made[0].pings == 0


def test_idle_connection_must_answer_a_ping(pool: ConnectionPool, partner: FakePartner, clock: Clock) -> None:
    first = pool.first()
    clock.now += 60
    assert pool.first() is first
    assert partner.made[0].pings == 1


def test_idle_time_counts_from_the_last_touch(
    pool: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    pool.first()
    clock.now += 600
    pool.touch(0)
    clock.now += 1
    pool.first()
    assert partner.made[0].pings == 0


def test_unresponsive_connection_is_closed_and_replaced(
    pool: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    old = pool.first()
    partner.made[0].answers = False
    clock.now += 60
    assert pool.first() is not old
    assert partner.made[0].closed
    assert not pool.reused


def test_closed_connection_is_replaced_without_a_ping(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    partner.made[0].looks_open = False
    pool.first()
    assert len(partner.made) == 2
    assert partner.made[0].closed
    assert partner.made[0].pings == 0


def test_connections_of_a_replaced_login_are_closed(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    pool.first()
    pool.stream(1)
    secret.cached = NEW
    pool.first()
    pool.stream(1)
    assert [connection.closed for connection in partner.made] == [True, True, False, False]
    assert [connection.login for connection in partner.made] == [OLD, OLD, NEW, NEW]


def test_dropped_connection_is_closed_and_not_reused(pool: ConnectionPool, partner: FakePartner) -> None:
    old = pool.first()
    pool.drop(0)
    pool.drop(0)
    assert partner.made[0].closed
    assert pool.first() is not old


def test_close_closes_all_connections(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    pool.stream(1)
    pool.stream(5)
    pool.close()
    assert all(connection.closed for connection in partner.made)


def test_stream_that_connects_after_close_is_closed(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    connecting, let_in = threading.Event(), threading.Event()

    def wait() -> None:
        connecting.set()
        assert let_in.wait(SOON)

    partner.on_connect = wait
    late = in_stream(1, lambda: pool.stream(1))
    assert connecting.wait(SOON)
    pool.close()
    let_in.set()
    wait_for_streams([late])
    assert [connection.closed for connection in partner.made] == [True, True]


@pytest.mark.parametrize("error", [refused(), CredentialsError("wrong passphrase.", hint="")])
def test_refused_login_is_read_again_from_the_secret_once(
    error: Exception, pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    partner.refuses = {"old": error}
    secret.real = NEW
    pool.first()
    assert partner.tried == [OLD, NEW]
    assert secret.reads == 1


def test_connection_with_a_rotated_login_is_reused(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    partner.refuses = {"old": refused()}
    secret.real = NEW
    assert pool.first() is pool.first()
    assert secret.reads == 1


def test_unchanged_login_is_not_tried_twice(pool: ConnectionPool, partner: FakePartner) -> None:
    partner.refuses = {"old": refused()}
    with pytest.raises(LoginRefused):
        pool.first()
    assert partner.tried == [OLD]


def test_refusal_of_the_rotated_login_is_raised(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    partner.refuses = {"old": refused(), "new": refused()}
    secret.real = NEW
    with pytest.raises(LoginRefused):
        pool.first()
    assert partner.tried == [OLD, NEW]


def test_unreachable_partner_does_not_cause_a_secret_read(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    partner.refuses = {"old": PartnerUnreachable("down.", hint="")}
    with pytest.raises(PartnerUnreachable):
        pool.first()
    assert secret.reads == 0


def test_pool_connects_again_after_a_failed_connection(pool: ConnectionPool, partner: FakePartner) -> None:
    partner.refuses = {"old": PartnerUnreachable("down.", hint="")}
    with pytest.raises(PartnerUnreachable):
        pool.first()
    partner.refuses = {}
    assert pool.first() is partner.made[0]  # type: ignore[comparison-overlap] # it is a fake
    assert not pool.reused


def test_logged_in_is_called_before_a_new_connection_is_ready(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    seen: list[tuple[float, int]] = []
    pool.first(lambda round_trip: seen.append((round_trip, len(partner.made))))
    assert seen == [(0.3, 0)], "before the connection is ready"
    pool.first(lambda round_trip: seen.append((round_trip, len(partner.made))))
    assert seen[1:] == [(0.02, 1)], "at once, with what the session has measured"


# --- streams ---


def test_each_stream_keeps_its_own_warm_connection(pool: ConnectionPool, partner: FakePartner) -> None:
    connections: list[object] = [pool.first(), pool.stream(1), pool.stream(2)]
    assert len(set(map(id, connections))) == 3
    assert [pool.first(), pool.stream(1), pool.stream(2)] == connections
    assert len(partner.made) == 3


def test_idle_stream_must_answer_a_ping(pool: ConnectionPool, partner: FakePartner, clock: Clock) -> None:
    pool.first()
    pool.stream(1)
    clock.now += 60
    partner.made[1].answers = False
    pool.stream(1)
    assert [connection.pings for connection in partner.made] == [0, 1, 0]
    assert partner.made[1].closed


def test_stream_uses_the_login_of_the_first_connection(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    pool.first()
    secret.cached = NEW  # read again, and not yet tried
    pool.stream(1)
    assert partner.tried == [OLD, OLD]


def test_stream_of_a_replaced_login_is_not_reused(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    """A refused login is replaced within `first`; connections that were made with it are still open."""
    pool.first()
    pool.stream(1)
    pool.drop(0)
    partner.refuses = {"old": refused()}
    secret.real = NEW
    pool.first()
    pool.stream(1)
    assert [connection.login for connection in partner.made] == [OLD, OLD, NEW, NEW]
    assert partner.made[1].closed


def in_stream(number: int, work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(name=f"stream-{number}", target=work, daemon=True)
    thread.start()
    return thread


def test_stream_connecting_while_the_login_changes_is_not_reused(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    pool.first()
    connecting, let_in = threading.Event(), threading.Event()

    def wait() -> None:
        if stream_number() == 1:
            connecting.set()
            assert let_in.wait(SOON)

    partner.on_connect = wait
    late = in_stream(1, lambda: pool.stream(1))
    assert connecting.wait(SOON)
    secret.cached = NEW
    pool.first()
    let_in.set()
    wait_for_streams([late])
    assert partner.made[-1].login == OLD
    assert pool.stream(1) is partner.made[-1]  # type: ignore[comparison-overlap] # it is a fake
    assert partner.made[-1].login == NEW


def test_stream_waits_for_an_earlier_one_of_its_number_and_uses_its_connection(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    pool.first()
    connecting, let_in = threading.Event(), threading.Event()

    def wait() -> None:
        connecting.set()
        assert let_in.wait(SOON)

    partner.on_connect = wait
    got: list[object] = []
    threads = [in_stream(1, lambda: got.append(pool.stream(1)))]
    assert connecting.wait(SOON)
    threads.append(in_stream(1, lambda: got.append(pool.stream(1))))
    let_in.set()
    wait_for_streams(threads)
    assert got == [partner.made[1]] * 2
    assert len(partner.made) == 2


def test_stream_does_not_wait_for_one_of_another_number(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    let_in = threading.Event()
    partner.on_connect = lambda: stream_number() == 1 and let_in.wait(SOON)
    slow = in_stream(1, lambda: pool.stream(1))
    fast = in_stream(2, lambda: pool.stream(2))
    wait_for_streams([fast])
    assert slow.is_alive()
    let_in.set()
    wait_for_streams([slow])


def test_concurrent_handshakes_stay_below_max_startups_of_openssh(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    """OpenSSH drops connections at random when more than 10 are not logged in yet."""
    pool.first()
    most = HANDSHAKES_AT_A_TIME
    assert most <= 10
    under_way: list[int] = []
    now = threading.Semaphore(0)
    let_in = threading.Semaphore(0)

    def wait() -> None:
        under_way.append(1)
        now.release()
        assert let_in.acquire(timeout=SOON)
        under_way.pop()

    partner.on_connect = wait
    threads = [in_stream(number, lambda number=number: pool.stream(number)) for number in range(1, 2 * most)]  # type: ignore[misc] # mypy cannot infer it
    for _ in range(most):
        assert now.acquire(timeout=SOON)
    assert not now.acquire(timeout=0.05), "one more would have come by now"
    assert len(under_way) == most
    for _ in threads:
        let_in.release()
    wait_for_streams(threads)
    assert len(partner.made) == 2 * most


def test_stream_that_is_logged_in_lets_the_next_one_connect() -> None:
    """At a known server. OpenSSH counts those that are not logged in yet, and starting SFTP takes longer."""
    known = MemoryKnownServers()
    starting_sftp = threading.Barrier(HANDSHAKES_AT_A_TIME + 1)

    def connect(*_: object, accepted: Callable[[], None] = lambda: None, **_hints: object) -> Any:
        accepted()
        if stream_number():
            with contextlib.suppress(threading.BrokenBarrierError):
                starting_sftp.wait(SOON)
        return FakeConnection(OLD, stream_number())

    connector = Connector(SERVER, FakeSecret(), timeouts=Timeouts(), connect=connect, known=known)
    known.known = KnownServer(host_key="SHA256:key", version="SSH-2.0-test", login=connector.login_name)
    connector.open_first(OLD, lambda _round_trip: None)
    wait_for_streams(
        [
            in_stream(number, lambda: connector.open_stream(OLD))
            for number in range(1, HANDSHAKES_AT_A_TIME + 2)
        ]
    )
    assert not starting_sftp.broken


def test_refused_stream_frees_its_handshake_slot(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    partner.refuses = {"old": PartnerUnreachable("full.", hint="")}
    for _ in range(2 * HANDSHAKES_AT_A_TIME):
        with pytest.raises(PartnerUnreachable):
            pool.stream(1)
    partner.refuses = {}
    assert pool.stream(1) is partner.made[-1]  # type: ignore[comparison-overlap] # it is a fake
    assert len(partner.made) == 2


def test_dropped_stream_gets_a_new_connection(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    old = pool.stream(1)
    pool.drop(1)
    assert pool.stream(1) is not old
    assert partner.made[1].closed


def test_drop_of_a_replaced_connection_keeps_the_new_one(pool: ConnectionPool, partner: FakePartner) -> None:
    pool.first()
    old = pool.stream(1)
    pool.drop(1)
    new = pool.stream(1)
    pool.drop(1, only=old)
    assert pool.stream(1) is new
    pool.drop(1, only=new)
    assert partner.made[-1].closed


# --- streams that are refused ---


def test_streams_are_numbered_from_one(pool: ConnectionPool) -> None:
    assert pool.limit == 8
    assert pool.streams(3) == [1, 2, 3]
    assert pool.streams(99) == [1, 2, 3, 4, 5, 6, 7]
    assert pool.streams(0) == []


def test_disabled_stream_is_skipped_and_the_others_keep_their_numbers(pool: ConnectionPool) -> None:
    pool.disable_stream(2, PartnerUnreachable("full.", hint=""))
    assert pool.limit == 7
    assert pool.streams(3) == [1, 3, 4]


def test_refusals_warn_once(pool: ConnectionPool, caplog: pytest.LogCaptureFixture) -> None:
    for number in (5, 5, 2, 99):
        pool.disable_stream(number, PartnerUnreachable("full.", hint=""))
    assert pool.limit == 6
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
    assert "full." in caplog.text
    assert str(SERVER) in caplog.text


def test_first_connection_is_never_disabled(pool: ConnectionPool) -> None:
    for number in (CHANNEL, *range(8)):
        pool.disable_stream(number, PartnerUnreachable("full.", hint=""))
    assert pool.limit == 1
    assert pool.streams(7) == []
    pool.first()


def test_disabled_stream_is_enabled_again_after_10_minutes(pool: ConnectionPool, clock: Clock) -> None:
    pool.disable_stream(2, PartnerUnreachable("full.", hint=""))
    clock.now += 300
    pool.disable_stream(5, PartnerUnreachable("full.", hint=""))
    assert pool.streams(9) == [1, 3, 4, 6, 7]
    clock.now += 299
    assert 2 not in pool.streams(9)
    clock.now += 1
    assert pool.streams(9) == [1, 2, 3, 4, 6, 7]
    clock.now += 300
    assert pool.streams(9) == [1, 2, 3, 4, 5, 6, 7]


def test_stream_that_fails_again_is_disabled_without_a_second_warning(
    pool: ConnectionPool, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        pool.disable_stream(2, PartnerUnreachable("full.", hint=""))
        assert 2 not in pool.streams(9)
        clock.now += 600
        assert 2 in pool.streams(9)
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]


def test_disabled_parallel_streams_stay_disabled(
    pool: ConnectionPool, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pool.disable_stream(2, PartnerUnreachable("full.", hint=""))
    pool.disable_parallel_streams("it keeps apart what two writers write")
    clock.now += 1_000_000
    assert pool.limit == 1
    assert pool.streams(9) == []
    pool.disable_stream(2, PartnerUnreachable("full.", hint=""))
    clock.now += 1_000_000
    assert pool.streams(9) == []
    assert len([record for record in caplog.records if record.levelno > logging.INFO]) == 1


# --- a second channel ---


@pytest.fixture
def single(partner: FakePartner, secret: FakeSecret, clock: Clock) -> Iterator[ConnectionPool]:
    connect: Connect = partner.connect  # type: ignore[assignment] # its connections are fakes
    yield ConnectionPool(SERVER, secret, timeouts=Timeouts(), limit=1, connect=connect, clock=clock)
    wait_for_streams()


def test_second_channel_is_the_further_stream_of_a_single_connection(
    single: ConnectionPool, partner: FakePartner
) -> None:
    assert single.limit == 2
    assert single.streams(9) == [CHANNEL]
    first = single.first()
    channel: Any = single.stream(CHANNEL)
    assert channel in partner.made[0].channels
    assert channel is not first
    assert len(partner.made) == 1


def test_channel_stays_open_for_the_next_file(
    single: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    single.first()
    channel = single.stream(CHANNEL)
    clock.now += 60
    single.first()
    assert single.stream(CHANNEL) is channel
    assert partner.made[0].channels[0].pings == 1


def test_channel_is_used_when_no_further_connection_is_left(pool: ConnectionPool) -> None:
    for number in range(1, 7):
        pool.disable_stream(number, PartnerUnreachable("full.", hint=""))
    assert pool.streams(9) == [7]
    pool.disable_stream(7, PartnerUnreachable("full.", hint=""))
    assert pool.streams(9) == [CHANNEL]


def test_refused_channel_is_enabled_again_after_10_minutes(single: ConnectionPool, clock: Clock) -> None:
    single.disable_stream(CHANNEL, ConnectionLost("one is enough.", hint=""))
    assert (single.limit, single.streams(9)) == (1, [])
    clock.now += 600
    assert (single.limit, single.streams(9)) == (2, [CHANNEL])


def test_dropped_channel_keeps_the_connection_open(single: ConnectionPool, partner: FakePartner) -> None:
    first = single.first()
    single.stream(CHANNEL)
    single.drop(CHANNEL)
    assert partner.made[0].channels[0].closed
    assert single.first() is first


def test_channel_waits_until_the_connection_is_up(single: ConnectionPool, partner: FakePartner) -> None:
    connecting, let_in = threading.Event(), threading.Event()

    def wait() -> None:
        connecting.set()
        assert let_in.wait(SOON)

    partner.on_connect = wait
    first = threading.Thread(target=single.first, daemon=True)
    first.start()
    assert connecting.wait(SOON)
    got: list[Any] = []
    late = in_stream(CHANNEL, lambda: got.append(single.stream(CHANNEL)))
    late.join(0.05)
    assert got == []
    let_in.set()
    wait_for_streams([first, late])
    assert got == partner.made[0].channels


def test_channel_of_a_failed_connection_raises_connection_lost(
    single: ConnectionPool, partner: FakePartner
) -> None:
    partner.refuses = {"old": PartnerUnreachable("down.", hint="")}
    with pytest.raises(PartnerUnreachable):
        single.first()
    with pytest.raises(ConnectionLost, match="was lost"):
        single.stream(CHANNEL)


def test_channel_of_a_replaced_connection_is_not_reused(
    single: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    single.first()
    single.stream(CHANNEL)
    partner.made[0].answers = False
    partner.made[0].channels[0].looks_open = False
    clock.now += 60
    single.first()
    assert single.stream(CHANNEL) is partner.made[1].channels[0]  # type: ignore[comparison-overlap] # it is a fake


def test_close_closes_the_channel(single: ConnectionPool, partner: FakePartner) -> None:
    single.first()
    single.stream(CHANNEL)
    single.close()
    assert partner.made[0].channels[0].closed


# --- at the end of an invocation ---


def as_fake(connection: Connection) -> FakeConnection:
    assert isinstance(connection, FakeConnection)
    return connection


def test_channel_stays_open_with_the_first_connection(single: ConnectionPool) -> None:
    single.first()
    channel = single.stream(CHANNEL)
    single.end_of_invocation(keep_first=True)
    assert not as_fake(channel).closed
    single.end_of_invocation(keep_first=False)
    assert as_fake(channel).closed


def test_end_of_invocation_keeps_only_the_first_connection(pool: ConnectionPool) -> None:
    first = pool.first()
    opened = [as_fake(connection) for connection in (first, pool.stream(1), pool.stream(2))]
    pool.end_of_invocation(keep_first=True)
    assert [connection.closed for connection in opened] == [False, True, True]
    assert pool.first() is first


def test_end_of_invocation_closes_the_first_connection_unless_it_is_kept(pool: ConnectionPool) -> None:
    before = [pool.first(), pool.stream(1)]
    pool.end_of_invocation(keep_first=False)
    assert all(as_fake(connection).closed for connection in before)
    assert pool.first() is not before[0]
    assert not pool.reused


def test_stream_opened_after_the_end_of_the_invocation_is_closed(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    pool.first()
    partner.on_connect = lambda: pool.end_of_invocation(keep_first=True)
    assert as_fake(pool.stream(1)).closed
    partner.on_connect = lambda: None
    pool.first()
    assert not as_fake(pool.stream(1)).closed


def test_error_while_closing_is_logged_and_not_raised(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_connection: FakeConnection) -> None:
        raise OSError("gone already")

    pool.first()
    monkeypatch.setattr(FakeConnection, "close", fail)
    pool.end_of_invocation(keep_first=False)
    assert "gone already" in caplog.text
