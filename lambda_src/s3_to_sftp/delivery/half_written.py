"""A file that an earlier attempt has begun under its final name, which its object no longer gets.

The ledger knows the name, and what stood there before. Nothing else that has the name is touched.
"""

import contextlib
import hashlib
import logging

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.publish import PathStatus, is_removed, look
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import temporary_path
from s3_to_sftp.state.ledger import BEGUN, Commit, Lease, SentContent

_log = logging.getLogger(__name__)


def begun_under_final_name(
    path: str, there: PathStatus, *, server: ServerIdentity, transforms: tuple[str, ...]
) -> Commit:
    """Return the step to record before a file is written under its final name.

    Args:
        path: The final name.
        there: What has it until then.
        server: Where it is.
        transforms: What is done to the object's bytes.
    """
    before = there.attributes
    return Commit(
        temporary=path,
        remote_path=path,
        size=(before.size or 0) if before is not None else 0,
        modified=before.mtime if before is not None else None,
        server=server,
        rename_unanswered=False,
        sent=SentContent(transforms=transforms, source_size=0, digests={}) if transforms else None,
    )


def half_written(lease: Lease, path: str) -> Commit | None:
    """Return the step of a file that was begun under another final name than this one; None: none was."""
    begun = lease.steps.get(BEGUN)
    return begun if begun is not None and begun.remote_path != path else None


async def remove_half_written(session: SftpSession, lease: Lease, begun: Commit) -> str:
    """Remove the file, if it is ours; return the name that it has still, or has instead (empty: it is gone).

    Raises:
        DeliveryError: The server is lost.
    """
    name = begun.remote_path
    there = await look(session, name)
    if not there.present or not _is_ours(there, begun, lease):
        return ""
    if await is_removed(session, name):
        return ""
    hidden = hidden_name(name)
    with contextlib.suppress(RequestRefused):
        await session.rename_without_replacing(name, hidden)
        _log.warning("%s has another name now, and half of it stays as %r", lease.ref, hidden)
        return hidden
    _log.warning(
        "%s has another name now, and half of it stays as %r: the server lets it be neither removed nor "
        "renamed. Ask the partner to remove it.",
        lease.ref,
        name,
    )
    return name


def hidden_name(path: str) -> str:
    """Return where a half is moved that must not be removed: a name like that of a temporary file."""
    return temporary_path(path, token=hashlib.sha256(path.encode()).hexdigest()[:16])


def _is_ours(there: PathStatus, begun: Commit, lease: Lease) -> bool:
    now, size = there.attributes, lease.ref.size
    if now is None or now.is_regular is False:
        return False
    is_too_large = begun.sent is None and size is not None and now.size is not None and now.size > size
    return not is_too_large and (now.size, now.mtime) != (begun.size, begun.modified)
