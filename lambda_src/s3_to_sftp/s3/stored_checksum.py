"""The checksum that S3 has stored of an object, and the parts that a composite one is made of."""

import base64
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.s3.checksum import CRCS, RangeChecksum
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.part_hashes import HASHES, PartHashes

_log = logging.getLogger(__name__)

_COMPOSITE = re.compile(r"(.+)-([1-9][0-9]*)")
"""Value and number of parts. No base64 contains a hyphen."""


@dataclass(frozen=True, kw_only=True)
class StoredChecksum:
    """A checksum in an answer of S3.

    Attributes:
        algorithm: As S3 spells it.
        value: In base64, without the number of parts.
        parts: Of a composite checksum, how many; 0 for one of the whole object.
    """

    algorithm: str
    value: str
    parts: int = 0

    def __str__(self) -> str:
        """The name that receipts give it."""
        kind, count = ("composite", f"/{self.parts}") if self.parts else ("full_object", "")
        return f"{kind}:{self.algorithm}{count}"


def stored_checksum(answer: Mapping[str, Any]) -> StoredChecksum | None:
    """Return the checksum in an answer of S3, if there is one that can be computed here.

    A value that ends in the number of its parts is composite, whatever its ChecksumType says: some servers
    say FULL_OBJECT for every checksum.

    Args:
        answer: Of HeadObject or GetObject, asked with ChecksumMode ENABLED.
    """
    for algorithm in (*CRCS, *HASHES):
        value = answer.get(f"Checksum{algorithm}")
        if not value:
            continue
        if composite := _COMPOSITE.fullmatch(value):
            return StoredChecksum(algorithm=algorithm, value=composite[1], parts=int(composite[2]))
        if answer.get("ChecksumType") == "FULL_OBJECT":
            return StoredChecksum(algorithm=algorithm, value=value)
    return None


def part_ends_of(
    client: Any, ref: ObjectRef, stored: StoredChecksum, *, etag: str, size: int
) -> Sequence[int]:
    """Return the offset behind each part of an object with a composite checksum.

    Nothing for another one, and where the parts are unavailable, which is never an error. One request for a
    thousand parts; none for one part.

    Args:
        client: boto3's S3 client.
        ref: The object.
        stored: Its checksum.
        etag: Of the bytes that are read, without quotes.
        size: Of the object.
    """
    if stored.parts <= 1:
        return (size,) if stored.parts else ()
    try:
        parts = list(_parts(client, ref, etag, stored.parts))
    except (ClientError, BotoCoreError, OSError) as error:
        return _unknown(ref, stored, str(error))
    sizes = [int(part.get("Size", 0)) for part in parts]
    if (len(parts), sum(sizes)) != (stored.parts, size):
        return _unknown(ref, stored, f"{len(parts)} parts with {sum(sizes)} of {size} bytes are listed")
    if not _explains(parts, stored):
        return _unknown(ref, stored, "it is not the checksum of the listed parts' checksums")
    return tuple(accumulate(sizes))


def _parts(client: Any, ref: ObjectRef, etag: str, most: int) -> Iterator[Mapping[str, Any]]:
    version = {"VersionId": ref.version_id} if ref.version_id else {}
    marker: dict[str, int] = {}
    while most > 0:
        answer = client.get_object_attributes(
            Bucket=ref.bucket, Key=ref.key, ObjectAttributes=["ETag", "ObjectParts"], **version, **marker
        )
        # GetObjectAttributes takes no If-Match.
        listed = answer.get("ObjectParts") or {} if answer.get("ETag", "").strip('"') == etag else {}
        page = listed.get("Parts") or []
        yield from page
        if not (page and listed.get("IsTruncated")):
            return
        most -= len(page)
        marker = {"PartNumberMarker": page[-1]["PartNumber"]}


def _explains(parts: Sequence[Mapping[str, Any]], stored: StoredChecksum) -> bool:
    """Return whether the parts' checksums give the stored one; true where only their sizes are listed."""
    values = [part.get(f"Checksum{stored.algorithm}") for part in parts]
    if not any(values):
        return True
    try:
        digests = [base64.b64decode(value or "", validate=True) for value in values]
    except ValueError:
        return False
    return _checksum_of(stored.algorithm, b"".join(digests)) == stored.value


def _checksum_of(algorithm: str, digests: bytes) -> str | None:
    """Return the checksum of some bytes, in base64."""
    if algorithm in CRCS:
        crc = RangeChecksum(algorithm)
        crc.add(0, len(digests), crc.of(digests))
        return crc.value(len(digests))
    hashes = PartHashes(algorithm, (len(digests),))
    hashes.update(0, digests)
    of_all = hashes.digests()
    return base64.b64encode(of_all[0]).decode() if of_all else None


def _unknown(ref: ObjectRef, stored: StoredChecksum, reason: str) -> Sequence[int]:
    _log.warning("parts of %s are not known, %s is not compared: %s", ref, stored, reason)
    return ()
