"""Which plan an object has, and what becomes of the object beside its delivery.

Filters, windows, and what happens after the receipt: where rules do not need them, their code is not loaded.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery_plan import DeliveryPlan, PlannedAction, default_plan
from s3_to_sftp.errors import (
    DeliveryError,
    LedgerError,
    ObjectChanged,
    ObjectGone,
    RemotePathRefused,
    RuleRefused,
)
from s3_to_sftp.operator_request import Action
from s3_to_sftp.outcomes import AlreadyDelivered
from s3_to_sftp.rules.after_plan import planned_action
from s3_to_sftp.rules.object_facts import first_facts
from s3_to_sftp.rules.plan_completion import facts_of
from s3_to_sftp.rules.recorded_plan import plan_of_file
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.rules.sequence_counter import holder_of
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.items import State, VersionItem, read_version
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.state.pause import Pause
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table


class ObjectPlans:
    """The plans of one partner's objects."""

    def __init__(
        self, rules: RuleSet, *, s3: Any, table: Table, pause: Pause, now: Callable[[], float]
    ) -> None:
        """Make plans.

        Args:
            rules: Of the partner.
            s3: boto3's S3 client.
            table: The ledger's.
            pause: Knows which objects have to wait.
            now: Seconds since 1970.
        """
        self._rules = rules
        self._s3 = s3
        self._table = table
        self._pause = pause
        self._now = now

    def plan(self, ref: ObjectRef) -> tuple[DeliveryPlan, str]:
        """See `PlanExecution`."""
        rules = self._rules.of(ref)
        try:
            facts = first_facts(rules, ref, self._s3, now=self._now())
        except (ObjectGone, ObjectChanged):
            self._refuse_delivered(ref)  # moved or deleted afterwards
            raise
        if rules.rules is not None and rules.rules.only is not None:
            from s3_to_sftp.rules.filtered_objects import refuse_unwanted  # other rules do not need it

            refuse_unwanted(
                rules.rules.only,
                ref,
                self._s3,
                tags=facts.tags,
                now=self._now(),
                is_under_way=lambda: self._is_under_way(ref),
            )
        try:
            plan = rules.plan(facts)
        except RemotePathRefused:
            if not is_to_be_sent_again(ref):  # what is left to do in S3 does not depend on names
                self._refuse_delivered(ref)
            raise
        self._require_its_turn(ref, plan)
        return plan, facts.as_text() if rules.rules else ""

    def _require_its_turn(self, ref: ObjectRef, plan: DeliveryPlan) -> None:
        """Refuse to begin with an object whose window has closed since the invocation began.

        Raises:
            OnHold: It waits.
        """
        timing = plan.timing
        if timing is not None and (timing.not_before is not None or timing.drops is not None):
            for error in self._pause.held([ref]).values():
                raise error

    def not_wanted(self, ref: ObjectRef) -> DeliveryError | None:
        """See `PlanExecution`."""
        rules = self._rules.of(ref).rules
        if rules is None or rules.only is None:
            return None
        from s3_to_sftp.rules.filtered_objects import not_wanted  # other rules do not need it

        why = not_wanted(rules.only, ref, now=self._now())
        if why is None:
            return None
        try:  # what has begun is finished, also after a deployment that leaves it out
            return None if self._is_under_way(ref) else why
        except LedgerError as error:
            return error

    def _is_under_way(self, ref: ObjectRef) -> bool:
        """Return whether it has begun, and is not finished.

        Not only what the ledger has a checkpoint or a commit of: it may hold a number that others wait for.
        """
        version = self._version(ref)
        if version is None:
            return False
        has_begun = version.state.is_in_flight and version.state is not State.WAITING
        return has_begun or version.has_action_left

    def _version(self, ref: ObjectRef) -> VersionItem | None:
        item = find_record(self._table, *holder_of(ref))
        return None if item is None else read_version(item)

    def _refuse_delivered(self, ref: ObjectRef) -> None:
        version = self._version(ref)
        if version is None or version.state is not State.DELIVERED:
            return
        if version.has_action_left:
            self.after_receipt(ref)
        raise AlreadyDelivered(f"{ref} has been delivered before.", hint="No action needed.")

    def plan_of(self, lease: Lease) -> DeliveryPlan:
        """See `PlanExecution`."""
        commit = lease.commit
        if commit is not None and commit.plan and commit.is_renamed:
            return self._recorded(lease.ref, commit)
        if not lease.plan:
            return default_plan(lease.remote_path)
        try:
            return self._rules.of(lease.ref).plan(facts_of(lease))
        except RemotePathRefused:
            if commit is None or not (commit.plan and commit.rename_unanswered):
                raise
            # Rules that refuse it now do not undo what has happened.
            return self._recorded(lease.ref, commit)

    def plan_of_commit(self, commit: Commit, plan: DeliveryPlan) -> DeliveryPlan:
        """See `PlanExecution`."""
        return replace(plan_of_file(commit), after=plan.after) if commit.plan else plan

    def _recorded(self, ref: ObjectRef, commit: Commit) -> DeliveryPlan:
        """Return the plan that a file was published by; what happens to the object follows today's rules."""
        rules = self._rules.of(ref)
        after = planned_action(rules.rules.after_delivery, rules.item) if rules.rules else None
        return replace(plan_of_file(commit), after=after)

    def path_of(self, ref: ObjectRef) -> str:
        """See `PlanExecution`."""
        return self._rules.of(ref).path_without_asking(ref, now=self._now())

    def travels_alone(self, ref: ObjectRef) -> bool:
        """See `PlanExecution`: numbers are taken one after the other, as drops are, and passes are made."""
        rules = self._rules.of(ref).rules
        return rules is not None and (
            rules.sequence is not None
            or rules.is_direct
            or rules.max_drops is not None
            or bool(rules.transforms)
        )

    def after_receipt(
        self, ref: ObjectRef, attempt: Attempt | None = None, *, deadline: Deadline | None = None
    ) -> None:
        """See `PlanExecution`. Rules that have changed meanwhile say what is done."""
        from s3_to_sftp.rules.after_execution import AfterExecution  # other rules do not need it

        is_over = deadline.is_near if deadline is not None else lambda: False
        execution = AfterExecution(self._s3, self._table, is_over=is_over, now=self._now)
        if attempt is not None:
            execution.run(ref, attempt.plan.after, attempts=attempt.lease.attempt, after=None)
            return
        version = execution.version(ref)
        if version is None or not version.has_action_left:
            return
        execution.run(ref, self._action_now(ref, version), attempts=version.attempts, after=version.after)

    def _action_now(self, ref: ObjectRef, version: VersionItem) -> PlannedAction | None:
        """Return what today's rules want done with a delivered object.

        Raises:
            RuleRefused: They would move it in a circle, and nothing of it was begun by other rules.
        """
        rules = self._rules.of(ref)
        try:
            return planned_action(rules.rules.after_delivery, rules.item) if rules.rules else None
        except RuleRefused:
            from s3_to_sftp.rules.after_record import begun_move  # as above

            begun = begun_move(version.after)
            if begun is not None and not begun.is_refused:  # finished as begun
                return None
            raise


def is_to_be_sent_again(ref: ObjectRef) -> bool:
    """Return whether an operator wants just this version sent, whatever was decided about it before."""
    return ref.operator is not None and ref.operator.action is Action.RESEND
