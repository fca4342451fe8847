"""An S3 client that holds its objects in memory and breaks off where a test wants it to."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import zlib
from datetime import UTC, datetime
from typing import Any

import anycrc  # type: ignore[import-untyped] # ships no stubs
from botocore.exceptions import ClientError, ResponseStreamingError

from s3_to_sftp.s3.object_ref import ObjectRef

BUCKET = "bucket"
PUT_AT = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
"""When every object was put."""

_MOST_PARTS = 1000
"""On a page of GetObjectAttributes."""

_OTHER_CRCS = {"CRC64NVME": ("CRC64-NVME", 8), "CRC32C": ("CRC32-ISCSI", 4)}


class MemoryS3:
    """What `ObjectReader` and `read_whole` need of boto3's client, for one bucket. Takes several threads.

    Attributes:
        heads: The arguments of every HeadObject so far.
        attributes: The arguments of every GetObjectAttributes so far.
        requests: The arguments of every GetObject so far.
        bodies: The body of every GetObject so far.
        breaks: Number of bytes after which a body breaks off; one entry is used up per GetObject.
        checksums: Key -> the checksum fields that S3 answers with when it is asked for them.
        parts: Key -> the parts that S3 lists of it.
        wire: Key -> the bytes that come, where they are damaged on the way.
        metadata: Key -> its own metadata.
        tags: Key -> its tags.
    """

    def __init__(
        self,
        objects: dict[str, bytes] | None = None,
        *,
        breaks: list[int] | None = None,
        checksums: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.objects = dict(objects or {})
        self.heads: list[dict[str, Any]] = []
        self.attributes: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[_Body] = []
        self.breaks = list(breaks or [])
        self.checksums = dict(checksums or {})
        self.parts: dict[str, list[dict[str, Any]]] = {}
        self.wire: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def ref(self, key: str) -> ObjectRef:
        """Announce the object as it is now."""
        data = self.objects[key]
        return ObjectRef(bucket=BUCKET, key=key, etag=etag(data), size=len(data))

    def head_object(self, **request: Any) -> dict[str, Any]:
        self.heads.append(request)
        data = self._object(request)
        about = {"LastModified": PUT_AT, "Metadata": self.metadata.get(request["Key"], {})}
        return {"ContentLength": len(data), **about, **self._about(request, data)}

    def get_object_tagging(self, **request: Any) -> dict[str, Any]:
        self._object(request)
        tags = self.tags.get(request["Key"], {})
        return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}

    def put_object_tagging(self, **request: Any) -> None:
        self._object(request)
        self.tags[request["Key"]] = {each["Key"]: each["Value"] for each in request["Tagging"]["TagSet"]}

    def get_object_attributes(self, **request: Any) -> dict[str, Any]:
        self.attributes.append(request)
        data = self._object(request)
        after = request.get("PartNumberMarker", 0)
        listed = [part for part in self.parts.get(request["Key"], []) if part["PartNumber"] > after]
        page = listed[:_MOST_PARTS]
        about = {"IsTruncated": len(page) < len(listed), **({"Parts": page} if page else {})}
        # Without the quotes of the header, as S3 does.
        return {"ETag": etag(data), **({"ObjectParts": about} if self.parts.get(request["Key"]) else {})}

    def put_in_parts(
        self, key: str, parts: list[bytes], algorithm: str, *, announced: str = "COMPOSITE"
    ) -> None:
        """Hold an object as it is after an upload in parts, with a checksum of its parts' checksums."""
        self.objects[key] = b"".join(parts)
        digests = [digest_of(algorithm, part) for part in parts]
        value = base64.b64encode(digest_of(algorithm, b"".join(digests))).decode()
        self.checksums[key] = {"ChecksumType": announced, f"Checksum{algorithm}": f"{value}-{len(parts)}"}
        self.parts[key] = [
            {
                "PartNumber": number,
                "Size": len(part),
                f"Checksum{algorithm}": base64.b64encode(digest).decode(),
            }
            for number, (part, digest) in enumerate(zip(parts, digests, strict=True), 1)
        ]

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        data = self._object(request)
        start, end = _asked_range(request, len(data))
        sent = self.wire.get(request["Key"], data)[start:end]
        body = _Body(sent, breaks_after=self.breaks.pop(0) if self.breaks else None)
        self.bodies.append(body)
        answer = {"ContentLength": end - start, "Body": body, **self._about(request, data)}
        if "Range" in request:
            answer["ContentRange"] = f"bytes {start}-{end - 1}/{len(data)}"
        return answer

    def _object(self, request: dict[str, Any]) -> bytes:
        data = self.objects.get(request["Key"])
        if data is None:
            raise client_error("NoSuchKey", 404)
        if request.get("IfMatch", f'"{etag(data)}"') != f'"{etag(data)}"':
            raise client_error("PreconditionFailed", 412)
        return data

    def _about(self, request: dict[str, Any], data: bytes) -> dict[str, Any]:
        asked_for = request.get("ChecksumMode") == "ENABLED"
        return {"ETag": f'"{etag(data)}"', **(self.checksums.get(request["Key"], {}) if asked_for else {})}


def digest_of(algorithm: str, data: bytes) -> bytes:
    """A checksum as S3 computes it, in binary."""
    if algorithm == "CRC32":
        return zlib.crc32(data).to_bytes(4, "big")
    if algorithm in _OTHER_CRCS:
        model, length = _OTHER_CRCS[algorithm]
        crc: int = anycrc.Model(model).calc(data)
        return crc.to_bytes(length, "big")
    return hashlib.new(algorithm.lower(), data).digest()


@functools.lru_cache(maxsize=16)  # asked for with each request
def etag(data: bytes) -> str:
    """The ETag of an object that was put in one part."""
    return hashlib.md5(data).hexdigest()


def client_error(code: str, status: int) -> ClientError:
    """What boto3 raises for an error answer of S3."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")  # type: ignore[arg-type] # the stubs want every field


def _asked_range(request: dict[str, Any], size: int) -> tuple[int, int]:
    """First byte and the one behind the last, as S3 reads `bytes=a-b` and `bytes=a-`."""
    if "Range" not in request:
        return 0, size
    first, _, last = request["Range"].removeprefix("bytes=").partition("-")
    if int(first) >= size:
        raise client_error("InvalidRange", 416)
    return int(first), min(int(last) + 1, size) if last else size


class _Body:
    def __init__(self, data: bytes, *, breaks_after: int | None) -> None:
        self._data = io.BytesIO(data if breaks_after is None else data[:breaks_after])
        self._breaks = breaks_after is not None
        self.closed = False

    def read(self, amount: int = -1) -> bytes:
        data = self._data.read(amount)
        if self._breaks and (not data or amount < 0):
            raise ResponseStreamingError(error="connection broken")
        return data

    def close(self) -> None:
        self.closed = True


def crc_of(reader: Any) -> tuple[str, str]:
    """Algorithm and value of the CRC of all that was read."""
    content = reader.verify()
    return content.checksum_algorithm, content.checksum
