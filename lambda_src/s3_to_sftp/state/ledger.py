"""Which invocation sends which version, how far it has come, and its outcome.

A lease covers a version and its key, so that only one version of a key is in flight at a time. It lasts until
its owner's invocation must have ended: the owner of an expired lease is dead, not slow.

    WAITING ──acquire──► SENDING ──commit──► COMMITTING ──delivered──► DELIVERED
                                              │     ▲
                                      refused ▼     │ commit
                                              STAGED

`record_outcome` ends a version as FAILED, SUPERSEDED, GONE, SKIPPED or UNKNOWN. Operators also end one as
CANCELLED, with the command `s3-to-sftp`. WAITING is only written for what is not tried at first sight.

`DynamoLedger` implements it; `NoLedger` replaces it where there is no table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.state.remote_names import RemoteNames
from s3_to_sftp.state.update_expression import Change

WITHOUT_RULES = "without rules"
"""Plan of a commit from a time without rules, once the object has some: its file gets nothing of theirs."""

DATA = "data"
"""Id of the step that says that the data may have had its final name before it was started over."""

BEGUN = "begun"
"""Id of the step of data that was begun under its final name. Not the same: an object may have both, of two
former sets of rules."""

OF_DATA = (DATA, BEGUN)
"""Ids of steps that are no file beside the data."""

TerminalState = Literal["FAILED", "SUPERSEDED", "GONE", "UNKNOWN", "SKIPPED"]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where the next invocation resumes.

    Attributes:
        temporary: Remote name that holds the bytes.
        offset: Every byte before it was acknowledged.
        algorithm: Of the running checksum.
        crc: The running checksum of the bytes before the offset.
        rounds_without_progress: Invocations in a row that ended at this very offset.
        etag: Of the object that the bytes are of, without quotes (empty: not known).
        parts_crc: The running checksum of the checksums of the object's parts; see `ChecksumSoFar`.
        part_crc: The running checksum of the unfinished part.
        is_spread: Whether several streams have written beyond the offset.
        refusals: Times in a row that the server did not let the file be resumed.
    """

    temporary: str
    offset: int
    algorithm: str
    crc: int
    rounds_without_progress: int
    etag: str = ""
    parts_crc: int | None = None
    part_crc: int | None = None
    is_spread: bool = False
    refusals: int = 0


