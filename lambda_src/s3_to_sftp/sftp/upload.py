"""Puts one file on the server: temporary name, every byte acknowledged, CLOSE, then the final name."""

import contextlib
import posixpath
from collections.abc import Callable, Iterable

from s3_to_sftp.errors import RequestRefused, TransferError
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.writer import write_blocks

_TARGET_EXISTS = {Status.FAILURE, Status.FILE_ALREADY_EXISTS}


def upload(
    session: SftpSession,
    blocks: Iterable[bytes],
    *,
    path: str,
    temporary: str,
    complete: Callable[[int], None],
) -> int:
    """Write the blocks and give them their final name; return the number of bytes.

    The final name appears only after every WRITE and CLOSE were answered with OK and `complete` was
    content. A file that is already there is replaced.

    Args:
        session: The SFTP session.
        blocks: The bytes; may raise.
        path: The final name.
        temporary: The name until then, in the same directory. Missing directories are made.
        complete: Called with the number of bytes written; raises when they are not the whole object.

    Raises:
        TransferError: The server refused or was lost. Nothing stands under the final name that was
            not there before, and the temporary file is removed if the server still answers.
        Exception: Whatever `blocks` or `complete` raised, with the same clean-up.
    """
    handle = _create(session, temporary)
    try:
        size = write_blocks(session, handle, blocks, path=temporary)
        session.close_file(handle, path=temporary)
        complete(size)
        _publish(session, temporary, path)
    except BaseException:
        _discard(session, handle, temporary)
        raise
    return size


def _create(session: SftpSession, path: str) -> bytes:
    try:
        return session.create(path)
    except RequestRefused as refused:
        # Servers say FAILURE or NO_SUCH_FILE when the directory is missing.
        if refused.code not in {Status.NO_SUCH_FILE, Status.FAILURE} or not posixpath.dirname(path):
            raise
    make_directories(session, posixpath.dirname(path))
    return session.create(path)


def make_directories(session: SftpSession, path: str) -> None:
    """Make the directory and whatever is missing above it.

    Version 3 has no status for "exists already" (servers say FAILURE, some of them for a missing
    parent, too), so refusals are not errors here: the open that follows shows whether the directory
    is there.
    """
    if _try_to_make(session, path) in {Status.NO_SUCH_FILE, Status.FAILURE}:
        parent = posixpath.dirname(path)
        if parent not in {"", path}:
            make_directories(session, parent)
            _try_to_make(session, path)


def _try_to_make(session: SftpSession, path: str) -> int:
    try:
        session.make_directory(path)
    except RequestRefused as refused:
        return refused.code
    return Status.OK


def _publish(session: SftpSession, temporary: str, path: str) -> None:
    try:
        session.rename(temporary, path)
    except RequestRefused as refused:
        # The RENAME of version 3 must not replace a target, and says just FAILURE
        # (draft-ietf-secsh-filexfer-02, section 6.5). Any other status has another cause: then the
        # old file must not be removed.
        if session.renames_over_existing or refused.code not in _TARGET_EXISTS or not _seen(session, path):
            raise
        session.remove(path)
        session.rename(temporary, path)


def _seen(session: SftpSession, path: str) -> bool:
    try:
        return session.exists(path)
    except RequestRefused:  # a drop box shows nothing; the refused rename is the error to tell
        return False


def _discard(session: SftpSession, handle: bytes, temporary: str) -> None:
    # Best effort: a lost connection takes the clean-up with it, and the first error is the one to tell.
    with contextlib.suppress(TransferError):
        session.close_file(handle, path=temporary)
    with contextlib.suppress(TransferError):
        session.remove(temporary)
