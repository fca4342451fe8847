"""Settles what a plan leaves open until the bytes are at the partner: number, name, checksums."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.leftovers import own_names
from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.errors import Disposition, LedgerError, NameTaken, RuleRefused
from s3_to_sftp.operator_request import Action
from s3_to_sftp.outcomes import SequenceHeld
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.digests import digests_of, read_digests
from s3_to_sftp.rules.final_name import claim_name, free_name, require_free
from s3_to_sftp.rules.plan_facts import PlanFacts
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.rules.sequence_numbers import SequenceNumbers, TakenNumber, hint_when_stopped
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.state.ledger import Lease, Ledger
from s3_to_sftp.state.remote_names import NameKind

_NUMBER_TRIES = 25
_NUMBER_PAUSE_SECONDS = 0.2
"""So long is the number of another function's object waited for before the object goes back to the queue."""


class PlanCompletion:
    """Settles plans at one partner. What it settles is in the lease, and recorded with the next write."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        s3: Any,
        sftp: SftpClient,
        ledger: Ledger,
        numbers: SequenceNumbers,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._rules = rules
        self._s3 = s3
        self._sftp = sftp
        self._ledger = ledger
        self._numbers = numbers
        self._now = now
        self._sleep = sleep
        self._waited_in_vain_for = ""

    async def digests(
        self, session: SftpSession, attempt: Attempt, facts: PlanFacts, data: bytes | None
    ) -> Mapping[str, str]:
        """Return the checksums that companions hold: of the bytes at hand, as recorded, or read from S3.

        Raises:
            ObjectReadError, DeadlineTooClose, NoProgress: See `read_digests`.
        """
        wanted = attempt.plan.digests
        if data is not None:
            return digests_of(data, wanted)
        reader = attempt.progress.reader
        is_known = reader is None and all(name in facts.digests for name in wanted)
        if not wanted or is_known:
            return facts.digests
        return await read_digests(
            session,
            self._s3,
            attempt.lease.ref,
            wanted,
            etag=reader.etag if reader is not None else None,
            deadline=attempt.deadline,
        )

    async def settle(
        self, session: SftpSession, attempt: Attempt, executor: Executor, facts: PlanFacts
    ) -> None:
        """Take the number, choose and claim the name, and require that nothing of the partner's has it.

        Raises:
            SequenceHeld: Another object is in front.
            RuleRefused, NameTaken, Skipped: It gets no name. One with a number would be refused with the next
                object as well: then the sequence stops.
            DeliveryError: The ledger or the server is lost.
        """
        rules = self._rules.of(attempt.lease.ref).rules
        if rules is None or rules.sequence is None:
            await self._settle_name(session, attempt, executor, facts)
            return
        number = await self._number(attempt, rules, executor)
        attempt.lease = replace(attempt.lease, with_receipt=(number.with_receipt,))
        facts = replace(facts, sequence=number.number, delivery_time=number.taken_at)
        try:
            await self._settle_name(session, attempt, executor, facts)
        except (RuleRefused, NameTaken) as refused:
            name, why = rules.sequence.name, refused.reason
            await done_by(executor, lambda: self._numbers.stop(attempt.lease, name, why))
            refused.hint = hint_when_stopped(refused, name, number.number)
            raise

    async def _settle_name(
        self, session: SftpSession, attempt: Attempt, executor: Executor, facts: PlanFacts
    ) -> None:
        rules = self._rules.of(attempt.lease.ref)
        # What stands beside the data has the name that was chosen then.
        if attempt.plan.if_exists is IfExists.NEW_NAME and not attempt.lease.steps:
            lease, account = attempt.lease, self._sftp.identity.account
            facts = await free_name(session, rules, facts, ledger=self._ledger, lease=lease, account=account)
        plan = self.set_plan(attempt, facts)
        if plan.claims_name and plan.sequence is not None:  # only now it is the name of this object alone
            await done_by(executor, lambda: self.claim(attempt, number=plan.number_in_names))
        ours = [step.remote_path for step in attempt.lease.steps.values()]
        ours += [name for name in own_names(attempt.lease, NameKind.FINAL) if name != plan.file.path]
        await require_free(session, plan, ours=ours, own=attempt.own_files or {})

    def set_plan(self, attempt: Attempt, facts: PlanFacts) -> DeliveryPlan:
        """Plan again with more facts, and keep them with the lease.

        Raises:
            RuleRefused: They give the object no name.
        """
        attempt.plan = self._rules.of(attempt.lease.ref).plan(facts)
        attempt.lease = replace(attempt.lease, plan=facts.as_text(), remote_path=attempt.plan.file.path)
        return attempt.plan

    def claim(self, attempt: Attempt, number: str = "") -> None:
        """Claim all names of the plan.

        Args:
            attempt: Whose names they are.
            number: In the names; the version that has it takes them over from one that has given it up.

        Raises:
            NameTaken: Another key has one.
        """
        claim_name(self._ledger, attempt.lease, attempt.plan, account=self._sftp.account, number=number)

    async def _number(self, attempt: Attempt, rules: DeliveryRules, executor: Executor) -> TakenNumber:
        for turn in range(_NUMBER_TRIES):
            try:
                number: TakenNumber = await done_by(executor, lambda: self._take(attempt, rules))
            except SequenceHeld as held:
                waited_for = held
            else:
                return number
            is_hopeless = not waited_for.is_being_sent or waited_for.holder == self._waited_in_vain_for
            is_over = attempt.deadline is not None and attempt.deadline.is_near()
            if is_hopeless or is_over or turn == _NUMBER_TRIES - 1:
                break
            await done_by(executor, lambda: self._sleep(_NUMBER_PAUSE_SECONDS))
        # The objects behind this one must not wait, too: the one that has the number may be among them.
        self._waited_in_vain_for = waited_for.holder
        raise waited_for

    def _take(self, attempt: Attempt, rules: DeliveryRules) -> TakenNumber:
        sequence, now = rules.sequence, int(self._now())
        assert sequence is not None  # noqa: S101 - asked by the caller
        period = sequence.period(datetime.fromtimestamp(now, rules.zone))
        return self._numbers.take(
            attempt.lease,
            sequence.name,
            start=sequence.start,
            period=period,
            at=now,
            seen_as=facts_of(attempt.lease).sequence if _may_be_seen(attempt.lease) else None,
        )

    async def require_number(self, attempt: Attempt, executor: Executor) -> None:
        """Require that an object whose data was put by an earlier attempt still has the number in its name.

        Raises:
            LedgerError: It has lost it.
        """
        sequence, lease = attempt.plan.sequence, attempt.lease
        assert sequence is not None  # noqa: S101 - asked by the caller
        number, of_number = attempt.plan.number, self._numbers.with_receipt
        change = await done_by(executor, lambda: of_number(lease.ref, sequence, number))
        attempt.lease = replace(attempt.lease, with_receipt=(change,))


def _may_be_seen(lease: Lease) -> bool:
    """Return whether the partner may have seen a name of the version, and no operator asks for a new one."""
    request, commit = lease.ref.operator, lease.commit
    if request is not None and request.action is Action.RESEND:
        return False
    return bool(lease.steps) or (commit is not None and (commit.rename_unanswered or commit.is_renamed))


def facts_of(lease: Lease) -> PlanFacts:
    """Return the recorded facts.

    Raises:
        LedgerError: They cannot be read.
    """
    try:
        return PlanFacts.from_text(lease.plan)
    except ValueError as error:
        raise LedgerError(
            f"The plan of {lease.ref} in the ledger is corrupt: {error}.",
            hint="Look at the item; remove its attribute 'plan', then redrive the message.",
            disposition=Disposition.PERMANENT,
        ) from None


async def done_by(executor: Executor, work: Callable[[], Any]) -> Any:
    """Return what the executor's work returns, or raise what it raises; other tasks run meanwhile."""
    return await ExternalFuture(executor.submit(work))
