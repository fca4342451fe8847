"""Reads one announced version of an object: ranges ahead of the writer, in bounded memory."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from s3_to_sftp.errors import (
    KeyNotUsable,
    ObjectChanged,
    ObjectGone,
    ObjectNotReadable,
    SourceDenied,
    SourceError,
    SourceInterrupted,
)
from s3_to_sftp.s3.checksum import CRCS, ChecksumSoFar, CountedRange
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.stored_checksum import part_ends_of, stored_checksum
from s3_to_sftp.s3.verification import Verification, VerifiedContent
from s3_to_sftp.untrusted_text import quoted

__all__ = ["ChecksumSoFar", "ObjectReader", "SmallObject", "read_whole"]

_log = logging.getLogger(__name__)

_MOST_STALLED_READS = 4
"""So many times in a row may S3 break off without a single new byte."""

_BLOCKS_PER_BUFFER = 4
"""Blocks that are read in one go: with OpenSSH's limit about 1 MB."""

_BUFFERS = 3
"""Per stream: one being sent, one ready, one being filled. Memory of a large object, in all streams together:
streams x _BUFFERS x _BLOCKS_PER_BUFFER x bytes per block."""

_CHUNK_BYTES = 256 * 1024
"""Bytes per read of a body."""

Range = tuple[int, int]
_Filled = tuple[list[CountedRange], int, memoryview]
"""A full buffer: what is to be counted when it was sent; its offset; its bytes."""


class SmallObject(NamedTuple):
    """A small object in memory.

    Attributes:
        data: Its bytes.
        content: What they are.
    """

    data: bytes
    content: VerifiedContent


class ObjectReader:
    """The announced bytes, readable from any offset by several threads at a time.

    Every read is pinned to the announced VersionId and to the ETag that was seen first, so that the bytes are
    always those of one version.

    Attributes:
        ref: What was announced.
        etag: Of the bytes, without quotes.
        size: Bytes.
        stored: Algorithm and value of the full-object CRC that S3 has, if it has one.
        start: Offset of the first byte that has not been counted before.
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
            ref: What was announced.
            pinned_etag: The `etag` of an earlier invocation whose bytes are continued. Needed where neither
                VersionId nor ETag was announced.
            before: The checksum of its first bytes, if they were read another time and are not read again.
            sha256: Compute the SHA-256, too, which takes all bytes in order.

        Raises:
            SourceError: Gone, changed or forbidden.
        """
        self.ref = ref
        self._client = client
        answer = _head(client, ref, _pin(ref, pinned_etag))
        self.etag: str = _unquoted(answer["ETag"])
        if any(etag and _unquoted(etag) != self.etag for etag in (pinned_etag, ref.etag)):
            raise _told(_CHANGED, ref, f"its ETag is {self.etag}")
        self.size: int = answer["ContentLength"]
        stored = stored_checksum(answer)
        is_crc = stored is not None and not stored.parts and stored.algorithm in CRCS
        self.stored = (stored.algorithm, stored.value) if stored and is_crc else None
        ends = part_ends_of(client, ref, stored, etag=self.etag, size=self.size) if stored else ()
        self._verification = Verification(
            ref, size=self.size, stored=stored, part_ends=ends, before=before, sha256=sha256
        )
        self.start = self._verification.start

    def blocks(self, ranges: Iterable[Range], block_bytes: int) -> Iterator[tuple[int, memoryview]]:
        """Yield offset and bytes of each block of the ranges, in order, while the next ones are being read.

        A block is valid until the next one is asked for: its memory is used again.

        Args:
            ranges: Offset and length of each range, taken one by one as there is room.
            block_bytes: Bytes per block; the last of a range may be shorter.

        Raises:
            SourceError: Gone, changed, forbidden, or S3 keeps breaking off.
        """
        reader = _ReadAhead(self._fill, ranges, block_bytes * _BLOCKS_PER_BUFFER)
        try:
            for counted, offset, view in reader.filled():
                for at in range(0, len(view), block_bytes):
                    yield offset + at, view[at : at + block_bytes]
                # Only now: what was read ahead and never taken is not counted.
                self._verification.add(counted)
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
        """Return the checksum of the first bytes, as many as were taken without a gap, at most `limit`."""
        return self._verification.up_to(limit)

    def _fill(self, range_: Range, free: Callable[[], bytearray]) -> Iterator[_Filled]:
        """Read one range into free buffers; yield each when it is full, with what is to be counted."""
        offset, length = range_
        end = offset + length
        reader = self._verification.reader(offset)
        with contextlib.closing(_PersistentBody(self, offset, end)) as body:
            while offset < end:
                view = memoryview(free())[: end - offset]
                body.read_into(view)
                yield reader.update(view), offset, view
                offset += len(view)

    def open(self, start: int, end: int) -> Any:
        """Return the body of the bytes from `start` up to `end`.

        Raises:
            SourceError: Gone, changed, forbidden, or S3 answers with other bytes.
        """
        pin = _pin(self.ref, self.etag)
        if (start, end) == (0, self.size):
            return _ask(self._client.get_object, self.ref, **pin)["Body"]
        answer = _ask(self._client.get_object, self.ref, Range=f"bytes={start}-{end - 1}", **pin)
        expected = f"bytes {start}-{end - 1}/{self.size}"
        if answer.get("ContentRange") != expected:
            answer["Body"].close()
            raise SourceInterrupted(
                f"S3 answered with {answer.get('ContentRange')!r} of {self.ref}, asked was {expected!r}.",
                hint="It is tried again.",
            )
        return answer["Body"]


