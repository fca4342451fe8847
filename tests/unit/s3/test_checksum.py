"""The checksum of an object is combined from those of its ranges and equals the one of S3."""

from __future__ import annotations

import base64
import itertools
import threading
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_to_sftp.s3.checksum import ChecksumSoFar, RangeChecksum, RangeReader
from s3_to_sftp.s3.part_hashes import PartHashes
from s3_to_sftp.s3.stored_checksum import StoredChecksum, stored_checksum
from tests.support.memory_s3 import digest_of

ALGORITHMS = ["CRC64NVME", "CRC32C", "CRC32"]
HASHES = ["SHA512", "SHA256", "SHA1", "MD5"]
STORED = [*ALGORITHMS, *HASHES]

# The check value of each CRC, of the bytes 123456789: https://reveng.sourceforge.io/crc-catalogue/
CHECKS = {"CRC64NVME": "AE8B14860A799888", "CRC32C": "E3069283", "CRC32": "CBF43926"}
OF_NOTHING = {"CRC64NVME": "0" * 16, "CRC32C": "0" * 8, "CRC32": "0" * 8}


def base64_of(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def whole(algorithm: str, data: bytes) -> str:
    checksum = RangeChecksum(algorithm)
    checksum.add(0, len(data), checksum.of(data))
    return checksum.value(len(data))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_check_value_is_returned_in_base64(algorithm: str) -> None:
    assert whole(algorithm, b"123456789") == base64_of(CHECKS[algorithm])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_object_has_the_checksum_of_no_bytes(algorithm: str) -> None:
    assert RangeChecksum(algorithm).value(0) == base64_of(OF_NOTHING[algorithm])
    assert whole(algorithm, b"") == base64_of(OF_NOTHING[algorithm])


@given(data=st.binary(max_size=2000))
def test_crc32_equals_that_of_zlib(data: bytes) -> None:
    assert whole("CRC32", data) == base64_of(f"{zlib.crc32(data):08x}")


@settings(deadline=None)
@given(
    algorithm=st.sampled_from(ALGORITHMS),
    pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=12),
    order=st.randoms(use_true_random=False),
    steps=st.integers(1, 50),
)
def test_ranges_in_any_order_combine_to_the_full_object_checksum(
    algorithm: str, pieces: list[bytes], order: object, steps: int
) -> None:
    checksum = RangeChecksum(algorithm)
    ranges = []
    offset = 0
    for piece in pieces:
        crc = checksum.start
        for start in range(0, len(piece), steps):
            crc = checksum.update(crc, memoryview(piece)[start : start + steps])
        assert crc == checksum.of(piece)
        ranges.append((offset, len(piece), crc))
        offset += len(piece)
    order.shuffle(ranges)  # type: ignore[attr-defined] # a Random
    for each in ranges:
        checksum.add(*each)
    assert checksum.value(offset) == whole(algorithm, b"".join(pieces))


def test_rewritten_range_replaces_the_earlier_one() -> None:
    checksum = RangeChecksum("CRC32")
    for data in (b"wrong", b"right"):
        checksum.add(0, 5, checksum.of(data))
    assert checksum.value(5) == whole("CRC32", b"right")


@pytest.mark.parametrize(
    ("ranges", "size"),
    [
        ([], 1),
        ([(0, b"abc")], 4),
        ([(0, b"abc")], 2),
        ([(1, b"bc")], 3),
        ([(0, b"a"), (2, b"c")], 3),
        ([(0, b"ab"), (1, b"bc")], 3),
        ([(0, b"ab"), (1, b"b")], 3),
    ],
    ids=["nothing", "too short", "too long", "no start", "a hole", "an overlap", "an overlap and a hole"],
)
def test_ranges_with_gaps_or_overlaps_have_no_checksum(ranges: list[tuple[int, bytes]], size: int) -> None:
    checksum = RangeChecksum("CRC64NVME")
    for offset, data in ranges:
        checksum.add(offset, len(data), checksum.of(data))
    with pytest.raises(ValueError, match="bytes"):
        checksum.value(size)


