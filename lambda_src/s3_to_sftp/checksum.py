"""A CRC over bytes that are read in ranges, in any order, to compare with the one that S3 has stored.

S3 keeps a checksum of the whole object for most uploads (`ChecksumType` FULL_OBJECT): CRC64NVME where the
uploader gave none, else the uploader's choice. A COMPOSITE one (a checksum of the parts' checksums) says
nothing about the bytes in a row.
"""

import base64
import threading
from collections.abc import Mapping
from typing import Any

import anycrc  # type: ignore[import-untyped]  # ships no stubs

DEFAULT_ALGORITHM = "CRC64NVME"
"""What S3 computes by itself."""

_MODELS = {"CRC64NVME": "CRC64-NVME", "CRC32C": "CRC32-ISCSI", "CRC32": "CRC32-ISO-HDLC"}
_DIGEST_BYTES = {"CRC64NVME": 8, "CRC32C": 4, "CRC32": 4}


def stored_checksum(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return algorithm and base64 value of the full-object CRC in an answer of S3, if there is one.

    Args:
        answer: Of HeadObject or GetObject, asked with ChecksumMode ENABLED.
    """
    if answer.get("ChecksumType") != "FULL_OBJECT":
        return None
    for algorithm in _MODELS:
        if value := answer.get(f"Checksum{algorithm}"):
            return algorithm, value
    return None


class RangeChecksum:
    """Collects the CRCs of ranges and joins them. Used by several threads.

    Attributes:
        algorithm: Its name, as S3 has it.
    """

    def __init__(self, algorithm: str, *, before: tuple[int, int] = (0, 0)) -> None:
        """Begin behind bytes that were counted another time.

        Args:
            algorithm: CRC64NVME, CRC32C or CRC32.
            before: Their number and CRC, as `up_to` has told them.
        """
        self.algorithm = algorithm
        self._crc = anycrc.Model(_MODELS[algorithm])
        self._ranges: dict[int, tuple[int, int]] = {0: before} if before[0] else {}
        self._lock = threading.Lock()

    def of(self, data: bytes | memoryview) -> int:
        """Return the CRC of a range."""
        crc: int = self._crc.calc(data)
        return crc

    @property
    def start(self) -> int:
        """The CRC of no bytes."""
        return int(self._crc.calc(b""))

    def update(self, crc: int, data: bytes | memoryview) -> int:
        """Return the CRC of what `crc` is of, followed by the data."""
        return int(self._crc.calc(data, crc))

    def add(self, offset: int, length: int, crc: int) -> None:
        """Count a range. One that comes again, longer or written anew, counts as it came last."""
        with self._lock:
            self._ranges[offset] = (length, crc)

    def up_to(self, limit: int) -> tuple[int, int]:
        """Return how many bytes from the first on are counted without a gap, and their CRC.

        Args:
            limit: Ranges that reach beyond are left out.
        """
        position, crc = 0, self.start
        with self._lock:
            ranges = sorted(self._ranges.items())
        for offset, (length, of_range) in ranges:
            if offset != position or position + length > limit:
                break
            crc = self._crc.combine(crc, of_range, length)
            position += length
        return position, crc

    def value(self, size: int) -> str:
        """Return the CRC of the whole, in base64 as S3 writes it.

        Raises:
            ValueError: The ranges do not cover exactly `size` bytes.
        """
        counted, crc = self.up_to(size)
        with self._lock:
            in_all = sum(length for length, _ in self._ranges.values())
        if not counted == in_all == size:
            raise ValueError(f"{counted} bytes of {size} in a row, {in_all} in all")
        return base64.b64encode(crc.to_bytes(_DIGEST_BYTES[self.algorithm], "big")).decode()
