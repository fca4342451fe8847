"""The item of a host key that an operator trusts: its keys, its attributes, and how it is read."""

import logging
import time
from collections.abc import Callable
from typing import Any

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.state.attributes import Fields, Item, to_attribute
from s3_to_sftp.state.table import Table
from s3_to_sftp.trusted_host_key import TrustedHostKey

_log = logging.getLogger(__name__)

TRUSTED_HOST_KEY = "trusted-host-key"
"""Sort key of the item."""


def trusted_host_key_pk(server: str) -> str:
    """Return the partition key of the item for a server, given as host:port."""
    return f"partner#{server}"


def trusted_host_key_attributes(trusted: TrustedHostKey) -> Item:
    """Return the attributes of the item; the keys are not among them."""
    return {name: to_attribute(value) for name, value in vars(trusted).items()}


def read_trusted_host_key(item: Item) -> TrustedHostKey:
    """Read and check the item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item, hint="Replace it with `s3-to-sftp trust-host-key`.")
    return TrustedHostKey(
        fingerprint=fields.text("fingerprint"),
        since=fields.number("since"),
        until=fields.number("until"),
        reason=fields.optional_text("reason") or "",
        who=fields.optional_text("who") or "",
        revision=fields.integer("revision") if "revision" in item else 0,
    )


class DynamoTrustedHostKeys:
    """The trusted key of one server in the ledger's table. An item that cannot be read makes no key trusted.

    Takes several threads.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:GetItem`.
        table: The name of the ledger's table.
        server: host:port.
        clock: Seconds since 1970.
    """

    def __init__(
        self, client: Any, table: str, server: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = Table(client, table)
        self._server = server
        self._clock = clock

    def current(self) -> TrustedHostKey | None:
        """See `TrustedHostKeys`. One consistent read."""
        try:
            item = self._table.read(trusted_host_key_pk(self._server), TRUSTED_HOST_KEY)
            trusted = read_trusted_host_key(item) if item is not None else None
        except LedgerError as error:
            _log.warning("no host key is trusted beside the pinned ones: %s", error)
            return None
        return trusted if trusted is not None and trusted.is_in_force(self._clock()) else None
