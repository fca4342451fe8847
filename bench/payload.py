"""The bytes to send: cheap to make at any offset, and different for a lost, doubled or swapped block."""

from __future__ import annotations

import functools
import hashlib
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024

# A prime: no two blocks of a usual size are equal, so that blocks in the wrong place change the checksum.
_PERIOD = 1_048_573


@dataclass(frozen=True)
class Payload:
    """`size` bytes that are the same in every process; the memory does not grow with `size`."""

    size: int

    def blocks(self, offset: int, length: int, block_bytes: int) -> Iterator[memoryview]:
        """Yields `length` bytes from `offset` on, in blocks of `block_bytes`, without a copy."""
        ring = _ring(block_bytes)
        end = offset + length
        while offset < end:
            size = min(block_bytes, end - offset)
            start = offset % _PERIOD
            yield ring[start : start + size]
            offset += size

    def sha256(self) -> str:
        """The checksum of all of it."""
        digest = hashlib.sha256()
        for block in self.blocks(0, self.size, MIB):
            digest.update(block)
        return digest.hexdigest()

    def write_to(self, path: Path) -> None:
        """Makes the file that command line tools send."""
        with path.open("wb") as file:
            for block in self.blocks(0, self.size, MIB):
                file.write(block)


class PayloadReader(io.RawIOBase):
    """A payload as a file, for clients that call `read`."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._position = 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, a copy as every file makes one."""
        left = self._payload.size - self._position
        size = left if size < 0 else min(size, left)
        if not size:
            return b""
        (block,) = self._payload.blocks(self._position, size, size)
        self._position += size
        return bytes(block)


def small_file(number: int, size: int) -> bytes:
    """The content of one of many small files; each differs from its neighbours."""
    (block,) = Payload(size).blocks(number * size, size, size)
    return bytes(block)


def small_name(number: int) -> str:
    """The name of one of many small files."""
    return f"f{number:05d}"


@functools.cache
def _ring(block_bytes: int) -> memoryview:
    pattern = random.Random(_PERIOD).randbytes(_PERIOD)  # noqa: S311 - not for secrets
    times = -(-block_bytes // _PERIOD) + 1
    return memoryview(pattern * times)
