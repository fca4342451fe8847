"""An SSH server that wants two proofs, in a fixed order, before it starts SFTP.

asyncssh knows no partial success, and a normal user's sshd cannot check passwords.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import asyncssh
import paramiko
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.server import InteractiveQuery

from s3_to_sftp.server import Server

Step = Literal["publickey", "password", "keyboard-interactive"]


@dataclass(frozen=True)
class TwoStepServer:
    """A running server: where it is, its login, and the proofs that it took and refused, in order."""

    address: Server
    username: str
    password: str
    private_key: str
    given: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@contextmanager
def two_step_server(
    *steps: Step, starts_sftp: bool = True, one_try_of: Sequence[Step] = ()
) -> Iterator[TwoStepServer]:
    """Runs a server that wants these proofs in this order, for one connection.

    Args:
        steps: The proofs.
        starts_sftp: False: the request for SFTP is never answered.
        one_try_of: Methods that it lists until they are refused once (RFC 4252, section 5.1: those that "can
            continue"); by default it lists the step that is next.
    """
    end = threading.Event()
    host_key = paramiko.Ed25519Key.from_private_key(io.StringIO(_new_key()))
    client_key = _new_key()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = TwoStepServer(
            address=Server(
                host="127.0.0.1",
                port=listener.getsockname()[1],
                host_keys=(f"{host_key.get_name()} {host_key.get_base64()}",),
            ),
            username="partner",
            password="not-a-real-password",
            private_key=client_key,
        )
        transports: list[paramiko.Transport] = []

        def accept() -> None:
            connection, _ = listener.accept()
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer)
            door = _Door(server, steps, sftp_after=None if starts_sftp else end, one_try_of=one_try_of)
            transport.start_server(event=threading.Event(), server=door)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            end.set()
            thread.join()
            for transport in transports:
                transport.close()


def _new_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()


class _Door(paramiko.ServerInterface):
    def __init__(
        self,
        server: TwoStepServer,
        steps: Sequence[Step],
        *,
        sftp_after: threading.Event | None,
        one_try_of: Sequence[Step],
    ) -> None:
        self._one_try_of = one_try_of
        self._sftp_after = sftp_after
        self._server = server
        self._left = list(steps)

    def get_allowed_auths(self, username: str) -> str:
        if self._one_try_of:
            return ",".join(method for method in self._one_try_of if method not in self._server.refused)
        return self._left[0] if self._left else ""

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        expected = paramiko.Ed25519Key.from_private_key(io.StringIO(self._server.private_key))
        return self._take("publickey", good=key == expected)

    def check_auth_password(self, username: str, password: str) -> int:
        return self._take("password", good=password == self._server.password)

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._take("keyboard-interactive", good=responses == [self._server.password])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if self._sftp_after:
            self._sftp_after.wait()
        return super().check_channel_subsystem_request(channel, name)

    def _take(self, step: str, *, good: bool) -> int:
        if not (self._left and step == self._left[0] and good):
            self._server.refused.append(step)
            return AUTH_FAILED
        self._server.given.append(self._left.pop(0))
        return AUTH_PARTIALLY_SUCCESSFUL if self._left else AUTH_SUCCESSFUL
