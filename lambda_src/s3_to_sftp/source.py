"""Reads one announced version of an object: ranges ahead of the writer, in bounded memory."""

import contextlib
import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.checksum import DEFAULT_ALGORITHM, RangeChecksum, stored_checksum
from s3_to_sftp.errors import (
    ObjectChanged,
    ObjectCorrupt,
    ObjectGone,
    SourceDenied,
    SourceError,
    SourceInterrupted,
)
from s3_to_sftp.events import ObjectRef

_log = logging.getLogger(__name__)

_FRUITLESS_READS = 4
"""So many times in a row may S3 break off without a single new byte."""

_BLOCKS_PER_BUFFER = 4
"""Blocks that are read in one go: with OpenSSH's limit about 1 MB."""

_BUFFERS = 3
"""Per lane: one being sent, one ready, one being filled. Memory of a large object, in all lanes together:
lanes x _BUFFERS x _BLOCKS_PER_BUFFER x bytes per block."""

_CHUNK_BYTES = 256 * 1024
"""Bytes per read of a body."""

Range = tuple[int, int]
_Filled = tuple[tuple[int, int], int, memoryview]
"""A full buffer: where its range starts and the CRC from there to its end; its offset; its bytes."""


@dataclass(frozen=True, kw_only=True)
class ChecksumSoFar:
    """The CRC of the first bytes of an object.

    Attributes:
        size: How many.
        algorithm: CRC64NVME, CRC32C or CRC32.
        crc: The value.
    """

    size: int
    algorithm: str
    crc: int


class S3Object:
    """The announced bytes, readable from any offset by several threads at a time.

    Every read is pinned to the announced VersionId, or else to the ETag, so that the bytes are always
    those of one version.

    Attributes:
        ref: What was announced.
        size: Bytes.
        stored: Algorithm and value of the full-object CRC that S3 has, if it has one.
        start: Offset of the first byte that has not been counted before.
    """

    def __init__(
        self,
        client: Any,
        ref: ObjectRef,
        *,
        pinned_etag: str | None = None,  # noqa: ARG002 - read by the next change
        before: ChecksumSoFar | None = None,
        sha256: bool = False,
    ) -> None:
        """Ask S3 for the object.

        Args:
            client: boto3's S3 client.
            ref: What was announced.
            pinned_etag: The ETag that an earlier invocation has seen.
            before: The checksum of its first bytes, if they were read another time and are not read again.
            sha256: Compute the SHA-256, too, which takes all bytes in order.

        Raises:
            SourceError: Gone, changed or forbidden.
        """
        self.ref = ref
        self._client = client
        answer = _ask(client.head_object, ref, ChecksumMode="ENABLED", **_pin(ref))
        self.size: int = answer["ContentLength"]
        self._etag: str = answer["ETag"]
        self.etag = self._etag
        self.stored = stored_checksum(answer)
        algorithm = self.stored[0] if self.stored else DEFAULT_ALGORITHM
        if before and before.algorithm == algorithm:
            self._checksum = RangeChecksum(algorithm, before=(before.size, before.crc))
            self.start = before.size
        else:
            self._checksum = RangeChecksum(algorithm)
            self.start = 0
        self._sha256 = _Sha256() if sha256 and not self.start else None

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
            for (start, crc), offset, view in reader.filled():
                for at in range(0, len(view), block_bytes):
                    yield offset + at, view[at : at + block_bytes]
                # Only now: what was read ahead and never taken is not counted.
                self._checksum.add(start, offset + len(view) - start, crc)
        finally:
            reader.stop()

    def checksum(self) -> tuple[str, str]:
        """Return algorithm and base64 value of the CRC of all that was read.

        Raises:
            ObjectCorrupt: S3 has stored another one.
        """
        value = self._checksum.value(self.size)
        _compare(self.ref, self.stored, self._checksum.algorithm, value)
        return self._checksum.algorithm, value

    def checksum_up_to(self, limit: int) -> ChecksumSoFar:
        """Return the checksum of the first bytes, as many as were taken without a gap, at most `limit`."""
        size, crc = self._checksum.up_to(limit)
        return ChecksumSoFar(size=size, algorithm=self._checksum.algorithm, crc=crc)

    def sha256(self) -> str | None:
        """Return the SHA-256 in hexadecimal; None when not asked for, or when bytes came out of order."""
        return self._sha256.of_all(self.size) if self._sha256 else None

    def _fill(self, range_: Range, free: Callable[[], bytearray]) -> Iterator[_Filled]:
        """Read one range into free buffers; yield each when it is full, with the CRC of all up to its end."""
        offset, length = range_
        end = offset + length
        crc = self._checksum.start
        with contextlib.closing(_PersistentBody(self, offset, end)) as body:
            while offset < end:
                view = memoryview(free())[: end - offset]
                body.read_into(view)
                crc = self._checksum.update(crc, view)
                if self._sha256:
                    self._sha256.update(offset, view)
                yield (range_[0], crc), offset, view
                offset += len(view)

    def open(self, start: int, end: int) -> Any:
        """Return the body of the bytes from `start` up to `end`.

        Raises:
            SourceError: Gone, changed, forbidden, or S3 answers with other bytes.
        """
        pin = _pin(self.ref) if self.ref.version_id else {"IfMatch": self._etag}
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

    def __init__(self, source: S3Object, position: int, end: int) -> None:
        self._source = source
        self._position = position
        self._end = end
        self._body: Any = None
        self._opened_at = position
        self._fruitless = 0

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
            except (BotoCoreError, OSError) as error:
                self._broke_off(str(error))
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
        self._fruitless = 0 if self._position > self._opened_at else self._fruitless + 1
        if self._fruitless == _FRUITLESS_READS:
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


