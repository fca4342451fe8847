"""The partner's warm connections: reused while they are the right ones and still answer."""

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from s3_to_sftp.credentials import Credentials, CredentialSource
from s3_to_sftp.errors import (
    ConnectionLost,
    CredentialsError,
    DeliveryError,
    LoginRefused,
    TooManyConnections,
    TransferError,
)
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.connection import Connection, connect
from s3_to_sftp.ssh.connect import Timeouts


class Connect(Protocol):
    """Opens a connection (see `connection.connect`)."""

    def __call__(
        self,
        server: Server,
        credentials: Credentials,
        timeouts: Timeouts,
        logged_in: Callable[[float], None] = ...,
    ) -> Connection:
        """Open it."""


_log = logging.getLogger(__name__)

_CHANNEL = -1
"""The stream that is a second channel of connection 0. A third brings nothing."""

HANDSHAKES_AT_A_TIME = 8
"""OpenSSH drops connections by chance when more than 10 are not logged in yet (MaxStartups)."""

_DISABLED_FOR_SECONDS = 600.0
"""How long a failed stream is not tried: a partner may allow more later, and one cut cable says little."""

_LOGIN_VALID_SECONDS = 120.0
"""A login that was accepted this recently is not wrong: a refusal then means a limit of sessions."""

_TRUSTED_FOR_SECONDS = 2.0
"""After this much idleness a connection must answer a ping before it is used. A frozen function cannot
notice that the partner or a NAT gateway has dropped it."""


def channels_only(numbers: list[int]) -> bool:
    """Return whether these further streams share the connection of the first one."""
    return numbers == [_CHANNEL]


