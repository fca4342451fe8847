"""The ledger in a DynamoDB table.

A step of a delivery is one write of one item, that of the key, which holds the record of the version that is
being sent. Only when another version of the key is leased do records move, in a transaction: no reader sees
one twice, or half of it. A write whose condition fails returns the item as it is, and the decision is made
again from that. Nothing is read, but for the own item of a version whose record is not in the key's item.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.commit_item import commit_fields
from s3_to_sftp.state.file_claim import claim_change, condition_of_claim
from s3_to_sftp.state.items import KEY, State, partition_key, read_version, version_key
from s3_to_sftp.state.key_item import name_entry
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease, TerminalState
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.snapshot import Snapshot, superseded_error
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.transitions import (
    FAILURE,
    IN_FLIGHT,
    NEWER,
    NEWER_AFTER_ALL,
    OF_ONE_ATTEMPT,
    PARTNER_FIELDS,
    commit_put,
    contention_error,
    deferral,
    deferral_after_attempt,
    explanation,
    held_change,
    in_state,
    lease_changes,
    lease_lost_error,
    plan_fields,
    release_changes,
    state_of,
    step_change,
    terminal_changes,
)
from s3_to_sftp.state.update_expression import Change, Put

_MAX_ATTEMPTS = 8
"""Each write of another function in between needs one more; more than three need many functions."""


class DynamoLedger:
    """A DynamoDB table with the keys `pk` and `sk`, TTL on `expires`, and the index `by-status`.

    Thread-safe.

    Args:
        client: A low-level DynamoDB client.
        table: The name of the table.
        receipts_for_seconds: DynamoDB deletes items untouched for so long; longer than any message may live.
        clock: Seconds since 1970.
        sleep: Waits between attempts when others write to the same items.
    """

    is_persistent = True

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        receipts_for_seconds: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = Table(client, table, kept_for_seconds=receipts_for_seconds, clock=clock, sleep=sleep)
        self._clock = clock

    def acquire(
        self,
        ref: ObjectRef,
        *,
        owner: str,
        remote_path: str,
        temporary: str,
        until: float,
        account: str = "",
        plan: str = "",
    ) -> Lease:
        """See `Ledger`. One write for a key's first version, two and a read for others."""
        snapshot = Snapshot()
        for _ in range(_MAX_ATTEMPTS):
            now = self._clock()
            snapshot.refuse_ended(ref)
            snapshot.refuse_leased_version(ref, now)
            if snapshot.is_superseded(ref):
                if snapshot.is_delivered:  # an operator wants it sent again: the receipt stays as it is
                    raise superseded_error(ref)
                reason = NEWER_AFTER_ALL if snapshot.may_be_renamed else NEWER
                refused = self._table.write(
                    *terminal_changes(ref, snapshot, State.SUPERSEDED, now, reason, "")
                )
                if not refused:
                    raise superseded_error(ref)
            else:
                snapshot.refuse_unknown(ref)
                snapshot.refuse_leased_key(ref, now)
                lease = snapshot.lease(
                    ref,
                    owner=owner,
                    remote_path=remote_path,
                    temporary=temporary,
                    until=until,
                    account=account,
                    now=now,
                    plan=plan,
                )
                refused = self._table.write(*lease_changes(lease, snapshot, now))
                if not refused:
                    return lease
            snapshot = self._snapshot(ref, refused)
        raise contention_error(ref)

    def committed(self, ref: ObjectRef) -> tuple[Commit, str] | None:
        """See `Ledger`. One read, or two."""
        item = find_record(self._table, partition_key(ref), version_key(ref))
        version = read_version(item) if item is not None else None
        commit = version.commit if version is not None else None
        if version is None or commit is None or not (commit.is_renamed or commit.rename_unanswered):
            return None
        return commit, version.plan

    def start_over(self, lease: Lease, *, temporary: str) -> Lease:
        """See `Ledger`."""
        is_final = temporary == lease.remote_path
        entry = name_entry(lease.ref, account=lease.account, since=self._clock(), is_final=is_final)
        lease.names.put(temporary, entry)
        put: Put = {"state": State.SENDING, "remote_path": lease.remote_path}
        started_over = lease.started_over(temporary)
        put |= plan_fields(started_over)
        self._write(lease, step_change(lease, put, removed=("checkpoint", "commit")))
        return started_over

    def commit(self, lease: Lease, commit: Commit) -> None:
        """See `Ledger`."""
        if self._clock() >= lease.until:
            raise lease_lost_error(lease)
        # No other function can have committed a newer version while we hold the lease.
        refused = self._table.write(held_change(lease, commit_put(lease, commit, self._clock())))
        if not refused:
            return
        snapshot = self._snapshot(lease.ref, refused)
        if not snapshot.is_superseded(lease.ref):
            raise lease_lost_error(lease)
        if snapshot.is_left_by(lease):
            forgotten = PARTNER_FIELDS
            ended = terminal_changes(
                lease.ref, snapshot, State.SUPERSEDED, self._clock(), NEWER, "", forgotten=forgotten
            )
            self._table.write(*ended)
        raise superseded_error(lease.ref)

    def claim_file(self, lease: Lease, same_file: str, *, account: str, number: str = "") -> None:
        """See `Ledger`. One write for a new file, two for others."""
        item: Item | None = None
        for _ in range(_MAX_ATTEMPTS):
            condition = condition_of_claim(self._table, lease, item, number)
            refused = self._table.write(claim_change(lease, same_file, account, item, number), *condition)
            if not refused:
                return
            item = refused.get(0, item)
        raise contention_error(lease.ref)

    def note_step(self, lease: Lease, step: str, file: Commit) -> None:
        """See `Ledger`."""
        put: Put = {("steps", step): commit_fields(file)}
        if not lease.plan:  # of rules that were removed: the item may have no map yet
            steps = {**lease.steps, step: file}
            put = {"steps": {name: commit_fields(each) for name, each in steps.items()}}
        self._write(lease, step_change(lease, put))

    def note_names(self, lease: Lease) -> None:
        """See `Ledger`."""
        self._write(lease, step_change(lease, {}))

    def note_progress(self, lease: Lease, *, sent: int, total: int) -> None:
        """See `Ledger`."""
        progress = {"bytes": sent, "total": total, "at": round(self._clock(), 3)}
        self._table.write(held_change(lease, {"progress": progress}, states=(State.SENDING,)))

    def stage(self, lease: Lease, commit: Commit, *, reason: str, error: Exception | None = None) -> None:
        """See `Ledger`."""
        why, removed = _explained(reason, error)
        put: Put = {"state": state_of(commit), "commit": commit_fields(commit), **why, **plan_fields(lease)}
        self._end_lease(lease, put, removed=removed)

    def delivered(
        self, lease: Lease, receipt: Mapping[str, Any], *, after: Mapping[str, Any] | None = None
    ) -> None:
        """See `Ledger`."""
        now = self._clock()
        left: Put = {} if after is None else {"after": after}
        changes = release_changes(
            lease,
            {"receipt": receipt, **left, **in_state(State.DELIVERED, now)},
            now,
            removed=(*PARTNER_FIELDS, *FAILURE, *OF_ONE_ATTEMPT),
            states=(State.COMMITTING,),
        )
        refused = self._table.write(*changes, *lease.with_receipt)
        if refused and min(refused) >= len(changes):  # somebody has changed that by hand
            refused = self._table.write(*changes)
        if not refused:
            return
        version = self._snapshot(lease.ref, refused).version
        # After our rename the lease expired, and another function has recorded the delivery: that is fine.
        if version is None or version.state is not State.DELIVERED:
            raise lease_lost_error(lease)

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """See `Ledger`."""
        put: Put = {"checkpoint": vars(checkpoint)}
        if self._end_lease(lease, put, removed=FAILURE, states=(State.SENDING,)):
            raise lease_lost_error(lease)

    def release(self, lease: Lease, *, reason: str, error: Exception | None = None) -> None:
        """See `Ledger`."""
        why, removed = _explained(reason, error)
        self._end_lease(lease, why, removed=removed)  # a lost lease needs no release

    def note_deferred(
        self, ref: ObjectRef, error: DeliveryError, *, next_try: float, was_tried: bool
    ) -> None:
        """See `Ledger`. One write; a second request where the item is not as expected."""
        next_try = round(next_try, 3)
        about: dict[str, Any] = {"next_try": next_try, "was_tried": was_tried}
        changes: tuple[Change, ...]
        if was_tried:
            changes = (deferral_after_attempt(ref, error, next_try),)
        else:
            changes = deferral(ref, Snapshot(), error, now=self._clock(), **about)
        for _ in range(_MAX_ATTEMPTS):
            if not changes:
                return
            refused = self._table.write(*changes)
            if not refused:
                return
            changes = deferral(ref, self._snapshot(ref, refused), error, now=self._clock(), **about)
        raise contention_error(ref)

    def record_outcome(
        self,
        ref: ObjectRef,
        *,
        state: TerminalState,
        reason: str,
        hint: str,
        lease: Lease | None = None,
        error: Exception | None = None,
    ) -> None:
        """See `Ledger`."""
        end = State(state)
        if lease is not None:
            why, removed = explanation(reason, hint, error)
            final = {**why, **in_state(end, self._clock())}
            # What the partner may have seen of it is not forgotten: no other object must be taken for it.
            forgotten = [name for name in PARTNER_FIELDS if name != "steps" or not lease.steps]
            removed = (*forgotten, *OF_ONE_ATTEMPT, *removed)
            if self._end_lease(lease, final, removed=removed):
                raise lease_lost_error(lease)
            return
        snapshot = Snapshot()
        for _ in range(_MAX_ATTEMPTS):
            now = self._clock()
            if snapshot.version is None or snapshot.version.state is not end:
                snapshot.refuse_ended(ref)
            snapshot.refuse_leased_version(ref, now)
            if snapshot.is_new_resend(ref) and not snapshot.is_unknown:
                return  # that it was delivered, or cancelled, stays true
            changes = terminal_changes(ref, snapshot, end, now, reason, hint, error)
            refused = self._table.write(*changes)
            if not refused:
                return
            snapshot = self._snapshot(ref, refused)
        raise contention_error(ref)

    def _snapshot(self, ref: ObjectRef, refused: Mapping[int, Item | None]) -> Snapshot:
        """Return what is known after a refused write, whose first change is of the key's item."""
        pk, own = partition_key(ref), version_key(ref)
        item = refused[0] if 0 in refused else self._table.read(pk, KEY)
        return Snapshot.of(ref, item, lambda: self._table.read(pk, own))

    def _write(self, lease: Lease, change: Change) -> None:
        if self._table.write(change):
            raise lease_lost_error(lease)

    def _end_lease(
        self,
        lease: Lease,
        put: Put,
        *,
        removed: tuple[str, ...] = (),
        states: tuple[State, ...] = IN_FLIGHT,
    ) -> Mapping[int, Item | None]:
        """Write the change and end the lease; return the items that show that it is lost."""
        return self._table.write(*release_changes(lease, put, self._clock(), removed=removed, states=states))


def _explained(reason: str, error: Exception | None) -> tuple[Put, tuple[str, ...]]:
    return explanation(reason, error.hint if isinstance(error, DeliveryError) else "", error)
