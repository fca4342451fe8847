"""Which key a file belongs to, where other keys may lead to it: by rules, or because case does not count.

The item says which version of the key has claimed it, unless several have. A version that was given up before
the partner could see any of its files loses the file to the next key that asks.
"""

import hashlib

from s3_to_sftp.errors import NameTaken
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.items import FILE, State, VersionItem, read_version, version_key
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table
from s3_to_sftp.state.update_expression import Change, Path

_OBJECT = "object#"
"""In front of bucket and key in `partition_key`."""

_GIVEN_UP = (State.CANCELLED, State.GONE, State.SUPERSEDED, State.SKIPPED)
"""What a FAILED version has claimed stays its own: it is delivered after a redrive."""


def claim_change(lease: Lease, same_file: str, account: str, seen: Item | None, number: str) -> Change:
    """Return the change that claims the file for the lease's key, on condition that its item is as seen."""
    digest = hashlib.sha256(f"{account}\n{same_file}".encode()).hexdigest()
    mine, claimed_by = version_key(lease.ref), _text(seen, "version")
    is_several = seen is not None and _text(seen, "object") == _claimant(lease) and claimed_by != mine
    expected: dict[Path, object] = {"pk": None}
    if seen is not None:
        expected = {"object": _text(seen, "object"), "version": claimed_by or None}
    return Change(
        pk=f"file#{digest}",
        sk=FILE,
        expected=expected,
        put={
            "object": _claimant(lease),
            "remote_path": lease.remote_path,
            "server": account,
            **({"number": number} if number else {}),
            **({} if is_several else {"version": mine}),
        },
        remove=("version",) if is_several else (),
    )


def condition_of_claim(table: Table, lease: Lease, seen: Item | None, number: str) -> tuple[Change, ...]:
    """Return on what else a claim depends: that the version which has the file now stays given up.

    Raises:
        NameTaken: It belongs to another key; the error names that key.
        LedgerError: The ledger cannot be used.
    """
    other = _text(seen, "object")
    if seen is None or other == _claimant(lease):
        return ()
    if number and _text(seen, "number") == number:  # only one key has it at a time
        return ()
    pk, sk = f"{_OBJECT}{other}", _text(seen, "version")
    item = find_record(table, pk, sk) if sk else None
    if item is not None and _is_free(version := read_version(item), lease):
        # Wherever the record is: when it moves, both items are written.
        return (Change(pk=pk, sk=_text(item, "sk"), expected={"revision": version.revision}),)
    raise _taken(lease, other, _text(seen, "remote_path"))


def _is_free(version: VersionItem, lease: Lease) -> bool:
    """Return whether nothing of a version can stand under its final names, now or later."""
    was_delivered = version.receipt is not None or bool(version.earlier_receipts)
    if version.state not in _GIVEN_UP or was_delivered or version.may_be_seen or version.had_other_names:
        return False
    # Sent after all, it would look for its bytes under a name that the rules give to both.
    return version.commit is None or version.commit.temporary not in lease.names.given_again


def _taken(lease: Lease, other: str, known_as: str) -> NameTaken:
    why = (
        "the rules give both keys the same name"
        if known_as == lease.remote_path
        else "the server says that it runs on Windows, where upper and lower case are the same"
    )
    return NameTaken(
        f"{lease.remote_path!r} is the file of s3://{other} at the partner: {why}, and it would replace that "
        "file.",
        hint="Put the object again under another key. If that one was not delivered and will not be, "
        "`s3-to-sftp cancel` it, and redrive. If the other key is no longer used, delete the item "
        f"of the ledger whose 'remote_path' is {known_as!r} and whose sort key is {FILE!r}, and redrive.",
    )


def _claimant(lease: Lease) -> str:
    return f"{lease.ref.bucket}/{lease.ref.key}"


def _text(item: Item | None, name: str) -> str:
    return str((item or {}).get(name, {}).get("S", ""))
