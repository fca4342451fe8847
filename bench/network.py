"""Distance on loopback: a TCP proxy that delays, and caps where asked. `python -m bench.network` runs one.

What it models, and what not:

- Every byte arrives half a round trip after it was read, in order; a half-close travels the same way.
- A new connection costs one round trip before its first byte counts as sent. `connect()` itself returns at
  once, because the kernel answers it: clients that time it see 0 ms, those that time an answer see the truth.
- TCP's own window, per connection and direction: it starts at 10 segments, doubles per round trip and ends at
  3 MiB, which is what Linux's default buffers gave over a real delayed link (33 MB/s at 100 ms, 170 MB/s at
  20 ms). Without it a fresh connection would be faster than any real one.
- No loss, no jitter, no restart of the window after idling.
- The cap is one queue per direction, shared by all connections in turn.

One thread, one process; nothing here looks into the bytes, so the SSH window is exactly the server's.
"""

from __future__ import annotations

import argparse
import functools
import mmap
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from bench.programs import environment
from local.processes import LOOPBACK, Launch, server_on_a_free_port

TCP_WINDOW_BYTES = 3 * 1024 * 1024
_FIRST_WINDOW_BYTES = 10 * 1460  # RFC 6928

# Reads closer together than this are done as one, since a wake-up costs as much as moving 100 KB: a hundredth
# of the round trip, within these bounds.
_GRAINS = (0.0001, 0.0005)
_READ_BYTES = 1024 * 1024
# Smaller under a cap: bytes of one read arrive together, here within 0.9 ms at 75 MB/s.
_READ_BYTES_CAPPED = 64 * 1024
# The capped link is booked ahead by the first number of seconds, and again when only the second is left:
# it must not idle between two wake-ups of ours.
_BOOKED_AHEAD = (0.006, 0.003)
# What can be under way in one direction of one connection; the larger one where no window bounds it.
_RING_BYTES = 4 * 1024 * 1024
_RING_BYTES_WITHOUT_WINDOW = 64 * 1024 * 1024
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Link:
    """A way to the server.

    Attributes:
        rtt_ms: Round-trip time.
        mbit: Megabits per second in each direction, shared by all connections; None: no cap.
        tcp_window: Whether each connection has TCP's own window, with its slow start.
    """

    rtt_ms: float = 0
    mbit: float | None = None
    tcp_window: bool = True

    @property
    def is_direct(self) -> bool:
        """Whether there is nothing to model."""
        return not self.rtt_ms and self.mbit is None

    def __str__(self) -> str:
        return f"{self.rtt_ms:g} ms" + (f", {self.mbit:g} Mbit/s" if self.mbit else "")


@contextmanager
def start_link(link: Link, *, to_port: int, log: Path, port: int | None = None) -> Iterator[int]:
    """Runs a link in its own process until the block ends; yields the port on loopback to connect to.

    Args:
        link: What to model.
        to_port: Where the server listens, on loopback.
        log: Takes the output of the process.
        port: A port to listen on; by default a free one.
    """
    launch = functools.partial(_launch, link, to_port)
    with server_on_a_free_port("the link", launch, log=log, port=port) as chosen:
        yield chosen


def _launch(link: Link, to_port: int, port: int) -> Launch:
    options = ["--rtt-ms", str(link.rtt_ms)]
    options += ["--mbit", str(link.mbit)] if link.mbit else []
    options += [] if link.tcp_window else ["--no-tcp-window"]
    return Launch(
        command=[
            sys.executable,
            "-m",
            "bench.network",
            "--port",
            str(port),
            "--to-port",
            str(to_port),
            *options,
        ],
        env=environment(),
        ready=f"link on port {port}\n",
    )


class _ParallelStream:
    """One direction of the link: a queue in front of a wire."""

    def __init__(self, link: Link) -> None:
        self.delay = link.rtt_ms / 2000
        self.read_bytes = _READ_BYTES if link.mbit is None else _READ_BYTES_CAPPED
        self._seconds_per_byte = 8e-6 / link.mbit if link.mbit else 0.0
        self._free_at = 0.0

    def is_open(self, now: float) -> bool:
        """Returns whether more bytes may be put on it now."""
        return not self._seconds_per_byte or self._free_at - now < _BOOKED_AHEAD[0]

    def opens_at(self) -> float:
        """Returns when more bytes can be put on it."""
        return self._free_at - _BOOKED_AHEAD[1]

    def arrival(self, size: int, sent_at: float) -> float:
        """Books it for these bytes, and returns when the last of them arrives."""
        self._free_at = max(self._free_at, sent_at) + size * self._seconds_per_byte
        return self._free_at + self.delay