@dataclass(frozen=True, kw_only=True)
class SentContent:
    """What was sent in place of the object's bytes.

    Attributes:
        transforms: What was done to them, in order, as the plan has it.
        source_size: Bytes of the object.
        digests: Of what was sent, in hexadecimal, by algorithm.
        about: What the receipt says of it besides, such as the key that has signed.
    """

    transforms: tuple[str, ...]
    source_size: int
    digests: Mapping[str, str]
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A file that is complete under its temporary name, and what it takes to find out its fate later.

    Attributes:
        temporary: The name that holds every byte.
        remote_path: The final name.
        size: Bytes of the file.
        modified: Modification time of the temporary file by the server's clock, in seconds since 1970; None
            where the server does not tell.
        server: Where it is.
        checksum_algorithm: Of `checksum`.
        checksum: Of the object's bytes, in base64 as S3 writes it.
        verified_by: Which checksum of S3's it matches, as in a receipt.
        sha256: Of the object's bytes in hexadecimal, where it was requested (empty: it was not).
        rename_unanswered: Whether a RENAME may have been sent whose answer never came.
        is_renamed: Whether one was answered with OK; only the receipt is missing.
        evidence: What shows that it has its final name, where no RENAME was answered: an `Evidence`.
        sent: What the file holds in place of the object's bytes; None: it holds them.
        plan: What is planned for the object, as `rules.recorded_plan` writes it; empty: by default.
    """

    temporary: str
    remote_path: str
    size: int
    modified: int | None
    server: ServerIdentity
    checksum_algorithm: str = ""
    checksum: str = ""
    verified_by: str = "none"
    sha256: str = ""
    rename_unanswered: bool = True
    is_renamed: bool = False
    evidence: str = ""
    sent: SentContent | None = None
    plan: str = ""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to send one version, and what earlier attempts have left behind.

    Attributes:
        ref: The version.
        owner: Who holds it.
        remote_path: The final name.
        temporary: The name to write to. That of the earlier attempt where there is a checkpoint or a commit.
        attempt: 1 for the first lease of this version.
        until: When it expires, in seconds since 1970.
        checkpoint: Resume there.
        commit: An earlier attempt has sent every byte, and may have renamed the file.
        names: Every file that may exist at the partner for the key, `temporary` included.
        account: Where `temporary` is, `user@host:port` (empty: not known yet).
        last_modified: Modification time of the file that was about to get the final name last.
        plan: What is planned for the version, as `PlanFacts.as_text` writes it; empty: by default.
        steps: Files beside the data that were begun, by the id of their step.
        with_receipt: Changes of other items, which are written together with the receipt.
        had_temporary: Whether a file of an earlier attempt or version may have the temporary name.
    """

    ref: ObjectRef
    owner: str
    remote_path: str
    temporary: str
    attempt: int
    until: float
    checkpoint: Checkpoint | None = None
    commit: Commit | None = None
    names: RemoteNames = field(default_factory=RemoteNames, compare=False)
    account: str = ""
    last_modified: int | None = None
    plan: str = ""
    steps: Mapping[str, Commit] = field(default_factory=dict)
    with_receipt: tuple[Change, ...] = ()
    had_temporary: bool = False

    @property
    def has_history(self) -> bool:
        """Whether anything is left of earlier attempts or of other versions."""
        others = len(self.names) - (self.temporary in self.names)
        has_begun = self.checkpoint is not None or self.commit is not None or bool(self.steps)
        return has_begun or self.had_temporary or others > 0

    def started_over(self, temporary: str) -> "Lease":
        """Return the lease for writing everything again, to this name."""
        commit, steps = self.commit, self.steps
        if self.plan and commit is not None and commit.rename_unanswered:  # the partner may have seen it
            steps = {**steps, DATA: commit}
        return replace(
            self, temporary=temporary, checkpoint=None, commit=None, had_temporary=False, steps=steps
        )


