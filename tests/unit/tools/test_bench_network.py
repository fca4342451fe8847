"""The simulated link of the benchmarks does not change the bytes sent over it."""

from __future__ import annotations

import hashlib
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.network import Link, start_link
from local.processes import LOOPBACK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the link is made of Linux's epoll")

_MIB = 1024 * 1024


def test_link_without_tcp_window_returns_every_byte(tmp_path: Path) -> None:
    link = Link(rtt_ms=40, tcp_window=False)
    with _echo_behind(link, tmp_path) as port, _client(port) as client:
        data = random.Random(1).randbytes(3 * _MIB)
        threading.Thread(target=client.sendall, args=(data,)).start()
        assert _read(client, len(data)) == data


@pytest.mark.parametrize("link", [Link(), Link(rtt_ms=4), Link(rtt_ms=4, mbit=800)], ids=str)
def test_bytes_of_several_connections_arrive_complete_and_in_order(link: Link, tmp_path: Path) -> None:
    size = 8 * _MIB
    with _digests_behind(link, tmp_path) as port:
        answers: dict[int, bytes] = {}

        def upload(number: int) -> None:
            with _client(port) as client:
                client.sendall(random.Random(number).randbytes(size))
                client.shutdown(socket.SHUT_WR)
                answers[number] = _read(client, 32)

        threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = {number: hashlib.sha256(random.Random(number).randbytes(size)).digest() for number in range(4)}
    assert answers == expected


def test_missing_server_closes_the_connection(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind((LOOPBACK, 0))
        with (
            start_link(Link(rtt_ms=4), to_port=unused.getsockname()[1], log=tmp_path / "log") as port,
            _client(port) as client,
        ):
            assert client.recv(1) == b""


@contextmanager
def _echo_behind(link: Link, folder: Path) -> Iterator[int]:
    def echo(server: socket.socket) -> None:
        while data := server.recv(_MIB):
            server.sendall(data)

    with _behind(link, echo, folder) as port:
        yield port


@contextmanager
def _digests_behind(link: Link, folder: Path) -> Iterator[int]:
    def digest(server: socket.socket) -> None:
        so_far = hashlib.sha256()
        while data := server.recv(_MIB):
            so_far.update(data)
        server.sendall(so_far.digest())  # arrives only if the half-close arrived

    with _behind(link, digest, folder) as port:
        yield port


@contextmanager
def _behind(link: Link, serve: Callable[[socket.socket], None], folder: Path) -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve_one(server: socket.socket) -> None:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with server:
                serve(server)

        def accept_all() -> None:
            while True:
                try:
                    server, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve_one, args=(server,), daemon=True).start()

        threading.Thread(target=accept_all, daemon=True).start()
        with start_link(link, to_port=listener.getsockname()[1], log=folder / "log") as port:
            yield port
        listener.shutdown(socket.SHUT_RDWR)


def _client(port: int) -> socket.socket:
    client = socket.create_connection((LOOPBACK, port), timeout=30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _read(client: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size and (data := client.recv(_MIB)):
        got += data
    return bytes(got)
