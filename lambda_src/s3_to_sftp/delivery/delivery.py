"""One object, from the lease to the receipt: the story of the program."""

import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery.inline_executor import InlineExecutor
from s3_to_sftp.delivery.leftovers import Leftovers, NameJournal, aside_name, own_names
from s3_to_sftp.delivery.recovery import Verdict, judge, outcome_unknown
from s3_to_sftp.delivery.remote_path import SourceDirectory, directory_of, remote_path, temporary_path
from s3_to_sftp.delivery.unknown_outcome import UnknownOutcome
from s3_to_sftp.errors import (
    AlreadyGone,
    CheckpointLost,
    CheckpointSaved,
    ConnectionLost,
    CredentialsError,
    DeliveryError,
    Disposition,
    FolderMarker,
    LedgerError,
    NoProgress,
    NothingToSend,
    ObjectChanged,
    ObjectCorrupt,
    ObjectGone,
    OutcomeUnknown,
    PartnerError,
    ProtocolViolation,
    RemotePathRefused,
    RequestRefused,
    ResumeNotSupported,
    ResumeRefused,
    SourceError,
    Superseded,
    TransferError,
)
from s3_to_sftp.s3.object_reader import ChecksumSoFar, ObjectReader
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.parallel_upload import Sent
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.publish import PathStatus
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease, Ledger, MessageDisposition
from s3_to_sftp.state.no_ledger import NoLedger
from s3_to_sftp.state.receipt import Evidence, Receipt
from s3_to_sftp.state.remote_names import NameKind
from s3_to_sftp.untrusted_text import quoted

_log = logging.getLogger(__name__)

_LONGEST_INVOCATION_SECONDS = 1800.0

_STALLED_ROUNDS = 2
"""So many invocations in a row that bring an object no further are the end."""

_REFUSALS_TO_RESUME = 3
"""So many invocations in a row may be refused to resume a file. Then it is sent anew."""

_RECONNECTS = 20
"""So often in one invocation is an object resumed over a new connection. Each has brought it further."""


