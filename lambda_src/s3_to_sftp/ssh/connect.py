"""An authenticated SSH transport: TCP, handshake, host key check, login."""

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import paramiko

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.defaults import REPLY_TIMEOUT_SECONDS
from s3_to_sftp.diagnosis import connecting, handshake, login
from s3_to_sftp.diagnosis.handshake import TcpState
from s3_to_sftp.diagnosis.server_messages import ServerMessages
from s3_to_sftp.errors import DeliveryError, LoginRefused, PartnerError, PartnerUnreachable
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.server import Server
from s3_to_sftp.ssh import algorithms, host_keys, tcp
from s3_to_sftp.ssh.authentication import log_in
from s3_to_sftp.ssh.transport import Transport
from s3_to_sftp.untrusted_text import never_show, quoted

# paramiko logs every failure with a traceback of its own thread; ours say it once, in a sentence. Who asks
# for DEBUG (Lambda's runtime gives it to the root) wants the dialogue with the server; no password is in it.
if not logging.getLogger().isEnabledFor(logging.DEBUG):
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)


MOST_ADDRESSES = 8
"""Of a name, that are tried one after the other: each may take the whole time for a connection. As many as a
load balancer shows; the resolver gives another order next time."""

_BANNER_ENDS_BEFORE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait for the partner, in seconds.

    Attributes:
        connect: For the TCP connection.
        handshake: For the SSH banner and the key exchange.
        login: For the answer to each authentication request.
        reply: For one SFTP reply, or for the peer to accept more data.
        keepalive: Idle time after which a keepalive is sent; firewalls drop idle connections.
    """

    connect: float = 15
    handshake: float = 30
    login: float = 30
    reply: float = REPLY_TIMEOUT_SECONDS
    keepalive: int = 30


@dataclass(frozen=True)
class Login:
    """A login that the server has accepted.

    Attributes:
        host_key_fingerprint: Of the server, `SHA256:...`.
        seconds: How long it took.
    """

    host_key_fingerprint: str
    seconds: float


def start_transport(
    server: Server,
    credentials: Credentials,
    timeouts: Timeouts,
    *,
    is_known: bool = False,
    connected: Callable[[], None] = lambda: None,
) -> Transport:
    """Connect and exchange keys. Leaves nothing open when it fails.

    Args:
        server: Where to.
        credentials: Never shown in an error.
        timeouts: How long to wait for what.
        is_known: Whether it has been an SSH server before: then it is not waited for before KEXINIT.
        connected: Called as soon as there is a TCP connection.

    Raises:
        PartnerUnreachable: No name, no route, no answer, or no SSH server there.
        HostKeyRefused: The server has no key of a pinned type.
        TooManyConnections: The server accepts no more connections now.
    """
    never_show(credentials.password, credentials.passphrase, credentials.private_key)
    sock = open_socket(server, timeouts, look_up(server))
    connected()
    return shake_hands(server, sock, timeouts, is_known=is_known)


def shake_hands(
    server: Server, sock: socket.socket, timeouts: Timeouts, *, is_known: bool = False
) -> Transport:
    """Exchange keys over a connection that was just made. Leaves nothing open when it fails.

    Raises:
        PartnerUnreachable, HostKeyRefused, TooManyConnections: See `start_transport`.
    """
    return _handshake(
        server, sock, timeouts, pinned_types_only=bool(server.host_keys), speaks_at_once=is_known
    )


def log_in_to(
    transport: Transport,
    server: Server,
    credentials: Credentials,
    timeouts: Timeouts,
    *,
    known: KnownServer | None = None,
    before_login: Callable[[], None] = lambda: None,
) -> Login:
    """Check the host key, then log in: the login is sent only to the owner of a pinned key.

    Args:
        transport: Keys have been exchanged.
        server: Its pinned host keys.
        credentials: The login.
        timeouts: How long to wait for what.
        known: What this very server has shown before; None: nothing.
        before_login: Called when the host key is right, before the login is sent; what it raises ends this.

    Raises:
        HostKeyRefused: The host key is not pinned.
        LoginRefused: The server does not accept the login.
        PartnerUnreachable: The server closed the connection before it knew the login.
        CredentialsError: The private key of the credentials cannot be used.
    """
    host_key = transport.get_remote_server_key()
    host_keys.check(host_key, server)
    before_login()
    transport.auth_timeout = timeouts.login
    asked_at = time.monotonic()
    _guarded_login(transport, credentials, server, known)
    login_seconds = time.monotonic() - asked_at
    transport.set_keepalive(timeouts.keepalive)
    return Login(host_keys.fingerprint(host_key), login_seconds)


def look_again(error: PartnerUnreachable, server: Server, timeouts: Timeouts) -> PartnerUnreachable:
    """Return the error, or that of a TLS server, where another connection shows that it is one.

    For a connection over which the server has said nothing: one that waits for TLS is silent, or hangs up
    over our version line.
    """
    seconds = min(tcp.TLS_SECONDS, timeouts.handshake)
    if error.cause not in handshake.HEARD_NOTHING or not tcp.speaks_tls(server, seconds=seconds):
        return error
    return handshake.TLS.error(PartnerUnreachable, "It answers a TLS ClientHello.", server=server)


@contextlib.contextmanager
def closed_on_failure(transport: Transport, server: Server) -> Iterator[None]:
    """Close the transport when the block fails.

    Raises:
        PartnerUnreachable: In place of what paramiko and cryptography raise over malformed messages.
    """
    try:
        yield
    except BaseException as error:
        transport.close()
        if not isinstance(error, Exception) or isinstance(error, DeliveryError):
            raise
        raise _lost_before_sftp(server, error, transport.received) from None


def _handshake(
    server: Server,
    sock: socket.socket,
    timeouts: Timeouts,
    *,
    pinned_types_only: bool,
    speaks_at_once: bool = False,
) -> Transport:
    transport = Transport(sock)
    transport.speaks_at_once = speaks_at_once
    # Before the handshake's time is over: then what has come of the line so far is kept.
    transport.banner_timeout = timeouts.handshake - min(_BANNER_ENDS_BEFORE_SECONDS, timeouts.handshake / 4)
    # Above ours: paramiko would report it as a closed connection.
    transport.handshake_timeout = 2 * timeouts.handshake
    algorithms.offer(transport, server.algorithms, ciphers=server.ciphers)
    transport.limit_writes(timeouts.reply)
    options = transport.get_security_options()
    if pinned_types_only:
        of_pinned_types = host_keys.algorithms_for(server.host_keys, offered=tuple(options.key_types))
        options.key_types = of_pinned_types or options.key_types
    try:
        _shake_hands(transport, timeouts)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        transport.close()
        if pinned_types_only and not _has_common_host_key(transport):
            _refuse_other_type(server, timeouts)
        raise _no_common_algorithm(server, error, transport) from None
    except Exception as error:  # noqa: BLE001 - also of cryptography: whatever it is, the server has caused it
        state = tcp.tcp_state(transport.sock)
        transport.close()
        raise _handshake_failed(server, error, transport.received, state, timeouts) from None
    with contextlib.suppress(OSError):  # closed meanwhile: the login will tell
        _give_up_after(sock, timeouts.reply)
    return transport


def _has_common_host_key(transport: Transport) -> bool:
    offered = transport.received.offered.get("host keys", ())
    return not set(offered).isdisjoint(transport.get_security_options().key_types)


def _shake_hands(transport: Transport, timeouts: Timeouts) -> None:
    transport.start_client(timeout=timeouts.handshake)
    # When its time is over, start_client returns as if all were well.
    if not transport.initial_kex_done:
        raise TimeoutError(f"no answer within {timeouts.handshake:g} s")


def open_socket(
    server: Server, timeouts: Timeouts, addresses: Sequence[str], *, segment_bytes: int | None = None
) -> socket.socket:
    """Connect to the first address that accepts, of `MOST_ADDRESSES` at most.

    Args:
        server: Its port counts.
        timeouts: How long to wait for each address.
        addresses: From `look_up`.
        segment_bytes: Of TCP segments, at most; None: as the network allows.

    Raises:
        PartnerUnreachable: None accepts.
    """
    failures: dict[str, OSError] = {}
    for address in addresses[:MOST_ADDRESSES]:
        try:
            sock = tcp.open_connection(
                address, server.port, timeout=timeouts.connect, segment_bytes=segment_bytes
            )
        except OSError as error:
            failures[address] = error
        else:
            return _tuned(sock, timeouts)
    raise connecting.no_address_accepts(failures, server=server, seconds=timeouts.connect) from None


def look_up(server: Server) -> list[str]:
    """Return the addresses of the server, in the order in which to try them.

    Raises:
        PartnerUnreachable: There is none.
    """
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: an empty or too long label
        raise connecting.lookup_failed(error, host=server.host) from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _tuned(sock: socket.socket, timeouts: Timeouts) -> socket.socket:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Above the handshake's time: a connection that the kernel has given up tells nothing of its packets.
    _give_up_after(sock, max(timeouts.reply, 2 * timeouts.handshake))
    return sock


def _give_up_after(sock: socket.socket, seconds: float) -> None:
    """Let the kernel end the connection to a peer that takes no more data: paramiko tries indefinitely."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _refuse_other_type(server: Server, timeouts: Timeouts) -> None:
    """Raise the host key error for a server that has no key of any pinned type, showing what it has."""
    sock = open_socket(server, timeouts, look_up(server))
    transport = _handshake(server, sock, timeouts, pinned_types_only=False)
    try:
        host_keys.check(transport.get_remote_server_key(), server)
    finally:
        transport.close()


