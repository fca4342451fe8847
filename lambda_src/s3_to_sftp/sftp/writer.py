"""Writes a file through a sliding window of WRITE requests, and believes only statuses."""

from collections import deque
from collections.abc import Iterable

from s3_to_sftp.sftp.session import SftpSession

WINDOW_BYTES = 4 * 1024 * 1024
"""Bytes sent but not yet acknowledged: twice OpenSSH's 2 MiB channel window, so never the limit."""


def write_blocks(session: SftpSession, handle: bytes, blocks: Iterable[bytes], *, path: str) -> int:
    """Write the blocks from offset 0 on and return how many bytes the server has acknowledged.

    When it returns, every byte was acknowledged with status OK. Blocks are cut to what one WRITE may
    hold, never joined. The window holds no data, only offsets: memory is that of one block.

    Raises:
        TransferError: The first failure; writes still under way are abandoned with the file.
    """
    under_way: deque[tuple[int, int, int]] = deque()
    unacknowledged = 0
    offset = 0

    def finish_oldest() -> int:
        request_id, at, length = under_way[0]
        session.finish_write(request_id, path=path, offset=at)
        under_way.popleft()
        return length

    try:
        for block in blocks:
            view = memoryview(block)
            for start in range(0, len(view), session.max_write_bytes):
                piece = view[start : start + session.max_write_bytes]
                under_way.append((session.send_write(handle, offset, piece), offset, len(piece)))
                offset += len(piece)
                unacknowledged += len(piece)
                while unacknowledged > WINDOW_BYTES:
                    unacknowledged -= finish_oldest()
        while under_way:
            finish_oldest()
    except BaseException:
        for request_id, _, _ in under_way:
            session.abandon(request_id)
        raise
    return offset
