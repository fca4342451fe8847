"""An SSH server that answers a login with raw messages, in any encoding, and whose sessions are scripted.

with ssh_door(lambda asked: [failure("password")]) as door:
    ...
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, OPEN_SUCCEEDED

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.server import Server
from tests.support.faults.paramiko_folder import ParamikoFolder

PASSWORD = "not-a-real-password"


@dataclass(frozen=True)
class Asked:
    """What a client sends: a method and its fields, or `answers` to prompts."""

    method: str
    answers: tuple[str, ...] = ()
    fields: bytes = b""

    @property
    def algorithm(self) -> str:
        message = paramiko.Message(self.fields)
        message.get_boolean()
        return message.get_text()


Script = Callable[[Asked], Sequence[bytes]]


@dataclass
class Door:
    """A running server.

    Attributes:
        address: Where it is.
        login: That of the account, with the password.
        heard: All that clients have sent of a login, in order.
    """

    address: Server
    login: Credentials
    heard: list[Asked] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.heard]


@contextmanager
def ssh_door(
    script: Script,
    *,
    session: Callable[[paramiko.Channel], None] | None = None,
    greets: bytes = b"",
    sends_version: bool = True,
    refuses_channel: bytes | None = None,
    sig_algs: bool = True,
    offers: dict[str, tuple[str, ...]] | None = None,
    host_key: paramiko.PKey | None = None,
    disk: Path | None = None,
) -> Iterator[Door]:
    """Runs a server until the block ends.

    Args:
        script: Returns raw messages for each request of the login.
        session: Called when SFTP is requested; None: starts SFTP.
        greets: Sent before the version line.
        sends_version: Whether a version line follows; otherwise the connection is closed.
        refuses_channel: Text of the refusal of every channel.
        sig_algs: Whether it sends server-sig-algs (RFC 8308).
        offers: `kex`, `ciphers`, `digests` -> names.
        host_key: By default a new Ed25519 key.
        disk: The folder that SFTP shows; None: it can do nothing.
    """
    host_key = host_key or new_key()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = Door(
            address=Server(
                host="127.0.0.1",
                port=listener.getsockname()[1],
                host_keys=(f"{host_key.get_name()} {host_key.get_base64()}",),
            ),
            login=Credentials(username="partner", password=PASSWORD),
        )
        open_ones: list[Any] = []
        sessions: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            if greets:
                connection.sendall(greets)
            if not sends_version:
                connection.shutdown(socket.SHUT_WR)
                return
            kind = paramiko.Transport if refuses_channel is None else _refusing(refuses_channel)
            transport = kind(connection, server_sig_algs=sig_algs)
            open_ones.append(transport)
            for name, names in (offers or {}).items():
                setattr(transport.get_security_options(), name, names)
            transport.add_server_key(host_key)
            transport.auth_handler = _Handler(transport, door, script)
            files = () if disk is None else (partial(ParamikoFolder, root=disk),)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, *files)
            transport.start_server(event=threading.Event(), server=_House(session, sessions))

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    open_ones.append(connection)
                    with suppress(OSError):  # a client that is gone already; others come
                        serve(connection)

        thread = threading.Thread(target=accept, name="ssh door", daemon=True)
        thread.start()
        try:
            yield door
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in open_ones:
                each.close()
            for each in sessions:
                each.join()


def new_key() -> paramiko.PKey:
    text = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    return paramiko.Ed25519Key.from_private_key(io.StringIO(text))


def _refusing(words: bytes) -> type[paramiko.Transport]:
    class Refusing(paramiko.Transport):
        def _parse_channel_open(self, message: paramiko.Message) -> None:
            message.get_text()
            refusal = paramiko.Message()
            refusal.add_bytes(
                _message(92, message.get_int(), OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, words, b"\xe9")
            )
            send: Any = self
            send._send_message(refusal)

    return Refusing


class _Handler(AuthHandler):
    def __init__(self, transport: paramiko.Transport, door: Door, script: Script) -> None:
        super().__init__(transport)
        self._door = door
        self._script = script

    def _parse_userauth_request(self, message: paramiko.Message) -> None:
        message.get_text(), message.get_text()
        method = message.get_text()
        self._answer(Asked(method, fields=message.get_remainder()))

    def _parse_userauth_info_response(self, message: paramiko.Message) -> None:
        answers = tuple(message.get_text() for _ in range(message.get_int()))
        self._answer(Asked("answers", answers))

    def _answer(self, asked: Asked) -> None:
        self._door.heard.append(asked)
        transport: Any = self.transport
        for said in self._script(asked):
            message = paramiko.Message()
            message.add_bytes(said)
            transport._send_message(message)
            if said[0] == 52:
                self.authenticated = True
                transport._auth_trigger()
            if said[0] == 1:
                transport.close()


class _House(paramiko.ServerInterface):
    def __init__(
        self, session: Callable[[paramiko.Channel], None] | None, running: list[threading.Thread]
    ) -> None:
        self._session = session
        self._running = running

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if self._session is None:
            return super().check_channel_subsystem_request(channel, name)
        thread = threading.Thread(target=_serve, args=(self._session, channel), daemon=True)
        self._running.append(thread)
        thread.start()
        return True


def _serve(session: Callable[[paramiko.Channel], None], channel: paramiko.Channel) -> None:
    # A client that has heard enough hangs up while the session still speaks.
    with suppress(EOFError, OSError, paramiko.SSHException):
        session(channel)


# Raw messages (RFC 4252, 4253, 4256).


def _message(number: int, *fields: bytes | str | int | bool) -> bytes:
    message = paramiko.Message()
    message.add_byte(bytes([number]))
    for each in fields:
        match each:
            case bool():
                message.add_boolean(each)
            case int():
                message.add_int(each)
            case _:
                message.add_string(each)
    return message.asbytes()


def success() -> bytes:
    return _message(52)


def failure(*methods: str, partial: bool = False) -> bytes:
    return _message(51, ",".join(methods), partial)


def banner(said: bytes) -> bytes:
    return _message(53, said, b"\xe9")


def wants_new_password(said: bytes) -> bytes:
    return _message(60, said, b"\xe9")


def prompts(*texts: str, said: str = "") -> bytes:
    fields: list[bytes | str | int | bool] = ["", said, b"\xe9", len(texts)]
    for text in texts:
        fields += [text, False]
    return _message(60, *fields)


def disconnect(code: int, said: bytes) -> bytes:
    return _message(1, code, said, b"\xe9")
