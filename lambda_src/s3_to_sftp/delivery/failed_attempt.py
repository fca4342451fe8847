"""What the ledger keeps of an attempt that fails, and what is removed at the partner."""

import contextlib
import functools
import logging
from collections.abc import Iterator
from dataclasses import replace

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.delivery.leftovers import Leftovers
from s3_to_sftp.delivery.withdrawal import announcements, withdraw
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    LedgerError,
    ObjectChanged,
    ObjectGone,
    ProtocolViolation,
)
from s3_to_sftp.outcomes import AlreadyGone, CheckpointSaved, NothingToSend, Skipped, Superseded
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.state.ledger import Lease, Ledger, TerminalState
from s3_to_sftp.untrusted_text import quoted

_log = logging.getLogger(__name__)


class FailedAttempts:
    """Records attempts that fail, and cleans up after them."""

    def __init__(self, *, ledger: Ledger, sftp: SftpClient, leftovers: Leftovers) -> None:
        self._ledger = ledger
        self._sftp = sftp
        self._leftovers = leftovers

    @contextlib.contextmanager
    def recorded(self, attempt: Attempt) -> Iterator[None]:
        """Release the lease when the block raises, and record an end that is none of ours.

        Raises:
            AlreadyGone, Superseded: In place of ObjectGone and ObjectChanged, once the ledger has it.
            Exception: What the block raised.
        """
        try:
            yield
        except Skipped as skipped:
            self._end(attempt, "SKIPPED", skipped)
            raise
        except (NothingToSend, CheckpointSaved):  # the ledger knows
            raise
        except ObjectGone as gone:
            if not self._ledger.is_persistent:
                raise
            if attempt.is_published:  # what is missing is beside it
                self._release(attempt, gone)
                raise
            self._end(attempt, "GONE", gone)
            raise AlreadyGone(gone.reason, hint=gone.hint) from None
        except ObjectChanged as changed:
            if not self._ledger.is_persistent:
                raise
            if attempt.is_published:
                self._release(attempt, changed)
                raise
            self._end(attempt, "SUPERSEDED", changed)
            raise Superseded(changed.reason, hint=changed.hint) from None
        except Exception as error:
            self._release(attempt, error)
            raise

    def _end(self, attempt: Attempt, state: TerminalState, error: DeliveryError) -> None:
        """Record the end of an object that will not be delivered, and remove what was sent of it."""
        lease = attempt.lease
        self._forget_temporary(attempt, error)
        if attempt.may_use_connection:
            with contextlib.suppress(DeliveryError):
                self._leftovers.remove_all(lease)
                lease = self._leftovers.without_half_written(lease)
                lease = self._without_announcements(lease, state)
                self._restore(attempt)
        self._ledger.record_outcome(
            lease.ref, state=state, reason=error.reason, hint=error.hint, lease=lease, error=error
        )

    def _without_announcements(self, lease: Lease, state: TerminalState) -> Lease:
        if state == "SKIPPED" or not announcements(lease):
            return lease
        self._sftp.connect()
        account = self._sftp.identity.account
        journal = self._leftovers.journal(lease, self._ledger, InlineExecutor())
        return self._sftp.run(lambda session: withdraw(session, lease, account, self._ledger, journal))

    def _restore(self, attempt: Attempt) -> None:
        lease = attempt.lease
        journal = self._leftovers.journal(lease, self._ledger, InlineExecutor())
        for place in self._leftovers.places_to_restore(lease):
            self._sftp.run(
                functools.partial(self._leftovers.restore, lease=lease, path=place, journal=journal)
            )

    def _release(self, attempt: Attempt, error: Exception) -> None:
        reason = (
            error.reason if isinstance(error, DeliveryError) else f"{type(error).__name__}: {quoted(error)}"
        )
        if attempt.has_written:  # reasons have no random names
            _log.info(
                "attempt %d at %s wrote %r", attempt.lease.attempt, attempt.lease.ref, attempt.lease.temporary
            )
        try:
            self._record(attempt, error, reason)
        except LedgerError as trouble:  # the error to tell is the first one; the lease ends by itself
            _log.warning("the lease of %s was not released: %s", attempt.lease.ref, trouble)

    def _record(self, attempt: Attempt, error: Exception, reason: str) -> None:
        lease, commit = attempt.lease, attempt.commit
        if attempt.has_written:
            self._leftovers.note_server(lease)
        if commit and not attempt.is_published:
            unanswered = attempt.earlier_rename or (attempt.rename_sent and not _is_answer(error))
            if not unanswered:
                lease.names.rename_resolved(commit.temporary)
            staged = replace(commit, rename_unanswered=unanswered)
            self._ledger.stage(lease, staged, reason=reason, error=error)
            return
        is_known = attempt.rename_answered or (commit is not None and bool(commit.evidence))
        if commit and is_known and self._ledger.is_persistent:  # only what is beside it, and the receipt
            self._ledger.stage(lease, replace(commit, is_renamed=True), reason=reason, error=error)
            return
        if not commit and not lease.commit:
            self._forget_temporary(attempt, error)
        if attempt.progress.has_progress and attempt.progress.resume:
            self._ledger.checkpoint(lease, attempt.progress.resume)
        else:
            self._ledger.release(lease, reason=reason, error=error)

    def _forget_temporary(self, attempt: Attempt, error: Exception) -> None:
        """Remove what was written, where the partner still answers."""
        lease = attempt.lease
        if attempt.progress.resume or lease.checkpoint:
            return
        if not attempt.has_written:
            if lease.commit is None and not lease.had_temporary:  # otherwise an earlier attempt may have
                lease.names.remove(lease.temporary)
        elif attempt.may_use_connection and not isinstance(error, ConnectionLost | ProtocolViolation):
            with contextlib.suppress(DeliveryError):
                self._leftovers.remove(lease, [lease.temporary])


def _is_answer(error: Exception) -> bool:
    """Return whether the error shows that no RENAME is under way: only silence leaves that open."""
    return isinstance(error, DeliveryError) and not isinstance(error, ConnectionLost | ProtocolViolation)
