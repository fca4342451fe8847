"""Measures delay and throughput of a link before anything is measured over it."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.network import Link, start_link
from local.processes import LOOPBACK

_PIECE = bytes(1024 * 1024)


@dataclass(frozen=True, kw_only=True)
class LinkCheck:
    """The configured values of a link, and the measured ones.

    Attributes:
        link: As asked.
        rtt_ms: Echo of one byte, median.
        mb_per_s: What it carries over one connection, after the window has opened.
    """

    link: Link
    rtt_ms: float
    mb_per_s: float

    def __str__(self) -> str:
        return f"link {self.link}: echo {self.rtt_ms:.2f} ms, carries {self.mb_per_s:.0f} MB/s"


def check_link(link: Link, *, log: Path) -> LinkCheck:
    """Measures one link, in one to two seconds."""
    return LinkCheck(link=link, rtt_ms=_echo_ms(link, log), mb_per_s=_mb_per_s(link, log))


def _echo_ms(link: Link, log: Path, times: int = 15) -> float:
    took = []
    with _through(link, _echo, log) as client:
        for _ in range(times):
            begun = time.perf_counter()
            client.sendall(b"x")
            client.recv(1)
            took.append(time.perf_counter() - begun)
    return statistics.median(took[1:]) * 1000


def _mb_per_s(link: Link, log: Path, seconds: float = 1.0) -> float:
    arrived: list[tuple[float, int]] = []

    def swallow(server: socket.socket) -> None:
        buffer = bytearray(1024 * 1024)
        while size := server.recv_into(buffer):
            arrived.append((time.perf_counter(), size))

    with _through(link, swallow, log) as client:
        # Ten round trips open the window; what arrives before does not count.
        opened = time.perf_counter() + 10 * link.rtt_ms / 1000
        while time.perf_counter() < opened + seconds:
            client.sendall(_PIECE)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)  # the other side closes when it has everything
    counted = [(moment, size) for moment, size in arrived if opened <= moment <= opened + seconds]
    return sum(size for _, size in counted[1:]) / (counted[-1][0] - counted[0][0]) / 1e6


def _echo(server: socket.socket) -> None:
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := server.recv(65536):
        server.sendall(data)


@contextmanager
def _through(link: Link, serve: Callable[[socket.socket], None], log: Path) -> Iterator[socket.socket]:
    with (
        _server(serve) as port,
        start_link(link, to_port=port, log=log) as near,
        socket.create_connection((LOOPBACK, near)) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


@contextmanager
def _server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as listener:

        def accept_one() -> None:
            server, _ = listener.accept()
            with server:
                serve(server)

        thread = threading.Thread(target=accept_one, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(5)
