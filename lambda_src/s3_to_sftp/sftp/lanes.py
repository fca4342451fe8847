"""One large file over several connections at once, each a lane that writes its own byte ranges.

At a distance one connection is held back by the server's SSH window (2 MiB per round trip with OpenSSH)
and by TCP, however deep the queue; every further connection brings its own. At no distance a further
connection only costs (docs/decisions/0009-lanes.md has the measurements).
"""

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Protocol

from s3_to_sftp.errors import PartnerError, RequestRefused, TransferError
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.stream import Piece
from s3_to_sftp.sftp.upload import create, discard, publish
from s3_to_sftp.sftp.writer import write_and_close

_WINDOW_BYTES = 2 * 1024 * 1024
"""OpenSSH's channel window: what one connection carries per round trip."""

_AIM_BYTES_PER_SECOND = 800e6
"""More than any function's network: lanes are added until the window is not what limits."""

_MIN_BYTES_PER_LANE = 16 * 1024 * 1024
"""What one lane could send while another is being set up: 8 round trips, one window each."""

_SEGMENT_WRITES = 16
"""WRITEs per range that a lane takes: with OpenSSH's limit 4 MB. A lane that is alone takes all at once."""


_FULL = {Status.NO_SPACE_ON_FILESYSTEM, Status.QUOTA_EXCEEDED}
"""Refusals that fewer lanes do not help against."""


class RangeSource(Protocol):
    """Bytes that can be read from any offset, by several threads at a time.

    Attributes:
        size: Bytes of the whole.
    """

    size: int

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        """Yield offset and bytes of each block of the ranges (offset, length), in order.

        A block need not stay valid when the next one is asked for. Ranges may be taken ahead of time, but
        not after the iterator was closed.
        """


