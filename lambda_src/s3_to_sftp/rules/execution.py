"""Executes plans that a partner's rules have made: see `delivery.plan_execution.PlanExecution`."""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import Any

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.leftovers import Leftovers, own_names
from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists, PlanFacts, default_plan
from s3_to_sftp.errors import Disposition, LedgerError, NameTaken, RemotePathRefused, RuleRefused
from s3_to_sftp.operator_request import Action
from s3_to_sftp.outcomes import SequenceHeld, Skipped
from s3_to_sftp.rules.attributes import Attributes
from s3_to_sftp.rules.companion_files import CompanionFiles
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.digests import digests_of, read_digests
from s3_to_sftp.rules.final_name import claim_name, free_name, require_free
from s3_to_sftp.rules.object_facts import first_facts
from s3_to_sftp.rules.rename_proof import RenameProof
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.rules.sequence_counter import delivered_change
from s3_to_sftp.rules.sequence_numbers import SequenceNumbers, TakenNumber
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import discard
from s3_to_sftp.state.items import name_entry
from s3_to_sftp.state.ledger import DATA, Commit, Lease, Ledger
from s3_to_sftp.state.remote_names import NameKind
from s3_to_sftp.state.table import Table
from s3_to_sftp.unknown_outcome import UnknownOutcome

_NUMBER_TRIES = 25
_NUMBER_PAUSE_SECONDS = 0.2
"""So long is the number of another function's object waited for before the object goes back to the queue."""


