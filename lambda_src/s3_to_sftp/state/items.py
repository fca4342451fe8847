"""The items of the ledger: their keys, what they hold, and how they are checked when they are read.

Two kinds of item share one partition key, `object#<bucket>/<key>`:

- a version item for every announced version: its state, its lease, its checkpoint and its receipt
- one key item (sort key `key`): who holds the key's lease, the newest version that was about to get its final
  name, and the temporary names that may still exist at the partner

A third kind (sort key `file`) says which key a file belongs to, where several names may mean one file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from s3_to_sftp.operator_request import OperatorRequest
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Fields, Item, RawAttribute
from s3_to_sftp.state.commit_item import read_commit
from s3_to_sftp.state.ledger import WITHOUT_RULES, Checkpoint, Commit
from s3_to_sftp.state.remote_names import NameKind, RemoteName

KEY = "key"
"""Sort key of the key item."""

_DECISIONS = ("cancel", "confirm")
"""Actions of operators that end a version. The command writes them."""

ACTION_LEFT = ("pending", "copied")
"""States of `after` in which something is left to do."""

FILE = "file"
"""Sort key of the item of a file."""


class State(StrEnum):
    """How far the delivery of a version has come."""

    WAITING = "WAITING"
    """Announced, and not tried yet: no lease was granted, and nothing is at the partner."""
    SENDING = "SENDING"
    """Bytes are being sent, or the next invocation will send them. The final name is not in use."""
    STAGED = "STAGED"
    """All bytes are at the partner; a RENAME was refused, or not sent yet. The final name is not in use."""
    COMMITTING = "COMMITTING"
    """All bytes are at the partner; a RENAME may be on the wire, or may have happened."""
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"
    GONE = "GONE"
    UNKNOWN = "UNKNOWN"
    """A RENAME was not answered, and nothing visible at the partner shows whether it happened."""
    SKIPPED = "SKIPPED"
    """Something else had the final name, and the partner's rules say that it is not sent then."""
    CANCELLED = "CANCELLED"
    """An operator does not want it to be sent."""

    @property
    def is_in_flight(self) -> bool:
        """Whether the version has reached no final state yet."""
        return self in (State.WAITING, State.SENDING, State.STAGED, State.COMMITTING)


@dataclass(frozen=True, kw_only=True)
class VersionItem:
    """What the ledger knows of one version.

    Attributes:
        revision: Counts the writes to the item.
        attempts: Leases granted so far.
        owner: Who holds the lease; None when it was released.
        remote_path: The final name of the last attempt.
        checkpoint: Where to resume; None when the last attempt left none.
        commit: The complete file that may have been renamed.
        reason: Why it is in this state.
        hint: What a person can do about it.
        changed_at: When it came into this state, in seconds since 1970; None: not known.
        receipt: Of the last delivery; None: it was not delivered.
        earlier_receipts: Those before, the oldest first.
        operator_actions: What operators did or asked for, the oldest first.
        plan: What was planned for it, as `PlanFacts.as_text` writes it; empty: by default.
        steps: Files beside the data that were begun, by the id of their step.
        had_other_names: Whether the partner may have seen names that former rules have given it.
        after: What was done, or is left to do, with the object in S3 after its delivery; None: nothing.
    """

    state: State
    revision: int
    attempts: int
    owner: str | None
    lease_until: float
    remote_path: str | None
    checkpoint: Checkpoint | None
    commit: Commit | None
    reason: str
    hint: str
    changed_at: float | None = None
    receipt: RawAttribute | None = None
    earlier_receipts: tuple[RawAttribute, ...] = ()
    operator_actions: tuple[RawAttribute, ...] = ()
    plan: str = ""
    steps: Mapping[str, Commit] = field(default_factory=dict)
    had_other_names: bool = False
    after: RawAttribute | None = None

    @property
    def may_be_seen(self) -> bool:
        """Whether the partner may have seen a name that the plan gives."""
        commit = self.commit
        return bool(self.steps) or (commit is not None and (commit.rename_unanswered or commit.is_renamed))

    @property
    def is_under_way(self) -> bool:
        """Whether some or all of its bytes are at the partner, and it has no final state."""
        return self.state.is_in_flight and (self.checkpoint is not None or self.commit is not None)

    @property
    def has_action_left(self) -> bool:
        """Whether something is left to do with the object in S3."""
        return self.after is not None and self.after.text("state") in ACTION_LEFT

    @property
    def has_data_at_partner(self) -> bool:
        """Whether the data is known to have its final name."""
        return self.commit is not None and self.commit.is_renamed

    def commit_for(self, plan: str) -> Commit | None:
        """Return the commit for an attempt with this plan: it says if its file got its name without rules."""
        commit = self.commit
        if commit is None or not plan or self.plan or commit.plan:
            return commit
        is_begun = commit.rename_unanswered or commit.is_renamed
        return replace(commit, plan=WITHOUT_RULES) if is_begun else commit

    @property
    def settled_steps(self) -> Mapping[str, Commit]:
        """The steps that need not be made again: after UNKNOWN an operator has found that one must."""
        if self.state is not State.UNKNOWN:
            return self.steps
        return {name: step for name, step in self.steps.items() if step.is_renamed}

    def has_done(self, request: OperatorRequest) -> bool:
        """Return whether this request of an operator was carried out on the version before."""
        return any(action.text("id") == request.id for action in self.operator_actions)

    def is_overruled(self, request: OperatorRequest) -> bool:
        """Return whether an operator has cancelled or confirmed the version after this request."""
        return any(
            action.text("action") in _DECISIONS and action.number("at") >= request.at
            for action in self.operator_actions
        )


