"""Fresh functions that know a real server: all connections at once, and whatever has changed meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_sshd
from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.errors import LoginRefused, SftpNotStarted
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.connection import Connection, connect
from s3_to_sftp.sftp.upload_request import TransferTuning
from s3_to_sftp.ssh.host_keys import pinned_fingerprints
from tests.integration.conftest import skip_without_sshd
from tests.integration.test_interop import PATIENT, SERVERS, remote
from tests.support.known_servers import MemoryKnownServers
from tests.support.partner import address_of, connections, contents_below, login_of, send, tuned
from tests.support.sftp_environment import SOON, stream_number, wait_for_streams
from tests.support.sources import GatheringSource
from tests.support.two_step_server import Step, two_step_server

STREAMS = 4
CONTENT = os.urandom(3_000_000)
ANY_DISTANCE: TransferTuning = tuned(255 * 1024)
PASSWORD = "not-a-real-password"


def client_of(
    server: RunningServer, known: MemoryKnownServers, *, login: Credentials | None = None, **more: Any
) -> SftpClient:
    return SftpClient(
        address_of(server),
        FixedCredentials(login or login_of(server)),
        timeouts=PATIENT,
        max_connections=STREAMS,
        known=known,
        tuning=ANY_DISTANCE,
        **more,
    )


def function(server: RunningServer, known: MemoryKnownServers, name: str, **more: Any) -> int:
    """Send a file from a fresh function; return the number of its streams."""
    client = client_of(server, known, **more)
    try:
        streams = send(client, GatheringSource(CONTENT), remote(server, name))
        wait_for_streams()
        client.end_of_invocation(keep_first=False)
    finally:
        client.close()
    return streams


def learned(server: RunningServer) -> KnownServer:
    known = MemoryKnownServers()
    function(server, known, "first")
    assert known.known is not None
    return known.known


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, root: Path) -> Iterator[RunningServer]:
    with SERVERS[request.param](root) as running:
        yield running


@pytest.fixture
def sshd(root: Path) -> Iterator[RunningServer]:
    skip_without_sshd()
    with start_sshd(root) as running:
        yield running


class Together:
    """Lets the first login wait until the other connections have exchanged keys, too."""

    def __init__(self, streams: int) -> None:
        self.ready = threading.Semaphore(0)
        self._streams = streams

    def __call__(
        self, *args: Any, before_login: Callable[[], None] = lambda: None, **more: Any
    ) -> Connection:
        def wait() -> None:
            if stream_number():
                self.ready.release()
            else:
                for _ in range(self._streams - 1):
                    assert self.ready.acquire(timeout=SOON), "streams wait for the first login"
            before_login()

        return connect(*args, before_login=wait, **more)


def test_file_arrives_whole_from_a_function_that_knows_the_server(server: RunningServer, root: Path) -> None:
    known = MemoryKnownServers(learned(server))
    before = known.known
    for number in range(3):
        function(server, known, f"file {number}")
    assert known.forgotten == []
    assert known.known is not None
    assert before is not None
    assert known.known.is_same_server(host_key=before.host_key, version=before.version)
    assert set(contents_below(root).values()) == {CONTENT}
    assert len(contents_below(root)) == 4, "probe files are removed"


def test_fresh_function_opens_all_its_connections_before_the_first_login(sshd: RunningServer) -> None:
    known = MemoryKnownServers(replace(learned(sshd), connections=STREAMS, streams=True, round_trip=0.1))
    before = connections(sshd)
    function(sshd, known, "file", connect=Together(STREAMS))
    assert known.forgotten == []
    assert connections(sshd) - before <= STREAMS


def test_partner_that_limits_logins_under_way_refuses_streams_and_not_the_first(root: Path) -> None:
    skip_without_sshd()
    with start_sshd(root, extra_config=["MaxStartups 1:100:1"]) as server:
        known = MemoryKnownServers(
            replace(learned(server), connections=STREAMS, streams=True, round_trip=0.1, at_once=0)
        )
        function(server, known, "file")
        assert known.forgotten
        assert known.known is not None
        assert known.known.at_once < STREAMS


def test_refused_login_is_sent_once_by_all_connections_together(root: Path) -> None:
    with start_asyncssh_server(root, password=PASSWORD, methods=["password"]) as server:
        login = Credentials(username=server.username, password=PASSWORD)
        known = MemoryKnownServers()
        function(server, known, "first", login=login)
        assert known.known is not None
        assert known.known.method == "password"
        known.known = replace(known.known, connections=STREAMS, streams=True, round_trip=0.1)
        wrong = Credentials(username=server.username, password="another")
        client = client_of(server, known, login=wrong, connect=Together(STREAMS))
        with pytest.raises(LoginRefused):
            send(client, GatheringSource(CONTENT), remote(server, "second"))
        wait_for_streams()
        client.close()
        refused = [line for line in server.read_log().splitlines() if "refused" in line]
        assert len(refused) == 1, refused
        assert known.known is None


def test_method_that_is_no_longer_taken_is_asked_for_anew(root: Path) -> None:
    with start_asyncssh_server(root, password=PASSWORD, methods=["keyboard-interactive"]) as server:
        login = Credentials(username=server.username, password=PASSWORD)
        known = MemoryKnownServers()
        function(server, known, "first", login=login)
        assert known.known is not None
        assert known.known.method == "keyboard-interactive"
        known.known = replace(known.known, method="password", offered=("password",))
        function(server, known, "second", login=login)
        assert known.known.method == "keyboard-interactive"


BOTH: tuple[Step, Step] = ("password", "keyboard-interactive")


@pytest.mark.parametrize(("offered", "tried"), [(BOTH, ["password"]), (("password",), list(BOTH))])
def test_password_that_is_refused_is_not_sent_by_a_method_that_was_there_before(
    offered: tuple[str, ...], tried: list[str]
) -> None:
    with two_step_server("password", one_try_of=BOTH) as server:
        fingerprint = (pinned_fingerprints(server.address) or ("",))[0]
        known = KnownServer(
            host_key=fingerprint,
            version=f"SSH-2.0-paramiko_{paramiko.__version__}",
            method="password",
            offered=offered,
        )
        wrong = Credentials(username=server.username, password="another")
        with pytest.raises(LoginRefused):
            connect(server.address, wrong, PATIENT, known=known)
        assert server.refused == tried


def test_methods_that_are_offered_are_learned(root: Path) -> None:
    with start_asyncssh_server(root, password=PASSWORD, methods=["password"]) as server:
        login = Credentials(username=server.username, password=PASSWORD)
        known = MemoryKnownServers()
        function(server, known, "first", login=login)
        assert known.known is not None
        assert known.known.offered == ("password",)


def test_methods_that_were_not_asked_for_stay_known(root: Path) -> None:
    with start_asyncssh_server(root, password=PASSWORD, methods=["password"]) as server:
        login = Credentials(username=server.username, password=PASSWORD)
        first = connect(address_of(server), login, PATIENT)
        known = replace(first.shown(), offered=BOTH)
        first.close()
        unasked = connect(address_of(server), login, PATIENT, known=known)
        unasked.session.start()
        assert unasked.shown().offered == BOTH
        unasked.close()


def test_login_begins_with_the_signature_that_was_accepted(root: Path, tmp_path: Path) -> None:
    skip_without_sshd()
    key = asyncssh.generate_private_key("ssh-rsa")
    authorized = tmp_path / "authorized"
    authorized.write_bytes(key.export_public_key())
    with start_sshd(root, extra_config=[f"AuthorizedKeysFile {authorized}"]) as server:
        login = Credentials(username=server.username, private_key=key.export_private_key().decode())
        known = MemoryKnownServers()
        function(server, known, "first", login=login)
        assert known.known is not None
        assert known.known.signature == "rsa-sha2-512"
        known.known = replace(known.known, signature="rsa-sha2-256")
        function(server, known, "second", login=login)
        assert known.known.signature == "rsa-sha2-256"


@pytest.mark.parametrize("other", [{"version": "SSH-2.0-OpenSSH_1.0"}, {"host_key": "SHA256:other"}])
def test_another_server_is_asked_for_everything(other: dict[str, str], sshd: RunningServer) -> None:
    known = MemoryKnownServers(replace(learned(sshd), **other))
    function(sshd, known, "file")
    assert "the server is now" in known.forgotten[0]


def test_window_that_stays_closed_is_waited_for_when_it_was_not_expected(sshd: RunningServer) -> None:
    known = MemoryKnownServers(replace(learned(sshd), opens_window_late=False))
    function(sshd, known, "file")
    assert known.forgotten == []


@pytest.mark.parametrize("subsystem", ["", "/bin/false", "/bin/echo This account is closed."])
def test_sftp_that_no_longer_starts_is_explained_as_ever(subsystem: str, root: Path) -> None:
    skip_without_sshd()
    with start_sshd(root) as server:
        shown = learned(server)
    with start_sshd(root, subsystem=subsystem) as server:
        fingerprint = (pinned_fingerprints(address_of(server)) or ("",))[0]
        known = MemoryKnownServers(replace(shown, host_key=fingerprint))
        client = client_of(server, known)
        with pytest.raises(SftpNotStarted):
            send(client, GatheringSource(CONTENT), "file")
        wait_for_streams()
        client.close()
        assert known.by_shortcut
