"""Writes through a sliding window of WRITE requests, and believes only statuses."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from s3_to_sftp.errors import ConnectionLost, TransferError
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending
from s3_to_sftp.ssh.stream import NOT_READY, Piece

WINDOW_BYTES = 4 * 1024 * 1024
"""The most that is sent and not acknowledged: twice OpenSSH's 2 MiB channel window, so never the limit."""

_FIRST_WINDOW_BYTES = 256 * 1024
"""More than TCP sends at first. Both grow by what is acknowledged, so that this is never the limit either."""

_RECENT_SECONDS = 1.0
"""What was acknowledged in this one and the one before is what may be under way: a second or two of work. A
partner who is slow must be able to acknowledge it all when an invocation comes to its end."""


async def write_and_close(
    session: SftpSession,
    handle: bytes,
    blocks: Iterable[tuple[int, Piece]],
    *,
    path: str,
    clock: Callable[[], float] = time.monotonic,
    acknowledged: Callable[[int], object] = lambda _size: None,
) -> FileAttributes | None:
    """Write the blocks at their offsets, close the file, and return what the server has shown of it.

    When it returns, every byte and the CLOSE were answered with status OK. Blocks are cut to what one
    WRITE may hold, never joined. FSTAT and CLOSE are sent behind the last WRITE without waiting for it: the
    server works through them in order, so they cost no round trip.

    The handle is used up in any case. It must not be closed again: servers give the number of a closed
    handle to the next file that is opened.

    Args:
        session: The SFTP session.
        handle: Of the open file.
        blocks: Offset and bytes of each; `NOT_READY` in place of bytes where none are there yet.
        path: Its name in errors.
        clock: In seconds; measures what is acknowledged in which time.
        acknowledged: Called with the number of further bytes, in the order of the blocks, whose WRITE was
            answered with OK. When the connection is lost, all such answers that have arrived are counted.

    Returns:
        The attributes between the last WRITE and the CLOSE. None where the server does not tell. What it
        tells may be out of date where the file is put together at the CLOSE.

    Raises:
        TransferError: The first failure; requests still under way are abandoned with the file.
    """
    under_way: deque[tuple[Pending[Any], int]] = deque()
    window = _Window(clock)
    closing = False

    def done() -> None:
        size = under_way.popleft()[1]
        window.acknowledged(size)
        acknowledged(size)

    try:
        for offset, block in blocks:
            if block is NOT_READY:
                await session.turn()
                continue
            view = memoryview(block)
            for cut in range(0, len(view), session.max_write_bytes):
                piece = view[cut : cut + session.max_write_bytes]
                if session.pace is not None:
                    session.pace.wait_for(len(piece))
                under_way.append((session.write(handle, offset + cut, piece, path=path), len(piece)))
                window.sent(len(piece))
                while window.is_full():
                    await under_way[0][0]
                    done()
        looking = session.fstat(handle, path=path)
        under_way.append((looking, 0))
        closing = True
        under_way.append((session.close_file(handle, path=path), 0))
        while under_way[0][0] is not looking:
            await under_way[0][0]
            done()
        seen = await looking
        under_way.popleft()
        await under_way[0][0]
        under_way.popleft()
    except ConnectionLost:
        with contextlib.suppress(TransferError):
            while under_way and under_way[0][0].take():
                done()
        raise
    finally:
        for pending, _ in under_way:
            session.abandon(pending)
        if not closing:
            with contextlib.suppress(TransferError):
                session.abandon(session.close_file(handle, path=path))
    return seen


class _Window:
    """How many bytes may be under way: as many as were acknowledged recently, and some more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._under_way = 0
        self._since = clock()
        self._recent = [0, 0]  # in the time before this one, and in this one
        self._allowed = _FIRST_WINDOW_BYTES

    def sent(self, size: int) -> None:
        """Count bytes that are under way from now on."""
        self._under_way += size

    def acknowledged(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._under_way -= size
        now = self._clock()
        if now - self._since >= _RECENT_SECONDS:
            self._recent = [self._recent[1] if now - self._since < 2 * _RECENT_SECONDS else 0, 0]
            self._since = now
        self._recent[1] += size
        self._allowed = min(WINDOW_BYTES, _FIRST_WINDOW_BYTES + sum(self._recent))

    def is_full(self) -> bool:
        """Return whether an acknowledgement must come before more is sent."""
        return self._under_way > self._allowed
