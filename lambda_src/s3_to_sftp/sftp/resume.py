"""Resumes a file at its checkpoint, once the server has shown that it keeps what was written before."""

import contextlib

from s3_to_sftp.diagnosis import requests
from s3_to_sftp.errors import CheckpointLost, RequestRefused, ResumeRefused
from s3_to_sftp.sftp import probe
from s3_to_sftp.sftp.capabilities import Capabilities
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.protocol import NOTHING_THERE
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import described, resume_probe_name
from s3_to_sftp.sftp.wire import Pending


def supports_resume(pool: ConnectionPool, path: str) -> bool:
    """Return whether a file that was begun over one connection can be resumed over a later one.

    Asked once for each connection 0: behind the next one there may be another server. Two bytes are written
    into a new file, which is opened, changed, read and removed over a further channel or a new connection.

    Args:
        pool: The partner's connections, none of them at work. Connection 0 may be another one afterwards.
        path: An unused name in the directory in question.

    Raises:
        RequestRefused: The server does not let it be tried. That is not remembered: it may be the directory,
            or pass.
        DeliveryError: The server is lost.
    """
    session = pool.first().session
    if pool.capabilities.resume is None:
        session.run_one(probe.begin_file(session, path))
        later, close = pool.another()
        try:
            answer = later.session.run_one(probe.resumes_file(later.session, path))
            pool.remember(Capabilities(resume=answer))
        finally:
            close()
    return bool(pool.capabilities.resume)


def require_resume_support(pool: ConnectionPool, temporary: str) -> None:
    """Refuse to resume a file where that would leave a hole in it.

    Args:
        pool: See `supports_resume`.
        temporary: The file that is to be resumed.

    Raises:
        CheckpointLost: The server has shown that it does not resume files.
        ResumeRefused: The server does not let it be tried.
        DeliveryError: The server is lost.
    """
    try:
        supports = supports_resume(pool, resume_probe_name(temporary))
    except RequestRefused as refused:
        raise _not_resumed(refused) from None
    if not supports:
        raise CheckpointLost(
            f"{pool.server} does not keep what was written when a file is resumed.",
            hint="The object is sent from its beginning.",
        )


async def open_at_checkpoint(session: SftpSession, temporary: str, *, start: int) -> bytes:
    """Open the temporary file of an earlier connection and return the handle.

    Args:
        session: The SFTP session.
        temporary: The file.
        start: Bytes of it that were acknowledged.

    Raises:
        CheckpointLost: The file is gone, or shorter than that.
        ResumeRefused: The server does not let it be opened now.
    """
    opened, size = session.open_existing(temporary), session.size_of(temporary)
    try:
        handle = await opened
    except RequestRefused as refused:
        if refused.code in NOTHING_THERE or await _is_gone(size):
            lost = CheckpointLost(
                f"{described(temporary)} with {start} bytes of an object is no longer at the partner.",
                hint="The object is sent from its beginning.",
            )
            raise requests.TEMPORARY_REMOVED.explain(lost, server=session.server) from None
        raise _not_resumed(refused) from None
    # A write-only directory shows no size; then only the statuses of the former WRITEs are known.
    with contextlib.suppress(RequestRefused):
        found = await size
        if found is not None and found < start:
            session.abandon(session.close_file(handle, path=temporary))
            raise CheckpointLost(
                f"{described(temporary)} has {found} bytes at the partner, {start} were acknowledged.",
                hint="The object is sent from its beginning.",
            )
    return handle


async def _is_gone(size: Pending[int | None]) -> bool:
    """Return whether the file is missing: some servers refuse its OPEN without that reason."""
    try:
        await size
    except RequestRefused as refused:
        return refused.code in NOTHING_THERE
    return False


def _not_resumed(refused: RequestRefused) -> ResumeRefused:
    return ResumeRefused(
        refused.reason,
        hint="The server must allow writing into a file that exists. It will be retried; ask the partner if "
        "it persists.",
        code=refused.code,
        disposition=refused.disposition,
        request=refused.request,
    ).with_cause_of(refused)