class ConnectionPool:
    """Keeps up to `limit` connections to one server with one login.

    The key of a connection is everything that identifies it: server, pinned host keys and login.
    When the secret has changed, the old connections are no longer used.

    Each connection has a number. Number 0 is the one that every delivery uses; the others are streams of
    large objects, and a stream's thread is the only one that uses its connection. Where only one connection
    is allowed, or left, there is one further stream, a second channel of it: that gains less, but costs the
    partner no login.
    """

    def __init__(
        self,
        server: Server,
        credentials: CredentialSource,
        *,
        timeouts: Timeouts,
        limit: int = 1,
        directories: Sequence[str] = (),
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._numbers = range(1, limit)
        self._disabled: dict[int, float] = {}
        self._refusal_logged = False
        # Each belongs to the connection 0 on which it was shown: the server behind the address may be another
        # one when that is replaced.
        self._proven: dict[bool, Connection] = {}  # by whether the further streams are channels
        self._resumes: tuple[Connection, bool] | None = None
        self._server = server
        self._credentials = credentials
        self._timeouts = timeouts
        self._directories = tuple(directories)
        self._connect = connect
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._is_resting = False
        self._first_is_up = threading.Event()
        # A stream that comes too late for one object leaves its connection to the next.
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._handshakes = threading.Semaphore(HANDSHAKES_AT_A_TIME)
        self._open: dict[int, Connection] = {}
        self._logins: dict[int, Credentials] = {}
        self._used_at: dict[int, float] = {}
        self._login: Credentials | None = None
        self._accepted: tuple[Credentials | None, float] = None, 0.0
        self.reused = False
        """Whether `first` last returned a connection that had been used before."""
        self.host_key_fingerprint = ""
        """Of the server behind the connection that `first` last returned."""
        self.is_windows = False
        """Whether that one says that it runs on Windows."""

    @property
    def identity(self) -> ServerIdentity:
        """The server and the account behind the connection that `first` last returned."""
        return ServerIdentity(
            host=self._server.host,
            port=self._server.port,
            user=self._login.username if self._login else "",
            host_key=self.host_key_fingerprint,
        )

    @property
    def account(self) -> str:
        """The login, and where it leads, of the next connection: `user@host:port`.

        Raises:
            CredentialsError: It cannot be read.
        """
        user = self._credentials.current().username
        return ServerIdentity(host=self._server.host, port=self._server.port, user=user, host_key="").account

    def first(self, logged_in: Callable[[float], None] = lambda _round_trip: None) -> Connection:
        """Return connection 0: the warm one if it answers, else a new one.

        Args:
            logged_in: Called with the round trip in seconds once it is sure that the partner takes the
                login, which is earlier than this returns: further streams may be connected from then on.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        with self._lock:
            self._is_resting = False
        login = self._credentials.current()
        if login != self._login:
            self._drop_all()
        connection = self._open.get(0)
        self.reused = connection is not None and self._answers(0, connection)
        if connection is None or not self.reused:
            self.drop(0)
            self._first_is_up.clear()
            try:
                connection = self._connect_with(login, logged_in)
                self._keep(0, connection, self._login or login)
            finally:
                self._first_is_up.set()
        else:
            logged_in(connection.session.round_trip)
        self.touch(0)
        if self.host_key_fingerprint not in {"", connection.host_key_fingerprint}:
            self._forget_refusals()
        self.host_key_fingerprint = connection.host_key_fingerprint
        self.is_windows = connection.session.is_windows
        return connection

    def has_proof(self, number: int) -> bool:
        """Return whether this server has shown that such further streams and the first may write one file."""
        proven_on = self._proven.get(number == _CHANNEL)
        return proven_on is not None and proven_on is self._open.get(0)

    def remember_proof(self, number: int, first: Connection) -> None:
        """Remember it as long as the first stream's connection is that one."""
        self._proven[number == _CHANNEL] = first

    @property
    def resumes(self) -> bool | None:
        """Whether this server has shown that it resumes files; None when it was not asked."""
        if self._resumes is None or self._resumes[0] is not self._open.get(0):
            return None
        return self._resumes[1]

    @resumes.setter
    def resumes(self, answer: bool) -> None:
        if (first := self._open.get(0)) is not None:
            self._resumes = first, answer

    def another(self) -> tuple[Connection, Callable[[], None]]:
        """Return a connection that is opened now, and what to call when it is no longer needed.

        A further channel where the server allows it, else connection 0, made anew.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        if _CHANNEL not in self._disabled:
            try:
                channel = self.first().another_channel()
            except TransferError as error:
                if self._numbers:  # no further stream would be a channel: nothing to log
                    self._disabled[_CHANNEL] = self._clock() + _DISABLED_FOR_SECONDS
                else:
                    self.disable_stream(_CHANNEL, error)
            else:
                return channel, channel.close
        self.drop(0)
        return self.first(), lambda: None

    def _forget_refusals(self) -> None:
        """Another server answers: what the former one has shown about streams says nothing about it."""
        with self._lock:
            self._disabled = {}

    def stream(self, number: int) -> Connection:
        """Return the connection of a further stream. Called from its thread, once `first` is logged in.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        with self._locks[number]:
            connection = self._open.get(number)
            login = self._login or self._credentials.current()
            # One that was still connecting when the login changed came too late to be closed with the others.
            outdated = self._logins.get(number) != login
            if connection is None or outdated or not self._answers(number, connection):
                self.drop(number)
                connection = self._new_stream(number, login)
                self._keep(number, connection, login)
            self.touch(number)
            return connection

    def _new_stream(self, number: int, login: Credentials) -> Connection:
        if number != _CHANNEL:
            with self._handshakes:
                return self._connect(self._server, login, self._timeouts)
        self._first_is_up.wait()
        first = self._open.get(0)
        if first is None:
            raise ConnectionLost(f"{self._server} was lost.", hint="It will be retried.")
        return first.another_channel()

    @property
    def limit(self) -> int:
        """How many streams the partner allows, the first one with them."""
        return 1 + len(self._streams())

    def streams(self, count: int) -> list[int]:
        """Return the numbers of up to `count` further streams that the partner has not refused recently."""
        return self._streams()[:count]

    def _streams(self) -> list[int]:
        with self._lock:
            now = self._clock()
            self._disabled = {number: until for number, until in self._disabled.items() if until > now}
            numbers = [number for number in self._numbers if number not in self._disabled]
            return numbers or [number for number in (_CHANNEL,) if number not in self._disabled]

    def disable_stream(self, number: int, reason: Exception) -> None:
        """Remember that the partner does not accept this stream beside the others; warn the first time.

        This number is struck out, not the highest one: the others may have warm connections.
        """
        with self._lock:
            if number in self._disabled:
                return
            self._disabled[number] = self._clock() + _DISABLED_FOR_SECONDS
        self._log_refusal(f"does not accept all streams: for now {self.limit} at most", reason)

    def disable_parallel_streams(self, reason: str, *, permanent: bool = True) -> None:
        """Remember that the server is no place for several streams: for a while, or until another answers."""
        until = math.inf if permanent else self._clock() + _DISABLED_FOR_SECONDS
        with self._lock:
            self._disabled = dict.fromkeys((*self._numbers, _CHANNEL), until)
        self._log_refusal("gets every file over one connection", reason)

    def _log_refusal(self, what: str, reason: object) -> None:
        level = logging.INFO if self._refusal_logged else logging.WARNING
        self._refusal_logged = True
        _log.log(level, "%s %s (%s)", self._server, what, reason)

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
                _log.warning("a connection to %s was not closed in order: %s", self._server, error)

    def close(self) -> None:
        """Close all connections, and those that streams are still opening as soon as they come up."""
        with self._lock:
            self._closed = True
        self._drop_all()

    def drop(self, number: int, *, only: Connection | None = None) -> None:
        """Close a connection; with `only`, that one and none that has taken its place."""
        with self._lock:
            connection = self._open.get(number)
            if connection is None or (only is not None and connection is not only):
                return
            del self._open[number]
        connection.close()

    def _keep(self, number: int, connection: Connection, login: Credentials) -> None:
        connection.session.directories = self._directories
        with self._lock:
            self._accepted = login, self._clock()
            if not self._closed and not self._is_resting:
                self._logins[number] = login
                self._open[number] = connection
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

    def _connect_with(self, login: Credentials, logged_in: Callable[[float], None]) -> Connection:
        def connect_as(credentials: Credentials) -> Connection:
            self._login = credentials
            return self._connect(self._server, credentials, self._timeouts, logged_in)

        try:
            return connect_as(login)
        except (LoginRefused, CredentialsError) as error:
            # The secret may have been rotated, or its private key fixed, since it was cached. An
            # unchanged one is not tried twice: partners lock accounts.
            fresh = self._credentials.refreshed()
            if fresh == login:
                self._raise_limit(error, login)
                raise
            return connect_as(fresh)

    def _raise_limit(self, error: DeliveryError, login: Credentials) -> None:
        """Raise `TooManyConnections` where the login was just accepted: some servers mean a limit."""
        accepted, at = self._accepted
        if type(error) is LoginRefused and login == accepted and self._clock() - at < _LOGIN_VALID_SECONDS:
            raise TooManyConnections(
                f"{error.reason} The same login was accepted {self._clock() - at:.0f} s before.",
                hint="The partner may limit sessions: lower max_connections, or ask. It will be retried.",
            ) from None
