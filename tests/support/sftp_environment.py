"""A partner in memory that takes several connections, each to a scripted server over one disk."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.capabilities import Capabilities
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, TransferTuning
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.scripted_server import Disk, Script, ScriptedServer

SERVER = Server(host="sftp.partner.example", port=22)
LOGIN = Credentials(username="u", password="p")
SOON = 120
"""Seconds to wait for what must happen; a passing test does not wait that long."""


CHANNEL = -1
"""The number of a second channel."""


def done() -> Future[None]:
    """Return a future that has its result."""
    future: Future[None] = Future()
    future.set_result(None)
    return future


@dataclass
class MemoryJournal:
    """Records which names may exist at the partner.

    Attributes:
        names: Each name with its last known state.
        moves: Returns the future that a move of the partner's old file waits for.
    """

    names: dict[str, str] = field(default_factory=dict)
    moves: Callable[[], Future[None]] = done

    def will_move_aside(self, name: str, _path: str) -> Future[None]:
        self.names[name] = "moving"
        return self.moves()

    def rename_resolved(self, name: str) -> None:
        self.names[name] = "settled"

    def blocked(self, name: str) -> None:
        self.names[name] = "blocked"

    def gone(self, name: str) -> None:
        self.names.pop(name, None)


@dataclass
class MemoryConnection:
    """A connection to a scripted server."""

    env: SftpEnvironment
    number: int
    server: ScriptedServer
    session: SftpSession
    closed: bool = False
    host_key_fingerprint: str = "SHA256:abc"

    @property
    def transport(self) -> Any:
        return SimpleNamespace(identification=self.env.version)

    def shown(self) -> KnownServer:
        return KnownServer(
            host_key=self.host_key_fingerprint, version=self.env.version, round_trip=self.env.round_trip
        )

    def another_channel(self) -> MemoryConnection:
        self.env.tried[CHANNEL] += 1
        self.env.before_connect.get(CHANNEL, lambda: None)()
        return self.env.serve(CHANNEL)

    def is_open(self) -> bool:
        return not (self.closed or self.session.is_over)

    def close(self) -> None:
        self.closed = True
        self.server.broken = EOFError("closed by ourselves")


class ProvenPool(ConnectionPool):
    """The pool of a server that has passed every probe."""

    capabilities = Capabilities(resume=True, parallel_connections=True, parallel_channels=True)

    def not_shown_to_keep(self, _connections: object) -> dict[int, Any]:
        return {}


def _healthy(_asked: object) -> None:
    return None


@dataclass
class SftpEnvironment:
    """Connects to scripted servers, and counts the connections.

    Attributes:
        scripts: Number of a connection -> script of its server. Read at each connect.
        before_connect: Number of a connection -> called before it connects; may raise or wait.
        before_accepting: Number of a connection -> called when it has sent its login; may raise or wait.
        before_channel: Number of a connection -> called when its login is accepted; may wait.
        hints: What each connection was told to be known.
        made: Every connection so far.
        tried: How often each connection was requested.
        round_trip: Seconds, as the login measures it.
    """

    scripts: dict[int, Script] = field(default_factory=dict)
    before_connect: dict[int, Callable[[], object]] = field(default_factory=dict)
    before_accepting: dict[int, Callable[[], object]] = field(default_factory=dict)
    before_channel: dict[int, Callable[[], object]] = field(default_factory=dict)
    hints: list[KnownServer | None] = field(default_factory=list)
    max_write: int = 128 * 1024
    """A WRITE of this length is sent on its own."""
    round_trip: float = 0.1
    fingerprint: str = "SHA256:abc"
    version: str = "SSH-2.0-scripted"
    kind: type[ScriptedServer] = ScriptedServer
    extensions: dict[str, bytes] | None = None
    proven: bool = True
    """Whether parallel writes and resume are proven already."""
    channels: bool = False
    """Whether a second channel may be opened."""
    disk: Disk = field(default_factory=Disk)
    tuning: TransferTuning = DEFAULT_TUNING
    made: list[MemoryConnection] = field(default_factory=list)
    tried: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    logins: list[Credentials] = field(default_factory=list)

    def connect(
        self,
        server: Server,
        credentials: Credentials,
        timeouts: Timeouts,
        logged_in: Callable[[float], None] = lambda _round_trip: None,
        *,
        known: KnownServer | None = None,
        connected: Callable[[], None] = lambda: None,
        before_login: Callable[[], None] = lambda: None,
        accepted: Callable[[], None] = lambda: None,
    ) -> Any:
        assert server == SERVER
        number = stream_number()
        self.tried[number] += 1
        self.hints.append(known)
        self.before_connect.get(number, lambda: None)()
        connected()
        before_login()
        self.logins.append(credentials)
        self.before_accepting.get(number, lambda: None)()
        accepted()
        self.before_channel.get(number, lambda: None)()
        logged_in(self.round_trip)
        return self.serve(number, known)

    def serve(self, number: int, known: KnownServer | None = None) -> MemoryConnection:
        script = self.scripts.get(number, _healthy)
        scripted = self.kind(script, max_write=self.max_write, disk=self.disk, extensions=self.extensions)
        connection = MemoryConnection(
            self,
            number,
            scripted,
            scripted.session(known.extensions if known else None),
            host_key_fingerprint=self.fingerprint,
        )
        connection.session.round_trip = self.round_trip
        self.made.append(connection)
        return connection

    def pool(self, limit: int = 1, **more: Any) -> ConnectionPool:
        kind = ProvenPool if self.proven else ConnectionPool
        pool = kind(
            SERVER, FixedCredentials(LOGIN), timeouts=Timeouts(), limit=limit, connect=self.connect, **more
        )
        if not self.channels:
            pool._accepted_streams._disabled_until[CHANNEL] = math.inf
        return pool

    def client(self, max_connections: int = 1, *, login: Credentials = LOGIN, **more: Any) -> SftpClient:
        return SftpClient(
            SERVER,
            FixedCredentials(login),
            timeouts=Timeouts(),
            max_connections=max_connections,
            connect=self.connect,
            **{"tuning": self.tuning, **more},
        )

    def connection(self, number: int) -> MemoryConnection:
        """The newest connection of this number."""
        return [connection for connection in self.made if connection.number == number][-1]

    @property
    def files(self) -> dict[str, bytearray]:
        return self.disk.files


def stream_number() -> int:
    """Return the number of the stream that this thread runs; 0 for the first one."""
    name = threading.current_thread().name
    return int(name.removeprefix("stream-")) if name.startswith("stream-") else 0


def stream_threads() -> list[threading.Thread]:
    """Return the threads of the streams that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("stream-")]


def wait_for_streams(threads: Iterable[threading.Thread] | None = None) -> None:
    """Wait until the streams have ended."""
    for thread in stream_threads() if threads is None else threads:
        thread.join(SOON)
        assert not thread.is_alive()
