"""Reads the version of an object that an event names, every byte of that version only."""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from s3_to_sftp.errors import ObjectReadInterrupted
from s3_to_sftp.s3.checksum import ChecksumSoFar
from s3_to_sftp.s3.client_errors import (
    HEAD_HAS_NO_BODY,
    changed,
    error_of,
    interrupted,
    status_of,
    unreachable,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.persistent_body import PersistentBody
from s3_to_sftp.s3.read_ahead import BLOCKS_PER_BUFFER, FilledBuffer, Range, ReadAhead
from s3_to_sftp.s3.stored_checksum import part_ends_of, stored_checksum
from s3_to_sftp.s3.verification import Verification, VerifiedContent
from s3_to_sftp.untrusted_text import quoted

__all__ = ["ChecksumSoFar", "ObjectReader", "SmallObject", "read_whole", "require_current"]

_INLINE_BUFFER_BYTES = 256 * 1024
"""Of what is not read ahead: about one WRITE, still in the processor's cache when it is sent."""


class SmallObject(NamedTuple):
    """A small object in memory.

    Attributes:
        data: Its bytes.
        content: Their size and checksums.
    """

    data: bytes
    content: VerifiedContent


class ObjectReader:
    """The bytes of one object version, readable from any offset by several threads at a time.

    Every read is pinned to the VersionId of the event and to the ETag that was seen first, so that the bytes
    are always those of one version.

    Attributes:
        ref: What the event names.
        etag: Of the bytes, without quotes.
        size: Bytes.
        start: Offset of the first byte that has not been counted before.
        position: About how many bytes were sent so far, those before `start` included: for people, not exact.
    """

    def __init__(
        self,
        client: Any,
        ref: ObjectRef,
        *,
        pinned_etag: str | None = None,
        before: ChecksumSoFar | None = None,
        sha256: bool = False,
    ) -> None:
        """Ask S3 for the object.

        Args:
            client: boto3's S3 client.
            ref: What the event names.
            pinned_etag: The `etag` of an earlier invocation whose upload is resumed. Needed where neither
                VersionId nor ETag is in the event.
            before: The checksum of its first bytes, if they were read another time and are not read again.
            sha256: Compute the SHA-256, too, which takes all bytes in order.

        Raises:
            ObjectReadError: Gone, changed or forbidden.
        """
        self.ref = ref
        self._client = client
        answer = _head(client, ref, _pin(ref, pinned_etag))
        self.etag: str = _unquoted(answer["ETag"])
        if any(etag and _unquoted(etag) != self.etag for etag in (pinned_etag, ref.etag)):
            raise changed(ref, f"its ETag is {self.etag}")
        self.size: int = answer["ContentLength"]
        stored = stored_checksum(answer)
        ends = part_ends_of(client, ref, stored, etag=self.etag, size=self.size) if stored else ()
        self._verification = Verification(
            ref, size=self.size, stored=stored, part_ends=ends, before=before, sha256=sha256
        )
        self.start = self.position = self._verification.start

    def blocks(
        self, ranges: Iterable[Range], block_bytes: int, *, read_ahead: bool = False
    ) -> Generator[tuple[int, memoryview], None, None]:
        """Yield offset and bytes of each block of the ranges, in order.

        A block is valid until the next one is asked for: its memory is reused.

        Ranges are read ahead by a thread: the next one is requested while this one is sent. Where the first
        one is all that is left there is none to request: it is read between the blocks, and meanwhile the
        kernel receives.

        Args:
            ranges: Offset and length of each range, requested one by one as there is room.
            block_bytes: Bytes per block; the last of a range may be shorter.
            read_ahead: Read in a thread also what is all that is left, for callers that compute meanwhile.

        Raises:
            ObjectReadError: Gone, changed, forbidden, or S3 keeps closing the connection.
        """
        with contextlib.closing(self._filled(iter(ranges), block_bytes, read_ahead=read_ahead)) as buffers:
            for counted, offset, view in buffers:
                for at in range(0, len(view), block_bytes):
                    yield offset + at, view[at : at + block_bytes]
                # Only now: what was read ahead and never sent is not counted.
                self._verification.add(counted)
                self.position += len(view)

    def _filled(
        self, ranges: Iterator[Range], block_bytes: int, *, read_ahead: bool
    ) -> Generator[FilledBuffer, None, None]:
        first = next(ranges, None)
        if first is None:
            return
        ranges = itertools.chain([first], ranges)
        if sum(first) == self.size and not read_ahead:
            buffer = bytearray(block_bytes * _blocks_inline(block_bytes))
            for range_ in ranges:
                yield from self._fill(range_, lambda: buffer)
            return
        reader = ReadAhead(self._fill, ranges, block_bytes * BLOCKS_PER_BUFFER)
        try:
            yield from reader.filled()
        finally:
            reader.stop()

    def verify(self) -> VerifiedContent:
        """Compare all that was read with the checksum that S3 has stored.

        Raises:
            ObjectCorrupt: They do not agree.
            ValueError: Not all was read.
        """
        return self._verification.content()

    def checksum_up_to(self, limit: int) -> ChecksumSoFar:
        """Return the checksum of the first bytes, as many as were sent without a gap, at most `limit`."""
        return self._verification.up_to(limit)

    def _fill(self, range_: Range, free: Callable[[], bytearray]) -> Generator[FilledBuffer, None, None]:
        """Read one range into free buffers; yield each when it is full, with what is to be counted."""
        offset, length = range_
        end = offset + length
        reader = self._verification.reader(offset)
        whole = PersistentBody(self.ref, self.open, position=offset, end=end)
        with contextlib.closing(whole) as body:
            while offset < end:
                view = memoryview(free())[: end - offset]
                body.read_into(view)
                yield reader.update(view), offset, view
                offset += len(view)

    def open(self, start: int, end: int) -> Any:
        """Return the body of the bytes from `start` up to `end`.

        Raises:
            ObjectReadError: Gone, changed, forbidden, or S3 answers with other bytes.
        """
        pin = _pin(self.ref, self.etag)
        if (start, end) == (0, self.size):
            return _ask(self._client.get_object, self.ref, **pin)["Body"]
        answer = _ask(self._client.get_object, self.ref, Range=f"bytes={start}-{end - 1}", **pin)
        expected = f"bytes {start}-{end - 1}/{self.size}"
        if answer.get("ContentRange") != expected:
            answer["Body"].close()
            raise ObjectReadInterrupted(
                f"S3 returned {answer.get('ContentRange')!r} of {self.ref}, requested was {expected!r}.",
                hint="It will be retried.",
            )
        return answer["Body"]


def _blocks_inline(block_bytes: int) -> int:
    """Return how many blocks are read at a time: no more than when they are read ahead."""
    return max(1, min(BLOCKS_PER_BUFFER, _INLINE_BUFFER_BYTES // block_bytes))


def read_whole(client: Any, ref: ObjectRef, *, sha256: bool = False) -> SmallObject:
    """Read a small object with one request; with another one for its parts where its checksum is of several.

    Raises:
        ObjectReadError: Gone, changed, forbidden, not the bytes that S3 has a checksum of, or interrupted.
    """
    answer = _ask(client.get_object, ref, ChecksumMode="ENABLED", **_pin(ref))
    body = answer["Body"]
    try:
        data: bytes = body.read()
    except Exception as error:  # noqa: BLE001 - botocore, urllib3, http.client: each has its own
        raise interrupted(ref, quoted(error)) from None
    finally:
        body.close()
    if len(data) != answer["ContentLength"]:
        raise interrupted(ref, f"{len(data)} bytes were received, ContentLength is {answer['ContentLength']}")
    stored = stored_checksum(answer)
    etag = _unquoted(answer["ETag"])
    ends = part_ends_of(client, ref, stored, etag=etag, size=len(data)) if stored else ()
    verification = Verification(ref, size=len(data), stored=stored, part_ends=ends, sha256=sha256)
    verification.add(verification.reader(0).update(data))
    return SmallObject(data, verification.content())


def require_current(client: Any, ref: ObjectRef) -> None:
    """Ask S3 whether the version is still the one that its key stands for.

    Raises:
        ObjectChanged: The key has a newer version.
        ObjectReadError: The key is gone, or S3 does not tell.
    """
    current = _head(client, ref, {})
    if ref.version_id not in {None, "", "null"}:
        if current.get("VersionId") != ref.version_id:
            raise changed(ref, f"its current version is {current.get('VersionId')}")
    elif ref.etag and _unquoted(current["ETag"]) != _unquoted(ref.etag):
        raise changed(ref, f"its ETag is {_unquoted(current['ETag'])}")


def _pin(ref: ObjectRef, etag: str | None = None) -> dict[str, str]:
    pin = {"VersionId": ref.version_id} if ref.version_id else {}
    # The ETag as well: the version "null" of a bucket with suspended versioning can be overwritten.
    expected = ref.etag or etag
    return {**pin, "IfMatch": f'"{_unquoted(expected)}"'} if expected else pin


def _unquoted(etag: str) -> str:
    return etag.strip('"')


def _head(client: Any, ref: ObjectRef, pin: dict[str, str]) -> dict[str, Any]:
    """Ask S3 for the object's properties; where it refuses, for its reason, too: HEAD has none.

    Raises:
        ObjectReadError: Gone, changed, forbidden, not readable.
    """
    try:
        return _answered(client.head_object, ref, ChecksumMode="ENABLED", **pin)
    except ClientError as error:
        raise error_of(_with_reason(client, ref, pin, error), ref) from None


def _with_reason(client: Any, ref: ObjectRef, pin: dict[str, str], error: ClientError) -> ClientError:
    """Return the refusal of a HEAD with S3's own words, where a GET gets them; else as it is."""
    if status_of(error) in HEAD_HAS_NO_BODY:
        with contextlib.suppress(ObjectReadInterrupted):
            try:  # needs the same permission; reads one byte if it succeeds after all
                _answered(client.get_object, ref, Range="bytes=0-0", **pin)["Body"].close()
            except ClientError as refused:
                return refused if status_of(refused) in HEAD_HAS_NO_BODY else error
    return error


def _ask(call: Callable[..., dict[str, Any]], ref: ObjectRef, **arguments: str) -> dict[str, Any]:
    try:
        return _answered(call, ref, **arguments)
    except ClientError as error:
        raise error_of(error, ref) from None


def _answered(call: Callable[..., dict[str, Any]], ref: ObjectRef, **arguments: str) -> dict[str, Any]:
    """Ask S3.

    Raises:
        ClientError: S3 refuses.
        ObjectReadInterrupted: There is no answer, or none that can be understood.
    """
    try:
        return call(Bucket=ref.bucket, Key=ref.key, **arguments)
    except ClientError:
        raise
    except Exception as error:  # noqa: BLE001 - botocore lets through what its parsers and urllib3 raise
        raise unreachable(ref, error) from None
