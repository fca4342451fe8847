"""What became of a file that was complete under its temporary name: judged by evidence alone.

"The temporary file is gone" is no evidence: partners tidy up, scanners quarantine, servers are exchanged,
disks lose power. Neither is a file of the right size: yesterday's may be as long.
"""

import logging
from dataclasses import replace
from enum import Enum

from s3_to_sftp.delivery.attempt import Attempt
from s3_to_sftp.delivery.leftovers import Leftovers, own_names
from s3_to_sftp.delivery.publication import Publication
from s3_to_sftp.delivery_plan import DeliveryPlan
from s3_to_sftp.errors import OutcomeUnknown
from s3_to_sftp.operator_request import Action
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.publish import PathStatus, void_temporary
from s3_to_sftp.state.ledger import DATA, Commit, Lease
from s3_to_sftp.state.receipt import Evidence, Receipt
from s3_to_sftp.state.remote_names import NameKind
from s3_to_sftp.unknown_outcome import UnknownOutcome

_log = logging.getLogger(__name__)


class Verdict(Enum):
    """What to do about a file that was complete."""

    DELIVERED = "delivered"
    """It has its final name: seen with the size and modification time that the temporary file had."""
    PUBLISH = "publish"
    """It is complete under its temporary name."""
    START_OVER = "start over"
    """It has no final name, and is not seen to be complete, or belongs elsewhere."""
    ASSUMED = "assumed to be delivered"
    """Nothing that can be seen tells, and the setting is to assume that it was delivered."""
    UNKNOWN = "unknown"
    """Nothing that can be seen tells: a person has to ask the partner."""


GIVEN_AWAY = PathStatus(absent=True)
"""What counts as seen under a temporary name that rules have given to another version of the key since: that
one has removed the file, and what has the name now is its own."""

_IF_UNKNOWN = {
    UnknownOutcome.RESEND: Verdict.START_OVER,
    UnknownOutcome.ASSUME_DELIVERED: Verdict.ASSUMED,
    UnknownOutcome.HOLD: Verdict.UNKNOWN,
}


class Recovery:
    """Finds out about files that were complete before this attempt, at one partner."""

    def __init__(
        self,
        *,
        sftp: SftpClient,
        leftovers: Leftovers,
        publication: Publication,
        if_unknown: UnknownOutcome,
    ) -> None:
        """Recover at one partner.

        Args:
            sftp: The partner's server.
            leftovers: What earlier attempts have left.
            publication: Gives complete files their final names.
            if_unknown: What to do where nobody knows whether a file was delivered.
        """
        self._sftp = sftp
        self._leftovers = leftovers
        self._publication = publication
        self._if_unknown = if_unknown

    def recover(self, attempt: Attempt, commit: Commit) -> Receipt | None:
        """Find out what became of a file that an earlier attempt has completed, and do what is left to do.

        Returns:
            The receipt; None: the object has to be sent again from its beginning.

        Raises:
            OutcomeUnknown: A person has to ask the partner.
            DeliveryError: See `Publication.commit_and_publish`.
        """
        if commit.is_renamed and self._sftp.account == commit.server.account:
            attempt.note_found(commit)
            self._publication.complete_alone(attempt)
            evidence = Evidence(commit.evidence or Evidence.RENAME_OK)
            return self._publication.receipt(attempt, commit, recovered=True, evidence=evidence)
        server = self._sftp.connect()
        attempt.progress.has_answered = True
        temporary, final = self._sftp.look_at(commit.temporary, commit.remote_path)
        if attempt.lease.names.is_of_another(commit.temporary):
            temporary = GIVEN_AWAY
        verdict = judge(
            commit,
            server=server,
            remote_path=attempt.lease.remote_path,
            temporary=temporary,
            final=final,
            if_unknown=self._if_unknown,
            is_as_planned=_is_as_planned(commit, attempt.plan),
        )
        asides = own_names(attempt.lease, NameKind.ASIDE)
        _log.warning(
            "%s was complete as %r before this attempt: %s",
            attempt.lease.ref,
            commit.temporary,
            verdict.value,
            extra={"moved_aside": asides},
        )
        match verdict:
            case Verdict.PUBLISH:
                here = replace(commit, server=server)
                here = self._publication.commit_and_publish_alone(attempt, here)
                return self._publication.receipt(attempt, here, recovered=True)
            case Verdict.DELIVERED:
                # A delayed RENAME must not move the delivered file aside.
                journal = self._publication.journal(attempt)
                self._sftp.run(
                    lambda session: self._leftovers.prevent_renames(session, attempt.lease, commit, journal)
                )
                return self._found(attempt, replace(commit, server=server), Evidence.SEEN_AFTER_RENAME)
            case Verdict.ASSUMED:
                return self._found(attempt, commit, Evidence.ASSUMED)
            case Verdict.START_OVER:
                return None
            case Verdict.UNKNOWN:
                attempt.commit, attempt.earlier_rename = commit, True
                raise outcome_unknown(commit, final=final, asides=asides)

    def standing_before(self, commit: Commit | None) -> PathStatus | None:
        """Return what has the final name of a file that is about to be abandoned, if that is another file.

        Where its temporary name still exists it has not been renamed: another file has the final name, even
        one of the same size and time.

        Raises:
            DeliveryError: See `recover`.
        """
        if commit is None or not self._may_be_renamed_here(commit):
            return None
        # The final name first, one after the other: a RENAME in between would make it look like another file.
        (final,) = self._sftp.look_at(commit.remote_path)
        (temporary,) = self._sftp.look_at(commit.temporary)
        return final if temporary.present else None

    def _may_be_renamed_here(self, commit: Commit) -> bool:
        is_here = commit.server.account == self._sftp.connect().account
        return is_here and commit.rename_unanswered and commit.temporary != commit.remote_path

    def found_when_abandoned(
        self, attempt: Attempt, commit: Commit, standing: PathStatus | None
    ) -> Receipt | None:
        """Make sure that a file that is no longer wanted does not get its name while another one is sent.

        After `start_over`: from then on it is no loss that it is gone. Its RENAME may have happened since it
        was looked at, and this is the last moment at which it can.

        Args:
            attempt: It sends the object again.
            commit: The file.
            standing: See `standing_before`.

        Returns:
            The receipt, where it has; None: it no longer can.

        Raises:
            EarlierRenamePending: The server does not let it be prevented.
            DeliveryError: See `recover`.
        """
        if not self._may_be_renamed_here(commit):
            return None
        journal = self._publication.journal(attempt)
        if commit.temporary != attempt.lease.temporary:  # otherwise it was removed for its name
            self._sftp.run(lambda session: void_temporary(session, commit.temporary, journal))
        attempt.progress.has_answered = True
        _, final = self._sftp.look_at(commit.temporary, commit.remote_path)
        if not _is_it(commit, final) or final == standing:
            if standing is not None and attempt.lease.remote_path != commit.remote_path:
                self._restore(attempt, commit.remote_path)  # nothing of ours takes its place
            return None
        _log.warning("%r has its name after all: what was to be sent again is delivered", commit.remote_path)
        return self._found(attempt, commit, Evidence.SEEN_AFTER_RENAME)

    def _restore(self, attempt: Attempt, path: str) -> None:
        lease, journal = attempt.lease, self._publication.journal(attempt)
        self._sftp.run(lambda session: self._leftovers.restore(session, lease, path, journal))

    def _found(self, attempt: Attempt, commit: Commit, evidence: Evidence) -> Receipt:
        """Do what is left to do for a file that has its final name; what shows that is not forgotten."""
        attempt.note_found(replace(commit, evidence=evidence))
        self._publication.complete_alone(attempt)
        return self._publication.receipt(attempt, commit, recovered=True, evidence=evidence)


