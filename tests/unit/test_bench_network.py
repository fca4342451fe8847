"""The link of the benchmarks, by what no disturbance can shorten: nothing arrives too early, or changed."""

from __future__ import annotations

import hashlib
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.network import Link, start_link
from local.processes import LOOPBACK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the link is made of Linux's epoll")

_MIB = 1024 * 1024


def test_an_echo_takes_the_round_trip_that_was_asked_for(tmp_path: Path) -> None:
    with _echo_behind(Link(rtt_ms=40), tmp_path) as port, _client(port) as client:
        client.sendall(b"first")
        client.recv(5)
        asked = time.monotonic()
        client.sendall(b"x")
        client.recv(1)
        assert time.monotonic() - asked >= 0.040


def test_a_new_connection_costs_a_round_trip_before_its_first_byte(tmp_path: Path) -> None:
    with _echo_behind(Link(rtt_ms=40), tmp_path) as port:
        begun = time.monotonic()
        with _client(port) as client:
            client.sendall(b"x")
            client.recv(1)
            assert time.monotonic() - begun >= 0.080


def test_the_cap_is_shared_by_all_connections(tmp_path: Path) -> None:
    link = Link(mbit=80)
    with _echo_behind(link, tmp_path) as port, ExitStack() as stack:
        clients = [stack.enter_context(_client(port)) for _ in range(2)]
        begun = time.monotonic()
        sending = [threading.Thread(target=client.sendall, args=(bytes(_MIB),)) for client in clients]
        for thread in sending:
            thread.start()
        for client in clients:
            assert len(_read(client, _MIB)) == _MIB
        assert time.monotonic() - begun >= 2 * _MIB * 8 / (link.mbit or 0) / 1e6


def test_a_fresh_window_lets_only_its_first_segments_go(tmp_path: Path) -> None:
    # 100 KB are 14.6 + 29.2 + 56.2 KB: three flights. One round trip each, and one to connect.
    with _echo_behind(Link(rtt_ms=40), tmp_path) as port, _client(port) as client:
        begun = time.monotonic()
        client.sendall(bytes(100_000))
        _read(client, 100_000)
        assert time.monotonic() - begun >= 4 * 0.040


def test_without_the_window_of_tcp_a_link_only_delays(tmp_path: Path) -> None:
    link = Link(rtt_ms=40, tcp_window=False)
    with _echo_behind(link, tmp_path) as port, _client(port) as client:
        data = random.Random(1).randbytes(3 * _MIB)
        threading.Thread(target=client.sendall, args=(data,)).start()
        assert _read(client, len(data)) == data


@pytest.mark.parametrize("link", [Link(), Link(rtt_ms=4), Link(rtt_ms=4, mbit=800)], ids=str)
def test_bytes_of_several_connections_arrive_whole_and_in_order(link: Link, tmp_path: Path) -> None:
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


def test_a_server_that_is_not_there_closes_the_connection(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind((LOOPBACK, 0))
        with (
            start_link(Link(rtt_ms=4), to_port=nobody.getsockname()[1], log=tmp_path / "log") as port,
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
        server.sendall(so_far.digest())  # which arrives only if the half-close did

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
