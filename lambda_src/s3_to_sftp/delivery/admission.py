"""Whether an object may be delivered now: its plan, its lease, and what stands against it."""

import contextlib
from collections.abc import Callable
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt, UploadProgress
from s3_to_sftp.delivery.deadline import Invocation
from s3_to_sftp.delivery.plan_execution import PlanExecution
from s3_to_sftp.delivery_plan import DeliveryPlan, default_plan
from s3_to_sftp.errors import DeliveryError, ObjectReadError, RemotePathRefused
from s3_to_sftp.operator_request import Action
from s3_to_sftp.outcomes import AlreadyDelivered, FolderMarker
from s3_to_sftp.s3.object_reader import ObjectReader, require_current
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.temporary_names import another_name
from s3_to_sftp.state.ledger import Lease, Ledger


class Admission:
    """Admits objects to their delivery to one partner."""

    def __init__(
        self,
        *,
        s3: Any,
        sftp: SftpClient,
        ledger: Ledger,
        execution: PlanExecution,
        new_temporary: Callable[[DeliveryPlan], str],
        clock: Callable[[], float],
    ) -> None:
        """Admit objects.

        Args:
            s3: boto3's S3 client.
            sftp: The partner's server.
            ledger: Grants leases.
            execution: Makes plans.
            new_temporary: Returns a temporary name for a plan.
            clock: Seconds, for durations.
        """
        self._s3 = s3
        self._sftp = sftp
        self._ledger = ledger
        self._execution = execution
        self._new_temporary = new_temporary
        self._clock = clock

    def refuse_folder_marker(self, ref: ObjectRef) -> None:
        """Refuse the marker of a folder where the event did not say that the object is empty.

        Raises:
            FolderMarker: It is one.
        """
        if ref.size is not None or not ref.is_named_like_a_folder:
            return
        with contextlib.suppress(ObjectReadError):  # reported when the object itself is read
            if ObjectReader(self._s3, ref).size == 0:
                raise FolderMarker(
                    f"{ref} is the marker of a folder.", hint="No action needed: it has no content."
                )

    def acquire(self, ref: ObjectRef, invocation: Invocation) -> Lease:
        """Take the object until the end of the invocation.

        Raises:
            NothingToSend, LeaseHeld, DeadlineTooClose, RemotePathRefused, LedgerError: It is not ours.
        """
        invocation.deadline.require_time_for(ref, is_resumable=self._ledger.is_persistent)
        plan, text = self._plan(ref)
        try:
            return self._ledger.acquire(
                ref,
                owner=invocation.request_id,
                remote_path=plan.file.path,
                temporary=self._new_temporary(plan),
                until=invocation.deadline.ends_at,
                account=self._sftp.account,
                plan=text,
            )
        except AlreadyDelivered as delivered:
            if delivered.has_action_left:
                self._execution.after_receipt(ref, deadline=invocation.deadline)
            raise

    def _plan(self, ref: ObjectRef) -> tuple[DeliveryPlan, str]:
        """Return the plan; that of a file which may have its final name, where it would get none now.

        Raises:
            RemotePathRefused, ObjectReadError, LedgerError: There is none.
        """
        try:
            return self._execution.plan(ref)
        except RemotePathRefused:
            committed = self._ledger.committed(ref)
            if committed is None:
                raise
            commit, text = committed
            return self._execution.plan_of_commit(commit, default_plan(commit.remote_path)), text

    def require_current(self, ref: ObjectRef) -> None:
        """Refuse what an operator asks for, where nothing else tells that it is older than what was sent.

        With the lease: from now on no other version of the key can be sent before this one.

        Raises:
            ObjectChanged: A newer version is in the bucket.
            ObjectReadError: The object is gone, or S3 does not tell.
        """
        request = ref.operator
        if request is not None and (request.action is Action.BACKFILL or not ref.sequencer):
            require_current(self._s3, ref)

    def begin(self, lease: Lease) -> Attempt:
        """Return the attempt that the lease is for.

        Raises:
            DeliveryError: It has no plan; the lease is released.
        """
        try:
            plan = self._execution.plan_of(lease)
        except DeliveryError as error:
            self._ledger.release(lease, reason=error.reason, error=error)
            raise
        lease.names.given_again = {*plan.given_again, *map(another_name, plan.given_again)}
        return Attempt(lease, self._clock(), plan, UploadProgress.from_lease(lease))
