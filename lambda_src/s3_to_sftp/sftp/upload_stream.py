"""The streams of an upload. Each takes byte ranges, writes them through its own handle, and closes that."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator

from s3_to_sftp.errors import ConnectionLost, PartnerError, TransferError
from s3_to_sftp.sftp.byte_ranges import ByteRanges, first_of, rest_of
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.samples import Samples
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.stream_admission import Admission
from s3_to_sftp.sftp.upload_request import RangeReader
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece


class ParallelStream(threading.Thread):
    """A further writer of the file, until there are no ranges left or until it fails."""

    def __init__(
        self,
        number: int,
        pool: ConnectionPool,
        admission: Admission,
        source: RangeReader,
        byte_ranges: ByteRanges,
        path: str,
        samples: Samples,
    ) -> None:
        super().__init__(name=f"stream-{number}", daemon=True)
        self.number = number
        self._pool = pool
        self._admission = admission
        self._source = source
        self._byte_ranges = byte_ranges
        self._path = path
        self._samples = samples
        self.connection: Connection | None = None
        """None until it is there."""
        self.at_work = threading.Event()
        """Set from joining the work on: only such streams are waited for."""
        self.failure: BaseException | None = None
        """What ended the delivery. Errors of the stream itself only end the stream."""

    def run(self) -> None:
        """Write byte ranges. A stream that the partner refuses only ends: the others do its work."""
        connection: Connection | None = None
        try:
            self.connection = connection = self._pool.stream(self.number)
            self._byte_ranges.wait_until_opened()
            if self._admission.admits(self.number, connection) and self._byte_ranges.join(self.at_work):
                connection.session.run_one(self._write(connection.session))
                self._pool.touch(self.number)
        except (TransferError, PartnerError) as error:
            self._samples.forget(self.number)
            is_lost = self._drop(connection)
            # When not even the first stream comes up, that is not because of the others.
            self._byte_ranges.wait_until_opened()
            if is_lost and not self._byte_ranges.aborted:
                self._pool.disable_stream(self.number, error)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for the streams
            self._drop(connection)
            self.failure = error
            self._byte_ranges.abort()

    def _drop(self, connection: Connection | None) -> bool:
        """Close its connection; return False if we had closed it before: the server has not ended it then."""
        # Only its own: when this stream notices late that its delivery has failed, the next object may have
        # put another connection in the place.
        return connection is None or self._pool.drop(self.number, only=connection)

    async def _write(self, session: SftpSession) -> None:
        handle = await session.open_existing(self._path)
        await write_ranges(
            session,
            handle,
            self._source,
            self._byte_ranges,
            self._byte_ranges.take,
            self._path,
            note=functools.partial(self._samples.note, self.number),
        )


class FurtherStreams:
    """The further streams of one upload. Belongs to the first stream's thread."""

    def __init__(self, pool: ConnectionPool, admission: Admission, samples: Samples) -> None:
        self._pool = pool
        self._admission = admission
        self._samples = samples
        self._streams: list[ParallelStream] = []

    def start(self, numbers: Iterable[int], source: RangeReader, byte_ranges: ByteRanges, path: str) -> None:
        """Start one for each number that has none. They join the work once connected and admitted."""
        new = [number for number in numbers if number not in self._admission.numbers]
        self._admission.numbers = [*self._admission.numbers, *new]
        streams = [
            ParallelStream(number, self._pool, self._admission, source, byte_ranges, path, self._samples)
            for number in new
        ]
        self._streams += streams
        for stream in streams:
            stream.start()

    def at_work(self) -> int:
        """Return how many have joined the work."""
        return len(self._joined())

    def connections(self) -> dict[int, Connection]:
        """Return the connections of those that have joined the work, by their numbers."""
        joined = ((stream.number, stream.connection) for stream in self._joined())
        return {number: connection for number, connection in joined if connection is not None}

    def survivor(self) -> SftpSession | None:
        """Return the session of one that has joined the work and ended well; None: there is none."""
        for stream in self._joined():
            connection = stream.connection
            if not stream.is_alive() and connection is not None and connection.is_open():
                return connection.session
        return None

    def wait(self) -> None:
        """Wait until those that have joined the work end; raise the error that ended the delivery in one."""
        for stream in self._streams:
            if stream.at_work.is_set():
                stream.join()
            if stream.failure is not None:
                raise stream.failure

    def wait_at_most(self, seconds: float) -> int:
        """Wait until those that have joined the work end, but no longer; return how many they are."""
        end = time.monotonic() + seconds
        joined = self._joined()
        for stream in joined:
            stream.join(max(0.0, end - time.monotonic()))
        return len(joined)

    def drop(self) -> None:
        """Close their connections."""
        for stream in self._streams:
            self._pool.drop(stream.number)

    def disable(self, reason: Exception) -> None:
        """Disable these streams for a while, and no longer count them."""
        while self._streams:
            self._pool.disable_stream(self._streams.pop().number, reason)

    def _joined(self) -> list[ParallelStream]:
        return [stream for stream in self._streams if stream.at_work.is_set()]


async def write_ranges(
    session: SftpSession,
    handle: bytes,
    source: RangeReader,
    byte_ranges: ByteRanges,
    take: Callable[[], tuple[int, int] | None],
    path: str,
    *,
    note: Callable[[int, Piece], None],
) -> FileAttributes | None:
    """Write byte ranges until there are none to take, close the handle, and return what FSTAT has shown.

    Each block is noted before it is written.

    On failure all ranges that this call has taken are released: an acknowledged write is only as good
    as the CLOSE behind it. After a stop, what is left of them is released.
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
            if byte_ranges.aborted or byte_ranges.stopped:
                return
            note(offset, block)
            yield offset, block
            given += len(block)
        if given != sum(length for _, length in taken) and not byte_ranges.stopped:
            raise RuntimeError(f"the source gave {given} bytes for {taken}")

    with byte_ranges.being_written(taken):
        try:
            # Closed at once on failure: the error's traceback would keep the source reading.
            with contextlib.closing(blocks()) as pieces:
                seen = await write_and_close(session, handle, pieces, path=path, acknowledged=count)
        except BaseException as error:
            byte_ranges.release(taken)
            if isinstance(error, ConnectionLost):
                byte_ranges.note_unclosed(first_of(taken, written))
            raise
        byte_ranges.release(rest_of(taken, given))
    return seen
