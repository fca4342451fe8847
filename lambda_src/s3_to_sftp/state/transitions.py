"""How the ledger's items change: one function for each transition. Nothing here talks to DynamoDB."""

from collections.abc import Mapping
from dataclasses import replace

from s3_to_sftp.errors import DeliveryError, LedgerError
from s3_to_sftp.explanation import failure_fields
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import RawAttribute
from s3_to_sftp.state.commit_item import commit_fields
from s3_to_sftp.state.items import (
    KEY,
    LEFTOVERS_LIST,
    State,
    VersionItem,
    instant,
    partition_key,
    status_of,
    version_key,
)
from s3_to_sftp.state.key_item import IN_COMMIT, name_entry, name_in_commit
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.state.places import lease_in_key_item, record_change
from s3_to_sftp.state.remote_names import RemoteName
from s3_to_sftp.state.snapshot import Snapshot
from s3_to_sftp.state.update_expression import Change, Put

_KEPT_RECEIPTS = 50
_KEPT_ACTIONS = 100
"""Of one version: an item has at most 400 KB."""

IN_FLIGHT = (State.SENDING, State.STAGED, State.COMMITTING)
LEASE = ("owner", "lease_until")
FAILURE = ("reason", "hint", "error", "operation", "sftp_status")
"""Why an attempt failed, or was not made."""
OF_ONE_ATTEMPT = ("next_try", "progress")
"""What a lease, and a final state, make untrue."""
LEFTOVERS = "LEFTOVERS"
"""Partition of the index `by-status` that lists keys whose files may still exist at the partner."""
PARTNER_FIELDS = ("checkpoint", "commit", "plan", "steps")
NEWER = "A newer version of the key was sent, or is about to be."
NEWER_AFTER_ALL = f"{NEWER} This one had been sent as a whole, and may have had the final name before."


def lease_changes(lease: Lease, snapshot: Snapshot, now: float) -> tuple[Change, ...]:
    """Return the changes that grant the lease, on condition that the items are as in the snapshot."""
    version = snapshot.version
    put: Put = {
        "state": state_of(lease.commit),
        "owner": lease.owner,
        "lease_until": lease.until,
        "attempts": lease.attempt,
        "remote_path": lease.remote_path,
        "temporaries": entries(lease),
    }
    put |= plan_fields(lease)
    if lease.commit is not None:
        put["commit"] = commit_fields(lease.commit)
    if version is not None and version.plan and version.plan != lease.plan and version.may_be_seen:
        put["had_other_names"] = True
    if version is None:
        put |= announced(lease.ref, now)
    elif version.state is State.DELIVERED and version.receipt is not None:
        put["earlier_receipts"] = (*version.earlier_receipts, _dated_receipt(version))[-_KEPT_RECEIPTS:]
    if lease.ref.operator is not None and not (version and version.has_done(lease.ref.operator)):
        earlier = version.operator_actions if version is not None else ()
        put["operator_actions"] = (*earlier, lease.ref.operator.as_item())[-_KEPT_ACTIONS:]
    if version is None or not version.state.is_in_flight:
        # Not rewritten otherwise: every write to it goes to a single partition of the index.
        put |= _status(State.SENDING, now)
    kept = {
        "checkpoint": lease.checkpoint,
        "commit": lease.commit,
        "plan": lease.plan or None,
        "steps": lease.plan or lease.steps or None,
    }
    removed = [name for name, value in kept.items() if value is None]
    if version is not None and version.state is State.WAITING:
        removed += FAILURE  # what it waited for is over
    elif version is not None and version.state is State.DELIVERED:
        removed += ("receipt", "after")
    return lease_in_key_item(lease.ref, snapshot, put=put, removed=("hint", *OF_ONE_ATTEMPT, *removed))


def _dated_receipt(version: VersionItem) -> RawAttribute | None:
    # The item's time will be that of the next delivery.
    if version.receipt is None or version.changed_at is None:
        return version.receipt
    return version.receipt.with_number("at", version.changed_at)


def plan_fields(lease: Lease) -> Put:
    """Return what the version's item keeps of a plan: nothing of the default one.

    Steps of rules that were removed stay: the partner may have seen them.
    """
    if not lease.plan and not lease.steps:
        return {}
    steps: Put = {"steps": {name: commit_fields(step) for name, step in lease.steps.items()}}
    return {"plan": lease.plan, **steps} if lease.plan else steps


