"""Puts the files beside the data: each once, in order, and complete before it has its final name."""

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.leftovers import Leftovers, unused_aside
from s3_to_sftp.delivery.recovery import GIVEN_AWAY, Verdict, judge
from s3_to_sftp.delivery.temporary_name import temporary_name
from s3_to_sftp.delivery_plan import PlannedCompanion
from s3_to_sftp.errors import OutcomeUnknown, RequestRefused
from s3_to_sftp.rules.attributes import Attributes
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.publish import Journal, PathStatus, look, publish, void_temporary
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import discard, upload_small
from s3_to_sftp.state.key_item import name_entry
from s3_to_sftp.state.ledger import OF_DATA, Commit, Ledger
from s3_to_sftp.unknown_outcome import UnknownOutcome

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """One companion of one attempt.

    Attributes:
        replaces_ours: Whether a file that an earlier attempt has put may have its final name.
    """

    session: SftpSession
    attempt: Attempt
    companion: PlannedCompanion
    executor: Executor
    journal: Journal
    replaces_ours: bool = False

    @property
    def sha256(self) -> str:
        """Of its content, in hexadecimal."""
        content = self.companion.content
        assert content is not None  # noqa: S101 - all facts are known by now
        return hashlib.sha256(content).hexdigest()


class CompanionFiles:
    """Puts companions at one partner."""

    def __init__(
        self,
        *,
        sftp: SftpClient,
        ledger: Ledger,
        leftovers: Leftovers,
        attributes: Attributes,
        if_unknown: UnknownOutcome,
        new_token: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        self._sftp = sftp
        self._ledger = ledger
        self._leftovers = leftovers
        self._attributes = attributes
        self._if_unknown = if_unknown
        self._new_token = new_token
        self._now = now

    async def put(
        self, session: SftpSession, attempt: Attempt, companion: PlannedCompanion, executor: Executor
    ) -> None:
        """Put one companion, unless an earlier attempt has.

        Raises:
            OutcomeUnknown: An earlier attempt may have, and nothing shows whether.
            DeliveryError: It has no final name; the next attempt puts it.
        """
        journal = self._leftovers.journal(attempt.lease, self._ledger, executor)
        work = _Work(session, attempt, companion, executor, journal)
        step = attempt.lease.steps.get(companion.id)
        if step is not None and step.remote_path != companion.path:  # of other rules
            step = None
            _forget(attempt, companion.id)
        if step is not None and step.sha256 != work.sha256:  # of data that was encrypted another time
            work = replace(work, replaces_ours=step.is_renamed or step.rename_unanswered)
            await self._start_over(work, step)
            step = None
        if step is not None and (self._is_here(step) or await self._is_done(work, step)):
            if step.temporary == step.remote_path:
                attempt.lease.names.remove(step.temporary)
            return
        step = attempt.lease.steps.get(companion.id) or await self._upload(work)
        await self._publish(work, step)

    async def withdraw_former(self, session: SftpSession, attempt: Attempt, executor: Executor) -> None:
        """Remove what an earlier attempt has put by other rules, before the data has its name.

        It announces data that does not come: bytes are encrypted another time, or have another name. What is
        not seen to be that file stays, as does one that the server does not let be removed.

        Raises:
            DeliveryError: The server or the lease is lost, or a RENAME of it cannot be prevented.
        """
        planned = {each.id: each.path for each in attempt.plan.companions}
        journal = self._leftovers.journal(attempt.lease, self._ledger, executor)
        for name, step in list(attempt.lease.steps.items()):
            is_here = step.server.account == self._sftp.identity.account
            if name in OF_DATA or planned.get(name) == step.remote_path or not is_here:
                continue
            # First: should the former rules come back after a crash, it is put again.
            undone = replace(step, is_renamed=False, rename_unanswered=False)
            await ExternalFuture(executor.submit(self._ledger.note_step, attempt.lease, name, undone))
            if not step.is_renamed:
                await _void(session, attempt, step, journal)
            if _may_be(step, await look(session, step.remote_path)):
                is_gone = await discard(session, step.remote_path)
                _log.warning(
                    "%r was put by other rules, and is %s", step.remote_path, "removed" if is_gone else "left"
                )
            _forget(attempt, name)

    def _is_here(self, step: Commit) -> bool:
        """Return whether the partner has it, and not another one to whom the object was sent before."""
        return step.is_renamed and step.server.account == self._sftp.identity.account

    async def _is_done(self, work: _Work, step: Commit) -> bool:
        """Find out what became of the file of an earlier attempt; forget it where it is no use."""
        is_ours = not work.attempt.lease.names.is_of_another(step.temporary)
        temporary = await look(work.session, step.temporary) if is_ours else GIVEN_AWAY
        final = await look(work.session, step.remote_path)
        verdict = judge(
            step,
            server=self._sftp.identity,
            remote_path=work.companion.path,
            temporary=temporary,
            final=final,
            if_unknown=self._if_unknown,
        )
        _log.warning("%r was complete before this attempt: %s", step.remote_path, verdict.value)
        match verdict:
            case Verdict.PUBLISH:
                return False
            case Verdict.DELIVERED | Verdict.ASSUMED:
                self._keep(work, replace(step, is_renamed=True))
                return True
            case Verdict.UNKNOWN:
                raise _unknown(work.companion, step)
        await self._start_over(work, step)
        return False

    async def _start_over(self, work: _Work, step: Commit) -> None:
        await _void(work.session, work.attempt, step, work.journal)
        _forget(work.attempt, work.companion.id)

    async def _upload(self, work: _Work) -> Commit:
        companion, plan = work.companion, work.attempt.plan
        temporary = await self._recorded_name(work)
        content = companion.content
        assert content is not None  # noqa: S101 - all facts are known by now
        if work.attempt.lease.attempt > 1 and temporary == companion.temporary and not companion.is_direct:
            await discard(work.session, temporary)  # then no handle of a dead attempt leads to our file
        staged = await upload_small(
            work.session, content, temporary=temporary, path=companion.path, journal=work.journal
        )
        seen = await self._attributes.set(
            work.session, temporary, mode=plan.mode, mtime=None, is_required=plan.requires_attributes
        )
        seen = seen or staged.seen
        return Commit(
            temporary=temporary,
            remote_path=companion.path,
            size=len(content),
            sha256=work.sha256,
            modified=seen.mtime if seen else None,
            server=self._sftp.identity,
            rename_unanswered=not companion.is_direct,
            is_renamed=companion.is_direct,
        )

    async def _recorded_name(self, work: _Work) -> str:
        """Return a temporary name that the ledger has, and that no dead attempt uses."""
        temporary = work.attempt.reserved.get(work.companion.id)
        if temporary is None:
            temporary = self.reserve(work.attempt, work.companion)
            await ExternalFuture(work.executor.submit(self._ledger.note_names, work.attempt.lease))
        return temporary

    def reserve(self, attempt: Attempt, companion: PlannedCompanion) -> str:
        """Choose a temporary name; the next write to the ledger records it."""
        names = attempt.lease.names
        temporary = temporary_name(companion, token=self._new_token(), names=names)
        entry = name_entry(
            attempt.lease.ref,
            account=self._sftp.identity.account,
            since=self._now(),
            is_final=companion.is_direct,
        )
        names.put(temporary, entry)
        attempt.reserved[companion.id] = temporary
        return temporary

    async def _publish(self, work: _Work, step: Commit) -> None:
        attempt, names = work.attempt, work.attempt.lease.names
        entry = names.get(step.temporary)
        is_earlier_pending = entry is not None and entry.rename_pending
        if entry is not None:
            names.put(step.temporary, replace(entry, rename_pending=step.temporary != step.remote_path))
        await self._record(work, replace(step, rename_unanswered=not step.is_renamed))
        aside = unused_aside(attempt.lease, step.temporary, path=step.remote_path)
        try:
            await publish(
                work.session,
                step.temporary,
                step.remote_path,
                aside=aside,
                journal=work.journal,
                replaces=work.replaces_ours or attempt.replaces(step.remote_path),
            )
        except RequestRefused:
            # It says nothing about the RENAME of an earlier attempt, which may have happened meanwhile.
            if not is_earlier_pending:
                names.rename_resolved(step.temporary)
            await self._record(work, replace(step, rename_unanswered=is_earlier_pending))
            raise
        if is_earlier_pending and step.temporary in names.given_again:
            names.must_stay_unused(step.temporary, since=self._now())
        else:
            names.remove(step.temporary)
        self._keep(work, replace(step, is_renamed=True))
        if work.companion is not attempt.plan.companions[-1]:  # that one is recorded with the receipt
            await self._record(work, attempt.lease.steps[work.companion.id])

    def _keep(self, work: _Work, step: Commit) -> None:
        lease = work.attempt.lease
        work.attempt.lease = replace(lease, steps={**lease.steps, work.companion.id: step})

    async def _record(self, work: _Work, step: Commit) -> None:
        self._keep(work, step)
        write = self._ledger.note_step
        await ExternalFuture(work.executor.submit(write, work.attempt.lease, work.companion.id, step))


def _forget(attempt: Attempt, name: str) -> None:
    lease = attempt.lease
    attempt.lease = replace(lease, steps={each: step for each, step in lease.steps.items() if each != name})


async def _void(session: SftpSession, attempt: Attempt, step: Commit, journal: Journal) -> None:
    """Prevent the RENAME of an earlier attempt, unless its temporary name is another version's since."""
    if step.temporary != step.remote_path and not attempt.lease.names.is_of_another(step.temporary):
        await void_temporary(session, step.temporary, journal)


def _may_be(step: Commit, there: PathStatus) -> bool:
    """Return whether what stands under the final name of a step has all that is known of its file."""
    about = there.attributes
    return about is not None and about.size == step.size and step.modified in {None, about.mtime}


def _unknown(companion: PlannedCompanion, step: Commit) -> OutcomeUnknown:
    where, again = (
        ("The data has no final name yet. A", "sends both")
        if companion.is_before
        else ("The data is at the partner. A", "puts this file again, and not the data")
    )
    return OutcomeUnknown(
        f"{where} RENAME to {companion.path!r} at {step.server.account} was not answered, and neither this "
        "file nor its temporary file can be seen.",
        hint=f"Ask the partner whether {companion.path!r} with {step.size} bytes has arrived. If so: "
        f"`s3-to-sftp confirm KEY --reason TEXT`; if not: `s3-to-sftp resend KEY --reason TEXT` {again}. "
        "UNKNOWN_OUTCOME sets what happens without asking.",
    )
