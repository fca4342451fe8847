"""What S3 has stored of the bytes is compared wherever it can be, and what was compared is said exactly."""

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
"""Seconds that a test waits for what must happen; it never takes them when all is well."""

Read = Callable[[MemoryS3], tuple[bytes, str]]


def take(source: ObjectReader, ranges: list[tuple[int, int]]) -> bytes:
    data = bytearray(source.size)
    for offset, block in source.blocks(ranges, 3000):
        data[offset : offset + len(block)] = block
    return bytes(data)


def in_order(source: ObjectReader, length: int = 7_777) -> bytes:
    """Read as one stream does."""
    starts = range(source.start, source.size, length)
    return take(source, [(start, min(length, source.size - start)) for start in starts])


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


def in_parts(algorithm: str = "CRC32C", *, announced: str = "COMPOSITE") -> MemoryS3:
    s3 = MemoryS3()
    s3.put_in_parts("a", PARTS, algorithm, announced=announced)
    return s3


def in_one(algorithm: str, data: bytes = DATA) -> MemoryS3:
    value = base64.b64encode(digest_of(algorithm, data)).decode()
    fields = {"ChecksumType": "FULL_OBJECT", f"Checksum{algorithm}": value}
    return MemoryS3({"a": data}, checksums={"a": fields})


def damage(s3: MemoryS3, at: int) -> None:
    damaged = bytearray(s3.objects["a"])
    damaged[at] ^= 1
    s3.wire["a"] = bytes(damaged)


# --- the whole object ---


@every_way
@every_algorithm
def test_checksum_of_the_whole_is_compared(algorithm: str, read: Read) -> None:
    assert read(in_one(algorithm)) == (DATA, f"full_object:{algorithm}")


@every_way
@every_algorithm
def test_checksum_of_an_empty_object_is_compared(algorithm: str, read: Read) -> None:
    assert read(in_one(algorithm, b"")) == (b"", f"full_object:{algorithm}")


@every_way
@every_algorithm
@pytest.mark.parametrize("at", [0, 30_000, len(DATA) - 1])
def test_damaged_bytes_have_another_checksum_of_the_whole(at: int, algorithm: str, read: Read) -> None:
    s3 = in_one(algorithm)
    damage(s3, at)
    with pytest.raises(ObjectCorrupt, match=f"full_object:{algorithm}"):
        read(s3)


@pytest.mark.parametrize("algorithm", HASHES)
def test_receipt_has_a_crc_of_the_bytes_also_where_a_hash_was_compared(algorithm: str) -> None:
    s3 = in_one(algorithm)
    expected = ("CRC64NVME", base64.b64encode(digest_of("CRC64NVME", DATA)).decode())
    source = ObjectReader(s3, s3.ref("a"))
    in_order(source)
    assert crc_of(source) == expected
    assert read_whole(s3, s3.ref("a")).content == source.verify()


def test_sha256_that_is_stored_and_wanted_is_told() -> None:
    s3 = in_one("SHA256")
    source = ObjectReader(s3, s3.ref("a"), sha256=True)
    in_order(source)
    assert (source.verify().sha256 or None) == digest_of("SHA256", DATA).hex()
    assert source.verify().verified_by == "full_object:SHA256"


@pytest.mark.parametrize("make", [in_one, in_parts])
@pytest.mark.parametrize("algorithm", HASHES)
def test_hash_of_bytes_that_came_out_of_order_is_not_compared_and_said_so(
    algorithm: str, make: Callable[[str], MemoryS3]
) -> None:
    s3 = make(algorithm)
    source = ObjectReader(s3, s3.ref("a"))
    take(source, [(30_000, len(DATA) - 30_000), (0, 30_000)])
    crc_of(source)
    assert source.verify().verified_by == "none"


@pytest.mark.parametrize("make", [in_one, in_parts])
@pytest.mark.parametrize("algorithm", HASHES)
def test_hash_of_an_object_that_was_continued_is_not_compared_and_said_so(
    algorithm: str, make: Callable[[str], MemoryS3]
) -> None:
    s3 = make(algorithm)
    first = ObjectReader(s3, s3.ref("a"))
    take(first, [(0, 30_000)])
    second = ObjectReader(s3, s3.ref("a"), before=first.checksum_up_to(30_000))
    assert second.start == 30_000
    in_order(second)
    crc_of(second)
    assert second.verify().verified_by == "none"


# --- the parts ---


@every_way
@every_algorithm
@pytest.mark.parametrize("announced", ["COMPOSITE", "FULL_OBJECT"])
def test_checksum_of_the_parts_is_compared_whatever_type_is_announced(
    announced: str, algorithm: str, read: Read
) -> None:
    assert read(in_parts(algorithm, announced=announced)) == (DATA, f"composite:{algorithm}/3")


