"""The items of the ledger: their keys, what they hold, and how they are checked when they are read.

These share one partition key, `object#<bucket>/<key>`:

- the key item (sort key `key`): the newest version that was about to get its final name, the names that may
  still exist at the partner, and the record of one version: its state, its lease, its checkpoint and its
  receipt. `version` says which: the one that was leased last, or announced first. So each step of a delivery
  is a write of one item, and one lease covers a version and its key.
- a version item for each other version, with its record. A version that is leased moves into the key item,
  and the one that was there moves out, in one transaction. `moved` is what is left in its item then.
- an item (sort key `leftovers`) that lists the key while names are left that nobody is working on

Another kind (sort key `file`) says which key a file belongs to, where several names may mean one file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from s3_to_sftp.operator_request import OperatorRequest
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Fields, Item, RawAttribute
from s3_to_sftp.state.commit_item import read_commit
from s3_to_sftp.state.ledger import BEGUN, WITHOUT_RULES, Checkpoint, Commit
from s3_to_sftp.state.write_id import WRITE_ID

KEY = "key"
"""Sort key of the key item."""

LEFTOVERS_LIST = "leftovers"
"""Sort key of the item that the index `by-status` lists while files of ours may be left at the partner."""

_OF_KEY = ("committed", "committed_path", "modified", "temporaries", "leftovers")
_OF_ITEM = ("pk", "sk", "revision", "version", "moved", WRITE_ID)

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
        stored_as: Sort key of the item that holds it: `key`, or its own.
        attributes: Of its record, as they are.
        revision: Counts the writes to that item.
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

    stored_as: str
    attributes: Item
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
        """The steps that need not be made again: after UNKNOWN an operator has found that one must.

        What was begun under its final name may stand there all the same.
        """
        if self.state is not State.UNKNOWN:
            return self.steps
        return {name: step for name, step in self.steps.items() if step.is_renamed or name == BEGUN}

    def has_done(self, request: OperatorRequest) -> bool:
        """Return whether this request of an operator was carried out on the version before."""
        return any(action.text("id") == request.id for action in self.operator_actions)

    def is_overruled(self, request: OperatorRequest) -> bool:
        """Return whether an operator has cancelled or confirmed the version after this request."""
        return any(
            action.text("action") in _DECISIONS and action.number("at") >= request.at
            for action in self.operator_actions
        )


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


def record_of(item: Item) -> Item:
    """Return the attributes of the version's record that an item holds, as they are."""
    return {name: value for name, value in item.items() if name not in (*_OF_KEY, *_OF_ITEM)}


def read_version(item: Item) -> VersionItem:
    """Read and check the record of a version, in whichever item it is.

    Raises:
        LedgerError: It is corrupt.
    """
    in_key_item = item.get("version", {}).get("S")
    fields = Fields(item, f"{item['pk']['S']} / {KEY} ({in_key_item})" if in_key_item else "")
    state = fields.one_of("state", State)
    owner = fields.optional_text("owner")
    committed = state in (State.STAGED, State.COMMITTING)
    commit = fields.map("commit") if committed else fields.optional_map("commit")
    checkpoint = fields.optional_map("checkpoint")
    remote_path = fields.optional_text("remote_path")
    return VersionItem(
        stored_as=fields.text("sk"),
        attributes=record_of(item),
        state=state,
        revision=fields.integer("revision"),
        attempts=fields.integer("attempts") if "attempts" in item else 0,
        owner=owner,
        lease_until=fields.number("lease_until") if owner is not None else 0,
        remote_path=remote_path,
        checkpoint=_read_checkpoint(checkpoint) if checkpoint is not None else None,
        commit=read_commit(commit, otherwise=remote_path) if commit is not None else None,
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
