"""Give a complete file its final name, and keep earlier attempts from doing so later.

An answered refusal is a fact: the file has no final name. Only a RENAME without an answer leaves that open,
and a process that hangs at the partner may still carry it out, at any time.
"""

import contextlib
import logging
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from s3_to_sftp.diagnosis import requests
from s3_to_sftp.errors import Disposition, EarlierRenamePending, RequestRefused, TargetNotAFile, TransferError
from s3_to_sftp.sftp.protocol import NOTHING_THERE, FileAttributes, Status
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import described, void_name

_log = logging.getLogger(__name__)

_TARGET_EXISTS = {Status.FAILURE, Status.FILE_ALREADY_EXISTS}
"""The RENAME of version 3 must not replace a target, and says just FAILURE (draft-ietf-secsh-filexfer-02,
section 6.5). Some servers on Windows advertise posix-rename and do not replace either."""


_MAY_BE_A_DIRECTORY = {Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED}
"""What a server may say to an OPENDIR of a directory."""


class Journal(Protocol):
    """Remembers what may stand at the partner, or may still happen there."""

    def will_move_aside(self, name: str, path: str) -> "Future[None]":
        """Write down the name before the partner's file with this final name gets it."""

    def rename_resolved(self, name: str) -> None:
        """No RENAME that uses the name can happen from now on."""

    def blocked(self, name: str) -> None:
        """The same, because an empty file of ours has the name."""

    def gone(self, name: str) -> None:
        """Nothing stands under the name."""


