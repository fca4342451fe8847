"""A TCP proxy on loopback that breaks connections on demand.

with tcp_proxy(server.port) as proxy:
    proxy.plan = Plan(action="reset", to_server=100_000)   # for connections from now on
    ...
    proxy.plan = HEALTHY
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

_LOOPBACK = "127.0.0.1"
_CHUNK = 16 * 1024
_SMALL_BUFFER = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens to a connection.

    Attributes:
        action: `cut` ends it orderly (FIN), `reset` rudely (RST), `stall` keeps it and moves no more
            bytes in either direction.
        to_server: After so many bytes towards the server; None: never.
        to_client: After so many bytes towards the client; None: never.
        accept_delay: Seconds between a connection and the first byte that is passed on.
        banner: Said to the client in place of anything that the server says.
    """

    action: Literal["cut", "reset", "stall"] = "cut"
    to_server: int | None = None
    to_client: int | None = None
    accept_delay: float = 0.0
    banner: bytes | None = None


HEALTHY = Plan()


class TcpProxy:
    """Passes connections on to `target_port`, each by the plan that held when it came.

    Attributes:
        host: Address to connect to.
        port: Port to connect to.
        plan: For the connections that come from now on.
        connections: How many came so far.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((_LOOPBACK, 0))
        # Small, so that a peer feels a stall after little data (accepted sockets inherit it).
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._closing = threading.Event()
        self._pairs: list[_Pair] = []
        self.host = _LOOPBACK
        self.port: int = self._listener.getsockname()[1]
        self.plan = HEALTHY
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, name="tcp proxy", daemon=True)
        self._thread.start()

    def stall(self) -> None:
        """Stop moving bytes on the connections that are open now, without closing them."""
        for pair in self._pairs:
            pair.stalled.set()

    def cut(self) -> None:
        """End the connections that are open now."""
        for pair in self._pairs:
            pair.end()

    def close(self) -> None:
        """End everything."""
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()
        for pair in self._pairs:
            pair.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._pairs.append(_Pair(client, self._target_port, self.plan, self._closing))


class _Pair:
    """One client, its connection to the server, and a thread for each direction."""

    def __init__(self, client: socket.socket, target_port: int, plan: Plan, closing: threading.Event) -> None:
        self.stalled = threading.Event()
        self._client = client
        self._server: socket.socket | None = None
        self._target_port = target_port
        self._plan = plan
        self._closing = closing
        self._threads = [threading.Thread(target=self._begin, daemon=True)]
        self._threads[0].start()

    def end(self, *, rudely: bool = False) -> None:
        for end in filter(None, (self._client, self._server)):
            with suppress(OSError):
                if rudely:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes the thread that waits in recv: until it lets go, close() would do nothing.
                end.shutdown(socket.SHUT_RD if rudely else socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _begin(self) -> None:
        if self._closing.wait(self._plan.accept_delay):
            return
        if self._plan.banner is not None:
            with suppress(OSError):
                self._client.sendall(self._plan.banner)
            return
        try:
            self._server = server = socket.create_connection((_LOOPBACK, self._target_port))
        except OSError:
            self.end()
            return
        back = threading.Thread(
            target=self._pump, args=(server, self._client, self._plan.to_client), daemon=True
        )
        self._threads.append(back)
        back.start()
        self._pump(self._client, server, self._plan.to_server)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while not self.stalled.is_set():
                if limit is not None and passed >= limit:
                    self._act()
                    return
                data = source.recv(_CHUNK if limit is None else min(_CHUNK, limit - passed))
                if not data or self.stalled.is_set():
                    break
                target.sendall(data)
                passed += len(data)
        if not self.stalled.is_set():
            self.end()

    def _act(self) -> None:
        if self._plan.action == "stall":
            self.stalled.set()
        else:
            self.end(rudely=self._plan.action == "reset")


@contextmanager
def tcp_proxy(target_port: int, plan: Plan = HEALTHY) -> Iterator[TcpProxy]:
    """Runs a proxy in front of `target_port` until the block ends."""
    proxy = TcpProxy(target_port)
    proxy.plan = plan
    try:
        yield proxy
    finally:
        proxy.close()
