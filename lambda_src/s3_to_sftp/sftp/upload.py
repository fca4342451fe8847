"""The steps of putting a file on the server: temporary name, bytes, CLOSE, then the final name."""

import contextlib
import posixpath
from collections.abc import Callable
from concurrent.futures import Future

from s3_to_sftp.errors import RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.session import Elsewhere, SftpSession
from s3_to_sftp.sftp.stream import Piece
from s3_to_sftp.sftp.writer import write_and_close

_TARGET_EXISTS = {Status.FAILURE, Status.FILE_ALREADY_EXISTS}


async def upload_small(
    session: SftpSession,
    data: Piece,
    *,
    path: str,
    temporary: str,
    permit: Callable[[str], Future[None]] | None = None,
) -> int:
    """Put bytes that are at hand on the server and return their number.

    Three round trips: OPEN; WRITE and CLOSE together; RENAME. The final name appears only after WRITE and
    CLOSE were answered with OK. A file that is already there is replaced.

    Args:
        session: The SFTP session.
        data: The bytes.
        path: The final name.
        temporary: The name until then, in the same directory. Missing directories are made.
        permit: Called with the temporary name when the bytes are acknowledged; what comes of it is waited for
            before the RENAME. From then on the temporary file is left to the caller, whatever happens.

    Raises:
        TransferError: The server refused or was lost. Nothing stands under the final name that was
            not there before, and the temporary file is removed if the server still answers.
        Exception: The permit was refused.
    """
    handle = await create(session, temporary)
    permitted = False
    try:
        await write_and_close(session, handle, [(0, data)], path=temporary)
        if permit:
            permitted = True
            await Elsewhere(permit(temporary))
        await publish(session, temporary, path)
    except Exception:
        if not permitted:
            await discard(session, temporary)
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


async def publish(session: SftpSession, temporary: str, path: str) -> None:
    """Give the complete file its final name, replacing what is there."""
    try:
        await session.rename(temporary, path)
    except RequestRefused as refused:
        # The RENAME of version 3 must not replace a target, and says just FAILURE
        # (draft-ietf-secsh-filexfer-02, section 6.5). Any other status has another cause: then the
        # old file must not be removed.
        if session.renames_over_existing or refused.code not in _TARGET_EXISTS:
            raise
        if not await _is_seen(session, path):
            raise
        await _replace(session, temporary, path)


async def _replace(session: SftpSession, temporary: str, path: str) -> None:
    """Put the old file aside, give the new one its name, then remove the old one.

    There is a moment without a file of this name, but none in which only the new one's bytes are at risk.
    """
    aside = name_aside(temporary)
    await session.rename(path, aside)
    try:
        await session.rename(temporary, path)
    except RequestRefused:
        with contextlib.suppress(TransferError):
            await session.rename(aside, path)
        raise
    with contextlib.suppress(RequestRefused):  # the new file is in its place: that is what counts
        await session.remove(aside)


def name_aside(temporary: str) -> str:
    """Return where the old file is while it is being replaced by this temporary one."""
    return f"{temporary}.old"


async def _is_seen(session: SftpSession, path: str) -> bool:
    try:
        return await session.exists(path)
    except RequestRefused:  # a drop box shows nothing; the refused rename is the error to tell
        return False


async def discard(session: SftpSession, temporary: str) -> None:
    """Remove the temporary file as far as the server still answers."""
    # Best effort: a lost connection takes the clean-up with it, and the first error is the one to tell.
    with contextlib.suppress(TransferError):
        await remove(session, temporary)


async def remove(session: SftpSession, path: str) -> None:
    """Remove a file."""
    await session.remove(path)
