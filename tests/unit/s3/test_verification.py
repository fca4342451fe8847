"""A checksum stored by S3 is compared wherever possible, and `verified_by` names what was compared."""

from __future__ import annotations

import base64
import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from s3_to_sftp.errors import ObjectCorrupt
from s3_to_sftp.s3.checksum import RangeChecksum
from s3_to_sftp.s3.object_reader import ChecksumSoFar, ObjectReader, read_whole
from tests.support.memory_s3 import MemoryS3, client_error, crc_of, digest_of

DATA = b"".join(number.to_bytes(4, "big") for number in range(16_384))
PARTS = [DATA[:20_000], DATA[20_000:40_000], DATA[40_000:]]
CRCS = ["CRC64NVME", "CRC32C", "CRC32"]
HASHES = ["SHA512", "SHA256", "SHA1", "MD5"]
SOON = 10
"""Seconds that a test waits at most; a passing test never waits that long."""

Read = Callable[[MemoryS3], tuple[bytes, str]]


def read_ranges(source: ObjectReader, ranges: list[tuple[int, int]]) -> bytes:
    data = bytearray(source.size)
    for offset, block in source.blocks(ranges, 3000):
        data[offset : offset + len(block)] = block
    return bytes(data)


def in_order(source: ObjectReader, length: int = 7_777) -> bytes:
    """Read the ranges in order, as one stream does."""
    starts = range(source.start, source.size, length)
    return read_ranges(source, [(start, min(length, source.size - start)) for start in starts])


def whole(s3: MemoryS3) -> tuple[bytes, str]:
    read = read_whole(s3, s3.ref("a"))
    return read.data, read.content.verified_by


def ranges(s3: MemoryS3) -> tuple[bytes, str]:
    source = ObjectReader(s3, s3.ref("a"))
    data = in_order(source)
    crc_of(source)
    return data, source.verify().verified_by


every_way = pytest.mark.parametrize("read", [whole, ranges])
every_algorithm = pytest.mark.parametrize("algorithm", [*CRCS, *HASHES])


def multipart_object(algorithm: str = "CRC32C", *, announced: str = "COMPOSITE") -> MemoryS3:
    s3 = MemoryS3()
    s3.put_in_parts("a", PARTS, algorithm, announced=announced)
    return s3


def single_object(algorithm: str, data: bytes = DATA) -> MemoryS3:
    value = base64.b64encode(digest_of(algorithm, data)).decode()
    fields = {"ChecksumType": "FULL_OBJECT", f"Checksum{algorithm}": value}
    return MemoryS3({"a": data}, checksums={"a": fields})


def corrupt(s3: MemoryS3, at: int) -> None:
    damaged = bytearray(s3.objects["a"])
    damaged[at] ^= 1
    s3.wire["a"] = bytes(damaged)


# --- the whole object ---


@every_way
@every_algorithm
def test_full_object_checksum_is_compared(algorithm: str, read: Read) -> None:
    assert read(single_object(algorithm)) == (DATA, f"full_object:{algorithm}")


@every_way
@every_algorithm
def test_checksum_of_an_empty_object_is_compared(algorithm: str, read: Read) -> None:
    assert read(single_object(algorithm, b"")) == (b"", f"full_object:{algorithm}")


@every_way
@every_algorithm
@pytest.mark.parametrize("at", [0, 30_000, len(DATA) - 1])
def test_corrupt_bytes_fail_the_full_object_checksum(at: int, algorithm: str, read: Read) -> None:
    s3 = single_object(algorithm)
    corrupt(s3, at)
    with pytest.raises(ObjectCorrupt, match=f"full_object:{algorithm}"):
        read(s3)


@pytest.mark.parametrize("algorithm", HASHES)
def test_receipt_has_a_crc_even_if_a_hash_was_compared(algorithm: str) -> None:
    s3 = single_object(algorithm)
    expected = ("CRC64NVME", base64.b64encode(digest_of("CRC64NVME", DATA)).decode())
    source = ObjectReader(s3, s3.ref("a"))
    in_order(source)
    assert crc_of(source) == expected
    assert read_whole(s3, s3.ref("a")).content == source.verify()


def test_stored_sha256_is_compared_and_returned_on_request() -> None:
    s3 = single_object("SHA256")
    source = ObjectReader(s3, s3.ref("a"), sha256=True)
    in_order(source)
    assert (source.verify().sha256 or None) == digest_of("SHA256", DATA).hex()
    assert source.verify().verified_by == "full_object:SHA256"


