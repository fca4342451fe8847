"""An SSH server that violates the transport protocol itself: lengths, counts, windows, key exchanges.

with raw_server(Script(after_newkeys=lambda server: server.say(EXT_INFO, count(2**32 - 1)))) as running:
    connect(running.address, running.login, timeouts)
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.server import Server

DISCONNECT, UNIMPLEMENTED, EXT_INFO = 1, 3, 7
USERAUTH_FAILURE, USERAUTH_INFO_REQUEST = 51, 60
CHANNEL_DATA, CHANNEL_EXTENDED_DATA = 94, 95
PASSWORD = "not-a-real-password"


class RawTransport(paramiko.Transport):
    """The server's side of one connection, which sends any message at any time."""

    script: Script
    packetizer: Any

    def say(self, kind: int, *parts: bytes) -> None:
        """Send any message."""
        message = paramiko.Message()
        message.add_bytes(bytes([kind]) + b"".join(parts))
        self._send_message(message)  # type: ignore[attr-defined] # private to the stubs

    def say_raw(self, data: bytes) -> None:
        """Send raw bytes."""
        self.packetizer.write_all(data)

    def show_key(self, key: paramiko.PKey) -> None:
        """Use another host key from the next key exchange on."""
        self.server_key_dict = {key.get_name(): key}

    def _activate_outbound(self) -> None:
        activate: Any = super()._activate_outbound  # type: ignore[misc] # private to the stubs
        activate()
        if not self.initial_kex_done:
            self.script.after_newkeys(self)

    def _negotiate_keys(self, message: Any) -> None:
        if self.initial_kex_done and self.script.never_renews_keys:
            return
        negotiate: Any = super()._negotiate_keys  # type: ignore[misc] # private to the stubs
        negotiate(message)


def nothing(*_: Any) -> None:
    """Do nothing."""


@dataclass
class Script:
    """How the server departs from the protocol.

    Attributes:
        after_newkeys: Called in its own thread as soon as it can encrypt.
        at_login: Called before the password is checked.
        at_subsystem: Called with the channel when SFTP is requested; it has to answer the requests.
        never_renews_keys: Answers no KEXINIT after the first.
        host_key: By default a new one.
        accepts: Passwords.
    """

    after_newkeys: Callable[[RawTransport], None] = nothing
    at_login: Callable[[RawTransport], None] = nothing
    at_subsystem: Callable[[RawTransport, paramiko.Channel], None] = nothing
    never_renews_keys: bool = False
    host_key: paramiko.PKey | None = None
    accepts: tuple[str, ...] = (PASSWORD,)


@dataclass
class Running:
    """A running server: its address, its login, and the logins and connections that it received."""

    address: Server
    login: Credentials
    logins: list[str] = field(default_factory=list)
    transports: list[RawTransport] = field(default_factory=list)


def new_key() -> paramiko.PKey:
    """Return a new host key."""
    import io

    private = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return paramiko.Ed25519Key.from_private_key(io.StringIO(private.decode()))


@contextmanager
def raw_server(script: Script) -> Iterator[Running]:
    """Runs the server until the block ends."""
    key = script.host_key or new_key()
    with listening(lambda connection: serve(connection)) as port:
        running = Running(
            Server(host="127.0.0.1", port=port, host_keys=(f"{key.get_name()} {key.get_base64()}",)),
            Credentials(username="partner", password=PASSWORD),
        )

        def serve(connection: socket.socket) -> None:
            transport = RawTransport(connection)
            transport.script = script
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", _Subsystem)
            running.transports.append(transport)
            with suppress(paramiko.SSHException):
                transport.start_server(event=threading.Event(), server=_Door(transport, running))

        try:
            yield running
        finally:
            for transport in running.transports:
                transport.close()
            for transport in running.transports:
                transport.join()


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accepts connections on a free port of loopback until the block ends."""
    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    sockets.append(listener.accept()[0])
                    with suppress(OSError):  # a client that is gone already; others come
                        serve(sockets[-1])

        thread = threading.Thread(target=accept, name="raw server", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in sockets:
                connection.close()


class _Door(paramiko.ServerInterface):
    def __init__(self, transport: RawTransport, running: Running) -> None:
        self._transport = transport
        self._running = running

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self._running.logins.append(password)
        self._transport.script.at_login(self._transport)
        return AUTH_SUCCESSFUL if password in self._transport.script.accepts else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


class _Subsystem(paramiko.SubsystemHandler):
    def start_subsystem(self, name: str, transport: Any, channel: paramiko.Channel) -> None:
        with suppress(EOFError, OSError, paramiko.SSHException, struct.error):
            transport.script.at_subsystem(transport, channel)


def text(value: bytes) -> bytes:
    """Encode an SSH string."""
    return number(len(value)) + value


def number(value: int) -> bytes:
    """Encode an SSH uint32."""
    return struct.pack(">I", value)


def read_exactly(channel: paramiko.Channel, size: int) -> bytes:
    """Read this number of bytes from a channel."""
    read = b""
    while len(read) < size:
        if not (more := channel.recv(size - len(read))):
            raise EOFError
        read += more
    return read


def speak_sftp(channel: paramiko.Channel, before_each: Callable[[int], None] = nothing) -> None:
    """Answer INIT with VERSION, OPEN with a handle, and everything else with OK."""
    for count in itertools.count():
        (length,) = struct.unpack(">I", read_exactly(channel, 4))
        body = read_exactly(channel, length)
        before_each(count)
        if body[0] == 1:
            answer = bytes([2]) + number(3) + text(b"posix-rename@openssh.com") + text(b"1")
        elif body[0] == 3:
            answer = bytes([102]) + body[1:5] + text(os.urandom(4))
        else:
            answer = bytes([101]) + body[1:5] + number(0) + text(b"") + text(b"")
        channel.sendall(number(len(answer)) + answer)
