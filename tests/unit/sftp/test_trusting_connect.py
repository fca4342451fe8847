"""A host key that is not pinned: accepted on an operator's word for that very key, for a day at most."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import HostKeyRefused, LedgerError, PartnerUnreachable
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.trusting_connect import TrustingConnect
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.state.trusted_host_key import (
    TRUSTED_HOST_KEY,
    DynamoTrustedHostKeys,
    read_trusted_host_key,
    trusted_host_key_attributes,
    trusted_host_key_pk,
)
from s3_to_sftp.trusted_host_key import LONGEST_SECONDS, TrustedHostKey
from tests.support.ledger_environment import START, TABLE, Clock, create_table

OLD, NEW, OTHER = "ssh-ed25519 OLD", "ssh-ed25519 NEW", "ssh-ed25519 OTHER"
SERVER = Server(host="sftp.partner.example", port=22, host_keys=(OLD,))
LOGIN = Credentials(username="u", password="s3cret-canary")
TRUSTED = TrustedHostKey(
    fingerprint=f"SHA256:{NEW}", since=START, until=START + 3600, reason="new machine", who="arn:who"
)


@dataclass
class Partner:
    """A server with host keys, one for each connection; the last one stays.

    Attributes:
        keys: What it shows.
        pinned: The keys that were accepted at each connection.
        logins: Connections that came to the login.
        fails: Raised at the login.
    """

    keys: list[str] = field(default_factory=lambda: [NEW])
    pinned: list[tuple[str, ...]] = field(default_factory=list)
    logins: int = 0
    fails: Exception | None = None

    def connect(
        self, server: Server, credentials: Credentials, timeouts: Timeouts, logged_in: Callable[[float], None]
    ) -> Connection:
        key = self.keys.pop(0) if len(self.keys) > 1 else self.keys[0]
        self.pinned.append(server.host_keys)
        if key not in server.host_keys:
            raise HostKeyRefused("not pinned.", hint="", offered=key, fingerprint=f"SHA256:{key}")
        self.logins += 1
        if self.fails:
            raise self.fails
        logged_in(0.1)
        transport: Any = SimpleNamespace(is_active=lambda: True)
        session: Any = SimpleNamespace(is_over=False)
        return Connection(transport, session, f"SHA256:{key}", server, timeouts)


@dataclass
class Word:
    """What an operator has said, and how often it was looked up."""

    trusted: TrustedHostKey | None = TRUSTED
    reads: int = 0

    def current(self) -> TrustedHostKey | None:
        self.reads += 1
        return self.trusted


def connected(partner: Partner, word: Word) -> Connection:
    return TrustingConnect(word, connect=partner.connect)(SERVER, LOGIN, Timeouts())


def test_pinned_key_needs_nobodys_word() -> None:
    partner, word = Partner(keys=[OLD]), Word()
    assert connected(partner, word).host_key_fingerprint == f"SHA256:{OLD}"
    assert word.reads == 0


def test_trusted_key_is_accepted_beside_the_pinned_ones_and_is_the_one_shown() -> None:
    partner, word = Partner(), Word()
    assert connected(partner, word).host_key_fingerprint == f"SHA256:{NEW}"
    assert partner.pinned == [(OLD,), (OLD, NEW)]
    assert (word.reads, partner.logins) == (1, 1)


def test_each_connection_with_a_trusted_key_is_logged_with_who_and_until_when(
    caplog: pytest.LogCaptureFixture,
) -> None:
    partner, word = Partner(), Word()
    with caplog.at_level(logging.WARNING):
        connected(partner, word)
        connected(partner, word)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    for part in (f"SHA256:{NEW}", "arn:who", "new machine", "2026-11-23 01:00 UTC", str(SERVER)):
        assert part in messages[0]
    assert LOGIN.password not in messages[0]


@pytest.mark.parametrize(
    "word",
    [
        Word(None),
        Word(replace(TRUSTED, fingerprint=f"SHA256:{OTHER}")),
        Word(replace(TRUSTED, fingerprint="")),
    ],
    ids=["nobody's word", "for another key", "for no key"],
)
def test_key_that_nobody_vouches_for_is_refused_before_the_login(word: Word) -> None:
    partner = Partner()
    with pytest.raises(HostKeyRefused, match="not pinned"):
        connected(partner, word)
    assert (len(partner.pinned), partner.logins) == (1, 0)


def test_refusal_that_shows_no_key_is_no_match_for_an_empty_fingerprint() -> None:
    def refuse(*_: Any) -> Connection:
        raise HostKeyRefused("not pinned.", hint="")

    with pytest.raises(HostKeyRefused):
        TrustingConnect(Word(replace(TRUSTED, fingerprint="")), connect=refuse)(SERVER, LOGIN, Timeouts())


def test_server_that_shows_a_third_key_the_second_time_is_refused() -> None:
    partner = Partner(keys=[NEW, OTHER])
    with pytest.raises(HostKeyRefused):
        connected(partner, Word())
    assert (len(partner.pinned), partner.logins) == (2, 0)


def test_other_failures_are_told_as_they_are_and_look_nothing_up() -> None:
    partner, word = Partner(keys=[OLD], fails=PartnerUnreachable("down.", hint="")), Word()
    with pytest.raises(PartnerUnreachable):
        connected(partner, word)
    assert (len(partner.pinned), word.reads) == (1, 0)


def test_failure_of_the_second_try_is_told_as_it_is() -> None:
    with pytest.raises(PartnerUnreachable):
        connected(Partner(fails=PartnerUnreachable("down.", hint="")), Word())


def test_warm_connection_is_not_used_any_longer_than_its_key_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = connected(Partner(), Word())
    monkeypatch.setattr(time, "time", lambda: TRUSTED.until - 1)
    assert connection.is_open()
    monkeypatch.setattr(time, "time", lambda: TRUSTED.until)
    assert not connection.is_open()


# --- the item ---


class Fetching:
    """A table, and a function that looks for the trusted key of a server."""

    def __init__(self, dynamodb: Any) -> None:
        create_table(dynamodb)
        self.dynamodb = dynamodb
        self.clock = Clock()
        self.keys = DynamoTrustedHostKeys(dynamodb, TABLE, str(SERVER), clock=self.clock)

    def put(self, trusted: TrustedHostKey = TRUSTED, **attributes: Any) -> None:
        keys = {"pk": {"S": trusted_host_key_pk(str(SERVER))}, "sk": {"S": TRUSTED_HOST_KEY}}
        item = {**keys, **trusted_host_key_attributes(trusted), **attributes}
        self.dynamodb.put_item(TableName=TABLE, Item=item)


@pytest.fixture
def table(dynamodb: Any) -> Iterator[Fetching]:
    yield Fetching(dynamodb)
    dynamodb.delete_table(TableName=TABLE)


def test_item_is_read_as_it_was_written() -> None:
    assert read_trusted_host_key(trusted_host_key_attributes(TRUSTED)) == TRUSTED


def test_key_is_trusted_until_its_time_is_over(table: Fetching) -> None:
    assert table.keys.current() is None
    table.put()
    assert table.keys.current() == TRUSTED
    table.clock.now = TRUSTED.until
    assert table.keys.current() is None


def test_no_key_is_trusted_for_longer_than_a_day_whatever_the_item_says(table: Fetching) -> None:
    table.put(replace(TRUSTED, until=START + 10 * LONGEST_SECONDS))
    table.clock.now = START + LONGEST_SECONDS - 1
    assert table.keys.current() is not None
    table.clock.now += 1
    assert table.keys.current() is None


def test_corrupt_item_makes_no_key_trusted(table: Fetching, caplog: pytest.LogCaptureFixture) -> None:
    table.put(until={"S": "tomorrow"})
    assert table.keys.current() is None
    assert "no host key is trusted" in caplog.text
    with pytest.raises(LedgerError, match="corrupt"):
        read_trusted_host_key({"fingerprint": {"S": "SHA256:x"}})


def test_table_that_cannot_be_read_makes_no_key_trusted(dynamodb: Any) -> None:
    assert DynamoTrustedHostKeys(dynamodb, "no-such-table", str(SERVER)).current() is None
