"""Whether a version is still the one that its key stands for."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.errors import ObjectChanged, ObjectGone
from s3_to_sftp.s3.object_reader import require_current
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.memory_s3 import client_error


class Bucket:
    """Answers a HEAD of the key."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def head_object(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if not self.answer:
            raise client_error("404", 404)
        return self.answer

    def get_object(self, **_request: Any) -> dict[str, Any]:
        raise client_error("NoSuchKey", 404)


def ref(**about: Any) -> ObjectRef:
    return ObjectRef(bucket="bucket", key="a", **about)


def test_the_current_version_is_current() -> None:
    bucket = Bucket(VersionId="v1", ETag='"e"')
    require_current(bucket, ref(version_id="v1", etag="other"))
    assert "VersionId" not in bucket.asked[0]
    assert "IfMatch" not in bucket.asked[0]


@pytest.mark.parametrize("version", [None, "null"])
def test_without_versions_the_etag_tells(version: str | None) -> None:
    bucket = Bucket(ETag='"e"', **({"VersionId": version} if version else {}))
    require_current(bucket, ref(version_id=version, etag="e"))
    with pytest.raises(ObjectChanged, match="its ETag is e"):
        require_current(bucket, ref(version_id=version, etag="older"))


def test_an_older_version_is_not_current() -> None:
    with pytest.raises(ObjectChanged, match="its current version is v2"):
        require_current(Bucket(VersionId="v2", ETag='"e"'), ref(version_id="v1", etag="e"))


def test_a_deleted_object_has_no_current_version() -> None:
    with pytest.raises(ObjectGone):
        require_current(Bucket(), ref(version_id="v1"))
