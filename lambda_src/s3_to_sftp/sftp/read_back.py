"""Whether a file that several streams have written holds what each of them has written.

Asked only for connections of which no probe and no earlier file has shown it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from s3_to_sftp.errors import RequestRefused, TransferError
from s3_to_sftp.sftp.connection import Connection
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.samples import Samples
from s3_to_sftp.sftp.scheduler import SftpTask
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload_stream import FurtherStreams


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What reading back has shown.

    Attributes:
        is_kept: Whether the file holds what all streams have written.
        has_looked: Whether the file's attributes were asked for meanwhile.
        seen: These attributes, as far as the server tells.
    """

    is_kept: bool = False
    has_looked: bool = False
    seen: FileAttributes | None = None


class ReadBack:
    """Reads the samples of one file, and remembers in the pool what they show of the connections.

    Args:
        pool: The partner's connections.
        samples: Of the file.
    """

    def __init__(self, pool: ConnectionPool, samples: Samples) -> None:
        self._pool = pool
        self._samples = samples

    def over_the_first(
        self,
        session: SftpSession,
        streams: FurtherStreams,
        path: str,
        *,
        first: Connection | None,
        looking: Callable[[SftpSession], SftpTask[FileAttributes | None]] | None,
    ) -> Shown:
        """Return what the first connection shows. Streams are disabled where the file lacks something.

        Args:
            session: Of the first connection.
            streams: Those that have joined the work, and ended.
            path: The file.
            first: The first connection.
            looking: Asks for the attributes of a complete file: in the same round trips.

        Raises:
            TransferError: The server is lost, or what `looking` raises.
        """
        not_shown = self._pool.not_shown_to_keep(streams.connections())
        if not not_shown:
            return Shown(is_kept=True)
        try:
            shown = self._read(session, path, looking)
        except RequestRefused as refused:
            self._pool.disable_parallel_streams(refused.reason, permanent=False)
            return Shown()
        if shown.is_kept:
            # Another file may hold more of the others: they are looked at then.
            shows = {number: each for number, each in not_shown.items() if self._samples.tell_of(number)}
            self._pool.note_kept_together(shows, first=first)
        else:
            self._pool.disable_parallel_streams("it does not keep together what several connections write")
        return shown

    def _read(
        self,
        session: SftpSession,
        path: str,
        looking: Callable[[SftpSession], SftpTask[FileAttributes | None]] | None,
    ) -> Shown:
        reading = self._samples.are_there(session, path)
        if looking is None:
            return Shown(is_kept=session.run_one(reading))
        are_there, seen = session.run_two(reading, looking(session))
        if isinstance(are_there, Exception):
            raise are_there
        if not are_there:
            return Shown()
        if isinstance(seen, Exception):
            raise seen
        return Shown(is_kept=True, has_looked=True, seen=seen)

    def over_another(self, streams: FurtherStreams, path: str, *, below: int) -> bool:
        """Return whether the first so many bytes are kept, over another connection than a lost first one."""
        if not self._pool.not_shown_to_keep(streams.connections()):
            return True
        session = streams.survivor()
        if session is None:
            return False
        try:
            return session.run_one(self._samples.are_there(session, path, below=below))
        except TransferError:
            return False


def not_kept_together() -> TransferError:
    """Return why what further streams have written does not count."""
    return TransferError(
        "It was not shown that what several connections write is kept together.",
        hint="It will be retried over one connection.",
    )