@pytest.mark.parametrize("make", [single_object, multipart_object])
@pytest.mark.parametrize("algorithm", HASHES)
def test_hash_is_not_compared_for_bytes_read_out_of_order(
    algorithm: str, make: Callable[[str], MemoryS3]
) -> None:
    s3 = make(algorithm)
    source = ObjectReader(s3, s3.ref("a"))
    read_ranges(source, [(30_000, len(DATA) - 30_000), (0, 30_000)])
    crc_of(source)
    assert source.verify().verified_by == "none"


@pytest.mark.parametrize("make", [single_object, multipart_object])
@pytest.mark.parametrize("algorithm", HASHES)
def test_hash_is_not_compared_for_a_resumed_object(algorithm: str, make: Callable[[str], MemoryS3]) -> None:
    s3 = make(algorithm)
    first = ObjectReader(s3, s3.ref("a"))
    read_ranges(first, [(0, 30_000)])
    second = ObjectReader(s3, s3.ref("a"), before=first.checksum_up_to(30_000))
    assert second.start == 30_000
    in_order(second)
    crc_of(second)
    assert second.verify().verified_by == "none"


# --- the parts ---


@every_way
@every_algorithm
@pytest.mark.parametrize("announced", ["COMPOSITE", "FULL_OBJECT"])
def test_composite_checksum_is_compared_for_every_announced_type(
    announced: str, algorithm: str, read: Read
) -> None:
    assert read(multipart_object(algorithm, announced=announced)) == (DATA, f"composite:{algorithm}/3")


@every_way
@every_algorithm
@pytest.mark.parametrize("at", [0, 19_999, 20_000, len(DATA) - 1])
def test_corrupt_bytes_fail_the_composite_checksum(at: int, algorithm: str, read: Read) -> None:
    s3 = multipart_object(algorithm)
    corrupt(s3, at)
    with pytest.raises(ObjectCorrupt, match=f"composite:{algorithm}/3"):
        read(s3)


@every_way
@every_algorithm
@pytest.mark.parametrize("data", [DATA, b""], ids=["some bytes", "none"])
def test_single_part_upload_is_compared_without_a_list_of_parts(
    data: bytes, algorithm: str, read: Read
) -> None:
    s3 = MemoryS3()
    s3.put_in_parts("a", [data], algorithm)
    assert read(s3) == (data, f"composite:{algorithm}/1")
    assert s3.attributes == []


@every_way
def test_object_without_parts_needs_no_further_request(read: Read) -> None:
    s3 = single_object("SHA256")
    read(s3)
    assert s3.attributes == []


@every_way
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_list_of_parts_is_read_to_its_last_page(algorithm: str, read: Read) -> None:
    parts = [bytes([number % 251]) * (number % 3) for number in range(2_500)]
    s3 = MemoryS3()
    s3.put_in_parts("a", parts, algorithm)
    assert read(s3) == (b"".join(parts), f"composite:{algorithm}/2500")
    assert len(s3.attributes) == 3


@every_way
def test_parts_of_the_announced_version_are_requested(read: Read) -> None:
    s3 = multipart_object()
    ref = dataclasses.replace(s3.ref("a"), version_id="v1")
    s3.ref = lambda key: ref  # type: ignore[method-assign] # what is announced
    read(s3)
    assert s3.attributes[0]["VersionId"] == "v1"


