"""A connection to the partner: an SFTP session over an authenticated SSH transport."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import (
    ConnectionLost,
    PartnerError,
    PasswordExpired,
    ProtocolViolation,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.windows import is_windows
from s3_to_sftp.ssh.connect import Timeouts, closed_on_failure, log_in_to, start_transport
from s3_to_sftp.ssh.prompts import says_expired
from s3_to_sftp.ssh.server_messages import ServerMessages, quote, says_too_many
from s3_to_sftp.ssh.stream import stream_for
from s3_to_sftp.ssh.transport import Transport, request_subsystem
from s3_to_sftp.untrusted_text import decoded, quoted

_STDERR_BYTES = 4096


@dataclass(frozen=True)
class Connection:
    """An authenticated connection with an SFTP session on it."""

    transport: Transport
    session: SftpSession
    host_key_fingerprint: str
    server: Server
    timeouts: Timeouts

    def another_channel(self) -> "Connection":
        """Open a second SFTP session over the same connection. To be called from another thread.

        Raises:
            TransferError: The server allows no more, or SFTP could not be started.
        """
        try:
            session = _open_session(self.transport, self.server, self.timeouts, lambda _round_trip: None)
        except PartnerError as error:  # this connection works, so the partner as a whole is not in trouble
            raise ConnectionLost(error.reason, hint=error.hint) from None
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
    ) -> Connection:
        """Open it."""


def connect(
    server: Server,
    credentials: Credentials,
    timeouts: Timeouts,
    logged_in: Callable[[float], None] = lambda _round_trip: None,
) -> Connection:
    """Connect, check the host key, log in and start SFTP. Leaves nothing open when it fails.

    The login is sent only after the host key was found to be a pinned one.

    Args:
        server: Where to, and how to recognise it.
        credentials: The login.
        timeouts: How long to wait for what.
        logged_in: Called with the round trip in seconds once the server has accepted the login and opened a
            channel: further connections may be started from then on.

    Raises:
        PartnerUnreachable: No name, no route, no answer, or no SSH server there; or it was lost at the login.
        HostKeyRefused: The host key is not pinned.
        TooManyConnections: The server accepts no more connections, logins or sessions now.
        LoginRefused: The server does not accept the login.
        CredentialsError: The private key of the credentials cannot be used.
        SftpNotStarted: The login is accepted, but SFTP does not start.
    """
    transport = start_transport(server, credentials, timeouts)
    with closed_on_failure(transport, server):
        login = log_in_to(transport, server, credentials, timeouts)
        session = _open_session(
            transport, server, timeouts, lambda round_trip: logged_in(min(round_trip, login.seconds))
        )
    return Connection(transport, session, login.host_key_fingerprint, server, timeouts)


def _open_session(
    transport: Transport, server: Server, timeouts: Timeouts, logged_in: Callable[[float], None]
) -> SftpSession:
    received = transport.received
    received.refusal = None
    try:
        asked_at = time.monotonic()
        channel = transport.open_session(timeout=timeouts.reply)
        # Opening a channel costs the server next to nothing, so this is mostly the network's share. The start
        # of SFTP also waits for a process to be started.
        round_trip = time.monotonic() - asked_at
        channel.settimeout(timeouts.reply)
        request_subsystem(channel, "sftp")
    except Exception as error:  # noqa: BLE001 - also of cryptography: whatever it is, the server has caused it
        raise _no_sftp(server, f" ({quoted(error)}).{received.last_words}", received) from None
    logged_in(round_trip)
    try:
        session = SftpSession(stream_for(channel), server=str(server), reply_timeout=timeouts.reply)
    except (ConnectionLost, ProtocolViolation) as error:
        said = _said_beside(channel)
        why = error.reason.removeprefix(f"{server} ")
        raise _no_sftp(server, f": it {why}{_ending(channel, said, received)}", received, said) from None
    session.round_trip = min(session.round_trip, round_trip)
    session.is_windows = is_windows(transport.identification)
    return session


def _said_beside(channel: paramiko.Channel) -> bytes:
    """Return what the server wrote to stderr: what is there, without waiting."""
    return channel.recv_stderr(_STDERR_BYTES) if channel.recv_stderr_ready() else b""


def _ending(channel: paramiko.Channel, said: bytes, received: ServerMessages) -> str:
    words = f" It said {quote(said)}." if said.strip() else received.last_words
    if channel.exit_status_ready() and (status := channel.recv_exit_status()) >= 0:
        return f" Its program ended with exit status {status}.{words}"
    return words


def _no_sftp(server: Server, why: str, received: ServerMessages, said: bytes = b"") -> PartnerError:
    reason = f"{server} accepted the login but does not start SFTP{why}"
    if says_expired(decoded(said)):
        return PasswordExpired(reason, hint="Get a new password from the partner, and fill the secret.")
    if received.is_about_too_many() or says_too_many(said):
        return TooManyConnections(
            reason, hint="Lower max_connections, or ask the partner to allow more. It will be retried."
        )
    return SftpNotStarted(
        reason,
        hint="Ask the partner whether SFTP is enabled for this user, whether its login script prints "
        "something, and how many sessions it may have. It will be retried.",
    )
