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
    """Collects the CRCs of ranges and joins them. Used by several threads."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._crc = anycrc.Model(_MODELS[algorithm])
        self._ranges: dict[int, tuple[int, int]] = {}
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
        """Count a range. One that comes again, because it is written again, counts as it came last."""
        with self._lock:
            self._ranges[offset] = (length, crc)

    def value(self, size: int) -> str:
        """Return the CRC of the whole, in base64 as S3 writes it.

        Raises:
            ValueError: The ranges do not cover exactly `size` bytes.
        """
        position, crc = 0, self.start
        for offset, (length, of_range) in sorted(self._ranges.items()):
            if offset != position:
                raise ValueError(f"bytes {position} to {offset} are missing")
            crc = self._crc.combine(crc, of_range, length)
            position += length
        if position != size:
            raise ValueError(f"{position} bytes of {size}")
        return base64.b64encode(crc.to_bytes(_DIGEST_BYTES[self.algorithm], "big")).decode()
