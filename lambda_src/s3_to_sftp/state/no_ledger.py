"""The ledger of a function without a table."""

from collections.abc import Mapping
from typing import Any

from s3_to_sftp.errors import DeliveryError, Disposition, LedgerError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.key_item import name_entry
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease, TerminalState
from s3_to_sftp.state.remote_names import RemoteNames


class NoLedger:
    """Grants every lease and remembers nothing."""

    is_persistent = False

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
        """Grant the lease."""
        names = RemoteNames()
        names.put(temporary, name_entry(ref, account=account, since=0))
        return Lease(
            ref=ref,
            owner=owner,
            remote_path=remote_path,
            temporary=temporary,
            attempt=1,
            until=until,
            names=names,
            account=account,
            plan=plan,
        )

    def committed(self, ref: ObjectRef) -> None:
        """Return None: nothing is remembered."""

    def start_over(self, lease: Lease, *, temporary: str) -> Lease:
        """Return the lease with another temporary name."""
        lease.names.put(temporary, name_entry(lease.ref, account=lease.account, since=0))
        return lease.started_over(temporary)

    def commit(self, lease: Lease, commit: Commit) -> None:
        """Do nothing."""

    def claim_file(self, lease: Lease, same_file: str, *, account: str, number: str = "") -> None:
        """Do nothing."""

    def note_step(self, lease: Lease, step: str, file: Commit) -> None:
        """Do nothing."""

    def note_names(self, lease: Lease) -> None:
        """Do nothing."""

    def note_progress(self, lease: Lease, *, sent: int, total: int) -> None:
        """Do nothing."""

    def note_deferred(
        self, ref: ObjectRef, error: DeliveryError, *, next_try: float, was_tried: bool
    ) -> None:
        """Do nothing."""

    def stage(self, lease: Lease, commit: Commit, *, reason: str, error: Exception | None = None) -> None:
        """Do nothing."""

    def delivered(
        self, lease: Lease, receipt: Mapping[str, Any], *, after: Mapping[str, Any] | None = None
    ) -> None:
        """Do nothing."""

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: the next invocation would start from the beginning, and so would every one after it.

        Raises:
            LedgerError: Always.
        """
        raise LedgerError(
            f"{lease.ref} takes longer than one invocation, and there is no ledger to resume from.",
            hint="Give the function a ledger (LEDGER_TABLE), more memory (it is faster then), or more time.",
            disposition=Disposition.PERMANENT,
        )

    def release(self, lease: Lease, *, reason: str, error: Exception | None = None) -> None:
        """Do nothing."""

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
        """Do nothing."""
