"""What listens on the port, and where the SSH handshake ends."""

from __future__ import annotations

import http.server
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from local.processes import LOOPBACK, Launch, read, server_on_a_free_port
from local.sftp_server import start_asyncssh_server, start_sshd
from s3_to_sftp.algorithm_rule import DEFAULT_RULE, AlgorithmRule
from tests.support.faults.raw_server import listening
from tests.support.faults.tcp_proxy import Plan, tcp_proxy
from tests.support.other_servers import start_proftpd
from tests.support.problems.black_hole import black_hole
from tests.support.problems.network import at
from tests.support.problems.problem import ALL_SECRET, Problem, Provoke, Provoked, folder, provoked_by
from tests.support.problems.servers import need_sshd, sshd

Serve = Callable[[socket.socket], None]

_VERSION = b"SSH-2.0-Partner_1.0\r\n"
_ECHOED = ALL_SECRET.password.encode()
"""Servers repeat what they were sent; nobody may read it in an error."""


def raw(serve: Serve) -> Provoke:
    """Return how a server does this with each connection, which it otherwise leaves open."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with listening(serve) as port:
            yield at(LOOPBACK, port)

    return provoke


def says(*texts: bytes, then_closes: bool = True) -> Serve:
    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(b"".join(texts))
            if then_closes:
                _hear_out(connection)
                connection.close()

    return serve


def _hear_out(connection: socket.socket) -> None:
    """Read what comes: a close with unread bytes would reset the connection, and lose what was said."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(0.2)
    with suppress(OSError):
        while connection.recv(4096):
            pass


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def nothing(_connection: socket.socket) -> None:
    """It stays open."""


def after_our_version(answer: bytes) -> Serve:
    """It greets, reads our version line, says this and closes."""

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(_VERSION)
            connection.settimeout(5)
            connection.recv(64)
            connection.sendall(answer)
            _hear_out(connection)
            connection.close()

    return serve


def disconnect(code: int, said: bytes) -> bytes:
    """Return a DISCONNECT as it is sent before keys are exchanged."""
    payload = struct.pack(">BII", 1, code, len(said)) + said + struct.pack(">I", 0)
    padding = 8 - (5 + len(payload)) % 8 + 8
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


# --- other services ---


@contextmanager
def ftp_server() -> Iterator[Provoked]:
    with folder() as root, start_proftpd(root, engine="off") as server:
        yield replace(provoked_by(server, ALL_SECRET), logins=list)


