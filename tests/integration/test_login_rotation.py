"""The login changes in the middle of a batch, either side first: all is delivered, two refusals at most."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.sftp_server import start_sshd
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import LoginRefused
from s3_to_sftp.outcomes import CircuitOpen
from tests.integration.conftest import skip_without_sshd
from tests.support.partner import address_of, contents_below, tuned
from tests.support.rotating_server import RotatingServer, rotating_server
from tests.support.rotation_environment import RotationEnvironment, key, password

OLD, NEW, WRONG = password("old"), password("new"), password("wrong")
SMALL = {f"small-{number:02}": bytes([number]) * 10_000 for number in range(12)}
LARGE = {f"large-{number}": bytes([number]) * 3_000_000 for number in range(3)}
HOUR = 3600.0

Start = Callable[..., RotationEnvironment]


@pytest.fixture
def partner(root: Path) -> Iterator[RotatingServer]:
    with rotating_server(root, OLD) as server:
        yield server


@pytest.fixture
def start(ledger_table: Any, partner: RotatingServer) -> Iterator[Start]:
    made: list[RotationEnvironment] = []

    def environment(*logins: Credentials, objects: dict[str, bytes] = SMALL) -> RotationEnvironment:
        made.append(RotationEnvironment(ledger_table, partner.address, objects))
        for login in logins:
            made[-1].put(login)
        return made[-1]

    yield environment
    for env in made:
        env.close()


def assert_all_arrived(env: RotationEnvironment, partner: RotatingServer, *, leftovers: bool = False) -> None:
    """Assert that every object has its final name, and that nothing else stands there.

    With another user name the temporary files of the first account are another account's: they may stay.
    """
    found = contents_below(partner.root)
    assert {name: data for name, data in found.items() if not (leftovers and name.endswith(".part"))} == (
        env.s3.objects
    )


@pytest.mark.parametrize("objects", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("old", "new"),
    [(OLD, NEW), (OLD, key()), (key(), key()), (OLD, password("new", username="partner2"))],
    ids=["password", "password to key", "key", "user name"],
)
class TestEitherSideFirst:
    """Every kind of change, of the secret or at the partner first."""

    def test_partner_changes_first_while_the_new_login_is_pending(
        self,
        old: Credentials,
        new: Credentials,
        objects: dict[str, bytes],
        start: Start,
        partner: RotatingServer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        partner.change(old)
        env = start(old, objects=objects)
        version = env.put(new, "AWSPENDING")
        function = env.function(max_connections=4, tuning=tuned(255 * 1024))
        partner.at_file = 3, new
        env.deliver_all(function)
        assert_all_arrived(env, partner, leftovers=old.username != new.username)
        assert len(partner.refused) <= 1
        assert "that of AWSPENDING" in caplog.text
        assert "s3cret-canary" not in caplog.text
        assert env.telemetry.fallbacks >= 1
        self._finish(env, function, version, partner)

    def _finish(self, env: RotationEnvironment, function: Any, version: str, partner: RotatingServer) -> None:
        env.promote(version)
        env.clock.now += 60
        env.s3.objects = {"afterwards": b"1"}
        logins, fallbacks = len(partner.accepted), env.telemetry.fallbacks
        assert env.invoke(function) == {}
        assert len(partner.accepted) == logins, "the warm connection has the same login"
        assert env.telemetry.fallbacks == fallbacks

    def test_secret_changes_first_while_the_partner_takes_the_old_login(
        self,
        old: Credentials,
        new: Credentials,
        objects: dict[str, bytes],
        start: Start,
        partner: RotatingServer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        partner.change(old)
        env = start(old, new, objects=objects)
        function = env.function(max_connections=4, tuning=tuned(255 * 1024))
        partner.at_file = 3, new
        env.deliver_all(function)
        assert_all_arrived(env, partner, leftovers=old.username != new.username)
        assert len(partner.refused) <= 2
        assert "that of AWSPREVIOUS" in caplog.text
        env.s3.objects = {"afterwards": b"1"}
        fallbacks = env.telemetry.fallbacks
        assert env.invoke(function) == {}
        assert env.telemetry.fallbacks == fallbacks


def test_secret_that_changes_in_the_middle_of_a_batch_is_used_a_minute_later(
    start: Start, partner: RotatingServer
) -> None:
    env = start(OLD)
    function = env.function()
    env.during(4, lambda: env.put(NEW))
    assert env.invoke(function) == {}
    partner.change(NEW)
    env.clock.now += 60
    env.s3.objects = {"afterwards": b"1"}
    assert env.invoke(function) == {}
    assert partner.refused == []


# --- a wrong secret ---


def test_wrong_new_secret_is_noticed_at_its_next_use_and_deliveries_go_on(
    start: Start, partner: RotatingServer, caplog: pytest.LogCaptureFixture
) -> None:
    env = start(OLD)
    function = env.function()
    assert env.invoke(function, "small-00") == {}
    env.put(WRONG)
    env.clock.now += 60
    assert env.invoke(function, "small-01") == {}
    assert len(partner.refused) == 1, "noticed although the warm connection was alive"
    assert "that of AWSPREVIOUS" in caplog.text
    for name in ("small-02", "small-03"):
        env.clock.now += HOUR
        assert env.invoke(function, name) == {}
    assert (len(partner.refused), env.telemetry.fallbacks) == (1, 3)
    env.put(OLD)
    env.clock.now += 60
    assert env.invoke(function, "small-04") == {}
    assert (len(partner.refused), env.telemetry.fallbacks) == (1, 3)


def test_previous_login_is_not_tried_a_day_later(start: Start, partner: RotatingServer) -> None:
    env = start(OLD, WRONG)
    env.clock.now += 24 * HOUR + 60
    assert {type(error) for error in env.invoke(env.function()).values()} == {LoginRefused}
    assert len(partner.refused) == 1


def test_two_wrong_logins_are_sent_once_each_and_the_first_one_when_the_breaker_tries(
    start: Start, partner: RotatingServer
) -> None:
    env = start(WRONG)
    env.put(password("wrong, too"), "AWSPENDING")
    function = env.function()
    counted: list[int] = []
    for _ in range(3):
        assert {type(error) for error in env.invoke(function).values()} == {LoginRefused}
        counted.append(len(partner.refused))
        for _ in range(3):
            assert {type(error) for error in env.invoke(function).values()} == {CircuitOpen}
        assert len(partner.refused) == counted[-1]
        env.clock.now += 8 * HOUR
    assert counted == [2, 3, 4]
    env.invoke(env.function())
    assert len(partner.refused) == 6, "another execution environment sends both, once"
    env.put(OLD)
    env.clock.now += 60
    env.deliver_all(function)
    assert_all_arrived(env, partner)
    assert len(partner.refused) == 6


def test_cached_login_is_not_sent_while_the_breaker_is_open_for_a_newer_one(
    start: Start, partner: RotatingServer
) -> None:
    env = start(OLD)
    function = env.function(warm=False)
    assert env.invoke(function, "small-00") == {}
    env.put(WRONG)
    partner.change(NEW)
    assert {type(error) for error in env.invoke(env.function(), "small-01").values()} == {LoginRefused}
    sent = len(partner.refused)
    env.clock.now += 30  # the copy of the first function is young
    assert {type(error) for error in env.invoke(function, "small-02").values()} == {CircuitOpen}
    assert len(partner.refused) == sent


def test_attempt_that_an_operator_admits_is_made_with_the_present_login(
    start: Start, partner: RotatingServer
) -> None:
    env = start(WRONG)
    function = env.function(warm=False)
    assert {type(error) for error in env.invoke(function, "small-00").values()} == {LoginRefused}
    env.put(OLD)
    env.clock.now += 30
    env.admit_an_attempt()
    assert env.invoke(function, "small-01") == {}
    assert len(partner.refused) == 1


def test_pending_version_with_the_same_login_is_not_sent(start: Start, partner: RotatingServer) -> None:
    env = start(WRONG)
    env.put(WRONG, "AWSPENDING")
    assert {type(error) for error in env.invoke(env.function()).values()} == {LoginRefused}
    assert len(partner.refused) == 1


# --- several functions, several connections ---


def test_each_of_two_functions_has_one_refused_login(start: Start, partner: RotatingServer) -> None:
    env = start(OLD)
    env.put(NEW, "AWSPENDING")
    functions = [env.function(), env.function()]
    names = list(SMALL)
    for function, name in zip(functions, names[:2], strict=True):
        assert env.invoke(function, name) == {}
    partner.change(NEW)
    errors: list[dict[str, Exception]] = []
    halves = (names[2:7], names[7:])
    threads = [
        threading.Thread(target=lambda f=function, half=half: errors.append(env.invoke(f, *half)))
        for function, half in zip(functions, halves, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [{}, {}]
    assert_all_arrived(env, partner)
    assert len(partner.refused) == 2


def test_streams_of_a_warm_connection_do_not_all_send_a_login_that_was_changed(
    start: Start, partner: RotatingServer
) -> None:
    env = start(OLD, objects={**LARGE, "small": b"1"})
    env.put(NEW, "AWSPENDING")
    function = env.function(max_connections=8, tuning=tuned(255 * 1024))
    assert env.invoke(function, "small") == {}
    partner.change(NEW, cut=False)
    env.tick += HOUR
    env.deliver_all(function)
    assert_all_arrived(env, partner)
    assert len(partner.refused) == 1


# --- OpenSSH ---


@pytest.mark.parametrize("first", ["partner", "secret"])
def test_key_is_rotated_at_openssh(
    first: str, root: Path, tmp_path: Path, ledger_table: Any, caplog: pytest.LogCaptureFixture
) -> None:
    skip_without_sshd()
    import asyncssh

    authorized = tmp_path / "authorized"

    def install(login: Credentials) -> None:
        authorized.write_bytes(asyncssh.import_private_key(login.private_key).export_public_key())

    with start_sshd(root, extra_config=[f"AuthorizedKeysFile {authorized}"]) as server:
        old, new = (Credentials(username=server.username, private_key=key().private_key) for _ in range(2))
        install(old)
        env = RotationEnvironment(ledger_table, address_of(server), SMALL)
        env.put(old)
        env.put(new, "AWSPENDING" if first == "partner" else "AWSCURRENT")
        function = env.function(warm=False)
        names = list(SMALL)
        with caplog.at_level(logging.WARNING):
            assert env.invoke(function, *names[:4]) == {}
            install(new)
            assert env.invoke(function, *names[4:]) == {}
        env.close()
        assert contents_below(root) == SMALL
        assert server.read_log().count("Failed publickey") <= 2
        assert "is accepted" in caplog.text
