"""What the ledger's items allow, and what they become: decisions only, nothing here talks to DynamoDB."""

from collections.abc import Mapping
from dataclasses import dataclass

from s3_to_sftp.errors import AlreadyDelivered, AlreadyGone, BeingSent, LedgerError, Superseded
from s3_to_sftp.events import ObjectRef
from s3_to_sftp.ledger.items import (
    KEY,
    Item,
    KeyItem,
    State,
    Temporary,
    VersionItem,
    instant,
    is_older,
    is_unmistakable,
    partition_key,
    read_key,
    read_version,
    status_of,
    version_key,
)
from s3_to_sftp.ledger.lease import Lease
from s3_to_sftp.ledger.table import Change, Path, Put

_MOST_TEMPORARIES = 50
"""Each attempt that dies leaves a name behind. More are not remembered: an item has at most 400 KB."""

UNDER_WAY = (State.SENDING, State.COMMITTING)
LEASE = ("owner", "lease_until")
KEY_LEASE = (*LEASE, "in_flight")
AT_THE_PARTNER = ("temporary", "checkpoint", "committing")
NEWER = "A newer version of the key was sent, or is about to be."
NEWER_AFTER_ALL = f"{NEWER} This one had been sent as a whole, and may have had the final name before."


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The items as they are, as far as we know; at first, we take it that there are none."""

    version: VersionItem | None = None
    key: KeyItem | None = None

    def corrected(self, refused: Mapping[int, Item | None]) -> "Seen":
        """Return what we know after a write of the version's item, and the key's, that was refused.

        Raises:
            LedgerError: An item is corrupt.
        """
        version, key = self.version, self.key
        if 0 in refused:
            item = refused[0]
            version = read_version(item) if item is not None else None
        if 1 in refused:
            item = refused[1]
            key = read_key(item) if item is not None else None
        return Seen(version=version, key=key)

    def refuse_settled(self, ref: ObjectRef) -> None:
        """Refuse what has ended for good.

        Raises:
            NothingToSend: It has; says how.
        """
        if self.version is None or not is_unmistakable(ref):
            return
        match self.version.state:
            case State.DELIVERED:
                raise AlreadyDelivered(
                    f"{ref} has been delivered before.", hint="Nothing: the event came more than once."
                )
            case State.GONE:
                raise AlreadyGone(
                    f"{ref} is recorded as gone: {self.version.reason}",
                    hint="Nothing; put the object again if it is needed.",
                )
            case State.SUPERSEDED:
                raise superseded(ref)

    def refuse_leased_version(self, ref: ObjectRef, now: float) -> None:
        """Refuse a version that somebody is sending.

        Raises:
            BeingSent: A lease on it is running.
        """
        if self.version is not None and self.version.owner is not None:
            _refuse_running(ref, self.version.owner, self.version.lease_until - now)

    def refuse_leased_key(self, ref: ObjectRef, now: float) -> None:
        """Refuse a key of which somebody is sending a version, this or another.

        Raises:
            BeingSent: A lease on it is running.
        """
        if self.key is not None and self.key.owner is not None:
            _refuse_running(ref, self.key.owner, self.key.lease_until - now)

    @property
    def may_be_renamed(self) -> bool:
        """Whether an attempt at the version was about to rename it, and nobody knows more."""
        return self.version is not None and self.version.state is State.COMMITTING

    def is_superseded(self, ref: ObjectRef) -> bool:
        """Say whether a newer version has reached COMMITTING."""
        return self.key is not None and is_older(ref.padded_sequencer, self.key.committed)

    def lease(self, ref: ObjectRef, *, owner: str, remote_path: str, temporary: str, until: float) -> Lease:
        """Return the lease that these items allow, when nothing refuses it."""
        version = self.version
        committing = version.committing if version is not None else None
        checkpoint = None
        if version is not None and committing is not None:
            # The final name was chosen then; SSH_DIR may have changed since.
            temporary, remote_path = committing, version.remote_path or remote_path
        elif version is not None and version.checkpoint is not None and version.remote_path == remote_path:
            checkpoint = version.checkpoint
            temporary = checkpoint.temporary
        names = self.key.temporaries if self.key is not None else {}
        mine = temporary_of(ref)
        return Lease(
            ref=ref,
            owner=owner,
            remote_path=remote_path,
            temporary=temporary,
            attempt=version.attempts + 1 if version is not None else 1,
            until=until,
            checkpoint=checkpoint,
            committing=committing,
            abandoned=tuple(
                name for name, whose in names.items() if whose.version == mine.version and name != temporary
            ),
            outdated=tuple(
                name for name, whose in names.items() if is_older(whose.sequencer, mine.sequencer)
            ),
        )


def taken(lease: Lease, seen: Seen, now: float) -> tuple[Change, Change]:
    """Return what makes the lease, provided that the items are still as seen."""
    version, key = seen.version, seen.key
    put: Put = {
        "state": State.COMMITTING if lease.committing else State.SENDING,
        "owner": lease.owner,
        "lease_until": lease.until,
        "attempts": lease.attempt,
        "remote_path": lease.remote_path,
        "temporary": lease.temporary,
    }
    if version is None:
        put["first_seen"] = instant(now)
    if version is None or not version.state.is_in_flight:
        # Not written anew otherwise: every write to it is one to a single partition of the index.
        put |= _status(State.SENDING, now)
    others = dict(key.temporaries) if key is not None else {}
    others.pop(lease.temporary, None)
    names = {**dict(list(others.items())[1 - _MOST_TEMPORARIES :]), lease.temporary: temporary_of(lease.ref)}
    return (
        Change(
            pk=partition_key(lease.ref),
            sk=version_key(lease.ref),
            expected=_unchanged(version),
            put=put,
            remove=("hint",) if lease.checkpoint else ("hint", "checkpoint"),
        ),
        Change(
            pk=partition_key(lease.ref),
            sk=KEY,
            expected=_unchanged(key),
            put={
                "owner": lease.owner,
                "lease_until": lease.until,
                "in_flight": version_key(lease.ref),
                "temporaries": {name: vars(whose) for name, whose in names.items()},
            },
        ),
    )


def settled(
    ref: ObjectRef, version: VersionItem | None, state: State, now: float, reason: str, hint: str
) -> Change:
    """Return what ends a version that nobody has a lease on."""
    first_seen: Put = {"first_seen": instant(now)} if version is None else {}
    return Change(
        pk=partition_key(ref),
        sk=version_key(ref),
        expected=_unchanged(version),
        put={"reason": reason, "hint": hint, **first_seen, **in_state(state, now)},
        remove=LEASE,
    )


def version_change(
    lease: Lease,
    put: Put,
    *,
    removed: tuple[str, ...] = (),
    states: tuple[State, ...] = UNDER_WAY,
) -> Change:
    """Return a change of the version's item by the holder of the lease: the attempt is its fencing token."""
    return Change(
        pk=partition_key(lease.ref),
        sk=version_key(lease.ref),
        expected={"owner": lease.owner, "attempts": lease.attempt, "state": states},
        put=put,
        remove=removed,
    )


