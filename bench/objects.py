"""The object that end-to-end measurements read, in the local S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clients.job import Job
from bench.payload import MIB, Payload
from local.cloud import start_cloud

_PART_BYTES = 64 * MIB


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """Where it is.

    Attributes:
        endpoint: The local S3.
        certificate: What its clients trust; empty where it speaks plain HTTP.
        bucket: Its bucket.
        key: Its key, which is also the name that it arrives under.
    """

    endpoint: str
    certificate: str = ""
    bucket: str = "bench"
    key: str = "large"


@contextmanager
def store_object(size: int, folder: Path, *, tls: bool = False) -> Iterator[StoredObject]:
    """Runs a local AWS with one object of this size until the block ends."""
    with start_cloud(folder, tls=tls) as cloud:
        stored = StoredObject(endpoint=cloud.endpoint, certificate=str(cloud.certificate or ""))
        s3 = Job(endpoint=stored.endpoint, certificate=stored.certificate).s3()
        s3.create_bucket(Bucket=stored.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        _put_in_parts(s3, stored, Payload(size))
        yield stored


def _put_in_parts(s3: Any, stored: StoredObject, payload: Payload) -> None:
    target = {"Bucket": stored.bucket, "Key": stored.key}
    upload = {**target, "UploadId": s3.create_multipart_upload(**target)["UploadId"]}
    parts = []
    for number, offset in enumerate(range(0, payload.size, _PART_BYTES), start=1):
        body = b"".join(payload.blocks(offset, min(_PART_BYTES, payload.size - offset), MIB))
        answer = s3.upload_part(**upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
