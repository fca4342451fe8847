"""Proves that files can be renamed from one directory into another, before the first one is sent."""

import posixpath
from collections.abc import Callable

from s3_to_sftp.delivery_plan import PlannedFile
from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.directory_names import require_no_other_spelling
from s3_to_sftp.sftp.publish import Journal, is_removed, look
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import temporary_path
from s3_to_sftp.sftp.upload import create, make_directories, require_unambiguous_directory


class RenameProof:
    """Remembers between which directories a partner lets files be renamed. Lives with the environment."""

    def __init__(self, new_token: Callable[[], str]) -> None:
        self._new_token = new_token
        self._proven: set[tuple[str, str, str, bool]] = set()

    def names(self, file: PlannedFile) -> tuple[str, str]:
        """Return two names for a test file: where it is made, and where it is renamed to."""
        token = self._new_token()
        return (
            temporary_path(posixpath.join(posixpath.dirname(file.temporary), "x"), token=token),
            temporary_path(posixpath.join(posixpath.dirname(file.path), "x"), token=token),
        )

    def is_proven(self, session: SftpSession, file: PlannedFile, *, replaces: bool) -> bool:
        """Return whether nothing is to be proven."""
        return _way(session, file, replaces=replaces) in self._proven or file.is_in_place

    async def prove(
        self,
        session: SftpSession,
        file: PlannedFile,
        names: tuple[str, str],
        journal: Journal,
        *,
        replaces: bool,
    ) -> None:
        """Rename an empty file as the data will be, and remove it; missing directories are made.

        Args:
            session: To the partner.
            file: The data.
            names: From `names`, recorded by the caller.
            journal: Told that they are gone.
            replaces: Whether the data replaces a file that has its name: servers may have another RENAME for
                that, and take only one of them.

        Raises:
            RequestRefused: The server refuses it; the error names the rule.
            DeliveryError: The server is lost.
        """
        before, after = names
        try:
            await _make_directory(session, posixpath.dirname(after))
            handle = await create(session, before)
            await session.close_file(handle, path=before)
            await (session.rename if replaces else session.rename_without_replacing)(before, after)
        except RequestRefused as refused:
            await _remove(session, names, journal)
            raise _refused(file, refused) from None
        await _remove(session, names, journal)
        self._proven.add(_way(session, file, replaces=replaces))


def _way(session: SftpSession, file: PlannedFile, *, replaces: bool) -> tuple[str, str, str, bool]:
    return session.server, posixpath.dirname(file.temporary), posixpath.dirname(file.path), replaces


async def _remove(session: SftpSession, names: tuple[str, str], journal: Journal) -> None:
    for name in names:
        if await is_removed(session, name):
            journal.gone(name)


async def _make_directory(session: SftpSession, directory: str) -> None:
    if directory and (await look(session, directory)).absent:
        await require_unambiguous_directory(session, directory)
        await require_no_other_spelling(session, directory)
        await make_directories(session, directory)


def _refused(file: PlannedFile, refused: RequestRefused) -> RequestRefused:
    before, after = posixpath.dirname(file.temporary), posixpath.dirname(file.path)
    return RequestRefused(
        f"A test file could not be renamed from {before!r} to {after!r}, as the rule 'temporary' needs it. "
        f"{refused.reason}",
        hint="Ask the partner whether both directories are on one file system and may be written, or leave "
        "the rule 'temporary' out: then files are renamed within their directory.",
        code=refused.code,
        disposition=refused.disposition,
        request=refused.request,
    ).with_cause_of(refused)
