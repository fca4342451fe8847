"""What the ledger's items allow, and what they become: decisions only, nothing here talks to DynamoDB."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from s3_to_sftp.errors import (
    AlreadyDelivered,
    AlreadyGone,
    Disposition,
    LeaseHeld,
    LedgerError,
    NameTaken,
    OutcomeUnknown,
    Superseded,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.items import (
    FILE,
    KEY,
    Item,
    KeyItem,
    State,
    VersionItem,
    identifies_one_put,
    instant,
    is_older,
    partition_key,
    read_key,
    read_version,
    status_of,
    version_key,
)
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease
from s3_to_sftp.state.remote_names import RemoteName, RemoteNames
from s3_to_sftp.state.table import Change, Path, Put

_MOST_NAMES = 500
"""Each attempt that dies leaves a name behind, and a partner who refuses REMOVE keeps them all. None is ever
forgotten, and an item has at most 400 KB: about 1,500 names."""

_MOST_ENTRIES = 50
"""Changed names beyond that are written as one map: an update expression has at most 4 KB."""

UNDER_WAY = (State.SENDING, State.STAGED, State.COMMITTING)
LEASE = ("owner", "lease_until")
KEY_LEASE = (*LEASE, "in_flight")
LEFTOVERS = "LEFTOVERS"
"""Partition of the index in which people look for keys with names that may still stand at the partner."""
AT_THE_PARTNER = ("temporary", "checkpoint", "commit")
NEWER = "A newer version of the key was sent, or is about to be."
NEWER_AFTER_ALL = f"{NEWER} This one had been sent as a whole, and may have had the final name before."


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The items as they are, as far as we know; at first, we take it that there are none."""

    version: VersionItem | None = None
    key: KeyItem | None = None

    def refreshed(self, refused: Mapping[int, Item | None]) -> "Snapshot":
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
        return Snapshot(version=version, key=key)

    def refuse_settled(self, ref: ObjectRef) -> None:
        """Refuse what has ended for good.

        Raises:
            NothingToSend: It has; says how.
        """
        if self.version is None or not identifies_one_put(ref):
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

    def refuse_unknown(self, ref: ObjectRef) -> None:
        """Refuse to send what may be at the partner, until a person has asked: a duplicate event did not.

        Raises:
            OutcomeUnknown: As it was recorded.
        """
        if self.version is not None and self.version.state is State.UNKNOWN and not ref.resend:
            raise OutcomeUnknown(self.version.reason, hint=self.version.hint)

    def refuse_leased_version(self, ref: ObjectRef, now: float) -> None:
        """Refuse a version that somebody is sending.

        Raises:
            LeaseHeld: A lease on it is running.
        """
        if self.version is not None and self.version.owner is not None:
            _refuse_running(ref, self.version.owner, self.version.lease_until - now)

    def refuse_leased_key(self, ref: ObjectRef, now: float) -> None:
        """Refuse a key of which somebody is sending a version, this or another.

        Raises:
            LeaseHeld: A lease on it is running.
        """
        if self.key is not None and self.key.owner is not None:
            _refuse_running(ref, self.key.owner, self.key.lease_until - now)

    @property
    def may_be_renamed(self) -> bool:
        """Whether a RENAME of the version may have been sent, and nobody knows more."""
        commit = self.version.commit if self.version is not None else None
        return commit is not None and commit.rename_unanswered

    def is_superseded(self, ref: ObjectRef) -> bool:
        """Say whether a newer version has reached COMMITTING."""
        return self.key is not None and is_older(ref.padded_sequencer, self.key.committed)

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
    ) -> Lease:
        """Return the lease that these items allow, when nothing refuses it.

        Raises:
            LedgerError: Too many names of ours may stand at the partner.
        """
        version = self.version
        # After UNKNOWN a person has found out that the file is not there: it is sent anew.
        resumes = version is not None and version.state is not State.UNKNOWN
        commit = version.commit if version is not None and resumes else None
        checkpoint = None
        names = RemoteNames(self.key.names if self.key is not None else None)
        if commit is not None:
            temporary = commit.temporary
        elif version is not None and resumes and version.remote_path == remote_path:
            checkpoint = version.checkpoint if _is_here(version.checkpoint, names, account) else None
            temporary = checkpoint.temporary if checkpoint is not None else temporary
        if len(names) >= _MOST_NAMES:
            raise _too_many_names(ref, len(names))
        if temporary not in names:
            names.put(temporary, name_of(ref, account=account, since=now))
            names.written()
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
        )


def _is_here(checkpoint: Checkpoint | None, names: RemoteNames, account: str) -> bool:
    """Return whether the bytes may be where the function sends to now."""
    entry = names.get(checkpoint.temporary) if checkpoint is not None else None
    return entry is None or not entry.server or not account or entry.server == account


