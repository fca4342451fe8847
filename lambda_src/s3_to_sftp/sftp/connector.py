"""Opens the partner's connections with the present login, and with another one where that is refused."""

import logging
import math
import threading
import time
from collections.abc import Callable

from s3_to_sftp.credentials import Credentials, CredentialSource, OtherLogin
from s3_to_sftp.errors import (
    CredentialsError,
    DeliveryError,
    LoginRefused,
    PartnerError,
    PartnerUnreachable,
    SecondFactorRequired,
    SftpNotStarted,
    TooManyConnections,
    TransferError,
)
from s3_to_sftp.secret_versions import CURRENT
from s3_to_sftp.server import Server
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.connection import Connect, Connection, connect
from s3_to_sftp.ssh.connect import Timeouts, look_again

_log = logging.getLogger(__name__)

HANDSHAKES_AT_A_TIME = 8
"""OpenSSH drops connections by chance when more than 10 are not logged in yet (MaxStartups)."""

_LOGIN_VALID_SECONDS = 120.0
"""A login that was accepted this recently is not wrong: a refusal then means a limit of sessions."""

_JUST_ACCEPTED_SECONDS = 10.0
"""Streams use a login that was accepted this recently all at once. An older one is tried by one of them: the
partner may have changed it, and seven refused logins at a time lock an account."""


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
        self._one_stream = threading.Lock()
        self._refused_stream: tuple[Credentials | None, float, str] = None, 0.0, ""  # until when, and why

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
        """Open connection 0 with this login, or with one other where it is refused.

        Args:
            login: To be tried first.
            logged_in: See `connection.connect`.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connection.connect`. Where both logins are
                refused, the error is that of AWSCURRENT.
        """
        try:
            return self._open_as(login, logged_in)
        except (LoginRefused, CredentialsError) as error:
            other = self._other_than(login, error)
            connection = self._open_other(other, logged_in) if other else None
            if connection is None:
                self.login = login
                self._raise_limit(error, login)
                raise
            return connection

    def open_stream(self, login: Credentials) -> Connection:
        """Open the connection of a further stream. Called from its thread.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connection.connect`.
        """
        if not self._was_accepted(login, within=_JUST_ACCEPTED_SECONDS):
            with self._one_stream:  # the others wait for what the partner says to the first one
                if not self._was_accepted(login, within=_JUST_ACCEPTED_SECONDS):
                    return self._open_stream(login)
        return self._open_stream(login)

    def _note_accepted(self, login: Credentials) -> None:
        """Remember that the partner has just accepted this login."""
        self._accepted = login, self._clock()
        self._refused_stream = None, 0.0, ""

    def _open_as(self, login: Credentials, logged_in: Callable[[float], None]) -> Connection:
        def accepted(round_trip: float) -> None:
            # Before the streams that start now.
            self._note_accepted(login)
            self._credentials.accepted(login)
            logged_in(round_trip)

        self.login = login
        try:
            return self._connect(self.server, login, self._timeouts, accepted)
        except PartnerUnreachable as error:
            raise look_again(error, self.server, self._timeouts) from None

    def _other_than(self, login: Credentials, error: DeliveryError) -> OtherLogin | None:
        """Return the login to try after this error. One that was refused is not tried twice."""
        if isinstance(error, LoginRefused) and not isinstance(error, SecondFactorRequired):
            return self._credentials.other_than(login)
        # The secret may have been changed, or its private key fixed, since it was cached.
        fresh = self._credentials.refreshed()
        return None if fresh == login else OtherLogin(fresh, CURRENT)

    def _open_other(self, other: OtherLogin, logged_in: Callable[[float], None]) -> Connection | None:
        """Return a connection with the other login, or None if it does not help and is not AWSCURRENT."""
        try:
            return self._open_as(other.login, logged_in)
        except LoginRefused:
            self._credentials.refused(other.login)
            if other.stage == CURRENT:
                raise
        except SftpNotStarted:
            raise  # the login is accepted
        except (PartnerError, CredentialsError, TransferError) as error:
            if other.stage == CURRENT:
                raise
            # What is known is that AWSCURRENT is refused: that error keeps from trying again too soon.
            _log.warning(
                "whether %s accepts the login of %s is not known: %s", self.server, other.stage, error
            )
        return None

    def _open_stream(self, login: Credentials) -> Connection:
        with self._handshakes:
            refused, until, reason = self._refused_stream
            if login == refused and self._clock() < until:
                raise LoginRefused(f"{reason} No further stream tries it.", hint="It will be retried.")
            try:
                connection = self._connect(self.server, login, self._timeouts)
            except LoginRefused as error:
                # A limit of sessions passes. A changed login stays refused until connection 0 has another.
                is_limit = self._was_accepted(login, within=_LOGIN_VALID_SECONDS)
                until = self._clock() + _LOGIN_VALID_SECONDS if is_limit else math.inf
                self._refused_stream = login, until, error.reason
                raise
        self._note_accepted(login)
        return connection

    def _was_accepted(self, login: Credentials, *, within: float) -> bool:
        accepted, at = self._accepted
        return login == accepted and self._clock() - at < within

    def _raise_limit(self, error: DeliveryError, login: Credentials) -> None:
        """Raise `TooManyConnections` where the login was just accepted: some servers mean a limit."""
        if type(error) is LoginRefused and self._was_accepted(login, within=_LOGIN_VALID_SECONDS):
            ago = self._clock() - self._accepted[1]
            raise TooManyConnections(
                f"{error.reason} The same login was accepted {ago:.0f} s before.",
                hint="The partner may limit sessions: lower max_connections, or ask. It will be retried.",
            ) from None