def _guarded_login(
    transport: Transport, credentials: Credentials, server: Server, known: KnownServer | None
) -> None:
    try:
        log_in(transport, credentials, server, known)
    except LoginRefused as refused:
        if transport.is_active() or transport.took_login:
            raise
        # It has closed before it knew any login: that says nothing about the password.
        raise login.CLOSED_BEFORE_LOGIN.error(
            PartnerUnreachable, transport.received.last_words, server=server
        ) from refused


def _no_common_algorithm(server: Server, error: Exception, transport: Transport) -> PartnerUnreachable:
    options = transport.get_security_options()
    ours: dict[str, tuple[str, ...]] = {
        "key exchange": tuple(options.kex),
        "host keys": tuple(options.key_types),
        "ciphers": tuple(options.ciphers),
        "MACs": tuple(options.digests),
        "compression": tuple(options.compression),
    }
    return handshake.no_common_algorithm(
        transport.received, ours, error, server=server, rule=server.algorithms
    )


def _handshake_failed(
    server: Server, error: BaseException, received: ServerMessages, state: TcpState | None, timeouts: Timeouts
) -> PartnerError:
    return handshake.handshake_failed(error, received, server=server, seconds=timeouts.handshake, tcp=state)


def _lost_before_sftp(server: Server, error: Exception, received: ServerMessages) -> PartnerUnreachable:
    return login.LOST_DURING_LOGIN.error(
        PartnerUnreachable, received.last_words, server=server, error=quoted(error)
    )
