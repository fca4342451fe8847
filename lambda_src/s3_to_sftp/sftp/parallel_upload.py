"""One large file over several connections at once, each a stream that writes its own byte ranges.

At a distance one connection is held back by the server's SSH window (2 MiB per round trip with OpenSSH)
and by TCP, however deep the queue; every further connection brings its own. At no distance a further
connection only costs (docs/decisions/0009-parallel-streams.md has the measurements).
"""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from s3_to_sftp.errors import (
    CheckpointLost,
    ConnectionLost,
    PartnerError,
    RequestRefused,
    ResumeRefused,
    SizeMismatch,
    TransferError,
)
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import NOTHING_THERE, FileAttributes, Status
from s3_to_sftp.sftp.resume import supports_resume
from s3_to_sftp.sftp.session import Conversation, Pending, SftpSession
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.stream_admission import Admission
from s3_to_sftp.sftp.temporary_names import another_name, probe_name, resume_probe_name
from s3_to_sftp.sftp.upload import Staged, create, discard
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece

_WINDOW_BYTES = 2 * 1024 * 1024
"""OpenSSH's channel window: what one connection carries per round trip."""


@dataclass(frozen=True, kw_only=True)
class TransferTuning:
    """How a large file is shared out among streams.

    Attributes:
        aim_bytes_per_second: Streams are added until the SSH window is not what limits this rate. Five times a
            function's network, since a stream starts slowly; more than that only costs CPU.
        min_bytes_per_stream: What one stream could send while another is being set up: 8 round trips, one
            window each.
        segment_bytes: The range that a stream takes at a time. One that is alone takes all at once.
        last_segment_bytes: The smallest one: towards the end ranges shrink, so that all streams end together.
        closing_seconds: So long may further streams take to close their handles when the first one's connection
            is lost.
    """

    aim_bytes_per_second: float = 400e6
    min_bytes_per_stream: int = 16 * 1024 * 1024
    segment_bytes: int = 4 * 1024 * 1024
    last_segment_bytes: int = 1024 * 1024
    closing_seconds: float = 10.0


DEFAULT_TUNING = TransferTuning()

_FULL = {Status.NO_SPACE_ON_FILESYSTEM, Status.QUOTA_EXCEEDED}
"""Refusals that fewer streams do not help against."""


class RangeSource(Protocol):
    """Bytes that can be read from any offset, by several threads at a time.

    Attributes:
        size: Bytes of the whole.
    """

    size: int

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        """Yield offset and bytes of each block of the ranges (offset, length), in order.

        A block need not stay valid when the next one is asked for. Ranges may be taken ahead of time, but
        not after the iterator was closed. `NOT_READY` may stand in place of a block that is not there yet.
        """


