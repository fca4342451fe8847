"""An SFTP server whose accepted login changes while it runs, and that counts the refused ones."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from local.processes import LOOPBACK
from local.sftp_server import loop_in_a_thread
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.server import Server


@dataclass
class RotatingServer:
    """A running server.

    Attributes:
        address: Where it is, with its host key.
        root: The folder that every login sees as `/`.
        accepts: The logins that are let in.
        accepted: User names of the logins that were let in.
        refused: One entry for each connection in which something was refused: the user name.
        inside: The open connections.
        opened: Number of files that were opened.
        at_file: The login changes to this one when that many files have been opened.
    """

    address: Server
    root: Path
    accepts: set[Credentials]
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    inside: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    opened: int = 0
    at_file: tuple[int, Credentials] | None = None
    _run: Callable[[Awaitable[Any]], Any] = field(default=lambda _work: None, repr=False)

    def change(self, *logins: Credentials, cut: bool = True) -> None:
        """Let these logins in from now on, and no others.

        Args:
            logins: The new ones.
            cut: Whether the connections of the old ones end.
        """
        self.accepts = set(logins)
        if cut:
            self._run(self.cut())

    async def cut(self) -> None:
        """Cut every connection."""
        self.cut_now()

    def cut_now(self) -> None:
        """Cut every connection, in the server's own thread."""
        for connection in self.inside:
            connection.abort()
        self.inside.clear()


class _Reception(asyncssh.SSHServer):
    """Checks the logins of one connection."""

    def __init__(self, server: RotatingServer) -> None:
        self._server = server
        self._is_refused = False

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.inside.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.inside.discard(self._connection)

    def auth_completed(self) -> None:
        self._server.accepted.append(self._connection.get_extra_info("username"))

    def public_key_auth_supported(self) -> bool:
        return any(login.private_key for login in self._server.accepts)

    def password_auth_supported(self) -> bool:
        return any(login.password for login in self._server.accepts)

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_password(self, username: str, password: str) -> bool:
        found = any(
            (login.username, login.password) == (username, password) for login in self._server.accepts
        )
        return self._noted(username, is_good=found)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        found = any(
            login.username == username
            and login.private_key
            and asyncssh.import_private_key(login.private_key).public_data == key.public_data
            for login in self._server.accepts
        )
        return self._noted(username, is_good=found)

    def _noted(self, username: str, *, is_good: bool) -> bool:
        # One that is cut amid its login hears of no refusal.
        if not is_good and not self._is_refused and self._connection in self._server.inside:
            self._is_refused = True
            self._server.refused.append(username)
        return is_good


class _Files(asyncssh.SFTPServer):
    """The SFTP side of a session."""

    def __init__(self, server: RotatingServer, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(chan, chroot=os.fsencode(server.root.resolve()))
        self._server = server

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self._server.opened += 1
        if self._server.at_file and self._server.opened == self._server.at_file[0]:
            self._server.change(self._server.at_file[1], cut=False)
            self._server.cut_now()
        return super().open(path, pflags, attrs)


@contextmanager
def rotating_server(root: Path, *accepts: Credentials) -> Iterator[RotatingServer]:
    """Run a server that lets these logins in until the block ends."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    line = " ".join(host_key.export_public_key().decode().split()[:2])
    server = RotatingServer(Server(host=LOOPBACK, port=0), root, set(accepts))

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            host=LOOPBACK,
            port=0,
            server_factory=functools.partial(_Reception, server),
            server_host_keys=[host_key],
            sftp_factory=functools.partial(_Files, server),
        )

    async def close(acceptor: asyncssh.SSHAcceptor) -> None:
        acceptor.close()
        await acceptor.wait_closed()
        inside = list(server.inside)
        await server.cut()
        await asyncio.gather(*(connection.wait_closed() for connection in inside))

    with loop_in_a_thread() as run:
        acceptor = run(listen())
        server.address = Server(host=LOOPBACK, port=acceptor.get_port(), host_keys=(line,))
        server._run = run
        try:
            yield server
        finally:
            run(close(acceptor))