class Ledger(Protocol):
    """The record of deliveries.

    Every write also records what has changed in the lease's `names`.

    Attributes:
        is_persistent: Whether the next invocation finds what this one has written.
    """

    is_persistent: bool

    def acquire(
        self,
        ref: ObjectRef,
        *,
        owner: str,
        remote_path: str,
        temporary: str,
        until: float,
        account: str = "",
        plan: str = "",
    ) -> Lease:
        """Acquire the lease on the version and its key.

        Args:
            ref: The version.
            owner: Who holds the lease: unique per invocation.
            remote_path: Its final name.
            temporary: The name to write to when there is neither a checkpoint nor a commit.
            until: When the lease expires, in seconds since 1970.
            account: Where these names are, `user@host:port` (empty: not known yet).
            plan: See `Lease`. A plan that was made with the same rules before stays, and so does its name.

        Raises:
            AlreadyDelivered: It is at the partner, and no operator has asked for it again.
            AlreadyGone: It was recorded as gone from S3.
            Cancelled: An operator has cancelled it.
            Superseded: A newer version was renamed, or is about to be. This one is recorded as superseded.
            OutcomeUnknown: It was recorded as such, and no person has redriven the message.
            LeaseHeld: Another invocation holds the lease on the key.
            LedgerError: The ledger cannot be used, an item is corrupt, or too many names are left behind.
        """

    def committed(self, ref: ObjectRef) -> tuple[Commit, str] | None:
        """Return the file of the version that may have its final name, and the `plan` of its lease.

        Returns:
            None: There is no such file.

        Raises:
            LedgerError: The ledger cannot be used.
        """

    def start_over(self, lease: Lease, *, temporary: str) -> Lease:
        """Forget the checkpoint, and the commit if there is one: the version is written again, to this name.

        Call it before writing the first byte again. Several streams that write a file with fewer bytes than
        the checkpoint says could reach the recorded length with holes in the file.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def commit(self, lease: Lease, commit: Commit) -> None:
        """Record that the RENAME is about to be sent; no rename is allowed without it. May be repeated.

        From this call on, even when it raises, the temporary file must not be removed before `start_over` or
        `record_outcome` with the lease has returned: the next attempt starts from it.

        Raises:
            Superseded: The lease expired and a newer version has committed. That is recorded.
            LedgerError: The lease is lost or has expired, or the ledger cannot be used.
        """

    def claim_file(self, lease: Lease, same_file: str, *, account: str, number: str = "") -> None:
        """Claim this file for the key, where several names may mean one file.

        Args:
            lease: On a version of the key.
            same_file: The same text for all paths that mean one file.
            account: Where it is, `user@host:port`.
            number: Of the key's object, where the name follows from it: a key that has the number then takes
                the file over from one that has given it up.

        Raises:
            NameTaken: Another key has claimed it.
            LedgerError: The ledger cannot be used.
        """

    def note_step(self, lease: Lease, step: str, file: Commit) -> None:
        """Record how far a file beside the data is, before it gets its name, or afterwards.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def note_names(self, lease: Lease) -> None:
        """Record the names before they are used.

        Raises:
            LedgerError: The lease is lost or has expired, or the ledger cannot be used.
        """

    def note_progress(self, lease: Lease, *, sent: int, total: int) -> None:
        """Record how far an upload is, for people. Does nothing when the lease is lost or the upload is over.

        Args:
            lease: Of the upload.
            sent: Bytes so far, those of earlier invocations included.
            total: Bytes of the object.

        Raises:
            LedgerError: The ledger cannot be used.
        """

    def note_deferred(
        self, ref: ObjectRef, error: DeliveryError, *, next_try: float, was_tried: bool
    ) -> None:
        """Record when a version will be tried next, and why it is not delivered; WAITING if it is new.

        Does nothing where another invocation is sending the version, or where it has ended.

        Args:
            ref: The version.
            error: Why it is not delivered.
            next_try: When its message can be received again, in seconds since 1970.
            was_tried: Whether the error is one of an attempt; otherwise it says what the version waits for.

        Raises:
            LedgerError: The ledger cannot be used, or the item is corrupt.
        """

    def stage(self, lease: Lease, commit: Commit, *, reason: str, error: Exception | None = None) -> None:
        """Record that the file is complete without its final name, and release the lease.

        Does nothing when the lease is lost.

        Args:
            lease: After `commit`.
            commit: With `rename_unanswered` where an earlier RENAME may still happen.
            reason: Why it has no final name.
            error: The same as an exception: its class, and what the server refused.

        Raises:
            LedgerError: The ledger cannot be used.
        """

    def delivered(
        self, lease: Lease, receipt: Mapping[str, Any], *, after: Mapping[str, Any] | None = None
    ) -> None:
        """Record the receipt and release the lease. Does nothing when another function has recorded one.

        Args:
            lease: After `commit`.
            receipt: Text, finite numbers, maps and lists of them.
            after: What is left to do with the object in S3, as `PlannedAction.as_item` says it. By default
                nothing.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Record where to resume, and release the lease.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def release(self, lease: Lease, *, reason: str, error: Exception | None = None) -> None:
        """Release the lease; the version will be retried. Does nothing when the lease is lost.

        The next attempt resumes at the checkpoint, examines the commit, or starts from the beginning.

        Args:
            lease: Of the attempt that has failed.
            reason: Why it has failed.
            error: The same as an exception: its class, hint, and what the server refused.

        Raises:
            LedgerError: The ledger cannot be used.
        """

    def record_outcome(
        self,
        ref: ObjectRef,
        *,
        state: TerminalState,
        reason: str,
        hint: str,
        lease: Lease | None = None,
        error: Exception | None = None,
    ) -> None:
        """Record a final state other than DELIVERED. A redrive can acquire FAILED and UNKNOWN again.

        With a lease, what is at the partner is forgotten: a redrive starts from the beginning. Without one it
        is kept: a redrive resumes, or examines the commit. UNKNOWN can be acquired only with `resend`, and
        always starts from the beginning: a person has found out that the file is not there. So when a rename
        may have happened, call `stage` first.

        Without a lease, a version that an operator wants sent again stays DELIVERED, or CANCELLED.

        Raises:
            NothingToSend: Without a lease: it has another final state already (AlreadyDelivered, ...).
            LeaseHeld: Without a lease: another invocation holds one.
            LedgerError: The lease is lost, or the ledger cannot be used, or an item in it is corrupt.
        """
