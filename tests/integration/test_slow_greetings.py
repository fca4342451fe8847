"""A server that greets slowly, before its version line and in the middle of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.connect import Timeouts, look_up, open_socket, shake_hands


@contextmanager
def server_that(greets: Callable[[socket.socket, threading.Event], None]) -> Iterator[Server]:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted, suppress(OSError):  # a client that has given up hangs up
                greets(accepted, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Server(host="127.0.0.1", port=listener.getsockname()[1], host_keys=())
        over.set()
        thread.join()


def error_of(server: Server, timeouts: Timeouts) -> PartnerUnreachable:
    with pytest.raises(PartnerUnreachable) as raised:
        shake_hands(server, open_socket(server, timeouts, look_up(server)), timeouts)
    return raised.value


def test_long_pause_between_a_greeting_and_the_version_line_is_waited_for() -> None:
    def greets(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(b"Authorised users only\r\n")
        time.sleep(2.5)  # longer than another protocol is listened to
        sock.sendall(b"SSH-2.0-slow\r\n")

    with server_that(greets) as server:
        assert error_of(server, Timeouts(handshake=10)).cause == "client-refused"


def test_byte_now_and_then_is_no_silent_port() -> None:
    def greets(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(b"SSH-")  # at once: one by one, the fourth might come too late on a slow machine
        for byte in b"2.0-slowly-slowly-slowly":
            sock.sendall(bytes([byte]))
            if over.wait(0.4):
                return

    with server_that(greets) as server:
        error = error_of(server, Timeouts(handshake=2))
    assert error.cause == "key-exchange-failed"
    assert "It said 'SSH-" in error.reason


def test_lists_of_algorithms_that_come_byte_by_byte_are_not_lost() -> None:
    def greets(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(b"SSH-2.0-slow\r\n")
        for byte in b"\x00\x00\x01\x2c\x05\x14" + bytes(300):
            sock.sendall(bytes([byte]))
            if over.wait(0.2):
                return

    with server_that(greets) as server:
        assert error_of(server, Timeouts(handshake=2)).cause == "key-exchange-failed"
