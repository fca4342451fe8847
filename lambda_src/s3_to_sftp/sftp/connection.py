"""A connection to the partner: TCP, SSH handshake, host key check, login, SFTP session."""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    LoginRefused,
    PartnerError,
    PartnerUnreachable,
    PasswordExpired,
    ProtocolViolation,
    SftpNotStarted,
    TooManyConnections,
)
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.windows import is_windows
from s3_to_sftp.ssh import algorithms, host_keys
from s3_to_sftp.ssh.authentication import log_in
from s3_to_sftp.ssh.packetizer import stream_for
from s3_to_sftp.ssh.prompts import says_expired
from s3_to_sftp.ssh.server_messages import ServerMessages, quote, says_too_many
from s3_to_sftp.ssh.transport import Transport, request_subsystem
from s3_to_sftp.untrusted_text import decoded, never_show, quoted

_STDERR_BYTES = 4096

# paramiko logs every failure with a traceback of its own thread; ours say it once, in a sentence. Who asks
# for DEBUG (Lambda's runtime gives it to the root) wants the dialogue with the server; no password is in it.
if not logging.getLogger().isEnabledFor(logging.DEBUG):
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait for the partner, in seconds.

    Attributes:
        connect: For the TCP connection.
        handshake: For the SSH banner and the key exchange.
        login: For the answer to each authentication request.
        reply: For one SFTP reply, or for the peer to take more data. Servers with an object store
            behind them can need a minute to answer CLOSE.
        keepalive: Idle time after which a keepalive is sent; firewalls drop idle connections.
    """

    connect: float = 15
    handshake: float = 30
    login: float = 30
    reply: float = 120
    keepalive: int = 30


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
        except PartnerError as error:  # this connection works: that is no matter of the partner as a whole
            raise ConnectionLost(error.reason, hint=error.hint) from None
        return _FurtherChannel(self.transport, session, self.host_key_fingerprint, self.server, self.timeouts)

    def is_open(self) -> bool:
        """Say whether nobody has closed it yet. A connection that was cut silently still looks open."""
        return self.transport.is_active() and not self.session.is_over

    def close(self) -> None:
        """Close it. Never raises: what is already broken needs no closing."""
        self.transport.close()


class _FurtherChannel(Connection):
    """Shares the connection of another one, which stays."""

    def close(self) -> None:
        """Close the channel only."""
        self.session.close()


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
        logged_in: Called with the round trip in seconds once the server has taken the login and opened a
            channel: further connections may be started from then on.

    Raises:
        PartnerUnreachable: No name, no route, no answer, or no SSH server there; or it was lost at the login.
        HostKeyRefused: The host key is not pinned.
        TooManyConnections: The server takes no more connections, logins or sessions now.
        LoginRefused: The server does not accept the login.
        CredentialsError: The private key of the credentials cannot be used.
        SftpNotStarted: The login is accepted, but SFTP does not start.
    """
    never_show(credentials.password, credentials.passphrase, credentials.private_key)
    transport = _start_transport(server, timeouts, pinned_types_only=bool(server.host_keys))
    try:
        host_key = transport.get_remote_server_key()
        host_keys.check(host_key, server)
        transport.auth_timeout = timeouts.login
        asked_at = time.monotonic()
        _guarded_login(transport, credentials, server)
        login_seconds = time.monotonic() - asked_at
        transport.set_keepalive(timeouts.keepalive)
        session = _open_session(
            transport, server, timeouts, lambda round_trip: logged_in(min(round_trip, login_seconds))
        )
    except BaseException as error:
        transport.close()
        if not isinstance(error, Exception) or isinstance(error, DeliveryError):
            raise
        # What paramiko and cryptography raise over a server's nonsense is the server's.
        raise _lost_before_sftp(server, error, transport.heard) from None
    return Connection(transport, session, host_keys.fingerprint(host_key), server, timeouts)


def _start_transport(server: Server, timeouts: Timeouts, *, pinned_types_only: bool) -> Transport:
    transport = Transport(_open_socket(server, timeouts))
    transport.banner_timeout = timeouts.handshake
    transport.handshake_timeout = timeouts.handshake
    algorithms.offer(transport, ciphers=server.ciphers)
    transport.limit_writes(timeouts.reply)
    options = transport.get_security_options()
    if pinned_types_only:
        of_pinned_types = host_keys.algorithms_for(server.host_keys, offered=tuple(options.key_types))
        options.key_types = of_pinned_types or options.key_types
    try:
        _shake_hands(transport, timeouts)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        transport.close()
        if pinned_types_only:
            _refuse_other_type(server, timeouts)
        raise _no_common_algorithm(server, error, transport) from None
    except Exception as error:  # noqa: BLE001 - also of cryptography: whatever it is, the server has caused it
        transport.close()
        raise _handshake_failed(server, error, transport.heard) from None
    return transport


def _shake_hands(transport: Transport, timeouts: Timeouts) -> None:
    transport.start_client(timeout=timeouts.handshake)
    # When its time is over, start_client returns as if all were well.
    if not transport.initial_kex_done:
        raise TimeoutError(f"no answer within {timeouts.handshake:g} s")


