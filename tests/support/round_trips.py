"""A TCP relay that counts how often a client waits for its server, whatever the speed of the machine.

What the client sends is passed on when it pauses, and so is what the server answers. Each time the client
speaks after it has heard something is a round trip: at any distance it could not have spoken earlier. A pause
that a busy machine causes can only add to the count, never hide a wait: the smallest of some counts is right.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LOOPBACK = "127.0.0.1"
_PAUSE_SECONDS = 0.12
_READ_BYTES = 256 * 1024


class CountingRelay:
    """Passes connections on to a server, each counted by itself.

    Attributes:
        port: On loopback.
        counts: Of each connection so far, the round trips until now; connecting is the first one.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((_LOOPBACK, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.counts: list[int] = []
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="counting relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError, ValueError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((_LOOPBACK, self._target_port))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                number = len(self.counts)
                self.counts.append(1)
                threading.Thread(target=self._relay, args=(number, client, server), daemon=True).start()

    def _relay(self, number: int, client: socket.socket, server: socket.socket) -> None:
        is_owed = False  # whether the client has spoken since it last heard something
        with suppress(OSError, ValueError):
            while True:
                if sent := _read_until_pause(client):
                    is_owed = True
                    server.sendall(sent)
                if answered := _read_until_pause(server):
                    # Before the client hears it: what it says then, it says after one more round trip.
                    self.counts[number] += is_owed
                    is_owed = False
                    client.sendall(answered)
                if not sent and not answered:
                    select.select([client, server], [], [])


def _read_until_pause(end: socket.socket) -> bytes:
    """Return what comes until nothing has come for a while.

    Raises:
        OSError: The connection has ended.
    """
    read = b""
    while select.select([end], [], [], _PAUSE_SECONDS)[0]:
        piece = end.recv(_READ_BYTES)
        if not piece:
            raise ConnectionResetError
        read += piece
    return read


@contextmanager
def counting_relay(target_port: int) -> Iterator[CountingRelay]:
    """Run a relay until the block ends."""
    relay = CountingRelay(target_port)
    try:
        yield relay
    finally:
        relay.close()