@dataclass(frozen=True, kw_only=True)
class KeyItem:
    """What the ledger knows of all versions of a key together.

    Attributes:
        revision: Counts the writes to the item.
        owner: Who holds the lease; None when it was released.
        committed: Padded sequencer of the newest version that reached COMMITTING (empty: none).
        committed_path: The final name that it was about to get (empty: not recorded, all versions have one).
        modified: Modification time of the file that reached it last, in seconds since 1970; None: not known.
        names: Files of ours that may exist at the partner.
    """

    revision: int
    owner: str | None
    lease_until: float
    committed: str
    modified: int | None
    names: Mapping[str, RemoteName]
    committed_path: str = ""


def partition_key(ref: ObjectRef) -> str:
    """Return the `pk` that all versions of the object share."""
    return f"object#{ref.bucket}/{ref.key}"


def version_key(ref: ObjectRef) -> str:
    """Return the `sk` of the version."""
    if _has_version_id(ref):
        return f"version#{ref.version_id}"
    return f"etag#{ref.etag or ''}#{(ref.sequencer or '').upper()}"


def identifies_one_put(ref: ObjectRef) -> bool:
    """Return whether no other put can look like this one.

    An ETag alone does not distinguish "the same event again" from "the old content put again".
    """
    return _has_version_id(ref) or bool(ref.sequencer)


def _has_version_id(ref: ObjectRef) -> bool:
    # Where versioning is suspended, every put replaces the version "null".
    return ref.version_id not in (None, "", "null")


def is_older(sequencer: str, than: str) -> bool:
    """Return whether the first padded sequencer is known to be older: without both there is no order."""
    return bool(sequencer and than and sequencer < than)


def instant(now: float) -> str:
    """Return the time as text that sorts chronologically."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def status_of(state: State, now: float) -> str:
    """Return the partition of the index `by-status` that lists versions in this state."""
    if state.is_in_flight:
        return "IN_FLIGHT"
    return f"{state}#{instant(now)[:10]}" if state is State.DELIVERED else state.value


def read_version(item: Item) -> VersionItem:
    """Read and check a version item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item)
    state = fields.one_of("state", State)
    owner = fields.optional_text("owner")
    committed = state in (State.STAGED, State.COMMITTING)
    commit = fields.map("commit") if committed else fields.optional_map("commit")
    checkpoint = fields.optional_map("checkpoint")
    return VersionItem(
        state=state,
        revision=fields.integer("revision"),
        attempts=fields.integer("attempts") if "attempts" in item else 0,
        owner=owner,
        lease_until=fields.number("lease_until") if owner is not None else 0,
        remote_path=fields.optional_text("remote_path"),
        checkpoint=_read_checkpoint(checkpoint) if checkpoint is not None else None,
        commit=read_commit(commit) if commit is not None else None,
        reason=fields.optional_text("reason") or "",
        hint=fields.optional_text("hint") or "",
        changed_at=_seconds(fields.optional_text("status_at")),
        receipt=fields.raw("receipt"),
        earlier_receipts=fields.raw_list("earlier_receipts"),
        operator_actions=fields.raw_list("operator_actions"),
        plan=fields.optional_text("plan") or "",
        steps=_read_steps(fields.optional_map("steps")),
        had_other_names="had_other_names" in item,
        after=fields.raw("after"),
    )


def _read_steps(fields: Fields | None) -> Mapping[str, Commit]:
    return {} if fields is None else {name: read_commit(step) for name, step in fields.maps()}


def _seconds(text: str | None) -> float | None:
    """Return the seconds since 1970 of an `instant`; None: there is none, or it cannot be read."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _read_checkpoint(fields: Fields) -> Checkpoint:
    return Checkpoint(
        temporary=fields.text("temporary"),
        offset=fields.integer("offset"),
        algorithm=fields.text("algorithm"),
        crc=fields.integer("crc"),
        rounds_without_progress=fields.integer("rounds_without_progress"),
        etag=fields.text("etag"),
        parts_crc=fields.optional_integer("parts_crc"),
        part_crc=fields.optional_integer("part_crc"),
        is_spread=fields.flag("is_spread"),
        refusals=fields.integer("refusals"),
    )


def read_key(item: Item) -> KeyItem:
    """Read and check a key item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item)
    owner = fields.optional_text("owner")
    return KeyItem(
        revision=fields.integer("revision"),
        owner=owner,
        lease_until=fields.number("lease_until") if owner is not None else 0,
        committed=fields.optional_text("committed") or "",
        committed_path=fields.optional_text("committed_path") or "",
        modified=fields.integer("modified") if "modified" in item else None,
        names={name: _read_name(entry) for name, entry in fields.map("temporaries").maps()},
    )


def _read_name(fields: Fields) -> RemoteName:
    return RemoteName(
        version=fields.text("version"),
        sequencer=fields.text("sequencer"),
        server=fields.text("server"),
        kind=fields.one_of("kind", NameKind),
        rename_pending=fields.flag("rename_pending"),
        since=fields.integer("since"),
    )


def name_entry(ref: ObjectRef, *, account: str, since: float, is_final: bool = False) -> RemoteName:
    """Return the key item's entry for the name that this version is written to."""
    return RemoteName(
        version=version_key(ref),
        sequencer=ref.padded_sequencer,
        server=account,
        kind=NameKind.FINAL if is_final else NameKind.TEMPORARY,
        since=int(since),
    )