def lanes_for(*, size: int, round_trip: float, limit: int) -> int:
    """Return how many lanes pay for an object.

    Args:
        size: Bytes.
        round_trip: Seconds to the server and back.
        limit: Lanes that the partner allows.
    """
    until_window_is_no_limit = math.ceil(_AIM_BYTES_PER_SECOND * round_trip / _WINDOW_BYTES)
    return max(1, min(limit, until_window_is_no_limit, size // _MIN_BYTES_PER_LANE))


class _Segments:
    """The byte ranges that are still to be written. Shared by the lanes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._segment = 0
        self._next = 0
        self._returned: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._closed = False
        self._stopped = False

    def open(self, segment: int) -> None:
        """Let the lanes begin: the file is there. Ranges are of this many bytes."""
        self._segment = segment
        self._opened.set()

    def enter(self, at_work: threading.Event) -> bool:
        """Join the work as soon as it is opened, and say so; False when it is over already."""
        self._opened.wait()
        with self._lock:
            if not self._closed:
                at_work.set()
            return not self._closed

    def close(self) -> None:
        """Let no further lane join."""
        with self._lock:
            self._closed = True

    @property
    def stopped(self) -> bool:
        """Whether the delivery has failed: lanes end at the next block."""
        return self._stopped

    def stop(self) -> None:
        """Let all lanes end."""
        self._stopped = True
        self.close()
        self._opened.set()

    def take(self) -> tuple[int, int] | None:
        """Return the next range as offset and length, or None when all are taken."""
        with self._lock:
            if self._stopped:
                return None
            if self._returned:
                return self._returned.popleft()
            if self._next >= self._size:
                return None
            offset = self._next
            length = min(self._segment, self._size - offset)
            self._next += length
            return offset, length

    def give_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Put back ranges that were not written to their end. Writing them again writes the same bytes."""
        with self._lock:
            self._returned.extend(ranges)

    def left(self) -> bool:
        """Say whether there are ranges to take."""
        with self._lock:
            return bool(self._returned) or self._next < self._size


class _Lane(threading.Thread):
    """A further connection that writes segments until there are none, or until it fails."""

    def __init__(
        self, number: int, pool: ConnectionPool, source: RangeSource, segments: _Segments, path: str
    ) -> None:
        super().__init__(name=f"lane-{number}", daemon=True)
        self.number = number
        self._pool = pool
        self._source = source
        self._segments = segments
        self._path = path
        self.at_work = threading.Event()
        """Set from joining the work on: only such lanes are waited for."""
        self.failure: BaseException | None = None
        """What ended the delivery. Errors of the lane itself only end the lane."""

    def run(self) -> None:
        """Write segments. A lane that the partner refuses retires quietly: the others do its work."""
        connection: Connection | None = None
        try:
            connection = self._pool.lane(self.number)
            if self._segments.enter(self.at_work):
                connection.session.run_one(self._write(connection.session))
                self._pool.touch(self.number)
        except (TransferError, PartnerError) as error:
            self._drop(connection)
            if not self._segments.stopped:
                self._pool.give_up_lane(self.number, error)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for the lanes
            self._drop(connection)
            self.failure = error
            self._segments.stop()

    def _drop(self, connection: Connection | None) -> None:
        # Only its own: when this lane notices late that its delivery has failed, the next object may have
        # put another connection in the place.
        if connection is not None:
            self._pool.drop(self.number, only=connection)

    async def _write(self, session: SftpSession) -> None:
        handle = await session.open_existing(self._path)
        await _write_segments(session, handle, self._source, self._segments, self._path)


def send_in_lanes(
    pool: ConnectionPool, source: RangeSource, *, path: str, temporary: str, complete: Callable[[], object]
) -> int:
    """Put a file of any size on the server and return the number of lanes that it was given.

    The first lane starts at once, the others join as their connections come up. The final name appears only
    after every WRITE and every CLOSE of every lane were answered with OK and `complete` was content.
    When the server refuses the first lane something while others are at work, the first one writes it all
    anew: there are servers that take no second writer, or bytes only in order.
    Memory: per lane one block of the source, and what the source reads ahead.

    Args:
        pool: The partner's connections.
        source: The bytes.
        path: The final name; a file that is already there is replaced.
        temporary: The name until then, in the same directory. Missing directories are made.
        complete: Called when all bytes are acknowledged; raises when they are not the whole object.

    Raises:
        TransferError: The server refused or was lost. Nothing stands under the final name that was
            not there before, and the temporary file is removed if the server still answers.
        Exception: Whatever `source` or `complete` raised, with the same clean-up.
    """
    segments = _Segments(source.size)
    lanes: list[_Lane] = []

    def start_lanes(round_trip: float) -> None:
        count = lanes_for(size=source.size, round_trip=round_trip, limit=pool.limit)
        lanes.extend(_Lane(number, pool, source, segments, temporary) for number in pool.lanes(count - 1))
        for lane in lanes:
            lane.start()

    try:
        session = pool.first(start_lanes).session
        handle = session.run_one(create(session, temporary))
    except BaseException:
        segments.stop()
        raise
    try:
        segment = _SEGMENT_WRITES * session.max_write_bytes if lanes else max(1, source.size)
        segments.open(segment)
        try:
            session.run_one(_write_segments(session, handle, source, segments, temporary))
            _finish(session, source, segments, lanes, temporary)
        except RequestRefused as refused:
            if refused.code in _FULL or not any(lane.at_work.is_set() for lane in lanes):
                raise
            segments.stop()
            for lane in lanes:
                pool.drop(lane.number)
            abandoned, temporary = temporary, _another_name(temporary)
            session.run_one(discard(session, abandoned))
            session.run_one(_write_in_order(session, source, segment, temporary))
            # Once more: meanwhile the handles of the lanes have ended, which may have brought it back.
            session.run_one(discard(session, abandoned))
            while lanes:  # now it is clear that they were the cause
                pool.give_up_lane(lanes.pop().number, refused)
        complete()
        session.run_one(publish(session, temporary, path))
    except BaseException:
        segments.stop()
        for lane in lanes:
            pool.drop(lane.number)
        session.run_one(discard(session, temporary))
        raise
    pool.touch(0)
    return 1 + sum(lane.at_work.is_set() for lane in lanes)


def _finish(
    session: SftpSession, source: RangeSource, segments: _Segments, lanes: list[_Lane], path: str
) -> None:
    """Wait for the lanes that joined, and write what failed ones have left."""
    segments.close()
    for lane in lanes:
        if lane.at_work.is_set():
            lane.join()
        if lane.failure is not None:
            raise lane.failure
    if segments.left():
        session.run_one(_write_rest(session, source, segments, path))


def _another_name(temporary: str) -> str:
    # Handles of the lanes may still be open at the server, and an object store puts what they wrote under
    # the old name when they end: no place for the file that is about to get its final name.
    return temporary.removesuffix(".part") + "-2.part"


async def _write_in_order(session: SftpSession, source: RangeSource, segment: int, path: str) -> None:
    """Write everything to a new file, in order: what servers want that have an object store behind them.

    The ranges are those of the lanes, so that the source can tell that it gives the same ones again.
    """
    segments = _Segments(source.size)
    segments.open(segment)
    await _write_segments(session, await create(session, path), source, segments, path)


async def _write_rest(session: SftpSession, source: RangeSource, segments: _Segments, path: str) -> None:
    handle = await session.open_existing(path)
    await _write_segments(session, handle, source, segments, path)


async def _write_segments(
    session: SftpSession, handle: bytes, source: RangeSource, segments: _Segments, path: str
) -> None:
    """Write segments until there are none, and close the handle.

    On failure all ranges that this call has taken are given back: an acknowledged write is only as good
    as the CLOSE behind it.
    """
    taken: list[tuple[int, int]] = []

    def ranges() -> Iterator[tuple[int, int]]:
        while (segment := segments.take()) is not None:
            taken.append(segment)
            yield segment

    def blocks() -> Generator[tuple[int, Piece], None, None]:
        given = 0
        for offset, block in source.blocks(ranges(), session.max_write_bytes):
            if segments.stopped:
                return
            yield offset, block
            given += len(block)
        if given != sum(length for _, length in taken):
            raise RuntimeError(f"the source gave {given} bytes for {taken}")

    try:
        # Closed at once on failure: the error's traceback would keep the source reading.
        with contextlib.closing(blocks()) as pieces:
            await write_and_close(session, handle, pieces, path=path)
    except BaseException:
        segments.give_back(taken)
        raise
