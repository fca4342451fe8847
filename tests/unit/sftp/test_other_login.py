"""A refused login: one other is tried, once, and a changed one is not sent by all streams at a time."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator

import pytest

from s3_to_sftp.credentials import Credentials, OtherLogin
from s3_to_sftp.errors import (
    CredentialsError,
    DeliveryError,
    HostKeyRefused,
    LoginRefused,
    PartnerUnreachable,
    PasswordExpired,
    SecondFactorRequired,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.sftp.connection import Connect
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.sftp_environment import SERVER, wait_for_streams
from tests.unit.sftp.test_pool import NEW, Clock, FakePartner, FakeSecret, in_stream

PENDING = OtherLogin(NEW, "AWSPENDING")
HOURS = 3600.0


@pytest.fixture
def partner() -> FakePartner:
    return FakePartner()


@pytest.fixture
def secret() -> FakeSecret:
    return FakeSecret(other=PENDING)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(partner: FakePartner, secret: FakeSecret, clock: Clock) -> Iterator[ConnectionPool]:
    connect: Connect = partner.connect  # type: ignore[assignment] # its connections are fakes
    yield ConnectionPool(SERVER, secret, timeouts=Timeouts(), limit=8, connect=connect, clock=clock)
    wait_for_streams()


def passwords(logins: list[Credentials]) -> list[str]:
    return [login.password for login in logins]


@pytest.mark.parametrize("kind", [LoginRefused, PasswordExpired])
def test_other_login_is_used_by_all_connections(
    kind: type[DeliveryError], pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    partner.refuses["old"] = kind("no.", hint="")
    pool.first()
    pool.stream(1)
    pool.stream(2)
    pool.first()
    assert passwords(partner.tried) == ["old", "new", "new", "new"]
    assert secret.told == [("accepted", "new")]
    assert not any(connection.closed for connection in partner.made)


@pytest.mark.parametrize(
    "error",
    [
        TooManyConnections("full.", hint=""),
        HostKeyRefused("other key.", hint=""),
        PartnerUnreachable("down.", hint=""),
        SftpNotStarted("no subsystem.", hint=""),
        SecondFactorRequired("a code.", hint=""),
        CredentialsError("no key.", hint=""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_login_is_not_tried_after_anything_but_a_refusal(
    error: DeliveryError, pool: ConnectionPool, partner: FakePartner
) -> None:
    partner.refuses["old"] = error
    with pytest.raises(type(error)):
        pool.first()
    assert passwords(partner.tried) == ["old"]


def test_error_of_the_configured_login_is_raised_where_both_are_refused(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    partner.refuses = {"old": LoginRefused("old.", hint=""), "new": PasswordExpired("new.", hint="")}
    with pytest.raises(LoginRefused, match="old"):
        pool.first()
    assert secret.told == [("refused", "new")]
    assert passwords(partner.tried) == ["old", "new"]


def test_error_of_a_changed_secret_is_raised_where_both_are_refused(
    pool: ConnectionPool, partner: FakePartner, secret: FakeSecret
) -> None:
    secret.real = NEW
    partner.refuses = {"old": LoginRefused("old.", hint=""), "new": PasswordExpired("new.", hint="")}
    with pytest.raises(PasswordExpired, match="new"):
        pool.first()
    assert passwords(partner.tried) == ["old", "new"]


@pytest.mark.parametrize(
    "error",
    [
        PartnerUnreachable("banned.", hint=""),
        TooManyConnections("full.", hint=""),
        CredentialsError("no.", hint=""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_refusal_is_raised_where_the_other_login_was_not_judged(
    error: DeliveryError,
    pool: ConnectionPool,
    partner: FakePartner,
    secret: FakeSecret,
    caplog: pytest.LogCaptureFixture,
) -> None:
    partner.refuses = {"old": LoginRefused("old.", hint=""), "new": error}
    with pytest.raises(LoginRefused, match="old"):
        pool.first()
    assert secret.told == []
    assert "accepts the login of AWSPENDING is not known" in caplog.text


def test_server_that_accepts_the_other_login_without_sftp_is_reported_as_that(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    partner.refuses = {"old": LoginRefused("old.", hint=""), "new": SftpNotStarted("no.", hint="")}
    with pytest.raises(SftpNotStarted):
        pool.first()


def test_two_refusals_of_a_recently_accepted_login_are_a_limit(
    pool: ConnectionPool, partner: FakePartner
) -> None:
    pool.first()
    pool.drop(0)
    partner.refuses = {"old": LoginRefused("old.", hint=""), "new": LoginRefused("new.", hint="")}
    with pytest.raises(TooManyConnections):
        pool.first()


# --- the login changes under a warm connection ---


def test_changed_login_is_refused_to_one_stream_only(
    pool: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    pool.first()
    clock.now += HOURS
    partner.refuses["old"] = LoginRefused("old.", hint="")
    refused: list[int] = []

    def open_stream(number: int) -> None:
        try:
            pool.stream(number)
        except LoginRefused:
            refused.append(number)

    wait_for_streams([in_stream(number, functools.partial(open_stream, number)) for number in range(1, 8)])
    assert sorted(refused) == list(range(1, 8))
    assert passwords(partner.tried) == ["old", "old"], "connection 0 and one stream"
    clock.now += HOURS
    open_stream(1)
    assert len(partner.tried) == 2, "not until connection 0 has another login"
    pool.drop(0)
    pool.first()
    pool.stream(1)
    assert passwords(partner.tried) == ["old", "old", "old", "new", "new"]


def test_stream_that_is_refused_soon_after_the_login_is_a_limit_that_passes(
    pool: ConnectionPool, partner: FakePartner, clock: Clock
) -> None:
    pool.first()
    partner.refuses["old"] = LoginRefused("too many.", hint="")
    for _ in range(2):
        with pytest.raises(LoginRefused):
            pool.stream(1)
    assert len(partner.tried) == 2
    partner.refuses.clear()
    clock.now += 120
    pool.stream(1)


def test_streams_of_an_old_login_do_not_wait_for_each_other_once_one_is_accepted(
    pool: ConnectionPool, partner: FakePartner, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pool.first()
    clock.now += HOURS
    with caplog.at_level(logging.WARNING):
        for number in (1, 2, 3):
            pool.stream(number)
    assert len(partner.tried) == 4
    assert caplog.records == []