def _open_socket(server: Server, timeouts: Timeouts) -> socket.socket:
    try:
        sock = socket.create_connection((server.host, server.port), timeout=timeouts.connect)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: an empty or too long label
        raise PartnerUnreachable(
            f"The name {server.host!r} cannot be resolved ({getattr(error, 'strerror', error)}).",
            hint="Check SSH_HOST; in a VPC check its DNS and its way to the internet.",
        ) from None
    except TimeoutError:
        raise PartnerUnreachable(
            f"{server} did not answer within {timeouts.connect:g} s.",
            hint="Check SSH_HOST and SSH_PORT, and whether the partner allows this function's address.",
        ) from None
    except OSError as error:
        raise PartnerUnreachable(
            f"{server} cannot be reached ({error.strerror or error}).",
            hint="Check SSH_HOST and SSH_PORT; ask the partner whether the server is up.",
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        # paramiko tries for ever to write to a peer that has stopped reading; the kernel gives up.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeouts.reply * 1000))
    return sock


def _refuse_other_type(server: Server, timeouts: Timeouts) -> None:
    """Raise the host key error for a server that has no key of any pinned type, showing what it has."""
    transport = _start_transport(server, timeouts, pinned_types_only=False)
    try:
        host_keys.check(transport.get_remote_server_key(), server)
    finally:
        transport.close()


def _guarded_login(transport: Transport, credentials: Credentials, server: Server) -> None:
    try:
        log_in(transport, credentials, server)
    except LoginRefused as refused:
        if transport.is_active() or transport.took_login:
            raise
        # It has closed before it knew any login: that says nothing about the password.
        raise PartnerUnreachable(refused.reason, hint="It will be retried.") from None


def _open_session(
    transport: Transport, server: Server, timeouts: Timeouts, logged_in: Callable[[float], None]
) -> SftpSession:
    heard = transport.heard
    heard.refusal = None
    try:
        asked_at = time.monotonic()
        channel = transport.open_session(timeout=timeouts.reply)
        # Opening a channel costs the server next to nothing, so this is mostly the network's share. The start
        # of SFTP also waits for a process to be started.
        round_trip = time.monotonic() - asked_at
        channel.settimeout(timeouts.reply)
        request_subsystem(channel, "sftp")
    except Exception as error:  # noqa: BLE001 - also of cryptography: whatever it is, the server has caused it
        raise _no_sftp(server, f" ({_words(error)}).{heard.last_words}", heard) from None
    logged_in(round_trip)
    try:
        session = SftpSession(stream_for(channel), server=str(server), reply_timeout=timeouts.reply)
    except (ConnectionLost, ProtocolViolation) as error:
        said = _said_beside(channel)
        why = error.reason.removeprefix(f"{server} ")
        raise _no_sftp(server, f": it {why}{_ending(channel, said, heard)}", heard, said) from None
    session.round_trip = min(session.round_trip, round_trip)
    session.is_windows = is_windows(transport.identification)
    return session


def _said_beside(channel: paramiko.Channel) -> bytes:
    """Return what the server wrote to stderr: what is there, without waiting."""
    return channel.recv_stderr(_STDERR_BYTES) if channel.recv_stderr_ready() else b""


def _ending(channel: paramiko.Channel, said: bytes, heard: ServerMessages) -> str:
    words = f" It said {quote(said)}." if said.strip() else heard.last_words
    if channel.exit_status_ready() and (status := channel.recv_exit_status()) >= 0:
        return f" Its program ended with exit status {status}.{words}"
    return words


def _no_sftp(server: Server, why: str, heard: ServerMessages, said: bytes = b"") -> PartnerError:
    reason = f"{server} accepted the login but does not start SFTP{why}"
    if says_expired(decoded(said)):
        return PasswordExpired(reason, hint="Get a new password from the partner, and fill the secret.")
    if heard.is_about_too_many() or says_too_many(said):
        return TooManyConnections(
            reason, hint="Lower max_connections, or ask the partner to allow more. It will be retried."
        )
    return SftpNotStarted(
        reason,
        hint="Ask the partner whether SFTP is enabled for this user, whether its login script prints "
        "something, and how many sessions it may have. It will be retried.",
    )


def _no_common_algorithm(server: Server, error: Exception, transport: Transport) -> PartnerUnreachable:
    options = transport.get_security_options()
    ours = {
        "key exchange": tuple(options.kex),
        "host keys": tuple(options.key_types),
        "ciphers": tuple(options.ciphers),
        "MACs": tuple(options.digests),
        "compression": tuple(options.compression),
    }
    why = transport.heard.compare(ours) or str(error)
    return PartnerUnreachable(
        f"{server} and this function have no common algorithm ({why}).",
        hint="Ask the partner to enable one of these. SSH_CIPHERS can choose older ciphers "
        "(docs/reference/ssh.md).",
    )


def _handshake_failed(server: Server, error: BaseException, heard: ServerMessages) -> PartnerError:
    why = (
        f"{server} took the connection but did not complete the SSH handshake ({_words(error)})."
        f"{heard.last_words}"
    )
    if heard.is_about_too_many():
        return TooManyConnections(
            why, hint="Lower max_connections, or ask the partner to allow more. It will be retried."
        )
    return PartnerUnreachable(
        why,
        hint="Check SSH_PORT; a busy server or a firewall answers like this, too, and so does one that has "
        "banned this address for a while. It will be retried.",
    )


def _lost_before_sftp(server: Server, error: Exception, heard: ServerMessages) -> PartnerUnreachable:
    return PartnerUnreachable(
        f"{server} was lost during the login ({_words(error)}).{heard.last_words}",
        hint="It will be retried; ask the partner if it persists.",
    )


def _words(error: BaseException) -> str:
    return quoted(error)
