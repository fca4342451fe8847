"""A few bytes that each stream of a file has written, read back over the connection of the first one.

The probe is made over two connections. Behind one address there may be several machines with one host key,
and each further connection may lead to another one, which does not see what the first is sent, or undoes it.
Such a file may have the right size, and holes.
"""

import threading

from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.ssh.stream import NOT_READY, Piece

_BYTES = 16


class Samples:
    """What to read back. Each stream notes its blocks; the foremost one that is not all zeros counts.

    Zeros show nothing: a hole is read as zeros, too. A range that another stream has left lies before a
    stream's own first one, and may be all of it that counts when the first stream is lost.
    """

    def __init__(self) -> None:
        self._of: dict[int, tuple[int, bytes]] = {}
        self._lock = threading.Lock()

    def note(self, number: int, offset: int, block: Piece) -> None:
        """Learn that this stream is about to write a block at this offset."""
        foremost = self._of.get(number)
        if block is NOT_READY or (foremost is not None and offset >= foremost[0]):
            return
        data = bytes(block)
        rest = data.lstrip(b"\0")
        if rest:
            with self._lock:
                self._of[number] = offset + len(data) - len(rest), rest[:_BYTES]

    def forget(self, number: int) -> None:
        """Learn that this stream has failed: its ranges are rewritten, and what it wrote may be missing."""
        with self._lock:
            self._of.pop(number, None)

    def tell_of(self, number: int) -> bool:
        """Return whether they show something of this stream beside the first one.

        Nothing is noted of one that came too late for a block, got zeros alone, or has failed.
        """
        with self._lock:
            return {0, number} <= self._of.keys()

    async def are_there(self, session: SftpSession, path: str, *, below: int | None = None) -> bool:
        """Return whether the file has all of them, once its handles are closed.

        Args:
            session: To read it over.
            path: The file.
            below: Those of the first so many bytes alone.

        Raises:
            RequestRefused: The server does not let it be read.
            TransferError: The server is lost.
        """
        with self._lock:
            every = sorted(self._of.values())
        samples = [each for each in every if below is None or each[0] + len(each[1]) <= below]
        handle = await session.open_reading(path)
        reads = [session.read(handle, offset, len(data), path=path) for offset, data in samples]
        closing = session.close_file(handle, path=path)  # travels with them
        try:
            found = [await read for read in reads]
        finally:
            for read in reads:
                session.abandon(read)
            session.abandon(closing)
        return all(there and data.startswith(there) for (_, data), there in zip(samples, found, strict=True))
