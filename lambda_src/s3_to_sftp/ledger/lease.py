"""Who sends which version, how far it is, and what became of it.

A lease covers a version and its key, so that only one version of a key is under way at a time. It lasts until
its owner's invocation must have ended: the owner of an expired lease is dead, not slow.

    SENDING ──commit──► COMMITTING ──delivered──► DELIVERED        settle: FAILED, SUPERSEDED, GONE

`DynamoLedger` keeps it, `NoLedger` stands in for it where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from s3_to_sftp.errors import Disposition, LedgerError
from s3_to_sftp.events import ObjectRef

Settlement = Literal["FAILED", "SUPERSEDED", "GONE"]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where the next invocation goes on.

    Attributes:
        temporary: Remote name that holds the bytes.
        offset: Every byte before it was acknowledged.
        algorithm: Of the running checksum.
        crc: The running checksum of the bytes before the offset.
        rounds_without_progress: Invocations in a row that ended at this very offset.
    """

    temporary: str
    offset: int
    algorithm: str
    crc: int
    rounds_without_progress: int


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to send one version, and what earlier attempts have left.

    Attributes:
        ref: The version.
        owner: Whose it is.
        remote_path: The final name. Where `committing` is set, the one that the earlier attempt chose.
        temporary: The name to write to. Where there is a checkpoint, that of the earlier attempt.
        attempt: 1 for the first lease of this version.
        until: Ends by itself at this moment, in seconds since 1970.
        checkpoint: Resume there.
        committing: The temporary name of an attempt that may or may not have been renamed. Rename it again:
            OK and "no such file" both mean that the version is delivered.
        abandoned: Temporary names of dead attempts at this version; remove them at any time.
        outdated: Temporary names of older versions; remove them after this version's rename, not before.
            Until then an older one may still have to be delivered.
    """

    ref: ObjectRef
    owner: str
    remote_path: str
    temporary: str
    attempt: int
    until: float
    checkpoint: Checkpoint | None = None
    committing: str | None = None
    abandoned: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()

    def started_over(self, temporary: str) -> "Lease":
        """Return the lease as it is when everything is written again, to this name."""
        abandoned = (*self.abandoned, self.temporary)
        return replace(self, temporary=temporary, checkpoint=None, committing=None, abandoned=abandoned)


class Ledger(Protocol):
    """Where deliveries are written down."""

    def acquire(self, ref: ObjectRef, *, remote_path: str, temporary: str, until: float) -> Lease:
        """Take the version and its key, until that moment.

        Raises:
            AlreadyDelivered: It is at the partner.
            AlreadyGone: It was recorded as gone from S3.
            Superseded: A newer version was renamed, or is about to be. This one is recorded as superseded.
            BeingSent: Another lease on the key is running.
            LedgerError: The ledger cannot be used, or an item in it is corrupt.
        """

    def start_over(self, lease: Lease, *, temporary: str) -> Lease:
        """Forget the checkpoint, and the commit if there was one: the version is written anew, to this name.

        To be called before the first byte is written from the start again. A file that holds less than the
        checkpoint says and is written on in lanes could reach the recorded length with holes in it.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def commit(self, lease: Lease) -> None:
        """Record that the rename is about to happen; without it nobody may rename. Can be repeated.

        From this call on, even when it raises, the temporary must not be removed before `start_over` or
        `settle` with the lease has returned: the next attempt takes its absence for a rename.

        Raises:
            Superseded: The lease ran out and a newer version has committed. This one is recorded so.
            LedgerError: The lease is lost or over, or the ledger cannot be used.
        """

    def delivered(self, lease: Lease, receipt: Mapping[str, Any]) -> None:
        """Record the receipt and give the lease back. Quiet when somebody has recorded one before.

        The names in `abandoned` and `outdated` are forgotten: remove them first.

        Args:
            lease: After `commit`.
            receipt: Text, finite numbers, maps and lists of them.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Record where to go on and give the lease back.

        Raises:
            LedgerError: The lease is lost, or the ledger cannot be used.
        """

    def release(self, lease: Lease, *, reason: str, temporary_is_gone: bool) -> None:
        """Give the lease back; the version is to be tried later. Quiet when the lease is lost.

        Args:
            lease: After `acquire` or `commit`.
            reason: Why it was not delivered.
            temporary_is_gone: We have removed it, and know that it was not renamed: the next attempt starts
                anew. Otherwise that attempt resumes at the checkpoint, tries the rename once more, or is told
                to remove the file. Always false after `commit`.

        Raises:
            LedgerError: The ledger cannot be used.
        """

    def settle(
        self, ref: ObjectRef, *, state: Settlement, reason: str, hint: str, lease: Lease | None = None
    ) -> None:
        """Record an end without a delivery. FAILED may be acquired again, after a redrive by a person.

        With a lease what is at the partner is forgotten: a redrive starts anew. Without one it is kept: a
        redrive resumes, or completes the commit. So when a rename may have happened, `release` first.

        Raises:
            NothingToSend: Without a lease: it has ended already, in another way (AlreadyDelivered, ...).
            BeingSent: Without a lease: somebody has one.
            LedgerError: The lease is lost, or the ledger cannot be used, or an item in it is corrupt.
        """


class NoLedger:
    """The plain sender's: always leases, remembers nothing."""

    def acquire(self, ref: ObjectRef, *, remote_path: str, temporary: str, until: float) -> Lease:
        """Give a lease on anything."""
        return Lease(ref=ref, owner="", remote_path=remote_path, temporary=temporary, attempt=1, until=until)

    def start_over(self, lease: Lease, *, temporary: str) -> Lease:
        """Give the lease another name."""
        return lease.started_over(temporary)

    def commit(self, lease: Lease) -> None:
        """Do nothing."""

    def delivered(self, lease: Lease, receipt: Mapping[str, Any]) -> None:
        """Do nothing."""

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: the next invocation would start anew, and so for ever.

        Raises:
            LedgerError: Always.
        """
        raise LedgerError(
            f"{lease.ref} takes longer than one invocation, and there is no ledger to resume from.",
            hint="Give the function a ledger (LEDGER_TABLE), more memory (it is faster then), or more time.",
            disposition=Disposition.PERMANENT,
        )

    def release(self, lease: Lease, *, reason: str, temporary_is_gone: bool) -> None:
        """Do nothing."""

    def settle(
        self, ref: ObjectRef, *, state: Settlement, reason: str, hint: str, lease: Lease | None = None
    ) -> None:
        """Do nothing."""
