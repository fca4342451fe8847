"""Executes plans that a partner's rules have made: see `delivery.plan_execution.PlanExecution`."""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.half_written import begun_under_final_name
from s3_to_sftp.delivery.leftovers import Leftovers
from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import (
    ConfigurationError,
    NameTaken,
    RemotePathRefused,
)
from s3_to_sftp.outcomes import Skipped
from s3_to_sftp.rules.attributes import Attributes
from s3_to_sftp.rules.companion_files import CompanionFiles
from s3_to_sftp.rules.object_plans import ObjectPlans, is_to_be_sent_again
from s3_to_sftp.rules.own_files import own_files
from s3_to_sftp.rules.plan_completion import PlanCompletion, done_by, facts_of
from s3_to_sftp.rules.recorded_plan import plan_as_text
from s3_to_sftp.rules.rename_proof import RenameProof
from s3_to_sftp.rules.rule_set import RuleSet
from s3_to_sftp.rules.sequence_numbers import SequenceNumbers
from s3_to_sftp.rules.transformed_object import SigningKeySource
from s3_to_sftp.rules.transforms import transform_of
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.publish import look
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import discard
from s3_to_sftp.state.key_item import name_entry
from s3_to_sftp.state.ledger import BEGUN, Commit, Ledger
from s3_to_sftp.state.pause import NoPause, Pause
from s3_to_sftp.state.table import Table
from s3_to_sftp.stream_transform import StreamTransform
from s3_to_sftp.unknown_outcome import UnknownOutcome

if TYPE_CHECKING:
    from s3_to_sftp.rules.drops import Drops


