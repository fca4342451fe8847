"""A connection to the partner: an SFTP session over an authenticated SSH transport."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.diagnosis import login, sftp_start
from s3_to_sftp.diagnosis.server_messages import ServerMessages, quote, says_too_many
from s3_to_sftp.errors import (
    ConnectionLost,
    PartnerError,
    PasswordExpired,
    ProtocolViolation,
    SftpNotStarted,
    TooManyConnections,
    TransferError,
)
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.protocol import VERSION
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.windows import is_windows
from s3_to_sftp.ssh.auth_exchange import PUBLICKEY
from s3_to_sftp.ssh.connect import Timeouts, closed_on_failure, log_in_to, start_transport
from s3_to_sftp.ssh.host_keys import fingerprint
from s3_to_sftp.ssh.prompts import says_expired
from s3_to_sftp.ssh.stream import stream_for
from s3_to_sftp.ssh.transport import Transport, request_subsystem
from s3_to_sftp.untrusted_text import decoded, quoted

_log = logging.getLogger(__name__)

_OPENSSH = "SSH-2.0-OpenSSH_"
_MOST_METHODS, _METHOD_CHARACTERS = 16, 64
"""Of login, that are remembered of a server."""
_STDERR_BYTES = 4096
_EXIT_STATUS_SECONDS = 1.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Connection:
    """An authenticated connection with an SFTP session on it."""

    transport: Transport
    session: SftpSession
    host_key_fingerprint: str
    server: Server
    timeouts: Timeouts
    opens_window_late: bool = False
    """Whether its channel took no data until SFTP was started."""
    known: KnownServer | None = None
    """What the server was known to have shown before."""

    def shown(self) -> KnownServer:
        """Return what the server has shown over it."""
        received, session = self.transport.received, self.session
        is_single = len(received.accepted_methods) == 1
        method = received.accepted_methods[0] if is_single else ""
        methods = received.methods[:_MOST_METHODS]
        if not methods and self.known is not None:  # it was not asked
            methods = self.known.offered
        return KnownServer(
            host_key=self.host_key_fingerprint,
            version=self.transport.identification,
            method=method,
            offered=tuple(name[:_METHOD_CHARACTERS] for name in methods),
            signature=received.accepted_signature if method == PUBLICKEY else "",
            extensions=session.used_extensions if session.version == VERSION else None,
            opens_window_late=self.opens_window_late and self.transport.identification.startswith(_OPENSSH),
            write_bytes=session.max_write_bytes,
            round_trip=session.round_trip,
            replaces=session.renames_over_existing,
        )

    def another_channel(self) -> "Connection":
        """Open a second SFTP session over the same connection. To be called from another thread.

        Raises:
            TransferError: The server allows no more, or SFTP could not be started.
        """
        try:
            session = open_session(self.transport, self.server, self.timeouts)
        except PartnerError as error:  # this connection works, so the partner as a whole is not in trouble
            raise ConnectionLost(error.reason, hint=error.hint).with_cause_of(error) from None
        return _FurtherChannel(self.transport, session, self.host_key_fingerprint, self.server, self.timeouts)

    def is_open(self) -> bool:
        """Return whether it has not been closed. A connection that was cut silently still looks open."""
        return self.transport.is_active() and not self.session.is_over

    def close(self) -> None:
        """Close it. Never raises: what is already broken needs no closing."""
        self.transport.close()


class _FurtherChannel(Connection):
    """Shares the connection of another one, which stays."""

    def close(self) -> None:
        """Close the channel only."""
        self.session.close()


class Connect(Protocol):
    """Opens a connection (see `connect`)."""

    def __call__(
        self,
        server: Server,
        credentials: Credentials,
        timeouts: Timeouts,
        logged_in: Callable[[float], None] = ...,
        *,
        known: KnownServer | None = ...,
        connected: Callable[[], None] = ...,
        before_login: Callable[[], None] = ...,
        accepted: Callable[[], None] = ...,
    ) -> Connection:
        """Open it."""


def connect(
    server: Server,
    credentials: Credentials,
    timeouts: Timeouts,
    logged_in: Callable[[float], None] = lambda _round_trip: None,
    *,
    known: KnownServer | None = None,
    connected: Callable[[], None] = lambda: None,
    before_login: Callable[[], None] = lambda: None,
    accepted: Callable[[], None] = lambda: None,
) -> Connection:
    """Connect, check the host key, log in and start SFTP. Leaves nothing open when it fails.

    The login is sent only after the host key was found to be a pinned one.

    Args:
        server: Where to, and how to recognise it.
        credentials: The login.
        timeouts: How long to wait for what.
        logged_in: Called with the round trip in seconds once the server has accepted the login and opened a
            channel: further connections may be started from then on.
        known: What the server has shown before: then less is asked, and the session may not have started yet
            (`SftpSession.start`). If it is another server, that is not used.
        connected: Called as soon as there is a TCP connection.
        before_login: Called when the host key is right, before the login is sent; what it raises ends this.
        accepted: Called as soon as the server has accepted the login.

    Raises:
        PartnerUnreachable: No name, no route, no answer, or no SSH server there; or it was lost at the login.
        HostKeyRefused: The host key is not pinned.
        TooManyConnections: The server accepts no more connections, logins or sessions now.
        LoginRefused: The server does not accept the login.
        CredentialsError: The private key of the credentials cannot be used.
        SftpNotStarted: The login is accepted, but SFTP does not start.
    """
    transport = start_transport(
        server, credentials, timeouts, is_known=known is not None, connected=connected
    )
    with closed_on_failure(transport, server):
        if known is not None and not _is_behind(transport, known):
            known = None
        logged = log_in_to(transport, server, credentials, timeouts, known=known, before_login=before_login)
        accepted()
        opened = _open_session(
            transport,
            server,
            timeouts,
            lambda round_trip: logged_in(min(round_trip, logged.seconds)),
            known,
        )
    agreed = ", ".join(f"{kind} {name}" for kind, name in transport.negotiated.items() if name)
    _log.info("connected to %s: %s", server, agreed)
    return Connection(
        transport,
        opened.session,
        logged.host_key_fingerprint,
        server,
        timeouts,
        opened.window_was_closed,
        known,
    )


def _is_behind(transport: Transport, known: KnownServer) -> bool:
    """Return whether the known server is the one behind this transport."""
    host_key = fingerprint(transport.get_remote_server_key())
    return known.is_same_server(host_key=host_key, version=transport.identification)


class _Opened(NamedTuple):
    """A session, and whether the channel under it took no data at first."""

    session: SftpSession
    window_was_closed: bool


def open_session(transport: Transport, server: Server, timeouts: Timeouts) -> SftpSession:
    """Start SFTP over a transport that is logged in.

    Raises:
        SftpNotStarted, PasswordExpired, TooManyConnections: It does not start.
    """
    return _open_session(transport, server, timeouts, lambda _round_trip: None, None).session


def _open_session(
    transport: Transport,
    server: Server,
    timeouts: Timeouts,
    logged_in: Callable[[float], None],
    known: KnownServer | None,
) -> _Opened:
    received = transport.received
    received.refusal, received.subsystem_refused = None, False
    try:
        asked_at = time.monotonic()
        channel = transport.open_session(timeout=timeouts.reply)
        # Opening a channel costs the server next to nothing, so this is mostly the network's share. The start
        # of SFTP also waits for a process to be started.
        round_trip = time.monotonic() - asked_at
        window_was_closed = not channel.out_window_size
        channel.settimeout(timeouts.reply)
        request_subsystem(channel, "sftp")
    except Exception as error:  # noqa: BLE001 - also of cryptography: whatever it is, the server has caused it
        raise _no_session(server, error, received) from None
    logged_in(round_trip)
    try:
        session = SftpSession(
            stream_for(channel, ahead_of_window=known is not None and known.opens_window_late),
            server=str(server),
            reply_timeout=timeouts.reply,
            received=received,
            expected=known.extensions if known is not None else None,
        )
    except (ConnectionLost, ProtocolViolation) as error:
        raise _no_sftp(server, error, channel, received) from None
    session.round_trip = min(session.round_trip or round_trip, round_trip)
    session.is_windows = is_windows(transport.identification)
    return _Opened(session, window_was_closed)


def _no_session(server: Server, error: Exception, received: ServerMessages) -> PartnerError:
    """Return the error for a session that the server did not open."""
    if received.is_about_too_many():
        return login.TOO_MANY_LOGINS.error(TooManyConnections, received.last_words, server=server)
    refused = received.refusal is not None
    cause = sftp_start.SESSION_REFUSED if refused else sftp_start.CLOSED
    seen = received.last_words or f"({quoted(error)})"
    return cause.error(SftpNotStarted, seen, server=server)


def _no_sftp(
    server: Server, error: TransferError, channel: paramiko.Channel, received: ServerMessages
) -> PartnerError:
    """Return the error for a session in which SFTP did not start."""
    if not (error.silent or received.subsystem_refused):
        _wait_for_the_end(channel)
    said, status = _said_beside(channel), _exit_status(channel)
    seen = _seen(error, said, status, received)
    words = said + b" " + error.received
    if says_expired(decoded(words)):
        return login.PASSWORD_EXPIRED.error(PasswordExpired, seen, server=server, user=_user(channel))
    if received.is_about_too_many() or says_too_many(words):
        return login.TOO_MANY_LOGINS.error(TooManyConnections, seen, server=server)
    cause = sftp_start.cause_of_start(
        said=said,
        exit_status=status,
        channel_data=error.received,
        refused=received.subsystem_refused,
        silent=error.silent,
        malformed=isinstance(error, ProtocolViolation),
    )
    return cause.error(SftpNotStarted, seen, server=server)


def _seen(error: TransferError, said: bytes, status: int | None, received: ServerMessages) -> str:
    if error.received:
        seen = f"It said {quote(error.received)} in place of SFTP."
    elif said.strip():
        seen = f"It said {quote(said)}."
    else:
        seen = received.last_words or error.reason
    return seen if status is None else f"Its program ended with exit status {status}. {seen}"


def _said_beside(channel: paramiko.Channel) -> bytes:
    """Return what the server wrote to stderr: what is there, without waiting."""
    return channel.recv_stderr(_STDERR_BYTES) if channel.recv_stderr_ready() else b""


def _wait_for_the_end(channel: paramiko.Channel) -> None:
    """Wait shortly for how the server's program ended.

    That takes three messages: the output is over, the exit status, the channel is closed. We have closed our
    side after the first; the library forgets the channel with the last.
    """
    transport: Any = channel.get_transport()  # the stubs leave the channels out
    deadline = time.monotonic() + _EXIT_STATUS_SECONDS
    while (
        channel.exit_status < 0
        and transport.is_active()
        and transport._channels.get(channel.chanid) is not None
        and time.monotonic() < deadline
    ):
        time.sleep(_POLL_SECONDS)


def _exit_status(channel: paramiko.Channel) -> int | None:
    if channel.exit_status_ready() and (status := channel.recv_exit_status()) >= 0:
        return status
    return None


def _user(channel: paramiko.Channel) -> str:
    return quoted(channel.get_transport().get_username() or "")
