"""Reads one announced version of an object, in order, in bounded memory."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import ObjectChanged, ObjectGone, SourceDenied, SourceError, SourceInterrupted
from s3_to_sftp.events import ObjectRef

_log = logging.getLogger(__name__)

BLOCK_BYTES = 1024 * 1024
"""Bytes per block: some SFTP writes long, small beside the smallest function."""

_FRUITLESS_READS = 4
"""So many times in a row may S3 break off without a single new byte."""


class OpenObject:
    """The announced bytes, ready to be read once.

    Attributes:
        ref: What was announced.
        size: Bytes of the whole object, as S3 says.
    """

    def __init__(self, client: Any, ref: ObjectRef) -> None:
        self.ref = ref
        self._client = client
        answer = self._get(from_offset=0)
        self.size: int = answer["ContentLength"]
        self._etag: str = answer["ETag"]
        self._body: Any = answer["Body"]

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in order, in blocks of at most `BLOCK_BYTES`.

        A body that breaks off is asked for again from the first missing byte, pinned to the same
        version and ETag, so the bytes are always those of one version. Memory: one block.

        Raises:
            SourceError: Gone, changed, forbidden, or S3 keeps breaking off.
        """
        offset = 0
        fruitless = 0
        while offset < self.size:
            before = offset
            try:
                while block := self._body.read(BLOCK_BYTES):
                    offset += len(block)
                    yield block
                reason = "the body ended early"
            except (BotoCoreError, OSError) as error:
                reason = str(error)
            if offset == self.size:
                break
            fruitless = 0 if offset > before else fruitless + 1
            if fruitless == _FRUITLESS_READS:
                raise SourceInterrupted(
                    f"S3 breaks off reading {self.ref} at byte {offset} of {self.size} ({reason}).",
                    hint="It is tried again.",
                )
            _log.warning("reading %s again from byte %d of %d (%s)", self.ref, offset, self.size, reason)
            self._body = self._get(from_offset=offset)["Body"]

    def insist_on_size(self, written: int) -> None:
        """Insist that the whole object was written.

        Raises:
            SourceInterrupted: It was not.
        """
        if written != self.size:
            raise SourceInterrupted(
                f"{written} bytes of {self.ref} were written, S3 says it has {self.size}.",
                hint="It is tried again.",
            )

    def close(self) -> None:
        """Give the HTTP connection back."""
        self._body.close()

    def _get(self, *, from_offset: int) -> dict[str, Any]:
        request = {"Bucket": self.ref.bucket, "Key": self.ref.key, **self._pin(from_offset)}
        if from_offset:
            # Never on the first read: a range of an empty object is an error (InvalidRange).
            request["Range"] = f"bytes={from_offset}-"
        try:
            answer: dict[str, Any] = self._client.get_object(**request)
        except ClientError as error:
            raise _classified(error, self.ref) from None
        except (BotoCoreError, OSError) as error:
            raise SourceInterrupted(
                f"{self.ref} cannot be read from S3 ({error}).",
                hint="It is tried again; in a VPC check the route or endpoint to S3.",
            ) from None
        return answer

    def _pin(self, from_offset: int) -> dict[str, str]:
        if self.ref.version_id:
            return {"VersionId": self.ref.version_id}
        if from_offset:
            return {"IfMatch": self._etag}
        return {"IfMatch": f'"{self.ref.etag.strip(chr(34))}"'} if self.ref.etag else {}


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
