"""Objects as streams read them: from memory, or generated on demand."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from s3_to_sftp.ssh.stream import NOT_READY, Piece
from tests.support.sftp_environment import SOON, stream_number, stream_threads

_STAMP = struct.Struct(">Q")
_STAMP_EVERY = 32 * 1024
_GATHER_SECONDS = 10.0


@dataclass
class BytesSource:
    """Bytes in memory. As the protocol allows, the memory of a block is used again for the next one.

    Attributes:
        data: The bytes.
        on_range: Called with the offset of each range before it is read; may raise or wait.
        extra: Bytes by which each range is longer than it should be.
        until: The first stream gets only the block at offset 0 before this returns True.
        read: Number of the stream -> offsets of the ranges that it read.
        closed: Number of readings that have ended.
    """

    data: bytes
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
                range_end = offset + length + self.extra
                for start in range(offset, range_end, block_bytes):
                    if start:
                        yield from self._waiting(start)
                    end = min(start + block_bytes, range_end)
                    block = memoryview(buffer)[: end - start]
                    block[:] = self.data[start:end].ljust(end - start, b"?")
                    yield start, block
                    block[:] = b"\0" * len(block)
        finally:
            self.closed += 1

    def is_gathered(self) -> bool:
        """Return whether each further stream that still runs has read a block."""
        return {int(thread.name.removeprefix("stream-")) for thread in stream_threads()} <= set(self.read)

    def _waiting(self, offset: int) -> Iterator[tuple[int, Piece]]:
        if stream_number():
            return
        deadline = time.monotonic() + SOON
        while not self.until():
            assert time.monotonic() < deadline
            time.sleep(0.001)  # for the other threads, as long as the condition does not hold
            yield offset, NOT_READY


class GatheringSource(BytesSource):
    """Yields only the block at offset 0 before every stream that is still connecting has taken a range.

    A stream needs longer to connect than a small object takes to be sent: without this, a test of several
    streams could be one of a single stream. A stream that hangs is waited for at most 10 s.
    """

    @property
    def readers(self) -> set[int]:
        """The numbers of the streams that have read something."""
        return set(self.read)

    def _waiting(self, offset: int) -> Iterator[tuple[int, Piece]]:
        deadline = time.monotonic() + _GATHER_SECONDS
        while not self.is_gathered() and time.monotonic() < deadline:
            time.sleep(0.001)
            yield (
                offset,
                NOT_READY,
            )  # the other streams join when the first one has done its part of the probe


class StampedSource:
    """Any number of bytes, generated: zeros, with the offset stamped into each 32 KiB."""

    def __init__(self, size: int) -> None:
        self.size = size

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, bytes]]:
        for start, length in ranges:
            for offset in range(start, start + length, block_bytes):
                yield offset, self.part(offset, min(block_bytes, start + length - offset))

    def part(self, offset: int, length: int) -> bytes:
        """Return the bytes there."""
        first = offset - offset % _STAMP_EVERY
        last = offset + length
        whole = b"".join(
            _STAMP.pack(place) + bytes(_STAMP_EVERY - _STAMP.size)
            for place in range(first, last, _STAMP_EVERY)
        )
        return whole[offset - first : last - first]

    def sha256(self) -> bytes:
        """Return the digest of the whole."""
        digest = hashlib.sha256()
        step = 1024 * 1024
        for offset in range(0, self.size, step):
            digest.update(self.part(offset, min(step, self.size - offset)))
        return digest.digest()