def abandoned_file(lease: Lease) -> Commit | None:
    """Return the file that was complete, and is sent again; None: there is none, or it shall come twice.

    Args:
        lease: With what an earlier attempt, or the one before it, has left.
    """
    request = lease.ref.operator
    is_wanted_again = request is not None and request.action is Action.RESEND
    return None if is_wanted_again else lease.commit or lease.steps.get(DATA)


def judge(
    commit: Commit,
    *,
    server: ServerIdentity,
    remote_path: str,
    temporary: PathStatus,
    final: PathStatus,
    if_unknown: UnknownOutcome = UnknownOutcome.HOLD,
    is_as_planned: bool = True,
) -> Verdict:
    """Judge what became of a file.

    Args:
        commit: What was true of it before its RENAME.
        server: The one that was asked now.
        remote_path: The final name that the object should have now.
        temporary: What that server shows under the temporary name.
        final: What it shows under the final name of the commit.
        if_unknown: What to do where nothing that can be seen tells.
        is_as_planned: Whether it holds what the partner should get now.
    """
    is_other_account = server.account != commit.server.account
    if temporary.present:
        # A temporary name is random: where it stands, this is the server of the commit.
        is_wanted = is_as_planned and _is_intact(commit, temporary) and remote_path == commit.remote_path
        return Verdict.PUBLISH if is_wanted else Verdict.START_OVER
    # What cannot be seen may have lost its tail: it is not renamed.
    if not commit.rename_unanswered or is_other_account:
        return Verdict.START_OVER
    return Verdict.DELIVERED if _is_it(commit, final) else _IF_UNKNOWN[if_unknown]


def _is_as_planned(commit: Commit, plan: DeliveryPlan) -> bool:
    """Return whether the bytes of the file were changed as the plan has it, and all of it is known."""
    if commit.sent is None:
        return not plan.transforms
    return commit.sent.transforms == plan.transforms and {*plan.digests} <= {*commit.sent.digests}


def _is_intact(commit: Commit, temporary: PathStatus) -> bool:
    there = temporary.attributes
    return there is not None and there.size == commit.size


def _is_it(commit: Commit, final: PathStatus) -> bool:
    there = final.attributes
    return (
        there is not None
        and there.size == commit.size
        and there.mtime is not None
        and there.mtime == commit.modified
    )


def outcome_unknown(commit: Commit, *, final: PathStatus, asides: list[str]) -> OutcomeUnknown:
    """Return the error that says what is known, and what to ask the partner."""
    there = "cannot be seen"
    if final.absent:
        there = "is not there"
    elif final.attributes is not None:
        there = f"has {final.attributes.size} bytes and another modification time or size"
    before = (
        " The file that had this name before may stand beside it: the log has its name." if asides else ""
    )
    return OutcomeUnknown(
        f"A RENAME to {commit.remote_path!r} at {commit.server.account} was not "
        f"answered, and the temporary file is gone or cannot be seen. {commit.remote_path!r} {there}.",
        hint=f"Ask the partner whether {commit.remote_path!r} with {commit.size} bytes has arrived. If so: "
        "`s3-to-sftp confirm KEY --reason TEXT`; if not: `s3-to-sftp resend KEY --reason TEXT`, or redrive "
        f"the message. UNKNOWN_OUTCOME sets what happens without asking.{before}",
    )
