"""Computes the checksums of an object while it is read, and compares them with the one that S3 has stored."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from s3_to_sftp.errors import ObjectCorrupt
from s3_to_sftp.s3.checksum import (
    CRCS,
    DEFAULT_ALGORITHM,
    ChecksumSoFar,
    CountedRange,
    RangeChecksum,
    RangeReader,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.part_hashes import PartHashes
from s3_to_sftp.s3.stored_checksum import StoredChecksum

NOT_COMPARED = "none"
"""The value in receipts if no checksum of S3 was compared with the bytes."""


class Reader:
    """Computes the checksums of a range while it is read."""

    def __init__(self, crc: RangeReader, offset: int, hashes: Sequence[PartHashes]) -> None:
        self._crc = crc
        self._offset = offset
        self._hashes = hashes

    def update(self, data: bytes | memoryview) -> list[CountedRange]:
        """Take the next bytes, and return what is to be counted when they are sent."""
        for each in self._hashes:
            each.update(self._offset, data)
        self._offset += len(data)
        return self._crc.update(data)


@dataclass(frozen=True, kw_only=True)
class VerifiedContent:
    """The bytes of one version of an object, in figures.

    Attributes:
        size: Bytes.
        checksum_algorithm: Of `checksum`.
        checksum: CRC of all bytes, in base64 as S3 writes it.
        verified_by: The stored checksum that the bytes agree with; `none` where none was compared.
        sha256: Of all bytes in hexadecimal; empty when not asked for, or when bytes came out of order.
    """

    size: int
    checksum_algorithm: str
    checksum: str
    verified_by: str
    sha256: str = ""


class Verification:
    """The checksums of one object. Used by several threads.

    A CRC is always computed. A hash is computed where S3 has stored one, as long as the bytes of each part
    come in order: it is no reason to read in order.

    Attributes:
        algorithm: Of the CRC.
        start: Offset of the first byte that has not been counted before.
    """

    def __init__(
        self,
        ref: ObjectRef,
        *,
        size: int,
        stored: StoredChecksum | None,
        part_ends: Sequence[int] = (),
        before: ChecksumSoFar | None = None,
        sha256: bool = False,
    ) -> None:
        """Begin.

        Args:
            ref: The object.
            size: Its bytes.
            stored: What S3 has stored.
            part_ends: The offset behind each part, where that is composite and they are known.
            before: The checksum of the first bytes, if they were read another time and are not read again.
            sha256: Compute the SHA-256 of the whole, too.
        """
        self._ref = ref
        self._size = size
        self._stored = stored
        is_crc = stored is not None and stored.algorithm in CRCS
        self.algorithm = stored.algorithm if stored and is_crc else DEFAULT_ALGORITHM
        usable = before if before and before.algorithm == self.algorithm else None
        self._crc = RangeChecksum(self.algorithm, before=usable, part_ends=part_ends if is_crc else ())
        self.start = usable.size if usable else 0
        self._hash: PartHashes | None = None
        self._sha256: PartHashes | None = None
        if stored and not is_crc and not self.start:
            ends = part_ends if stored.parts else (size,)
            self._hash = PartHashes(stored.algorithm, ends) if ends else None
        if sha256 and not self.start:
            is_stored = stored is not None and (stored.algorithm, stored.parts) == ("SHA256", 0)
            self._sha256 = self._hash if is_stored else PartHashes("SHA256", (size,))

    def reader(self, offset: int) -> Reader:
        """Begin to read a range."""
        hashes = dict.fromkeys(each for each in (self._hash, self._sha256) if each)
        return Reader(RangeReader(self._crc, offset), offset, list(hashes))

    def add(self, counted: Iterable[CountedRange]) -> None:
        """Count bytes that a reader has seen."""
        for each in counted:
            self._crc.add(each.offset, each.length, each.crc)

    def up_to(self, limit: int) -> ChecksumSoFar:
        """Return the checksum of the first bytes, as many as were counted without a gap, at most `limit`."""
        return self._crc.up_to(limit)

    def checksum(self) -> tuple[str, str]:
        """Return algorithm and base64 value of the CRC of all bytes.

        Raises:
            ObjectCorrupt: S3 has stored another checksum.
            ValueError: Bytes are missing.
        """
        self.verified_by()
        return self.algorithm, self._crc.value(self._size)

    def verified_by(self) -> str:
        """Return the name of the stored checksum that all bytes agree with; `none` where it was not compared.

        Raises:
            ObjectCorrupt: They do not agree.
            ValueError: Bytes are missing.
        """
        of_all = self._crc.value(self._size)
        computed = self._as_stored(of_all)
        if self._stored is None or computed is None:
            return NOT_COMPARED
        if computed != self._stored.value:
            raise ObjectCorrupt(
                f"The bytes of {self._ref} have the {self._stored} {computed}, "
                f"S3 has stored {self._stored.value}.",
                hint="They were corrupted on the way from S3. It will be retried.",
            )
        return str(self._stored)

    def content(self) -> VerifiedContent:
        """Return size and checksums of all bytes.

        Raises:
            ObjectCorrupt: S3 has stored another checksum.
            ValueError: Bytes are missing.
        """
        algorithm, checksum = self.checksum()
        return VerifiedContent(
            size=self._size,
            checksum_algorithm=algorithm,
            checksum=checksum,
            verified_by=self.verified_by(),
            sha256=self.sha256() or "",
        )

    def sha256(self) -> str | None:
        """Return the SHA-256 in hexadecimal; None when not asked for, or when bytes came out of order."""
        digests = self._sha256.digests() if self._sha256 else None
        return digests[0].hex() if digests else None

    def _as_stored(self, crc: str) -> str | None:
        """Return the checksum of the kind that S3 has stored, if it could be computed.

        Args:
            crc: Of all bytes.
        """
        is_composite = bool(self._stored and self._stored.parts)
        if self._hash is None:
            if self._stored is None or self._stored.algorithm != self.algorithm:
                return None
            return self._crc.composite_value(self._size) if is_composite else crc
        digests = self._hash.digests()
        if digests is None:
            return None
        digest = self._hash.composite() if is_composite else digests[0]
        return base64.b64encode(digest).decode() if digest else None
