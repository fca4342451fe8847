"""An S3 client that holds its objects in memory and breaks off where a test wants it to."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from botocore.exceptions import ClientError, ResponseStreamingError

from s3_to_sftp.events import ObjectRef

BUCKET = "bucket"


class MemoryS3:
    """What `OpenObject` needs of boto3's client, for one bucket.

    Attributes:
        requests: The arguments of every GetObject so far.
        breaks: Number of bytes after which a body breaks off; one entry is used up per GetObject.
    """

    def __init__(self, objects: dict[str, bytes] | None = None, *, breaks: list[int] | None = None) -> None:
        self.objects = dict(objects or {})
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[_Body] = []
        self.breaks = list(breaks or [])

    def ref(self, key: str) -> ObjectRef:
        """Announce the object as it is now."""
        data = self.objects[key]
        return ObjectRef(bucket=BUCKET, key=key, etag=etag(data), size=len(data))

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        data = self.objects.get(request["Key"])
        if data is None:
            raise client_error("NoSuchKey", 404)
        if request.get("IfMatch", f'"{etag(data)}"') != f'"{etag(data)}"':
            raise client_error("PreconditionFailed", 412)
        start = int(request.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if "Range" in request and start >= len(data):
            raise client_error("InvalidRange", 416)
        body = _Body(data[start:], breaks_after=self.breaks.pop(0) if self.breaks else None)
        self.bodies.append(body)
        return {"ContentLength": len(data) - start, "ETag": f'"{etag(data)}"', "Body": body}


def etag(data: bytes) -> str:
    """The ETag of an object that was put in one part."""
    return hashlib.md5(data).hexdigest()


def client_error(code: str, status: int) -> ClientError:
    """What boto3 raises for an error answer of S3."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")  # type: ignore[arg-type] # the stubs want every field


class _Body:
    def __init__(self, data: bytes, *, breaks_after: int | None) -> None:
        self._data = io.BytesIO(data if breaks_after is None else data[:breaks_after])
        self._breaks = breaks_after is not None
        self.closed = False

    def read(self, amount: int) -> bytes:
        data = self._data.read(amount)
        if not data and self._breaks:
            raise ResponseStreamingError(error="connection broken")
        return data

    def close(self) -> None:
        self.closed = True
