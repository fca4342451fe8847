"""Looks beside a configured directory that is missing: it may be there in another spelling.

Servers on Linux tell `Inbox` from `inbox`. A directory that is made beside the right one takes every file,
and the partner never looks there.
"""

import posixpath
from concurrent.futures import Future

from s3_to_sftp.diagnosis import directories
from s3_to_sftp.errors import DirectoryNameDiffers
from s3_to_sftp.sftp.publish import look
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession

MOST_ENTRIES = 2000
MOST_ANSWERS = 64
"""Of a directory that are looked at; OpenSSH sends 100 entries in an answer, others one. What is behind them
is taken for no match."""

_LONGEST = 300
"""Characters of a path of the server's in an error."""


async def require_no_other_spelling(session: SftpSession, path: str) -> None:
    """Refuse to make a configured directory where one is that differs in case, accents' form or end blanks.

    Each is looked for once over a connection. A server that does not tell changes nothing.

    Args:
        session: The SFTP session.
        path: A directory that is about to be made, in a configured one or that one itself.

    Raises:
        DirectoryNameDiffers: Such a directory exists.
    """
    for configured in session.directories:
        directory = configured.rstrip("/")
        if not directory or not f"{path}/".startswith(f"{directory}/"):
            continue
        if (checked := session.checked_directories.get(directory)) is None:
            await _check_once(session, directory)
        else:
            await ExternalFuture(checked)


async def _check_once(session: SftpSession, directory: str) -> None:
    """Look for it; other tasks wait for the answer."""
    checked = session.checked_directories[directory] = Future()
    try:
        await _check(session, directory)
    except DirectoryNameDiffers as error:
        checked.set_exception(error)
        del session.checked_directories[directory]  # the partner may make it meanwhile
        raise
    finally:
        if not checked.done():
            checked.set_result(None)


async def _check(session: SftpSession, directory: str) -> None:
    missing = directory
    while missing.strip("/") and (await look(session, missing)).absent:
        parent, name = posixpath.split(missing)
        siblings = await _directories_in(session, parent)
        if variants := directories.variants_of(name, siblings):
            raise directories.OTHER_CASE.error(
                DirectoryNameDiffers,
                server=session.server,
                directory=missing,
                exists=" and ".join(repr(posixpath.join(parent, each))[:_LONGEST] for each in variants[:3]),
            )
        missing = parent.rstrip("/")


async def _directories_in(session: SftpSession, path: str) -> list[str]:
    """Return what is in a directory and may be one itself; nothing where the server does not tell."""
    path = path or "."
    handle = await session.listing(path)
    if handle is None:
        return []
    names: list[str] = []
    seen = answers = 0
    while seen < MOST_ENTRIES and answers < MOST_ANSWERS:
        entries = await session.entries(handle, path=path)
        if not entries:
            break
        seen, answers = seen + len(entries), answers + 1
        names += [name for name, attributes in entries if not attributes.is_regular]
    session.abandon(session.close_file(handle, path=path))
    return names
