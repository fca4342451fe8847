"""Mode and modification time of files, where the server takes them."""

import logging
from dataclasses import replace

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending

_log = logging.getLogger(__name__)
_PERMISSIONS = 0o777


class Attributes:
    """Sets attributes at one partner, and remembers what is refused there. Lives with the environment."""

    def __init__(self) -> None:
        self._refused: set[tuple[str, str]] = set()

    async def set(
        self, session: SftpSession, path: str, *, mode: int | None, mtime: int | None, is_required: bool
    ) -> FileAttributes | None:
        """Set what is given, in one round trip, and return what the server shows then.

        Args:
            session: To the partner.
            path: Of a file of ours.
            mode: Permission bits; None: as they are.
            mtime: Seconds since 1970; None: as it is.
            is_required: Whether a refusal is an error.

        Returns:
            The attributes; None where the server does not tell them, or nothing was to be set.

        Raises:
            RequestRefused: The server refuses what is required, or says OK and shows something else.
        """
        asked: list[tuple[str, Pending[None]]] = []
        for rule, value in (("mode", mode), ("preserve_time", mtime)):
            if value is not None and (is_required or (session.server, rule) not in self._refused):
                given = {"mode": mode, "mtime": None} if rule == "mode" else {"mode": None, "mtime": mtime}
                asked.append((rule, session.set_attributes(path, **given)))
        if not asked:
            return None
        looking = session.stat(path)
        for rule, pending in asked:
            try:
                await pending
            except RequestRefused as refused:
                if is_required:
                    session.abandon(looking)
                    raise _required(refused, rule) from None
                self._remember(session.server, rule, refused)
        try:
            seen = await looking
        except RequestRefused:  # a drop box does not tell
            return None
        if is_required:
            _require_shown(seen, path, mode=mode, mtime=mtime)
        return seen

    def _remember(self, server: str, rule: str, refused: RequestRefused) -> None:
        self._refused.add((server, rule))
        _log.warning("%s does not take what the rule %r says: %s", server, rule, refused.reason)


def _required(refused: RequestRefused, rule: str) -> RequestRefused:
    return RequestRefused(
        f"The server refused what the rule {rule!r} says, and 'require_attributes' is set. {refused.reason}",
        hint="Ask the partner to allow it, or set require_attributes=False.",
        code=refused.code,
        disposition=refused.disposition,
        request=refused.request,
    ).with_cause_of(refused)


def _require_shown(seen: FileAttributes, path: str, *, mode: int | None, mtime: int | None) -> None:
    shown = replace(seen, permissions=None if seen.permissions is None else seen.permissions & _PERMISSIONS)
    for rule, wanted, there in (("mode", mode, shown.permissions), ("preserve_time", mtime, shown.mtime)):
        if wanted is not None and there is not None and there != wanted:
            form = "{:#o}" if rule == "mode" else "{}"
            raise RequestRefused(
                f"The server said OK to the rule {rule!r}, {form.format(wanted)}, but shows "
                f"{form.format(there)} for {path!r}, and 'require_attributes' is set.",
                hint="Ask the partner why, or set require_attributes=False.",
                code=0,
                disposition=RequestRefused.disposition,
                request="setstat",
            )
