"""The connection that outlives an invocation: reused while it is the right one and still answers."""

import time
from collections.abc import Callable

from s3_to_sftp.credentials import Credentials, CredentialSource
from s3_to_sftp.errors import CredentialsError, LoginRefused, TransferError
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.connection import Connection, Timeouts, connect

Connect = Callable[[Server, Credentials, Timeouts], Connection]

_TRUSTED_FOR_SECONDS = 2.0
"""After this much idleness a connection must answer a ping before it is used. A frozen function cannot
notice that the partner or a NAT gateway has dropped it."""


class WarmConnection:
    """Keeps one connection, for one server and one login.

    The key of the connection is everything that identifies it: server, pinned host keys and login.
    When the secret was changed, the old connection is not used any more.
    """

    def __init__(
        self,
        server: Server,
        credentials: CredentialSource,
        *,
        timeouts: Timeouts,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._credentials = credentials
        self._timeouts = timeouts
        self._connect = connect
        self._clock = clock
        self._open: Connection | None = None
        self._login: Credentials | None = None
        self._used_at = 0.0
        self.reused = False
        """Whether `get` last returned a connection that had been used before."""

    def get(self) -> Connection:
        """Return a connection that answers: the warm one, or a new one.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connect`.
        """
        login = self._credentials.current()
        self.reused = self._open is not None and self._login == login and self._answers(self._open)
        if self._open is None or not self.reused:
            self.drop()
            self._open, self._login = self._connect_with(login)
        self._used_at = self._clock()
        return self._open

    def used(self) -> None:
        """Remember that the connection has just answered."""
        self._used_at = self._clock()

    def drop(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _answers(self, connection: Connection) -> bool:
        if not connection.is_open():
            return False
        if self._clock() - self._used_at < _TRUSTED_FOR_SECONDS:
            return True
        try:
            connection.session.ping()
        except TransferError:
            return False
        return True

    def _connect_with(self, login: Credentials) -> tuple[Connection, Credentials]:
        try:
            return self._connect(self._server, login, self._timeouts), login
        except (LoginRefused, CredentialsError):
            # The secret may have been rotated, or its private key mended, since it was cached. An
            # unchanged one is not tried twice: partners lock accounts.
            fresh = self._credentials.refreshed()
            if fresh == login:
                raise
            return self._connect(self._server, fresh, self._timeouts), fresh
