"""The reader returns all bytes of the announced version, however often S3 interrupts a response."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import itertools
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, IncompleteReadError, ReadTimeoutError
from botocore.response import StreamingBody
from moto.backends import get_backend

from s3_to_sftp.errors import (
    Disposition,
    KeyNotUsable,
    ObjectAccessDenied,
    ObjectChanged,
    ObjectCorrupt,
    ObjectGone,
    ObjectNotReadable,
    ObjectReadError,
    ObjectReadInterrupted,
)
from s3_to_sftp.s3 import object_reader, read_ahead
from s3_to_sftp.s3.checksum import RangeChecksum
from s3_to_sftp.s3.object_reader import ChecksumSoFar, ObjectReader, SmallObject, read_whole
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.verification import VerifiedContent
from s3_to_sftp.sftp.protocol import Request
from s3_to_sftp.sftp.write_window import write_and_close
from tests.support.memory_aws import mock_aws
from tests.support.memory_s3 import BUCKET, MemoryS3, client_error, crc_of
from tests.support.scripted_server import ScriptedServer, result_of

DATA = b"".join(number.to_bytes(4, "big") for number in range(65_536))
REF = ObjectRef(bucket=BUCKET, key="a")
BLOCK = 10_000
SOON = 120
"""Seconds that a test waits at most; a passing test never waits that long."""


def in_one_range(client: Any, ref: ObjectRef) -> bytes:
    source = ObjectReader(client, ref)
    data = joined(source, [(0, source.size)] if source.size else [])
    crc_of(source)
    return data


def in_ranges(client: Any, ref: ObjectRef) -> bytes:
    source = ObjectReader(client, ref)
    data = joined(source, ranges_of(source.size, 3 * BLOCK + 7))
    crc_of(source)
    return data


def at_once(client: Any, ref: ObjectRef) -> bytes:
    return read_whole(client, ref)[0]


def ranges_of(size: int, length: int) -> list[tuple[int, int]]:
    return [(start, min(length, size - start)) for start in range(0, size, length)]


def joined(source: ObjectReader, ranges: Iterable[tuple[int, int]]) -> bytes:
    data = bytearray(source.size)
    for offset, block in source.blocks(ranges, BLOCK):
        data[offset : offset + len(block)] = block
    return bytes(data)


Read = Callable[[Any, ObjectRef], bytes]
every_way = pytest.mark.parametrize("read", [in_one_range, in_ranges, at_once])


# --- against moto ---


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )


@pytest.fixture
def s3(client: Any) -> Any:
    """S3 with one empty bucket."""
    get_backend("s3").reset()
    client.create_bucket(Bucket=BUCKET)
    return client


def put(s3: Any, data: bytes, key: str = "a", **more: Any) -> ObjectRef:
    """Put the object and return the ref of its event."""
    answer = s3.put_object(Bucket=BUCKET, Key=key, Body=data, **more)
    return ObjectRef(
        bucket=BUCKET,
        key=key,
        etag=answer["ETag"].strip('"'),
        version_id=answer.get("VersionId"),
        size=len(data),
    )


def versioned(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


@every_way
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 8, len(DATA)])
def test_object_of_any_size_is_read_completely(size: int, read: Read, s3: Any) -> None:
    assert read(s3, put(s3, DATA[:size])) == DATA[:size]


def test_blocks_have_the_requested_length_except_the_last_of_a_range(s3: Any) -> None:
    source = ObjectReader(s3, put(s3, DATA))
    blocks = [(offset, len(block)) for offset, block in source.blocks([(5, 25_000), (70_000, 9)], BLOCK)]
    assert blocks == [(5, BLOCK), (10_005, BLOCK), (20_005, 5000), (70_000, 9)]


@every_way
@pytest.mark.parametrize("key", ["a b+ü(1)&%41.csv", "🚀", "in/box", "a//b"])
def test_unusual_key_is_read(key: str, read: Read, s3: Any) -> None:
    assert read(s3, put(s3, DATA, key)) == DATA


@every_way
def test_announced_version_is_read_although_a_newer_one_exists(read: Read, s3: Any) -> None:
    versioned(s3)
    old = put(s3, b"old")
    put(s3, b"newer")
    assert read(s3, old) == b"old"


@every_way
def test_announced_version_is_read_although_the_key_was_deleted(read: Read, s3: Any) -> None:
    versioned(s3)
    ref = put(s3, b"old")
    s3.delete_object(Bucket=BUCKET, Key="a")
    assert read(s3, ref) == b"old"


@every_way
def test_overwritten_object_raises_object_changed(read: Read, s3: Any) -> None:
    old = put(s3, b"old")
    put(s3, b"newer")
    with pytest.raises(ObjectChanged, match="overwritten"):
        read(s3, old)


@every_way
def test_quoted_etag_equals_the_unquoted_one(read: Read, s3: Any) -> None:
    ref = put(s3, b"data")
    assert read(s3, dataclasses.replace(ref, etag=f'"{ref.etag}"')) == b"data"


@every_way
def test_deleted_object_is_gone(read: Read, s3: Any) -> None:
    ref = put(s3, b"old")
    s3.delete_object(Bucket=BUCKET, Key="a")
    with pytest.raises(ObjectGone, match="no longer in S3"):
        read(s3, ref)


@every_way
def test_deleted_version_is_gone(read: Read, s3: Any) -> None:
    versioned(s3)
    ref = put(s3, b"old")
    s3.delete_object(Bucket=BUCKET, Key="a", VersionId=ref.version_id)
    with pytest.raises(ObjectGone):
        read(s3, ref)


@every_way
def test_delete_marker_as_version_is_gone(read: Read, s3: Any) -> None:
    versioned(s3)
    ref = put(s3, b"old")
    marker = s3.delete_object(Bucket=BUCKET, Key="a")["VersionId"]
    with pytest.raises(ObjectGone):
        read(s3, dataclasses.replace(ref, version_id=marker))


@every_way
def test_missing_bucket_is_gone(read: Read, s3: Any) -> None:
    with pytest.raises(ObjectGone, match="s3://elsewhere/a"):
        read(s3, ObjectRef(bucket="elsewhere", key="a"))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_stored_checksum_is_verified_in_the_algorithm_of_the_uploader(algorithm: str) -> None:
    stored = {"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg="}[algorithm]
    fields = {"ChecksumType": "FULL_OBJECT", f"Checksum{algorithm}": stored}
    s3 = MemoryS3({"a": b"123456789"}, checksums={"a": fields})
    name = f"full_object:{algorithm}"
    assert read_whole(s3, s3.ref("a")) == SmallObject(
        b"123456789",
        VerifiedContent(size=9, checksum_algorithm=algorithm, checksum=stored, verified_by=name),
    )
    source = ObjectReader(s3, s3.ref("a"))
    joined(source, [(4, 5), (0, 4)])
    assert crc_of(source) == (algorithm, stored)
    assert source.verify().verified_by == name


# --- responses that moto does not produce ---

CLASSIFIED = [
    (client_error("AccessDenied", 403), ObjectAccessDenied, Disposition.PERMANENT),
    (client_error("403", 403), ObjectAccessDenied, Disposition.PERMANENT),
    (client_error("404", 404), ObjectGone, Disposition.PERMANENT),
    (client_error("NoSuchVersion", 404), ObjectGone, Disposition.PERMANENT),
    (client_error("MethodNotAllowed", 405), ObjectGone, Disposition.PERMANENT),
    (client_error("PreconditionFailed", 412), ObjectChanged, Disposition.PERMANENT),
    (client_error("SlowDown", 503), ObjectReadInterrupted, Disposition.RETRY),
    (client_error("InternalError", 500), ObjectReadInterrupted, Disposition.RETRY),
    (ConnectTimeoutError(endpoint_url="https://s3"), ObjectReadInterrupted, Disposition.RETRY),
    (ConnectionResetError("reset"), ObjectReadInterrupted, Disposition.RETRY),
]


ERRORS_WITH_MESSAGES = [
    (
        "InvalidObjectState",
        403,
        "The operation is not valid for the object's storage class",
        ObjectNotReadable,
        Disposition.PERMANENT,
        "Restore it",
    ),
    (
        "InvalidRequest",
        400,
        "The object was stored using a form of Server Side Encryption. The correct parameters must be "
        "provided to retrieve the object.",
        ObjectNotReadable,
        Disposition.PERMANENT,
        "SSE-KMS",
    ),
    ("KMS.DisabledException", 400, "arn:aws:kms:k is disabled.", KeyNotUsable, Disposition.RETRY, "Enable"),
    (
        "KMS.KMSInvalidStateException",
        400,
        "k is going away.",
        KeyNotUsable,
        Disposition.RETRY,
        "cancel",
    ),
    (
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
        ObjectReadInterrupted,
        Disposition.RETRY,
        "clock",
    ),
    (
        "AccessDenied",
        403,
        "User: r is not authorized to perform: kms:Decrypt on resource: k",
        ObjectAccessDenied,
        Disposition.PERMANENT,
        "kms:Decrypt",
    ),
]


@every_way
@pytest.mark.parametrize(
    ("code", "status", "message", "expected", "disposition", "hint"), ERRORS_WITH_MESSAGES
)
@pytest.mark.parametrize("head", ["says nothing", "says it", "is fine"])
def test_error_message_of_s3_is_in_the_reason(
    code: str,
    status: int,
    message: str,
    expected: type[ObjectReadError],
    disposition: Disposition,
    hint: str,
    head: str,
    read: Read,
) -> None:
    error = client_error(code, status)
    error.response["Error"]["Message"] = message
    no_body = client_error(str(status), status)
    no_body.response["Error"]["Message"] = "Forbidden"

    class Refusing(MemoryS3):
        def get_object(self, **request: Any) -> Any:
            raise error

        def head_object(self, **request: Any) -> Any:
            if head == "is fine":
                return super().head_object(**request)
            raise no_body if head == "says nothing" else error

    with pytest.raises(expected) as raised:
        read(Refusing({"a": DATA}), REF)
    assert type(raised.value) is expected
    assert raised.value.disposition is disposition
    assert f"({code}: {message})" in raised.value.reason
    assert hint in raised.value.hint


@every_way
@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")]
)
def test_unexpected_exception_of_the_sdk_is_an_interruption(error: Exception, read: Read) -> None:
    class Raising:
        def get_object(self, **request: Any) -> Any:
            raise error

        head_object = get_object

    with pytest.raises(ObjectReadInterrupted, match=type(error).__name__):
        read(Raising(), REF)


@every_way
@pytest.mark.parametrize(("error", "expected", "disposition"), CLASSIFIED)
def test_s3_error_is_classified_and_names_the_object(
    error: Exception, expected: type[ObjectReadError], disposition: Disposition, read: Read
) -> None:
    class Refusing:
        def get_object(self, **request: Any) -> Any:
            raise error

        head_object = get_object

    with pytest.raises(expected, match="s3://bucket/a") as raised:
        read(Refusing(), REF)
    assert raised.value.disposition is disposition
    assert raised.value.hint


@pytest.mark.parametrize(("error", "expected", "disposition"), CLASSIFIED)
def test_s3_error_of_a_later_read_is_classified(
    error: Exception, expected: type[ObjectReadError], disposition: Disposition
) -> None:
    class RefusesReads(MemoryS3):
        def get_object(self, **request: Any) -> Any:
            raise error

    source = ObjectReader(RefusesReads({"a": DATA}), REF)
    with pytest.raises(expected, match="s3://bucket/a") as raised:
        list(source.blocks([(0, len(DATA))], BLOCK))
    assert raised.value.disposition is disposition


# --- pinned reads ---


@every_way
def test_every_request_is_pinned_to_the_announced_etag(read: Read) -> None:
    s3 = MemoryS3({"a": DATA})
    read(s3, s3.ref("a"))
    assert {request["IfMatch"].strip('"') for request in (*s3.heads, *s3.requests)} == {s3.ref("a").etag}


@every_way
def test_every_request_names_version_and_etag(read: Read) -> None:
    s3 = MemoryS3({"a": DATA})
    read(s3, dataclasses.replace(s3.ref("a"), version_id="v1"))
    for request in (*s3.heads, *s3.requests):
        assert request["VersionId"] == "v1"
        # The version "null" can be overwritten.
        assert request["IfMatch"].strip('"') == s3.ref("a").etag


def test_object_announced_without_etag_is_pinned_to_the_first_response() -> None:
    s3 = MemoryS3({"a": DATA})
    in_ranges(s3, REF)
    assert "IfMatch" not in s3.heads[0]
    assert {request["IfMatch"].strip('"') for request in s3.requests} == {s3.ref("a").etag}


def test_version_announced_without_etag_is_pinned_to_the_first_response() -> None:
    s3 = MemoryS3({"a": DATA})
    in_ranges(s3, dataclasses.replace(REF, version_id="null"))
    for request in s3.requests:
        assert (request["VersionId"], request["IfMatch"].strip('"')) == ("null", s3.ref("a").etag)


@pytest.mark.parametrize("quotes", ["", '"'])
@pytest.mark.parametrize("version_id", [None, "null"])
def test_resumed_object_is_pinned_to_the_etag_of_its_first_invocation(
    version_id: str | None, quotes: str
) -> None:
    ref = dataclasses.replace(REF, version_id=version_id)
    s3 = MemoryS3({"a": DATA})
    etag = ObjectReader(s3, ref).etag
    assert etag == s3.ref("a").etag
    ObjectReader(s3, ref, pinned_etag=f"{quotes}{etag}{quotes}")
    assert s3.heads[-1]["IfMatch"] == f'"{etag}"'
    s3.objects["a"] = DATA[::-1]
    with pytest.raises(ObjectChanged, match="overwritten"):
        ObjectReader(s3, ref, pinned_etag=etag)


@pytest.mark.parametrize("ref", [REF, dataclasses.replace(REF, etag="e1")], ids=["pinned", "announced"])
def test_response_with_another_etag_raises_although_the_condition_was_ignored(ref: ObjectRef) -> None:
    class Careless(MemoryS3):
        def head_object(self, **request: Any) -> dict[str, Any]:
            request.pop("IfMatch")
            return super().head_object(**request)

    with pytest.raises(ObjectChanged, match="its ETag is"):
        ObjectReader(Careless({"a": DATA}), ref, pinned_etag="e1")


@every_way
def test_empty_object_is_read_without_a_range(read: Read) -> None:
    s3 = MemoryS3({"a": b""})
    assert read(s3, s3.ref("a")) == b""
    assert not any("Range" in request for request in s3.requests)


def test_small_object_needs_one_request() -> None:
    s3 = MemoryS3({"a": DATA})
    read_whole(s3, s3.ref("a"))
    assert (len(s3.heads), len(s3.requests)) == (0, 1)
    assert s3.requests[0]["ChecksumMode"] == "ENABLED"


@pytest.mark.parametrize(
    "lie",
    [
        None,
        f"bytes 0-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 100-199/{len(DATA) + 1}",
        f"bytes 101-200/{len(DATA)}",
        f"bytes 100-198/{len(DATA)}",
    ],
)
def test_response_with_another_range_is_refused(lie: str | None) -> None:
    class Lying(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            return {**super().get_object(**request), "ContentRange": lie}

    s3 = Lying({"a": DATA})
    with pytest.raises(ObjectReadInterrupted, match="requested was 'bytes 100-199/262144'"):
        list(ObjectReader(s3, s3.ref("a")).blocks([(100, 100)], BLOCK))
    assert all(body.closed for body in s3.bodies)


# --- checksums ---


def full_crc32(data: bytes) -> dict[str, str]:
    value = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    return {"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": value}


@every_way
def test_composite_checksum_is_not_compared_as_a_full_object_checksum(read: Read) -> None:
    s3 = MemoryS3({"a": DATA}, checksums={"a": {"ChecksumType": "COMPOSITE", "ChecksumCRC32": "AAAAAA==-2"}})
    assert read(s3, s3.ref("a")) == DATA


def test_checksum_is_computed_without_a_stored_one() -> None:
    s3 = MemoryS3({"a": b"123456789"})
    source = ObjectReader(s3, s3.ref("a"))
    joined(source, [(0, 9)])
    assert crc_of(source) == ("CRC64NVME", "rosUhgp5mIg=")
    assert source.verify().verified_by == "none"
    assert read_whole(s3, s3.ref("a")).content == source.verify()


def test_incompletely_read_object_has_no_checksum() -> None:
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"))
    list(source.blocks([(0, len(DATA) - 1)], BLOCK))
    with pytest.raises(ValueError, match="bytes"):
        crc_of(source)
    with pytest.raises(ValueError, match="bytes"):
        source.verify()


# --- interruptions ---


@pytest.mark.parametrize("breaks", [[0], [1], [len(DATA) - 1], [len(DATA)], [1000, 0, 0, 0, 5], [1] * 50])
def test_broken_body_is_resumed_at_the_first_missing_byte(breaks: list[int]) -> None:
    s3 = MemoryS3({"a": DATA}, breaks=breaks, checksums={"a": full_crc32(DATA)})
    assert in_one_range(s3, s3.ref("a")) == DATA
    offset = 0
    for request, length in zip(s3.requests[1:], breaks, strict=False):
        offset += length
        assert request.get("Range") == (f"bytes={offset}-{len(DATA) - 1}" if offset else None)


@pytest.mark.parametrize("breaks", [[0], [1], [99], [100], [1000, 0, 0, 0, 5], [1] * 50])
def test_broken_range_is_resumed_within_its_bounds(breaks: list[int]) -> None:
    s3 = MemoryS3({"a": DATA}, breaks=breaks)
    source = ObjectReader(s3, s3.ref("a"))
    blocks = [(offset, bytes(block)) for offset, block in source.blocks([(500, 30_000)], BLOCK)]
    assert b"".join(block for _, block in blocks) == DATA[500:30_500]
    assert [offset for offset, _ in blocks] == [500, 10_500, 20_500]
    offset = 500
    for request, length in zip(s3.requests[1:], breaks, strict=False):
        offset += length
        assert request["Range"] == f"bytes={offset}-30499"


def test_object_that_changes_between_two_reads_raises_object_changed() -> None:
    class Changes(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            self.objects["a"] = DATA[::-1]
            return answer

    s3 = Changes({"a": DATA}, breaks=[1000])
    with pytest.raises(ObjectChanged):
        in_one_range(s3, s3.ref("a"))


def test_object_deleted_between_two_reads_raises_object_gone() -> None:
    class Goes(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            del self.objects["a"]
            return answer

    s3 = Goes({"a": DATA}, breaks=[1000])
    with pytest.raises(ObjectGone):
        in_one_range(s3, s3.ref("a"))


def test_body_without_progress_raises_source_interrupted() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[1000] + [0] * 99)
    with pytest.raises(ObjectReadInterrupted, match="at byte 1000"):
        in_one_range(s3, s3.ref("a"))
    assert len(s3.requests) < 10
    assert all(body.closed for body in s3.bodies)


def test_progress_resets_the_count_of_stalled_reads() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[0, 0, 0, 1] * 5)
    assert in_one_range(s3, s3.ref("a")) == DATA


INTERRUPTIONS = [
    ReadTimeoutError(endpoint_url="https://s3"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ConnectionResetError(),
    TimeoutError(),
]


class InterruptedOnce(MemoryS3):
    """The first body is interrupted by `error`."""

    error: Exception

    def get_object(self, **request: Any) -> dict[str, Any]:
        answer = super().get_object(**request)
        if len(self.requests) == 1:

            def read(amount: int = -1) -> bytes:
                raise self.error

            answer["Body"].read = read
        return answer


@pytest.mark.parametrize("error", INTERRUPTIONS)
def test_every_kind_of_interruption_is_resumed(error: Exception) -> None:
    s3 = InterruptedOnce({"a": DATA})
    s3.error = error
    assert in_ranges(s3, s3.ref("a")) == DATA


@pytest.mark.parametrize("error", INTERRUPTIONS)
def test_interrupted_small_object_raises_source_interrupted(error: Exception) -> None:
    s3 = InterruptedOnce({"a": DATA})
    s3.error = error
    with pytest.raises(ObjectReadInterrupted, match="s3://bucket/a"):
        read_whole(s3, s3.ref("a"))
    assert s3.bodies[0].closed


@pytest.mark.parametrize("difference", [-1, 1])
def test_small_object_of_unexpected_length_raises_source_interrupted(difference: int) -> None:
    class Lying(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            return {**answer, "ContentLength": answer["ContentLength"] + difference}

    s3 = Lying({"a": DATA})
    with pytest.raises(ObjectReadInterrupted, match=f"{len(DATA)} bytes were received"):
        read_whole(s3, s3.ref("a"))


def test_truncated_body_of_botocore_is_resumed() -> None:
    class Truncating(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            whole = DATA[len(DATA) - answer["ContentLength"] :]
            cut = whole[:5000] if len(self.requests) < 3 else whole
            return {**answer, "Body": StreamingBody(io.BytesIO(cut), len(whole))}

    s3 = Truncating({"a": DATA})
    assert in_one_range(s3, s3.ref("a")) == DATA
    end = len(DATA) - 1
    assert [request.get("Range") for request in s3.requests] == [
        None,
        f"bytes=5000-{end}",
        f"bytes=10000-{end}",
    ]


def test_body_that_ends_early_without_an_error_is_resumed() -> None:
    class EndsEarly(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            return (
                {**answer, "Body": io.BytesIO(answer["Body"].read(5000))}
                if len(self.requests) < 2
                else answer
            )

    s3 = EndsEarly({"a": DATA})
    assert in_ranges(s3, s3.ref("a")) == DATA


@every_way
def test_every_body_is_closed(read: Read) -> None:
    s3 = MemoryS3({"a": DATA})
    read(s3, s3.ref("a"))
    assert s3.bodies
    assert all(body.closed for body in s3.bodies)


# --- reading ahead ---


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "s3-reader"]


def buffers_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives the size of each new buffer."""
    made: list[int] = []

    class Counted(bytearray):
        def __init__(self, size: int) -> None:
            made.append(size)
            super().__init__(size)

    monkeypatch.setattr(read_ahead, "bytearray", Counted, raising=False)
    monkeypatch.setattr(object_reader, "bytearray", Counted, raising=False)
    return made


