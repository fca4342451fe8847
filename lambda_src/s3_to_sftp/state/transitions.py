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
    KeyItem,
    State,
    VersionItem,
    instant,
    name_entry,
    partition_key,
    status_of,
    version_key,
)
from s3_to_sftp.state.ledger import Commit, Lease
from s3_to_sftp.state.remote_names import RemoteName
from s3_to_sftp.state.snapshot import Snapshot
from s3_to_sftp.state.update_expression import Change, Path, Put

_KEPT_RECEIPTS = 50
_KEPT_ACTIONS = 100
"""Of one version: an item has at most 400 KB."""

_MAX_ENTRIES = 50
"""More changed names than this are written as one map: an update expression has at most 4 KB."""

IN_FLIGHT = (State.SENDING, State.STAGED, State.COMMITTING)
LEASE = ("owner", "lease_until")
FAILURE = ("reason", "hint", "error", "operation", "sftp_status")
"""Why an attempt failed, or was not made."""
OF_ONE_ATTEMPT = ("next_try", "progress")
"""What a lease, and a final state, make untrue."""
KEY_LEASE = (*LEASE, "in_flight")
LEFTOVERS = "LEFTOVERS"
"""Partition of the index `by-status` that lists keys whose files may still exist at the partner."""
PARTNER_FIELDS = ("temporary", "checkpoint", "commit", "plan", "steps")
NEWER = "A newer version of the key was sent, or is about to be."
NEWER_AFTER_ALL = f"{NEWER} This one had been sent as a whole, and may have had the final name before."


def lease_changes(lease: Lease, snapshot: Snapshot, now: float) -> tuple[Change, Change]:
    """Return the changes that grant the lease, on condition that the items are as in the snapshot."""
    version, key = snapshot.version, snapshot.key
    put: Put = {
        "state": state_of(lease.commit),
        "owner": lease.owner,
        "lease_until": lease.until,
        "attempts": lease.attempt,
        "remote_path": lease.remote_path,
        "temporary": lease.temporary,
    }
    put |= plan_fields(lease)
    if version is not None and version.plan and version.plan != lease.plan and version.may_be_seen:
        put["had_other_names"] = True
    if version is not None and lease.commit is not None and lease.commit != version.commit:
        put["commit"] = commit_fields(lease.commit)
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
    return (
        Change(
            pk=partition_key(lease.ref),
            sk=version_key(lease.ref),
            expected=_unchanged(version),
            put=put,
            remove=("hint", *OF_ONE_ATTEMPT, *removed),
        ),
        Change(
            pk=partition_key(lease.ref),
            sk=KEY,
            expected=_unchanged(key),
            put={
                "owner": lease.owner,
                "lease_until": lease.until,
                "in_flight": version_key(lease.ref),
                "temporaries": _entries(lease),
            },
        ),
    )


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


def terminal_change(
    ref: ObjectRef,
    version: VersionItem | None,
    state: State,
    now: float,
    reason: str,
    hint: str,
    error: Exception | None = None,
) -> Change:
    """Return the change that gives a version without a lease its final state."""
    new = announced(ref, now) if version is None else {}
    why, removed = explanation(reason, hint, error)
    return Change(
        pk=partition_key(ref),
        sk=version_key(ref),
        expected=_unchanged(version),
        put={**why, **new, **in_state(state, now)},
        remove=(*LEASE, *OF_ONE_ATTEMPT, *removed),
    )


def deferral_after_attempt(ref: ObjectRef, error: DeliveryError, next_try: float) -> Change:
    """Return the change for a version that was just tried: its item is in flight, and has no lease."""
    why, removed = explanation(error.reason, error.hint, error)
    return Change(
        pk=partition_key(ref),
        sk=version_key(ref),
        expected={"owner": None, "state": (State.WAITING, *IN_FLIGHT)},
        put={**why, "next_try": next_try},
        remove=removed,
    )


def deferral(
    ref: ObjectRef,
    version: VersionItem | None,
    error: DeliveryError,
    *,
    now: float,
    next_try: float,
    was_tried: bool,
) -> Change | None:
    """Return the change for a version that will be tried later; None: there is nothing to record.

    Args:
        ref: The version.
        version: Its item.
        error: Why it was not delivered.
        now: Seconds since 1970.
        next_try: When it will be retried, in seconds since 1970.
        was_tried: Whether the error is one of an attempt; otherwise it says what the version waits for.
    """
    put: Put = {"next_try": next_try}
    why, removed = explanation(error.reason, error.hint, error)
    if version is None:
        put |= {**why, **announced(ref, now), **in_state(State.WAITING, now)}
    elif version.owner is not None and version.lease_until > now:
        return None  # another invocation is sending it
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
        return None
    return Change(
        pk=partition_key(ref), sk=version_key(ref), expected=_unchanged(version), put=put, remove=removed
    )


def version_change(
    lease: Lease,
    put: Put,
    *,
    removed: tuple[str, ...] = (),
    states: tuple[State, ...] = IN_FLIGHT,
) -> Change:
    """Return a change of the version's item by the lease holder: the attempt is its fencing token."""
    return Change(
        pk=partition_key(lease.ref),
        sk=version_key(lease.ref),
        expected={"owner": lease.owner, "attempts": lease.attempt, "state": states},
        put=put,
        remove=removed,
    )


def key_change(lease: Lease, put: Put | None = None, *, removed: tuple[Path, ...] = ()) -> Change:
    """Return a change of the key's item by the lease holder, with every change of its names."""
    changed, removed_names = lease.names.changes()
    if len(changed) + len(removed_names) > _MAX_ENTRIES:
        names: Put = {"temporaries": _entries(lease)}
        removed_names = []
    else:
        names = {("temporaries", name): vars(entry) for name, entry in changed.items()}
    return Change(
        pk=partition_key(lease.ref),
        sk=KEY,
        expected={"owner": lease.owner, "in_flight": version_key(lease.ref)},
        put={**(put or {}), **names},
        remove=(*removed, *(("temporaries", name) for name in removed_names)),
    )


def _entries(lease: Lease) -> dict[str, Mapping[str, object]]:
    return {name: vars(entry) for name, entry in lease.names.items()}


def key_release(lease: Lease, now: float) -> Change:
    """Return the change of the key's item that ends the lease and lists the key where files are left."""
    if len(lease.names):
        listed: Put = {"status": LEFTOVERS, "status_at": instant(now)}
        return key_change(lease, listed, removed=KEY_LEASE)
    return key_change(lease, removed=(*KEY_LEASE, "status", "status_at"))


def name_entry_before_rename(lease: Lease, commit: Commit, now: float) -> RemoteName:
    """Return the key item's entry for a temporary name that is about to be renamed."""
    entry = lease.names.get(commit.temporary) or name_entry(lease.ref, account=lease.account, since=now)
    is_renamed = commit.temporary != commit.remote_path
    return replace(entry, server=commit.server.account, rename_pending=is_renamed)


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


def _unchanged(item: VersionItem | KeyItem | None) -> dict[Path, object]:
    return {"pk": None} if item is None else {"revision": item.revision}


def _status(state: State, now: float) -> Put:
    return {"status": status_of(state, now), "status_at": instant(now)}
