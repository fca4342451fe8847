"""What the items of the ledger's table are called and hold, checked once when they are read.

Two kinds of item stand under one partition key, `object#<bucket>/<key>`:

- a version item for every announced version: its state, its lease, where to resume, the receipt
- one key item (sort key `key`): who has the key now, the newest version that was about to get its final
  name, and the temporary names that may still stand at the partner

A third kind (sort key `file`) says which key a file belongs to, where several names may be one file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from s3_to_sftp.errors import Disposition, LedgerError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.state.ledger import Checkpoint, Commit
from s3_to_sftp.state.remote_names import NameKind, RemoteName

_E = TypeVar("_E", bound=StrEnum)

Item = Mapping[str, Mapping[str, Any]]
"""An item as the low-level client gives it: `{"state": {"S": "SENDING"}}`."""

KEY = "key"
"""Sort key of the key item."""

FILE = "file"
"""Sort key of the item of a file."""


class State(StrEnum):
    """How far a version is."""

    SENDING = "SENDING"
    """Bytes are under way, or wait for their next turn. Nothing stands under the final name."""
    STAGED = "STAGED"
    """All bytes are there; a RENAME was refused, or not sent yet. Nothing stands under the final name."""
    COMMITTING = "COMMITTING"
    """All bytes are there; a RENAME may be on the wire, or may have happened."""
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"
    GONE = "GONE"
    UNKNOWN = "UNKNOWN"
    """A RENAME was not answered, and nothing that can be seen at the partner tells what became of it."""

    @property
    def is_in_flight(self) -> bool:
        """Not ended, in whatever way."""
        return self in (State.SENDING, State.STAGED, State.COMMITTING)


@dataclass(frozen=True, kw_only=True)
class VersionItem:
    """What the ledger knows of one version.

    Attributes:
        revision: Counts the writes to the item.
        attempts: Leases given so far.
        owner: Who has the lease; None when it was given back.
        remote_path: The final name of the last attempt.
        checkpoint: None when the last attempt left none.
        commit: The complete file that may have been renamed.
        reason: Why it is where it is.
        hint: What a person can do about it.
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


@dataclass(frozen=True, kw_only=True)
class KeyItem:
    """What the ledger knows of all versions of a key together.

    Attributes:
        revision: Counts the writes to the item.
        owner: Who has the lease; None when it was given back.
        in_flight: Sort key of the version that has the lease.
        committed: Padded sequencer of the newest version that reached COMMITTING (empty: none).
        modified: Modification time of the file that reached it last, in seconds since 1970; None: not known.
        names: What may stand at the partner.
    """

    revision: int
    owner: str | None
    lease_until: float
    in_flight: str | None
    committed: str
    modified: int | None
    names: Mapping[str, RemoteName]


def partition_key(ref: ObjectRef) -> str:
    """Return the `pk` that all versions of the object share."""
    return f"object#{ref.bucket}/{ref.key}"


def version_key(ref: ObjectRef) -> str:
    """Return the `sk` of the version."""
    if _has_version_id(ref):
        return f"version#{ref.version_id}"
    return f"etag#{ref.etag or ''}#{(ref.sequencer or '').upper()}"


def identifies_one_put(ref: ObjectRef) -> bool:
    """Say whether two puts can never look like this one.

    An ETag alone does not tell "the same event again" from "the old content put back".
    """
    return _has_version_id(ref) or bool(ref.sequencer)


def _has_version_id(ref: ObjectRef) -> bool:
    # Where versioning is suspended every put makes the version "null" anew.
    return ref.version_id not in (None, "", "null")


def is_older(sequencer: str, than: str) -> bool:
    """Say whether the first padded sequencer is surely older: without both there is no order."""
    return bool(sequencer and than and sequencer < than)


def instant(now: float) -> str:
    """Write a moment so that text sorts as time does."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def status_of(state: State, now: float) -> str:
    """Return the partition of the index in which people look for versions of this state."""
    if state.is_in_flight:
        return "IN_FLIGHT"
    return f"{state}#{instant(now)[:10]}" if state is State.DELIVERED else state.value


def to_attribute(value: object) -> dict[str, Any]:
    """Write a value as the low-level client wants it.

    boto3 has a serializer of its own, but it refuses floats.

    Raises:
        TypeError: DynamoDB has no such type.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": repr(value)}
        case str():
            return {"S": str(value)}
        case Mapping():
            return {"M": {name: to_attribute(part) for name, part in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(part) for part in value]}
    raise TypeError(f"the ledger stores text, numbers, maps and lists, got {type(value).__name__}")


def read_version(item: Item) -> VersionItem:
    """Check a version item.

    Raises:
        LedgerError: Nobody but a person can have written it.
    """
    fields = _Fields(item)
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
        commit=_read_commit(commit) if commit is not None else None,
        reason=fields.optional_text("reason") or "",
        hint=fields.optional_text("hint") or "",
    )


