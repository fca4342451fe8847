"""An SSH server that sends whatever a test wants, at any step: nothing, malformed replies, false limits.

It speaks SFTP by itself, message by message, since a library would not let it lie. Files live in memory.

with hostile_server(Behaviour(script=silent(Request.WRITE))) as server:
    ...
"""

from __future__ import annotations

import io
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncssh
import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Answer, Request, Status, read_text, text

Step = Literal["connect", "banner", "auth", "channel", "subsystem"]
Files = dict[str, bytearray]
Script = Callable[["Asked"], bytes | None]
"""Returns the reply to a request, or None for the correct one. Raises EOFError to close the channel."""

NOTHING = b""


@dataclass(frozen=True)
class Asked:
    """A request: its kind, its position among all requests of the session, its id and the rest of it."""

    kind: int
    place: int
    id: int
    payload: bytes

    @property
    def first_text(self) -> str:
        return read_text(self.payload)[0].decode("latin-1")


@dataclass
class Behaviour:
    """How the server behaves.

    Attributes:
        silent_at: The step from which on it sends nothing.
        greets: Sent in place of its SSH banner.
        script: Answers to SFTP requests; one is shared by all sessions.
        max_write: The limit of a WRITE that it states.
        ciphers: Offered in later key exchanges.
        drips_at: Replies to requests of this kind are sent byte by byte.
        drip_seconds: The time between two of these bytes.
    """

    silent_at: Step | None = None
    greets: bytes | None = None
    script: Script = field(default=lambda asked: None)
    max_write: int = 261_120
    ciphers: tuple[str, ...] = ()
    drips_at: int | None = None
    drip_seconds: float = 0.1


@dataclass
class HostileServer:
    """A running server: its address, its login, and its files."""

    address: Server
    login: Credentials
    behaviour: Behaviour
    files: Files = field(default_factory=dict)
    sockets: list[socket.socket] = field(default_factory=list)
    transports: list[paramiko.Transport] = field(default_factory=list)
    goodbye: threading.Event = field(default_factory=threading.Event)

    def renew_keys(self) -> None:
        """Exchange keys on all connections that are logged in, with the ciphers of the behaviour."""
        for transport in filter(paramiko.Transport.is_authenticated, self.transports):
            transport.get_security_options().ciphers = self.behaviour.ciphers
            transport.renegotiate_keys()


@contextmanager
def hostile_server(behaviour: Behaviour) -> Iterator[HostileServer]:
    """Runs the server until the block ends."""
    key_text = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    host_key = paramiko.Ed25519Key.from_private_key(io.StringIO(key_text))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HostileServer(
            address=Server(
                host="127.0.0.1",
                port=listener.getsockname()[1],
                host_keys=(f"{host_key.get_name()} {host_key.get_base64()}",),
            ),
            login=Credentials(username="partner", password="not-a-real-password"),
            behaviour=behaviour,
        )

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    server.sockets.append(connection)
                    with suppress(OSError):  # a client that is gone already; others come
                        _serve(server, connection, host_key)

        thread = threading.Thread(target=accept, name="hostile server", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.goodbye.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for transport in server.transports:
                transport.close()
            for connection in server.sockets:
                connection.close()


def _serve(server: HostileServer, connection: socket.socket, host_key: paramiko.PKey) -> None:
    behaviour = server.behaviour
    if behaviour.silent_at == "connect":
        return
    if behaviour.greets is not None or behaviour.silent_at == "banner":
        with suppress(OSError):
            connection.sendall(behaviour.greets or b"SSH-2.0-Slow_1.0\r\n")
        return
    transport = paramiko.Transport(connection)
    server.transports.append(transport)
    transport.add_server_key(host_key)
    transport.set_subsystem_handler("sftp", _Sftp, server)
    with suppress(paramiko.SSHException):
        transport.start_server(event=threading.Event(), server=_Door(server))


class _Door(paramiko.ServerInterface):
    def __init__(self, server: HostileServer) -> None:
        self._server = server

    def _maybe_silent(self, step: Step) -> None:
        if self._server.behaviour.silent_at == step:
            self._server.goodbye.wait()

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self._maybe_silent("auth")
        return AUTH_SUCCESSFUL if password == self._server.login.password else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._maybe_silent("channel")
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        self._maybe_silent("subsystem")
        return super().check_channel_subsystem_request(channel, name)


class _Sftp(paramiko.SubsystemHandler):
    def __init__(self, channel: paramiko.Channel, name: str, door: Any, server: HostileServer) -> None:
        super().__init__(channel, name, door)
        self._hostile = server
        self._handles: dict[bytes, str] = {}
        self._numbers = itertools.count()

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        stream = channel.makefile("rb")
        places = itertools.count(1)
        with suppress(EOFError, OSError, paramiko.SSHException, struct.error):
            while True:
                (length,) = struct.unpack(">I", stream.read(4))
                body = stream.read(length)
                asked = _asked(body, next(places))
                answer = self._hostile.behaviour.script(asked)
                answer = self._right_answer(asked) if answer is None else answer
                self._say(channel, answer, drips=asked.kind == self._hostile.behaviour.drips_at)

    def _say(self, channel: paramiko.Channel, answer: bytes, *, drips: bool) -> None:
        if answer and not drips:
            channel.sendall(answer)
        elif answer:
            for byte in answer:
                channel.sendall(bytes([byte]))
                self._hostile.goodbye.wait(self._hostile.behaviour.drip_seconds)

    def _right_answer(self, asked: Asked) -> bytes:
        files, payload = self._hostile.files, asked.payload
        if asked.kind == 1:
            extensions = text(POSIX_RENAME) + text("1") + text(LIMITS) + text("1")
            return framed(Answer.VERSION, struct.pack(">I", 3) + extensions)
        first, offset = read_text(payload)
        match asked.kind:
            case Request.OPEN:
                (flags,) = struct.unpack_from(">I", payload, offset)
                files[first.decode()] = bytearray() if flags & 0x10 else files[first.decode()]
                handle = b"%d" % next(self._numbers)
                self._handles[handle] = first.decode()
                return framed(Answer.HANDLE, struct.pack(">I", asked.id) + text(handle))
            case Request.WRITE:
                place, length = struct.unpack_from(">QI", payload, offset)
                file = files[self._handles[first]]
                file.extend(bytes(max(0, place + length - len(file))))
                file[place : place + length] = payload[offset + 12 :]
            case Request.REMOVE:
                files.pop(first.decode(), None)
            case Request.EXTENDED if first == LIMITS.encode():
                limits = struct.pack(">QQQQ", 262_144, 261_120, self._hostile.behaviour.max_write, 100)
                return framed(Answer.EXTENDED_REPLY, struct.pack(">I", asked.id) + limits)
            case Request.EXTENDED:
                old, offset = read_text(payload, offset)
                files[read_text(payload, offset)[0].decode()] = files.pop(old.decode())
        return status(asked.id)


def _asked(body: bytes, place: int) -> Asked:
    if body[0] == 1:
        return Asked(1, place, -1, body[1:])
    (number,) = struct.unpack_from(">I", body, 1)
    return Asked(body[0], place, number, body[5:])


def framed(kind: int, body: bytes) -> bytes:
    """Encode a message: length, type, body."""
    return struct.pack(">IB", 1 + len(body), kind) + body


def status(request_id: int, code: int = Status.OK) -> bytes:
    """Encode a STATUS reply."""
    return framed(Answer.STATUS, struct.pack(">II", request_id, code) + text("said the partner") + text(""))