def state_of(commit: Commit | None) -> State:
    """Return the state of a version in flight, by whether its complete file is at the partner."""
    if commit is None:
        return State.SENDING
    may_be_published = commit.rename_unanswered or commit.is_renamed
    return State.COMMITTING if may_be_published else State.STAGED


def announced(ref: ObjectRef, now: float) -> Put:
    """Return what a new item keeps of the event."""
    known: Put = {
        "size": ref.size,
        "sequencer": ref.sequencer,
        "etag": ref.etag,
        "event_time": ref.event_time,
    }
    return {"first_seen": instant(now), **{name: value for name, value in known.items() if value is not None}}


def explanation(reason: str, hint: str = "", error: Exception | None = None) -> tuple[Put, tuple[str, ...]]:
    """Return the attributes that say why an attempt failed, and those that would say something else."""
    put: Put = {"reason": reason, **({"hint": hint} if hint else {})}
    if error is not None:
        put.update(failure_fields(error).items())
    return put, tuple(name for name in FAILURE if name not in put)


def terminal_changes(
    ref: ObjectRef,
    snapshot: Snapshot,
    state: State,
    now: float,
    reason: str,
    hint: str,
    error: Exception | None = None,
    *,
    forgotten: tuple[str, ...] = (),
) -> tuple[Change, ...]:
    """Return the changes that give a version without a lease its final state.

    Args:
        ref: The version.
        snapshot: What is known of it; the changes are made on condition that it is still so.
        state: The final one.
        now: Seconds since 1970.
        reason: Why it has this state.
        hint: What a person can do about it.
        error: The same as an exception.
        forgotten: Attributes that are removed besides.
    """
    new = announced(ref, now) if snapshot.version is None else {}
    why, removed = explanation(reason, hint, error)
    put: Put = {**why, **new, **in_state(state, now)}
    return record_change(ref, snapshot, put=put, removed=(*LEASE, *OF_ONE_ATTEMPT, *removed, *forgotten))


def deferral_after_attempt(ref: ObjectRef, error: DeliveryError, next_try: float) -> Change:
    """Return the change for a version that was just tried: it is in flight, and has no lease."""
    why, removed = explanation(error.reason, error.hint, error)
    return Change(
        pk=partition_key(ref),
        sk=KEY,
        expected={"version": version_key(ref), "owner": None, "state": (State.WAITING, *IN_FLIGHT)},
        put={**why, "next_try": next_try},
        remove=removed,
    )


def deferral(
    ref: ObjectRef,
    snapshot: Snapshot,
    error: DeliveryError,
    *,
    now: float,
    next_try: float,
    was_tried: bool,
) -> tuple[Change, ...]:
    """Return the changes for a version that will be tried later; none where there is nothing to record.

    Args:
        ref: The version.
        snapshot: What is known of it; the changes are made on condition that it is still so.
        error: Why it was not delivered.
        now: Seconds since 1970.
        next_try: When it will be retried, in seconds since 1970.
        was_tried: Whether the error is one of an attempt; otherwise it says what the version waits for.
    """
    version = snapshot.version
    put: Put = {"next_try": next_try}
    why, removed = explanation(error.reason, error.hint, error)
    if version is None:
        put |= {**why, **announced(ref, now), **in_state(State.WAITING, now)}
    elif version.owner is not None and version.lease_until > now:
        return ()  # another invocation is sending it
    elif version.state.is_in_flight:
        # A refusal of the server is worth more than what the next attempt has to wait for.
        if was_tried or version.state is State.WAITING:
            put |= why
        else:
            removed = ()
    elif version.state is State.FAILED:  # redriven
        has_begun = version.commit is not None or version.checkpoint is not None
        put |= {**why, **in_state(state_of(version.commit) if has_begun else State.WAITING, now)}
    else:
        return ()
    return record_change(ref, snapshot, put=put, removed=removed)


def step_change(
    lease: Lease,
    put: Put,
    *,
    removed: tuple[str, ...] = (),
    states: tuple[State, ...] = IN_FLIGHT,
) -> Change:
    """Return a change by the lease holder, with all names: the attempt is its fencing token."""
    return held_change(lease, {"temporaries": entries(lease), **put}, removed=removed, states=states)


