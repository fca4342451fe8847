"""A large object, put under a temporary name: over lost connections, and over several invocations."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NoReturn

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery.leftovers import Leftovers
from s3_to_sftp.delivery.upload_report import UploadReport
from s3_to_sftp.delivery_plan import DeliveryPlan
from s3_to_sftp.errors import (
    NOT_LET_IN,
    CheckpointLost,
    ConnectionLost,
    DeliveryError,
    Disposition,
    NoProgress,
    ObjectChanged,
    RequestRefused,
    ResumeNotSupported,
    ResumeRefused,
    TransferError,
)
from s3_to_sftp.outcomes import CheckpointSaved
from s3_to_sftp.s3.object_reader import ChecksumSoFar, ObjectReader
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.sftp.upload_request import UploadRequest
from s3_to_sftp.state.ledger import Checkpoint, Ledger
from s3_to_sftp.state.remote_names import RemoteNames

_log = logging.getLogger(__name__)

_STALLED_ROUNDS = 2
"""So many invocations in a row that bring an object no further are the end."""

_REFUSALS_TO_RESUME = 3
"""So many invocations in a row may be refused to resume a file. Then it is sent from the beginning."""

_RECONNECTS = 20
"""So often in one invocation is an object resumed over a new connection. Each has brought it further."""


_OTHERWISE = "More memory gives the function more speed; otherwise send the object in smaller pieces."
_RESUMED_BY_SERVER = f"The server must allow writing into a file that exists: ask the partner. {_OTHERWISE}"
_RESUMED_BY_RULES = (
    "Leave the rule 'temporary' out, or give another name than the final one: then several invocations send "
    f"the file. {_OTHERWISE}"
)


class ResumableUpload:
    """Puts objects of any size under temporary names at one partner."""

    def __init__(
        self,
        *,
        s3: Any,
        sftp: SftpClient,
        ledger: Ledger,
        leftovers: Leftovers,
        sha256: bool,
        new_temporary: Callable[[DeliveryPlan, RemoteNames], str],
    ) -> None:
        """Upload to one partner.

        Args:
            s3: boto3's S3 client.
            sftp: The partner's server.
            ledger: Keeps checkpoints.
            leftovers: What earlier attempts have left.
            sha256: Whether the SHA-256 is wanted, which takes all bytes in order.
            new_temporary: Returns a temporary name for a plan, given what may be at the partner.
        """
        self._s3 = s3
        self._sftp = sftp
        self._ledger = ledger
        self._leftovers = leftovers
        self._sha256 = sha256
        self._new_temporary = new_temporary

    def upload(self, attempt: Attempt, deadline: Deadline) -> tuple[ObjectReader, Staged]:
        """Write the object under the temporary name, over as many connections as that takes.

        Returns:
            What was read, and what is at the partner: complete, or as far as this invocation gets.

        Raises:
            DeliveryError: It cannot be done, or not now.
        """
        with UploadReport(self._ledger, attempt):
            return self._upload(attempt, deadline)

    def _upload(self, attempt: Attempt, deadline: Deadline) -> tuple[ObjectReader, Staged]:
        reconnects = 0
        while True:
            try:
                reader, staged = self._upload_over_one_connection(attempt, deadline)
            except (CheckpointLost, ResumeRefused, ConnectionLost) as error:
                self._prepare_retry(attempt, error, deadline)
                continue
            if staged.complete:
                return reader, staged
            if staged.lost is not None and attempt.plan.file.is_direct:
                raise staged.lost
            # Progress is what a checkpoint can name: where no connection gets that far, none ever will.
            if staged.lost is not None and reader.checksum_up_to(staged.acknowledged).size <= reader.start:
                self._fall_back_to_one_stream(attempt, staged, staged.lost, deadline)
                continue
            if staged.lost is None or reconnects == _RECONNECTS:
                return reader, staged
            reconnects += 1
            attempt.progress.was_interrupted = True
            self._keep_progress(attempt, reader, staged)
            _log.warning("resuming %s at byte %d: %s", attempt.lease.ref, staged.acknowledged, staged.lost)

    def start_over(self, attempt: Attempt) -> None:
        """Forget what earlier attempts have sent: everything is written again, to a new name.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """
        progress = attempt.progress
        if attempt.has_written:
            self._leftovers.note_server(attempt.lease)
        temporary = self._new_temporary(attempt.plan, attempt.lease.names)
        attempt.lease = self._ledger.start_over(attempt.lease, temporary=temporary)
        progress.resume, attempt.commit = None, None
        progress.has_progress = attempt.has_written = False

    @contextlib.contextmanager
    def noting_what_is_written(self, attempt: Attempt) -> Iterator[None]:
        """Note that the block may write files under the temporary name and beside it."""
        had_written, attempt.has_written = attempt.has_written, True
        try:
            yield
        except NOT_LET_IN:
            # Nobody was let in. What was written before that, over another connection, is there all the same.
            attempt.has_written = had_written
            raise

    def _upload_over_one_connection(
        self, attempt: Attempt, deadline: Deadline
    ) -> tuple[ObjectReader, Staged]:
        progress = attempt.progress
        lease, resume = attempt.lease, progress.resume
        # The object first: nobody logs in at the partner for one that is gone.
        reader = progress.reader = self._open(lease.ref, resume)
        if resume and reader.start != resume.offset:
            raise CheckpointLost(
                "Its checksum so far is of another kind.", hint="It is sent from the beginning."
            )
        self._require_time_or_resume(attempt, reader, deadline)
        with self.noting_what_is_written(attempt):
            staged = self._sftp.upload(
                UploadRequest(
                    source=reader,
                    temporary=resume.temporary if resume else lease.temporary,
                    path=lease.remote_path,
                    start=reader.start,
                    is_spread=resume is not None and resume.is_spread,
                    stop=deadline.is_near if self._ledger.is_persistent else lambda: False,
                    # In order where the SHA-256 needs it; where several streams got nowhere, one may.
                    most_streams=1 if self._needs_one_stream(attempt) else None,
                )
            )
        progress.was_interrupted |= staged.probe_may_stand
        return reader, staged

    def _needs_one_stream(self, attempt: Attempt) -> bool:
        progress = attempt.progress
        # No file shows beside one that is written under its final name what the server can do.
        return self._sha256 or progress.stalled > 0 or progress.one_stream or attempt.plan.file.is_direct

    def _open(self, ref: ObjectRef, resume: Checkpoint | None) -> ObjectReader:
        try:
            return ObjectReader(
                self._s3,
                ref,
                pinned_etag=resume.etag if resume else None,
                before=_checksum_of(resume),
                sha256=self._sha256,
            )
        except ObjectChanged as changed:
            # Where the event names no version, the one that is there now is as good.
            if resume is None or ref.etag or ref.version_id:
                raise
            raise CheckpointLost(changed.reason, hint="It is sent from the beginning.") from None

    # Another try within the invocation.

    def _prepare_retry(self, attempt: Attempt, error: DeliveryError, deadline: Deadline) -> None:
        """Get ready for another try within the invocation, or raise the error."""
        progress = attempt.progress
        resumes = progress.resume is not None
        if isinstance(error, ConnectionLost):
            # An old connection may have died of its age; that says nothing about the partner.
            if progress.has_answered or not self._sftp.was_reused:
                raise error
            progress.has_answered = progress.was_interrupted = True
            if resumes:
                return
        elif progress.resume is None or progress.fell_back:
            raise error
        elif isinstance(error, ResumeRefused) and progress.resume.refusals < _REFUSALS_TO_RESUME:
            progress.resume = replace(progress.resume, refusals=progress.resume.refusals + 1)
            progress.has_progress = self._ledger.is_persistent
            raise error
        else:
            progress.fell_back = True
            _log.warning("sending %s from its beginning: %s", attempt.lease.ref, error.reason)
        deadline.require_time_for(attempt.lease.ref, is_resumable=self._ledger.is_persistent)
        self.start_over(attempt)

    def _fall_back_to_one_stream(
        self, attempt: Attempt, staged: Staged, lost: TransferError, deadline: Deadline
    ) -> None:
        """Get ready for another try over one connection, which keeps what it has sent when it is lost.

        Raises:
            TransferError: That is how it was lost.
        """
        progress = attempt.progress
        if progress.one_stream:
            raise lost
        progress.one_stream = progress.has_answered = progress.was_interrupted = True
        if progress.resume is None:
            deadline.require_time_for(attempt.lease.ref, is_resumable=self._ledger.is_persistent)
            self.start_over(attempt)
        else:
            progress.resume = replace(progress.resume, is_spread=staged.is_spread)

    # What one invocation cannot finish.

    def _require_time_or_resume(self, attempt: Attempt, reader: ObjectReader, deadline: Deadline) -> None:
        """Refuse, before a byte is wasted, what no invocation could finish and no other could resume."""
        if (
            self._ledger.is_persistent
            and not reader.start
            and not deadline.suffices_for(reader.size, at_best=True)
        ):
            self._require_resume_support(attempt, reader)

    def _require_resume_support(self, attempt: Attempt, reader: ObjectReader) -> None:
        if attempt.plan.file.is_direct:
            why = "a file that is written under its final name is not resumed."
            raise _not_resumed(reader, why, hint=_RESUMED_BY_RULES)
        self._sftp.connect()
        attempt.has_written = True  # from now on what is tried may stay behind
        trouble, disposition = "the partner's server does not keep what is resumed.", Disposition.PERMANENT
        try:
            if self._sftp.supports_resume(attempt.lease.temporary):
                return
        except RequestRefused as refused:  # may pass: servers refuse for full disks and busy scanners, too
            trouble, disposition = refused.reason, refused.disposition
        unsupported = _not_resumed(reader, trouble, hint=_RESUMED_BY_SERVER)
        unsupported.disposition = disposition
        raise unsupported

    def save_checkpoint(self, attempt: Attempt, reader: ObjectReader, staged: Staged) -> NoReturn:
        """Record how far the upload is; the next invocation resumes there.

        Raises:
            CheckpointSaved: It is recorded.
            NoProgress, ResumeNotSupported, LedgerError: It is not.
        """
        lease = attempt.lease
        if staged.lost is not None and not self._ledger.is_persistent:
            raise staged.lost
        # A server that is not asked may say OK to all that the next invocation writes, and keep only that.
        if staged.lost is None:
            self._require_resume_not_disproved(attempt, reader)
        checkpoint = self._checkpoint_of(attempt, reader, staged)
        if checkpoint.rounds_without_progress >= _STALLED_ROUNDS:
            raise NoProgress(
                f"{checkpoint.rounds_without_progress} invocations in a row have brought {lease.ref} no "
                f"further: {checkpoint.offset} of {reader.size} bytes are at the partner.",
                hint="Ask the partner whether the server hangs, or removes files before they are complete; "
                "give the function more time (timeout).",
            )
        self._ledger.checkpoint(lease, checkpoint)
        raise CheckpointSaved(
            f"{checkpoint.offset} of {reader.size} bytes of {lease.ref} are at the partner.",
            hint="The next invocation resumes there.",
        )

    def _require_resume_not_disproved(self, attempt: Attempt, reader: ObjectReader) -> None:
        """Raise where the server has shown that it does not keep what is resumed.

        Where it does not tell now, the next invocation asks before it resumes, and the bytes are there.
        """
        try:
            self._require_resume_support(attempt, reader)
        except ResumeNotSupported as unsupported:
            if unsupported.disposition is Disposition.PERMANENT:
                raise
            _log.warning("%s", unsupported.reason)
        except (*NOT_LET_IN, TransferError) as error:
            _log.warning("pausing %s, and whether it can be resumed is not known: %s", reader.ref, error)

    def _keep_progress(self, attempt: Attempt, reader: ObjectReader, staged: Staged) -> None:
        """Resume there, in this invocation or in the next."""
        progress = attempt.progress
        progress.resume = self._checkpoint_of(attempt, reader, staged)
        progress.has_progress = self._ledger.is_persistent
        progress.has_answered = True

    def _checkpoint_of(self, attempt: Attempt, reader: ObjectReader, staged: Staged) -> Checkpoint:
        progress = attempt.progress
        so_far = reader.checksum_up_to(staged.acknowledged)
        known = attempt.lease.checkpoint
        is_further = not progress.fell_back and so_far.size > (known.offset if known else 0)
        return Checkpoint(
            temporary=staged.temporary,
            offset=so_far.size,
            algorithm=so_far.algorithm,
            crc=so_far.crc,
            parts_crc=so_far.parts_crc,
            part_crc=so_far.part_crc,
            rounds_without_progress=0 if is_further else progress.stalled + 1,
            etag=reader.etag,
            is_spread=staged.is_spread,
        )


def _not_resumed(reader: ObjectReader, why: str, *, hint: str) -> ResumeNotSupported:
    return ResumeNotSupported(
        f"{reader.ref} ({reader.size} bytes) takes longer than one invocation, and {why}", hint=hint
    )


def _checksum_of(checkpoint: Checkpoint | None) -> ChecksumSoFar | None:
    if checkpoint is None:
        return None
    return ChecksumSoFar(
        size=checkpoint.offset,
        algorithm=checkpoint.algorithm,
        crc=checkpoint.crc,
        parts_crc=checkpoint.parts_crc,
        part_crc=checkpoint.part_crc,
    )