class _Web(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[Provoked]:
    """It takes our version line for a request."""
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), _Web)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield at(LOOPBACK, server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def tls_server() -> Iterator[Provoked]:
    """It answers our version line with an alert."""
    with _s_server() as (port, log):
        yield replace(at(LOOPBACK, port), log=log)


@contextmanager
def tls_server_that_waits() -> Iterator[Provoked]:
    """A balancer in front of it lets nothing through but a ClientHello."""
    with _s_server() as (port, log):

        def serve(connection: socket.socket) -> None:
            threading.Thread(target=_let_through, args=(connection, port), daemon=True).start()

        with listening(serve) as front:
            yield replace(at(LOOPBACK, front), log=log)


def _let_through(connection: socket.socket, port: int) -> None:
    with suppress(OSError):
        hello = connection.recv(16384)
        if hello[:2] != b"\x16\x03":
            return
        with socket.create_connection((LOOPBACK, port)) as server:
            server.sendall(hello)
            back = threading.Thread(target=_pump, args=(server, connection), daemon=True)
            back.start()
            _pump(connection, server)
            server.shutdown(socket.SHUT_WR)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(16384):
            target.sendall(data)


@contextmanager
def _s_server() -> Iterator[tuple[int, Callable[[], str]]]:
    with TemporaryDirectory(prefix="tls-") as name:
        state = Path(name)
        key, certificate, log = state / "key", state / "certificate", state / "log"
        make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        make += ["-subj", "/CN=partner", "-keyout", str(key), "-out", str(certificate)]
        try:
            subprocess.run(["openssl", *make], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("openssl is not installed (apt-get install openssl)")

        def launch(port: int) -> Launch:
            where = ["-accept", f"{LOOPBACK}:{port}", "-key", str(key), "-cert", str(certificate)]
            return Launch(command=["openssl", "s_server", "-www", *where], ready="ACCEPT")

        with server_on_a_free_port("openssl s_server", launch, log=log) as port:
            yield port, partial(read, log)


# --- SSH ---


@contextmanager
def too_many_at_the_login() -> Iterator[Provoked]:
    """One is there already."""
    with sshd("MaxStartups 1:100:1") as (server, _), socket.create_connection((LOOPBACK, server.port)):
        while "Connection from" not in server.read_log():
            time.sleep(0.02)
        yield provoked_by(server, ALL_SECRET)


def no_common(
    *config: str, host_key_type: str = "ssh-ed25519", algorithms: AlgorithmRule = DEFAULT_RULE
) -> Provoke:
    """Return how sshd offers only what is configured, and we only what a rule says."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        need_sshd()
        with (
            folder() as root,
            start_sshd(root, extra_config=config, host_key_types=[host_key_type]) as server,
        ):
            provoked = provoked_by(server, ALL_SECRET)
            yield replace(provoked, server=replace(provoked.server, algorithms=algorithms))

    return provoke


@contextmanager
def compression_required() -> Iterator[Provoked]:
    options = {"compression_algs": ["zlib@openssh.com"]}
    with folder() as root, start_asyncssh_server(root, options=options) as server:
        yield provoked_by(server, ALL_SECRET)


@contextmanager
def cut_in_the_key_exchange() -> Iterator[Provoked]:
    """Behind the lists of algorithms."""
    with sshd() as (server, _), tcp_proxy(server.port, Plan(to_client=_lists_end(server.port) + 8)) as proxy:
        yield provoked_by(replace(server, port=proxy.port), ALL_SECRET)


def _lists_end(port: int) -> int:
    """Return how many bytes a server sends before it waits for ours: a version line and a KEXINIT."""
    with socket.create_connection((LOOPBACK, port)) as sock, sock.makefile("rb") as stream:
        version = stream.readline()
        sock.sendall(_VERSION)
        (length,) = struct.unpack(">I", stream.read(4))
    return len(version) + 4 + int(length)


NEGOTIATION = b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23"  # IAC DO ..., as telnetd begins
PROMPT = b"Router 7\r\n\r\nlogin: "
BANNED_TEXT = b"Not allowed at this time\r\n"  # sshd.c of OpenSSH 9.8

PROBLEMS = [
    Problem("closed at once", raw(says()), "closed-at-once"),
    Problem("reset at once", raw(reset), "reset-at-once"),
    Problem("banned", raw(says(BANNED_TEXT)), "banned"),
    Problem("MaxStartups", too_many_at_the_login, "too-many-logins"),
    Problem("silent port", raw(nothing), "silent-port", is_silence=True),
    Problem("FTP of ProFTPD", ftp_server, "ftp-server"),
    Problem("FTP", raw(says(b"220 (vsFTPd 3.0.5)\r\n", then_closes=False)), "ftp-server", is_silence=True),
    Problem("HTTP of a web server", web_server, "http-server"),
    Problem("HTTP of a proxy", raw(says(b"HTTP/1.1 400 Bad Request\r\n\r\n" + _ECHOED)), "http-server"),
    Problem("TLS with an alert", tls_server, "tls-server"),
    Problem("TLS that waits for a ClientHello", tls_server_that_waits, "tls-server", is_silence=True),
    Problem(
        "telnet",
        raw(says(b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23", then_closes=False)),
        "telnet-server",
        is_silence=True,
    ),
    Problem(
        "terminal login",
        raw(says(b"Router 7\r\n\r\nlogin: ", then_closes=False)),
        "telnet-server",
        is_silence=True,
    ),
    Problem("mail", raw(says(b"220 mx.partner.example ESMTP Postfix\r\n")), "mail-server"),
    Problem("SSH 1", raw(says(b"SSH-1.5-Cisco-1.25\r\n")), "ssh-1-only"),
    Problem("other text", raw(says(b"Printer ready. " + _ECHOED + b"\r\n")), "not-ssh"),
    Problem("client refused by close", raw(after_our_version(b"")), "client-refused"),
    Problem(
        "client refused by DISCONNECT",
        raw(after_our_version(disconnect(1, b"Your client is not allowed here, " + _ECHOED))),
        "client-refused",
    ),
    Problem(
        "too many connections", raw(after_our_version(disconnect(12, b"Limit is 4"))), "too-many-connections"
    ),
    Problem("large packets to the server lost", black_hole("to the server"), "mtu-outbound", is_silence=True),
    Problem("large packets to us lost", black_hole("to us"), "mtu-inbound", is_silence=True),
    Problem("key exchange", no_common("KexAlgorithms diffie-hellman-group14-sha1"), "no-common-algorithm"),
    Problem("ciphers", no_common("Ciphers aes256-cbc"), "no-common-algorithm"),
    Problem("MACs", no_common("Ciphers aes256-ctr", "MACs umac-64@openssh.com"), "no-common-algorithm"),
    Problem(
        "host key",
        no_common("HostKeyAlgorithms ssh-rsa", host_key_type="ssh-rsa"),
        "no-common-algorithm",
    ),
    Problem(
        "policy",
        no_common("KexAlgorithms curve25519-sha256", algorithms=AlgorithmRule.from_text("fips")),
        "forbidden-algorithms",
    ),
    Problem("compression required", compression_required, "compression-required"),
    Problem("cut in the key exchange", cut_in_the_key_exchange, "key-exchange-failed"),
]
