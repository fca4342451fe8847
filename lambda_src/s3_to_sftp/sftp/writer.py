"""Writes through a sliding window of WRITE requests, and believes only statuses."""

import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Any

from s3_to_sftp.errors import TransferError
from s3_to_sftp.sftp.session import Pending, SftpSession
from s3_to_sftp.sftp.stream import Piece

WINDOW_BYTES = 4 * 1024 * 1024
"""Bytes sent but not yet acknowledged: twice OpenSSH's 2 MiB channel window, so never the limit."""


async def write_and_close(
    session: SftpSession, handle: bytes, blocks: Iterable[tuple[int, Piece]], *, path: str
) -> None:
    """Write the blocks at their offsets and close the file.

    When it returns, every byte and the CLOSE were answered with status OK. Blocks are cut to what one
    WRITE may hold, never joined. The CLOSE is sent behind the last WRITE without waiting for it: the server
    works through them in order, and a round trip is saved.

    The handle is used up in any case. It must not be closed again: servers give the number of a closed
    handle to the next file that is opened.

    Raises:
        TransferError: The first failure; requests still under way are abandoned with the file.
    """
    under_way: deque[tuple[Pending[Any], int]] = deque()
    unacknowledged = 0
    closing = False
    try:
        for offset, block in blocks:
            view = memoryview(block)
            for cut in range(0, len(view), session.max_write_bytes):
                piece = view[cut : cut + session.max_write_bytes]
                under_way.append((session.write(handle, offset + cut, piece, path=path), len(piece)))
                unacknowledged += len(piece)
                while unacknowledged > WINDOW_BYTES:
                    await under_way[0][0]
                    unacknowledged -= under_way.popleft()[1]
        closing = True
        under_way.append((session.close_file(handle, path=path), 0))
        while under_way:
            await under_way[0][0]
            under_way.popleft()
    finally:
        for pending, _ in under_way:
            session.abandon(pending)
        if not closing:
            with contextlib.suppress(TransferError):
                session.abandon(session.close_file(handle, path=path))
