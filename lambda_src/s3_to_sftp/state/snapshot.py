"""What the ledger's items allow: a lease, or the error that says why not. Nothing here talks to DynamoDB."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from s3_to_sftp.errors import Disposition, LedgerError, MovedAfterDelivery, OutcomeUnknown
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, Cancelled, LeaseHeld, Skipped, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.items import State, VersionItem, identifies_one_put, is_older, read_version, version_key
from s3_to_sftp.state.key_item import KeyItem, name_entry, read_key
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease
from s3_to_sftp.state.remote_names import RemoteNames

_MAX_NAMES = 500
"""Each attempt that dies leaves a name behind, and a partner that refuses REMOVE keeps them all. None is ever
forgotten."""

_MAX_NAMES_BYTES = 200 * 1024
"""An item has at most 400 KB, and the other half is for the record of a version. Reached before 500 names
where they are longer than some 200 bytes."""

_RESENDABLE = (State.DELIVERED, State.UNKNOWN, State.CANCELLED, State.SKIPPED)
"""States from which an operator's `resend` starts again."""


_TAKEN_AWAY = ("copied", "done")
"""States of `after` in which a version that is moved or deleted may be missing from S3."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The version's record and the key's item, as far as we know; at first we assume that neither exists."""

    version: VersionItem | None = None
    key: KeyItem | None = None

    @classmethod
    def of(cls, ref: ObjectRef, item: Item | None, read_own: Callable[[], Item | None]) -> "Snapshot":
        """Return what the key's item says of the version, and the version's own item where that is asked.

        What is read after the key's item may be newer. No record begins, or moves, without a write of the
        key's item: a write on condition that it is as it was here has seen the present record.

        Args:
            ref: The version.
            item: That of the key; None: there is none.
            read_own: Returns the version's own item, as it was last written.

        Raises:
            LedgerError: An item is corrupt, or cannot be read.
        """
        if item is None:
            return cls()
        key = read_key(item)
        if key.version == version_key(ref):
            return cls(version=read_version(item), key=key)
        own = read_own()
        has_record = own is not None and "moved" not in own
        return cls(version=read_version(own) if has_record and own is not None else None, key=key)

    @property
    def is_delivered(self) -> bool:
        """Whether the version is recorded as delivered."""
        return self.version is not None and self.version.state is State.DELIVERED

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows whether the version is delivered."""
        return self.version is not None and self.version.state is State.UNKNOWN

    def is_left_by(self, lease: Lease) -> bool:
        """Return whether nobody has leased the version, or ended it, since this lease was granted."""
        version = self.version
        return (
            version is not None
            and version.state.is_in_flight
            and (version.owner, version.attempts) == (lease.owner, lease.attempt)
        )

    def is_new_resend(self, ref: ObjectRef) -> bool:
        """Return whether an operator wants the version sent although it has ended: once for each request."""
        version, request = self.version, ref.operator
        if version is None or request is None or request.action is not Action.RESEND:
            return False
        is_new = not version.has_done(request) and not version.is_overruled(request)
        return version.state in _RESENDABLE and is_new and not self._is_fulfilled(request)

    def _is_fulfilled(self, request: OperatorRequest) -> bool:
        """Return whether it was delivered by an attempt that began after an operator asked for it.

        Two of them may have asked, or one has typed it twice, or redriven the message as well.
        """
        version, asked_at = self.version, request.attempts
        return (
            self.is_delivered and version is not None and asked_at is not None and version.attempts > asked_at
        )

    def refuse_ended(self, ref: ObjectRef) -> None:
        """Refuse a version that has reached a final state.

        Raises:
            NothingToSend: It has; the error says which.
        """
        if self.version is None:
            return
        if self.is_new_resend(ref):
            self._refuse_missing(ref)
            return
        if self.version.state is State.CANCELLED:
            raise Cancelled(
                f"The delivery of {ref} was cancelled: {self.version.reason}",
                hint="No action needed; `s3-to-sftp resend KEY --reason TEXT` sends it after all.",
            )
        request = ref.operator
        is_repeated = request is not None and (self.version.has_done(request) or self._is_fulfilled(request))
        if not identifies_one_put(ref) and not is_repeated:
            return
        match self.version.state:
            case State.DELIVERED:
                delivered = AlreadyDelivered(
                    f"{ref} has been delivered before.",
                    hint="No action needed: the event came more than once.",
                )
                delivered.has_action_left = self.version.has_action_left
                raise delivered
            case State.GONE:
                raise AlreadyGone(
                    f"{ref} is recorded as gone: {self.version.reason}",
                    hint="No action needed. Put the object again if it is wanted.",
                )
            case State.SUPERSEDED:
                raise superseded_error(ref)
            case State.SKIPPED:
                raise Skipped(
                    f"{ref} was skipped: {self.version.reason}",
                    hint="No action needed; `s3-to-sftp resend KEY --reason TEXT` tries it again.",
                )

    def _refuse_missing(self, ref: ObjectRef) -> None:
        """Refuse to send again what was moved or deleted after its delivery.

        Raises:
            MovedAfterDelivery: It was.
        """
        after = self.version.after if self.version is not None else None
        if after is None or after.text("state") not in _TAKEN_AWAY or after.text("action") == "tag":
            return
        bucket, key, version_id = (after.text(name) for name in ("bucket", "key", "version_id"))
        if after.text("action") == "delete":
            raise MovedAfterDelivery(
                f"{ref} was deleted from S3 after its delivery, as the rules say.",
                hint="Put the object again: it is a new version, and is delivered.",
            )
        version = f" (version {version_id})" if version_id else ""
        query = f"?versionId={version_id}" if version_id else ""
        raise MovedAfterDelivery(
            f"{ref} was moved to s3://{bucket}/{key}{version} after its delivery, as the rules say.",
            hint="Copy it back under its key, and it is delivered again: aws s3api copy-object --bucket "
            f"{shlex.quote(ref.bucket)} --key {shlex.quote(ref.key)} --copy-source "
            f"{shlex.quote(f'{bucket}/{quote(key)}{query}')}",
        )

    def refuse_unknown(self, ref: ObjectRef) -> None:
        """Refuse to send what may be at the partner, unless an operator redrives it.

        Raises:
            OutcomeUnknown: As it was recorded.
        """
        is_wanted = ref.resend or self.is_new_resend(ref)
        if self.version is not None and self.is_unknown and not is_wanted:
            raise OutcomeUnknown(self.version.reason, hint=self.version.hint)

    def refuse_leased_version(self, ref: ObjectRef, now: float) -> None:
        """Refuse a version that another invocation is sending.

        Raises:
            LeaseHeld: A lease on it is running.
        """
        if self.version is not None and self.version.owner is not None:
            _refuse_running(ref, self.version.owner, self.version.lease_until - now)

    def refuse_leased_key(self, ref: ObjectRef, now: float) -> None:
        """Refuse a key of which another invocation is sending a version, this or another.

        Raises:
            LeaseHeld: A lease on it is running.
        """
        if self.key is not None and self.key.owner is not None:
            _refuse_running(ref, self.key.owner, self.key.lease_until - now)

    @property
    def may_be_renamed(self) -> bool:
        """Whether a RENAME of the version may have been sent, with an unknown result."""
        commit = self.version.commit if self.version is not None else None
        return commit is not None and commit.rename_unanswered

    def is_superseded(self, ref: ObjectRef) -> bool:
        """Return whether a newer version has reached COMMITTING, and this one is not there beside it."""
        is_older_one = self.key is not None and is_older(ref.padded_sequencer, self.key.committed)
        return is_older_one and not self._stands_beside_the_newer

    @property
    def _stands_beside_the_newer(self) -> bool:
        """Whether the data has a final name of its own: what belongs to it is still to be done."""
        commit = self.version.commit if self.version is not None else None
        newer = self.key.committed_path if self.key is not None else ""
        return bool(newer) and commit is not None and commit.is_renamed and commit.remote_path != newer

    def lease(
        self,
        ref: ObjectRef,
        *,
        owner: str,
        remote_path: str,
        temporary: str,
        until: float,
        account: str,
        now: float,
        plan: str = "",
    ) -> Lease:
        """Return the lease that these items allow, once nothing refuses it.

        Raises:
            LedgerError: Too many files of ours may exist at the partner.
        """
        version = self.version
        # After UNKNOWN, an operator has found that the partner has no file: it is sent from the start, unless
        # it is a file beside the data that was unknown.
        resumes = version is not None and (version.state is not State.UNKNOWN or version.has_data_at_partner)
        commit = version.commit_for(plan) if version is not None and resumes else None
        steps: Mapping[str, Commit] = {}
        if version is not None:
            steps = version.settled_steps  # what the partner may have seen, by whatever rules, or none
            if _is_same_plan(version, plan):
                plan, remote_path = version.plan, version.remote_path or remote_path
        checkpoint = None
        names = RemoteNames(self.key.names if self.key is not None else None, of=version_key(ref))
        names.is_listed = self.key is not None and self.key.is_listed
        if commit is not None:
            temporary = commit.temporary
        elif version is not None and resumes and version.remote_path == remote_path:
            checkpoint = version.checkpoint if _is_at(version.checkpoint, names, account) else None
            temporary = checkpoint.temporary if checkpoint is not None else temporary
        if len(names) >= _MAX_NAMES or names.stored_bytes >= _MAX_NAMES_BYTES:
            raise _too_many_names(ref, len(names))
        had_temporary = temporary in names and commit is None and checkpoint is None
        if temporary not in names:
            is_final = temporary == remote_path
            names.put(temporary, name_entry(ref, account=account, since=now, is_final=is_final))
        return Lease(
            ref=ref,
            owner=owner,
            remote_path=remote_path,
            temporary=temporary,
            attempt=version.attempts + 1 if version is not None else 1,
            until=until,
            checkpoint=checkpoint,
            commit=commit,
            names=names,
            account=account,
            last_modified=self.key.modified if self.key is not None else None,
            plan=plan,
            steps=steps,
            had_temporary=had_temporary,
        )


def _is_same_plan(version: VersionItem, plan: str) -> bool:
    """Return whether the version was planned with the rules that hold now: the first word says which."""
    return bool(plan) and version.plan.partition(" ")[0] == plan.partition(" ")[0]


def _is_at(checkpoint: Checkpoint | None, names: RemoteNames, account: str) -> bool:
    """Return whether the bytes may be at the account that the function sends to now.

    Not where rules gave their name to another version meanwhile.
    """
    if checkpoint is None or names.is_of_another(checkpoint.temporary):
        return False
    entry = names.get(checkpoint.temporary)
    return entry is None or not entry.server or not account or entry.server == account


def superseded_error(ref: ObjectRef) -> Superseded:
    """Return the error of a version that is older than one that was sent, or is about to be."""
    return Superseded(
        f"{ref} is older than the version that was sent, or is about to be.",
        hint="No action needed: the events came in another order than the objects.",
    )


def _too_many_names(ref: ObjectRef, count: int) -> LedgerError:
    return LedgerError(
        f"{count} files of earlier deliveries of {ref} may still exist at the partner, whose server does not "
        "let them be removed.",
        hint="Ask the partner to remove them and to allow REMOVE; the key's item in the ledger lists them "
        "under 'temporaries'. Then empty that map and redrive the message.",
        disposition=Disposition.PERMANENT,
    )


def _refuse_running(ref: ObjectRef, owner: str, rest: float) -> None:
    if rest > 0:
        raise LeaseHeld(
            f"{ref}, or another version of its key, is being sent by {owner}.",
            hint="No action needed: it will be sent after that.",
            retry_after=rest,
        )