def stream_count(*, size: int, round_trip: float, limit: int, tuning: TransferTuning = DEFAULT_TUNING) -> int:
    """Return how many streams pay for an object.

    Args:
        size: Bytes.
        round_trip: Seconds to the server and back.
        limit: Streams that the partner allows.
        tuning: What pays.
    """
    until_window_is_no_limit = math.ceil(tuning.aim_bytes_per_second * round_trip / _WINDOW_BYTES)
    return max(1, min(limit, until_window_is_no_limit, size // tuning.min_bytes_per_stream))


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class UploadRequest:
    """What to put where.

    Attributes:
        source: The bytes.
        temporary: The name. Missing directories are made.
        path: The final name, where there is to be one: nothing is sent if the server could not keep it.
        start: Bytes that are under the temporary name already; the others are written behind them, once this
            server has shown that it resumes files (`supports_resume`).
        is_spread: Whether several streams have written behind them before, as far as they got.
        stop: Asked before each block. From the first True on nothing more is sent, and the file stays under
            its temporary name, to be resumed later.
        most_streams: By default as many as pay.
    """

    source: RangeSource
    temporary: str
    path: str = ""
    start: int = 0
    is_spread: bool = False
    stop: Callable[[], bool] = _never
    most_streams: int | None = None


class _Segments:
    """The byte ranges that are still to be written. Shared by the streams."""

    def __init__(
        self,
        size: int,
        *,
        start: int = 0,
        stop: Callable[[], bool] = _never,
        tuning: TransferTuning = DEFAULT_TUNING,
    ) -> None:
        self._tuning = tuning
        self._size = size
        self._start = start
        self._stop = stop
        self._longest = max(1, size)
        self._streams = 1
        self._next = start
        self._given: list[tuple[int, int]] = []
        self._returned: deque[tuple[int, int]] = deque()
        self._not_closed: list[tuple[int, int]] = []
        self._in_hand: list[list[tuple[int, int]]] = []
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._closed = False
        self._stopped = False
        self._paused = False

    def share(self, streams: int) -> None:
        """Give out ranges that so many streams can work at."""
        self._streams = streams
        self._longest = self._tuning.segment_bytes

    def open(self) -> None:
        """Let the streams begin: the file is there."""
        self._opened.set()

    def wait_until_opened(self) -> None:
        """Wait until the streams may begin, or until it is clear that they never may."""
        self._opened.wait()

    def enter(self, at_work: threading.Event) -> bool:
        """Join the work as soon as it is opened, and say so; False when it is over already."""
        self.wait_until_opened()
        with self._lock:
            if not self._closed:
                at_work.set()
            return not self._closed

    def close(self) -> None:
        """Let no further stream join."""
        with self._lock:
            self._closed = True
        self._opened.set()

    @property
    def stopped(self) -> bool:
        """Whether the delivery has failed: streams end at the next block."""
        return self._stopped

    @property
    def paused(self) -> bool:
        """Whether the delivery is to go on another time: streams end at the next block, and close in order."""
        # For good: what is left is counted from where each stream has ended.
        if not self._paused and self._stop():
            self._paused = True
        return self._paused

    def stop(self) -> None:
        """Let all streams end."""
        self._stopped = True
        self.close()

    def take(self) -> tuple[int, int] | None:
        """Return the next range as offset and length, or None when all are taken."""
        with self._lock:
            if self._stopped or self.paused:
                return None
            if self._returned:
                return self._returned.popleft()
            left = self._size - self._next
            if left <= 0:
                return None
            shared = (
                max(self._tuning.last_segment_bytes, left // (2 * self._streams))
                if self._streams > 1
                else left
            )
            taken = self._next, min(self._longest, shared, left)
            self._given.append(taken)
            self._next += taken[1]
            return taken

    def give_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Put back ranges that were not written to their end. Writing them again writes the same bytes."""
        with self._lock:
            self._returned.extend(ranges)

    def note_not_closed(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remember ranges that were given back although each WRITE was answered: the CLOSE was not."""
        with self._lock:
            self._not_closed.extend(ranges)

    def left(self) -> bool:
        """Return whether there are ranges to take."""
        with self._lock:
            return bool(self._returned) or self._next < self._size

    @contextlib.contextmanager
    def in_hand(self, taken: list[tuple[int, int]]) -> Iterator[None]:
        """Know of the ranges that a stream works at until the end of the block."""
        with self._lock:
            self._in_hand.append(taken)
        try:
            yield
        finally:
            with self._lock:
                self._in_hand = [other for other in self._in_hand if other is not taken]

    def acknowledged(self) -> int:
        """Return up to where all bytes are written, once every stream has ended."""
        with self._lock:
            return min([self._next, *(offset for offset, _ in self._returned)])

    def acknowledged_after_loss(self, *, at_best: bool = False) -> int:
        """Return up to where all bytes are written, also where the CLOSE was not answered.

        Args:
            at_best: What may come of it if streams that are at work still end well.
        """
        with self._lock:
            missing = [*self._returned, (self._next, self._size - self._next)]
            if not at_best:
                missing += [range_ for taken in self._in_hand for range_ in taken]
            for offset, length in sorted(missing):
                reached = _end_of(self._not_closed, offset)
                if reached < offset + length:
                    return reached
            return self._size

    def again(self) -> "_Segments":
        """Return the same ranges for one stream, in order.

        Exactly the same, so that the source can tell that it gives bytes a second time.
        """
        anew = _Segments(self._size, start=self._start, stop=self._stop, tuning=self._tuning)
        anew._given = list(self._given)
        anew._returned.extend(self._given)
        anew._next, anew._longest = self._next, self._longest
        return anew


class _ParallelStream(threading.Thread):
    """A further writer of the file, until there are no ranges left or until it fails."""

    def __init__(
        self,
        number: int,
        pool: ConnectionPool,
        source: RangeSource,
        segments: _Segments,
        path: str,
        admits: Callable[[int, Connection], bool],
    ) -> None:
        super().__init__(name=f"stream-{number}", daemon=True)
        self.number = number
        self._pool = pool
        self._admits = admits
        self._source = source
        self._segments = segments
        self._path = path
        self.at_work = threading.Event()
        """Set from joining the work on: only such streams are waited for."""
        self.closed_at = -math.inf
        """When its CLOSE was answered, by the monotonic clock."""
        self.failure: BaseException | None = None
        """What ended the delivery. Errors of the stream itself only end the stream."""

    def run(self) -> None:
        """Write segments. A stream that the partner refuses retires quietly: the others do its work."""
        connection: Connection | None = None
        try:
            connection = self._pool.stream(self.number)
            self._segments.wait_until_opened()
            if self._admits(self.number, connection) and self._segments.enter(self.at_work):
                connection.session.run_one(self._write(connection.session))
                self.closed_at = time.monotonic()
                self._pool.touch(self.number)
        except (TransferError, PartnerError) as error:
            self._drop(connection)
            # When not even the first stream comes up, that is not because of the others.
            self._segments.wait_until_opened()
            if not self._segments.stopped:
                self._pool.disable_stream(self.number, error)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for the streams
            self._drop(connection)
            self.failure = error
            self._segments.stop()

    def _drop(self, connection: Connection | None) -> None:
        # Only its own: when this stream notices late that its delivery has failed, the next object may have
        # put another connection in the place.
        if connection is not None:
            self._pool.drop(self.number, only=connection)

    async def _write(self, session: SftpSession) -> None:
        handle = await session.open_existing(self._path)
        await _write_segments(session, handle, self._source, self._segments, self._segments.take, self._path)


def upload_parallel(
    pool: ConnectionPool, request: UploadRequest, tuning: TransferTuning = DEFAULT_TUNING
) -> Staged:
    """Put a file of any size under its temporary name.

    The first stream starts at once, the others join as their connections come up and the server has shown
    that it keeps together what several connections write (`Admission`). It is complete when every WRITE and
    every CLOSE of every stream were answered with OK and the size that the server shows is the right one.
    When the server refuses a further stream something while others are at work, the first one writes it all
    anew: there are servers that take no second writer, or bytes only in order.
    Memory: per stream one block of the source, and what the source reads ahead.

    Args:
        pool: The partner's connections.
        request: What to put where.
        tuning: How it is shared out among streams.

    Returns:
        What is under the temporary name. Also when the connection of the first stream was lost behind `start`:
        what was acknowledged until then is there. When several streams were at work and all were lost, nothing
        behind `start` is relied on.

    Raises:
        RemotePathRefused: See `windows.require_valid_name`.
        CheckpointLost: There are not as many bytes under the temporary name as `start` says, or this server
            has shown that it does not resume files.
        ResumeRefused: The server does not let this file be resumed now, or not that it is tried.
        SizeMismatch: The server shows another size than was acknowledged. The temporary file is removed.
        TransferError: The server refused or was lost. A temporary file that this call has begun is removed
            if the server answers.
        Exception: Whatever the source raised.
    """
    return _Transfer(pool, request, tuning).run()


class _Transfer:
    """One file on its way."""

    def __init__(self, pool: ConnectionPool, request: UploadRequest, tuning: TransferTuning) -> None:
        self._pool = pool
        self._request = request
        self._tuning = tuning
        self._source = request.source
        self._start = request.start
        self._temporary = request.temporary
        self._is_ours = not request.start  # to be removed when this goes wrong
        self._segments = _Segments(request.source.size, start=request.start, stop=request.stop, tuning=tuning)
        self._streams: list[_ParallelStream] = []
        self._admission = Admission(pool, probe_name(request.temporary))
        self._first: Connection | None = None
        self._handles = 0  # of the first stream, one after the other
        self._at_close: FileAttributes | None = None

    def run(self) -> Staged:
        """Write it."""
        try:
            session = self._connect()
            handle = self._open(session)
            self._segments.open()
        except BaseException:
            self._segments.stop()
            self._admission.end()
            raise
        try:
            return self._send(session, handle)
        except BaseException as error:
            self._segments.stop()
            self._drop_streams()
            if self._is_ours or isinstance(error, SizeMismatch):
                session.run_one(discard(session, self._temporary))
            raise
        finally:
            self._admission.end()

    def _connect(self) -> SftpSession:
        self._first = self._pool.first(self._start_streams)
        self._first.session.require_valid_name(self._request.path)
        if self._start:
            self._require_resume_support(self._first)
            self._first = self._pool.first()  # it may be another one now
        return self._first.session

    def _require_resume_support(self, first: Connection) -> None:
        try:
            supports = supports_resume(self._pool, resume_probe_name(self._temporary))
        except RequestRefused as refused:
            raise _not_resumed(refused) from None
        if not supports:
            raise CheckpointLost(
                f"{first.server} does not keep what was written when a file is resumed.",
                hint="The object is sent from its beginning.",
            )

    def _start_streams(self, round_trip: float) -> None:
        limit = min(self._pool.limit, self._request.most_streams or self._pool.limit)
        count = stream_count(
            size=self._source.size - self._start, round_trip=round_trip, limit=limit, tuning=self._tuning
        )
        numbers = self._pool.streams(count - 1)
        self._admission.numbers = numbers
        self._streams += [
            _ParallelStream(number, self._pool, self._source, self._segments, self._temporary, self._admits)
            for number in numbers
        ]
        if self._streams:
            self._segments.share(1 + len(self._streams))
        for stream in self._streams:
            stream.start()

    def _admits(self, number: int, connection: Connection) -> bool:
        return self._first is not None and self._admission.admits(number, connection, self._first)

    def _open(self, session: SftpSession) -> bytes:
        """Open the file. What the proof needs travels with it, and delays nothing."""
        handle, trouble = _run_together(session, self._open_file(session), self._admission.open(session))
        if trouble is not None:
            raise trouble
        if isinstance(handle, bytes):
            return handle
        if self._admission.has_file:
            with contextlib.suppress(TransferError):
                session.run_one(self._admission.discard(session))
            # There are servers that let one handle be open, and answer in any order.
            if isinstance(handle, RequestRefused):
                return session.run_one(self._open_file(session))
        raise handle

    async def _open_file(self, session: SftpSession) -> bytes:
        return await (self._open_again(session) if self._start else create(session, self._temporary))

    async def _open_again(self, session: SftpSession) -> bytes:
        opened, size = session.open_existing(self._temporary), session.size_of(self._temporary)
        try:
            handle = await opened
        except RequestRefused as refused:
            if refused.code in NOTHING_THERE or await _is_gone(size):
                raise CheckpointLost(
                    f"{self._temporary!r}, {self._start} bytes of an object, is no longer at the partner.",
                    hint="The object is sent from its beginning.",
                ) from None
            raise _not_resumed(refused) from None
        # A drop box does not tell; then the statuses of the former writes are what is known.
        with contextlib.suppress(RequestRefused):
            found = await size
            if found is not None and found < self._start:
                session.abandon(session.close_file(handle, path=self._temporary))
                raise CheckpointLost(
                    f"{self._temporary!r} has {found} bytes at the partner, {self._start} were acknowledged.",
                    hint="The object is sent from its beginning.",
                )
        return handle

    def _send(self, session: SftpSession, handle: bytes) -> Staged:
        try:
            self._write(session, handle)
            acknowledged = self._segments.acknowledged()
            is_complete = acknowledged == self._source.size
            seen = self._look(session) if is_complete else None
        except ConnectionLost as lost:
            self._admission.note_loss(lost)
            if session.is_over and (sent := self._keep(lost)):
                return sent
            raise
        self._pool.touch(0)
        return self._sent(acknowledged, complete=is_complete, seen=seen)

    def _sent(
        self,
        acknowledged: int,
        *,
        complete: bool,
        seen: FileAttributes | None = None,
        lost: TransferError | None = None,
    ) -> Staged:
        return Staged(
            streams=1 + sum(stream.at_work.is_set() for stream in self._streams),
            acknowledged=acknowledged,
            complete=complete,
            temporary=self._temporary,
            seen=seen,
            probe_may_stand=self._admission.file_may_stand,
            is_spread=self._request.is_spread or any(stream.at_work.is_set() for stream in self._streams),
            lost=lost,
        )

    def _look(self, session: SftpSession) -> FileAttributes | None:
        is_all = self._handles == 1 and not any(stream.at_work.is_set() for stream in self._streams)
        looking = confirm_size(
            session, self._temporary, size=self._source.size, at_close=self._at_close, is_all=is_all
        )
        return session.run_one(looking)

    def _keep(self, lost: ConnectionLost) -> Staged | None:
        """Return how far it is without the first stream's connection; None when nothing was gained."""
        self._segments.stop()
        self._admission.end()
        if self._segments.acknowledged_after_loss(at_best=True) <= self._start:
            return None
        lost_at = time.monotonic()
        at_work = [stream for stream in self._streams if stream.at_work.is_set()]
        for stream in at_work:
            stream.join(max(0.0, lost_at + self._tuning.closing_seconds - time.monotonic()))
        self._drop_streams()
        if at_work or self._request.is_spread:
            # A server may keep what it has acknowledged in memory until CLOSE: a process that dies, or a
            # machine of several, takes it along. Where others have written behind it, no size shows that.
            acknowledged = max(self._start, self._segments.acknowledged())
            return self._sent(acknowledged, complete=False, lost=lost)
        acknowledged = self._segments.acknowledged_after_loss()
        return self._sent(acknowledged, complete=False, lost=lost) if acknowledged > self._start else None

    def _drop_streams(self) -> None:
        for stream in self._streams:
            self._pool.drop(stream.number)

    def _write(self, session: SftpSession, handle: bytes) -> None:
        try:
            self._write_beside_the_proof(session, handle)
            while self._admission.needs_free_handle and self._segments.left() and not self._segments.paused:
                session.run_one(self._admission.take_part(session))
                session.run_one(self._write_rest(session, self._take))
            self._admission.call_off()
            self._finish(session)
        except RequestRefused as refused:
            if refused.code in _FULL or not any(stream.at_work.is_set() for stream in self._streams):
                raise
            self._write_in_order(session, refused)

    def _write_beside_the_proof(self, session: SftpSession, handle: bytes) -> None:
        proving, writing = self._admission.take_part(session), self._write_own(session, handle, self._take)
        troubles: dict[int, Exception] = {}
        # The proof first: its few bytes go out before what fills the line.
        for place, outcome in session.run([proving, writing], at_a_time=2):
            if isinstance(outcome, Exception):
                troubles[place] = outcome
            if place == 1 and (place in troubles or not self._admission.needs_free_handle):
                self._admission.call_off()
        for place in sorted(troubles, reverse=True):
            raise troubles[place]

    def _take(self) -> tuple[int, int] | None:
        return None if self._admission.needs_free_handle else self._segments.take()

    async def _write_own(
        self, session: SftpSession, handle: bytes, take: Callable[[], tuple[int, int] | None]
    ) -> None:
        self._handles += 1
        self._at_close = await _write_segments(
            session, handle, self._source, self._segments, take, self._temporary
        )

    def _finish(self, session: SftpSession) -> None:
        """Wait for the streams that joined, and write what failed ones have left."""
        self._segments.close()
        for stream in self._streams:
            if stream.at_work.is_set():
                stream.join()
            if stream.failure is not None:
                raise stream.failure
        if self._segments.left() and not self._segments.paused:
            session.run_one(self._write_rest(session, self._segments.take))

    async def _write_rest(self, session: SftpSession, take: Callable[[], tuple[int, int] | None]) -> None:
        await self._write_own(session, await session.open_existing(self._temporary), take)

    def _write_in_order(self, session: SftpSession, refused: RequestRefused) -> None:
        """Write it all in order: what servers want that have an object store behind them.

        To a new file, unless the old one holds bytes that are not sent again.
        """
        self._segments.stop()
        self._admission.call_off()
        self._drop_streams()
        self._segments = self._segments.again()
        if self._start:
            session.run_one(self._write_rest(session, self._segments.take))
        else:
            abandoned, self._temporary = self._temporary, another_name(self._temporary)
            self._handles = 0
            session.run_one(discard(session, abandoned))
            session.run_one(self._write_anew(session))
            # Once more: meanwhile the handles of the streams have ended, which may have brought it back.
            session.run_one(discard(session, abandoned))
        while self._streams:  # now it is clear that they were the cause
            self._pool.disable_stream(self._streams.pop().number, refused)

    async def _write_anew(self, session: SftpSession) -> None:
        await self._write_own(session, await create(session, self._temporary), self._segments.take)


async def _is_gone(size: Pending[int | None]) -> bool:
    """Say whether the server says so: some give no reason when they do not open a file that is missing."""
    try:
        await size
    except RequestRefused as refused:
        return refused.code in NOTHING_THERE
    return False


def _not_resumed(refused: RequestRefused) -> ResumeRefused:
    return ResumeRefused(
        refused.reason,
        hint="The server must allow writing into a file that exists. It will be retried; ask the partner if "
        "it goes on.",
        code=refused.code,
        disposition=refused.disposition,
        request=refused.request,
    )


def _run_together(
    session: SftpSession, one: Conversation[bytes], other: Conversation[None]
) -> tuple[bytes | Exception, Exception | None]:
    """Drive two conversations at the same time to their ends; return the outcomes."""
    outcomes: dict[int, Any] = dict(session.run([one, other], at_a_time=2))
    return outcomes[0], outcomes[1]


async def _write_segments(
    session: SftpSession,
    handle: bytes,
    source: RangeSource,
    segments: _Segments,
    take: Callable[[], tuple[int, int] | None],
    path: str,
) -> FileAttributes | None:
    """Write segments until there are none to take, close the handle, and return what FSTAT has shown.

    On failure all ranges that this call has taken are given back: an acknowledged write is only as good
    as the CLOSE behind it. After a pause, what is left of them.
    """
    taken: list[tuple[int, int]] = []
    given = written = 0

    def count(size: int) -> None:
        nonlocal written
        written += size

    def ranges() -> Iterator[tuple[int, int]]:
        while (segment := take()) is not None:
            taken.append(segment)
            yield segment

    def blocks() -> Generator[tuple[int, Piece], None, None]:
        nonlocal given
        for offset, block in source.blocks(ranges(), session.max_write_bytes):
            if segments.stopped or segments.paused:
                return
            yield offset, block
            given += len(block)
        if given != sum(length for _, length in taken) and not segments.paused:
            raise RuntimeError(f"the source gave {given} bytes for {taken}")

    with segments.in_hand(taken):
        try:
            # Closed at once on failure: the error's traceback would keep the source reading.
            with contextlib.closing(blocks()) as pieces:
                seen = await write_and_close(session, handle, pieces, path=path, acknowledged=count)
        except BaseException as error:
            segments.give_back(taken)
            if isinstance(error, ConnectionLost):
                segments.note_not_closed(_first_of(taken, written))
            raise
        segments.give_back(_behind(taken, given))
    return seen


def _end_of(ranges: Iterable[tuple[int, int]], offset: int) -> int:
    """Return up to where the ranges cover what begins at the offset."""
    for start, length in sorted(ranges):
        if start <= offset < start + length:
            offset = start + length
    return offset


def _first_of(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The first bytes of the ranges, so many of them."""
    for offset, length in ranges:
        done = min(size, length)
        size -= done
        if done:
            yield offset, done


def _behind(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """What is left of the ranges when so many bytes of them are done."""
    for offset, length in ranges:
        done = min(size, length)
        size -= done
        if done < length:
            yield offset + done, length - done
