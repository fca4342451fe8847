"""One large file over several connections at once, each a stream that writes its own byte ranges.

At a distance one connection is held back by the server's SSH window (2 MiB per round trip with OpenSSH)
and by TCP, however deep the queue; every further connection brings its own. At no distance a further
connection only costs (docs/decisions/0009-parallel-streams.md has the measurements).
"""

import contextlib
import functools
import math
import time
from collections.abc import Callable

from s3_to_sftp.errors import ConnectionLost, RequestRefused, SizeMismatch, TransferError
from s3_to_sftp.sftp.byte_ranges import ByteRanges
from s3_to_sftp.sftp.capabilities import CHANNEL
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import FileAttributes, Status
from s3_to_sftp.sftp.read_back import ReadBack, Shown, not_kept_together
from s3_to_sftp.sftp.resume import open_at_checkpoint, require_resume_support
from s3_to_sftp.sftp.samples import Samples
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.stream_admission import Admission
from s3_to_sftp.sftp.stream_count import stream_count
from s3_to_sftp.sftp.temporary_names import another_name, probe_name
from s3_to_sftp.sftp.upload import Staged, create, discard
from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, TransferTuning, UploadRequest
from s3_to_sftp.sftp.upload_stream import FurtherStreams, write_ranges

_DOUBTFUL_SECONDS = 0.02
"""A shorter round trip is measured once more before further streams are started: the time that a busy machine
takes for a login looks like one."""

_clock = time.monotonic

_FULL = {Status.NO_SPACE_ON_FILESYSTEM, Status.QUOTA_EXCEEDED}
"""Refusals that fewer streams do not help against."""


