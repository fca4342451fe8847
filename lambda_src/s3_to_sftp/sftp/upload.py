"""The steps of putting a file on the server: temporary name, bytes, CLOSE, then the final name."""

import posixpath
from collections.abc import Callable
from concurrent.futures import Future

from s3_to_sftp.errors import RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import FileAttributes, Status
from s3_to_sftp.sftp.publish import Journal, is_removed, publish
from s3_to_sftp.sftp.session import Elsewhere, SftpSession
from s3_to_sftp.sftp.stream import Piece
from s3_to_sftp.sftp.verify import verify_size
from s3_to_sftp.sftp.writer import write_and_close

Permit = Callable[[str, FileAttributes | None], "Future[None]"]
"""Asks for leave to give a file its final name: temporary name, and what the server shows of it."""


async def upload_small(
    session: SftpSession,
    data: Piece,
    *,
    path: str,
    temporary: str,
    aside: str,
    journal: Journal,
    permit: Permit | None = None,
) -> int:
    """Put bytes that are at hand on the server and return their number.

    Three round trips: OPEN; WRITE, FSTAT and CLOSE together; RENAME. The final name appears only after WRITE
    and CLOSE were answered with OK, and the server shows the size that was sent, if it shows one.

    Args:
        session: The SFTP session.
        data: The bytes.
        path: The final name. A regular file that is already there is replaced.
        temporary: The name until then, in the same directory. Missing directories are made.
        aside: See `publish`.
        journal: Told which names are in use, and that the temporary file is gone.
        permit: Called with the temporary name, and what the server shows of it, when the bytes are
            acknowledged; what comes of it is waited for before the RENAME. From then on the temporary file is
            left to the caller, whatever happens.

    Raises:
        TransferError: The server refused or was lost. Nothing stands under the final name that was
            not there before (but see `publish`), and the temporary file is removed if the server answers.
        Exception: The permit was refused.
    """
    handle = await create(session, temporary)
    permitted = False
    try:
        seen = await write_and_close(session, handle, [(0, data)], path=temporary)
        seen = await verify_size(session, temporary, len(data), seen)
        if permit:
            permitted = True
            await Elsewhere(permit(temporary, seen))
        await publish(session, temporary, path, aside=aside, journal=journal)
    except Exception:
        if not permitted and await discard(session, temporary):
            journal.gone(temporary)
        raise
    return len(data)


async def create(session: SftpSession, path: str) -> bytes:
    """Open the new file, making its directory if that is missing; return the handle."""
    directory = posixpath.dirname(path)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        # Servers say FAILURE or NO_SUCH_FILE when the directory is missing.
        if refused.code not in {Status.NO_SUCH_FILE, Status.FAILURE} or not directory:
            raise
    await make_directories(session, directory)
    return await session.create(path)


async def make_directories(session: SftpSession, path: str) -> None:
    """Make the directory and whatever is missing above it.

    Version 3 has no status for "exists already" (servers say FAILURE, some of them for a missing
    parent, too), so refusals are not errors here: the open that follows shows whether the directory
    is there.
    """
    if await _try_to_make(session, path) in {Status.NO_SUCH_FILE, Status.FAILURE}:
        parent = posixpath.dirname(path)
        if parent not in {"", path}:
            await make_directories(session, parent)
            await _try_to_make(session, path)


async def _try_to_make(session: SftpSession, path: str) -> int:
    try:
        await session.make_directory(path)
    except RequestRefused as refused:
        return refused.code
    return Status.OK


async def discard(session: SftpSession, temporary: str) -> bool:
    """Remove the temporary file as far as the server still answers; return whether it is gone for sure."""
    try:
        return await is_removed(session, temporary)
    except (
        TransferError
    ):  # a lost connection takes the clean-up with it, and the first error is the one to tell
        return False