class RulesExecution(ObjectPlans):
    """Makes and executes the plans of one partner's objects."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        s3: Any,
        sftp: SftpClient,
        ledger: Ledger,
        table: Table,
        pause: Pause | None = None,
        drops: "Drops | None" = None,
        unknown_outcome: UnknownOutcome = UnknownOutcome.HOLD,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        signing_key: SigningKeySource | None = None,
    ) -> None:
        """Execute plans at one partner.

        Args:
            rules: Of the partner.
            s3: boto3's S3 client.
            sftp: The partner's server.
            ledger: Keeps plans and steps.
            table: The same table: keeps the numbers of sequences.
            pause: Knows which objects have to wait. By default none has.
            drops: Counts the files that the partner gets, where the rules have a rate.
            unknown_outcome: What to do where nobody knows whether a file beside the data is there.
            new_token: Returns a token that no other name has.
            now: Seconds since 1970.
            sleep: Waits for a number.
            signing_key: Returns the key that a rule names; None: no rule names any.
        """
        super().__init__(rules, s3=s3, table=table, pause=pause or NoPause(), now=now)
        self._sftp = sftp
        self._ledger = ledger
        self._new_token = new_token
        self._signing_key = signing_key or _no_key
        self._attributes = Attributes()
        self._completion = PlanCompletion(
            rules, s3=s3, sftp=sftp, ledger=ledger, numbers=SequenceNumbers(table), now=now, sleep=sleep
        )
        self._rename_proof = RenameProof(new_token)
        self._drops = drops
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

    # Before the first byte.

    async def before_upload(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """See `PlanExecution`: claim the name, prove the RENAME, and settle a name that is written to."""
        plan = attempt.plan
        await self._claim_name(attempt, executor)
        await self._note_own_files(attempt, executor)
        replaces = plan.if_exists is IfExists.REPLACE
        if not self._rename_proof.is_proven(session, plan.file, replaces=replaces):
            await self._prove_rename(session, attempt, executor)
        if plan.file.is_direct:
            await self._begin_under_final_name(session, attempt, executor)

    async def _claim_name(self, attempt: Attempt, executor: Executor) -> None:
        """Claim names that are known before the bytes are at the partner, where other keys could get them."""
        plan = attempt.plan
        if plan.claims_name and plan.sequence is None and plan.if_exists is not IfExists.NEW_NAME:
            await done_by(executor, lambda: self._completion.claim(attempt))

    async def _note_own_files(self, attempt: Attempt, executor: Executor) -> None:
        """Note which files are ours where an operator wants a version again, and the rules replace none."""
        is_strict = attempt.plan.if_exists in (IfExists.REFUSE, IfExists.SKIP)
        if attempt.own_files is None and is_strict and is_to_be_sent_again(attempt.lease.ref):
            version = await done_by(executor, lambda: self._version(attempt.lease.ref))
            attempt.own_files = own_files(version)

    async def _begin_under_final_name(
        self, session: SftpSession, attempt: Attempt, executor: Executor
    ) -> None:
        """Settle the name and record it: from now on what has this name is ours."""
        facts = facts_of(attempt.lease)
        if attempt.plan.companions_before and not attempt.plan.transforms:
            facts = replace(facts, digests=await self._completion.digests(session, attempt, facts, None))
        await self._completion.settle(session, attempt, executor, facts)
        lease, path = attempt.lease, attempt.plan.file.path
        former, begun = lease.temporary, lease.steps.get(BEGUN)
        if begun is None:
            await self._count_drop(attempt, executor)
            there = await look(session, path)
            server, transforms = self._sftp.identity, attempt.plan.transforms
            step = begun_under_final_name(path, there, server=server, transforms=transforms)
            lease = replace(lease, steps={**lease.steps, BEGUN: step})
        if former != path:
            # Rules with a temporary name may have held before: what they have left is not forgotten, and is
            # removed only when the ledger no longer says to look for it.
            if lease.attempt == 1:
                lease.names.remove(former)
            lease = await done_by(executor, lambda: self._ledger.start_over(lease, temporary=path))
            if lease.attempt > 1 and await discard(session, former):
                lease.names.remove(former)
        elif begun is None:
            await done_by(executor, lambda: self._ledger.note_step(lease, BEGUN, step))
        attempt.lease = lease
        await self.before_rename(session, attempt, executor)

    async def _prove_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        lease = attempt.lease
        names = self._rename_proof.names(attempt.plan.file)
        for name in names:
            lease.names.put(name, name_entry(lease.ref, account=self._sftp.account, since=self._now()))
        await done_by(executor, lambda: self._ledger.note_names(lease))
        journal = self._leftovers.journal(lease, self._ledger, executor)
        replaces = attempt.plan.if_exists is IfExists.REPLACE
        await self._rename_proof.prove(session, attempt.plan.file, names, journal, replaces=replaces)

    # Between the last byte and the commit.

    def transform(self, attempt: Attempt) -> StreamTransform:
        """See `PlanExecution`."""
        of_object = self._rules.of(attempt.lease.ref)
        assert of_object.rules is not None  # noqa: S101 - the plan is theirs
        return transform_of(of_object.rules, of_object.item, facts_of(attempt.lease), self._signing_key)

    async def before_commit(
        self,
        session: SftpSession,
        attempt: Attempt,
        commit: Commit,
        executor: Executor,
        data: bytes | None,
    ) -> Commit:
        """See `PlanExecution`: number, name, checksums, attributes; names of the files beside it."""
        if not attempt.lease.plan:  # the plan of rules that were removed is none of this file
            return replace(commit, plan="") if commit.plan else commit
        await self._note_own_files(attempt, executor)
        attempt.commit = commit  # it is complete: whatever happens now, it is not sent again
        earlier = attempt.lease.names.get(commit.temporary)
        attempt.earlier_rename = earlier is not None and earlier.rename_pending
        facts = replace(facts_of(attempt.lease), size=commit.size)
        try:
            if commit.sent is not None:
                digests: Mapping[str, str] = commit.sent.digests
            else:
                digests = await self._completion.digests(session, attempt, facts, data)
            facts = replace(facts, digests=digests)
            if attempt.lease.commit is not None and not commit.is_renamed:
                await self._claim_name(attempt, executor)  # since then another key may have taken it
            if commit.is_renamed:
                self._completion.set_plan(attempt, facts)
            else:
                await self._completion.settle(session, attempt, executor, facts)
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
        if not commit.is_renamed:
            await self._count_drop(attempt, executor)
        return replace(commit, plan=plan_as_text(attempt.plan))

    async def _count_drop(self, attempt: Attempt, executor: Executor) -> None:
        """Count the data file that is about to appear at the partner.

        Raises:
            DropRateReached: It is not its turn. All its bytes are at the partner, under a temporary name.
        """
        timing, drops = attempt.plan.timing, self._drops
        if drops is None or timing is None or timing.drops is None:
            return
        count, period = timing.drops
        await done_by(executor, lambda: drops.reserve(attempt.lease, count=count, period=period))

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
        earlier = attempt.lease.commit
        is_of_another = seen.mtime == attempt.lease.last_modified and (
            earlier is None or earlier.modified != seen.mtime
        )
        modified = None if is_of_another else seen.mtime
        return replace(commit, modified=modified)

    # Around the RENAME.

    async def before_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """See `PlanExecution`."""
        commit, plan = attempt.commit or attempt.lease.steps.get(BEGUN), attempt.plan
        # A delayed RENAME must not replace one, nor what is about to be written under its final name.
        if commit is not None and (plan.companions_before or plan.file.is_direct):
            journal = self._leftovers.journal(attempt.lease, self._ledger, executor)
            await self._leftovers.prevent_renames(session, attempt.lease, commit, journal)
        await self._companions.withdraw_former(session, attempt, executor)
        for companion in attempt.plan.companions_before:
            await self._companions.put(session, attempt, companion, executor)

    async def after_rename(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """See `PlanExecution`."""
        await self._note_own_files(attempt, executor)
        timing, drops = attempt.plan.timing, self._drops
        if drops is not None and timing is not None and timing.drops is not None:
            await done_by(executor, lambda: drops.confirm(attempt.lease))
        if attempt.plan.sequence is not None and not attempt.lease.with_receipt:
            await self._completion.require_number(attempt, executor)
        for companion in attempt.plan.companions_after:
            await self._companions.put(session, attempt, companion, executor)

    def details(self, attempt: Attempt) -> Mapping[str, Any]:
        """See `PlanExecution`."""
        companions = attempt.plan.companions
        number = attempt.plan.number
        return {
            **({"sequence": number} if number is not None else {}),
            **({"companions": [companion.path for companion in companions]} if companions else {}),
        }


def _no_key(name: str) -> Never:
    raise ConfigurationError(
        f"A rule signs with {name!r}, and SSH_SIGNING_KEYS is not set.",
        hint="Deploy again: the construct sets SSH_SIGNING_KEYS, and writes the rules.",
    )
