"""The item of logins that the partner has refused in an examination: keys, attributes, and how it is read.

Beside the circuit breaker's, since that one forgets: it keeps the last failure only, of any kind, and is
closed by deliveries that log in otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from s3_to_sftp.state.attributes import Fields, Item, to_attribute
from s3_to_sftp.state.table import Table
from s3_to_sftp.untrusted_text import cut

REFUSED_LOGINS = "refused-logins"
"""Sort key of the item."""

_REMEMBERED = 8
_MAX_REASON_BYTES = 1000


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Of one login.

    Attributes:
        at: In seconds since 1970.
        reason: What was said.
    """

    at: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class RefusedLogins:
    """What is remembered of the logins at a server.

    Attributes:
        revision: Writes so far; 0 where there is no item yet.
        refused: Version of the secret -> its last refusal, the newest last.
        claimed_until: An examination is logging in; it has ended by then. In seconds since 1970.
    """

    revision: int = 0
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    claimed_until: float = 0

    def with_refusal(self, version: str, refusal: Refusal) -> "RefusedLogins":
        """Return it with one more refusal, and without a claim."""
        others = {name: each for name, each in self.refused.items() if name != version}
        kept = [*others.items(), (version, refusal)][-_REMEMBERED:]
        return replace(self, refused=dict(kept), claimed_until=0)

    def without(self, version: str) -> "RefusedLogins":
        """Return it without this login, which was accepted, and without a claim."""
        others = {name: each for name, each in self.refused.items() if name != version}
        return replace(self, refused=others, claimed_until=0)


class DynamoRefusedLogins:
    """The refused logins of one server in the ledger's table.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:GetItem` and `dynamodb:PutItem`.
        table: The name of the ledger's table.
        server: host:port.
    """

    def __init__(self, client: Any, table: str, server: str) -> None:
        self._table = Table(client, table)
        self._key = f"partner#{server}"

    def read(self) -> RefusedLogins:
        """Return what is remembered.

        Raises:
            LedgerError: The table did not answer, or the item is corrupt.
        """
        item = self._table.read(self._key, REFUSED_LOGINS)
        return RefusedLogins() if item is None else _read(item)

    def write(self, logins: RefusedLogins) -> RefusedLogins | None:
        """Write it as the next revision, and return that; None: another examination has written meanwhile.

        Raises:
            LedgerError: The table did not answer, or refused.
        """
        following = replace(logins, revision=logins.revision + 1)
        attributes = _attributes(following)
        is_written = self._table.put(self._key, REFUSED_LOGINS, attributes, expected_revision=logins.revision)
        return following if is_written else None


def _attributes(logins: RefusedLogins) -> Item:
    return {
        "revision": to_attribute(logins.revision),
        "claimed_until": {"N": f"{logins.claimed_until:.3f}"},
        "refused": {
            "L": [
                {
                    "M": {
                        "version": to_attribute(version),
                        "at": {"N": f"{each.at:.3f}"},
                        "reason": to_attribute(cut(each.reason, _MAX_REASON_BYTES)),
                    }
                }
                for version, each in logins.refused.items()
            ]
        },
    }


def _read(item: Item) -> RefusedLogins:
    fields = Fields(item, hint="Delete the item: the next examination writes a new one.")
    return RefusedLogins(
        revision=fields.integer("revision"),
        claimed_until=fields.number("claimed_until"),
        refused={
            each.text("version"): Refusal(at=each.number("at"), reason=each.text("reason"))
            for each in fields.maps_in("refused")
        },
    )
