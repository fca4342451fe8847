"""A bucket in moto's S3 whose every request is a step of a function that may be killed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.killable_function import KillableEnvironment
from tests.support.memory_s3 import BUCKET, client_error


class MortalBucket:
    """Stands in for the client that a function uses; tests use `client`.

    Attributes:
        client: boto3's, of moto.
        asked: Operations in order, those that were not done left out.
        refusing: Operation -> the code that it is refused with.
        failing: Operation -> the error that it ends with although it is done.
        is_versioned: Whether the bucket has versions.
    """

    def __init__(self, env: KillableEnvironment, *, is_versioned: bool = True) -> None:
        self.client = _client()
        self.client.create_bucket(Bucket=BUCKET)
        self._empty()
        self.is_versioned = is_versioned
        if is_versioned:
            self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.asked: list[str] = []
        self.refusing: dict[str, str] = {}
        self.failing: dict[str, Exception] = {}
        self.objects: dict[str, bytes] = {}
        self._env = env
        self._puts = 0

    def _empty(self) -> None:
        """Remove what an earlier environment of the same test has left."""
        answer = self.client.list_object_versions(Bucket=BUCKET)
        for each in (*answer.get("Versions", []), *answer.get("DeleteMarkers", [])):
            self.client.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])
        for upload in self.uploads():
            self.client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])

    def put(self, key: str, data: bytes, **about: Any) -> ObjectRef:
        """Put an object and announce it."""
        answer = self.client.put_object(Bucket=BUCKET, Key=key, Body=data, **about)
        self.objects[key] = data
        self._puts += 1
        return ObjectRef(
            bucket=BUCKET,
            key=key,
            version_id=answer.get("VersionId") if self.is_versioned else None,
            etag=answer["ETag"].strip('"'),
            size=len(data),
            sequencer=f"{self._puts:04X}",
            event_time=int(self._env.ledger.clock.now),
        )

    def keys(self, bucket: str = BUCKET) -> list[str]:
        """The keys that a listing shows."""
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def versions(self, key: str, bucket: str = BUCKET) -> list[str]:
        """The versions of a key, delete markers left out."""
        answer = self.client.list_object_versions(Bucket=bucket, Prefix=key)
        return [each["VersionId"] for each in answer.get("Versions", []) if each["Key"] == key]

    def uploads(self) -> list[Any]:
        """The multipart uploads that are neither completed nor aborted."""
        uploads: list[Any] = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return uploads

    def tags(self, key: str, **about: str) -> Mapping[str, str]:
        answer = self.client.get_object_tagging(**{"Bucket": BUCKET, "Key": key, **about})
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def body(self, key: str, bucket: str = BUCKET) -> bytes:
        data: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call = getattr(self.client, operation)

        def request(**arguments: Any) -> Any:
            if code := self.refusing.get(operation):
                raise client_error(code, 403)
            answer = self._env.life.step(operation, lambda: _outcome(call, arguments))
            self.asked.append(operation)
            if operation in self.failing:
                raise self.failing[operation]
            if isinstance(answer, ClientError):
                raise answer
            return answer

        return request


@functools.cache
def _client() -> Any:
    """Made once: that takes longer than a test."""
    return boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def _outcome(call: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return call(**arguments)
    except ClientError as error:
        return error
