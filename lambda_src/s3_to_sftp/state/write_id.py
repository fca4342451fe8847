"""Identifies a conditional write: botocore repeats a request whose answer was lost.

The condition of the repetition then fails on what the first one has written. The item that comes back with
the refusal (`ReturnValuesOnConditionCheckFailure`) shows whose write that was.
"""

import secrets

from botocore.exceptions import ClientError

from s3_to_sftp.state.attributes import Item, to_attribute

WRITE_ID = "write_id"
"""Attribute that identifies the last write which was no transaction. A transaction has a request token."""


def new_write_id() -> str:
    """Return another one for each write."""
    return secrets.token_urlsafe(6)


def refused_item(error: Exception) -> Item | None:
    """Return the item that did not meet the condition, as it is; None: there is none."""
    item: Item | None = error.response.get("Item") if isinstance(error, ClientError) else None  # type: ignore[assignment] # the stubs leave it out
    return item or None


def is_written_by(write_id: str, error: Exception) -> bool:
    """Return whether the very write that did not meet its condition has made the item as it is."""
    item = refused_item(error)
    return item is not None and item.get(WRITE_ID) == to_attribute(write_id)
