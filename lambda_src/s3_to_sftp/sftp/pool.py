"""The partner's warm connections: reused while they are the right ones and still answer."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from s3_to_sftp.credentials import Credentials, CredentialSource
from s3_to_sftp.errors import ConnectionLost, TransferError
from s3_to_sftp.known_server import KnownServer, KnownServers
from s3_to_sftp.server import Server
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.capabilities import CHANNEL, AcceptedStreams, Capabilities
from s3_to_sftp.sftp.connection import Connect, Connection, connect
from s3_to_sftp.sftp.connector import Connector
from s3_to_sftp.sftp.server_memory import ServerMemory
from s3_to_sftp.ssh.connect import Timeouts

if TYPE_CHECKING:
    from s3_to_sftp.sftp.pace import Pace  # loaded where a bandwidth is set

_log = logging.getLogger(__name__)

_TRUSTED_FOR_SECONDS = 2.0
"""After this much idleness a connection must answer a ping before it is used. A frozen function cannot
notice that the partner or a NAT gateway has dropped it."""


class ConnectionPool:
    """Keeps up to `limit` connections to one server with one login.

    The key of a connection is everything that identifies it: server, pinned host keys and login.
    When the secret has changed, the old connections are no longer used.

    Each connection has a number. Number 0 is the one that every delivery uses; the others are streams of
    large objects, and a stream's thread is the only one that uses its connection.
    """

    def __init__(
        self,
        server: Server,
        credentials: CredentialSource,
        *,
        timeouts: Timeouts,
        limit: int = 1,
        directories: Sequence[str] = (),
        pace: "Pace | None" = None,
        connect: Connect = connect,
        known: KnownServers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self._connector = Connector(
            server, credentials, timeouts=timeouts, connect=connect, known=known, clock=clock
        )
        self.memory = ServerMemory(self._connector.known)
        """What the server has shown, for later functions."""
        self._takes_several = limit > 1
        self._accepted_streams = AcceptedStreams(server, max_connections=limit, clock=clock)
        self._proven: tuple[Connection | None, Capabilities] = None, Capabilities()
        self._kept_together: tuple[Connection | None, dict[int, Connection]] = None, {}
        self._directories = tuple(directories)
        self._pace = pace
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._is_resting = False
        self._first_is_up = threading.Event()
        # A stream that comes too late for one object leaves its connection to the next.
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._open: dict[int, Connection] = {}
        self._logins: dict[int, Credentials] = {}
        self._used_at: dict[int, float] = {}
        self.reused = False
        """Whether `first` last returned a connection that had been used before."""
        self.host_key_fingerprint = ""
        """Of the server behind the connection that `first` last returned."""
        self.is_windows = False
        """Whether that one says that it runs on Windows."""

    @property
    def identity(self) -> ServerIdentity:
        """The server and the account behind the connection that `first` last returned."""
        login = self._connector.login
        return self._connector.identity(
            user=login.username if login else "", host_key=self.host_key_fingerprint
        )

    @property
    def account(self) -> str:
        """The login, and where it leads, of the next connection: `user@host:port`.

        Raises:
            CredentialsError: It cannot be read.
        """
        return self._connector.identity(user=self._connector.next_login().username).account

    def first(
        self, logged_in: Callable[[float], None] = lambda _round_trip: None, *, started: bool = True
    ) -> Connection:
        """Return connection 0: the warm one if it answers, else a new one.

        Args:
            logged_in: Called with the round trip in seconds once the partner has accepted the
                login, which is before this returns: further streams may be connected from then on.
            started: Whether to wait until SFTP has started; otherwise see `SftpSession.start`.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        try:
            connection = self._first(logged_in)
            if started and not connection.session.has_started:
                connection = self._started(connection)
            return connection
        finally:
            self._connector.end_first_login()

    def _started(self, connection: Connection) -> Connection:
        try:
            connection.session.start()
        except TransferError as error:
            self.contradicted(error.reason)
            return self._first(lambda _round_trip: None)
        return connection

    def contradicted(self, reason: str) -> None:
        """Forget what was known of the server, and close connection 0, which has relied on it."""
        self._connector.known.forget(reason, by_shortcut=True)
        self.drop(0)

    def known_for_streams(self) -> KnownServer | None:
        """Return what is known of the server if streams may be opened before `first`, else None.

        Not where connection 0 stands: it tells at once how far the server is.

        Raises:
            CredentialsError: The login cannot be read.
        """
        return None if 0 in self._open else self._connector.known_for_streams()

    def expect_first_login(self, numbers: Sequence[int]) -> None:
        """Let these streams, opened before `first`, wait with their login for that of connection 0."""
        with self._lock:
            self._is_resting = False
        self.memory.note_beside(numbers)
        self._connector.expect_first_login()

    def expects_parallel_writes(self, number: int) -> bool:
        """Return whether the server is known to keep together what this stream and the first one write."""
        return self.memory.expects_parallel_writes(number, self._open.get(0))

    def _first(self, logged_in: Callable[[float], None]) -> Connection:
        with self._lock:
            self._is_resting = False
        login = self._connector.next_login()
        if login != self._connector.login:
            self._drop_all()
        connection = self._open.get(0)
        self.reused = connection is not None and self._answers(0, connection)
        if connection is None or not self.reused:
            self.drop(0)
            self._first_is_up.clear()
            try:
                connection = self._connector.open_first(login, logged_in)
                self._keep(0, connection, self._connector.login or login)
            finally:
                self._first_is_up.set()
        else:
            logged_in(connection.session.round_trip)
        self.touch(0)
        if not self.reused:
            self.memory.compare(connection)
        if self.host_key_fingerprint not in {"", connection.host_key_fingerprint}:
            self._accepted_streams.forget_refusals()
            self.memory.forget_refusals()
        self.host_key_fingerprint = connection.host_key_fingerprint
        self.is_windows = connection.session.is_windows
        return connection

    def learn(self, *, files: int | None) -> None:
        """Remember what the server has shown over the connections that are open now. Never raises.

        Args:
            files: Open files that it accepts on a connection; None: that was not found out.
        """
        try:
            self.memory.learn(
                self._open.get(0),
                login=lambda: self._connector.login_name,
                limit=self.limit,
                proven=self.capabilities,
                files=files,
            )
        except Exception as error:  # noqa: BLE001 - the invocation has done its work
            _log.warning("what %s has shown is not remembered: %s", self.server, error)

    def another(self) -> tuple[Connection, Callable[[], None]]:
        """Return a connection that is opened now, and what to call when it is no longer needed.

        A further channel where the server allows it, else connection 0, made anew.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        if self._accepted_streams.allows_channel:
            try:
                channel = self.first().another_channel()
            except TransferError as error:
                self._accepted_streams.disable_channel(error)
            else:
                return channel, channel.close
        self.drop(0)
        return self.first(), lambda: None

    def stream(self, number: int) -> Connection:
        """Return the connection of a further stream. Called from its thread, once `first` is logged in.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        with self._locks[number]:
            connection = self._open.get(number)
            login = self._connector.login or self._connector.next_login()
            # One that was still connecting when the login changed came too late to be closed with the others.
            outdated = self._logins.get(number) != login
            if connection is None or outdated or not self._answers(number, connection):
                self.drop(number)
                connection = self._new_stream(number, login)
                self._keep(number, connection, login)
            self.touch(number)
            return connection

    def _new_stream(self, number: int, login: Credentials) -> Connection:
        if number != CHANNEL:
            return self._connector.open_stream(login)
        self._first_is_up.wait()
        first = self._open.get(0)
        if first is None:
            raise ConnectionLost(f"{self.server} was lost.", hint="It will be retried.")
        return first.another_channel()

    @property
    def capabilities(self) -> Capabilities:
        """What the server behind this connection 0 has proven; the next one may lead to another server."""
        proven_on, capabilities = self._proven
        is_current = proven_on is not None and proven_on is self._open.get(0)
        return capabilities if is_current else Capabilities()

    def remember(self, proven: Capabilities, *, first: Connection | None = None) -> None:
        """Remember what the server has proven, as long as connection 0 stays.

        Args:
            proven: The new answers.
            first: The connection 0 that was meant; nothing is remembered if it has been replaced.
        """
        with self._lock:
            current = self._open.get(0)
            if first is None or first is current:
                self._proven = current, self.capabilities.updated(proven)

    def note_kept_together(self, connections: Mapping[int, Connection], *, first: Connection | None) -> None:
        """Remember that the server keeps together what is written over these connections and this first one.

        It is remembered as long as all of them stand: another one may lead to another machine.
        """
        with self._lock:
            known_with, known = self._kept_together
            self._kept_together = first, {**(known if known_with is first else {}), **connections}

    def not_shown_to_keep(self, connections: Mapping[int, Connection]) -> dict[int, Connection]:
        """Return those of which that is not known. A channel leads to the machine of connection 0."""
        known_with, known = self._kept_together
        if known_with is None or known_with is not self._open.get(0):
            known = {}
        return {
            number: connection
            for number, connection in connections.items()
            if number != CHANNEL and known.get(number) is not connection
        }

    @property
    def limit(self) -> int:
        """How many streams the partner allows, the first one with them."""
        return self._accepted_streams.limit

    def streams(self, count: int) -> list[int]:
        """Return the numbers of up to `count` further streams that the partner is not known to refuse."""
        numbers = self._accepted_streams.numbers()
        if self.memory.refuses_streams():
            numbers = [number for number in numbers if number == CHANNEL]
        return numbers[:count]

    def disable_stream(self, number: int, reason: Exception) -> None:
        """Remember that the partner does not accept this stream. See `AcceptedStreams.disable`."""
        self.memory.note_refused(number, reason, standing=list(self._open))
        self._accepted_streams.disable(number, reason)

    def disable_parallel_streams(self, reason: str, *, permanent: bool = True) -> None:
        """Remember that the server supports one stream only. See `AcceptedStreams.disable_all`."""
        if self._takes_several:
            self.memory.note_no_streams(reason, shown=permanent)
        self._accepted_streams.disable_all(reason, permanent=permanent)

    def touch(self, number: int) -> None:
        """Remember that the connection has just answered."""
        self._used_at[number] = self._clock()

    def end_of_invocation(self, *, keep_first: bool) -> None:
        """Close all connections but, on demand, number 0 with its channels. Never raises.

        Streams that are still opening one lose it as soon as it comes up, until `first` is asked again.
        """
        with self._lock:
            self._is_resting = True
            numbers = [number for number in self._open if number > 0 or not keep_first]
        for number in numbers:
            try:
                self.drop(number)
            except Exception as error:  # noqa: BLE001 - the invocation has done its work
                _log.warning("a connection to %s was not closed in order: %s", self.server, error)

    def close(self) -> None:
        """Close all connections, and those that streams are still opening as soon as they come up."""
        with self._lock:
            self._closed = True
        self._drop_all()

    def drop(self, number: int, *, only: Connection | None = None) -> bool:
        """Close a connection; with `only`, that one and none that has taken its place.

        Returns:
            Whether it was still in use: the pool had not closed it before.
        """
        with self._lock:
            connection = self._open.get(number)
            if connection is None or (only is not None and connection is not only):
                return False
            del self._open[number]
        connection.close()
        return True

    def _keep(self, number: int, connection: Connection, login: Credentials) -> None:
        connection.session.directories = self._directories
        connection.session.pace = self._pace
        with self._lock:
            if not self._closed and not self._is_resting:
                self._logins[number] = login
                self._open[number] = connection
                self.memory.note_open(self._open)
                return
        connection.close()

    def _drop_all(self) -> None:
        for number in list(self._open):
            self.drop(number)

    def _answers(self, number: int, connection: Connection) -> bool:
        if not connection.is_open():
            return False
        if self._clock() - self._used_at[number] < _TRUSTED_FOR_SECONDS:
            return True
        try:
            connection.session.ping()
        except TransferError:
            return False
        return True