class Delivery:
    """Delivers objects to one partner.

    With a ledger an object is sent once, whatever happens to the function, and may be larger than one
    invocation can send. Without one it is sent again for every event.
    """

    def __init__(
        self,
        *,
        s3: Any,
        partner: SftpClient,
        directory: str,
        sources: Sequence[SourceDirectory] = (),
        ledger: Ledger | None = None,
        sha256: bool = False,
        unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD,
        request_id: Callable[[], str] = lambda: "",
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.s3 = s3
        self.partner = partner
        self._directory = directory
        self._sources = sources
        self._ledger = ledger or NoLedger()
        self._sha256 = sha256
        self._unknown_outcome = unknown_outcome
        self._request_id = request_id
        self._new_token = new_token
        self._clock = clock
        self._now = now
        self._leftovers = Leftovers(partner, now=now)

    @property
    def has_ledger(self) -> bool:
        """Whether anything is remembered."""
        return not isinstance(self._ledger, NoLedger)

    def deliver(self, ref: ObjectRef, deadline: Deadline | None = None) -> Receipt:
        """Deliver the announced bytes: when it returns, they stand under their final name.

        Args:
            ref: What was announced.
            deadline: Of the invocation; by default that of the longest one that there is.

        Raises:
            NothingToSend: They need not be delivered, now or later.
            CheckpointSaved: A part of them is at the partner, and recorded.
            DeliveryError: They are not delivered, and nothing half-written stands under the final name.
        """
        deadline = deadline or Deadline(_longest_invocation())
        self._refuse_folder_marker(ref)
        return self.fulfil(self.lease(ref, deadline), deadline)

    def _refuse_folder_marker(self, ref: ObjectRef) -> None:
        """Refuse the marker of a folder where the event did not say that the object is empty."""
        if ref.size is not None or not ref.is_named_like_a_folder:
            return
        with contextlib.suppress(SourceError):  # told in its turn
            if ObjectReader(self.s3, ref).size == 0:
                raise FolderMarker(f"{ref} is the marker of a folder.", hint="Nothing: it has no content.")

    def lease(self, ref: ObjectRef, deadline: Deadline) -> Lease:
        """Take the object until the end of the invocation.

        Raises:
            NothingToSend, LeaseHeld, DeadlineTooClose, RemotePathRefused, LedgerError: It is not ours.
        """
        deadline.insist(ref, can_be_continued=self.has_ledger)
        path = self._path(ref)
        return self._ledger.acquire(
            ref,
            remote_path=path,
            temporary=self._temporary(path),
            until=deadline.ends_at,
            account=self.partner.account,
        )

    def fulfil(self, lease: Lease, deadline: Deadline) -> Receipt:
        """Deliver what the lease is for, starting from what earlier attempts have left.

        Raises:
            See `deliver`.
        """
        attempt = self.attempt(lease)
        with self.released_on_error(attempt):
            if lease.commit:
                receipt = self._finish(attempt, lease.commit, deadline)
            else:
                receipt = self._send(attempt, deadline)
            self._leftovers.sweep(lease, receipt.remote_path, self.journal(attempt, InlineExecutor()))
            self.record(attempt, receipt)
        return receipt

    def attempt(self, lease: Lease) -> Attempt:
        """Return what is known of an object at the start of an attempt."""
        stalled = lease.checkpoint.rounds_without_progress if lease.checkpoint else 0
        return Attempt(lease, self._clock(), resume=lease.checkpoint, stalled=stalled)

    @contextlib.contextmanager
    def released_on_error(self, attempt: Attempt) -> Iterator[None]:
        """Give the lease back when the block raises, and record an end that is none of ours."""
        try:
            yield
        except (NothingToSend, CheckpointSaved):  # the ledger knows
            raise
        except ObjectGone as gone:
            if not self.has_ledger:
                raise
            self._end(attempt, "GONE", gone)
            raise AlreadyGone(gone.reason, hint=gone.hint) from None
        except ObjectChanged as changed:
            if not self.has_ledger:
                raise
            self._end(attempt, "SUPERSEDED", changed)
            raise Superseded(changed.reason, hint=changed.hint) from None
        except Exception as error:
            self._release(attempt, error)
            raise

    def commit_of(
        self,
        attempt: Attempt,
        temporary: str,
        seen: FileAttributes | None,
        *,
        size: int,
        checksum: tuple[str, str],
        verified_by: str,
        sha256: str | None,
    ) -> Commit:
        """Return what is true of a file that is complete under its temporary name.

        Args:
            attempt: The object.
            temporary: The name.
            seen: What the server shows of the file.
            size: Bytes.
            checksum: Algorithm and value.
            verified_by: See `Receipt`.
            sha256: In hexadecimal, where it was asked for.
        """
        modified = seen.mtime if seen else None
        if modified == attempt.lease.last_modified:
            modified = None  # no evidence: another file that may have the final name is of the same second
        return Commit(
            temporary=temporary,
            remote_path=attempt.lease.remote_path,
            size=size,
            modified=modified,
            server=self.partner.identity,
            checksum_algorithm=checksum[0],
            checksum=checksum[1],
            verified_by=verified_by,
            sha256=sha256 or "",
        )

    def commit(self, attempt: Attempt, commit: Commit) -> None:
        """Record that a complete file is about to get its final name.

        Raises:
            Superseded, RemotePathRefused, LedgerError: It must not.
        """
        if (same_file := self.partner.same_file(commit.remote_path)) is not None:
            self._ledger.claim_file(attempt.lease, same_file, account=commit.server.account)
        earlier = attempt.lease.names.get(commit.temporary)
        attempt.earlier_rename = earlier is not None and earlier.rename_pending
        attempt.commit = commit
        self._ledger.commit(attempt.lease, commit)

    def published(self, attempt: Attempt, *, rename_answered: bool = True) -> None:
        """Note that the file has its final name.

        Args:
            attempt: The object.
            rename_answered: Whether the server has said OK to the RENAME; else it was found, or is assumed.
        """
        attempt.is_published = True
        attempt.rename_answered = rename_answered
        if attempt.commit is None:
            return
        names, temporary = attempt.lease.names, attempt.commit.temporary
        if attempt.may_ask and (attempt.was_interrupted or attempt.lease.attempt > 1):
            names.settle(temporary)  # what a probe has left has a name that follows from it: swept with it
        else:
            names.remove(temporary)

    def journal(self, attempt: Attempt, executor: Executor) -> NameJournal:
        """Return the journal of the names that the object uses; the executor writes it down."""
        return NameJournal(
            attempt.lease,
            self._ledger,
            executor,
            account=lambda: self.partner.identity.account,
            now=self._now,
        )

    def record(self, attempt: Attempt, receipt: Receipt) -> None:
        """Write the receipt down.

        Raises:
            LedgerError: It could not be written. The next attempt finds out that the object is delivered.
        """
        self._ledger.delivered(attempt.lease, receipt.as_item(request_id=self._request_id()))

    def receipt(
        self,
        attempt: Attempt,
        commit: Commit,
        *,
        streams: int = 1,
        recovered: bool = False,
        evidence: Evidence = Evidence.RENAME_OK,
    ) -> Receipt:
        """Make the receipt of what has just been delivered, or was found to be."""
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
            host_key_fingerprint=self.partner.host_key_fingerprint,
            attempt=attempt.lease.attempt,
            recovered=recovered,
        )

    def sha256_of(self, data: bytes) -> str | None:
        """Return it in hexadecimal where receipts are to have it."""
        return hashlib.sha256(data).hexdigest() if self._sha256 else None

    def now(self) -> float:
        """Return the time by the clock that measures deliveries, in seconds."""
        return self._clock()

    def path_of(self, ref: ObjectRef) -> str | None:
        """Return the final name; None where the key cannot have one."""
        try:
            return self._path(ref)
        except RemotePathRefused:
            return None

    def give_up(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Record that the object is not tried any more until a person sends its message again.

        Raises:
            DeliveryError: It could not be recorded, or has ended otherwise meanwhile.
        """
        state: MessageDisposition = "UNKNOWN" if isinstance(error, OutcomeUnknown) else "FAILED"
        self._ledger.settle(ref, state=state, reason=error.reason, hint=error.hint)

    # A file that was complete before this attempt.

    def _finish(self, attempt: Attempt, commit: Commit, deadline: Deadline) -> Receipt:
        """Find out what became of a file that an earlier attempt has completed, and do what is left to do."""
        if commit.is_renamed and self.partner.account == commit.server.account:
            self._found_published(attempt, commit)
            receipt = self.receipt(attempt, commit, recovered=True)
            return replace(receipt, host_key_fingerprint=commit.server.host_key)
        server = self.partner.connect()
        attempt.has_answered = True
        temporary, final = self.partner.look_at(commit.temporary, commit.remote_path)
        verdict = judge(
            commit, server=server, remote_path=attempt.lease.remote_path, temporary=temporary, final=final
        )
        _log.warning("%s was complete before this attempt: %s", attempt.lease.ref, verdict.value)
        match verdict:
            case Verdict.PUBLISH:
                self._publish(attempt, replace(commit, server=server))
                return self.receipt(attempt, commit, recovered=True)
            case Verdict.DELIVERED:
                # A delayed RENAME must not move the delivered file aside.
                journal = self.journal(attempt, InlineExecutor())
                self._leftovers.prevent_renames(attempt.lease, commit, journal)
                self._found_published(attempt, commit)
                return self.receipt(attempt, commit, recovered=True, evidence=Evidence.SEEN_AFTER_RENAME)
            case Verdict.START_OVER:
                return self._send_anew(attempt, deadline)
            case Verdict.UNKNOWN:
                return self._settle_unknown(attempt, commit, final, deadline)

    def _settle_unknown(
        self, attempt: Attempt, commit: Commit, final: PathStatus, deadline: Deadline
    ) -> Receipt:
        """Do what was configured for a file of which nobody knows whether it was delivered.

        Raises:
            OutcomeUnknown: A person has to ask the partner.
        """
        match self._unknown_outcome:
            case UnknownOutcome.RESEND:
                return self._send_anew(attempt, deadline)
            case UnknownOutcome.ASSUME_DELIVERED:
                self._found_published(attempt, commit)
                return self.receipt(attempt, commit, recovered=True, evidence=Evidence.ASSUMED)
            case UnknownOutcome.HOLD:
                attempt.commit, attempt.earlier_rename = commit, True
                raise outcome_unknown(commit, final=final, asides=own_names(attempt.lease, NameKind.ASIDE))

    def _found_published(self, attempt: Attempt, commit: Commit) -> None:
        attempt.commit = commit
        self.published(attempt, rename_answered=commit.is_renamed)

    # A file that is to be sent, or sent on.

    def _send_anew(self, attempt: Attempt, deadline: Deadline) -> Receipt:
        deadline.insist(attempt.lease.ref, can_be_continued=self.has_ledger)
        self._start_over(attempt)
        return self._send(attempt, deadline)

    def _send(self, attempt: Attempt, deadline: Deadline) -> Receipt:
        if self._leftovers.remove_dead(attempt.lease, attempt.resume):
            attempt.has_answered = True
        source, sent = self._upload(attempt, deadline)
        self._check(attempt, source)
        commit = self.commit_of(
            attempt,
            sent.temporary,
            sent.seen,
            size=source.size,
            checksum=source.checksum(),
            verified_by=source.verified_by(),
            sha256=source.sha256(),
        )
        self._publish(attempt, commit)
        return self.receipt(attempt, commit, streams=sent.streams)

    def _upload(self, attempt: Attempt, deadline: Deadline) -> tuple[ObjectReader, Sent]:
        """Put every byte under the temporary name, however many connections that takes."""
        reconnects = 0
        while True:
            try:
                source, sent = self._upload_over_one_connection(attempt, deadline)
            except (CheckpointLost, ResumeRefused, ConnectionLost) as error:
                self._prepare_retry(attempt, error, deadline)
                continue
            if sent.complete:
                return source, sent
            # Progress is what a checkpoint can name: where no connection gets that far, none ever will.
            if sent.lost is not None and source.checksum_up_to(sent.acknowledged).size <= source.start:
                self._fall_back_to_one_stream(attempt, sent, sent.lost, deadline)
                continue
            if sent.lost is None or reconnects == _RECONNECTS:
                self._pause(attempt, source, sent)
            reconnects += 1
            attempt.was_interrupted = True
            self._keep_progress(attempt, source, sent)
            _log.warning("%s is resumed at byte %d: %s", attempt.lease.ref, sent.acknowledged, sent.lost)

    def _upload_over_one_connection(self, attempt: Attempt, deadline: Deadline) -> tuple[ObjectReader, Sent]:
        lease, resume = attempt.lease, attempt.resume
        # The object first: nobody logs in at the partner for one that is gone.
        source = self._source(lease.ref, resume)
        if resume and source.start != resume.offset:
            raise CheckpointLost("Its checksum so far is of another kind.", hint="It is sent anew.")
        self._require_time_or_resume(attempt, source, deadline)
        with self._noting_what_is_written(attempt):
            sent = self.partner.send_large(
                source,
                temporary=resume.temporary if resume else lease.temporary,
                path=lease.remote_path,
                start=source.start,
                is_spread=resume is not None and resume.is_spread,
                pause=deadline.is_near if self.has_ledger else lambda: False,
                # In order where the SHA-256 needs it; where several streams got nowhere, one may.
                streams=1 if self._sha256 or attempt.stalled or attempt.one_stream else None,
            )
        attempt.was_interrupted |= sent.probe_may_stand
        return source, sent

    @contextlib.contextmanager
    def _noting_what_is_written(self, attempt: Attempt) -> Iterator[None]:
        """Note that the block may write files under the temporary name and beside it."""
        had_written, attempt.has_written = attempt.has_written, True
        try:
            yield
        except (PartnerError, CredentialsError):
            # Nobody was let in. What was written before that, over another connection, is there all the same.
            attempt.has_written = had_written
            raise

    def _fall_back_to_one_stream(
        self, attempt: Attempt, sent: Sent, lost: TransferError, deadline: Deadline
    ) -> None:
        """Get ready for another try over one connection, which keeps what it has sent when it is lost.

        Raises:
            TransferError: That is how it was lost.
        """
        if attempt.one_stream:
            raise lost
        attempt.one_stream = attempt.has_answered = attempt.was_interrupted = True
        if attempt.resume is None:
            deadline.insist(attempt.lease.ref, can_be_continued=self.has_ledger)
            self._start_over(attempt)
        else:
            attempt.resume = replace(attempt.resume, is_spread=sent.is_spread)

    def _source(self, ref: ObjectRef, resume: Checkpoint | None) -> ObjectReader:
        try:
            return ObjectReader(
                self.s3,
                ref,
                pinned_etag=resume.etag if resume else None,
                before=_checksum_of(resume),
                sha256=self._sha256,
            )
        except ObjectChanged as changed:
            # Where the event names no version, the one that is there now is as good.
            if resume is None or ref.etag or ref.version_id:
                raise
            raise CheckpointLost(changed.reason, hint="It is sent anew.") from None

    def _prepare_retry(self, attempt: Attempt, error: DeliveryError, deadline: Deadline) -> None:
        """Get ready for another try within the invocation, or raise the error."""
        resumes = attempt.resume is not None
        if isinstance(error, ConnectionLost):
            # An old connection may have died of its age; that says nothing about the partner.
            if attempt.has_answered or not self.partner.was_reused:
                raise error
            attempt.has_answered = attempt.was_interrupted = True
            if resumes:
                return
        elif attempt.resume is None or attempt.fell_back:
            raise error
        elif isinstance(error, ResumeRefused) and attempt.resume.refusals < _REFUSALS_TO_RESUME:
            attempt.resume = replace(attempt.resume, refusals=attempt.resume.refusals + 1)
            attempt.has_progress = self.has_ledger
            raise error
        else:
            attempt.fell_back = True
            _log.warning("%s is sent from its beginning: %s", attempt.lease.ref, error.reason)
        deadline.insist(attempt.lease.ref, can_be_continued=self.has_ledger)
        self._start_over(attempt)

    def _require_time_or_resume(self, attempt: Attempt, source: ObjectReader, deadline: Deadline) -> None:
        """Refuse, before a byte is wasted, what no invocation could finish and no other could resume."""
        if self.has_ledger and not source.start and not deadline.suffices_for(source.size, at_best=True):
            self._require_resume_support(attempt, source)

    def _require_resume_support(self, attempt: Attempt, source: ObjectReader) -> None:
        self.partner.connect()
        attempt.has_written = True  # from now on what is tried may stay behind
        trouble, disposition = "the partner's server does not keep what is resumed.", Disposition.PERMANENT
        try:
            if self.partner.supports_resume(attempt.lease.temporary):
                return
        except RequestRefused as refused:  # may pass: servers refuse for full disks and busy scanners, too
            trouble, disposition = refused.reason, refused.disposition
        cannot = ResumeNotSupported(
            f"{source.ref} ({source.size} bytes) takes longer than one invocation, and {trouble}",
            hint="The server must allow writing into a file that exists: ask the partner. More memory "
            "gives the function more speed; otherwise send the object in smaller pieces.",
        )
        cannot.disposition = disposition
        raise cannot

    def _check(self, attempt: Attempt, source: ObjectReader) -> None:
        try:
            source.checksum()
        except ObjectCorrupt as corrupt:
            if source.start:  # what is wrong may have been sent by an earlier invocation
                self._start_over(attempt)
                # A message that is continued is tried anew each time: this would never end.
                corrupt.disposition = Disposition.PERMANENT
            raise

    def _start_over(self, attempt: Attempt) -> None:
        if attempt.has_written:
            self._leftovers.note_server(attempt.lease)
        anew = self._temporary(attempt.lease.remote_path)
        attempt.lease = self._ledger.start_over(attempt.lease, temporary=anew)
        attempt.resume, attempt.commit = None, None
        attempt.has_progress = attempt.has_written = False

    # A part of it is at the partner.

    def _pause(self, attempt: Attempt, source: ObjectReader, sent: Sent) -> None:
        """Write down how far it is.

        Raises:
            CheckpointSaved: Always, when all is well.
            NoProgress, ResumeNotSupported, LedgerError: When not.
        """
        lease = attempt.lease
        if sent.lost is not None and not self.has_ledger:
            raise sent.lost
        # A server that is not asked may say OK to all that the next invocation writes, and keep only that.
        if sent.lost is None:
            self._require_resume_not_disproved(attempt, source)
        checkpoint = self._checkpoint_of(attempt, source, sent)
        if checkpoint.rounds_without_progress >= _STALLED_ROUNDS:
            raise NoProgress(
                f"{checkpoint.rounds_without_progress} invocations in a row have brought {lease.ref} no "
                f"further: {checkpoint.offset} of {source.size} bytes are at the partner.",
                hint="Ask the partner whether the server hangs, or removes files before they are complete; "
                "give the function more time (timeout).",
            )
        self._ledger.checkpoint(lease, checkpoint)
        raise CheckpointSaved(
            f"{checkpoint.offset} of {source.size} bytes of {lease.ref} are at the partner.",
            hint="The next invocation resumes there.",
        )

    def _require_resume_not_disproved(self, attempt: Attempt, source: ObjectReader) -> None:
        """Raise where the server has shown that it does not keep what is resumed.

        Where it does not tell now, the next invocation asks before it resumes, and the bytes are there.
        """
        try:
            self._require_resume_support(attempt, source)
        except ResumeNotSupported as cannot:
            if cannot.disposition is Disposition.PERMANENT:
                raise
            _log.warning("%s", cannot.reason)
        except (PartnerError, CredentialsError, TransferError) as error:
            _log.warning("%s is paused, and whether it can be resumed is not known: %s", source.ref, error)

    def _keep_progress(self, attempt: Attempt, source: ObjectReader, sent: Sent) -> None:
        """Resume there, in this invocation or in the next."""
        attempt.resume = self._checkpoint_of(attempt, source, sent)
        attempt.has_progress = self.has_ledger
        attempt.has_answered = True

    def _checkpoint_of(self, attempt: Attempt, source: ObjectReader, sent: Sent) -> Checkpoint:
        so_far = source.checksum_up_to(sent.acknowledged)
        known = attempt.lease.checkpoint
        is_further = not attempt.fell_back and so_far.size > (known.offset if known else 0)
        return Checkpoint(
            temporary=sent.temporary,
            offset=so_far.size,
            algorithm=so_far.algorithm,
            crc=so_far.crc,
            parts_crc=so_far.parts_crc,
            part_crc=so_far.part_crc,
            rounds_without_progress=0 if is_further else attempt.stalled + 1,
            etag=source.etag,
            is_spread=sent.is_spread,
        )

    # Every byte is at the partner.

    def _publish(self, attempt: Attempt, commit: Commit) -> None:
        """Give the file its final name, once nothing that is older can take it."""
        lease = attempt.lease
        self.commit(attempt, commit)
        journal = self.journal(attempt, InlineExecutor())
        self._leftovers.prevent_renames(lease, commit, journal)
        aside = aside_name(commit.temporary, lease.attempt)
        try:
            self.partner.publish(commit.temporary, commit.remote_path, aside=aside, journal=journal)
        except RequestRefused:
            self._leftovers.restore(lease, commit.remote_path, journal)
            raise
        self.published(attempt)

    # How an attempt ends that does not deliver.

    def _end(self, attempt: Attempt, state: MessageDisposition, error: DeliveryError) -> None:
        """Record the end of an object that is not delivered any more, and remove what was sent of it."""
        lease = attempt.lease
        self._forget_temporary(attempt, error)
        if attempt.may_ask:
            with contextlib.suppress(DeliveryError):
                self._leftovers.remove_all(lease)
                journal = self.journal(attempt, InlineExecutor())
                self._leftovers.restore(lease, lease.remote_path, journal)
        self._ledger.settle(lease.ref, state=state, reason=error.reason, hint=error.hint, lease=lease)

    def _release(self, attempt: Attempt, error: Exception) -> None:
        reason = (
            error.reason if isinstance(error, DeliveryError) else f"{type(error).__name__}: {quoted(error)}"
        )
        try:
            self._give_back(attempt, error, reason)
        except LedgerError as trouble:  # the error to tell is the first one; the lease ends by itself
            _log.warning("the lease of %s was not given back: %s", attempt.lease.ref, trouble)

    def _give_back(self, attempt: Attempt, error: Exception, reason: str) -> None:
        lease, commit = attempt.lease, attempt.commit
        if attempt.has_written:
            self._leftovers.note_server(lease)
        if commit and not attempt.is_published:
            unanswered = attempt.earlier_rename or not _is_answer(error)
            if not unanswered:
                lease.names.settle(commit.temporary)
            self._ledger.stage(lease, replace(commit, rename_unanswered=unanswered), reason=reason)
            if not self.has_ledger and not unanswered and attempt.may_ask:
                self.partner.remove(commit.temporary)
            return
        if commit and attempt.rename_answered and self.has_ledger:  # only the receipt is missing
            self._ledger.stage(lease, replace(commit, is_renamed=True), reason=reason)
            return
        if not commit and not lease.commit:
            self._forget_temporary(attempt, error)
        if attempt.has_progress and attempt.resume:
            self._ledger.checkpoint(lease, attempt.resume)
        else:
            self._ledger.release(lease, reason=reason)

    def _forget_temporary(self, attempt: Attempt, error: Exception) -> None:
        """Remove what was written in vain, where the partner still answers."""
        lease = attempt.lease
        if attempt.resume or lease.checkpoint:
            return
        if not attempt.has_written:
            lease.names.remove(lease.temporary)
        elif attempt.may_ask and not isinstance(error, ConnectionLost | ProtocolViolation):
            with contextlib.suppress(DeliveryError):
                self._leftovers.remove(lease, [lease.temporary])

    def _path(self, ref: ObjectRef) -> str:
        directory = directory_of(ref.bucket, ref.key, self._sources, otherwise=self._directory)
        return remote_path(directory=directory, key=ref.key)

    def _temporary(self, path: str) -> str:
        return temporary_path(path, token=self._new_token())


def _is_answer(error: Exception) -> bool:
    """Return whether the error shows that no RENAME is under way: only silence leaves that open."""
    return isinstance(error, DeliveryError) and not isinstance(error, ConnectionLost | ProtocolViolation)


def _longest_invocation() -> Callable[[], float]:
    begun = time.monotonic()
    return lambda: begun + _LONGEST_INVOCATION_SECONDS - time.monotonic()


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
