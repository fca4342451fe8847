"""Uploads a small file under its temporary name: directories, bytes, CLOSE, then the size at the server."""

import posixpath
from dataclasses import dataclass

from s3_to_sftp.diagnosis import directories
from s3_to_sftp.errors import DirectoryAmbiguous, RequestRefused, TransferError
from s3_to_sftp.sftp.directory_names import require_no_other_spelling
from s3_to_sftp.sftp.protocol import NOTHING_THERE, FileAttributes, Status
from s3_to_sftp.sftp.publish import Journal, is_removed, look
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.write_window import write_and_close
from s3_to_sftp.ssh.stream import Piece

_PERHAPS_NO_DIRECTORY = {*NOTHING_THERE, Status.FAILURE}
"""What servers say when the directory of a new file or directory is missing."""

_PERHAPS_EXISTS = {Status.FAILURE, Status.FILE_ALREADY_EXISTS}
"""What servers say to MKDIR when the directory is there already."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What is under a temporary name.

    Attributes:
        temporary: The name.
        acknowledged: Bytes from the beginning that are at the server, each WRITE and CLOSE answered with OK;
            after a lost connection each WRITE, but not the CLOSE.
        complete: Whether these are all, and the size that the server shows is right. False: it was stopped.
        seen: What the server shows of the complete file; None where it does not tell.
        streams: How many wrote it.
        probe_may_stand: Whether a file may be left that has shown whether several streams may write.
        is_spread: Whether several streams have written it: it may be longer than what is acknowledged.
        lost: How the connection of the first stream was lost, where that ended it.
    """

    temporary: str
    acknowledged: int
    complete: bool
    seen: FileAttributes | None = None
    streams: int = 1
    probe_may_stand: bool = False
    is_spread: bool = False
    lost: TransferError | None = None


async def upload_small(
    session: SftpSession, data: Piece, *, temporary: str, path: str, journal: Journal
) -> Staged:
    """Put bytes that are at hand under a temporary name.

    Two round trips: OPEN; WRITE, FSTAT and CLOSE together. When it returns, WRITE and CLOSE were answered
    with OK, and the server shows the size that was sent, if it shows one.

    Args:
        session: The SFTP session.
        data: The bytes.
        temporary: The name, in the directory of the final one. Missing directories are made.
        path: The final name. Nothing is sent if the server could not keep it.
        journal: Records that the temporary file is gone.

    Raises:
        TransferError: The server refused or was lost. The temporary file is removed if the server answers.
        RemotePathRefused: The server could not keep the final name. Nothing was sent.
    """
    session.require_valid_name(path)
    handle = await create(session, temporary)
    try:
        at_close = await write_and_close(session, handle, [(0, data)], path=temporary)
        seen = await confirm_size(session, temporary, size=len(data), at_close=at_close, is_all=True)
    except Exception:
        if await discard(session, temporary):
            journal.gone(temporary)
        raise
    return Staged(temporary=temporary, acknowledged=len(data), complete=True, seen=seen)


async def create(session: SftpSession, path: str) -> bytes:
    """Open the new file, making its directory if that is missing; return the handle.

    Raises:
        RequestRefused: Of the file; or of its directory, where that is why the file cannot be created.
        DirectoryAmbiguous: See `require_unambiguous_directory`.
        DirectoryNameDiffers: See `require_no_other_spelling`.
    """
    directory = posixpath.dirname(path)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        if refused.code not in _PERHAPS_NO_DIRECTORY or not directory:
            raise
    await require_unambiguous_directory(session, directory)
    await require_no_other_spelling(session, directory)
    no_directory = await make_directories(session, directory)
    try:
        return await session.create(path)
    except RequestRefused as refused:
        vague = no_directory is not None and {refused.code, no_directory.code} <= _PERHAPS_EXISTS
        is_missing = vague and (await look(session, directory)).absent
        raise _cause_of(refused, no_directory, is_missing=is_missing) from None


async def require_unambiguous_directory(session: SftpSession, path: str) -> None:
    """Refuse to make `inbox` where the login starts in a directory `inbox`: the partner would not look there.

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
            raise directories.AMBIGUOUS.error(
                DirectoryAmbiguous,
                server=session.server,
                directory=directory,
                home=home,
                inside=posixpath.join(home, directory),
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
    if refused is None or above is None:
        return refused
    if above.code not in _PERHAPS_EXISTS:
        return above
    # FAILURE is also said of a parent that may not be made.
    is_above = refused.code in NOTHING_THERE and (await look(session, parent)).absent
    return above if is_above else refused


async def _try_to_make(session: SftpSession, path: str) -> RequestRefused | None:
    try:
        await session.make_directory(path)
    except RequestRefused as refused:
        return refused
    return None


def _cause_of(
    refused: RequestRefused, no_directory: RequestRefused | None, *, is_missing: bool
) -> RequestRefused:
    """Return the error to tell of a file that was refused after its directory was.

    Args:
        refused: Of the file.
        no_directory: Of the directory.
        is_missing: Whether the server says that the directory is still missing.
    """
    if no_directory is None or refused.code not in _PERHAPS_NO_DIRECTORY:
        return refused
    is_cause = is_missing or refused.code in NOTHING_THERE or no_directory.code not in _PERHAPS_EXISTS
    first, second = (no_directory, refused) if is_cause else (refused, no_directory)
    return RequestRefused(
        f"{first.reason} {second.answer or second.reason}",
        hint=first.hint,
        code=first.code,
        disposition=first.disposition,
        request=first.request,
    ).with_cause_of(first)


async def discard(session: SftpSession, temporary: str) -> bool:
    """Remove the temporary file as far as the server still answers; return whether it is gone for sure."""
    try:
        return await is_removed(session, temporary)
    except TransferError:  # the first error is the one to tell
        return False
