"""Compares the size that the server shows with what it has acknowledged, before the final name is given."""

from s3_to_sftp.errors import RequestRefused, SizeMismatch
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import described


async def confirm_size(
    session: SftpSession, path: str, *, size: int, at_close: FileAttributes | None, is_all: bool
) -> FileAttributes | None:
    """Return what the server shows of a complete file, as far as it tells.

    Costs no round trip where what was seen at the CLOSE says enough.

    Args:
        session: The SFTP session.
        path: Of the file, all of whose handles are closed.
        size: Bytes that were acknowledged.
        at_close: What FSTAT has shown before the CLOSE. Object stores may tell the size too late for that.
        is_all: Whether that was the only handle that has written.

    Raises:
        SizeMismatch: It has another size.
        TransferError: The server is lost.
    """
    if is_all and (at_close is None or at_close.size in {None, size}):
        return at_close
    try:
        seen = await session.stat(path)
    except RequestRefused:  # a drop box does not tell
        seen = None
    shown = seen.size if seen else None
    if shown is None and is_all and at_close:
        shown = at_close.size
    if shown not in {None, size}:
        raise SizeMismatch(
            f"{described(path)} has {shown} bytes at the partner, {size} were acknowledged.",
            hint="It will be retried. Ask the partner whether the disk is full, or who changes files there.",
        )
    return seen
