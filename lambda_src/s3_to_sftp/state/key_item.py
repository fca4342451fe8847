"""What the item of a key says of the key: the newest version that was committed, and names at the partner."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Fields, Item
from s3_to_sftp.state.commit_item import read_commit
from s3_to_sftp.state.items import record_of, version_key
from s3_to_sftp.state.ledger import Commit
from s3_to_sftp.state.remote_names import NameKind, RemoteName

IN_COMMIT = "."
"""Stands among the names for the temporary name in `commit`, about to be renamed: no file is called so."""


@dataclass(frozen=True, kw_only=True)
class KeyItem:
    """What the ledger knows of all versions of a key together.

    Attributes:
        version: Sort key of the version whose record the item holds: the only one that may have a lease.
        attributes: Of that record, as they are.
        revision: Counts the writes to the item.
        owner: Who holds the lease; None when it was released.
        committed: Padded sequencer of the newest version that reached COMMITTING (empty: none).
        committed_path: The final name that it was about to get (empty: not recorded, all versions have one).
        modified: Modification time of the file that reached it last, in seconds since 1970; None: not known.
        names: Files of ours that may exist at the partner.
        is_listed: Whether the index lists the key because of them.
    """

    version: str
    attributes: Item
    revision: int
    owner: str | None
    lease_until: float
    committed: str
    modified: int | None
    names: Mapping[str, RemoteName]
    is_listed: bool = False
    committed_path: str = ""


def read_key(item: Item) -> KeyItem:
    """Read and check what a key item says of the key. The record in it may be of another version.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item)
    owner = fields.optional_text("owner")
    return KeyItem(
        version=fields.text("version"),
        attributes=record_of(item),
        revision=fields.integer("revision"),
        owner=owner,
        lease_until=fields.number("lease_until") if owner is not None else 0,
        committed=fields.optional_text("committed") or "",
        committed_path=fields.optional_text("committed_path") or "",
        modified=fields.integer("modified") if "modified" in item else None,
        names=dict(_read_names(fields)),
        is_listed="leftovers" in item,
    )


def _read_names(fields: Fields) -> Iterator[tuple[str, RemoteName]]:
    for name, entry in fields.map("temporaries").maps():
        if name == IN_COMMIT:
            commit = read_commit(fields.map("commit"), otherwise=fields.optional_text("remote_path"))
            version, sequencer = fields.text("version"), fields.text("committed")
            about = name_in_commit(commit, version=version, sequencer=sequencer, since=entry.integer("since"))
            yield commit.temporary, about
        else:
            yield name, _read_name(entry)


def _read_name(fields: Fields) -> RemoteName:
    return RemoteName(
        version=fields.text("version"),
        sequencer=fields.text("sequencer"),
        server=fields.text("server"),
        kind=fields.one_of("kind", NameKind),
        rename_pending=fields.flag("rename_pending"),
        since=fields.integer("since"),
        path=fields.optional_text("path") or "",
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


def name_in_commit(commit: Commit, *, version: str, sequencer: str, since: int) -> RemoteName:
    """Return the entry of a temporary name that is about to be renamed, as `IN_COMMIT` stands for it."""
    return RemoteName(
        version=version,
        sequencer=sequencer,
        server=commit.server.account,
        rename_pending=commit.temporary != commit.remote_path,
        since=since,
    )