def taken(lease: Lease, seen: Snapshot, now: float) -> tuple[Change, Change]:
    """Return what makes the lease, provided that the items are still as seen."""
    version, key = seen.version, seen.key
    put: Put = {
        "state": state_of(lease.commit),
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
    forgotten = [name for name in ("checkpoint", "commit") if getattr(lease, name) is None]
    return (
        Change(
            pk=partition_key(lease.ref),
            sk=version_key(lease.ref),
            expected=_unchanged(version),
            put=put,
            remove=("hint", *forgotten),
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


def state_of(commit: Commit | None) -> State:
    """Return the state of a version that is under way and has, or has no, complete file at the partner."""
    if commit is None:
        return State.SENDING
    return State.COMMITTING if commit.rename_unanswered else State.STAGED


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
    """Return a change of the key's item by the holder of the lease, with all that it has learned of names."""
    changed, gone = lease.names.changes()
    if len(changed) + len(gone) > _MOST_ENTRIES:
        names: Put = {"temporaries": _entries(lease)}
        gone = []
    else:
        names = {("temporaries", name): vars(entry) for name, entry in changed.items()}
    return Change(
        pk=partition_key(lease.ref),
        sk=KEY,
        expected={"owner": lease.owner, "in_flight": version_key(lease.ref)},
        put={**(put or {}), **names},
        remove=(*removed, *(("temporaries", name) for name in gone)),
    )


def _entries(lease: Lease) -> dict[str, Mapping[str, object]]:
    return {name: vars(entry) for name, entry in lease.names.items()}


def key_release(lease: Lease, now: float) -> Change:
    """Return the change of the key's item that ends the lease, and shows people what is left."""
    if len(lease.names):
        shown: Put = {"status": LEFTOVERS, "status_at": instant(now)}
        return key_change(lease, shown, removed=KEY_LEASE)
    return key_change(lease, removed=(*KEY_LEASE, "status", "status_at"))


def claimed(lease: Lease, same_file: str, account: str, seen: Item | None) -> Change:
    """Return what makes a file the one of the lease's key, provided that its item is still as seen."""
    digest = hashlib.sha256(f"{account}\n{same_file}".encode()).hexdigest()
    return Change(
        pk=f"file#{digest}",
        sk=FILE,
        expected={"pk": None} if seen is None else {"object": _claimant(lease)},
        put={"object": _claimant(lease), "remote_path": lease.remote_path, "server": account},
    )


def refuse_claimed(lease: Lease, seen: Item | None) -> None:
    """Refuse a file that is another key's.

    Raises:
        NameTaken: It is; says whose.
    """
    other = (seen or {}).get("object", {}).get("S", "")
    if seen is None or other == _claimant(lease):
        return
    known_as = seen.get("remote_path", {}).get("S", "")
    raise NameTaken(
        f"{lease.remote_path!r} is the file of s3://{other} at the partner: the server says that it runs on "
        "Windows, where upper and lower case are one, and it would replace that file.",
        hint="Put the object again under another key. If the other key is not used any more, delete the item "
        f"of the ledger whose 'remote_path' is {known_as!r} and whose sort key is {FILE!r}, and redrive.",
    )


def _claimant(lease: Lease) -> str:
    return f"{lease.ref.bucket}/{lease.ref.key}"


def name_of(ref: ObjectRef, *, account: str, since: float) -> RemoteName:
    """Return the entry of a temporary name of this version."""
    return RemoteName(
        version=version_key(ref), sequencer=ref.padded_sequencer, server=account, since=int(since)
    )


def committed(lease: Lease, commit: Commit, now: float) -> RemoteName:
    """Return the entry of a temporary name of which a RENAME is about to be sent."""
    entry = lease.names.get(commit.temporary) or name_of(lease.ref, account=lease.account, since=now)
    return replace(entry, server=commit.server.account, rename_pending=True)


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
        hint="It will be retried. If this happens often, invocations live longer than their leases.",
    )


def too_many(ref: ObjectRef) -> LedgerError:
    """Return the error of one who looked in vain."""
    return LedgerError(
        f"Too many functions write to the ledger's items of {ref} at the same time.",
        hint="It will be retried.",
    )


def _too_many_names(ref: ObjectRef, count: int) -> LedgerError:
    return LedgerError(
        f"{count} files of earlier deliveries of {ref} may still stand at the partner, whose server does not "
        "let them be removed.",
        hint="Ask the partner to remove them and to allow REMOVE; the key's item in the ledger lists them "
        "under 'temporaries'. Then empty that map and redrive the message.",
        disposition=Disposition.PERMANENT,
    )


def _unchanged(item: VersionItem | KeyItem | None) -> dict[str, object]:
    return {"pk": None} if item is None else {"revision": item.revision}


def _status(state: State, now: float) -> Put:
    return {"status": status_of(state, now), "status_at": instant(now)}


def _refuse_running(ref: ObjectRef, owner: str, rest: float) -> None:
    if rest > 0:
        raise LeaseHeld(
            f"{ref}, or another version of its key, is being sent by {owner}.",
            hint="Nothing: its turn comes when that is done.",
            retry_after=rest,
        )
