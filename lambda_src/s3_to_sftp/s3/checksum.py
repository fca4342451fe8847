"""A CRC over bytes that are read in ranges, in any order: of the whole object, and of its parts.

S3 keeps a checksum of the whole object for most uploads (`ChecksumType` FULL_OBJECT): CRC64NVME where the
uploader gave none, else the uploader's choice. Of an upload in parts it may keep a COMPOSITE one: the
checksum of the parts' checksums, one behind the other in binary.
"""

import base64
import threading
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anycrc  # type: ignore[import-untyped]  # ships no stubs

DEFAULT_ALGORITHM = "CRC64NVME"
"""The default of S3."""

_MODELS = {"CRC64NVME": "CRC64-NVME", "CRC32C": "CRC32-ISCSI", "CRC32": "CRC32-ISO-HDLC"}
_CRC_BYTES = {"CRC64NVME": 8, "CRC32C": 4, "CRC32": 4}

CRCS = tuple(_MODELS)


@dataclass(frozen=True, kw_only=True)
class ChecksumSoFar:
    """The CRC of the first bytes of an object.

    Attributes:
        size: How many.
        algorithm: CRC64NVME, CRC32C or CRC32.
        crc: The value.
        parts_crc: The CRC of the CRCs of the parts that end within these bytes. None where the parts are
            unknown, or not needed.
        part_crc: The CRC of the bytes after the last of these parts; None as above.
    """

    size: int
    algorithm: str
    crc: int
    parts_crc: int | None = None
    part_crc: int | None = None


@dataclass(frozen=True)
class CountedRange:
    """The CRC of some bytes of one part.

    Attributes:
        offset: Where they start.
        length: How many.
        crc: Of them.
    """

    offset: int
    length: int
    crc: int


_KEPT_LENGTHS = 256
"""Of one range, the newest: what was sent and not acknowledged is at most 4 MiB (`writer`), and the shortest
that is counted at a time is four WRITEs."""


class RangeChecksum:
    """Collects the CRCs of ranges and joins them. Used by several threads.

    Attributes:
        algorithm: Its name, as S3 has it.
        part_ends: The offset behind each part; empty where the parts are unknown, or were unknown to those
            who counted the first bytes.
    """

    def __init__(
        self, algorithm: str, *, before: ChecksumSoFar | None = None, part_ends: Sequence[int] = ()
    ) -> None:
        """Start after bytes that were counted earlier.

        Args:
            algorithm: CRC64NVME, CRC32C or CRC32.
            before: Of these bytes, as `up_to` has returned it.
            part_ends: The offset behind each part. No range that is added may reach across one.
        """
        self.algorithm = algorithm
        self._crc = anycrc.Model(_MODELS[algorithm])
        self._before = before if before and before.size else self._none()
        self.part_ends = part_ends if self._before.parts_crc is not None else ()
        self._ranges: defaultdict[int, deque[tuple[int, int]]] = defaultdict(
            lambda: deque(maxlen=_KEPT_LENGTHS)
        )
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
        """Count a range. A longer or rewritten one replaces the earlier range at this offset."""
        with self._lock:
            counted = self._ranges[offset]
            while counted and counted[-1][0] >= length:
                counted.pop()
            counted.append((length, crc))

    def up_to(self, limit: int) -> ChecksumSoFar:
        """Return the checksum of the bytes from the first on that are counted without a gap.

        Args:
            limit: What reaches beyond is left out.
        """
        begin = self._before if self._before.size <= limit else self._none()
        walk = _Walk(self._crc, _CRC_BYTES[self.algorithm], self.part_ends, begin)
        with self._lock:
            ranges = sorted((offset, tuple(counted)) for offset, counted in self._ranges.items())
        for offset, counted in ranges:
            within = [each for each in counted if offset + each[0] <= limit]
            if offset != walk.position or not within:
                break
            walk.join(*within[-1])
            if within[-1] != counted[-1]:
                break
        return ChecksumSoFar(
            size=walk.position,
            algorithm=self.algorithm,
            crc=walk.crc,
            parts_crc=walk.parts_crc if self.part_ends else None,
            part_crc=walk.part_crc if self.part_ends else None,
        )

    def value(self, size: int) -> str:
        """Return the CRC of the whole, in base64 as S3 writes it.

        Raises:
            ValueError: The ranges do not cover exactly `size` bytes.
        """
        return self._as_text(self._whole(size).crc)

    def composite_value(self, size: int) -> str | None:
        """Return the CRC of the parts' CRCs, in base64; None where the parts are unknown.

        Raises:
            ValueError: The ranges do not cover exactly `size` bytes.
        """
        crc = self._whole(size).parts_crc
        return None if crc is None else self._as_text(crc)

    def _whole(self, size: int) -> ChecksumSoFar:
        counted = self.up_to(size)
        with self._lock:
            in_all = self._before.size + sum(counted[-1][0] for counted in self._ranges.values())
        if not counted.size == in_all == size:
            raise ValueError(f"{counted.size} bytes of {size} in a row, {in_all} in all")
        return counted

    def _none(self) -> ChecksumSoFar:
        start = self.start
        return ChecksumSoFar(size=0, algorithm=self.algorithm, crc=start, parts_crc=start, part_crc=start)

    def _as_text(self, crc: int) -> str:
        return base64.b64encode(crc.to_bytes(_CRC_BYTES[self.algorithm], "big")).decode()