@dataclass
class _Window:
    """TCP's congestion window in slow start, up to the receive window; no loss, hence never smaller."""

    size: int = _FIRST_WINDOW_BYTES
    in_flight: int = 0
    acks: deque[tuple[float, int]] = field(default_factory=deque)

    def acknowledge(self, now: float) -> None:
        """Counts the acknowledgements that have arrived."""
        while self.acks and self.acks[0][0] <= now:
            amount = self.acks.popleft()[1]
            # As Linux: a window that is not used does not grow.
            if self.in_flight * 2 >= self.size:
                self.size = min(self.size + amount, TCP_WINDOW_BYTES)
            self.in_flight -= amount

    def room(self) -> int:
        """Returns how many bytes may be sent now."""
        return self.size - self.in_flight


class _Flow:
    """One direction of one connection: a ring of bytes on their way."""

    def __init__(
        self,
        link: Link,
        stream: _ParallelStream,
        source: socket.socket,
        sink: socket.socket,
        *,
        opens_at: float,
    ) -> None:
        self.source = source
        self.sink = sink
        self.ready_to_read = False
        self.sink_full = False
        self.source_ended = False
        self.done = False
        self._stream = stream
        self._opens_at = opens_at
        delayed = link.rtt_ms > 0
        self._size = _RING_BYTES_WITHOUT_WINDOW if delayed and not link.tcp_window else _RING_BYTES
        self._ring = memoryview(mmap.mmap(-1, self._size))
        self._read = 0
        self._sent = 0
        self._due: deque[tuple[float, int]] = deque()
        self._end_due = 0.0
        self._window = _Window() if delayed and link.tcp_window else None

    def room(self) -> int:
        """Returns how many bytes this flow may read now."""
        room = self._size - (self._read - self._sent)
        return min(room, self._window.room()) if self._window else room

    def take(self, now: float) -> None:
        """Reads one piece from the source, as far as there is room."""
        if (
            not self.ready_to_read
            or now < self._opens_at
            or not self._stream.is_open(now)
            or self.room() <= 0
        ):
            return
        if self._read == self._sent:
            self._read = self._sent = 0  # an idle ring starts again in memory that is still in the cache
        start = self._read % self._size
        size = min(self.room(), self._stream.read_bytes, self._size - start)
        try:
            got = self.source.recv_into(self._ring[start : start + size])
        except BlockingIOError:
            self.ready_to_read = False
            return
        except OSError:
            got = 0
        if got:
            self._read += got
            self._due.append((self._stream.arrival(got, now), self._read))
            if self._window:
                self._window.in_flight += got
        else:
            self.source_ended, self.ready_to_read = True, False
            self._end_due = self._stream.arrival(0, now)

    def deliver(self, now: float) -> None:
        """Sends what is due."""
        if self._window:
            self._window.acknowledge(now)
        if self.done or self.sink_full:
            return
        while self._due and self._due[0][0] <= now:
            if not self._send_up_to(self._due[0][1], now):
                return
            self._due.popleft()
        if self.source_ended and not self._due and self._end_due <= now:
            self.done = True
            with suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)

    def _send_up_to(self, end: int, now: float) -> bool:
        while self._sent < end:
            start = self._sent % self._size
            stop = min(start + end - self._sent, self._size)
            try:
                sent = self.sink.send(self._ring[start:stop])
            except BlockingIOError:
                self.sink_full = True
                return False
            except OSError:
                self.done = True  # the reader has disconnected: what is in flight is lost, as on a real wire
                return False
            self._sent += sent
            if self._window:
                self._window.acks.append((now + self._stream.delay, sent))
        return True

    def next_event(self) -> float:
        """Returns the time of the next event of this flow."""
        times = [self._due[0][0]] if self._due and not self.sink_full and not self.done else []
        if self._window and self._window.acks:
            times.append(self._window.acks[0][0])
        if self.ready_to_read and self.room() > 0:
            times.append(max(self._opens_at, self._stream.opens_at()))
        if self.source_ended and not self.done and not self._due:
            times.append(self._end_due)
        return min(times, default=float("inf"))


class _Connection:
    """A client, its server, and the two flows between them."""

    def __init__(
        self, link: Link, there: _ParallelStream, back: _ParallelStream, client: socket.socket, to_port: int
    ) -> None:
        now = time.monotonic()
        self.client = client
        self.server = socket.socket()
        self.connects_at = now + 1.5 * link.rtt_ms / 1000
        self.connected = False
        self._to_port = to_port
        # What a client sends before a round trip has passed it could not have sent over a real distance.
        self.out = _Flow(link, there, client, self.server, opens_at=now + link.rtt_ms / 1000)
        self.back = _Flow(link, back, self.server, client, opens_at=self.connects_at)
        self.flows = (self.out, self.back)

    def connect(self) -> bool:
        """Opens the connection to the server; False if nothing listens there."""
        try:
            self.server.settimeout(_CONNECT_SECONDS)
            self.server.connect((LOOPBACK, self._to_port))
        except OSError:
            return False
        _prepare(self.server)
        self.connected = True
        return True

    def close(self) -> None:
        """Closes both ends."""
        self.client.close()
        self.server.close()