def key_change(lease: Lease, put: Put | None = None, *, removed: tuple[Path, ...] = ()) -> Change:
    """Return a change of the key's item by the holder of the lease."""
    return Change(
        pk=partition_key(lease.ref),
        sk=KEY,
        expected={"owner": lease.owner, "in_flight": version_key(lease.ref)},
        put=put or {},
        remove=removed,
    )


def temporary_of(ref: ObjectRef) -> Temporary:
    """Return whose a temporary name of this version is."""
    return Temporary(version=version_key(ref), sequencer=ref.padded_sequencer)


def in_state(state: State, now: float) -> Put:
    """Return the attributes that put a version in a state, and the index in the know."""
    return {"state": state, **_status(state, now)}


def superseded(ref: ObjectRef) -> Superseded:
    """Return the error that says so."""
    return Superseded(
        f"{ref} is older than the version that was sent, or is about to be.",
        hint="Nothing: the events came in another order than the objects.",
    )


def lost(lease: Lease) -> LedgerError:
    """Return the error of one who writes without a lease."""
    return LedgerError(
        f"The lease on {lease.ref} (attempt {lease.attempt} of {lease.owner}) is lost or over.",
        hint="It is tried again. If this happens often, invocations live longer than their leases.",
    )


def too_many(ref: ObjectRef) -> LedgerError:
    """Return the error of one who looked in vain."""
    return LedgerError(
        f"Too many functions write to the ledger's items of {ref} at the same time.",
        hint="It is tried again.",
    )


def _unchanged(item: VersionItem | KeyItem | None) -> dict[str, object]:
    return {"pk": None} if item is None else {"revision": item.revision}


def _status(state: State, now: float) -> Put:
    return {"status": status_of(state, now), "status_at": instant(now)}


def _refuse_running(ref: ObjectRef, owner: str, rest: float) -> None:
    if rest > 0:
        raise BeingSent(
            f"{ref}, or another version of its key, is being sent by {owner}.",
            hint="Nothing: its turn comes when that is done.",
            retry_after=rest,
        )
