"""Reads one announced version of an object: ranges ahead of the writer, in bounded memory."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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

_AHEAD = 1
"""Ranges that are being read while the lane sends one. Memory of a large object, in all lanes together:
lanes x (1 + _AHEAD) x bytes per range (see `lanes.py`)."""

_CHUNK_BYTES = 256 * 1024
"""Bytes per read of a body."""

Range = tuple[int, int]


class S3Object:
    """The announced bytes, readable from any offset by several threads at a time.

    Every read is pinned to the announced VersionId, or else to the ETag, so that the bytes are always
    those of one version.

    Attributes:
        ref: What was announced.
        size: Bytes.
    """

    def __init__(self, client: Any, ref: ObjectRef) -> None:
        """Ask S3 for the object.

        Raises:
            SourceError: Gone, changed or forbidden.
        """
        self.ref = ref
        self._client = client
        answer = _ask(client.head_object, ref, ChecksumMode="ENABLED", **_pin(ref))
        self.size: int = answer["ContentLength"]
        self._etag: str = answer["ETag"]
        self._stored = stored_checksum(answer)
        self._checksum = RangeChecksum(self._stored[0] if self._stored else DEFAULT_ALGORITHM)

    def blocks(self, ranges: Iterable[Range], block_bytes: int) -> Iterator[tuple[int, memoryview]]:
        """Yield offset and bytes of each block of the ranges, reading the next range meanwhile.

        A block is valid until the next one is asked for: its memory is used again.

        Args:
            ranges: Offset and length of each range, taken one by one as there is room.
            block_bytes: Bytes per block; the last of a range may be shorter.

        Raises:
            SourceError: Gone, changed, forbidden, or S3 keeps breaking off.
        """
        spare: deque[bytearray] = deque()
        under_way: deque[Future[tuple[int, bytearray, int]]] = deque()

        def drained(keep: int) -> Iterator[tuple[int, memoryview]]:
            while len(under_way) > keep:
                offset, buffer, length = under_way.popleft().result()
                view = memoryview(buffer)[:length]
                for start in range(0, length, block_bytes):
                    yield offset + start, view[start : start + block_bytes]
                spare.append(buffer)

        readers = ThreadPoolExecutor(_AHEAD + 1, "s3-reader")
        try:
            for offset, length in ranges:
                buffer = spare.popleft() if spare else bytearray(length)
                under_way.append(readers.submit(self._read_range, offset, length, buffer))
                yield from drained(keep=_AHEAD)
            yield from drained(keep=0)
        finally:
            readers.shutdown(wait=False, cancel_futures=True)

    def checksum(self) -> tuple[str, str]:
        """Return algorithm and base64 value of the CRC of all that was read.

        Raises:
            ObjectCorrupt: S3 has stored another one.
        """
        value = self._checksum.value(self.size)
        _compare(self.ref, self._stored, self._checksum.algorithm, value)
        return self._checksum.algorithm, value

    def _read_range(self, offset: int, length: int, buffer: bytearray) -> tuple[int, bytearray, int]:
        if len(buffer) < length:
            buffer = bytearray(length)
        view = memoryview(buffer)[:length]
        filled = fruitless = 0
        while filled < length:
            before = filled
            body = self._open(offset + filled, offset + length)
            try:
                while filled < length and (chunk := body.read(min(_CHUNK_BYTES, length - filled))):
                    view[filled : filled + len(chunk)] = chunk
                    filled += len(chunk)
                reason = "the body ended early"
            except (BotoCoreError, OSError) as error:
                reason = str(error)
            finally:
                body.close()
            fruitless = 0 if filled > before else fruitless + 1
            if filled < length:
                _tell_or_give_up(self.ref, offset + filled, fruitless, reason)
        self._checksum.add(offset, view)
        return offset, buffer, length

    def _open(self, start: int, end: int) -> Any:
        pin = _pin(self.ref) if self.ref.version_id else {"IfMatch": self._etag}
        answer = _ask(self._client.get_object, self.ref, Range=f"bytes={start}-{end - 1}", **pin)
        expected = f"bytes {start}-{end - 1}/{self.size}"
        if answer.get("ContentRange") != expected:
            answer["Body"].close()
            raise SourceInterrupted(
                f"S3 answered with {answer.get('ContentRange')!r} of {self.ref}, asked was {expected!r}.",
                hint="It is tried again.",
            )
        return answer["Body"]


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
    checksum.add(0, data)
    value = checksum.value(len(data))
    _compare(ref, stored, checksum.algorithm, value)
    return data, (checksum.algorithm, value)


def _pin(ref: ObjectRef) -> dict[str, str]:
    if ref.version_id:
        return {"VersionId": ref.version_id}
    return {"IfMatch": f'"{ref.etag.strip(chr(34))}"'} if ref.etag else {}


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


def _tell_or_give_up(ref: ObjectRef, position: int, fruitless: int, reason: str) -> None:
    if fruitless == _FRUITLESS_READS:
        raise _interrupted(ref, f"at byte {position}: {reason}")
    _log.warning("reading %s again from byte %d (%s)", ref, position, reason)


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
    "Check the role's s3:GetObject and s3:GetObjectVersion, the bucket policy, and kms:Decrypt of its key.",
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
