"""A bucket in memory that moves, tags and deletes versions; each request is a step of a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.memory_s3 import BUCKET, MemoryS3, client_error, etag

Step = Callable[[str, Callable[[], Any]], Any]
"""Does a piece of work as a step of the function that runs: see `killable_function.Life`."""


@dataclass
class Version:
    """What S3 has of one version."""

    data: bytes
    tags: dict[str, str] = field(default_factory=dict)


class VersionedS3(MemoryS3):
    """Every version of every object of one bucket; without versions the latest one of each key.

    Attributes:
        is_versioned: Whether the bucket has versions.
        stored: Key -> version id -> version, the oldest first.
        refuses: Whether functions may read only.
        on_removal: Told of the key and the bytes that a request of a function is about to delete or replace.
    """

    def __init__(self, step: Step, *, is_versioned: bool = True) -> None:
        super().__init__()
        self.is_versioned = is_versioned
        self.stored: dict[str, dict[str, Version]] = {}
        self.on_removal: Callable[[str, bytes], None] = lambda _key, _data: None
        self.refuses = False
        self._step = step
        self._puts = 0

    def put(self, key: str, data: bytes, *, event_time: int) -> ObjectRef:
        """Put an object, and announce it."""
        version_id = self._put(key, Version(data))
        return ObjectRef(
            bucket=BUCKET,
            key=key,
            version_id=version_id if self.is_versioned else None,
            etag=etag(data),
            size=len(data),
            sequencer=f"{self._puts:04X}",
            event_time=event_time,
        )

    def _put(self, key: str, version: Version) -> str:
        self._puts += 1
        there = self.stored.setdefault(key, {})
        if not self.is_versioned:
            there.clear()
        there[f"v{self._puts}"] = version
        return f"v{self._puts}"

    # What functions ask for.

    def get_object(self, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._step(
            "get_object", lambda: super(VersionedS3, self).get_object(**request)
        )
        return answer

    def get_object_tagging(self, **request: Any) -> dict[str, Any]:
        tags = self._version(request)[1].tags
        return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}

    def put_object_tagging(self, **request: Any) -> None:
        def work() -> None:
            tags = {each["Key"]: each["Value"] for each in request["Tagging"]["TagSet"]}
            self._version(request)[1].tags = tags

        self._change("put_object_tagging", work)

    def copy_object(self, **request: Any) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            source = request["CopySource"]
            condition = {"IfMatch": request["CopySourceIfMatch"]} if "CopySourceIfMatch" in request else {}
            version = self._version({**source, **condition})[1]
            copied = Version(version.data, dict(version.tags))
            number = self._put(request["Key"], copied)
            about = {"CopyObjectResult": {"ETag": f'"{etag(version.data)}"'}}
            return {**about, "VersionId": number} if self.is_versioned else about

        answer: dict[str, Any] = self._change("copy_object", work)
        return answer

    def delete_object(self, **request: Any) -> None:
        def work() -> None:
            if "VersionId" in request and request["VersionId"] not in self.stored.get(request["Key"], {}):
                return  # S3 says the same whether it was there or not
            number, version = self._version(request)
            self.on_removal(request["Key"], version.data)
            del self.stored[request["Key"]][number]

        self._change("delete_object", work)

    def _change(self, what: str, work: Callable[[], Any]) -> Any:
        if self.refuses:
            raise client_error("AccessDenied", 403)
        return self._step(what, work)

    def _object(self, request: dict[str, Any]) -> bytes:
        return self._version(request)[1].data

    def _version(self, request: dict[str, Any]) -> tuple[str, Version]:
        there = self.stored.get(request["Key"], {})
        number = request.get("VersionId") or next(reversed(there), "")
        version = there.get(number)
        if version is None:
            raise client_error("NoSuchVersion" if "VersionId" in request else "NoSuchKey", 404)
        if request.get("IfMatch", f'"{etag(version.data)}"') != f'"{etag(version.data)}"':
            raise client_error("PreconditionFailed", 412)
        return number, version
