"""Uploads a file in streams with such small ranges that the file of a test has many."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.sftp.parallel_upload import upload_parallel
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.sftp.publish import publish
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.sftp.upload_request import RangeReader, TransferTuning, UploadRequest
from s3_to_sftp.ssh.stream import Piece
from tests.support.scripted_server import Asked, Script
from tests.support.sftp_environment import SOON, MemoryJournal
from tests.support.sources import BytesSource

WRITE = 128 * 1024  # so long that the session sends each on its own
SEGMENT = 2 * WRITE
SMALL_SEGMENTS = TransferTuning(
    min_bytes_per_stream=SEGMENT, segment_bytes=SEGMENT, last_segment_bytes=SEGMENT
)
DATA = random.Random(1).randbytes(20 * SEGMENT + 12_345)
PATH, TEMPORARY = "inbox/a.bin", "inbox/.a.part"


@dataclass
class Bytes(BytesSource):
    """The file of a test, by default with many ranges. Reading a block takes a moment, as it does from S3.

    Otherwise one stream could send the whole file before another has had its turn.
    """

    data: bytes = DATA

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        for offset, block in super().blocks(ranges, block_bytes):
            time.sleep(0.001)
            yield offset, block


def gathering(data: bytes = DATA) -> Bytes:
    """A source that makes the first stream wait until the others have joined, or ended."""
    source = Bytes(data)
    source.until = source.is_gathered
    return source


def send_part(pool: ConnectionPool, source: RangeReader | None = None, **more: Any) -> Staged:
    """Upload in small segments, and publish a complete file."""
    sent = upload_part(pool, source, **more)
    if sent.complete:
        session = pool.first().session
        session.run_one(publish(session, sent.temporary, PATH, aside=f"{PATH}.old", journal=MemoryJournal()))
    return sent


def upload_part(pool: ConnectionPool, source: RangeReader | None = None, **more: Any) -> Staged:
    """Upload in small segments."""
    request = UploadRequest(**{"source": source or Bytes(), "temporary": TEMPORARY, **more})
    return upload_parallel(pool, request, SMALL_SEGMENTS)


def send(pool: ConnectionPool, source: BytesSource | None = None, **more: Any) -> int:
    """Send all in small segments; return the number of streams."""
    source = source or Bytes()
    sent = send_part(pool, source, **more)
    assert sent.complete
    assert sent.acknowledged == source.size
    return sent.streams


def at(kind: Request, number: int, then: Callable[[], object], otherwise: Script | None = None) -> Script:
    """Script: calls `then` before the request is answered, by a healthy server or by another script."""

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
