"""One object, from the lease to the receipt.

A large object travels alone, over several connections and invocations where it takes them. Small ones share a
connection, and the scheduler (`batch.py`) runs the steps of many at a time. The steps are the same (a small
object is verified as soon as it is read):

    acquire ─► read ─► upload under a temporary name ─► verify ─► commit ─► publish ─► record

The ledger records a commit before the RENAME is sent. From then on the temporary file belongs to the ledger:
the next attempt finds out what became of it (`recovery.py`).
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.delivery.admission import Admission
from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.failed_attempt import FailedAttempts
from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.delivery.leftovers import Leftovers, unused_aside
from s3_to_sftp.delivery.object_answers import ObjectAnswers
from s3_to_sftp.delivery.plan_execution import NoRules, PlanExecution
from s3_to_sftp.delivery.publication import Publication
from s3_to_sftp.delivery.recovery import Recovery, abandoned_file
from s3_to_sftp.delivery.resumable_upload import ResumableUpload
from s3_to_sftp.delivery.temporary_name import temporary_name
from s3_to_sftp.delivery.transformed_upload import TransformedUpload
from s3_to_sftp.delivery_plan import DeliveryPlan
from s3_to_sftp.errors import AfterDeliveryFailed, Disposition, ObjectCorrupt
from s3_to_sftp.remote_path import SourceDirectory, directory_of, remote_path
from s3_to_sftp.s3.object_reader import ObjectReader, SmallObject, read_whole
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.verification import VerifiedContent
from s3_to_sftp.sftp.client import SftpClient, SmallFile
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import upload_small
from s3_to_sftp.state.ledger import Lease, Ledger
from s3_to_sftp.state.no_ledger import NoLedger
from s3_to_sftp.state.receipt import Evidence, Receipt
from s3_to_sftp.state.remote_names import RemoteNames
from s3_to_sftp.unknown_outcome import UnknownOutcome

_log = logging.getLogger(__name__)

_NOT_PROVEN = (Evidence.ASSUMED, Evidence.CONFIRMED)
"""What changes nothing in S3: the object may be needed once more."""


@dataclass(frozen=True)
class SmallDelivery:
    """A small object on its way.

    Attributes:
        attempt: The right to send it, and how far it is.
        object: Its bytes, and what they are.
    """

    attempt: Attempt
    object: SmallObject


class Delivery(ObjectAnswers):
    """Delivers objects to one partner.

    With a ledger an object is sent once, whatever happens to the function, and may be larger than one
    invocation can send. Without one it is sent again for every event.
    """

    def __init__(
        self,
        *,
        s3: Any,
        sftp: SftpClient,
        directory: str,
        sources: Sequence[SourceDirectory] = (),
        ledger: Ledger | None = None,
        sha256: bool = False,
        unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        execution: PlanExecution | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Deliver to one partner.

        Args:
            s3: boto3's S3 client.
            sftp: The partner's server.
            directory: Remote directory of all objects whose source has none of its own.
            sources: Sources with a directory of their own.
            ledger: Remembers deliveries. By default nothing is remembered.
            sha256: Whether receipts hold the SHA-256.
            unknown_outcome: What to do where nobody knows whether a file was delivered.
            new_token: Returns a token that no other attempt has.
            execution: Makes and executes plans. By default an object's key gives its name.
            clock: Seconds, for durations.
            now: Seconds since 1970.
        """
        super().__init__(sftp=sftp, ledger=ledger or NoLedger(), execution=execution or NoRules(self._path))
        self.sftp = sftp
        self._s3 = s3
        self._directory = directory
        self._sources = sources
        self._sha256 = sha256
        self._new_token = new_token
        self._admission = Admission(
            s3=s3,
            sftp=sftp,
            ledger=self._ledger,
            execution=self._execution,
            new_temporary=self._new_temporary,
            clock=clock,
        )
        self._leftovers = Leftovers(sftp, now=now)
        self._failures = FailedAttempts(ledger=self._ledger, sftp=sftp, leftovers=self._leftovers)
        self._publication = Publication(
            sftp=sftp,
            ledger=self._ledger,
            leftovers=self._leftovers,
            execution=self._execution,
            clock=clock,
        )
        self._recovery = Recovery(
            sftp=sftp,
            leftovers=self._leftovers,
            publication=self._publication,
            if_unknown=unknown_outcome,
        )
        self._uploads = ResumableUpload(
            s3=s3,
            sftp=sftp,
            ledger=self._ledger,
            leftovers=self._leftovers,
            sha256=sha256,
            new_temporary=self._new_temporary,
        )
        self._transformed_uploads = TransformedUpload(
            s3=s3,
            sftp=sftp,
            ledger=self._ledger,
            execution=self._execution,
            uploads=self._uploads,
            publication=self._publication,
            sha256=sha256,
        )

    def deliver(self, ref: ObjectRef, invocation: Invocation | None = None) -> Receipt:
        """Deliver the bytes of the notification: when it returns, they have their final name.

        Args:
            ref: The version to deliver.
            invocation: By default one that lasts as long as any may.

        Raises:
            NothingToSend: They need not be delivered, now or later.
            CheckpointSaved: A part of them is at the partner, and recorded.
            DeliveryError: They are not delivered, and no partial file has the final name.
        """
        invocation = invocation or Invocation.longest()
        self._admission.refuse_folder_marker(ref)
        return self.deliver_leased(self._admission.acquire(ref, invocation), invocation.deadline)

    def deliver_leased(
        self, lease: Lease, deadline: Deadline, *, blocked_by: Exception | None = None
    ) -> Receipt:
        """Deliver what the lease is for, starting from what earlier attempts have left.

        Args:
            lease: From `read_small`, or just acquired.
            deadline: Of the invocation.
            blocked_by: What blocks every delivery, where that was found out meanwhile: the lease is released.

        Raises:
            See `deliver`.
        """
        attempt = self._admission.begin(lease)
        attempt.deadline = deadline
        with self._failures.recorded(attempt):
            if blocked_by is not None:
                raise blocked_by
            self._admission.require_current(lease.ref)
            receipt = self._recovery.recover(attempt, lease.commit) if lease.commit else None
            if receipt is None:
                receipt = self._send(attempt, deadline)
            self._leftovers.sweep(lease, receipt.remote_path, self._publication.journal(attempt))
            self._record(attempt, receipt)
        self._after_receipt(attempt, receipt)
        return receipt

    def _send(self, attempt: Attempt, deadline: Deadline) -> Receipt:
        lease = self._leftovers.without_half_written(attempt.lease, attempt.plan.file.path)
        if lease is not attempt.lease:  # recorded: what gets that name now is none of ours
            attempt.lease = lease
            self._uploads.start_over(attempt)
        abandoned = abandoned_file(attempt.lease)
        standing = self._recovery.standing_before(abandoned)
        if attempt.plan.must_be_prepared:
            self.sftp.run(lambda session: self._execution.before_upload(session, attempt, InlineExecutor()))
        if attempt.lease.commit or self._is_name_in_use(attempt):  # what is there is no use
            deadline.require_time_for(attempt.lease.ref, is_resumable=self._ledger.is_persistent)
            self._uploads.start_over(attempt)
        if abandoned and (receipt := self._recovery.found_when_abandoned(attempt, abandoned, standing)):
            return receipt
        if self._leftovers.remove_dead(attempt.lease, attempt.progress.resume):
            attempt.progress.has_answered = True
        uploads = self._transformed_uploads if attempt.plan.transforms else self._uploads
        reader, staged = uploads.upload(attempt, deadline)
        if not staged.complete:
            self._uploads.save_checkpoint(attempt, reader, staged)
        commit = self._publication.commit_of(attempt, staged, self._verify(attempt, reader))
        commit = self._publication.commit_and_publish_alone(attempt, commit)
        return self._publication.receipt(attempt, commit, streams=staged.streams)

    def _is_name_in_use(self, attempt: Attempt) -> bool:
        """Return whether a file of a dead attempt may have the temporary name."""
        has_begun = attempt.progress.resume is not None
        return attempt.lease.had_temporary and not has_begun and not attempt.plan.file.is_direct

    # A small one: read_small in a thread, send_small as a coroutine beside others, finish_small in a thread.

    def read_small(self, ref: ObjectRef, invocation: Invocation) -> SmallDelivery | Lease:
        """Acquire the lease and read the object; just the lease where an earlier attempt has left something.

        Raises:
            See `deliver`.
        """
        lease = self._admission.acquire(ref, invocation)
        if lease.has_history:
            return lease
        attempt = self._admission.begin(lease)
        attempt.may_use_connection = False  # the connection belongs to the thread that sends
        with self._failures.recorded(attempt):
            self._admission.require_current(ref)
            return SmallDelivery(attempt, read_whole(self._s3, ref, sha256=self._sha256))

    def small_file(self, small: SmallDelivery, executor: Executor) -> SmallFile[SmallDelivery]:
        """Return the file to be sent; the executor writes to the ledger."""
        attempt, lease = small.attempt, small.attempt.lease
        return SmallFile(
            small,
            lease.remote_path,
            lease.temporary,
            small.object.data,
            aside=unused_aside(lease, lease.temporary, path=lease.remote_path),
            journal=self._publication.journal(attempt, executor),
            is_complete=lambda: attempt.commit is not None,
        )

    async def send_small(
        self, session: SftpSession, file: SmallFile[SmallDelivery], executor: Executor
    ) -> None:
        """Send the file and give it its final name; the executor writes to the ledger meanwhile."""
        attempt = file.ticket.attempt
        executor = executor if self._ledger.is_persistent else InlineExecutor()
        attempt.commit = None  # what was complete over a lost connection is sent again
        if attempt.plan.must_be_prepared:
            await self._execution.before_upload(session, attempt, executor)
        session.require_valid_name(file.path)
        with self._uploads.noting_what_is_written(attempt):
            staged = await upload_small(
                session, file.data, temporary=file.temporary, path=file.path, journal=file.journal
            )
        commit = self._publication.commit_of(attempt, staged, file.ticket.object.content)
        data = file.ticket.object.data
        await self._publication.commit_and_publish(session, attempt, commit, executor, data)

    def finish_small(self, small: SmallDelivery, error: Exception | None) -> Receipt:
        """Record what became of it.

        Args:
            small: The object.
            error: Why it does not stand under its final name, if it does not.

        Raises:
            Exception: The error, once the ledger has it.
        """
        attempt = small.attempt
        with self._failures.recorded(attempt):
            if error is not None:
                raise error
            assert attempt.commit is not None  # noqa: S101 - it was published
            receipt = self._publication.receipt(attempt, attempt.commit)
            self._record(attempt, receipt)
        self._after_receipt(attempt, receipt)
        return receipt

    # The steps.

    def _verify(self, attempt: Attempt, reader: ObjectReader) -> VerifiedContent:
        try:
            return reader.verify()
        except ObjectCorrupt as corrupt:
            if reader.start:  # what is wrong may have been sent by an earlier invocation
                self._uploads.start_over(attempt)
                # A continued message restarts its retries: this would never end.
                corrupt.disposition = Disposition.PERMANENT
            raise

    def _record(self, attempt: Attempt, receipt: Receipt) -> None:
        """Record the receipt.

        Raises:
            LedgerError: It could not be written. The next attempt finds out that the object is delivered.
        """
        item = receipt.as_item(request_id=attempt.lease.owner)
        after, is_proven = attempt.plan.after, receipt.evidence not in _NOT_PROVEN
        left = {} if after is None else {"after": after.as_item(is_proven=is_proven)}
        self._ledger.delivered(attempt.lease, item, **left)

    def _after_receipt(self, attempt: Attempt, receipt: Receipt) -> None:
        """Do what the plan says about the object in S3, now that the receipt is recorded.

        Raises:
            AfterDeliveryFailed: It is not done, but the object is delivered: the error has the receipt.
        """
        if attempt.plan.after is None or receipt.evidence in _NOT_PROVEN:
            return
        try:
            self._execution.after_receipt(attempt.lease.ref, attempt, deadline=attempt.deadline)
        except AfterDeliveryFailed as failed:
            failed.receipt = receipt
            raise

    def _path(self, ref: ObjectRef) -> str:
        directory = directory_of(ref.bucket, ref.key, self._sources, otherwise=self._directory)
        return remote_path(directory=directory, key=ref.key)

    def _new_temporary(self, plan: DeliveryPlan, names: RemoteNames | None = None) -> str:
        return temporary_name(plan.file, token=self._new_token(), names=names)
