"""The steps of putting a file on the server: temporary name, bytes, CLOSE, then the final name."""

import posixpath
from collections.abc import Callable
from concurrent.futures import Future

from s3_to_sftp.errors import DirectoryAmbiguous, NameTaken, RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import NOTHING_THERE, FileAttributes, Status
from s3_to_sftp.sftp.publish import Journal, is_removed, look, publish
from s3_to_sftp.sftp.session import ExternalFuture, SftpSession
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece

Permit = Callable[[str, FileAttributes | None], "Future[None]"]
"""Asks for leave to give a file its final name: temporary name, and what the server shows of it."""
_PERHAPS_NO_DIRECTORY = {*NOTHING_THERE, Status.FAILURE}
"""What servers say when the directory of a new file or directory is missing."""

_PERHAPS_EXISTS = {Status.FAILURE, Status.FILE_ALREADY_EXISTS}
"""What servers say to MKDIR when the directory is there already."""


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
            left to the caller, whatever happens, unless the final name is refused (NameTaken).

    Raises:
        TransferError: The server refused or was lost. Nothing stands under the final name that was
            not there before (but see `publish`), and the temporary file is removed if the server answers.
        RemotePathRefused: The server could not keep the final name. Nothing was sent.
        Exception: The permit was refused.
    """
    session.require_valid_name(path)
    handle = await create(session, temporary)
    permitted = False
    try:
        at_close = await write_and_close(session, handle, [(0, data)], path=temporary)
        seen = await confirm_size(session, temporary, size=len(data), at_close=at_close, is_all=True)
        if permit:
            permitted = True
            await ExternalFuture(permit(temporary, seen))
        await publish(session, temporary, path, aside=aside, journal=journal)
    except Exception as error:
        is_ours = not permitted or isinstance(error, NameTaken)  # no permit for such a name
        if is_ours and await discard(session, temporary):
            journal.gone(temporary)
        raise
    return len(data)


async def create(session: SftpSession, path: str) -> bytes:
    """Open the new file, making its directory if that is missing; return the handle.

    Raises:
        RequestRefused: Of the file; or of its directory, where that is why the file cannot be created.
        DirectoryAmbiguous: See `require_unambiguous_directory`.
    """
    directory = posixpath.dirname(path)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        if refused.code not in _PERHAPS_NO_DIRECTORY or not directory:
            raise
    await require_unambiguous_directory(session, directory)
    no_directory = await make_directories(session, directory)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        raise _cause_of(refused, no_directory) from None


async def require_unambiguous_directory(session: SftpSession, path: str) -> None:
    """Refuse to make `inbox` where the login starts in a directory `inbox`: nobody would look there.

    Raises:
        DirectoryAmbiguous: A configured directory, relative to where the login starts, is that very place.
    """
    configured = [each.strip("/") for each in session.directories if each and not each.startswith("/")]
    meant = [each for each in configured if f"{path}/".startswith(f"{each}/")]
    if not meant:
        return
    home = await session.home()
    for directory in meant:
        is_home = home.rstrip("/").endswith(f"/{directory}")
        if is_home and (await look(session, directory)).absent:
            raise DirectoryAmbiguous(
                f"The remote directory {directory!r} is missing, and the login starts in {home!r}: it would "
                f"be made as {posixpath.join(home, directory)!r}.",
                hint=f"Leave SSH_DIR empty, or write the whole path: {home!r}, or "
                f"{posixpath.join(home, directory)!r} if that is really meant.",
            )


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


async def discard(session: SftpSession, temporary: str) -> bool:
    """Remove the temporary file as far as the server still answers; return whether it is gone for sure."""
    try:
        return await is_removed(session, temporary)
    except TransferError:  # the first error is the one to tell
        return False
