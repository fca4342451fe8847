"""Compare the size that the server shows with what it has acknowledged, before a file gets its final name."""

from s3_to_sftp.errors import RequestRefused, SizeMismatch
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.session import SftpSession


async def verify_size(
    session: SftpSession, path: str, size: int, seen: FileAttributes | None
) -> FileAttributes | None:
    """Return what the server shows of the complete file; None where it shows nothing.

    Args:
        session: The SFTP session.
        path: The temporary name. Its file is closed.
        size: Bytes that were acknowledged.
        seen: What the server has shown before the CLOSE.

    Raises:
        SizeMismatch: It shows another size.
    """
    if seen is None or seen.size in {None, size}:
        return seen
    # Servers with an object store behind them put the file together at the CLOSE.
    try:
        seen = await session.lstat(path)
    except RequestRefused as refused:
        raise _mismatch(path, size, f"before the CLOSE {seen.size}, and {refused.reason}") from None
    if seen.size not in {None, size}:
        raise _mismatch(path, size, f"{seen.size} after the CLOSE")
    return seen


def _mismatch(path: str, size: int, shown: str) -> SizeMismatch:
    return SizeMismatch(
        f"The server has acknowledged {size} bytes of {path!r}, and shows {shown}.",
        hint="It will be sent again. If this goes on, ask the partner what the server does with files.",
    )