def test_buffers_are_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = buffers_made(monkeypatch)
    s3 = MemoryS3({"a": DATA})
    assert joined(ObjectReader(s3, s3.ref("a")), ranges_of(len(DATA), 2900)) == DATA
    assert 1 <= len(made) <= read_ahead._BUFFERS
    assert set(made) == {BLOCK * read_ahead.BLOCKS_PER_BUFFER}


@pytest.mark.parametrize(
    ("block", "expected"), [(1000, 4000), (32 * 1024, 128 * 1024), (261_120, 261_120), (1 << 20, 1 << 20)]
)
def test_range_up_to_the_end_takes_one_small_buffer(
    block: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = buffers_made(monkeypatch)
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"))
    assert b"".join(bytes(data) for _, data in source.blocks([(0, len(DATA))], block)) == DATA
    assert made == [expected]
    crc_of(source)


def test_range_up_to_the_end_is_read_without_a_thread() -> None:
    s3 = MemoryS3({"a": DATA})
    blocks = ObjectReader(s3, s3.ref("a")).blocks([(500, len(DATA) - 500)], BLOCK)
    offset, block = next(blocks)
    assert (offset, bytes(block)) == (500, DATA[500 : 500 + BLOCK])
    assert readers() == []
    blocks.close()
    assert [body.closed for body in s3.bodies] == [True]


def test_range_up_to_the_end_is_read_ahead_on_demand() -> None:
    s3 = MemoryS3({"a": DATA})
    blocks = ObjectReader(s3, s3.ref("a")).blocks([(0, len(DATA))], BLOCK, read_ahead=True)
    next(blocks)
    assert len(readers()) == 1
    blocks.close()
    wait_until(lambda: not readers())


def test_bytes_read_ahead_are_bounded_by_the_buffers() -> None:
    s3 = MemoryS3({"a": DATA})
    block = 256
    blocks = ObjectReader(s3, s3.ref("a")).blocks(ranges_of(len(DATA), 512), block)
    next(blocks)
    ahead = read_ahead._BUFFERS  # a buffer holds bytes of one range only
    wait_until(lambda: len(s3.requests) >= ahead)
    read_blocks = [next(blocks) for _ in range(1)]
    assert read_blocks[0][0] == block
    assert len(s3.requests) <= ahead + 1
    blocks.close()  # type: ignore[attr-defined] # it is a generator
    wait_until(lambda: not readers())
    assert len(s3.requests) <= ahead + 2


def test_block_is_unchanged_until_the_next_one_is_requested() -> None:
    s3 = MemoryS3({"a": DATA})
    blocks = ObjectReader(s3, s3.ref("a")).blocks(ranges_of(len(DATA), 256), 256)
    buffers = read_ahead._BUFFERS  # each holds bytes of one range
    for number in range(buffers):
        _, block = next(blocks)
        wait_until(lambda ahead=number + buffers: len(s3.requests) >= ahead)  # type: ignore[misc] # its default
        time.sleep(0.02)  # a reader that reused the buffer too early would have overwritten it by now
        assert block == DATA[256 * number :][:256]
        assert len(s3.requests) <= number + buffers + 1
    blocks.close()  # type: ignore[attr-defined] # it is a generator


def test_memory_does_not_grow_with_the_object() -> None:
    data = bytes(8 * 1024 * 1024)
    s3 = MemoryS3({"a": data})
    source = ObjectReader(s3, s3.ref("a"))
    tracemalloc.start()
    try:
        for _ in source.blocks([(0, len(data))], 32 * 1024):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The client in memory keeps a copy of each body: one range here, as long as the object.
    assert peak - len(data) < 1024 * 1024


def test_next_range_is_requested_while_one_is_sent() -> None:
    s3 = MemoryS3({"a": DATA})
    blocks = ObjectReader(s3, s3.ref("a")).blocks(ranges_of(len(DATA), BLOCK), BLOCK)
    next(blocks)
    wait_until(lambda: len(s3.requests) >= 2)
    assert s3.requests[1]["Range"].startswith(f"bytes={BLOCK}-")
    blocks.close()  # type: ignore[attr-defined] # it is a generator


def test_nothing_is_read_before_the_first_block_is_requested() -> None:
    s3 = MemoryS3({"a": DATA})
    ObjectReader(s3, s3.ref("a")).blocks([(0, 10)], BLOCK)
    assert s3.requests == []


def test_no_range_is_taken_after_close() -> None:
    s3 = MemoryS3({"a": DATA})
    read_blocks: list[int] = []

    def ranges() -> Iterator[tuple[int, int]]:
        for start in range(0, len(DATA), 100):
            read_blocks.append(start)
            yield start, 100

    blocks = ObjectReader(s3, s3.ref("a")).blocks(ranges(), BLOCK)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined] # it is a generator
    until_then = len(read_blocks)
    wait_until(lambda: not readers())
    assert len(read_blocks) == until_then < 10