class _Sha256:
    """A SHA-256 of bytes that are expected in order; those that come otherwise end it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._next = 0

    def update(self, offset: int, data: bytes | memoryview) -> None:
        """Count the bytes if they are the next ones."""
        if offset == self._next:
            self._hash.update(data)
            self._next += len(data)
        else:
            self._next = -1

    def of_all(self, size: int) -> str | None:
        """Return it in hexadecimal if exactly so many bytes were counted."""
        return self._hash.hexdigest() if self._next == size else None


def read_whole(client: Any, ref: ObjectRef) -> tuple[bytes, tuple[str, str]]:
    """Read a small object with one request; return its bytes, and algorithm and value of its CRC.

    Raises:
        SourceError: Gone, changed, forbidden, not the bytes that S3 has a checksum of, or S3 breaks off.
    """
    answer = _ask(client.get_object, ref, ChecksumMode="ENABLED", **_pin(ref))
    body = answer["Body"]
    try:
        data: bytes = body.read()
    except (BotoCoreError, OSError) as error:
        raise _interrupted(ref, str(error)) from None
    finally:
        body.close()
    if len(data) != answer["ContentLength"]:
        raise _interrupted(ref, f"{len(data)} bytes came, {answer['ContentLength']} were announced")
    stored = stored_checksum(answer)
    checksum = RangeChecksum(stored[0] if stored else DEFAULT_ALGORITHM)
    checksum.add(0, len(data), checksum.of(data))
    value = checksum.value(len(data))
    _compare(ref, stored, checksum.algorithm, value)
    return data, (checksum.algorithm, value)


def _pin(ref: ObjectRef) -> dict[str, str]:
    pin = {"VersionId": ref.version_id} if ref.version_id else {}
    # The ETag as well: the version "null" of a bucket with suspended versioning can be overwritten.
    return {**pin, "IfMatch": f'"{ref.etag.strip(chr(34))}"'} if ref.etag else pin


def _ask(call: Callable[..., dict[str, Any]], ref: ObjectRef, **arguments: str) -> dict[str, Any]:
    try:
        return call(Bucket=ref.bucket, Key=ref.key, **arguments)
    except ClientError as error:
        raise _classified(error, ref) from None
    except (BotoCoreError, OSError) as error:
        raise SourceInterrupted(
            f"{ref} cannot be read from S3 ({error}).",
            hint="It is tried again; in a VPC check the route or endpoint to S3.",
        ) from None


def _interrupted(ref: ObjectRef, reason: str) -> SourceInterrupted:
    return SourceInterrupted(f"S3 breaks off reading {ref} ({reason}).", hint="It is tried again.")


def _compare(ref: ObjectRef, stored: tuple[str, str] | None, algorithm: str, value: str) -> None:
    if stored is not None and stored[1] != value:
        raise ObjectCorrupt(
            f"The bytes of {ref} have the {algorithm} {value}, S3 has stored {stored[1]}.",
            hint="They were damaged on the way from S3. It is tried again.",
        )


def _classified(error: ClientError, ref: ObjectRef) -> SourceError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    kind, reason, hint = _KINDS.get(code) or _KINDS.get(str(status)) or _OTHER
    return kind(f"{ref} {reason} ({code or status}).", hint=hint)


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
_OTHER: _Kind = (SourceInterrupted, "cannot be read from S3 now", "It is tried again.")

_KINDS: dict[str, _Kind] = {
    "NoSuchKey": _GONE,
    "NoSuchVersion": _GONE,
    "NoSuchBucket": _GONE,
    "404": _GONE,
    "405": _GONE,  # a delete marker was named as the version
    "PreconditionFailed": _CHANGED,
    "412": _CHANGED,
    "AccessDenied": _DENIED,
    "403": _DENIED,
}
