"""No credentials are sent to an unknown server; the error shows the offered key, ready to paste."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_sshd
from s3_to_sftp.errors import HostKeyRefused
from s3_to_sftp.server import Server
from s3_to_sftp.settings import Settings
from s3_to_sftp.sftp.trusting_connect import TrustingConnect
from s3_to_sftp.trusted_host_key import TrustedHostKey
from tests.integration.conftest import skip_without_sshd
from tests.support.partner import IMPATIENT, address_of, assert_connects, log_of_ended, login_of

ALL_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
BOTH_SERVERS = pytest.mark.parametrize("kind", ["sshd", "asyncssh"])


@contextmanager
def server_with(kind: str, root: Path, *types: str) -> Iterator[RunningServer]:
    with ExitStack() as stack:
        if kind == "sshd":
            skip_without_sshd()
            yield stack.enter_context(start_sshd(root, host_key_types=types))
        else:
            yield stack.enter_context(start_asyncssh_server(root, host_key_types=types))


def assert_connects_with(server: RunningServer, *pinned: str) -> str:
    """Connect with these keys pinned; return the fingerprint of the offered key."""
    address = Server(host=server.host, port=server.port, host_keys=pinned)
    return assert_connects(address, login_of(server))


def pasted(error: HostKeyRefused) -> tuple[str, ...]:
    """Return the pinned keys after the line that the error shows was pasted into SSH_HOST_KEY."""
    line = str(error).split("It offers '")[1].split("'")[0]
    environment = {
        "SSH_HOST": "h",
        "SSH_PORT": "22",
        "SSH_USERNAME": "u",
        "SSH_PASSWORD": "p",
        "SSH_HOST_KEY": line,
    }
    return Settings.from_environment(environment).server.host_keys


def new_public_key(kind: str = "ssh-ed25519") -> str:
    return " ".join(asyncssh.generate_private_key(kind).export_public_key().decode().split()[:2])


def fingerprint_of(line: str) -> str:
    return asyncssh.import_public_key(line).get_fingerprint()


@BOTH_SERVERS
def test_any_host_key_of_a_server_can_be_pinned(kind: str, root: Path) -> None:
    with server_with(kind, root, *ALL_TYPES) as server:
        for line in server.host_keys:
            assert assert_connects_with(server, line) == fingerprint_of(line)


@BOTH_SERVERS
def test_comment_of_a_pinned_key_is_ignored(kind: str, root: Path) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        assert_connects_with(server, server.host_key + " root@sftp.partner.example")


@BOTH_SERVERS
def test_one_of_several_pinned_keys_suffices(kind: str, root: Path) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        assert_connects_with(server, new_public_key(), server.host_key)
        assert_connects_with(server, new_public_key("ecdsa-sha2-nistp256"), server.host_key)


@BOTH_SERVERS
def test_unknown_key_is_refused_before_the_login_and_shown_ready_to_paste(kind: str, root: Path) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        other = new_public_key()
        with pytest.raises(HostKeyRefused, match="not pinned") as raised:
            assert_connects_with(server, other)
        assert fingerprint_of(other) in str(raised.value)
        assert server.host_key in str(raised.value)
        assert fingerprint_of(server.host_key) in str(raised.value)
        assert server.username not in log_of_ended(server)
        assert_connects_with(server, *pasted(raised.value))


@BOTH_SERVERS
def test_missing_pinned_key_is_refused_before_the_login_and_the_offered_key_shown(
    kind: str, root: Path
) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        with pytest.raises(HostKeyRefused, match="No host key is pinned") as raised:
            assert_connects_with(server)
        assert server.username not in log_of_ended(server)
        assert_connects_with(server, *pasted(raised.value))


@BOTH_SERVERS
@pytest.mark.parametrize("pinned_type", ["ecdsa-sha2-nistp521", "ssh-rsa"])
def test_pinned_type_that_the_server_lacks_is_refused_and_its_own_key_shown(
    kind: str, pinned_type: str, root: Path
) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        with pytest.raises(HostKeyRefused) as raised:
            assert_connects_with(server, new_public_key(pinned_type))
        assert server.host_key in str(raised.value)
        assert_connects_with(server, *pasted(raised.value))


@BOTH_SERVERS
@pytest.mark.parametrize("garbage", ["ssh-ed25519 not-base64", "ssh-ed25519 AAAA", "made-up-type AAAA"])
def test_malformed_pinned_key_matches_no_server_and_the_offered_key_is_shown(
    kind: str, garbage: str, root: Path
) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        with pytest.raises(HostKeyRefused) as raised:
            assert_connects_with(server, garbage)
        assert server.host_key in str(raised.value)


def test_changed_host_key_is_refused(root: Path) -> None:
    with start_asyncssh_server(root) as before:
        assert_connects_with(before, before.host_key)
    with start_asyncssh_server(root, port=before.port) as after, pytest.raises(HostKeyRefused):
        assert_connects_with(after, before.host_key)


@dataclass
class OperatorsWord:
    """Vouches for one key, for an hour from now."""

    fingerprint: str

    def current(self) -> TrustedHostKey:
        now = time.time()
        return TrustedHostKey(fingerprint=self.fingerprint, since=now, until=now + 3600)


@BOTH_SERVERS
@pytest.mark.parametrize("pinned_type", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_operators_word_for_the_new_key_lets_it_in_and_no_other(
    kind: str, pinned_type: str, root: Path
) -> None:
    with server_with(kind, root, "ssh-ed25519") as server:
        address = address_of(server, host_keys=(new_public_key(pinned_type),))
        shown = fingerprint_of(server.host_key)
        connect = TrustingConnect(OperatorsWord(shown))
        connection = connect(address, login_of(server), IMPATIENT)
        assert connection.is_open()
        assert connection.host_key_fingerprint == shown
        connection.close()
        other = TrustingConnect(OperatorsWord(fingerprint_of(new_public_key())))
        with pytest.raises(HostKeyRefused):
            other(address, login_of(server), IMPATIENT)