def test_bodies_are_closed_after_close() -> None:
    s3 = MemoryS3({"a": DATA})
    blocks = ObjectReader(s3, s3.ref("a")).blocks([(0, len(DATA))], 100)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined] # it is a generator
    wait_until(lambda: not readers())
    assert all(body.closed for body in s3.bodies)


def test_close_does_not_wait_for_a_hanging_read() -> None:
    hangs, let_go = threading.Event(), threading.Event()

    class Hanging(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            if len(self.requests) == 1:
                hangs.set()
                assert let_go.wait(SOON)
            return super().get_object(**request)

    s3 = Hanging({"a": DATA})
    blocks = ObjectReader(s3, s3.ref("a")).blocks(ranges_of(len(DATA), 100), BLOCK)
    next(blocks)
    assert hangs.wait(SOON)
    blocks.close()  # type: ignore[attr-defined] # it is a generator
    let_go.set()
    wait_until(lambda: not readers())
    assert len(s3.requests) == 2


def test_error_of_the_ranges_is_raised_to_the_consumer() -> None:
    def ranges() -> Iterator[tuple[int, int]]:
        yield 0, 10
        raise ValueError("no more")

    s3 = MemoryS3({"a": DATA})
    with pytest.raises(ValueError, match="no more"):
        list(ObjectReader(s3, s3.ref("a")).blocks(ranges(), BLOCK))


@pytest.mark.parametrize("max_write", [1000, 100_000, 261_120])
def test_reused_buffers_are_safe_with_the_writer(max_write: int) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(500_000))
    s3 = MemoryS3({"a": data}, breaks=[123_456, 1, 0, 77])
    source = ObjectReader(s3, s3.ref("a"))
    server = ScriptedServer(max_write=max_write)
    session = server.session()
    blocks = source.blocks(ranges_of(len(data), 300_000), session.max_write_bytes)
    handle = result_of(session, session.create("a"))
    session.run_one(write_and_close(session, handle, blocks, path="a"))
    assert server.files["a"] == data
    assert server.asked[-1].kind == Request.CLOSE


