"""Where the record of a version is: in the key's item, or in one of its own; and how it moves.

Nothing here talks to DynamoDB, but for `find_record`, which reads.
"""

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.attributes import Item, RawAttribute
from s3_to_sftp.state.items import KEY, VersionItem, partition_key, version_key
from s3_to_sftp.state.key_item import KeyItem
from s3_to_sftp.state.snapshot import Snapshot
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change, Path, Put

_MAX_READS = 5


def find_record(table: Table, pk: str, version: str) -> Item | None:
    """Return the item that holds the record of a version, as it was last written; None: there is none.

    One read for the version that was leased last, and where no version of the key is known; two for others.

    Args:
        table: Of the ledger.
        pk: Partition key of the object.
        version: Sort key of the version.

    Raises:
        LedgerError: The table did not answer, or the record moves all the time.
    """
    for _ in range(_MAX_READS):
        key = table.read(pk, KEY)
        if key is None or key.get("version") == {"S": version}:
            return key
        own = table.read(pk, version)
        if own is None or "moved" not in own:
            return own
        # It has moved since the first read.
    raise LedgerError(
        f"The record of {pk} / {version} was not found: other functions write to it.",
        hint="It will be retried.",
    )


def record_change(
    ref: ObjectRef, snapshot: Snapshot, *, put: Put, removed: tuple[str, ...]
) -> tuple[Change, ...]:
    """Return the changes of a version's record, where it is, on condition that all is as in the snapshot.

    The first one is that of the key's item: while it stays, no record moves. DynamoDB deletes it last.
    """
    pk, sk, key, version = partition_key(ref), version_key(ref), snapshot.key, snapshot.version
    if key is None:
        begun: Put = {**put, "version": sk, "temporaries": {}}
        return (Change(pk=pk, sk=KEY, expected={"pk": None}, put=begun, remove=removed),)
    if key.version == sk:
        return (Change(pk=pk, sk=KEY, expected=_unchanged(key), put=put, remove=removed),)
    expected = _unchanged(version) if version is not None else _HAS_NO_RECORD
    return (
        Change(pk=pk, sk=KEY, expected={"version": key.version}),
        Change(pk=pk, sk=sk, expected=expected, put=put, remove=(*removed, "moved")),
    )


def lease_in_key_item(
    ref: ObjectRef, snapshot: Snapshot, *, put: Put, removed: tuple[str, ...]
) -> tuple[Change, ...]:
    """Return the changes of a version's record, which is in the key's item from then on."""
    pk, sk, key, version = partition_key(ref), version_key(ref), snapshot.key, snapshot.version
    put = {**put, "version": sk}
    if key is None:
        return (Change(pk=pk, sk=KEY, expected={"pk": None}, put=put, remove=removed),)
    if key.version == sk:
        return (Change(pk=pk, sk=KEY, expected=_unchanged(key), put=put, remove=removed),)
    before = version.attributes if version is not None else {}
    kept: Put = {name: RawAttribute(value) for name, value in before.items() if name not in removed}
    kept.pop("expires", None)
    put = {**kept, **put}
    of_other = [name for name in key.attributes if name not in put and name != "expires"]
    into_key = Change(
        pk=pk, sk=KEY, expected=_unchanged(key), put=put, remove=tuple(dict.fromkeys((*removed, *of_other)))
    )
    out = Change(
        pk=pk,
        sk=key.version,
        expected={},  # a record there is one that DynamoDB should have deleted before the key's item
        put={name: RawAttribute(value) for name, value in key.attributes.items()},
        remove=("moved",),
        is_permanent=True,  # it expires as it would have
    )
    if version is None:
        return into_key, out
    left = tuple(name for name in before if name != "expires")
    moved = Change(pk=pk, sk=sk, expected=_unchanged(version), put={"moved": True}, remove=left)
    return into_key, out, moved


_HAS_NO_RECORD: dict[Path, object] = {"state": None}


def _unchanged(item: VersionItem | KeyItem) -> dict[Path, object]:
    return {"revision": item.revision}
