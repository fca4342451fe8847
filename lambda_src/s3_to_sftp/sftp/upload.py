"""The steps of putting a file on the server: temporary name, bytes, CLOSE, then the final name."""

import contextlib
import posixpath
from collections.abc import Callable
from concurrent.futures import Future

from s3_to_sftp.errors import RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import NOTHING_THERE, Status
from s3_to_sftp.sftp.session import Elsewhere, SftpSession
from s3_to_sftp.sftp.stream import Piece
from s3_to_sftp.sftp.writer import write_and_close

_PERHAPS_NO_DIRECTORY = {*NOTHING_THERE, Status.FAILURE}
"""What servers say when the directory of a new file or directory is missing."""

_PERHAPS_EXISTS = {Status.FAILURE, Status.FILE_ALREADY_EXISTS}
"""What servers say to MKDIR when the directory is there already."""

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
    """Open the new file, making its directory if that is missing; return the handle.

    Raises:
        RequestRefused: Of the file; or of its directory, where that is why the file cannot be created.
    """
    directory = posixpath.dirname(path)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        if refused.code not in _PERHAPS_NO_DIRECTORY or not directory:
            raise
    no_directory = await make_directories(session, directory)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        raise _cause_of(refused, no_directory) from None


async def make_directories(session: SftpSession, path: str) -> RequestRefused | None:
    """Make the directory and whatever is missing above it.

    Version 3 has no status for "exists already" (servers say FAILURE, some of them for a missing
    parent, too), so refusals are not errors here: the open that follows shows whether the directory
    is there.

    Returns:
        The refusal that is to blame if the directory turns out to be missing.
    """
    refused = await _try_to_make(session, path)
    parent = posixpath.dirname(path)
    if refused is None or refused.code not in _PERHAPS_NO_DIRECTORY or parent in {"", path}:
        return refused
    above = await make_directories(session, parent)
    refused = await _try_to_make(session, path)
    if refused is None or above is None or above.code in _PERHAPS_EXISTS:
        return refused
    return above


async def _try_to_make(session: SftpSession, path: str) -> RequestRefused | None:
    try:
        await session.make_directory(path)
    except RequestRefused as refused:
        return refused
    return None


def _cause_of(refused: RequestRefused, no_directory: RequestRefused | None) -> RequestRefused:
    """Return the error to tell of a file that was refused after its directory was."""
    if no_directory is None or refused.code not in _PERHAPS_NO_DIRECTORY:
        return refused
    is_cause = refused.code in NOTHING_THERE or no_directory.code not in _PERHAPS_EXISTS
    first, second = (no_directory, refused) if is_cause else (refused, no_directory)
    return RequestRefused(
        f"{first.reason} {second.reason}",
        hint=first.hint,
        code=first.code,
        disposition=first.disposition,
        request=first.request,
    )


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
