"""The files of the demo, generated."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
_PART = 5 * MIB  # the minimum of S3 for every part but the last


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A file to be uploaded.

    Attributes:
        key: Its key in the bucket.
        path: Where its bytes are.
        size: How many there are.
        sha256: Hex digest of them.
        in_parts: Uploaded with the multipart API, not with one PutObject.
    """

    key: str
    path: Path
    size: int
    sha256: str
    in_parts: bool = False

    def put(self, s3: Any, bucket: str) -> None:
        """Uploads the file; memory does not grow with its size."""
        if self.in_parts:
            _put_in_parts(s3, bucket, self)
            return
        with self.path.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=self.key, Body=body)


def make_samples(folder: Path) -> list[Sample]:
    """Writes one file of each kind that is known to cause errors, small ones first."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = itertools.count()

    def sample(key: str, chunks: Iterator[bytes], *, in_parts: bool = False) -> Sample:
        path = folder / str(next(numbers))
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        return Sample(
            key=key, path=path, size=path.stat().st_size, sha256=digest.hexdigest(), in_parts=in_parts
        )

    return [
        sample("customers.csv", _csv(rows=1_000)),
        sample("2026/11/orders/4711.csv", _csv(rows=10)),
        sample("a b+ü(1)&%41.csv", _csv(rows=10)),
        sample("empty.txt", iter(())),
        sample("one-byte.bin", iter((b"x",))),
        sample("multipart.bin", _noise(12 * MIB), in_parts=True),
        sample("256-mib.bin", _noise(256 * MIB)),
    ]


def _csv(*, rows: int) -> Iterator[bytes]:
    yield b"id,name,amount\n"
    for row in range(rows):
        yield f"{row},Müller & Söhne,{row * 1.19:.2f}\n".encode()


def _noise(size: int) -> Iterator[bytes]:
    # No block equals another, so that a lost, doubled or swapped one shows in the digest.
    noise = random.Random(size).randbytes(MIB)  # noqa: S311 - not for secrets
    for number in range(size // MIB):
        yield number.to_bytes(8) + noise[8:]


def _put_in_parts(s3: Any, bucket: str, sample: Sample) -> None:
    target = {"Bucket": bucket, "Key": sample.key}
    upload = {**target, "UploadId": s3.create_multipart_upload(**target)["UploadId"]}
    parts = []
    with sample.path.open("rb") as body:
        for number, part in enumerate(iter(lambda: body.read(_PART), b""), start=1):
            answer = s3.upload_part(**upload, PartNumber=number, Body=part)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
