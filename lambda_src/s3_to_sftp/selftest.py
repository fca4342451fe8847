"""Removes the file of a self-test from the partner's server, when the operator's command asks for it.

This is the only file that is removed although it was delivered. So the request is not believed: the ledger
must say that this version was delivered, its name must be that of a self-test, and what stands there must be
what was sent.
"""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.publish import is_removed
from s3_to_sftp.state.attributes import Fields
from s3_to_sftp.state.items import State, partition_key, read_version, version_key
from s3_to_sftp.state.places import find_record
from s3_to_sftp.state.table import Table

OPERATION = "remove-selftest"
NAME_PREFIX = "s3-to-sftp-selftest-"
"""Begins the last part of the key of every object that is put for a self-test."""

_NAMES = ("bucket", "key", "version_id", "etag", "sequencer")


def is_selftest_request(event: object) -> bool:
    """Return whether the function is asked to remove the file of a self-test."""
    return isinstance(event, dict) and event.get("operation") == OPERATION


class SelftestFiles:
    """The files that self-tests have left at the partner.

    Args:
        table: The ledger's.
        sftp: The partner.
        end_of_invocation: Closes the connections that must not stay open.
    """

    def __init__(self, table: Table, sftp: SftpClient, *, end_of_invocation: Callable[[], None]) -> None:
        self._table = table
        self._sftp = sftp
        self._end_of_invocation = end_of_invocation

    def remove(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Remove the file of an object, if it is the one of a self-test.

        Args:
            event: `bucket`, `key`, and `version_id`; without versions `etag` and `sequencer` in its place, as
                the ledger has them.

        Returns:
            `removed`, and the `reason` where that is false. Never raises for what the partner or the ledger
            answers.
        """
        try:
            why_not = self._remove(event)
        except DeliveryError as error:
            why_not = str(error)
        finally:
            self._end_of_invocation()
        return {"removed": not why_not, "reason": why_not}

    def _remove(self, event: Mapping[str, Any]) -> str:
        """Return why it was not removed; empty: it was."""
        texts = {name: event.get(name) or None for name in _NAMES}
        if not all(isinstance(text, str) for text in texts.values() if text is not None):
            return "The request names no object: bucket, key and version are texts."
        if texts["bucket"] is None or texts["key"] is None:
            return "The request names no object: bucket and key are needed."
        ref = ObjectRef(**texts)  # type: ignore[arg-type] # they are texts
        if not posixpath.basename(ref.key).startswith(NAME_PREFIX):
            return f"The name does not begin with {NAME_PREFIX}: only the file of a self-test is removed."
        item = find_record(self._table, partition_key(ref), version_key(ref))
        if item is None:
            return "The ledger does not know this version."
        version = read_version(item)
        if version.state is not State.DELIVERED or version.owner is not None:
            return f"The ledger does not say that it is delivered: its state is {version.state}."
        return self._remove_file(Fields(item).map("receipt"))

    def _remove_file(self, receipt: Fields) -> str:
        path, size = receipt.text("remote_path"), receipt.integer("bytes")
        if not _is_of_selftest(path):
            return f"Its remote path {path!r} is not that of a self-test."
        if self._sftp.connect().host_key != receipt.text("host_key"):
            return "The server has another host key than the one that received the file."
        (there,) = self._sftp.look_at(path)
        if there.absent:
            return f"{path!r} is no longer there: the partner has collected it."
        seen = there.attributes
        if seen is None or seen.size is None:
            return f"The server does not show {path!r}: nothing tells whether it is still the same file."
        if seen.size != size or seen.is_regular is False:
            return f"{path!r} is another file by now: it has {seen.size} bytes, {size} were sent."
        if not self._is_removed(path):
            return f"The server does not let {path!r} be removed; the partner has to."
        beside = receipt.texts("companions") if "companions" in receipt.names() else ()
        staying = [each for each in beside if not (_is_of_selftest(each) and self._is_removed(each))]
        return f"{path!r} is removed, and {', '.join(map(repr, staying))} beside it stays." if staying else ""

    def _is_removed(self, path: str) -> bool:
        return self._sftp.run(lambda session: is_removed(session, path))


def _is_of_selftest(path: str) -> bool:
    return posixpath.basename(path).startswith(NAME_PREFIX)