class RulesExecution:
    """Makes and executes the plans of one partner's objects."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        s3: Any,
        sftp: SftpClient,
        ledger: Ledger,
        table: Table,
        unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Execute plans at one partner.

        Args:
            rules: Of the partner.
            s3: boto3's S3 client.
            sftp: The partner's server.
            ledger: Keeps plans and steps.
            table: The same table: keeps the numbers of sequences.
            unknown_outcome: What to do where nobody knows whether a file beside the data is there.
            new_token: Returns a token that no other name has.
            now: Seconds since 1970.
            sleep: Waits for a number.
        """
        self._rules = rules
        self._s3 = s3
        self._sftp = sftp
        self._ledger = ledger
        self._numbers = SequenceNumbers(table)
        self._new_token = new_token
        self._now = now
        self._sleep = sleep
        self._attributes = Attributes()
        self._rename_proof = RenameProof(new_token)
        self._leftovers = Leftovers(sftp, now=now)
        self._companions = CompanionFiles(
            sftp=sftp,
            ledger=ledger,
            leftovers=self._leftovers,
            attributes=self._attributes,
            if_unknown=unknown_outcome,
            new_token=new_token,
            now=now,
        )

    # Plans.

    def plan(self, ref: ObjectRef) -> tuple[DeliveryPlan, str]:
        """See `PlanExecution`."""
        rules = self._rules.of(ref)
        facts = first_facts(rules, ref, self._s3, now=self._now())
        return rules.plan(facts), facts.as_text() if rules.rules else ""

    def plan_of(self, lease: Lease) -> DeliveryPlan:
        """See `PlanExecution`."""
        if not lease.plan:
            return default_plan(lease.remote_path)
        return self._rules.of(lease.ref).plan(_facts(lease))

    def path_of(self, ref: ObjectRef) -> str:
        """See `PlanExecution`."""
        return self._rules.of(ref).path_without_asking(ref, now=self._now())

    def travels_alone(self, ref: ObjectRef) -> bool:
        """See `PlanExecution`: numbers are taken one after the other."""
        rules = self._rules.of(ref).rules
        return rules is not None and (rules.sequence is not None or rules.is_direct)

    # Before the first byte.

    async def before_upload(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """See `PlanExecution`: claim the name, prove the RENAME, and settle a name that is written to."""
        plan = attempt.plan
        if plan.claims_name and plan.sequence is None and plan.if_exists is not IfExists.NEW_NAME:
            await _in(executor, lambda: self._claim(attempt))
        if not self._rename_proof.is_proven(session, plan.file):
            await self._prove_rename(session, attempt, executor)
        if plan.file.is_direct:
            await self._begin_under_final_name(session, attempt, executor)

    async def _begin_under_final_name(
        self, session: SftpSession, attempt: Attempt, executor: Executor
    ) -> None:
        """Settle the name and record it: from now on what has this name is ours."""
        facts = _facts(attempt.lease)
        if attempt.plan.companions_before:
            facts = replace(facts, digests=await self._digests(session, attempt, facts, None))
        await self._settle_name(session, attempt, executor, facts)
        lease, path = attempt.lease, attempt.plan.file.path
        if lease.temporary != path:
            lease.names.remove(lease.temporary)
            lease = await _in(executor, lambda: self._ledger.start_over(lease, temporary=path))
        if DATA not in lease.steps:
            begun = Commit(
                temporary=path,
                remote_path=path,
                size=0,
                modified=None,
                server=self._sftp.identity,
                rename_unanswered=False,
            )
            lease = replace(lease, steps={**lease.steps, DATA: begun})
            await _in(executor, lambda: self._ledger.note_step(lease, DATA, begun))
        attempt.lease = lease
        await self.before_rename(session, attempt, executor)

    def _claim(self, attempt: Attempt, number: str = "") -> None:
        claim_name(self._ledger, attempt.lease, attempt.plan, account=self._sftp.account, number=number)

    async def _prove_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        lease = attempt.lease
        names = self._rename_proof.names(attempt.plan.file)
        for name in names:
            lease.names.put(name, name_entry(lease.ref, account=self._sftp.account, since=self._now()))
        await _in(executor, lambda: self._ledger.note_names(lease))
        journal = self._leftovers.journal(lease, self._ledger, executor)
        await self._rename_proof.prove(session, attempt.plan.file, names, journal)

    # Between the last byte and the commit.

    async def before_commit(
        self,
        session: SftpSession,
        attempt: Attempt,
        commit: Commit,
        executor: Executor,
        data: bytes | None,
    ) -> Commit:
        """See `PlanExecution`: number, name, checksums, attributes; names of the files beside it."""
        if not attempt.lease.plan:
            return commit
        attempt.commit = commit  # it is complete: whatever happens now, it is not sent again
        earlier = attempt.lease.names.get(commit.temporary)
        attempt.earlier_rename = earlier is not None and earlier.rename_pending
        facts = replace(_facts(attempt.lease), size=commit.size)
        try:
            digests = await self._digests(session, attempt, facts, data)
            facts = replace(facts, digests=digests)
            if commit.is_renamed:
                self._set_plan(attempt, facts)
            else:
                await self._settle_name(session, attempt, executor, facts)
            for path in attempt.plan.paths:
                session.require_valid_name(path)
        except (RemotePathRefused, NameTaken, Skipped):
            if attempt.lease.commit is None:  # otherwise the next attempt needs it to find out what happened
                if not commit.is_renamed and await discard(session, commit.temporary):
                    attempt.lease.names.remove(commit.temporary)
                attempt.commit = None
            raise
        commit = replace(commit, remote_path=attempt.plan.file.path)
        commit = await self._with_attributes(session, attempt, commit)
        for companion in attempt.plan.companions:
            if companion.id not in {*attempt.lease.steps, *attempt.reserved}:
                self._companions.reserve(attempt, companion)
        return commit

    async def _digests(
        self, session: SftpSession, attempt: Attempt, facts: PlanFacts, data: bytes | None
    ) -> Mapping[str, str]:
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

    async def _settle_name(
        self, session: SftpSession, attempt: Attempt, executor: Executor, facts: PlanFacts
    ) -> None:
        rules = self._rules.of(attempt.lease.ref)
        if rules.rules is not None and rules.rules.sequence is not None:
            number = await self._number(attempt, rules.rules, executor)
            facts = replace(facts, sequence=number.number, delivery_time=number.taken_at)
        # What stands beside the data has the name that was chosen then.
        if attempt.plan.if_exists is IfExists.NEW_NAME and not attempt.lease.steps:
            lease, account = attempt.lease, self._sftp.identity.account
            facts = await free_name(session, rules, facts, ledger=self._ledger, lease=lease, account=account)
        plan = self._set_plan(attempt, facts)
        if plan.claims_name and plan.sequence is not None:  # only now it is the name of this object alone
            await _in(executor, lambda: self._claim(attempt, number=f"{plan.sequence} {number.number}"))
        ours = [step.remote_path for step in attempt.lease.steps.values()]
        ours += [name for name in own_names(attempt.lease, NameKind.FINAL) if name != plan.file.path]
        await require_free(session, plan, ours=ours)

    def _set_plan(self, attempt: Attempt, facts: PlanFacts) -> DeliveryPlan:
        attempt.plan = self._rules.of(attempt.lease.ref).plan(facts)
        attempt.lease = replace(attempt.lease, plan=facts.as_text(), remote_path=attempt.plan.file.path)
        return attempt.plan

    async def _number(self, attempt: Attempt, rules: DeliveryRules, executor: Executor) -> TakenNumber:
        for _ in range(_NUMBER_TRIES):
            try:
                number: TakenNumber = await _in(executor, lambda: self._take(attempt, rules))
            except SequenceHeld as held:
                waited_for = held
            else:
                return number
            if attempt.deadline is not None and attempt.deadline.is_near():
                break
            await _in(executor, lambda: self._sleep(_NUMBER_PAUSE_SECONDS))
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
            seen_as=_facts(attempt.lease).sequence if _may_be_seen(attempt.lease) else None,
        )

    async def _with_attributes(self, session: SftpSession, attempt: Attempt, commit: Commit) -> Commit:
        plan = attempt.plan
        seen = await self._attributes.set(
            session,
            commit.temporary,
            mode=plan.mode,
            mtime=plan.modified,
            is_required=plan.requires_attributes,
        )
        if seen is None or seen.mtime is None:
            return commit
        # No evidence where another file that may have the final name is of the same second.
        modified = None if seen.mtime == attempt.lease.last_modified else seen.mtime
        return replace(commit, modified=modified)

    # Around the RENAME.

    async def before_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """See `PlanExecution`."""
        commit = attempt.commit or attempt.lease.steps.get(DATA)
        if attempt.plan.companions_before and commit is not None:  # a delayed RENAME must not replace one
            journal = self._leftovers.journal(attempt.lease, self._ledger, executor)
            await self._leftovers.prevent_renames(session, attempt.lease, commit, journal)
        for companion in attempt.plan.companions_before:
            await self._companions.put(session, attempt, companion, executor)

    async def after_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """See `PlanExecution`."""
        sequence, ref = attempt.plan.sequence, attempt.lease.ref
        if sequence is not None:
            attempt.lease = replace(attempt.lease, with_receipt=(delivered_change(sequence, ref),))
        await self._complete_facts(session, attempt)
        for companion in attempt.plan.companions_after:
            await self._companions.put(session, attempt, companion, executor)

    async def _complete_facts(self, session: SftpSession, attempt: Attempt) -> None:
        """Plan again where the rules were changed while the data was at the partner already."""
        if not _is_pending(attempt):
            return
        commit, facts = attempt.commit, _facts(attempt.lease)
        assert commit is not None  # noqa: S101 - the data has its final name
        digests = await self._digests(session, attempt, facts, None)
        facts = replace(facts, size=commit.size, digests=digests)
        if (sequence := attempt.plan.sequence) is not None and facts.sequence is None:
            facts = replace(facts, sequence=self._numbers.held_by(attempt.lease.ref, sequence))
        directory = self._rules.of(attempt.lease.ref).item.directory.rstrip("/") + "/"
        if commit.remote_path.startswith(directory):
            facts = replace(facts, name=commit.remote_path.removeprefix(directory))
        self._set_plan(attempt, facts)
        if _is_pending(attempt):
            raise _rules_changed(attempt.lease.ref, commit)

    def details(self, attempt: Attempt) -> Mapping[str, Any]:
        """See `PlanExecution`."""
        companions = attempt.plan.companions
        number = _facts(attempt.lease).sequence if attempt.plan.sequence else None
        return {
            **({"sequence": number} if number is not None else {}),
            **({"companions": [companion.path for companion in companions]} if companions else {}),
        }