class _Proxy:
    """Moves bytes between all connections, on one thread."""

    def __init__(self, link: Link, listener: socket.socket, to_port: int) -> None:
        self._link = link
        self._there = _ParallelStream(link)
        self._back = _ParallelStream(link)
        self._listener = listener
        self._to_port = to_port
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)
        self._connections: deque[_Connection] = deque()
        self._ends: dict[int, tuple[_Flow, _Flow]] = {}
        self._interest: dict[int, int] = {}
        self._no_delay = not link.rtt_ms
        self._grain = min(max(link.rtt_ms / 4e4, _GRAINS[0]), _GRAINS[1])

    def run(self) -> NoReturn:
        """Serves until the process ends."""
        while True:
            begun = time.monotonic()
            self._wait(begun, until=self._serve(begun))

    def _serve(self, now: float) -> float:
        """Moves everything that can move, and says when time alone will let more move."""
        # Each round another connection is first, so that the capped streams are shared fairly.
        self._connections.rotate(-1)
        soonest = float("inf")
        for connection in tuple(self._connections):
            if not connection.connected:
                if connection.connects_at > now:
                    soonest = min(soonest, connection.connects_at)
                elif not self._open(connection):
                    continue
            for flow in connection.flows:
                if connection.connected:
                    flow.deliver(now)
                flow.take(now)
                if connection.connected and self._no_delay:
                    flow.deliver(now)
                soonest = min(soonest, flow.next_event())
            self._update(connection)
        return soonest

    def _wait(self, begun: float, *, until: float) -> None:
        time.sleep(max(0.0, begun + self._grain - time.monotonic()))
        # The epoll call knows milliseconds only, the select call microseconds.
        pause = min(max(0.0, until - time.monotonic()), 3600.0)
        if pause:
            select.select([self._epoll], [], [], pause)
        for number, events in self._epoll.poll(0):
            if number == self._listener.fileno():
                self._accept()
            else:
                reads, writes = self._ends[number]
                if events & ~select.EPOLLOUT:
                    reads.ready_to_read = not reads.source_ended
                if events & ~select.EPOLLIN:
                    writes.sink_full = False

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        _prepare(client)
        connection = _Connection(self._link, self._there, self._back, client, self._to_port)
        self._connections.append(connection)
        self._watch(client, reads=connection.out, writes=connection.back)

    def _open(self, connection: _Connection) -> bool:
        if connection.connect():
            self._watch(connection.server, reads=connection.back, writes=connection.out)
        else:
            self._forget(connection)
        return connection.connected

    def _watch(self, end: socket.socket, *, reads: _Flow, writes: _Flow) -> None:
        self._ends[end.fileno()] = (reads, writes)
        self._interest[end.fileno()] = 0

    def _update(self, connection: _Connection) -> None:
        if connection.out.done and connection.back.done:
            self._forget(connection)
            return
        for end in (connection.client, connection.server):
            number = end.fileno()
            if number not in self._ends:
                continue
            reads, writes = self._ends[number]
            wanted = 0 if reads.source_ended or reads.ready_to_read else select.EPOLLIN
            wanted |= select.EPOLLOUT if writes.sink_full else 0
            before, self._interest[number] = self._interest[number], wanted
            if wanted and not before:
                self._epoll.register(end, wanted)
            elif before and not wanted:
                self._epoll.unregister(
                    end
                )  # an end that is closed both ways would wake the loop indefinitely
            elif wanted != before:
                self._epoll.modify(end, wanted)

    def _forget(self, connection: _Connection) -> None:
        for end in (connection.client, connection.server):
            self._ends.pop(end.fileno(), None)
            self._interest.pop(end.fileno(), None)
        self._connections.remove(connection)
        connection.close()


def _prepare(end: socket.socket) -> None:
    end.settimeout(0)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> NoReturn:
    """Runs a link until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m bench.network", description="Distance on loopback.")
    parser.add_argument("--port", type=int, required=True, help="listens here, on loopback")
    parser.add_argument("--to-port", type=int, required=True, help="where the server listens, on loopback")
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--mbit", type=float, help="cap per direction; by default none")
    parser.add_argument("--no-tcp-window", action="store_true", help="delay only, without TCP's own window")
    options = parser.parse_args()
    link = Link(rtt_ms=options.rtt_ms, mbit=options.mbit, tcp_window=not options.no_tcp_window)
    with socket.create_server((LOOPBACK, options.port), backlog=128) as listener:
        listener.settimeout(0)
        with suppress(PermissionError):
            # As root: a wire does not wait until the programs at its ends have had their turn.
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        print(f"link on port {options.port}", flush=True)
        _Proxy(link, listener, options.to_port).run()


if __name__ == "__main__":
    main()
