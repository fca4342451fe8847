"""Opens the partner's connections with the present login, which is read again where it is refused."""

import threading
import time
from collections.abc import Callable

from s3_to_sftp.credentials import Credentials, CredentialSource
from s3_to_sftp.errors import CredentialsError, DeliveryError, LoginRefused, TooManyConnections
from s3_to_sftp.server import Server
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.connection import Connect, Connection, connect
from s3_to_sftp.ssh.connect import Timeouts

HANDSHAKES_AT_A_TIME = 8
"""OpenSSH drops connections by chance when more than 10 are not logged in yet (MaxStartups)."""

_LOGIN_VALID_SECONDS = 120.0
"""A login that was accepted this recently is not wrong: a refusal then means a limit of sessions."""


class Connector:
    """Opens connections to one server with one login.

    Attributes:
        server: Where they lead.
        login: Of the last connection 0, from the moment at which it was tried; None before the first one.
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
        self.server = server
        self.login: Credentials | None = None
        self._credentials = credentials
        self._timeouts = timeouts
        self._connect = connect
        self._clock = clock
        self._accepted: tuple[Credentials | None, float] = None, 0.0
        self._handshakes = threading.Semaphore(HANDSHAKES_AT_A_TIME)

    def next_login(self) -> Credentials:
        """Return the login of the next connection.

        Raises:
            CredentialsError: It cannot be read.
        """
        return self._credentials.current()

    def identity(self, *, user: str, host_key: str = "") -> ServerIdentity:
        """Return which server and account a connection with this login name and host key leads to."""
        return ServerIdentity(host=self.server.host, port=self.server.port, user=user, host_key=host_key)

    def open_first(self, login: Credentials, logged_in: Callable[[float], None]) -> Connection:
        """Open connection 0 with this login, or with a newer one where it is refused.

        Args:
            login: To be tried first.
            logged_in: See `connection.connect`.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connection.connect`.
        """
        try:
            return self._open_as(login, logged_in)
        except (LoginRefused, CredentialsError) as error:
            # The secret may have been rotated, or its private key fixed, since it was cached. An
            # unchanged one is not tried twice: partners lock accounts.
            fresh = self._credentials.refreshed()
            if fresh == login:
                self._raise_limit(error, login)
                raise
            return self._open_as(fresh, logged_in)

    def open_stream(self, login: Credentials) -> Connection:
        """Open the connection of a further stream. Called from its thread.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connection.connect`.
        """
        with self._handshakes:
            return self._connect(self.server, login, self._timeouts)

    def note_accepted(self, login: Credentials) -> None:
        """Remember that the partner has just accepted this login."""
        self._accepted = login, self._clock()

    def _open_as(self, login: Credentials, logged_in: Callable[[float], None]) -> Connection:
        self.login = login
        return self._connect(self.server, login, self._timeouts, logged_in)

    def _raise_limit(self, error: DeliveryError, login: Credentials) -> None:
        """Raise `TooManyConnections` where the login was just accepted: some servers mean a limit."""
        accepted, at = self._accepted
        if type(error) is LoginRefused and login == accepted and self._clock() - at < _LOGIN_VALID_SECONDS:
            raise TooManyConnections(
                f"{error.reason} The same login was accepted {self._clock() - at:.0f} s before.",
                hint="The partner may limit sessions: lower max_connections, or ask. It will be retried.",
            ) from None