def test_several_threads_may_add_ranges() -> None:
    data = bytes(range(256)) * 64
    checksum = RangeChecksum("CRC64NVME")

    def add(stream: int) -> None:
        for start in range(stream * 16, len(data), 8 * 16):
            checksum.add(start, 16, checksum.of(data[start : start + 16]))

    threads = [threading.Thread(target=add, args=(stream,)) for stream in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert checksum.value(len(data)) == whole("CRC64NVME", data)


@pytest.mark.parametrize("algorithm", STORED)
def test_full_object_checksum_is_found(algorithm: str) -> None:
    answer = {"ChecksumType": "FULL_OBJECT", f"Checksum{algorithm}": "AAAA"}
    assert stored_checksum(answer) == StoredChecksum(algorithm=algorithm, value="AAAA")


@pytest.mark.parametrize("algorithm", STORED)
@pytest.mark.parametrize("announced", ["COMPOSITE", "FULL_OBJECT", None])
def test_checksum_with_a_part_count_is_composite_for_every_announced_type(
    announced: str | None, algorithm: str
) -> None:
    answer = {f"Checksum{algorithm}": "AAAA-12", **({"ChecksumType": announced} if announced else {})}
    stored = stored_checksum(answer)
    assert stored == StoredChecksum(algorithm=algorithm, value="AAAA", parts=12)
    assert str(stored) == f"composite:{algorithm}/12"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ChecksumType": "COMPOSITE", "ChecksumCRC32": "AAAA"},
        {"ChecksumType": "FULL_OBJECT", "ChecksumXXHASH64": "AAAA"},
        {"ChecksumCRC32": "AAAA"},
    ],
    ids=["none", "of an unknown number of parts", "an algorithm that we lack", "of unknown type"],
)
def test_checksum_of_unknown_kind_is_ignored(answer: dict[str, str]) -> None:
    assert stored_checksum(answer) is None


# --- partial checksums ---


@settings(deadline=None)
@given(
    algorithm=st.sampled_from(ALGORITHMS),
    pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=10),
    missing=st.integers(0, 10),
    limit=st.integers(0, 3000),
)
def test_partial_checksum_ends_at_the_first_gap_or_the_limit(
    algorithm: str, pieces: list[bytes], missing: int, limit: int
) -> None:
    checksum = RangeChecksum(algorithm)
    offset, expected, in_a_row = 0, b"", True
    for place, piece in enumerate(pieces):
        if place != missing:
            checksum.add(offset, len(piece), checksum.of(piece))
        offset += len(piece)
        in_a_row = in_a_row and place != missing and offset <= limit
        expected += piece if in_a_row else b""
    so_far = checksum.up_to(limit)
    assert (so_far.size, so_far.crc) == (len(expected), checksum.of(expected))


@settings(deadline=None)
@given(algorithm=st.sampled_from(ALGORITHMS), first=st.binary(max_size=500), rest=st.binary(max_size=500))
def test_checksum_can_be_resumed_by_another_instance(algorithm: str, first: bytes, rest: bytes) -> None:
    one = RangeChecksum(algorithm)
    one.add(0, len(first), one.of(first))
    another = RangeChecksum(algorithm, before=one.up_to(len(first)))
    if rest:
        another.add(len(first), len(rest), another.of(rest))
    assert another.value(len(first + rest)) == whole(algorithm, first + rest)


def test_growing_range_replaces_the_shorter_one() -> None:
    checksum = RangeChecksum("CRC32")
    for end in (2, 5, 9):
        checksum.add(0, end, checksum.of(b"123456789"[:end]))
        assert checksum.up_to(100) == ChecksumSoFar(
            size=end, algorithm="CRC32", crc=zlib.crc32(b"123456789"[:end])
        )
    assert checksum.value(9) == base64_of(CHECKS["CRC32"])


def test_range_beyond_the_end_is_an_error() -> None:
    checksum = RangeChecksum("CRC32")
    checksum.add(0, 2, checksum.of(b"ab"))
    checksum.add(2, 1, checksum.of(b"c"))
    with pytest.raises(ValueError, match="3 in all"):
        checksum.value(2)


# --- composite checksums ---


def ends_of(parts: list[bytes]) -> tuple[int, ...]:
    return tuple(itertools.accumulate(len(part) for part in parts))


def composite(algorithm: str, parts: list[bytes]) -> bytes:
    return digest_of(algorithm, b"".join(digest_of(algorithm, part) for part in parts))


def add_range(checksum: RangeChecksum, data: bytes, offset: int, length: int, step: int) -> None:
    """Add a range as it is read, in steps that each replace what they supersede."""
    reader = RangeReader(checksum, offset)
    for start in range(offset, offset + length, step):
        for each in reader.update(memoryview(data)[start : min(start + step, offset + length)]):
            checksum.add(each.offset, each.length, each.crc)