@pytest.mark.parametrize("algorithm", CRCS)
def test_composite_crc_is_compared_when_several_streams_read(algorithm: str) -> None:
    s3 = multipart_object(algorithm)
    source = ObjectReader(s3, s3.ref("a"))
    segments = [(start, min(3_333, len(DATA) - start)) for start in range(0, len(DATA), 3_333)]
    threads = [
        threading.Thread(target=read_ranges, args=(source, segments[number::4])) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert crc_of(source) == (algorithm, base64.b64encode(digest_of(algorithm, DATA)).decode())
    assert source.verify().verified_by == f"composite:{algorithm}/3"


@pytest.mark.parametrize("algorithm", HASHES)
def test_composite_hash_is_compared_when_each_part_is_read_in_order(algorithm: str) -> None:
    s3 = multipart_object(algorithm)
    source = ObjectReader(s3, s3.ref("a"))
    read_ranges(source, [(40_000, len(DATA) - 40_000), (0, 10_000), (20_000, 20_000), (10_000, 10_000)])
    assert source.verify().verified_by == f"composite:{algorithm}/3"


# --- unavailable parts ---


def without_parts(s3: MemoryS3) -> None:
    s3.parts.clear()


def with_fewer_parts(s3: MemoryS3) -> None:
    s3.parts["a"].pop()


def with_parts_of_other_sizes(s3: MemoryS3) -> None:
    s3.parts["a"][0]["Size"] += 1


def with_parts_of_other_checksums(s3: MemoryS3) -> None:
    s3.parts["a"][0]["ChecksumCRC32C"] = s3.parts["a"][1]["ChecksumCRC32C"]


def with_parts_of_odd_checksums(s3: MemoryS3) -> None:
    s3.parts["a"][0]["ChecksumCRC32C"] = "?"


@every_way
@pytest.mark.parametrize(
    "change",
    [
        without_parts,
        with_fewer_parts,
        with_parts_of_other_sizes,
        with_parts_of_other_checksums,
        with_parts_of_odd_checksums,
    ],
)
def test_inconsistent_parts_are_not_used(change: Callable[[MemoryS3], None], read: Read) -> None:
    s3 = multipart_object()
    change(s3)
    assert read(s3) == (DATA, "none")


@every_way
def test_part_sizes_suffice_for_the_composite_checksum(read: Read) -> None:
    s3 = multipart_object()
    for part in s3.parts["a"]:
        del part["ChecksumCRC32C"]
    assert read(s3) == (DATA, "composite:CRC32C/3")


@every_way
@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDenied", 403),
        client_error("NotImplemented", 501),
        client_error("NoSuchKey", 404),
        ConnectTimeoutError(endpoint_url="https://s3"),
        ConnectionResetError("reset"),
    ],
)
def test_refused_list_of_parts_is_no_error(
    error: Exception, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(MemoryS3):
        def get_object_attributes(self, **request: Any) -> Any:
            raise error

    s3 = Refusing()
    s3.put_in_parts("a", PARTS, "CRC32C")
    assert read(s3) == (DATA, "none")
    assert "s3://bucket/a" in caplog.text
    assert "composite:CRC32C/3 is not compared" in caplog.text


@every_way
def test_parts_of_another_etag_are_not_used(read: Read) -> None:
    class Overwritten(MemoryS3):
        def get_object_attributes(self, **request: Any) -> dict[str, Any]:
            return {**super().get_object_attributes(**request), "ETag": "another"}

    s3 = Overwritten()
    s3.put_in_parts("a", PARTS, "CRC32C")
    assert read(s3) == (DATA, "none")


@every_way
def test_endless_list_of_parts_is_not_followed(read: Read) -> None:
    class Endless(MemoryS3):
        def get_object_attributes(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object_attributes(**{**request, "PartNumberMarker": 0})
            return {**answer, "ObjectParts": {**answer["ObjectParts"], "IsTruncated": True}}

    s3 = Endless()
    s3.put_in_parts("a", PARTS, "CRC32C")
    assert read(s3) == (DATA, "composite:CRC32C/3")
    assert len(s3.attributes) == 1


# --- several invocations ---


@pytest.mark.parametrize("algorithm", CRCS)
@pytest.mark.parametrize("at", [1, 19_999, 20_000, 20_001, 40_000, len(DATA)])
def test_composite_crc_is_compared_across_invocations(at: int, algorithm: str) -> None:
    s3 = multipart_object(algorithm)
    first = ObjectReader(s3, s3.ref("a"))
    read_ranges(first, [(0, at)])
    so_far = first.checksum_up_to(at)
    assert so_far.size == at
    second = ObjectReader(s3, s3.ref("a"), before=so_far)
    in_order(second)
    assert second.verify().verified_by == f"composite:{algorithm}/3"


def test_corruption_in_an_earlier_invocation_fails_the_composite_checksum() -> None:
    s3 = multipart_object()
    corrupt(s3, 10_000)
    first = ObjectReader(s3, s3.ref("a"))
    read_ranges(first, [(0, 30_000)])
    s3.wire.clear()
    second = ObjectReader(s3, s3.ref("a"), before=first.checksum_up_to(30_000))
    in_order(second)
    with pytest.raises(ObjectCorrupt, match="composite:CRC32C/3"):
        crc_of(second)


def test_object_resumed_from_a_checkpoint_without_parts_is_not_compared() -> None:
    s3 = multipart_object()
    before = ChecksumSoFar(size=30_000, algorithm="CRC32C", crc=RangeChecksum("CRC32C").of(DATA[:30_000]))
    source = ObjectReader(s3, s3.ref("a"), before=before)
    assert source.start == 30_000
    in_order(source)
    assert crc_of(source) == ("CRC32C", base64.b64encode(digest_of("CRC32C", DATA)).decode())
    assert source.verify().verified_by == "none"
    assert source.checksum_up_to(len(DATA)).parts_crc is None
