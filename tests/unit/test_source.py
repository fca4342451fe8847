"""The bytes are those of the announced version, all of them, in order, however often S3 breaks off."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, IncompleteReadError, ReadTimeoutError
from botocore.response import StreamingBody
from moto import mock_aws

from s3_to_sftp.errors import (
    Disposition,
    ObjectChanged,
    ObjectGone,
    SourceDenied,
    SourceError,
    SourceInterrupted,
)
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.source import BLOCK_BYTES, OpenObject
from tests.memory_s3 import BUCKET, MemoryS3, client_error

DATA = bytes(range(256)) * 1024
REF = ObjectRef(bucket=BUCKET, key="a")


def read_all(client: Any, ref: ObjectRef) -> bytes:
    source = OpenObject(client, ref)
    data = b"".join(source.blocks())
    source.insist_on_size(len(data))
    source.close()
    return data


# --- against moto: what S3 itself answers ---


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def put(s3: Any, data: bytes, key: str = "a") -> ObjectRef:
    """Put the object and announce it as S3 does."""
    answer = s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    return ObjectRef(
        bucket=BUCKET,
        key=key,
        etag=answer["ETag"].strip('"'),
        version_id=answer.get("VersionId"),
        size=len(data),
    )


def versioned(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_object_of_any_size_is_read_whole(size: int, s3: Any) -> None:
    data = (DATA * 13)[:size]
    assert read_all(s3, put(s3, data)) == data


def test_no_block_is_longer_than_announced(s3: Any) -> None:
    source = OpenObject(s3, put(s3, bytes(3 * BLOCK_BYTES)))
    assert max(map(len, source.blocks())) == BLOCK_BYTES


@pytest.mark.parametrize("key", ["a b+ü(1)&%41.csv", "🚀", "in/box", "a//b"])
def test_odd_key_is_read(key: str, s3: Any) -> None:
    assert read_all(s3, put(s3, DATA, key)) == DATA


def test_announced_version_is_read_though_a_newer_one_is_there(s3: Any) -> None:
    versioned(s3)
    old = put(s3, b"old")
    put(s3, b"newer")
    assert read_all(s3, old) == b"old"


def test_announced_version_is_read_though_the_key_was_deleted(s3: Any) -> None:
    versioned(s3)
    ref = put(s3, b"old")
    s3.delete_object(Bucket=BUCKET, Key="a")
    assert read_all(s3, ref) == b"old"


def test_overwritten_object_is_not_sent_under_the_older_event(s3: Any) -> None:
    old = put(s3, b"old")
    put(s3, b"newer")
    with pytest.raises(ObjectChanged, match="overwritten"):
        OpenObject(s3, old)


def test_etag_in_quotes_is_the_same_etag(s3: Any) -> None:
    ref = put(s3, b"data")
    assert read_all(s3, dataclasses.replace(ref, etag=f'"{ref.etag}"')) == b"data"


def test_deleted_object_is_gone(s3: Any) -> None:
    ref = put(s3, b"old")
    s3.delete_object(Bucket=BUCKET, Key="a")
    with pytest.raises(ObjectGone, match="not in S3 any more"):
        OpenObject(s3, ref)


def test_deleted_version_is_gone(s3: Any) -> None:
    versioned(s3)
    ref = put(s3, b"old")
    s3.delete_object(Bucket=BUCKET, Key="a", VersionId=ref.version_id)
    with pytest.raises(ObjectGone):
        OpenObject(s3, ref)


def test_delete_marker_as_version_is_gone(s3: Any) -> None:
    versioned(s3)
    ref = put(s3, b"old")
    marker = s3.delete_object(Bucket=BUCKET, Key="a")["VersionId"]
    with pytest.raises(ObjectGone):
        OpenObject(s3, dataclasses.replace(ref, version_id=marker))


def test_missing_bucket_is_gone(s3: Any) -> None:
    with pytest.raises(ObjectGone, match="s3://elsewhere/a"):
        OpenObject(s3, ObjectRef(bucket="elsewhere", key="a"))


# --- answers that moto does not give ---


@pytest.mark.parametrize(
    ("error", "expected", "disposition"),
    [
        (client_error("AccessDenied", 403), SourceDenied, Disposition.PERMANENT),
        (client_error("403", 403), SourceDenied, Disposition.PERMANENT),
        (client_error("NoSuchVersion", 404), ObjectGone, Disposition.PERMANENT),
        (client_error("MethodNotAllowed", 405), ObjectGone, Disposition.PERMANENT),
        (client_error("PreconditionFailed", 412), ObjectChanged, Disposition.PERMANENT),
        (client_error("SlowDown", 503), SourceInterrupted, Disposition.RETRY),
        (client_error("InternalError", 500), SourceInterrupted, Disposition.RETRY),
        (ConnectTimeoutError(endpoint_url="https://s3"), SourceInterrupted, Disposition.RETRY),
        (ConnectionResetError("reset"), SourceInterrupted, Disposition.RETRY),
    ],
)
def test_answer_of_s3_is_classified_and_names_the_object(
    error: Exception, expected: type[SourceError], disposition: Disposition
) -> None:
    class Refusing:
        def get_object(self, **request: Any) -> Any:
            raise error

    with pytest.raises(expected, match="s3://bucket/a") as raised:
        OpenObject(Refusing(), REF)
    assert raised.value.disposition is disposition
    assert raised.value.hint


# --- pins ---


def test_first_read_is_pinned_to_the_announced_etag() -> None:
    s3 = MemoryS3({"a": DATA})
    read_all(s3, s3.ref("a"))
    (request,) = s3.requests
    assert request["IfMatch"].strip('"') == s3.ref("a").etag
    assert "Range" not in request


def test_version_wins_over_the_etag() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[1000])
    read_all(s3, dataclasses.replace(s3.ref("a"), version_id="v1"))
    assert [request["VersionId"] for request in s3.requests] == ["v1", "v1"]


def test_empty_object_is_never_asked_for_by_range() -> None:
    s3 = MemoryS3({"a": b""})
    assert read_all(s3, s3.ref("a")) == b""
    assert len(s3.requests) == 1


# --- breaks ---


@pytest.mark.parametrize("breaks", [[0], [1], [len(DATA) - 1], [len(DATA)], [1000, 0, 0, 0, 5], [1] * 50])
def test_broken_body_is_resumed_at_the_first_missing_byte(breaks: list[int]) -> None:
    s3 = MemoryS3({"a": DATA}, breaks=breaks)
    assert read_all(s3, s3.ref("a")) == DATA
    offset = 0
    for request, length in zip(s3.requests[1:], breaks, strict=False):
        offset += length
        assert request.get("Range") == (f"bytes={offset}-" if offset else None)


def test_announced_without_etag_is_resumed_with_the_etag_of_the_first_answer() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[1000])
    read_all(s3, REF)
    assert "IfMatch" not in s3.requests[0]
    assert s3.requests[1]["IfMatch"].strip('"') == s3.ref("a").etag


def test_object_that_changes_between_two_reads_is_not_mixed() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[1000])
    blocks = OpenObject(s3, s3.ref("a")).blocks()
    next(blocks)
    s3.objects["a"] = DATA[::-1]
    with pytest.raises(ObjectChanged):
        list(blocks)


def test_object_that_goes_between_two_reads_is_gone() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[1000])
    blocks = OpenObject(s3, s3.ref("a")).blocks()
    next(blocks)
    del s3.objects["a"]
    with pytest.raises(ObjectGone):
        list(blocks)


def test_body_that_breaks_off_without_a_new_byte_is_given_up() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[1000] + [0] * 99)
    with pytest.raises(SourceInterrupted, match=f"at byte 1000 of {len(DATA)}"):
        read_all(s3, s3.ref("a"))
    assert len(s3.requests) < 10


def test_progress_starts_the_count_of_fruitless_reads_again() -> None:
    s3 = MemoryS3({"a": DATA}, breaks=[0, 0, 0, 1] * 5)
    assert read_all(s3, s3.ref("a")) == DATA


def broken(error: Exception) -> Callable[[int], bytes]:
    def read(amount: int) -> bytes:
        raise error

    return read


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://s3"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_every_kind_of_break_is_resumed(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = MemoryS3({"a": DATA})
    source = OpenObject(s3, s3.ref("a"))
    monkeypatch.setattr(s3.bodies[0], "read", broken(error))
    assert b"".join(source.blocks()) == DATA


def test_truncated_body_of_botocore_is_resumed() -> None:
    class Truncating(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            whole = DATA[len(DATA) - answer["ContentLength"] :]
            cut = whole[:5000] if len(self.requests) < 3 else whole
            return {**answer, "Body": StreamingBody(io.BytesIO(cut), len(whole))}

    s3 = Truncating({"a": DATA})
    assert read_all(s3, s3.ref("a")) == DATA
    assert [request.get("Range") for request in s3.requests] == [None, "bytes=5000-", "bytes=10000-"]


def test_body_that_just_ends_too_early_is_resumed() -> None:
    class Silent(MemoryS3):
        def get_object(self, **request: Any) -> dict[str, Any]:
            answer = super().get_object(**request)
            return (
                {**answer, "Body": io.BytesIO(answer["Body"].read(5000))}
                if len(self.requests) < 2
                else answer
            )

    s3 = Silent({"a": DATA})
    assert read_all(s3, s3.ref("a")) == DATA


@pytest.mark.parametrize("written", [0, len(DATA) - 1, len(DATA) + 1])
def test_other_number_of_bytes_than_the_object_has_is_insisted_against(written: int) -> None:
    s3 = MemoryS3({"a": DATA})
    with pytest.raises(SourceInterrupted, match=f"{written} bytes"):
        OpenObject(s3, s3.ref("a")).insist_on_size(written)


def test_closing_gives_the_connection_back() -> None:
    s3 = MemoryS3({"a": DATA})
    OpenObject(s3, s3.ref("a")).close()
    assert s3.bodies[0].closed
