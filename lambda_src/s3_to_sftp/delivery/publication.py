"""A file that is complete under its temporary name: commit, final name, receipt.

The ledger records the commit before the RENAME is sent. From then on the temporary file belongs to the
ledger.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import replace

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.delivery.leftovers import Leftovers, NameJournal, unused_aside
from s3_to_sftp.delivery.plan_execution import PlanExecution
from s3_to_sftp.errors import ConnectionLost, NameTaken, RenameUnanswered, RequestRefused
from s3_to_sftp.s3.verification import VerifiedContent
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.publish import publish
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import Staged, discard
from s3_to_sftp.state.ledger import BEGUN, Commit, Ledger
from s3_to_sftp.state.receipt import Evidence, Receipt, sent_details


class Publication:
    """Gives complete files their final names at one partner."""

    def __init__(
        self,
        *,
        sftp: SftpClient,
        ledger: Ledger,
        leftovers: Leftovers,
        execution: PlanExecution,
        clock: Callable[[], float],
    ) -> None:
        """Publish at one partner.

        Args:
            sftp: The partner's server.
            ledger: Records commits.
            leftovers: What earlier attempts have left.
            execution: Of plans.
            clock: Seconds, for durations.
        """
        self._sftp = sftp
        self._ledger = ledger
        self._leftovers = leftovers
        self._execution = execution
        self._clock = clock

    def commit_of(self, attempt: Attempt, staged: Staged, content: VerifiedContent) -> Commit:
        """Return what is true of a file that is complete under its temporary name."""
        modified = staged.seen.mtime if staged.seen else None
        if modified == attempt.lease.last_modified:
            modified = None  # no evidence: another file that may have the final name is of the same second
        return Commit(
            temporary=staged.temporary,
            remote_path=attempt.lease.remote_path,
            size=staged.acknowledged,
            modified=modified,
            server=self._sftp.identity,
            # Under its final name it is published with its last byte.
            rename_unanswered=staged.temporary != attempt.lease.remote_path,
            is_renamed=staged.temporary == attempt.lease.remote_path,
            checksum_algorithm=content.checksum_algorithm,
            checksum=content.checksum,
            verified_by=content.verified_by,
            sha256=content.sha256,
            sent=attempt.sent,
        )

    async def commit_and_publish(
        self,
        session: SftpSession,
        attempt: Attempt,
        commit: Commit,
        executor: Executor,
        data: bytes | None = None,
    ) -> Commit:
        """Record that the complete file is about to get its final name, and give it that name.

        Args:
            session: To the server that has the file.
            attempt: Whose file it is.
            commit: What is true of the file.
            executor: Writes to the ledger, while other tasks use the session.
            data: Its bytes, where they are at hand.

        Returns:
            What was committed.

        Raises:
            DeliveryError: See `_commit` and `_publish`.
        """
        commit = await self._execution.before_commit(session, attempt, commit, executor, data)
        try:
            await ExternalFuture(executor.submit(self._commit, attempt, commit))
        except NameTaken:
            if await discard(session, commit.temporary):
                self.journal(attempt, executor).gone(commit.temporary)
            raise
        with self._lost_when_complete():
            await self._execution.before_rename(session, attempt, executor)
        await self._publish(session, attempt, commit, executor)
        await self.complete(session, attempt, executor)
        return commit

    async def complete(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Do what is left to do once the data has its final name.

        Raises:
            DeliveryError: It is not done. The next attempt does it.
        """
        with self._lost_when_complete():
            await self._execution.after_rename(session, attempt, executor)

    def complete_alone(self, attempt: Attempt) -> None:
        """Do the same for a file that was found; without a connection where nothing is left to do.

        By the rules that gave it its final name: what stands beside it has to fit.

        Raises:
            DeliveryError: See `complete`.
        """
        if attempt.commit is not None:
            attempt.plan = self._execution.plan_of_commit(attempt.commit, attempt.plan)
        if attempt.plan.must_be_completed:
            self._sftp.run(lambda session: self.complete(session, attempt, InlineExecutor()))

    @contextlib.contextmanager
    def _lost_when_complete(self) -> Iterator[None]:
        """Make sure that a complete file is not sent again because its connection was lost."""
        try:
            yield
        except ConnectionLost as lost:
            if not self._ledger.is_persistent:  # nobody can find out what became of it: it is sent again
                raise
            raise RenameUnanswered(lost.reason, hint=lost.hint).with_cause_of(lost) from lost

    def commit_and_publish_alone(self, attempt: Attempt, commit: Commit) -> Commit:
        """Do the same for an object that travels alone: in this thread, over connection 0.

        Raises:
            DeliveryError: See `commit_and_publish`.
        """
        executor = InlineExecutor()
        return self._sftp.run(lambda session: self.commit_and_publish(session, attempt, commit, executor))

    def _commit(self, attempt: Attempt, commit: Commit) -> None:
        """Record that a complete file is about to get its final name.

        Raises:
            Superseded, RemotePathRefused, LedgerError: It must not.
        """
        for path in (commit.remote_path, *(each.path for each in attempt.plan.companions)):
            if (same_file := self._sftp.same_file(path)) is not None:
                self._ledger.claim_file(
                    replace(attempt.lease, remote_path=path),
                    same_file,
                    account=commit.server.account,
                    number=attempt.plan.number_in_names,
                )
        earlier = attempt.lease.names.get(commit.temporary)
        attempt.earlier_rename = earlier is not None and earlier.rename_pending
        attempt.commit = commit
        self._ledger.commit(attempt.lease, commit)

    async def _publish(
        self, session: SftpSession, attempt: Attempt, commit: Commit, executor: Executor
    ) -> None:
        """Give the file its final name, once no older RENAME can take that name.

        Raises:
            RequestRefused: It has no final name.
            RenameUnanswered, ProtocolViolation: It may have it, now or later.
            EarlierRenamePending: An older RENAME cannot be prevented.
        """
        lease, journal = attempt.lease, self.journal(attempt, executor)
        aside = unused_aside(lease, commit.temporary, path=commit.remote_path)
        is_ours = _is_half_written(lease.steps.get(BEGUN), commit)
        replaces = is_ours or attempt.replaces(commit.remote_path)
        attempt.rename_sent = True
        try:
            with self._lost_when_complete():
                await self._leftovers.prevent_renames(session, lease, commit, journal)
                await publish(
                    session,
                    commit.temporary,
                    commit.remote_path,
                    aside=aside,
                    journal=journal,
                    replaces=replaces,
                )
        except RequestRefused:
            await self._leftovers.restore(session, lease, commit.remote_path, journal)
            if not self._ledger.is_persistent:
                await discard(session, commit.temporary)
            raise
        attempt.note_published(rename_answered=True)

    def receipt(
        self,
        attempt: Attempt,
        commit: Commit,
        *,
        streams: int = 1,
        recovered: bool = False,
        evidence: Evidence = Evidence.RENAME_OK,
    ) -> Receipt:
        """Return the receipt of what has just been delivered, or was found to be."""
        if commit.temporary == commit.remote_path and evidence is not Evidence.CONFIRMED:
            evidence = Evidence.CLOSE_OK
        return Receipt(
            ref=attempt.lease.ref,
            remote_path=commit.remote_path,
            size=commit.size,
            seconds=self._clock() - attempt.started,
            checksum_algorithm=commit.checksum_algorithm,
            checksum=commit.checksum,
            verified_by=commit.verified_by,
            evidence=evidence,
            sha256=commit.sha256 or None,
            streams=streams,
            # Not that of the last connection: another file may have met another server since.
            host_key_fingerprint=commit.server.host_key,
            attempt=attempt.lease.attempt,
            recovered=recovered,
            details={
                **(sent_details(commit.sent) if commit.sent is not None else {}),
                **self._execution.details(attempt),
            },
        )

    def journal(self, attempt: Attempt, executor: Executor | None = None) -> NameJournal:
        """Return the journal of the names that the object uses; the executor (or this thread) writes it."""
        return self._leftovers.journal(attempt.lease, self._ledger, executor or InlineExecutor())


def _is_half_written(begun: Commit | None, commit: Commit) -> bool:
    """Return whether an earlier attempt has written the object under this very name, and not to its end."""
    return begun is not None and begun.remote_path == commit.remote_path
