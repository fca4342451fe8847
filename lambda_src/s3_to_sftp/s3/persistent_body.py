"""The bytes of a range of an object, read into memory of ours, however often S3 interrupts the response."""

import http.client
import logging
from collections.abc import Callable
from typing import Any

from s3_to_sftp.s3.client_errors import interrupted
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.untrusted_text import quoted

_log = logging.getLogger(__name__)

_MOST_STALLED_READS = 4
"""How many times in a row S3 may interrupt a response without a new byte."""

_CHUNK_BYTES = 256 * 1024
"""Bytes per read: what one has received when the connection is reset in it, does not count."""


class PersistentBody:
    """The bytes of a range in order, requested again from the first missing one after an interruption."""

    def __init__(
        self, ref: ObjectRef, request: Callable[[int, int], Any], *, position: int, end: int
    ) -> None:
        """Request nothing yet.

        Args:
            ref: The object, in errors.
            request: Returns the body of the bytes from one offset up to another.
            position: Offset of the first byte.
            end: Offset behind the last one.
        """
        self._ref = ref
        self._request = request
        self._position = position
        self._end = end
        self._body: Any = None
        self._read_into: Callable[[memoryview], int] = _nothing
        self._opened_at = position
        self._stalled_reads = 0

    def read_into(self, view: memoryview) -> None:
        """Fill the view.

        Raises:
            ObjectReadError: S3 closes the connection too often without a new byte, or refuses to answer.
        """
        filled = 0
        while filled < len(view):
            if self._body is None:
                self._body = self._request(self._position, self._end)
                self._read_into = _direct(self._body) or _copying(self._body)
                self._opened_at = self._position
            try:
                count = self._read_into(view[filled : filled + _CHUNK_BYTES])
            except Exception as error:  # noqa: BLE001 - botocore, urllib3, http.client: each has its own
                self._broke_off(quoted(error))
                continue
            if not count:
                self._broke_off("the body ended early")
                continue
            filled += count
            self._position += count

    def close(self) -> None:
        """Return the connection to the pool, or close it when the body has not ended."""
        if self._body is not None:
            self._body.close()
            self._body, self._read_into = None, _nothing

    def _broke_off(self, reason: str) -> None:
        self.close()
        self._stalled_reads = 0 if self._position > self._opened_at else self._stalled_reads + 1
        if self._stalled_reads == _MOST_STALLED_READS:
            raise interrupted(self._ref, f"at byte {self._position}: {reason}")
        _log.warning("reading %s again from byte %d (%s)", self._ref, self._position, reason)


def _direct(body: Any) -> Callable[[memoryview], int] | None:
    """Return what reads a body without a copy; None where it is not the body that we know.

    botocore's and urllib3's `readinto` read into memory of their own and copy that. Below them is the
    standard library's response, which lets the socket write into ours.
    """
    of_urllib3 = getattr(body, "_raw_stream", None)
    release = getattr(of_urllib3, "release_conn", None)
    response = getattr(of_urllib3, "_fp", None)
    # Of a known length, and not in chunks: then it knows by itself where it ends.
    if not isinstance(response, http.client.HTTPResponse) or response.length is None or release is None:
        return None

    def read_into(view: memoryview) -> int:
        count = response.readinto(view)
        if response.isclosed():  # it ends here: the connection may serve the next request
            release()
        return count

    return read_into


def _copying(body: Any) -> Callable[[memoryview], int]:
    """Return what reads any body."""

    def read_into(view: memoryview) -> int:
        chunk = body.read(len(view))
        view[: len(chunk)] = chunk
        return len(chunk)

    return read_into


def _nothing(_view: memoryview) -> int:
    return 0
