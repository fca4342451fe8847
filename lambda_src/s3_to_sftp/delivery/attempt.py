"""An object under way: what is known of it from the lease to the receipt."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery_plan import DeliveryPlan, IfExists
from s3_to_sftp.s3.object_reader import ObjectReader
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease, SentContent
from s3_to_sftp.state.remote_names import NameKind


@dataclass
class UploadProgress:
    """How far the upload is, and what has happened to it.

    Attributes:
        resume: Where the file is resumed that is under the temporary name; None: at its beginning.
        stalled: Invocations in a row, before this one, that have brought it no further.
        fell_back: Whether what they had sent is lost.
        has_answered: Whether the partner has answered since its turn came: the connection is not too old.
        has_progress: Whether `resume` says more than the ledger does.
        was_interrupted: Whether a connection was lost on the way, and perhaps a probe's file left behind.
        one_stream: Whether it travels over one connection, because several were lost at once.
        reader: Reads the object that is being sent; None: not yet.
    """

    resume: Checkpoint | None = None
    stalled: int = 0
    fell_back: bool = False
    has_answered: bool = False
    has_progress: bool = False
    was_interrupted: bool = False
    one_stream: bool = False
    reader: ObjectReader | None = None

    @classmethod
    def from_lease(cls, lease: Lease) -> "UploadProgress":
        """Return what earlier invocations have left."""
        checkpoint = lease.checkpoint
        return cls(resume=checkpoint, stalled=checkpoint.rounds_without_progress if checkpoint else 0)


@dataclass
class Attempt:
    """An object under way.

    Attributes:
        lease: Changes when the upload starts over.
        started: By the clock of the delivery.
        progress: Of its upload.
        has_written: Whether something may have been written under the temporary name.
        may_use_connection: Whether its thread may talk to the partner: small objects share the connection
            of another thread.
        commit: Recorded: a RENAME may be sent.
        earlier_rename: Whether one of the same file was sent before, and not answered.
        is_published: Whether it has its final name.
        rename_answered: Whether the server has said OK to the RENAME that gave it this name.
        rename_sent: Whether a RENAME of this attempt may have been sent.
        deadline: Of the invocation; None where the object shares its thread.
        sent: What was sent in place of the object's bytes; None: they were.
        reserved: Temporary names of the files beside it, by the id of their step.
        own_files: Final names that an earlier delivery of the version has given, with bytes, where it is sent
            again on demand and the rules replace no file; None: not asked yet.
    """

    lease: Lease
    started: float
    plan: DeliveryPlan
    progress: UploadProgress = field(default_factory=UploadProgress)
    has_written: bool = False
    may_use_connection: bool = True
    commit: Commit | None = None
    earlier_rename: bool = False
    is_published: bool = False
    rename_answered: bool = False
    rename_sent: bool = False
    deadline: Deadline | None = None
    sent: SentContent | None = None
    reserved: dict[str, str] = field(default_factory=dict)
    own_files: Mapping[str, int | None] | None = None

    def replaces(self, path: str) -> bool:
        """Return whether a file that has this final name is replaced: by the rules, or because it is ours."""
        return self.plan.if_exists is IfExists.REPLACE or path in (self.own_files or ())

    def note_published(self, *, rename_answered: bool) -> None:
        """Note that the file has its final name: the server has said so, or it was found, or is assumed."""
        self.is_published = True
        self.rename_answered = rename_answered
        if self.commit is None:
            return
        names, temporary = self.lease.names, self.commit.temporary
        if temporary == self.commit.remote_path:  # nothing is left under it but the delivered file
            names.remove(temporary)
        elif temporary in names.given_again and (self.earlier_rename or not rename_answered):
            names.must_stay_unused(temporary)
        elif (entry := names.get(temporary)) and entry.kind is NameKind.BLOCKER:
            pass  # an earlier attempt has said so
        elif self.may_use_connection and (self.progress.was_interrupted or self.lease.attempt > 1):
            names.rename_resolved(temporary)  # what a probe has left is named after it: swept with it
        else:
            names.remove(temporary)

    def note_found(self, commit: Commit) -> None:
        """Note that the file of an earlier attempt has its final name."""
        self.commit = commit
        self.note_published(rename_answered=commit.is_renamed)