def upload_parallel(
    pool: ConnectionPool, request: UploadRequest, tuning: TransferTuning = DEFAULT_TUNING
) -> Staged:
    """Put a file of any size under its temporary name.

    The first stream starts at once, the others join as their connections come up and the server has shown
    that it keeps together what several connections write (`Admission`). It is complete when every WRITE and
    every CLOSE of every stream were answered with OK and the size that the server shows is the right one.
    When the server refuses a further stream something while others are at work, the first one writes it all
    again: some servers accept no second writer, or bytes only in order.
    Memory: per stream one block of the source, and what the source reads ahead.

    Args:
        pool: The partner's connections.
        request: What to put where.
        tuning: How it is shared out among streams.

    Returns:
        What is under the temporary name. Also when the first stream's connection was lost behind `start`:
        what was acknowledged until then is there. When several streams were at work and all were lost,
        nothing behind `start` is relied on.

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
    """One upload."""

    def __init__(self, pool: ConnectionPool, request: UploadRequest, tuning: TransferTuning) -> None:
        self._pool = pool
        self._request = request
        self._tuning = tuning
        self._source = request.source
        self._start = request.start
        self._temporary = request.temporary
        self._is_ours = not request.start  # to be removed when this goes wrong
        self._byte_ranges = self._ranges()
        self._admission = Admission(pool, probe_name(request.temporary))
        self._samples = Samples()
        self._read_back = ReadBack(pool, self._samples)
        self._streams = FurtherStreams(pool, self._admission, self._samples)
        self._round_trip = math.inf
        self._has_started_streams = False
        self._has_begun_anew = False
        self._handles = 0  # of the first stream, one after the other
        self._at_close: FileAttributes | None = None
        self._shown = Shown()

    def run(self) -> Staged:
        """Write it."""
        try:
            session, handle = self._begin()
            self._byte_ranges.open()
        except BaseException:
            self._byte_ranges.abort()
            self._admission.end()
            raise
        try:
            return self._send(session, handle)
        except BaseException as error:
            self._byte_ranges.abort()
            self._streams.drop()
            if self._is_ours or isinstance(error, SizeMismatch):
                session.run_one(discard(session, self._temporary))
            raise
        finally:
            self._admission.end()

    def _begin(self) -> tuple[SftpSession, bytes]:
        session = self._connect()
        try:
            if self._is_direct:
                session.start()
            return session, self._open_measured(session)
        except TransferError as error:
            if session.has_started:
                raise
            # It was sent more at once than it takes; without that, it says what is wrong.
            self._pool.contradicted(error.reason)
        self._begin_anew()
        session = self._connect()
        return session, self._open_measured(session)

    def _begin_anew(self) -> None:
        """Begin with another name: the server may still carry out the OPEN that it has not answered.

        It would empty the file, also a complete one. Where there is no other name, none was sent.
        """
        self._byte_ranges.abort()
        self._admission.end()
        self._has_begun_anew = True
        if not self._is_direct:
            self._temporary = another_name(self._temporary)
        self._byte_ranges = self._ranges()
        self._admission = Admission(self._pool, probe_name(self._temporary))
        self._streams = FurtherStreams(self._pool, self._admission, self._samples)
        self._has_started_streams = False

    def _ranges(self) -> ByteRanges:
        return ByteRanges(self._source.size, start=self._start, stop=self._request.stop, tuning=self._tuning)

    @property
    def _is_direct(self) -> bool:
        """Whether it is written under its final name."""
        return self._request.temporary == self._request.path

    def _connect(self) -> SftpSession:
        self._start_known_streams()
        self._admission.first = first = self._pool.first(self._logged_in, started=False)
        first.session.require_valid_name(self._request.path)
        if self._start:
            require_resume_support(self._pool, self._temporary)
            self._admission.first = first = self._pool.first()  # it may be another one now
        return first.session

    def _start_known_streams(self) -> None:
        """Connect the streams beside the first one where the server has accepted as many before."""
        known = self._pool.known_for_streams()
        if known is None:
            return
        most = min(known.connections, known.at_once or known.connections)
        numbers = self._numbers(known.round_trip)[: max(0, most - 1)]
        if numbers and CHANNEL not in numbers:
            self._pool.expect_first_login(numbers)
            self._start_numbers(numbers)

    def _logged_in(self, round_trip: float) -> None:
        self._round_trip = round_trip
        if round_trip >= _DOUBTFUL_SECONDS:
            self._start_streams(round_trip)

    def _start_streams(self, round_trip: float) -> None:
        self._has_started_streams = True
        self._start_numbers(self._numbers(round_trip))

    def _numbers(self, round_trip: float) -> list[int]:
        limit = min(self._pool.limit, self._request.most_streams or self._pool.limit)
        count = stream_count(
            size=self._source.size - self._start, round_trip=round_trip, limit=limit, tuning=self._tuning
        )
        return self._pool.streams(count - 1)

    def _start_numbers(self, numbers: list[int]) -> None:
        if numbers:
            self._byte_ranges.share(1 + len(numbers))
        self._streams.start(numbers, self._source, self._byte_ranges, self._temporary)

    def _open_measured(self, session: SftpSession) -> bytes:
        """Open the file; where the login has not shown that the server is far, see how long that takes."""
        asked_at = _clock()
        handle = self._open(session)
        if not self._has_started_streams:
            session.round_trip = min(session.round_trip, self._round_trip, _clock() - asked_at)
            self._start_streams(session.round_trip)
        return handle

    def _open(self, session: SftpSession) -> bytes:
        """Open the file, and the probe file in the same round trip."""
        handle, error = session.run_two(self._open_file(session), self._admission.open(session))
        if error is not None:
            raise error
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
        if self._start:
            return await open_at_checkpoint(session, self._temporary, start=self._start)
        return await create(session, self._temporary)

    def _send(self, session: SftpSession, handle: bytes) -> Staged:
        try:
            self._write(session, handle)
            acknowledged = self._byte_ranges.acknowledged()
            is_complete = self._is_all_acknowledged()
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
        at_work = self._streams.at_work()
        return Staged(
            streams=1 + at_work,
            acknowledged=acknowledged,
            complete=complete,
            temporary=self._temporary,
            seen=seen,
            probe_may_stand=self._has_begun_anew or self._admission.file_may_stand,
            is_spread=self._request.is_spread or at_work > 0,
            lost=lost,
        )

    def _is_all_acknowledged(self) -> bool:
        return self._byte_ranges.acknowledged() == self._source.size

    def _look(self, session: SftpSession) -> FileAttributes | None:
        if self._shown.has_looked:
            return self._shown.seen
        return session.run_one(self._looking(session))

    async def _looking(self, session: SftpSession) -> FileAttributes | None:
        is_all = self._handles == 1 and not self._streams.at_work()
        return await confirm_size(
            session, self._temporary, size=self._source.size, at_close=self._at_close, is_all=is_all
        )

    def _keep(self, lost: ConnectionLost) -> Staged | None:
        """Return how far it is without the first stream's connection; None when nothing was gained."""
        self._byte_ranges.abort()
        self._admission.end()
        if self._byte_ranges.acknowledged_after_loss(at_best=True) <= self._start:
            return None
        at_work = self._streams.wait_at_most(self._tuning.closing_seconds)
        below = max(self._start, self._byte_ranges.acknowledged())
        counts = not at_work or (
            self._admission.is_confirmed
            and self._read_back.over_another(self._streams, self._temporary, below=below)
        )
        self._streams.drop()
        if not counts:
            return None
        if at_work or self._request.is_spread:
            # A server may keep what it has acknowledged in memory until CLOSE: a process that dies, or a
            # machine of several, takes it along. Where others have written behind it, no size shows that.
            acknowledged = max(self._start, self._byte_ranges.acknowledged())
            return self._sent(acknowledged, complete=False, lost=lost)
        acknowledged = self._byte_ranges.acknowledged_after_loss()
        return self._sent(acknowledged, complete=False, lost=lost) if acknowledged > self._start else None

    def _write(self, session: SftpSession, handle: bytes) -> None:
        try:
            self._write_during_probe(session, handle)
            while (
                self._admission.needs_free_handle
                and self._byte_ranges.left()
                and not self._byte_ranges.stopped
            ):
                session.run_one(self._admission.take_part(session))
                session.run_one(self._write_rest(session, self._take))
            self._admission.call_off()
            self._finish(session)
            is_kept = self._admission.confirms() and self._is_kept_together(session)
        except RequestRefused as refused:
            if refused.code in _FULL or not self._streams.at_work():
                raise
            self._write_in_order(session, refused)
        else:
            if not is_kept:
                self._write_in_order(session, not_kept_together())

    def _is_kept_together(self, session: SftpSession) -> bool:
        looking = self._looking if self._is_all_acknowledged() else None
        self._shown = self._read_back.over_the_first(
            session, self._streams, self._temporary, first=self._admission.first, looking=looking
        )
        return self._shown.is_kept

    def _write_during_probe(self, session: SftpSession, handle: bytes) -> None:
        proving, writing = self._admission.take_part(session), self._write_own(session, handle, self._take)
        errors: dict[int, Exception] = {}
        # The probe first: its few bytes are sent before those that fill the line.
        for place, outcome in session.run([proving, writing], at_a_time=2):
            if isinstance(outcome, Exception):
                errors[place] = outcome
            is_awaited = self._admission.is_relied_on or self._admission.needs_free_handle
            if place == 1 and (place in errors or not is_awaited):
                self._admission.call_off()
        for place in sorted(errors, reverse=True):
            raise errors[place]

    def _take(self) -> tuple[int, int] | None:
        return None if self._admission.needs_free_handle else self._byte_ranges.take()

    async def _write_own(
        self, session: SftpSession, handle: bytes, take: Callable[[], tuple[int, int] | None]
    ) -> None:
        self._handles += 1
        self._at_close = await write_ranges(
            session,
            handle,
            self._source,
            self._byte_ranges,
            take,
            self._temporary,
            note=functools.partial(self._samples.note, 0),
        )

    def _finish(self, session: SftpSession) -> None:
        """Wait for the streams that joined, and write what failed ones have left."""
        self._byte_ranges.close()
        self._streams.wait()
        if self._byte_ranges.left() and not self._byte_ranges.stopped:
            session.run_one(self._write_rest(session, self._byte_ranges.take))

    async def _write_rest(self, session: SftpSession, take: Callable[[], tuple[int, int] | None]) -> None:
        await self._write_own(session, await session.open_existing(self._temporary), take)

    def _write_in_order(self, session: SftpSession, refused: TransferError) -> None:
        """Write it all in order: what servers want that have an object store behind them.

        To a new file, unless the old one holds bytes that are not sent again.

        Raises:
            TransferError: See `upload_parallel`; `refused` where no other name is left for a new file.
        """
        self._byte_ranges.abort()
        self._admission.call_off()
        self._streams.drop()
        if not self._start and another_name(self._temporary) == self._temporary:
            # It was begun anew before: handles of ours may lead to both names.
            self._streams.disable(refused)
            raise refused
        self._shown = Shown()
        self._byte_ranges = self._byte_ranges.restarted()
        if self._start:
            session.run_one(self._write_rest(session, self._byte_ranges.take))
        else:
            abandoned, self._temporary = self._temporary, another_name(self._temporary)
            self._handles = 0
            session.run_one(discard(session, abandoned))
            session.run_one(self._write_anew(session))
            # Once more: meanwhile the handles of the streams have ended, which may have brought it back.
            session.run_one(discard(session, abandoned))
        self._streams.disable(refused)  # now it is clear that they were the cause

    async def _write_anew(self, session: SftpSession) -> None:
        await self._write_own(session, await create(session, self._temporary), self._byte_ranges.take)
