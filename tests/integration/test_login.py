"""Every kind of login, against real servers."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest

from local.sftp_server import AuthMethod, start_asyncssh_server, start_sshd
from s3_to_sftp import untrusted_text
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import CredentialsError, LoginRefused, SftpNotStarted
from s3_to_sftp.sftp.connection import connect
from tests.support.partner import IMPATIENT, address_of, assert_connects, login_of
from tests.support.two_step_server import Step, two_step_server

PASSWORD = " a pässword: with 'odd' characters "


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_password_logs_in_by_the_only_offered_method(method: AuthMethod, root: Path) -> None:
    with start_asyncssh_server(root, password=PASSWORD, methods=[method]) as server:
        credentials = Credentials(username=server.username, password=PASSWORD)
        assert_connects(address_of(server), credentials)
        assert f"{method} of partner accepted" in server.read_log()


def test_private_key_logs_in(root: Path) -> None:
    with start_asyncssh_server(root, methods=["publickey"]) as server:
        assert_connects(address_of(server), login_of(server))


@pytest.mark.parametrize("method", ["publickey", "password"])
def test_accepted_login_does_not_search_texts_for_secrets(method: AuthMethod, root: Path) -> None:
    with start_asyncssh_server(root, password=PASSWORD, methods=[method]) as server:
        key = login_of(server) if method == "publickey" else None
        credentials = key or Credentials(username=server.username, password=PASSWORD)
        untrusted_text._pattern.cache_clear()
        assert_connects(address_of(server), credentials)
    # What finds them is made of every form of a key: a fresh function would spend a tenth of a second on it.
    assert untrusted_text._pattern.cache_info().misses == 0


@pytest.mark.usefixtures("sshd_or_skip")
@pytest.mark.parametrize("file_format", ["openssh", "pkcs1-pem", "pkcs8-pem"])
@pytest.mark.parametrize("passphrase", ["", "pass phrase"])
@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp384", "ssh-rsa"])
def test_private_key_of_every_kind_logs_in_at_openssh(
    kind: str, passphrase: str, file_format: str, root: Path, tmp_path: Path
) -> None:
    if (kind, file_format) == ("ssh-ed25519", "pkcs1-pem"):
        pytest.skip("there is no such format for Ed25519")
    key = asyncssh.generate_private_key(kind)
    authorized = tmp_path / "authorized"
    authorized.write_bytes(key.export_public_key())
    private_key = key.export_private_key(
        file_format, passphrase=passphrase or None, rounds=16, ignore_few_rounds=True
    ).decode()
    with start_sshd(root, extra_config=[f"AuthorizedKeysFile {authorized}"]) as server:
        credentials = Credentials(username=server.username, private_key=private_key, passphrase=passphrase)
        assert_connects(address_of(server), credentials)


@pytest.mark.parametrize(
    "steps",
    [
        ("publickey", "password"),
        ("password", "publickey"),
        ("publickey", "keyboard-interactive"),
        ("keyboard-interactive", "publickey"),
    ],
)
def test_server_that_requires_key_and_password_gets_both_in_its_order(steps: tuple[Step, Step]) -> None:
    with two_step_server(*steps) as server:
        credentials = Credentials(
            username=server.username, password=server.password, private_key=server.private_key
        )
        connect(server.address, credentials, IMPATIENT).close()
        assert server.given == list(steps)
        assert server.refused == [], "nothing is sent by a method that is not offered"


def test_key_alone_is_refused_and_the_missing_method_named() -> None:
    with two_step_server("publickey", "password") as server:
        credentials = Credentials(username=server.username, private_key=server.private_key)
        with pytest.raises(LoginRefused, match="it also wants password"):
            connect(server.address, credentials, IMPATIENT)


def test_password_alone_is_refused_and_the_missing_method_named() -> None:
    with two_step_server("password", "publickey") as server:
        credentials = Credentials(username=server.username, password=server.password)
        with pytest.raises(LoginRefused, match="it also wants publickey"):
            connect(server.address, credentials, IMPATIENT)


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_wrong_password_is_sent_once_and_reported(method: AuthMethod, root: Path) -> None:
    with start_asyncssh_server(root, methods=[method]) as server:
        credentials = Credentials(username=server.username, password="the-wrong-one")
        with pytest.raises(LoginRefused, match="does not accept the password for user 'partner'") as raised:
            connect(address_of(server), credentials, IMPATIENT)
        assert server.read_log().count("refused") == 1
        assert "the-wrong-one" not in str(raised.value)


def test_unknown_key_is_reported_by_its_fingerprint(root: Path) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    with start_asyncssh_server(root, methods=["publickey"]) as server:
        credentials = Credentials(
            username=server.username, private_key=stranger.export_private_key().decode()
        )
        with pytest.raises(LoginRefused) as raised:
            connect(address_of(server), credentials, IMPATIENT)
    assert stranger.get_fingerprint() in str(raised.value)


def test_password_logs_in_after_a_refused_key(root: Path) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    with start_asyncssh_server(root) as server:
        credentials = Credentials(
            username=server.username,
            password=server.password or "",
            private_key=stranger.export_private_key().decode(),
        )
        assert_connects(address_of(server), credentials)


def test_server_that_never_starts_sftp_times_out() -> None:
    with two_step_server("password", starts_sftp=False) as server:
        credentials = Credentials(username=server.username, password=server.password)
        with pytest.raises(SftpNotStarted, match="accepted the login but does not start SFTP"):
            connect(server.address, credentials, IMPATIENT)


def test_unusable_key_is_not_a_refused_login(root: Path) -> None:
    with start_asyncssh_server(root) as server, pytest.raises(CredentialsError):
        connect(address_of(server), Credentials(username="partner", private_key="garbage"), IMPATIENT)
