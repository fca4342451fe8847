"""Files that announce data which never comes: its object is gone, or a newer one has taken its place.

They go as long as they stand as we have put them. What the partner has taken away, or may have, stays known:
a number that was seen is not used again without a person.
"""

import logging
from dataclasses import replace

from s3_to_sftp.delivery.leftovers import NameJournal
from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.publish import look, void_temporary
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.ledger import OF_DATA, Commit, Lease, Ledger

_log = logging.getLogger(__name__)


def announcements(lease: Lease) -> dict[str, Commit]:
    """Return the files that stand beside no data; none where the partner may have the data."""
    data = lease.commit
    may_be_seen = data is not None and (data.rename_unanswered or data.is_renamed)
    if may_be_seen or any(name in lease.steps for name in OF_DATA):
        return {}
    return dict(lease.steps)


async def withdraw(
    session: SftpSession, lease: Lease, account: str, ledger: Ledger, journal: NameJournal
) -> Lease:
    """Remove them; return the lease without those that surely nobody has taken.

    Args:
        session: To the partner.
        lease: Of the version that is not delivered.
        account: Where the session leads to.
        ledger: Told of each before it is removed: after a crash it is known that it was not taken.
        journal: Told what has become of temporary names.

    Raises:
        DeliveryError: The server or the lease is lost, or a RENAME of one cannot be prevented.
    """
    steps = dict(lease.steps)
    for name, step in announcements(lease).items():
        if step.server.account != account:
            continue
        if step.rename_unanswered and step.temporary != step.remote_path:
            await void_temporary(session, step.temporary, journal)
        there = await look(session, step.remote_path)
        about = there.attributes
        is_ours = about is not None and (about.size, about.mtime) == (step.size, step.modified or about.mtime)
        was_put = step.is_renamed or step.rename_unanswered
        if was_put and is_ours:
            undone = replace(step, is_renamed=False, rename_unanswered=False)
            ledger.note_step(replace(lease, steps=steps), name, undone)
        if (is_ours and await _is_removed(session, step.remote_path)) or (there.absent and not was_put):
            del steps[name]
            _log.warning("%r announced data that does not come, and is removed", step.remote_path)
        elif was_put and is_ours:
            ledger.note_step(replace(lease, steps=steps), name, step)
    return replace(lease, steps=steps)


async def _is_removed(session: SftpSession, name: str) -> bool:
    """Remove a file; return whether we have: one that is missing was taken by somebody in this moment."""
    try:
        await session.remove(name)
    except RequestRefused:
        return False
    return True
