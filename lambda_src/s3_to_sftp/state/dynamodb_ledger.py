"""The ledger in a DynamoDB table.

A transition writes the version's item and the key's in one transaction: whoever looks sees both or none.
Nothing is ever read: a write that expects other items than there are comes back with them, and what to do is
decided anew.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.items import Item, State, commit_fields
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease, TerminalState
from s3_to_sftp.state.table import Change, LedgerTable, Put
from s3_to_sftp.state.transitions import (
    AT_THE_PARTNER,
    LEASE,
    NEWER,
    NEWER_AFTER_ALL,
    UNDER_WAY,
    Snapshot,
    claimed,
    committed,
    in_state,
    key_change,
    key_release,
    lost,
    name_of,
    refuse_claimed,
    settled,
    state_of,
    superseded,
    taken,
    too_many,
    version_change,
)

_LOOKS = 8
"""A look more for every write of others in between. More than three takes a crowd."""


class DynamoLedger:
    """A DynamoDB table with the keys `pk` and `sk`, TTL on `expires`, and the index `by-status`.

    Takes several threads.

    Args:
        client: A low-level DynamoDB client.
        table: Its name.
        receipts_for_seconds: Items untouched for so long are deleted; longer than any message may live.
        clock: Seconds since 1970.
        sleep: Waits between tries when others write to the same items.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        receipts_for_seconds: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = LedgerTable(
            client, table, kept_for_seconds=receipts_for_seconds, clock=clock, sleep=sleep
        )
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
    ) -> Lease:
        """See `Ledger`. One write for a key's first version, up to three for others."""
        seen = Snapshot()
        for _ in range(_LOOKS):
            now = self._clock()
            seen.refuse_settled(ref)
            seen.refuse_leased_version(ref, now)
            if seen.is_superseded(ref):
                reason = NEWER_AFTER_ALL if seen.may_be_renamed else NEWER
                refused = self._table.write(settled(ref, seen.version, State.SUPERSEDED, now, reason, ""))
                if not refused:
                    raise superseded(ref)
            else:
                seen.refuse_unknown(ref)
                seen.refuse_leased_key(ref, now)
                lease = seen.lease(
                    ref,
                    owner=owner,
                    remote_path=remote_path,
                    temporary=temporary,
                    until=until,
                    account=account,
                    now=now,
                )
                refused = self._table.write(*taken(lease, seen, now))
                if not refused:
                    return lease
            seen = seen.refreshed(refused)
        raise too_many(ref)

    def start_over(self, lease: Lease, *, temporary: str) -> Lease:
        """See `Ledger`."""
        lease.names.put(temporary, name_of(lease.ref, account=lease.account, since=self._clock()))
        self._write(
            lease,
            version_change(
                lease, {"state": State.SENDING, "temporary": temporary}, removed=("checkpoint", "commit")
            ),
            key_change(lease),
        )
        return lease.started_over(temporary)

    def commit(self, lease: Lease, commit: Commit) -> None:
        """See `Ledger`."""
        if self._clock() >= lease.until:
            raise lost(lease)
        lease.names.put(commit.temporary, committed(lease, commit, self._clock()))
        about_key: Put = {}
        if sequencer := lease.ref.padded_sequencer:
            about_key["committed"] = sequencer
        if commit.modified is not None:
            about_key["modified"] = commit.modified
        refused = self._table.write(
            version_change(
                lease,
                {
                    "state": State.COMMITTING,
                    "temporary": commit.temporary,
                    "commit": {**commit_fields(commit), "rename_unanswered": True},
                },
            ),
            # Since we got the lease nobody can have committed a newer one: it is ours alone.
            key_change(lease, about_key),
        )
        if not refused:
            lease.names.written()
            return
        if Snapshot().refreshed(refused).is_superseded(lease.ref):
            ended = {"reason": NEWER, **in_state(State.SUPERSEDED, self._clock())}
            self._table.write(version_change(lease, ended, removed=(*LEASE, *AT_THE_PARTNER)))
            raise superseded(lease.ref)
        raise lost(lease)

    def claim_file(self, lease: Lease, same_file: str, *, account: str) -> None:
        """See `Ledger`. One write for a new file, two for others."""
        item: Item | None = None
        for _ in range(_LOOKS):
            refuse_claimed(lease, item)
            refused = self._table.write(claimed(lease, same_file, account, item))
            if not refused:
                return
            item = refused[0]
        raise too_many(lease.ref)

    def note_names(self, lease: Lease) -> None:
        """See `Ledger`."""
        self._write(lease, version_change(lease, {}), key_change(lease))

    def stage(self, lease: Lease, commit: Commit, *, reason: str) -> None:
        """See `Ledger`."""
        put: Put = {"state": state_of(commit), "commit": commit_fields(commit), "reason": reason}
        self._give_back(lease, put)

    def delivered(self, lease: Lease, receipt: Mapping[str, Any]) -> None:
        """See `Ledger`."""
        now = self._clock()
        refused = self._table.write(
            version_change(
                lease,
                {"receipt": receipt, **in_state(State.DELIVERED, now)},
                removed=(*LEASE, *AT_THE_PARTNER, "reason", "hint"),
                states=(State.COMMITTING,),
            ),
            key_release(lease, now),
        )
        if not refused:
            return
        version = Snapshot().refreshed(refused).version
        # We had renamed, the lease ran out, and another has found and recorded it: so it is.
        if version is None or version.state is not State.DELIVERED:
            raise lost(lease)

    def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """See `Ledger`."""
        put: Put = {"checkpoint": vars(checkpoint), "temporary": checkpoint.temporary}
        if self._give_back(lease, put, states=(State.SENDING,)):
            raise lost(lease)

    def release(self, lease: Lease, *, reason: str) -> None:
        """See `Ledger`."""
        self._give_back(lease, {"reason": reason})  # a lease that is lost cannot be given back

    def settle(
        self, ref: ObjectRef, *, state: TerminalState, reason: str, hint: str, lease: Lease | None = None
    ) -> None:
        """See `Ledger`."""
        end = State(state)
        if lease is not None:
            ended = {"reason": reason, "hint": hint, **in_state(end, self._clock())}
            if self._give_back(lease, ended, removed=AT_THE_PARTNER):
                raise lost(lease)
            return
        seen = Snapshot()
        for _ in range(_LOOKS):
            now = self._clock()
            if seen.version is None or seen.version.state is not end:
                seen.refuse_settled(ref)
            seen.refuse_leased_version(ref, now)
            refused = self._table.write(settled(ref, seen.version, end, now, reason, hint))
            if not refused:
                return
            seen = seen.refreshed(refused)
        raise too_many(ref)

    def _write(self, lease: Lease, *changes: Change) -> None:
        if self._table.write(*changes):
            raise lost(lease)
        lease.names.written()

    def _give_back(
        self,
        lease: Lease,
        put: Put,
        *,
        removed: tuple[str, ...] = (),
        states: tuple[State, ...] = UNDER_WAY,
    ) -> Mapping[int, Item | None]:
        """End the lease; return the items that show that it is lost."""
        return self._table.write(
            version_change(lease, put, removed=(*LEASE, *removed), states=states),
            key_release(lease, self._clock()),
        )
