"""Objects as streams read them: from memory, or made up on the way."""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from s3_to_sftp.ssh.stream import NOT_READY, Piece

_STAMP = struct.Struct(">Q")
_STAMP_EVERY = 32 * 1024
_GATHER_SECONDS = 10.0


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        view = memoryview(self._data)
        for start, length in ranges:
            for offset in range(start, start + length, block_bytes):
                yield offset, view[offset : min(offset + block_bytes, start + length)]


class GatheringSource(BytesSource):
    """Yields no second block before every stream that is still connecting has its first.

    A stream needs longer to connect than a small object takes to be sent: without this, a test of several
    streams could be one of a single stream.

    Attributes:
        readers: Names of the threads that have read something.
    """

    def __init__(self, data: bytes, *, until: Callable[[], bool] = lambda: True) -> None:
        super().__init__(data)
        self.readers: set[str] = set()
        self._until = until

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        for number, block in enumerate(super().blocks(ranges, block_bytes)):
            self.readers.add(threading.current_thread().name)
            if number == 1:
                # The first stream has its part in the proof that lets the others join.
                for _ in self._until_the_others_are_there():
                    yield block[0], NOT_READY
            yield block

    def _until_the_others_are_there(self) -> Iterator[None]:
        deadline = time.monotonic() + _GATHER_SECONDS
        while not (self._streams() <= self.readers and self._until()) and time.monotonic() < deadline:
            time.sleep(0.001)
            yield

    def _streams(self) -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("stream-")}


class StampedSource:
    """Any number of bytes without memory: zeros, with its offset stamped into each 32 KiB."""

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
