"""Opens the partner's connections with the present login, and with another one where that is refused."""

import functools
import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from s3_to_sftp.credentials import Credentials, CredentialSource, OtherLogin
from s3_to_sftp.diagnosis import connecting, handshake, sftp_start
from s3_to_sftp.diagnosis import login as login_causes
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
from s3_to_sftp.known_server import KnownServer, KnownServers, NoKnownServers
from s3_to_sftp.secret_versions import CURRENT
from s3_to_sftp.server import Server
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.connection import Connect, Connection, connect
from s3_to_sftp.sftp.first_login import FirstLogin, OtherLoginAccepted
from s3_to_sftp.ssh.auth_exchange import PUBLICKEY
from s3_to_sftp.ssh.connect import Timeouts, look_again

_log = logging.getLogger(__name__)

HANDSHAKES_AT_A_TIME = 8
"""OpenSSH drops connections by chance when more than 10 are not logged in yet (MaxStartups)."""

_LOGIN_VALID_SECONDS = 120.0
"""A login that was accepted this recently is not wrong: a refusal then means a limit of sessions."""

_JUST_ACCEPTED_SECONDS = 10.0
"""Streams use a login that was accepted this recently all at once. An older one is tried by one of them: the
partner may have changed it, and seven refused logins at a time lock an account."""


_NOT_BY_SHORTCUT = handshake.HEARD_NOTHING | {handshake.BANNED.name}
"""Causes of servers that drop connections before they speak: they have too many, or do not want ours."""

_SILENCE = {
    handshake.PACKETS_LOST_OUT.name,
    handshake.PACKETS_LOST_IN.name,
    login_causes.NO_ANSWER_TO_LOGIN.name,
    sftp_start.SILENT.name,
}
"""Causes that took all the time there is: the next attempt asks as if nothing were known."""

_AT_THE_LOGIN = {login_causes.CLOSED_DURING_LOGIN.name, login_causes.LOST_DURING_LOGIN.name}
"""Causes of servers that hang up over a login: over a wrong one, too."""


def _hints(
    known: KnownServer | None, beside: FirstLogin | None = None, login: Credentials | None = None
) -> dict[str, Any]:
    """Return what `Connect` is told beside where to: nothing, where nothing is known."""
    hints: dict[str, Any] = {} if known is None else {"known": known}
    if beside is not None and login is not None:
        hints["before_login"] = functools.partial(beside.wait, login)
    return hints


class _Turn:
    """One of those that are not logged in yet: until the block ends, or before."""

    def __init__(self, turns: threading.Semaphore) -> None:
        self._turns = turns
        self._has_ended = False

    def __enter__(self) -> "_Turn":
        self._turns.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let the next one begin."""
        if not self._has_ended:
            self._has_ended = True
            self._turns.release()


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
        known: KnownServers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.known = known or NoKnownServers()
        """What the server has shown before."""
        self._first_login = FirstLogin()
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

    @property
    def login_name(self) -> str:
        """Which login is used, without showing it."""
        return hashlib.sha256(self._credentials.version.encode()).hexdigest()[:16]

    def known_for_streams(self) -> KnownServer | None:
        """Return what is known of the server if streams may be opened before the first login, else None.

        Raises:
            CredentialsError: The login cannot be read.
        """
        self.next_login()
        known = self.known.current() if self.known.allows_streams_at_once() else None
        return known if known is not None and known.login == self.login_name else None

    def expect_first_login(self) -> None:
        """Let streams that are opened from now on wait with their login for that of connection 0."""
        self._first_login = FirstLogin(is_awaited=True)

    def end_first_login(self) -> None:
        """Let no stream wait any longer: connection 0 stands, or has failed."""
        self._first_login.end()

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
        if self._first_login.is_awaited:
            try:
                return self._open_stream(login, beside=self._first_login)
            except OtherLoginAccepted as other:
                return self._open_stream(other.login)
        self._first_login.require_hope()  # it may have been refused before this thread came here
        if not self._was_accepted(login, within=_JUST_ACCEPTED_SECONDS):
            with self._one_stream:  # the others wait for what the partner says to the first one
                if not self._was_accepted(login, within=_JUST_ACCEPTED_SECONDS):
                    return self._open_stream(login)
        return self._open_stream(login)

    def _note_accepted(self, login: Credentials) -> None:
        """Remember that the partner has just accepted this login."""
        self._accepted = login, self._clock()
        self._refused_stream = None, 0.0, ""

    def _note_first(self, login: Credentials) -> None:
        """Remember it, and let the streams log in that are connected already."""
        self._note_accepted(login)
        self._first_login.accepted(login)

    def _open_as(self, login: Credentials, logged_in: Callable[[float], None]) -> Connection:
        def accepted(round_trip: float) -> None:
            # Before the streams that start now.
            self._note_first(login)
            self._credentials.accepted(login)
            logged_in(round_trip)

        is_let_in = False

        def let_in() -> None:
            nonlocal is_let_in
            is_let_in = True
            self._note_first(login)

        self.login = login
        known = self._known()
        try:
            try:
                hints = _hints(known)
                if known is not None or self._first_login.is_awaited:
                    hints |= {"connected": self._first_login.connected, "accepted": let_in}
                return self._connect(self.server, login, self._timeouts, accepted, **hints)
            except DeliveryError as error:
                if known is None or not self._is_contradiction(error):
                    raise
                # The server may have hung up over the password, and that is tried once.
                if not is_let_in and error.cause in _AT_THE_LOGIN and known.method != PUBLICKEY:
                    raise
            # It may mind what it was not asked before.
            return self._connect(self.server, login, self._timeouts, accepted)
        except PartnerUnreachable as error:
            raise look_again(error, self.server, self._timeouts) from None

    def _known(self) -> KnownServer | None:
        """Return what the server has shown to this login."""
        known = self.known.current()
        if known is None or known.login != self.login_name or known.refuses_shortcuts:
            return None
        return known

    def _is_contradiction(self, error: DeliveryError) -> bool:
        """Forget what is known where this failure contradicts it; return whether to ask anew at once."""
        if error.cause in connecting.NOT_CONNECTED:
            return False
        if isinstance(error, LoginRefused):
            is_by_shortcut = error.cause == login_causes.CLOSED_DURING_LOGIN.name
        else:
            may_be = isinstance(error, PartnerUnreachable | SftpNotStarted)
            is_by_shortcut = may_be and error.cause not in _NOT_BY_SHORTCUT
        is_unheard = error.cause in handshake.HEARD_NOTHING
        self.known.forget(error.reason, by_shortcut=is_by_shortcut, unheard=is_unheard)
        return is_by_shortcut and error.cause not in _SILENCE

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

    def _open_stream(self, login: Credentials, beside: FirstLogin | None = None) -> Connection:
        with _Turn(self._handshakes) as turn:
            if beside is not None:
                beside.wait_until_connected()
                beside.require_hope()
            refused, until, reason = self._refused_stream
            if login == refused and self._clock() < until:
                raise LoginRefused(f"{reason} No further stream tries it.", hint="It will be retried.")
            hints = _hints(self._known(), beside, login)
            if hints:
                hints["accepted"] = turn.end
            try:
                connection = self._connect(self.server, login, self._timeouts, **hints)
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
