"""Details that a guarantee depends on and that no delivery test shows by itself."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import paramiko
import pytest

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import ConnectionLost, HostKeyRefused, LoginRefused, OutcomeUnknown
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import connect
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.ssh.host_keys import pasteable
from tests.support.delivery_environment import DeliveryEnvironment
from tests.support.faults.ssh_door import ssh_door, success
from tests.support.sftp_environment import SOON

LOGIN = Credentials(username="u", password="p")


class SocketSeen(Exception):
    """Ends the connection before the SSH handshake."""


@pytest.fixture
def listening_server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Server(host="127.0.0.1", port=listener.getsockname()[1])


def options_of(server: Server, timeouts: Timeouts, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Return the TCP options of the socket before the SSH handshake."""
    seen: dict[int, int] = {}

    def transport(sock: socket.socket) -> None:
        with sock:
            seen.update(
                {
                    option: sock.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (
                        socket.TCP_NODELAY,
                        getattr(socket, "TCP_USER_TIMEOUT", socket.TCP_NODELAY),
                    )
                }
            )
        raise SocketSeen

    monkeypatch.setattr("s3_to_sftp.ssh.connect.Transport", transport)
    with pytest.raises(SocketSeen):
        connect(server, LOGIN, timeouts)
    return seen


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no TCP_USER_TIMEOUT")
@pytest.mark.parametrize(("reply", "user_timeout"), [(120, 120_000), (2.5, 60_000)])
def test_tcp_user_timeout_leaves_time_for_the_handshake(
    reply: float, user_timeout: int, listening_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_of(listening_server, Timeouts(reply=reply, handshake=30), monkeypatch)
    assert options[socket.TCP_USER_TIMEOUT] == user_timeout


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no TCP_USER_TIMEOUT")
@pytest.mark.parametrize("reply", [120, 2.5])
def test_tcp_user_timeout_is_the_reply_timeout_behind_the_handshake(reply: float) -> None:
    with ssh_door(lambda _: [success()]) as door:
        connection = connect(door.address, door.login, Timeouts(reply=reply))
        sock = connection.transport.sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == reply * 1000
        connection.close()


def test_nagle_algorithm_is_disabled(listening_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_of(listening_server, Timeouts(), monkeypatch)[socket.TCP_NODELAY]


class LoginRecordingServer(paramiko.ServerInterface):
    """A server of an impostor that records every login."""

    def __init__(self) -> None:
        self.logins: list[str] = []
        self.key = paramiko.ECDSAKey.generate()

    def serve(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        transport = paramiko.Transport(client)
        transport.add_server_key(self.key)
        with contextlib.suppress(paramiko.SSHException, EOFError):  # the client hangs up
            transport.start_server(server=self)
            transport.join(SOON)
        transport.close()

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_none(self, username: str) -> int:
        self.logins.append(username)
        return paramiko.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self.logins.append(password)
        return paramiko.AUTH_FAILED


@pytest.mark.parametrize("is_pinned", [False, True], ids=["another is pinned", "it is pinned"])
def test_login_is_sent_only_to_the_owner_of_a_pinned_host_key(is_pinned: object) -> None:
    recorder = LoginRecordingServer()
    pinned = recorder.key if is_pinned else paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=recorder.serve, args=[listener], daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        server = Server(host="127.0.0.1", port=port, host_keys=(pasteable(pinned),))
        with pytest.raises(LoginRefused if is_pinned else HostKeyRefused):
            connect(server, LOGIN, Timeouts())
        thread.join(SOON)
    assert bool(recorder.logins) == bool(is_pinned)


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    return DeliveryEnvironment(ledger_table, {"a": b"old!"})


def test_file_of_equal_size_and_modification_time_is_no_evidence_of_a_delivery(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.env.disk, "tick", lambda: harness.env.disk.now)  # both within one second
    harness.deliver(harness.ref(sequencer="0A"))
    harness.s3.objects["a"] = b"news"
    newer = harness.ref(sequencer="0B")
    function = harness.function()
    function.sftp.connect()
    harness.env.connection(0).server.script = harness.cut_at_rename(done=False)
    with pytest.raises(ConnectionLost):
        function.deliver(newer, harness.invocation())
    for name in harness.partial:  # the partner deletes them
        del harness.env.files[name]
    with pytest.raises(OutcomeUnknown):
        harness.deliver(newer)
    assert harness.whole == {"inbox/a": b"old!"}
    assert harness.state(newer) == "COMMITTING"
