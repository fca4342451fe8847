"""The warm connection is reused while it is the right one and answers, and replaced in every other case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import ConnectionLost, CredentialsError, LoginRefused, PartnerUnreachable
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.connection import Timeouts
from s3_to_sftp.sftp.warm import WarmConnection

SERVER = Server(host="sftp.partner.example", port=22)
OLD = Credentials(username="u", password="old")
NEW = Credentials(username="u", password="new")


@dataclass
class FakeConnection:
    """A connection whose health a test decides."""

    login: Credentials
    looks_open: bool = True
    answers: bool = True
    pings: int = 0
    closed: bool = False

    @property
    def session(self) -> FakeConnection:
        return self

    def is_open(self) -> bool:
        return self.looks_open

    def ping(self) -> None:
        self.pings += 1
        if not self.answers:
            raise ConnectionLost("silent.", hint="")

    def close(self) -> None:
        self.closed = True


@dataclass
class Partner:
    """Connects, and refuses the logins it is told to refuse."""

    refuses: dict[str, Exception] = field(default_factory=dict)
    tried: list[Credentials] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)

    def connect(self, server: Server, login: Credentials, timeouts: Timeouts) -> Any:
        assert server == SERVER
        self.tried.append(login)
        if login.password in self.refuses:
            raise self.refuses[login.password]
        self.made.append(FakeConnection(login))
        return self.made[-1]


@dataclass
class Secret:
    """What is cached, and what is really in the secret."""

    cached: Credentials = OLD
    real: Credentials = OLD
    reads: int = 0

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
def partner() -> Partner:
    return Partner()


@pytest.fixture
def secret() -> Secret:
    return Secret()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def warm(partner: Partner, secret: Secret, clock: Clock) -> WarmConnection:
    return WarmConnection(SERVER, secret, timeouts=Timeouts(), connect=partner.connect, clock=clock)


def refused() -> LoginRefused:
    return LoginRefused("no.", hint="")


def test_first_connection_is_new(warm: WarmConnection, partner: Partner) -> None:
    assert warm.get() is partner.made[0]
    assert not warm.reused


def test_connection_that_was_just_used_is_reused_without_a_ping(
    warm: WarmConnection, partner: Partner
) -> None:
    assert warm.get() is warm.get()
    assert warm.reused
    assert partner.made[0].pings == 0


def test_connection_that_was_idle_must_answer_a_ping(
    warm: WarmConnection, partner: Partner, clock: Clock
) -> None:
    warm.get()
    clock.now += 60
    connection: Any = warm.get()
    assert connection is partner.made[0]
    assert connection.pings == 1


def test_use_counts_from_its_end(warm: WarmConnection, partner: Partner, clock: Clock) -> None:
    warm.get()
    clock.now += 600
    warm.used()
    clock.now += 1
    warm.get()
    assert partner.made[0].pings == 0


def test_connection_that_does_not_answer_is_closed_and_replaced(
    warm: WarmConnection, partner: Partner, clock: Clock
) -> None:
    warm.get()
    partner.made[0].answers = False
    clock.now += 60
    assert warm.get() is partner.made[1]
    assert partner.made[0].closed
    assert not warm.reused


def test_connection_that_is_known_to_be_dead_is_replaced_without_a_ping(
    warm: WarmConnection, partner: Partner
) -> None:
    warm.get()
    partner.made[0].looks_open = False
    assert warm.get() is partner.made[1]
    assert partner.made[0].closed
    assert partner.made[0].pings == 0


def test_connection_of_another_login_is_not_used(
    warm: WarmConnection, partner: Partner, secret: Secret
) -> None:
    warm.get()
    secret.cached = NEW
    connection: Any = warm.get()
    assert connection is partner.made[1]
    assert connection.login == NEW
    assert partner.made[0].closed


def test_dropped_connection_is_closed_and_not_reused(warm: WarmConnection, partner: Partner) -> None:
    warm.get()
    warm.drop()
    warm.drop()
    assert partner.made[0].closed
    assert warm.get() is partner.made[1]


@pytest.mark.parametrize("error", [refused(), CredentialsError("wrong passphrase.", hint="")])
def test_login_that_does_not_work_is_read_again_once(
    error: Exception, warm: WarmConnection, partner: Partner, secret: Secret
) -> None:
    partner.refuses = {"old": error}
    secret.real = NEW
    assert warm.get() is partner.made[0]
    assert partner.tried == [OLD, NEW]
    assert secret.reads == 1


def test_rotated_login_stays_warm(warm: WarmConnection, partner: Partner, secret: Secret) -> None:
    partner.refuses = {"old": refused()}
    secret.real = NEW
    assert warm.get() is warm.get()
    assert secret.reads == 1


def test_unchanged_login_is_not_tried_twice(warm: WarmConnection, partner: Partner) -> None:
    partner.refuses = {"old": refused()}
    with pytest.raises(LoginRefused):
        warm.get()
    assert partner.tried == [OLD]


def test_new_login_that_is_refused_as_well_is_the_end(
    warm: WarmConnection, partner: Partner, secret: Secret
) -> None:
    partner.refuses = {"old": refused(), "new": refused()}
    secret.real = NEW
    with pytest.raises(LoginRefused):
        warm.get()
    assert partner.tried == [OLD, NEW]


def test_partner_that_is_down_does_not_cause_a_read_of_the_secret(
    warm: WarmConnection, partner: Partner, secret: Secret
) -> None:
    partner.refuses = {"old": PartnerUnreachable("down.", hint="")}
    with pytest.raises(PartnerUnreachable):
        warm.get()
    assert secret.reads == 0


def test_failed_connection_leaves_a_state_from_which_the_next_one_works(
    warm: WarmConnection, partner: Partner
) -> None:
    partner.refuses = {"old": PartnerUnreachable("down.", hint="")}
    with pytest.raises(PartnerUnreachable):
        warm.get()
    partner.refuses = {}
    assert warm.get() is partner.made[0]
