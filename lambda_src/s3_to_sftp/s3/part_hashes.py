"""Hashes (SHA-256 and the like) of the parts of an object: unlike CRCs they need the bytes in order."""

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

from s3_to_sftp.s3.checksum import cut_at_parts

_NAMES = {"SHA512": "sha512", "SHA256": "sha256", "SHA1": "sha1", "MD5": "md5"}

HASHES = tuple(_NAMES)
"""As S3 spells them. XXHASH64, XXHASH3 and XXHASH128 cannot be computed here."""


class _PartHash:
    """The hash of one part so far; `position` is -1 while a thread is computing it."""

    def __init__(self, hash_: Any, position: int) -> None:
        self._hash = hash_
        self.position = position

    def update(self, offset: int, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.position = offset + len(data)

    def digest(self) -> bytes:
        digest: bytes = self._hash.digest()
        return digest


class PartHashes:
    """A hash of each part of an object, whose bytes are expected in order. Used by several threads.

    A part may be started again at its first byte. After any other bytes out of order nothing more is
    computed, and there is no result.
    """

    def __init__(self, algorithm: str, part_ends: Sequence[int]) -> None:
        """Begin.

        Args:
            algorithm: SHA512, SHA256, SHA1 or MD5.
            part_ends: The offset behind each part; that of the object alone for a hash of the whole.
        """
        self._name = _NAMES[algorithm]
        self._part_ends = part_ends
        self._parts: dict[int, _PartHash] = {}
        self._lock = threading.Lock()
        self._is_over = False

    def update(self, offset: int, data: bytes | memoryview) -> None:
        """Count the bytes."""
        for part, start, piece in cut_at_parts(offset, data, self._part_ends):
            hash_ = self._taken(part, start)
            if hash_ is None:
                return
            hash_.update(start, piece)

    def digests(self) -> list[bytes] | None:
        """Return the hash of each part; None when bytes are missing, or came out of order."""
        starts = (0, *self._part_ends)
        hashes = [
            self._parts.get(part) if start < end else _PartHash(self._new(), end)
            for part, (start, end) in enumerate(zip(starts, self._part_ends, strict=False))
        ]
        if self._is_over or not all(
            each and each.position == end for each, end in zip(hashes, self._part_ends, strict=True)
        ):
            return None
        return [each.digest() for each in hashes if each]

    def composite(self) -> bytes | None:
        """Return the hash of the parts' hashes."""
        digests = self.digests()
        if digests is None:
            return None
        composite: bytes = self._new(b"".join(digests)).digest()
        return composite

    def _new(self, data: bytes = b"") -> Any:
        return hashlib.new(self._name, data, usedforsecurity=False)

    def _taken(self, part: int, offset: int) -> _PartHash | None:
        """Return the hash that resumes at the offset, which no other thread may continue meanwhile."""
        with self._lock:
            if self._is_over:
                return None
            if offset == (self._part_ends[part - 1] if part else 0):
                self._parts[part] = _PartHash(self._new(), offset)
            hash_ = self._parts.get(part)
            if hash_ is None or hash_.position != offset:
                self._is_over = True
                self._parts.clear()
                return None
            hash_.position = -1
            return hash_
