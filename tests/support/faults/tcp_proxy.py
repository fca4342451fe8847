"""A TCP proxy on loopback that breaks connections on demand, or puts them at a distance.

with tcp_proxy(server.port) as proxy:
    proxy.plan = Plan(action="reset", to_server=100_000)   # for connections from now on
    ...
    proxy.plan = HEALTHY
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
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
        action: `cut` ends it with FIN, `reset` with RST, `stall` keeps it open and moves no more bytes in
            either direction.
        to_server: The action happens after this number of bytes to the server; None: never.
        to_client: The action happens after this number of bytes to the client; None: never.
        accept_delay: Seconds between a connection and the first byte that is passed on.
        delay: Seconds of latency in each direction, without a limit of bandwidth.
        banner: Sent to the client in place of anything that the server sends.
    """

    action: Literal["cut", "reset", "stall"] = "cut"
    to_server: int | None = None
    to_client: int | None = None
    accept_delay: float = 0.0
    delay: float = 0.0
    banner: bytes | None = None


HEALTHY = Plan()


class TcpProxy:
    """Passes connections on to `target_port`, each by the plan that held when it came.

    Attributes:
        host: Address to connect to.
        port: Port to connect to.
        plan: For the connections that come from now on.
        plans: For single ones of them, by their number from 0 on.
        at_most: So many may be open at a time, further ones are closed at once; None: any number.
        connections: How many came so far.
        broken: How many of them a plan has broken so far.
    """

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((_LOOPBACK, port))
        # Small, so that a peer feels a stall after little data (accepted sockets inherit it).
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._closing = threading.Event()
        self._pairs: list[_Pair] = []
        self.host = _LOOPBACK
        self.port: int = self._listener.getsockname()[1]
        self.plan = HEALTHY
        self.plans: dict[int, Plan] = {}
        self.at_most: int | None = None
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, name="tcp proxy", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> int:
        return sum(pair.broken.is_set() for pair in self._pairs)

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
            plan = self.plans.get(self.connections, self.plan)
            self.connections += 1
            if self.at_most is not None and sum(pair.is_open() for pair in self._pairs) >= self.at_most:
                client.close()
                continue
            self._pairs.append(_Pair(client, self._target_port, plan, self._closing))


class _Pair:
    """One client, its connection to the server, and a thread for each direction."""

    def __init__(self, client: socket.socket, target_port: int, plan: Plan, closing: threading.Event) -> None:
        self.stalled = threading.Event()
        self.broken = threading.Event()
        self._client = client
        self._server: socket.socket | None = None
        self._target_port = target_port
        self._plan = plan
        self._closing = closing
        self._threads = [threading.Thread(target=self._begin, daemon=True)]
        self._threads[0].start()

    def end(self, *, with_reset: bool = False) -> None:
        for end in filter(None, (self._client, self._server)):
            with suppress(OSError):
                if with_reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes the thread that waits in recv: until it returns, close() has no effect.
                end.shutdown(socket.SHUT_RD if with_reset else socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()

    def is_open(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

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
        for end in (self._client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a delay is ours alone
        back = threading.Thread(
            target=self._pump, args=(server, self._client, self._plan.to_client), daemon=True
        )
        self._threads.append(back)
        back.start()
        self._pump(self._client, server, self._plan.to_server)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError), self._line_to(target) as send:
            while not self.stalled.is_set():
                if limit is not None and passed >= limit:
                    self.broken.set()
                    self._act()
                    return
                data = source.recv(_CHUNK if limit is None else min(_CHUNK, limit - passed))
                if not data or self.stalled.is_set():
                    break
                send(data)
                passed += len(data)
        if not self.stalled.is_set():
            self.end()

    @contextmanager
    def _line_to(self, target: socket.socket) -> Iterator[Callable[[bytes], None]]:
        """Yields a way to send with the delay of the plan; waits for the last byte at the end."""
        if not self._plan.delay:
            yield target.sendall
            return
        on_the_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def deliver() -> None:
            with suppress(OSError):
                while (arrival := on_the_way.get())[1]:
                    self._closing.wait(max(0.0, arrival[0] - time.monotonic()))
                    target.sendall(arrival[1])

        line = threading.Thread(target=deliver, daemon=True)
        line.start()
        try:
            yield lambda data: on_the_way.put((time.monotonic() + self._plan.delay, data))
        finally:
            on_the_way.put((0.0, b""))
            line.join()

    def _act(self) -> None:
        if self._plan.action == "stall":
            self.stalled.set()
        else:
            self.end(with_reset=self._plan.action == "reset")


@contextmanager
def tcp_proxy(target_port: int, plan: Plan = HEALTHY) -> Iterator[TcpProxy]:
    """Runs a proxy in front of `target_port` until the block ends."""
    proxy = TcpProxy(target_port)
    proxy.plan = plan
    try:
        yield proxy
    finally:
        proxy.close()
