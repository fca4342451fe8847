"""Which key a file belongs to, where other keys may lead to it: by rules, or because case does not count."""

import hashlib

from s3_to_sftp.errors import NameTaken
from s3_to_sftp.state.attributes import Item
from s3_to_sftp.state.items import FILE
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.update_expression import Change


def claim_change(lease: Lease, same_file: str, account: str, seen: Item | None, number: str) -> Change:
    """Return the change that claims the file for the lease's key, on condition that its item is as seen."""
    digest = hashlib.sha256(f"{account}\n{same_file}".encode()).hexdigest()
    return Change(
        pk=f"file#{digest}",
        sk=FILE,
        expected={"pk": None} if seen is None else {"object": seen["object"]["S"]},
        put={
            "object": _claimant(lease),
            "remote_path": lease.remote_path,
            "server": account,
            **({"number": number} if number else {}),
        },
    )


def refuse_claim_of_other(lease: Lease, seen: Item | None, number: str) -> None:
    """Refuse a file that belongs to another key.

    Raises:
        NameTaken: It does; the error names that key.
    """
    other = (seen or {}).get("object", {}).get("S", "")
    if seen is None or other == _claimant(lease):
        return
    if number and seen.get("number", {}).get("S") == number:  # only one key has it at a time
        return
    known_as = seen.get("remote_path", {}).get("S", "")
    why = (
        "the rules give both keys the same name"
        if known_as == lease.remote_path
        else "the server says that it runs on Windows, where upper and lower case are the same"
    )
    raise NameTaken(
        f"{lease.remote_path!r} is the file of s3://{other} at the partner: {why}, and it would replace that "
        "file.",
        hint="Put the object again under another key. If the other key is no longer used, delete the item "
        f"of the ledger whose 'remote_path' is {known_as!r} and whose sort key is {FILE!r}, and redrive.",
    )


def _claimant(lease: Lease) -> str:
    return f"{lease.ref.bucket}/{lease.ref.key}"
