"""Uploads a file in streams with such small ranges that the file of a test has many."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from s3_to_sftp.sftp.parallel_upload import upload_parallel
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.sftp.publish import publish
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.sftp.upload_request import RangeSource, TransferTuning, UploadRequest
from s3_to_sftp.ssh.stream import NOT_READY, Piece
from tests.support.scripted_server import Asked, Script
from tests.support.sftp_environment import SOON, MemoryJournal, stream_number, stream_threads

WRITE = 128 * 1024  # so long that the session sends each on its own
SEGMENT = 2 * WRITE
SMALL_SEGMENTS = TransferTuning(
    min_bytes_per_stream=SEGMENT, segment_bytes=SEGMENT, last_segment_bytes=SEGMENT
)
DATA = random.Random(1).randbytes(20 * SEGMENT + 12_345)
PATH, TEMPORARY = "inbox/a.bin", "inbox/.a.part"


@dataclass
class Bytes:
    """A source in memory; each block overwrites the one before, as `RangeSource` allows.

    Attributes:
        on_range: Called with the offset of each range before it is read; may raise or wait.
        extra: Bytes to yield beyond each range.
        until: The first stream gets no second block of a reading before this returns True.
        read: Number of the stream -> offsets of the ranges that it read.
        closed: How many readings have ended.
    """

    data: bytes = DATA
    on_range: Callable[[int], object] = lambda _offset: None
    extra: int = 0
    until: Callable[[], bool] = lambda: True
    read: dict[int, list[int]] = field(default_factory=dict)
    closed: int = 0

    def __post_init__(self) -> None:
        self.size = len(self.data)

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        buffer = bytearray(block_bytes)
        try:
            for offset, length in ranges:
                self.read.setdefault(stream_number(), []).append(offset)
                self.on_range(offset)
                for start in range(offset, offset + length + self.extra, block_bytes):
                    if start and not stream_number():
                        yield from self._waiting(start)
                    end = min(start + block_bytes, offset + length + self.extra)
                    block = memoryview(buffer)[: end - start]
                    block[:] = (self.data + b"!")[start:end].ljust(end - start, b"?")
                    yield start, block
                    block[:] = b"\0" * len(block)
        finally:
            self.closed += 1

    def _waiting(self, offset: int) -> Iterator[tuple[int, Piece]]:
        end = time.monotonic() + SOON
        while not self.until():
            assert time.monotonic() < end
            time.sleep(0.001)  # lets the other threads run
            yield offset, NOT_READY

    def is_gathered(self) -> bool:
        """Return whether each further stream that has not ended has its first block."""
        return {int(thread.name.removeprefix("stream-")) for thread in stream_threads()} <= set(self.read)


def gathering(data: bytes = DATA) -> Bytes:
    """Return a source whose first stream waits until the others have joined or ended."""
    source = Bytes(data)
    source.until = source.is_gathered
    return source


def send_part(pool: ConnectionPool, source: RangeSource | None = None, **more: Any) -> Staged:
    """Upload in small segments, and publish a complete file."""
    sent = upload_part(pool, source, **more)
    if sent.complete:
        session = pool.first().session
        session.run_one(publish(session, sent.temporary, PATH, aside=f"{PATH}.old", journal=MemoryJournal()))
    return sent


def upload_part(pool: ConnectionPool, source: RangeSource | None = None, **more: Any) -> Staged:
    """Upload in small segments."""
    request = UploadRequest(**{"source": source or Bytes(), "temporary": TEMPORARY, **more})
    return upload_parallel(pool, request, SMALL_SEGMENTS)


def send(pool: ConnectionPool, source: Bytes | None = None, **more: Any) -> int:
    """Upload and publish the whole file in small segments; return the number of streams."""
    source = source or Bytes()
    sent = send_part(pool, source, **more)
    assert sent.complete
    assert sent.acknowledged == source.size
    return sent.streams


def at(kind: Request, number: int, then: Callable[[], object], otherwise: Script | None = None) -> Script:
    """Script: call `then` before this request is answered normally, or by another script."""

    def script(asked: Asked) -> bytes | None:
        if (asked.kind, asked.number) == (kind, number):
            then()
        return otherwise(asked) if otherwise else None

    return script


def waiting_for(*events: threading.Event) -> Callable[[], None]:
    def wait() -> None:
        for event in events:
            assert event.wait(SOON)

    return wait