class NoJournal:
    """Records nothing, where there is no ledger."""

    def will_move_aside(self, name: str, path: str) -> "Future[None]":  # noqa: ARG002 - the protocol's
        """Let the partner's file be moved."""
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def rename_resolved(self, name: str) -> None:
        """Do nothing."""

    def blocked(self, name: str) -> None:
        """Do nothing."""

    def gone(self, name: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class PathStatus:
    """What the server shows under a name.

    Attributes:
        attributes: Of what is there; None when nothing is there, or when the server does not tell.
        absent: Whether the server says that nothing is there.
    """

    attributes: FileAttributes | None = None
    absent: bool = False

    @property
    def present(self) -> bool:
        """Whether something is there for sure."""
        return self.attributes is not None


async def look(session: SftpSession, path: str) -> PathStatus:
    """Ask for what stands under the name itself; a link is not followed."""
    try:
        return PathStatus(await session.lstat(path))
    except RequestRefused as refused:  # a drop box does not tell
        return PathStatus(absent=refused.code in NOTHING_THERE)


async def publish(
    session: SftpSession,
    temporary: str,
    path: str,
    *,
    aside: str,
    journal: Journal,
    replaces: bool = True,
) -> None:
    """Give the complete file its final name, replacing a regular file that has it.

    Where a RENAME does not replace, the old file is moved aside, and removed when the new one is seen in its
    place. There is a moment without a file of this name.

    Args:
        session: The SFTP session.
        temporary: The name that holds every byte.
        path: The final name.
        aside: Where the old file may be moved; nothing else ever uses this name.
        journal: Records names before they are used.
        replaces: Whether a file that has the name is replaced.

    Raises:
        RequestRefused: The file has no final name, and no RENAME to it is under way.
        ConnectionLost, ProtocolViolation: It may have its final name, now or later.
        LedgerError: The journal could not be written; the file has no final name.
    """
    if temporary == path:  # written under its final name
        return
    if not replaces:
        await _publish_beside(session, temporary, path)
        return
    try:
        await session.rename(temporary, path)
    except RequestRefused as refused:
        # Any other status has another cause: then the old file must not be touched.
        if refused.code not in _TARGET_EXISTS:
            raise
        try:
            await _make_room(session, temporary, path, refused, aside=aside, journal=journal)
        except RequestRefused:
            raise
        except TransferError as lost:  # the file has no final name: its RENAME was answered
            raise _refused_and_lost(refused, lost) from lost
    else:
        return
    try:
        await session.rename_without_replacing(temporary, path)
    except RequestRefused:
        with contextlib.suppress(TransferError):  # the journal keeps the name
            await restore(session, aside, path, journal)
        raise
    with contextlib.suppress(TransferError):  # the file has its name: that is what counts
        await remove_aside(session, aside, path, journal)


async def _publish_beside(session: SftpSession, temporary: str, path: str) -> None:
    """Give the file its final name, unless something has it."""
    try:
        await session.rename_without_replacing(temporary, path)
    except RequestRefused as refused:
        if refused.code not in _TARGET_EXISTS or not (await look(session, path)).present:
            raise
        raise RequestRefused(
            f"{path!r} exists at the partner, and the rule 'if_exists' does not let it be replaced. "
            f"{refused.answer or refused.reason}",
            hint="It will be retried. Ask the partner to remove that file, or to tell who makes it.",
            code=refused.code,
            disposition=refused.disposition,
            request=refused.request,
        ) from None


def _refused_and_lost(refused: RequestRefused, lost: TransferError) -> RequestRefused:
    return RequestRefused(
        f"{refused.reason} {lost.reason}",
        hint=lost.hint,
        code=refused.code,
        disposition=refused.disposition,
        request=refused.request,
    ).with_cause_of(refused)


async def _make_room(
    session: SftpSession, temporary: str, path: str, refused: RequestRefused, *, aside: str, journal: Journal
) -> None:
    """Move the old file aside; raise the refusal where that would not help."""
    there = (await look(session, path)).attributes
    # FAILURE is also what some servers say of a file that is missing.
    if there is None:
        raise refused
    if (await look(session, temporary)).absent:
        raise requests.with_cause(refused, requests.TEMPORARY_REMOVED, server=session.server)
    await _require_regular_file(session, path, there, refused)
    try:
        await ExternalFuture(journal.will_move_aside(aside, path))
    except Exception:
        journal.gone(aside)
        raise
    try:
        await session.rename_without_replacing(path, aside)
    except RequestRefused:  # the first refusal says more
        journal.gone(aside)
        raise requests.with_cause(refused, requests.OVERWRITE_REFUSED, server=session.server) from None
    journal.rename_resolved(aside)


async def _require_regular_file(
    session: SftpSession, path: str, there: FileAttributes, refused: RequestRefused
) -> None:
    is_regular = there.is_regular
    if is_regular is None:
        is_regular = await _is_no_directory(session, path)
    if not is_regular:
        error = TargetNotAFile(
            requests.DIRECTORY_IN_THE_WAY.reason(
                f"{path!r} is not a regular file at the partner and is not touched. "
                f"{refused.answer or refused.reason}",
                server=session.server,
            ),
            hint="Ask the partner to move it out of the way, or put the object under another key.",
            code=refused.code,
            disposition=Disposition.PERMANENT,
            request="rename",
        )
        raise requests.DIRECTORY_IN_THE_WAY.explain(error, server=session.server)


async def _is_no_directory(session: SftpSession, path: str) -> bool:
    """Ask a server that leaves the type out of the attributes."""
    try:
        handle = await session.open_directory(path)
    except RequestRefused as refused:
        return refused.code not in _MAY_BE_A_DIRECTORY
    with contextlib.suppress(RequestRefused):
        await session.close_file(handle, path=path)
    return False


async def restore(session: SftpSession, aside: str, path: str, journal: Journal) -> None:
    """Give the partner's old file its name again."""
    try:
        await session.rename_without_replacing(aside, path)
    except RequestRefused as refused:
        # NO_SUCH_FILE may also be said of the new name.
        if not (await look(session, aside)).absent:
            _log.error("the file that was %r is %r and cannot be moved back: %s", path, aside, refused.reason)
            return
    journal.gone(aside)


async def restore_first(session: SftpSession, asides: Iterable[str], path: str, journal: Journal) -> None:
    """Give the first of these files its name again, if nothing has the name."""
    for aside in asides:
        if (await look(session, path)).absent:
            await restore(session, aside, path, journal)


async def remove_aside(session: SftpSession, aside: str, path: str, journal: Journal) -> None:
    """Remove the partner's old file if the new one is seen in its place."""
    if (await look(session, path)).present:
        await _remove(session, aside, journal)


async def _remove(session: SftpSession, name: str, journal: Journal) -> None:
    if await is_removed(session, name):
        journal.gone(name)


async def is_removed(session: SftpSession, name: str) -> bool:
    """Remove a file and return whether nothing stands under the name."""
    try:
        await session.remove(name)
    except RequestRefused as refused:
        return refused.code in NOTHING_THERE
    return True


async def void_temporary(session: SftpSession, temporary: str, journal: Journal) -> None:
    """Make sure that a delayed RENAME of this file finds nothing to rename.

    Raises:
        EarlierRenamePending: The server allows neither to remove nor to rename it.
    """
    try:
        await session.remove(temporary)
    except RequestRefused as refused:
        if refused.code not in NOTHING_THERE:
            await _rename_to_void(session, temporary, refused)
    # Not "gone": what an earlier attempt has made of it may stand under another name.
    journal.rename_resolved(temporary)


async def _rename_to_void(session: SftpSession, temporary: str, refused: RequestRefused) -> None:
    try:
        await session.rename_without_replacing(temporary, void_name(temporary))
    except RequestRefused:
        # NO_SUCH_FILE may also be said of the new name.
        if not (await look(session, temporary)).absent:
            raise _pending(temporary, refused) from None


async def block_aside(session: SftpSession, aside: str, journal: Journal) -> None:
    """Make sure that a delayed RENAME of the partner's file to this name fails: a RENAME replaces nothing.

    Raises:
        EarlierRenamePending: The server does not let the name be occupied.
    """
    try:
        handle = await session.create_exclusively(aside)
    except RequestRefused as refused:
        if not (await look(session, aside)).present:
            raise _pending(aside, refused) from None
        journal.rename_resolved(aside)  # it was carried out: the old file has the name
    else:
        with contextlib.suppress(RequestRefused):  # it is there all the same
            await session.close_file(handle, path=aside)
        journal.blocked(aside)


def _pending(name: str, refused: RequestRefused) -> EarlierRenamePending:
    return EarlierRenamePending(
        f"A RENAME that an earlier attempt sent was never answered, and may still be carried out: "
        f"{described(name)} cannot be moved out of the way. {refused.reason}",
        hint="It will be retried. Ask the partner whether one of its processes hangs, and to allow REMOVE.",
    ).with_cause_of(refused)