@every_way
@every_algorithm
@pytest.mark.parametrize("at", [0, 19_999, 20_000, len(DATA) - 1])
def test_damaged_bytes_have_another_checksum_of_the_parts(at: int, algorithm: str, read: Read) -> None:
    s3 = in_parts(algorithm)
    damage(s3, at)
    with pytest.raises(ObjectCorrupt, match=f"composite:{algorithm}/3"):
        read(s3)


@every_way
@every_algorithm
@pytest.mark.parametrize("data", [DATA, b""], ids=["some bytes", "none"])
def test_upload_in_one_part_is_compared_without_a_list_of_parts(
    data: bytes, algorithm: str, read: Read
) -> None:
    s3 = MemoryS3()
    s3.put_in_parts("a", [data], algorithm)
    assert read(s3) == (data, f"composite:{algorithm}/1")
    assert s3.attributes == []


@every_way
def test_object_without_parts_takes_no_further_request(read: Read) -> None:
    s3 = in_one("SHA256")
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
def test_parts_of_the_announced_version_are_asked_for(read: Read) -> None:
    s3 = in_parts()
    ref = dataclasses.replace(s3.ref("a"), version_id="v1")
    s3.ref = lambda key: ref  # type: ignore[method-assign] # what is announced
    read(s3)
    assert s3.attributes[0]["VersionId"] == "v1"


@pytest.mark.parametrize("algorithm", CRCS)
def test_crc_of_the_parts_is_compared_when_several_streams_read(algorithm: str) -> None:
    s3 = in_parts(algorithm)
    source = ObjectReader(s3, s3.ref("a"))
    segments = [(start, min(3_333, len(DATA) - start)) for start in range(0, len(DATA), 3_333)]
    threads = [threading.Thread(target=take, args=(source, segments[number::4])) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert crc_of(source) == (algorithm, base64.b64encode(digest_of(algorithm, DATA)).decode())
    assert source.verify().verified_by == f"composite:{algorithm}/3"


@pytest.mark.parametrize("algorithm", HASHES)
def test_hash_of_the_parts_is_compared_when_each_part_is_read_in_order(algorithm: str) -> None:
    s3 = in_parts(algorithm)
    source = ObjectReader(s3, s3.ref("a"))
    take(source, [(40_000, len(DATA) - 40_000), (0, 10_000), (20_000, 20_000), (10_000, 10_000)])
    assert source.verify().verified_by == f"composite:{algorithm}/3"


# --- parts that cannot be had ---


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
def test_parts_that_do_not_explain_the_checksum_are_not_used(
    change: Callable[[MemoryS3], None], read: Read
) -> None:
    s3 = in_parts()
    change(s3)
    assert read(s3) == (DATA, "none")


@every_way
def test_sizes_of_the_parts_suffice(read: Read) -> None:
    s3 = in_parts()
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
def test_list_of_parts_that_is_refused_is_no_error(
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
def test_parts_of_other_bytes_are_not_used(read: Read) -> None:
    class Overwritten(MemoryS3):
        def get_object_attributes(self, **request: Any) -> dict[str, Any]:
            return {**super().get_object_attributes(**request), "ETag": "another"}

    s3 = Overwritten()
    s3.put_in_parts("a", PARTS, "CRC32C")
    assert read(s3) == (DATA, "none")


@every_way
def test_list_of_parts_without_end_is_not_followed(read: Read) -> None:
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
def test_crc_of_the_parts_is_compared_across_invocations(at: int, algorithm: str) -> None:
    s3 = in_parts(algorithm)
    first = ObjectReader(s3, s3.ref("a"))
    take(first, [(0, at)])
    so_far = first.checksum_up_to(at)
    assert so_far.size == at
    second = ObjectReader(s3, s3.ref("a"), before=so_far)
    in_order(second)
    assert second.verify().verified_by == f"composite:{algorithm}/3"


def test_wrong_bytes_of_an_earlier_invocation_are_noticed_in_the_parts() -> None:
    s3 = in_parts()
    damage(s3, 10_000)
    first = ObjectReader(s3, s3.ref("a"))
    take(first, [(0, 30_000)])
    s3.wire.clear()
    second = ObjectReader(s3, s3.ref("a"), before=first.checksum_up_to(30_000))
    in_order(second)
    with pytest.raises(ObjectCorrupt, match="composite:CRC32C/3"):
        crc_of(second)


def test_checkpoint_without_parts_is_continued_and_not_compared() -> None:
    s3 = in_parts()
    before = ChecksumSoFar(size=30_000, algorithm="CRC32C", crc=RangeChecksum("CRC32C").of(DATA[:30_000]))
    source = ObjectReader(s3, s3.ref("a"), before=before)
    assert source.start == 30_000
    in_order(source)
    assert crc_of(source) == ("CRC32C", base64.b64encode(digest_of("CRC32C", DATA)).decode())
    assert source.verify().verified_by == "none"
    assert source.checksum_up_to(len(DATA)).parts_crc is None