def _is_pending(attempt: Attempt) -> bool:
    """Return whether a file beside the data has no content yet, or a name without its number."""
    has_number = attempt.plan.sequence is None or _facts(attempt.lease).sequence is not None
    return any(
        each.content is None or (not has_number and "{sequence}" in each.path)
        for each in attempt.plan.companions
    )


def _may_be_seen(lease: Lease) -> bool:
    """Return whether the partner may have seen a name of the version, and no operator asks for a new one."""
    request, commit = lease.ref.operator, lease.commit
    if request is not None and request.action is Action.RESEND:
        return False
    return bool(lease.steps) or (commit is not None and (commit.rename_unanswered or commit.is_renamed))


def _facts(lease: Lease) -> PlanFacts:
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


def _rules_changed(ref: ObjectRef, commit: Commit) -> RuleRefused:
    return RuleRefused(
        "companions",
        f"The rules were changed while {ref} was being delivered: the data is at the partner as "
        f"{commit.remote_path!r}, which has no number, and the files beside it need one.",
        value=commit.remote_path,
        hint="Agree with the partner on these files. `s3-to-sftp confirm KEY --reason TEXT` records the data "
        "as delivered; with the former rules a redrive puts the files.",
    )


async def _in(executor: Executor, work: Callable[[], Any]) -> Any:
    return await ExternalFuture(executor.submit(work))
