"""Where the delivery stops to let a plan be executed. `rules/` has the other implementation."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Protocol

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery_plan import DeliveryPlan, default_plan
from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.stream_transform import StreamTransform


class PlanExecution(Protocol):
    """Makes the plans of objects, and executes what they say beside the upload and the RENAME."""

    def plan(self, ref: ObjectRef) -> tuple[DeliveryPlan, str]:
        """Return the plan of an object that is not leased yet, and the text that the ledger keeps of it.

        Raises:
            RemotePathRefused: It has no name.
            ObjectReadError: S3 does not tell what the plan depends on.
        """

    def not_wanted(self, ref: ObjectRef) -> DeliveryError | None:
        """Return why an object is not to be delivered, or not yet, as far as its event says. Asks nobody."""

    def plan_of(self, lease: Lease) -> DeliveryPlan:
        """Return the plan that the ledger has.

        Raises:
            RemotePathRefused, LedgerError: It has none that can be executed.
        """

    def plan_of_commit(self, commit: Commit, plan: DeliveryPlan) -> DeliveryPlan:
        """Return the plan that a file got its final name by.

        Args:
            commit: Of the file.
            plan: What would be planned now.

        Raises:
            LedgerError: The one that was recorded cannot be read.
        """

    def path_of(self, ref: ObjectRef) -> str:
        """Return the final name as far as it is known without asking anybody.

        Raises:
            RemotePathRefused: It has none.
        """

    def travels_alone(self, ref: ObjectRef) -> bool:
        """Return whether the object must not be under way beside others."""

    async def before_upload(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Do what must be done before the first byte is written. Called where the plan asks for it."""

    def transform(self, attempt: Attempt) -> StreamTransform:
        """Return one pass over the bytes, where the plan has transforms.

        Raises:
            DeliveryError: It cannot begin.
        """

    async def before_commit(
        self,
        session: SftpSession,
        attempt: Attempt,
        commit: Commit,
        executor: Executor,
        data: bytes | None,
    ) -> Commit:
        """Settle what is still open, now that all bytes are at the partner.

        Args:
            session: To the partner.
            attempt: Its lease and plan may change.
            commit: What is true of the file.
            executor: Writes to the ledger.
            data: The bytes, where they are at hand.

        Returns:
            The same with the final name and modification time that it will have.

        Raises:
            DeliveryError: It cannot be published, or not now.
        """

    async def before_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Put the files that the partner must see before the data."""

    async def after_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Put the files that the partner must see after the data."""

    def details(self, attempt: Attempt) -> Mapping[str, Any]:
        """Return what the receipt says besides."""

    def after_receipt(
        self, ref: ObjectRef, attempt: Attempt | None = None, *, deadline: Deadline | None = None
    ) -> None:
        """Do with the object in S3 what is left to do. May be repeated. Called where the plan asks for it.

        Args:
            ref: A version whose receipt is recorded.
            attempt: The one that has just delivered it; None: an earlier one has.
            deadline: Of the invocation; None: it is short work.

        Raises:
            AfterDeliveryFailed: It could not be done. A repetition continues it.
            LedgerError: What is left cannot be read, or it could not be recorded that it is done.
        """


class NoRules:
    """Each object gets the name that its key gives, and nothing beside it."""

    def __init__(self, path_of: Callable[[ObjectRef], str]) -> None:
        self.path_of = path_of

    def plan(self, ref: ObjectRef) -> tuple[DeliveryPlan, str]:
        """Return the default plan."""
        return default_plan(self.path_of(ref)), ""

    def not_wanted(self, ref: ObjectRef) -> DeliveryError | None:
        """Return None."""

    def plan_of(self, lease: Lease) -> DeliveryPlan:
        """Return the default plan."""
        return default_plan(lease.remote_path)

    def plan_of_commit(self, commit: Commit, plan: DeliveryPlan) -> DeliveryPlan:  # noqa: ARG002 - the protocol's
        """Return the default plan."""
        return plan

    def travels_alone(self, ref: ObjectRef) -> bool:  # noqa: ARG002 - the protocol's
        """Return False."""
        return False

    async def before_upload(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Do nothing."""

    def transform(self, attempt: Attempt) -> StreamTransform:
        """Never called: no plan has transforms."""
        raise AssertionError(f"{attempt.plan} is not transformed")

    async def before_commit(
        self,
        session: SftpSession,  # noqa: ARG002 - the protocol's
        attempt: Attempt,  # noqa: ARG002 - the protocol's
        commit: Commit,
        executor: Executor,  # noqa: ARG002 - the protocol's
        data: bytes | None,  # noqa: ARG002 - the protocol's
    ) -> Commit:
        """Change nothing."""
        return commit

    async def before_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Do nothing."""

    async def after_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Do nothing."""

    def details(self, attempt: Attempt) -> Mapping[str, Any]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return {}

    def after_receipt(
        self, ref: ObjectRef, attempt: Attempt | None = None, *, deadline: Deadline | None = None
    ) -> None:
        """Do nothing."""