def _read_checkpoint(fields: "_Fields") -> Checkpoint:
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


def _read_commit(fields: "_Fields") -> Commit:
    return Commit(
        temporary=fields.text("temporary"),
        remote_path=fields.text("remote_path"),
        size=fields.integer("size"),
        modified=fields.optional_integer("modified"),
        server=ServerIdentity(
            host=fields.text("host"),
            port=fields.integer("port"),
            user=fields.text("user"),
            host_key=fields.text("host_key"),
        ),
        checksum_algorithm=fields.text("checksum_algorithm"),
        checksum=fields.text("checksum"),
        verified_by=fields.text("verified_by"),
        sha256=fields.text("sha256"),
        rename_unanswered=fields.flag("rename_unanswered"),
        is_renamed=fields.flag("is_renamed"),
    )


def commit_fields(commit: Commit) -> dict[str, object]:
    """Return what the version's item keeps of a commit."""
    return {
        "temporary": commit.temporary,
        "remote_path": commit.remote_path,
        "size": commit.size,
        "modified": commit.modified,
        **vars(commit.server),
        "checksum_algorithm": commit.checksum_algorithm,
        "checksum": commit.checksum,
        "verified_by": commit.verified_by,
        "sha256": commit.sha256,
        "rename_unanswered": commit.rename_unanswered,
        "is_renamed": commit.is_renamed,
    }


def read_key(item: Item) -> KeyItem:
    """Check a key item.

    Raises:
        LedgerError: Nobody but a person can have written it.
    """
    fields = _Fields(item)
    owner = fields.optional_text("owner")
    return KeyItem(
        revision=fields.integer("revision"),
        owner=owner,
        lease_until=fields.number("lease_until") if owner is not None else 0,
        in_flight=fields.text("in_flight") if owner is not None else None,
        committed=fields.optional_text("committed") or "",
        modified=fields.integer("modified") if "modified" in item else None,
        names={name: _read_name(entry) for name, entry in fields.map("temporaries").maps()},
    )


def _read_name(fields: "_Fields") -> RemoteName:
    return RemoteName(
        version=fields.text("version"),
        sequencer=fields.text("sequencer"),
        server=fields.text("server"),
        kind=fields.one_of("kind", NameKind),
        rename_pending=fields.flag("rename_pending"),
        since=fields.integer("since"),
    )


class _Fields:
    """Reads typed attributes, and names the item when one cannot have been written by us."""

    def __init__(self, item: Item, name: str = "") -> None:
        self._item = item
        self._name = name or " / ".join(
            str(item.get(part, {}).get("S", f"no {part}")) for part in ("pk", "sk")
        )

    def text(self, name: str) -> str:
        value = self._value(name, "S")
        if not isinstance(value, str):
            raise self._corrupt(name, "text")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if name in self._item else None

    def number(self, name: str) -> float:
        try:
            return float(self._value(name, "N"))
        except (TypeError, ValueError):
            raise self._corrupt(name, "a number") from None

    def integer(self, name: str) -> int:
        try:  # through `int` alone: a CRC of 64 bits would not survive a float
            value = int(self._value(name, "N"))
        except (TypeError, ValueError):
            raise self._corrupt(name, "a whole number") from None
        if value < 0:
            raise self._corrupt(name, "a whole number from 0 on")
        return value

    def optional_integer(self, name: str) -> int | None:
        return None if self._value(name, "NULL") else self.integer(name)

    def flag(self, name: str) -> bool:
        value = self._value(name, "BOOL")
        if not isinstance(value, bool):
            raise self._corrupt(name, "true or false")
        return value

    def one_of(self, name: str, known: type[_E]) -> _E:
        try:
            return known(self.text(name))
        except ValueError:
            raise self._corrupt(name, f"one of {', '.join(known)}") from None

    def map(self, name: str) -> "_Fields":
        value = self._value(name, "M")
        if not isinstance(value, Mapping):
            raise self._corrupt(name, "a map")
        return _Fields(value, f"{self._name} / {name}")

    def optional_map(self, name: str) -> "_Fields | None":
        return self.map(name) if name in self._item else None

    def maps(self) -> "Iterable[tuple[str, _Fields]]":
        return ((name, self.map(name)) for name in self._item)

    def _value(self, name: str, kind: str) -> Any:
        return self._item.get(name, {}).get(kind)

    def _corrupt(self, name: str, wanted: str) -> LedgerError:
        return LedgerError(
            f"The ledger's item {self._name} is corrupt: "
            f"{name!r} should be {wanted}, is {self._item.get(name)!r}.",
            hint="Look at the item; fix or delete it, then redrive the message.",
            disposition=Disposition.PERMANENT,
        )