PARTS = st.lists(st.binary(max_size=60), min_size=1, max_size=8)


@settings(deadline=None)
@given(
    algorithm=st.sampled_from(ALGORITHMS),
    parts=PARTS,
    length=st.integers(1, 100),
    step=st.integers(1, 100),
    order=st.randoms(use_true_random=False),
)
def test_ranges_in_any_order_combine_to_the_composite_checksum(
    algorithm: str, parts: list[bytes], length: int, step: int, order: object
) -> None:
    data = b"".join(parts)
    checksum = RangeChecksum(algorithm, part_ends=ends_of(parts))
    starts = list(range(0, len(data), length))
    order.shuffle(starts)  # type: ignore[attr-defined] # a Random
    for start in starts:
        add_range(checksum, data, start, min(length, len(data) - start), step)
    assert checksum.value(len(data)) == whole(algorithm, data)
    assert checksum.composite_value(len(data)) == base64.b64encode(composite(algorithm, parts)).decode()


@settings(deadline=None)
@given(algorithm=st.sampled_from(ALGORITHMS), parts=PARTS, at=st.integers(0, 500))
def test_composite_checksum_can_be_resumed_by_another_instance(
    algorithm: str, parts: list[bytes], at: int
) -> None:
    data, ends = b"".join(parts), ends_of(parts)
    at = min(at, len(data))
    one = RangeChecksum(algorithm, part_ends=ends)
    add_range(one, data, 0, at, 7)
    another = RangeChecksum(algorithm, before=one.up_to(at), part_ends=ends)
    add_range(another, data, at, len(data) - at, 11)
    assert another.value(len(data)) == whole(algorithm, data)
    assert another.composite_value(len(data)) == base64.b64encode(composite(algorithm, parts)).decode()


def test_composite_checksum_is_none_after_a_checkpoint_without_parts() -> None:
    one = RangeChecksum("CRC32")
    add_range(one, b"abcdef", 0, 4, 4)
    another = RangeChecksum("CRC32", before=one.up_to(4), part_ends=(3, 6))
    add_range(another, b"abcdef", 4, 2, 2)
    assert another.composite_value(6) is None
    assert another.value(6) == whole("CRC32", b"abcdef")


def test_composite_checksum_is_none_without_part_boundaries() -> None:
    checksum = RangeChecksum("CRC32")
    checksum.add(0, 3, checksum.of(b"abc"))
    assert checksum.composite_value(3) is None


@settings(deadline=None)
@given(algorithm=st.sampled_from(HASHES), parts=PARTS, step=st.integers(1, 100))
def test_sequential_bytes_give_the_hash_of_each_part(algorithm: str, parts: list[bytes], step: int) -> None:
    data = b"".join(parts)
    hashes = PartHashes(algorithm, ends_of(parts))
    for start in range(0, len(data), step):
        hashes.update(start, data[start : start + step])
    assert hashes.digests() == [digest_of(algorithm, part) for part in parts]
    assert hashes.composite() == composite(algorithm, parts)


def test_parts_may_arrive_in_any_order_and_repeatedly() -> None:
    hashes = PartHashes("SHA256", (3, 6))
    for offset, data in [(3, b"d"), (4, b"wrong"[:1]), (0, b"abc"), (3, b"de"), (5, b"f")]:
        hashes.update(offset, data)
    assert hashes.digests() == [digest_of("SHA256", b"abc"), digest_of("SHA256", b"def")]


@pytest.mark.parametrize(
    "pieces",
    [
        [(0, b"ab"), (3, b"def")],
        [(0, b"ac"), (1, b"bc"), (3, b"def")],
        [(1, b"bc"), (0, b"abc"), (3, b"def")],
        [(0, b"abc"), (3, b"def"), (4, b"x")],
        [],
    ],
    ids=["a hole", "an overlap", "another order", "changed afterwards", "nothing"],
)
def test_bytes_out_of_order_have_no_part_hashes(pieces: list[tuple[int, bytes]]) -> None:
    hashes = PartHashes("SHA256", (3, 6))
    for offset, data in pieces:
        hashes.update(offset, data)
    assert hashes.digests() is None
    assert hashes.composite() is None