def test_several_threads_may_read_one_object() -> None:
    s3 = MemoryS3({"a": DATA}, checksums={"a": full_crc32(DATA)})
    source = ObjectReader(s3, s3.ref("a"))
    ranges = ranges_of(len(DATA), 1000)
    data = bytearray(len(DATA))

    def read(stream: int) -> None:
        for offset, block in source.blocks(ranges[stream::4], 300):
            data[offset : offset + len(block)] = block

    threads = [threading.Thread(target=read, args=(stream,)) for stream in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert data == DATA
    crc_of(source)


# --- partial reads ---


def read_blocks(
    source: ObjectReader, ranges: list[tuple[int, int]], blocks: int, *, read_ahead: bool = False
) -> int:
    """Read this many blocks, then close; return the number of their bytes."""
    reading = source.blocks(ranges, BLOCK, read_ahead=read_ahead)
    count = sum(len(block) for _, block in itertools.islice(reading, blocks))
    reading.close()
    wait_until(lambda: not readers())
    return count


@pytest.mark.parametrize("read_ahead_too", [False, True])
@pytest.mark.parametrize("blocks", range(10))
def test_partial_checksum_excludes_bytes_that_were_only_read_ahead(
    blocks: int, *, read_ahead_too: bool
) -> None:
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"))
    given = read_blocks(source, [(0, len(DATA))], blocks, read_ahead=read_ahead_too)
    so_far = source.checksum_up_to(len(DATA))
    assert so_far.size <= given
    assert given - so_far.size <= BLOCK * read_ahead.BLOCKS_PER_BUFFER
    assert so_far.crc == RangeChecksum("CRC64NVME").of(DATA[: so_far.size])


def test_partial_checksum_ends_at_the_limit() -> None:
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"))
    joined(source, ranges_of(len(DATA), 50_000))
    assert [source.checksum_up_to(limit).size for limit in (0, 49_999, 50_000, 99_999, len(DATA))] == [
        0,
        4 * BLOCK,  # whole blocks
        50_000,
        9 * BLOCK,
        len(DATA),
    ]


@pytest.mark.parametrize("at", [50_000, 200_000, len(DATA)])
def test_object_is_resumed_by_another_reader(at: int) -> None:
    s3 = MemoryS3({"a": DATA}, checksums={"a": full_crc32(DATA)})
    first = ObjectReader(s3, s3.ref("a"))
    joined(first, ranges_of(at, 50_000))
    so_far = first.checksum_up_to(at)
    assert so_far == ChecksumSoFar(size=at, algorithm="CRC32", crc=zlib.crc32(DATA[:at]))
    second = ObjectReader(s3, s3.ref("a"), before=so_far)
    assert second.start == at
    s3.requests.clear()
    joined(second, [(at, len(DATA) - at)] if at < len(DATA) else [])
    assert all(request["Range"].startswith(f"bytes={at}-") for request in s3.requests)
    assert crc_of(second)[0] == "CRC32"


def test_corruption_before_the_checkpoint_is_detected() -> None:
    s3 = MemoryS3({"a": DATA}, checksums={"a": full_crc32(DATA)})
    before = ChecksumSoFar(size=1000, algorithm="CRC32", crc=zlib.crc32(b"?" * 1000))
    source = ObjectReader(s3, s3.ref("a"), before=before)
    joined(source, [(1000, len(DATA) - 1000)])
    with pytest.raises(ObjectCorrupt):
        crc_of(source)


def test_checkpoint_with_another_checksum_algorithm_is_ignored() -> None:
    s3 = MemoryS3({"a": DATA}, checksums={"a": full_crc32(DATA)})
    before = ChecksumSoFar(size=1000, algorithm="CRC64NVME", crc=5)
    source = ObjectReader(s3, s3.ref("a"), before=before)
    assert source.start == 0
    joined(source, [(0, len(DATA))])
    crc_of(source)


# --- SHA-256 ---


@pytest.mark.parametrize("size", [0, 1, BLOCK, len(DATA)])
@pytest.mark.parametrize("breaks", [[], [5, 0, 1000]])
def test_sha256_is_computed_from_the_bytes(size: int, breaks: list[int]) -> None:
    s3 = MemoryS3({"a": DATA[:size]}, breaks=list(breaks))
    source = ObjectReader(s3, s3.ref("a"), sha256=True)
    joined(source, ranges_of(size, 70_000))
    assert source.verify().sha256 == hashlib.sha256(DATA[:size]).hexdigest()


def test_sha256_is_empty_unless_it_is_requested() -> None:
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"))
    joined(source, [(0, len(DATA))])
    assert source.verify().sha256 == ""


def test_sha256_is_empty_for_bytes_in_another_order() -> None:
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"), sha256=True)
    joined(source, [(100, len(DATA) - 100), (0, 100)])
    assert source.verify().sha256 == ""


@pytest.mark.parametrize(
    "ranges",
    [[(0, 100)], [(0, 100), (50, len(DATA) - 50)], [(0, 100), (200, len(DATA) - 200)]],
    ids=["not all", "some twice", "a hole"],
)
def test_content_is_not_verified_unless_every_byte_was_read_once(ranges: list[tuple[int, int]]) -> None:
    s3 = MemoryS3({"a": DATA})
    source = ObjectReader(s3, s3.ref("a"), sha256=True)
    joined(source, ranges)
    with pytest.raises(ValueError, match="bytes of"):
        source.verify()


def test_sha256_is_empty_for_a_resumed_object() -> None:
    s3 = MemoryS3({"a": DATA})
    before = ChecksumSoFar(size=1000, algorithm="CRC64NVME", crc=RangeChecksum("CRC64NVME").of(DATA[:1000]))
    source = ObjectReader(s3, s3.ref("a"), before=before, sha256=True)
    joined(source, [(1000, len(DATA) - 1000)])
    crc_of(source)
    assert source.verify().sha256 == ""
