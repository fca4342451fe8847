"""What the kernel and a second connection tell of a server that does not speak SSH."""

import contextlib
import socket
import struct
from typing import Any

from s3_to_sftp.diagnosis.handshake import TcpState
from s3_to_sftp.server import Server

TLS_SECONDS = 3.0
"""An answer to a ClientHello takes one round trip."""

_INFO_BYTES = 104
# Linux, struct tcp_info (include/uapi/linux/tcp.h): eight bytes, then 32-bit numbers.
_RETRANSMITS_AT, _UNACKNOWLEDGED_AT, _QUIET_MILLISECONDS_AT = 2, 24, 52


def open_connection(
    address: str, port: int, *, timeout: float, segment_bytes: int | None = None
) -> socket.socket:
    """Connect to an address.

    Args:
        address: IPv4 or IPv6.
        port: TCP port.
        timeout: Seconds.
        segment_bytes: Of segments, at most, both ways (TCP_MAXSEG); None: as the network allows.

    Raises:
        OSError: It does not accept.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        if segment_bytes is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment_bytes)
        sock.connect(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM)[0][4])
    except BaseException:
        sock.close()
        raise
    return sock


def tcp_state(sock: Any) -> TcpState | None:
    """Return what the kernel knows of a connection; None: it does not tell."""
    with contextlib.suppress(OSError, AttributeError, struct.error):
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        (unacknowledged,) = struct.unpack_from("=I", info, _UNACKNOWLEDGED_AT)
        (quiet,) = struct.unpack_from("=I", info, _QUIET_MILLISECONDS_AT)
        return TcpState(
            unacknowledged=unacknowledged, retransmits=info[_RETRANSMITS_AT], quiet_seconds=quiet / 1000
        )
    return None


def speaks_tls(server: Server, *, seconds: float = TLS_SECONDS) -> bool:
    """Return in time whether the server answers a TLS ClientHello, over one more connection."""
    import ssl  # only for a server that has said nothing

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((server.host, server.port), timeout=seconds) as sock,
            context.wrap_socket(sock, server_hostname=server.host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # only TLS has alerts
    except (OSError, ValueError):
        return False