class _PersistentBody:
    """The bytes of a range in order, asked for again from the first missing one when a body breaks off."""

    def __init__(self, source: ObjectReader, position: int, end: int) -> None:
        self._source = source
        self._position = position
        self._end = end
        self._body: Any = None
        self._opened_at = position
        self._stalled_reads = 0

    def read_into(self, view: memoryview) -> None:
        """Fill the view.

        Raises:
            SourceError: S3 has broken off too often without a new byte, or refuses to go on.
        """
        filled = 0
        while filled < len(view):
            if self._body is None:
                self._body = self._source.open(self._position, self._end)
                self._opened_at = self._position
            try:
                chunk = self._body.read(min(_CHUNK_BYTES, len(view) - filled))
            except Exception as error:  # noqa: BLE001 - botocore, urllib3, http.client: each has its own
                self._broke_off(quoted(error))
                continue
            if not chunk:
                self._broke_off("the body ended early")
                continue
            view[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
            self._position += len(chunk)

    def close(self) -> None:
        """Give the connection back, or close it when there is more to come on it."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _broke_off(self, reason: str) -> None:
        self.close()
        self._stalled_reads = 0 if self._position > self._opened_at else self._stalled_reads + 1
        if self._stalled_reads == _MOST_STALLED_READS:
            raise _interrupted(self._source.ref, f"at byte {self._position}: {reason}")
        _log.warning("reading %s again from byte %d (%s)", self._source.ref, self._position, reason)


class _ReadAhead(threading.Thread):
    """Fills buffers in a thread of its own, and takes them back when they have been sent."""

    def __init__(
        self,
        fill: Callable[[Range, Callable[[], bytearray]], Iterator[_Filled]],
        ranges: Iterable[Range],
        buffer_bytes: int,
    ) -> None:
        super().__init__(name="s3-reader", daemon=True)
        self._fill = fill
        self._ranges = iter(ranges)
        self._buffer_bytes = buffer_bytes
        self._free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[_Filled | BaseException | None] = queue.SimpleQueue()
        self._made = 0
        self._lock = threading.Lock()
        self._stopped = False

    def filled(self) -> Iterator[_Filled]:
        """Yield each full buffer; it is used again when the next one is asked for.

        Raises:
            BaseException: What the reading raised.
        """
        self.start()
        while (item := self._full.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            self._free.put(item[2].obj)  # type: ignore[arg-type]  # the bytearray under the view

    def stop(self) -> None:
        """Take no further range, whatever is being read."""
        with self._lock:
            self._stopped = True
        self._free.put(None)

    def run(self) -> None:
        """Read range after range."""
        try:
            while (range_ := self._next_range()) is not None:
                for item in self._fill(range_, self._buffer):
                    self._full.put(item)
            self._full.put(None)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the bytes are waited for
            self._full.put(error)

    def _next_range(self) -> Range | None:
        with self._lock:
            return None if self._stopped else next(self._ranges, None)

    def _buffer(self) -> bytearray:
        if self._made < _BUFFERS and self._free.empty():
            self._made += 1
            return bytearray(self._buffer_bytes)
        buffer = self._free.get()
        if buffer is None:
            raise _StoppedError
        return buffer


class _StoppedError(Exception):
    """Nobody wants the bytes any more."""


def read_whole(client: Any, ref: ObjectRef, *, sha256: bool = False) -> SmallObject:
    """Read a small object with one request; with another one for its parts where its checksum is of several.

    Raises:
        SourceError: Gone, changed, forbidden, not the bytes that S3 has a checksum of, or S3 breaks off.
    """
    answer = _ask(client.get_object, ref, ChecksumMode="ENABLED", **_pin(ref))
    body = answer["Body"]
    try:
        data: bytes = body.read()
    except Exception as error:  # noqa: BLE001 - botocore, urllib3, http.client: each has its own
        raise _interrupted(ref, quoted(error)) from None
    finally:
        body.close()
    if len(data) != answer["ContentLength"]:
        raise _interrupted(ref, f"{len(data)} bytes came, {answer['ContentLength']} were announced")
    stored = stored_checksum(answer)
    etag = _unquoted(answer["ETag"])
    ends = part_ends_of(client, ref, stored, etag=etag, size=len(data)) if stored else ()
    verification = Verification(ref, size=len(data), stored=stored, part_ends=ends, sha256=sha256)
    verification.add(verification.reader(0).update(data))
    return SmallObject(data, verification.content())


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
        SourceError: Gone, changed, forbidden, not readable.
    """
    try:
        return _answered(client.head_object, ref, ChecksumMode="ENABLED", **pin)
    except ClientError as error:
        raise _classified(_with_sentence(client, ref, pin, error), ref) from None


def _with_sentence(client: Any, ref: ObjectRef, pin: dict[str, str], error: ClientError) -> ClientError:
    """Return the refusal of a HEAD with S3's own words, where a GET gets them; else as it is."""
    if _status_of(error) in _HEAD_SAYS_NO_MORE:
        with contextlib.suppress(SourceInterrupted):
            try:  # takes the same permission; a byte, should it work after all
                _answered(client.get_object, ref, Range="bytes=0-0", **pin)["Body"].close()
            except ClientError as told:
                return told if _status_of(told) in _HEAD_SAYS_NO_MORE else error
    return error


def _ask(call: Callable[..., dict[str, Any]], ref: ObjectRef, **arguments: str) -> dict[str, Any]:
    try:
        return _answered(call, ref, **arguments)
    except ClientError as error:
        raise _classified(error, ref) from None


def _answered(call: Callable[..., dict[str, Any]], ref: ObjectRef, **arguments: str) -> dict[str, Any]:
    """Ask S3.

    Raises:
        ClientError: S3 refuses.
        SourceInterrupted: There is no answer, or none that can be understood.
    """
    try:
        return call(Bucket=ref.bucket, Key=ref.key, **arguments)
    except ClientError:
        raise
    except Exception as error:  # noqa: BLE001 - botocore lets through what its parsers and urllib3 raise
        raise SourceInterrupted(
            f"{ref} cannot be read from S3 ({type(error).__name__}: {quoted(error)}).",
            hint="It will be retried; in a VPC check the route or endpoint to S3.",
        ) from None


def _interrupted(ref: ObjectRef, reason: str) -> SourceInterrupted:
    return SourceInterrupted(f"S3 breaks off reading {ref} ({reason}).", hint="It is tried again.")


def _status_of(error: ClientError) -> str:
    return str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"))


def _classified(error: ClientError, ref: ObjectRef) -> SourceError:
    told = error.response.get("Error", {})
    code, status = str(told.get("Code", "")), _status_of(error)
    sentence = quoted(told.get("Message") or "")
    kind = _KINDS.get(code) or _kind_of_sentence(code, sentence) or _KINDS.get(status) or _OTHER
    # A HEAD is answered without a body: botocore makes words of the status then.
    says_more = sentence and code != status
    return _told(kind, ref, f"{code}: {sentence}" if says_more else code or status)


def _kind_of_sentence(code: str, sentence: str) -> "_Kind | None":
    """Return what only the words tell: there is one code for many things."""
    if code == "InvalidRequest" and "Server Side Encryption" in sentence:
        return _CUSTOMER_KEY
    return _KEY if code.startswith("KMS.") else None


def _told(kind: "_Kind", ref: ObjectRef, why: str) -> SourceError:
    error, reason, hint = kind
    return error(f"{ref} {reason} ({why}).", hint=hint)


_Kind = tuple[Callable[..., SourceError], str, str]

_GONE: _Kind = (
    ObjectGone,
    "is not in S3 any more",
    "It was deleted after it was announced; put it again if the partner should have it.",
)
_CHANGED: _Kind = (
    ObjectChanged,
    "holds other bytes than were announced",
    "It was overwritten; the newer object is announced by its own event.",
)
_DENIED: _Kind = (
    SourceDenied,
    "may not be read by the function",
    "Check the role's s3:GetObject and s3:GetObjectVersion, the bucket policy, and kms:Decrypt of its key. "
    "Without s3:ListBucket S3 answers like this for an object that is gone, too.",
)
_ARCHIVED: _Kind = (
    ObjectNotReadable,
    "is archived",
    "Restore it (aws s3api restore-object), then redrive the message; exclude archive storage classes from "
    "what is put here.",
)
_CUSTOMER_KEY: _Kind = (
    ObjectNotReadable,
    "is encrypted with a key of the customer's (SSE-C), which S3 does not have",
    "Put it again with SSE-S3 or SSE-KMS.",
)
_KEY: _Kind = (
    KeyNotUsable,
    "is encrypted with a KMS key that cannot be used",
    "Enable the key, or cancel its deletion; it will be retried.",
)
_CLOCK: _Kind = (
    SourceInterrupted,
    "cannot be read from S3 now",
    "The clock of this execution environment was wrong. It will be retried.",
)
_OTHER: _Kind = (SourceInterrupted, "cannot be read from S3 now", "It will be retried.")

_HEAD_SAYS_NO_MORE = frozenset({"400", "403"})

_KINDS: dict[str, _Kind] = {
    "NoSuchKey": _GONE,
    "NoSuchVersion": _GONE,
    "NoSuchBucket": _GONE,
    "404": _GONE,
    "405": _GONE,  # a delete marker was named as the version
    "PreconditionFailed": _CHANGED,
    "412": _CHANGED,
    "InvalidObjectState": _ARCHIVED,
    "KMS.DisabledException": _KEY,
    "KMS.KMSInvalidStateException": _KEY,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    # Credentials of the role are renewed: the next invocation has others.
    "ExpiredToken": _OTHER,
    "AccessDenied": _DENIED,
    "403": _DENIED,
}
