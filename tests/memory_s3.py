"""An S3 client that holds its objects in memory and breaks off where a test wants it to."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from botocore.exceptions import ClientError, ResponseStreamingError

from s3_to_sftp.events import ObjectRef

BUCKET = "bucket"


class MemoryS3:
    """What `S3Object` and `read_whole` need of boto3's client, for one bucket. Takes several threads.

    Attributes:
        heads: The arguments of every HeadObject so far.
        requests: The arguments of every GetObject so far.
        bodies: The body of every GetObject so far.
        breaks: Number of bytes after which a body breaks off; one entry is used up per GetObject.
        checksums: Key -> the checksum fields that S3 answers with when it is asked for them.
        wire: Key -> the bytes that come, where they are damaged on the way.
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
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[_Body] = []
        self.breaks = list(breaks or [])
        self.checksums = dict(checksums or {})
        self.wire: dict[str, bytes] = {}

    def ref(self, key: str) -> ObjectRef:
        """Announce the object as it is now."""
        data = self.objects[key]
        return ObjectRef(bucket=BUCKET, key=key, etag=etag(data), size=len(data))

    def head_object(self, **request: Any) -> dict[str, Any]:
        self.heads.append(request)
        data = self._object(request)
        return {"ContentLength": len(data), **self._about(request, data)}

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
