"""Multipart uploads are delivered at the first attempt, and verified by their composite checksum."""

from __future__ import annotations

import base64
import io
import platform
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud import REGION, start_cloud
from local.processes import CannotRun
from local.sftp_server import start_asyncssh_server
from s3_to_sftp.errors import ObjectCorrupt
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.memory_s3 import MemoryS3, digest_of
from tests.support.partner import contents_below, delivery_to

MIB = 1024 * 1024
DATA = random.Random(10).randbytes(9 * MIB + 4321)  # above 8 MiB boto3 and the AWS CLI upload in parts
KEY = "report.csv"

Upload = Callable[[Any, str], None]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if platform.system() != "Linux":
        pytest.skip(f"the local AWS runs Linux wheels, this is {platform.system()}")
    try:
        with start_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
            yield cloud.client("s3")
    except CannotRun as error:
        pytest.skip(f"the local AWS cannot be started: {error}")


@pytest.fixture(params=["plain", "versioned"])
def bucket(request: pytest.FixtureRequest, s3: Any) -> str:
    name = f"outgoing-{request.param}"
    if name not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if request.param == "versioned":
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def with_boto3(**checksum: str) -> Upload:
    return lambda s3, bucket: s3.upload_fileobj(io.BytesIO(DATA), bucket, KEY, ExtraArgs=checksum)


def as_the_aws_cli_does(s3: Any, bucket: str) -> None:
    """In parts of 8 MiB, each with the CRC64NVME that newer clients choose."""
    about = {"Bucket": bucket, "Key": KEY}
    about["UploadId"] = s3.create_multipart_upload(**about, ChecksumAlgorithm="CRC64NVME")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(DATA), 8 * MIB), 1):
        body = DATA[start : start + 8 * MIB]
        # Given, not left to boto3: that needs another package for it.
        checksum = {"ChecksumCRC64NVME": base64.b64encode(digest_of("CRC64NVME", body)).decode()}
        part = s3.upload_part(**about, PartNumber=number, Body=body, **checksum)
        parts.append({"PartNumber": number, "ETag": part["ETag"], **checksum})
    s3.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})


def announced(s3: Any, bucket: str) -> ObjectRef:
    head = s3.head_object(Bucket=bucket, Key=KEY)
    return ObjectRef(
        bucket=bucket,
        key=KEY,
        version_id=head.get("VersionId"),
        etag=head["ETag"].strip('"'),
        size=head["ContentLength"],
    )


@pytest.mark.parametrize(
    ("upload", "verified_by"),
    [
        (with_boto3(ChecksumAlgorithm="CRC32"), "composite:CRC32/2"),
        (with_boto3(ChecksumAlgorithm="SHA256"), "composite:SHA256/2"),
        (as_the_aws_cli_does, "composite:CRC64NVME/2"),
    ],
    ids=["boto3", "boto3 with SHA-256", "AWS CLI"],
)
def test_multipart_upload_is_verified_by_its_composite_checksum(
    upload: Upload, verified_by: str, s3: Any, bucket: str, root: Path
) -> None:
    upload(s3, bucket)
    with start_asyncssh_server(root) as server:
        receipt = delivery_to(server, s3).deliver(announced(s3, bucket))
        assert contents_below(server.root) == {KEY: DATA}
    assert receipt.verified_by == verified_by


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA1", "SHA256"])
def test_damaged_part_gets_no_final_name(algorithm: str, root: Path) -> None:
    memory = MemoryS3()
    memory.put_in_parts(KEY, [DATA[: 5 * MIB], DATA[5 * MIB :]], algorithm)
    memory.wire[KEY] = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with start_asyncssh_server(root) as server:
        with pytest.raises(ObjectCorrupt, match=f"composite:{algorithm}/2"):
            delivery_to(server, memory).deliver(memory.ref(KEY))
        assert contents_below(server.root) == {}
