"""A partner without rules, who may have had some: what was begun by them is brought to its end.

The code of rules is loaded where the ledger has something of theirs, and nowhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery.plan_execution import NoRules, PlanExecution
from s3_to_sftp.delivery_plan import DeliveryPlan
from s3_to_sftp.remote_path import SourceDirectory, directory_of, remote_path
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.ledger import Commit, Lease


class FormerRules(NoRules):
    """Each object gets the name of its key; what former rules have put at the partner is completed."""

    def __init__(
        self, former: Callable[[], PlanExecution], *, directory: str, sources: Sequence[SourceDirectory] = ()
    ) -> None:
        """Deliver without rules.

        Args:
            former: Returns what executes plans that the ledger has: called once there is one.
            directory: Remote directory of all objects whose source has none of its own.
            sources: Sources with a directory of their own.
        """

        def path_of(ref: ObjectRef) -> str:
            return remote_path(
                directory=directory_of(ref.bucket, ref.key, sources, otherwise=directory), key=ref.key
            )

        super().__init__(path_of)
        self._former = former

    def plan_of(self, lease: Lease) -> DeliveryPlan:
        """Return the plan of a file that stands, or the default one."""
        if lease.commit is not None and lease.commit.plan:
            return self._former().plan_of(lease)
        return super().plan_of(lease)

    def plan_of_commit(self, commit: Commit, plan: DeliveryPlan) -> DeliveryPlan:
        """Return the plan that the file got its final name by."""
        return self._former().plan_of_commit(commit, plan) if commit.plan else plan

    async def before_commit(
        self,
        session: SftpSession,  # noqa: ARG002 - the protocol's
        attempt: Attempt,  # noqa: ARG002 - the protocol's
        commit: Commit,
        executor: Executor,  # noqa: ARG002 - the protocol's
        data: bytes | None,  # noqa: ARG002 - the protocol's
    ) -> Commit:
        """Forget the plan of a file that gets its name without rules."""
        return replace(commit, plan="") if commit.plan else commit

    async def before_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Remove what announces data of former rules."""
        if attempt.lease.steps:
            await self._former().before_rename(session, attempt, executor)

    async def after_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Put what belongs to data that was put by former rules."""
        if attempt.plan.must_be_completed:
            await self._former().after_rename(session, attempt, executor)

    def details(self, attempt: Attempt) -> Mapping[str, Any]:
        """Return what the receipt says of a plan of former rules."""
        is_theirs = attempt.plan.companions or attempt.plan.number is not None
        return self._former().details(attempt) if is_theirs else {}

    def after_receipt(
        self, ref: ObjectRef, attempt: Attempt | None = None, *, deadline: Deadline | None = None
    ) -> None:
        """Record that nothing more happens to the object, or finish a move that has made its copy."""
        self._former().after_receipt(ref, attempt, deadline=deadline)