class _Walk:
    """Combines range after range, and ends each part at its boundary."""

    def __init__(self, crc: Any, digest_bytes: int, part_ends: Sequence[int], begin: ChecksumSoFar) -> None:
        self._crc = crc
        self._part_ends = part_ends
        self._start = int(crc.calc(b""))
        self._digest_bytes = digest_bytes
        self.position = begin.size
        self.crc = begin.crc
        self.parts_crc = begin.parts_crc or 0
        self.part_crc = begin.part_crc or 0
        # Parts that end where these bytes end are closed already; an empty part at the very start is not.
        self._part = bisect_right(part_ends, begin.size) if begin.size else 0
        self._close_parts()

    def join(self, length: int, of_range: int) -> None:
        self.crc = self._crc.combine(self.crc, of_range, length)
        self.position += length
        if self._part_ends:
            self.part_crc = self._crc.combine(self.part_crc, of_range, length)
            self._close_parts()

    def _close_parts(self) -> None:
        while self._part < len(self._part_ends) and self._part_ends[self._part] == self.position:
            digest = self.part_crc.to_bytes(self._digest_bytes, "big")
            self.parts_crc = self._crc.calc(digest, self.parts_crc)
            self.part_crc = self._start
            self._part += 1


class RangeReader:
    """The CRCs of bytes that are read in sequence: a new one starts with each part."""

    def __init__(self, checksum: RangeChecksum, offset: int) -> None:
        self._checksum = checksum
        self._begun = self._position = offset
        self._part = -1
        self._crc = checksum.start

    def update(self, data: bytes | memoryview) -> list[CountedRange]:
        """Return what has to be added to the checksum when the data, and all before it, counts."""
        counted = []
        for part, offset, piece in cut_at_parts(self._position, data, self._checksum.part_ends):
            if part != self._part:
                self._part, self._begun, self._crc = part, offset, self._checksum.start
            self._crc = self._checksum.update(self._crc, piece)
            self._position = offset + len(piece)
            counted.append(CountedRange(self._begun, self._position - self._begun, self._crc))
        return counted


def cut_at_parts(
    offset: int, data: bytes | memoryview, part_ends: Sequence[int]
) -> Iterator[tuple[int, int, memoryview]]:
    """Yield index of the part, offset and bytes of each piece of the data that lies in one part."""
    view = memoryview(data)
    while view:
        part = bisect_right(part_ends, offset)
        length = part_ends[part] - offset if part < len(part_ends) else len(view)
        yield part, offset, view[:length]
        offset += length
        view = view[length:]
