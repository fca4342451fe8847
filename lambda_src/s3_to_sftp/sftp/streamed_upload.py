"""Uploads a file whose size is known when its last byte is: one handle, in order, from the beginning."""

from collections.abc import Iterable

from s3_to_sftp.sftp.publish import Journal
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.upload import Staged, create, discard
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece


async def upload_streamed(
    session: SftpSession, pieces: Iterable[Piece], *, temporary: str, path: str, journal: Journal
) -> Staged:
    """Put what the pieces hold under a temporary name.

    When it returns, every WRITE and the CLOSE were answered with OK, and the server shows the size that was
    sent, if it shows one.

    Args:
        session: The SFTP session.
        pieces: The bytes in order; `NOT_READY` where none are there yet.
        temporary: The name. Missing directories are made.
        path: The final name. Nothing is sent if the server could not keep it.
        journal: Records that the temporary file is gone.

    Raises:
        Exception: What the pieces raise. The temporary file is removed if the server answers.
        TransferError: The server refused or was lost; the same.
        RemotePathRefused: The server could not keep the final name. Nothing was sent.
    """
    session.require_valid_name(path)
    handle = await create(session, temporary)
    sent = 0

    def blocks() -> Iterable[tuple[int, Piece]]:
        nonlocal sent
        for piece in pieces:
            yield sent, piece
            sent += len(piece)

    try:
        at_close = await write_and_close(session, handle, blocks(), path=temporary)
        seen = await confirm_size(session, temporary, size=sent, at_close=at_close, is_all=True)
    except Exception:
        if await discard(session, temporary):
            journal.gone(temporary)
        raise
    return Staged(temporary=temporary, acknowledged=sent, complete=True, seen=seen)
