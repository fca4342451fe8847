"""SSH certificates of the user, and of the server, signed by a pinned authority."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from local.sftp_server import RunningServer, start_sshd
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import HostKeyRefused, LoginRefused
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import connect
from tests.support.partner import IMPATIENT, address_of, assert_connects, log_of_ended, login_of

KINDS = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
pytestmark = pytest.mark.usefixtures("sshd_or_skip")


def public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


# --- users ---


def login_with(key: asyncssh.SSHKey, authority: asyncssh.SSHKey, *principals: str) -> Credentials:
    certificate = authority.generate_user_certificate(key, "function", principals=principals)
    return Credentials(
        username=getpass.getuser(),
        private_key=key.export_private_key().decode(),
        certificate=certificate.export_certificate().decode(),
    )


@contextmanager
def server_that_trusts(authority: asyncssh.SSHKey, root: Path, folder: Path) -> Iterator[RunningServer]:
    trusted = folder / "authority.pub"
    trusted.write_bytes(authority.export_public_key())
    with start_sshd(root, extra_config=["AuthorizedKeysFile none", f"TrustedUserCAKeys {trusted}"]) as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_certificate_logs_in_where_only_the_authority_is_trusted(
    kind: str, root: Path, tmp_path: Path
) -> None:
    authority, key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key(kind)
    login = login_with(key, authority, getpass.getuser())
    with server_that_trusts(authority, root, tmp_path) as server:
        assert_connects(address_of(server), login)


def test_certificate_for_another_user_is_refused_and_reported(root: Path, tmp_path: Path) -> None:
    authority, key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    login = login_with(key, authority, "somebody-else")
    with (
        server_that_trusts(authority, root, tmp_path) as server,
        pytest.raises(LoginRefused, match="does not accept the certificate of the ssh-ed25519 key"),
    ):
        connect(address_of(server), login, IMPATIENT)


# --- hosts ---


@contextmanager
def server_with_certificate(
    root: Path,
    folder: Path,
    authority: asyncssh.SSHKey,
    *,
    kind: str = "ssh-ed25519",
    name: str = "127.0.0.1",
) -> Iterator[RunningServer]:
    key = asyncssh.generate_private_key(kind)
    path = folder / "certified"
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    certificate = authority.generate_host_certificate(key, "host", principals=[name])
    (folder / "certified-cert.pub").write_bytes(certificate.export_certificate())
    config = [f"HostKey {path}", f"HostCertificate {folder / 'certified-cert.pub'}"]
    other = "ssh-rsa" if kind != "ssh-rsa" else "ssh-ed25519"
    with start_sshd(root, extra_config=config, host_key_types=[other]) as server:
        yield server


def assert_connects_with(server: RunningServer, *pinned: str) -> None:
    address = Server(host=server.host, port=server.port, host_keys=pinned)
    assert_connects(address, login_of(server))


@pytest.mark.parametrize("kind", KINDS)
def test_host_key_signed_by_a_pinned_authority_is_accepted(kind: str, root: Path, tmp_path: Path) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    with server_with_certificate(root, tmp_path, authority, kind=kind) as server:
        assert_connects_with(server, f"@cert-authority 127.0.0.* {public(authority)}")


@pytest.mark.parametrize(
    ("name", "patterns", "problem"),
    [
        ("sftp.other.example", "*", "is for other hosts"),
        ("127.0.0.1", "*.partner.example", "not pinned for this host"),
        ("127.0.0.1", "*,!127.0.0.1", "not pinned for this host"),
    ],
)
def test_certificate_of_another_host_is_refused_before_the_login(
    name: str, patterns: str, problem: str, root: Path, tmp_path: Path
) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    with server_with_certificate(root, tmp_path, authority, name=name) as server:
        with pytest.raises(HostKeyRefused, match=problem):
            assert_connects_with(server, f"@cert-authority {patterns} {public(authority)}")
        assert server.username not in log_of_ended(server)


def test_certificate_of_an_authority_that_is_not_pinned_is_refused(root: Path, tmp_path: Path) -> None:
    authority, other = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    with (
        server_with_certificate(root, tmp_path, authority) as server,
        pytest.raises(HostKeyRefused, match="signed by an authority that is not pinned"),
    ):
        assert_connects_with(server, f"@cert-authority * {public(other)}")


def test_server_without_a_certificate_is_refused_where_only_an_authority_is_pinned(root: Path) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    with start_sshd(root) as server:
        with pytest.raises(HostKeyRefused, match="not pinned") as raised:
            assert_connects_with(server, f"@cert-authority * {public(authority)}")
        assert server.host_key in str(raised.value)


def test_plain_key_and_authority_can_be_pinned_together(root: Path, tmp_path: Path) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    with start_sshd(root) as server:
        assert_connects_with(server, f"@cert-authority * {public(authority)}", server.host_key)
