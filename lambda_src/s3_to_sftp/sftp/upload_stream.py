"""One stream of an upload: it takes byte ranges, writes them through a handle of its own, and closes it."""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator

from s3_to_sftp.errors import ConnectionLost, PartnerError, TransferError
from s3_to_sftp.sftp.byte_ranges import ByteRanges, first_of, rest_of
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload_request import RangeSource
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece


class ParallelStream(threading.Thread):
    """A further writer of the file, until there are no ranges left or until it fails."""

    def __init__(
        self,
        number: int,
        pool: ConnectionPool,
        source: RangeSource,
        byte_ranges: ByteRanges,
        path: str,
        admits: Callable[[int, Connection], bool],
    ) -> None:
        super().__init__(name=f"stream-{number}", daemon=True)
        self.number = number
        self._pool = pool
        self._admits = admits
        self._source = source
        self._byte_ranges = byte_ranges
        self._path = path
        self.at_work = threading.Event()
        """Set from joining the work on: only such streams are waited for."""
        self.failure: BaseException | None = None
        """What ended the delivery. Errors of the stream itself only end the stream."""

    def run(self) -> None:
        """Write byte ranges. A stream that the partner refuses only ends: the others do its work."""
        connection: Connection | None = None
        try:
            connection = self._pool.stream(self.number)
            self._byte_ranges.wait_until_opened()
            if self._admits(self.number, connection) and self._byte_ranges.join(self.at_work):
                connection.session.run_one(self._write(connection.session))
                self._pool.touch(self.number)
        except (TransferError, PartnerError) as error:
            self._drop(connection)
            # When not even the first stream comes up, that is not because of the others.
            self._byte_ranges.wait_until_opened()
            if not self._byte_ranges.aborted:
                self._pool.disable_stream(self.number, error)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for the streams
            self._drop(connection)
            self.failure = error
            self._byte_ranges.abort()

    def _drop(self, connection: Connection | None) -> None:
        # Only its own: when this stream notices late that its delivery has failed, the next object may have
        # put another connection in the place.
        if connection is not None:
            self._pool.drop(self.number, only=connection)

    async def _write(self, session: SftpSession) -> None:
        handle = await session.open_existing(self._path)
        await write_ranges(
            session, handle, self._source, self._byte_ranges, self._byte_ranges.take, self._path
        )


async def write_ranges(
    session: SftpSession,
    handle: bytes,
    source: RangeSource,
    byte_ranges: ByteRanges,
    take: Callable[[], tuple[int, int] | None],
    path: str,
) -> FileAttributes | None:
    """Write byte ranges until there are none to take, close the handle, and return what FSTAT has shown.

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