def held_change(
    lease: Lease,
    put: Put,
    *,
    removed: tuple[str, ...] = (),
    states: tuple[State, ...] = IN_FLIGHT,
) -> Change:
    """Return the same without the names; with nothing to put it checks that the lease is held."""
    return Change(
        pk=partition_key(lease.ref),
        sk=KEY,
        expected={
            "version": version_key(lease.ref),
            "owner": lease.owner,
            "attempts": lease.attempt,
            "state": states,
        },
        put=put,
        remove=removed,
    )


def release_changes(
    lease: Lease,
    put: Put,
    now: float,
    *,
    removed: tuple[str, ...] = (),
    states: tuple[State, ...] = IN_FLIGHT,
) -> tuple[Change, ...]:
    """Return the changes that end the lease, and list the key where files are left."""
    if not len(lease.names) and not lease.names.is_listed:
        return (step_change(lease, put, removed=(*LEASE, *removed), states=states),)
    listed: Put = {"leftovers": True} if len(lease.names) else {}
    unlisted = () if listed else ("leftovers",)
    return (
        step_change(lease, {**put, **listed}, removed=(*LEASE, *removed, *unlisted), states=states),
        Change(
            pk=partition_key(lease.ref),
            sk=LEFTOVERS_LIST,
            expected={},
            put={**_listed(now), "temporaries": entries(lease)} if listed else {},
            remove=() if listed else ("status", "status_at", "temporaries"),
        ),
    )


def _listed(now: float) -> Put:
    return {"status": LEFTOVERS, "status_at": instant(now)}


def entries(lease: Lease) -> dict[str, Mapping[str, object]]:
    """Return the names of the lease as the ledger keeps them."""
    return {
        name: {field: value for field, value in vars(entry).items() if field != "path" or value}
        for name, entry in lease.names.items()
    }


def commit_put(lease: Lease, commit: Commit, now: float) -> Put:
    """Return what is recorded before a RENAME, once: a name, and what it may have, say it for one another.

    An item of more than 1 KB costs twice as much to write.
    """
    entry = name_entry_before_rename(lease, commit, now)
    lease.names.put(commit.temporary, entry)
    fields = commit_fields(commit)
    del fields["rename_unanswered"]  # it counts as unanswered
    if not commit.is_renamed:
        del fields["is_renamed"]
    if commit.remote_path == lease.remote_path:
        del fields["remote_path"]
    put: Put = {"state": State.COMMITTING, "commit": fields, "remote_path": lease.remote_path}
    names = entries(lease)
    sequencer = lease.ref.padded_sequencer
    if sequencer:
        put["committed"] = sequencer
        own = version_key(lease.ref)
        if entry == name_in_commit(commit, version=own, sequencer=sequencer, since=entry.since):
            names = {name: each for name, each in names.items() if name != commit.temporary}
            names[IN_COMMIT] = {"since": entry.since}
    if lease.plan:
        put["committed_path"] = commit.remote_path
    if commit.modified is not None:
        put["modified"] = commit.modified
    return {**put, **plan_fields(lease), "temporaries": names}


def name_entry_before_rename(lease: Lease, commit: Commit, now: float) -> RemoteName:
    """Return the key item's entry for a temporary name that is about to be renamed."""
    entry = lease.names.get(commit.temporary) or name_entry(lease.ref, account=lease.account, since=now)
    is_renamed = commit.temporary != commit.remote_path
    return replace(entry, server=commit.server.account, rename_pending=is_renamed, since=int(now))


def in_state(state: State, now: float) -> Put:
    """Return the attributes of a version in this state, those of the index included."""
    return {"state": state, **_status(state, now)}


def lease_lost_error(lease: Lease) -> LedgerError:
    """Return the error of an invocation that writes without holding the lease."""
    return LedgerError(
        f"The lease on {lease.ref} (attempt {lease.attempt} of {lease.owner}) is lost or has expired.",
        hint="It will be retried. If this happens often, invocations outlive their leases.",
    )


def contention_error(ref: ObjectRef) -> LedgerError:
    """Return the error of a write that lost against others too often."""
    return LedgerError(
        f"Too many functions write to the ledger's items of {ref} at the same time.",
        hint="It will be retried.",
    )


def _status(state: State, now: float) -> Put:
    return {"status": status_of(state, now), "status_at": instant(now)}
