"""The item of what the canary has seen of a server: keys, attributes, and how it is read and written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from s3_to_sftp.state.attributes import Fields, Item, to_attribute
from s3_to_sftp.state.table import Table

PROFILE = "profile"
"""Sort key of the item."""

_MOST_SHOWN_BYTES = 30_000
"""Of what the server showed last, as JSON. Only people read it, so one that is longer is left out."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A value that a server has shown.

    Attributes:
        value: As text.
        at: When it was shown last, in seconds since 1970.
    """

    value: str
    at: float


@dataclass(frozen=True, kw_only=True)
class PartnerProfile:
    """What is remembered of a server.

    Attributes:
        at: When it was last examined, in seconds since 1970.
        seen: What can change -> its values, the newest first. The caller bounds their number and size.
        checks: Check -> "ok", or what was wrong.
        worked_at: Check -> when it last was "ok", in seconds since 1970.
        revision: Counts the writes to the item.
    """

    at: float
    seen: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    worked_at: Mapping[str, float] = field(default_factory=dict)
    revision: int = 0


def profile_key(server: str) -> str:
    """Return the partition key of the item for a server, given as host:port."""
    return f"partner#{server}"


def profile_attributes(profile: PartnerProfile, *, shown: Mapping[str, Any]) -> Item:
    """Return the attributes of the item; the keys are not among them.

    Args:
        profile: To be written.
        shown: All that the server showed, for people who look at the item.
    """
    text = json.dumps(shown, ensure_ascii=False)
    return {
        "revision": to_attribute(profile.revision),
        "at": _seconds(profile.at),
        "seen": {
            "M": {
                name: {
                    "L": [
                        {"M": {"value": to_attribute(each.value), "at": _seconds(each.at)}} for each in values
                    ]
                }
                for name, values in profile.seen.items()
            }
        },
        "checks": to_attribute(profile.checks),
        "worked_at": {"M": {name: _seconds(at) for name, at in profile.worked_at.items()}},
        "shown": to_attribute(text if len(text.encode()) <= _MOST_SHOWN_BYTES else ""),
    }


def read_profile(item: Item) -> PartnerProfile:
    """Read and check the item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(
        item, hint="Delete the item: the next canary writes a new one, and compares from then on."
    )
    seen, checks, worked_at = fields.map("seen"), fields.map("checks"), fields.map("worked_at")
    return PartnerProfile(
        revision=fields.integer("revision"),
        at=fields.number("at"),
        seen={name: _read_values(seen, name) for name in seen.names()},
        checks={name: checks.text(name) for name in checks.names()},
        worked_at={name: worked_at.number(name) for name in worked_at.names()},
    )


class PartnerProfiles:
    """The profile of one server in the ledger's table.

    Args:
        client: A low-level DynamoDB client; needs `dynamodb:GetItem` and `dynamodb:PutItem`.
        table: The name of the ledger's table.
        server: host:port.
    """

    def __init__(self, client: Any, table: str, server: str) -> None:
        self._table = Table(client, table)
        self._key = profile_key(server)

    def read(self) -> PartnerProfile | None:
        """Return what is remembered; None: nothing yet.

        Raises:
            LedgerError: The table did not answer, or the item is corrupt.
        """
        item = self._table.read(self._key, PROFILE)
        return None if item is None else read_profile(item)

    def replace(self, profile: PartnerProfile, *, shown: Mapping[str, Any]) -> bool:
        """Write a profile whose revision is one above that of the one that it replaces.

        Returns:
            Whether it was written. If not, another canary has written one since it was read.

        Raises:
            LedgerError: The table did not answer, or refused.
        """
        attributes = profile_attributes(profile, shown=shown)
        return self._table.put(self._key, PROFILE, attributes, expected_revision=profile.revision - 1)


def _read_values(seen: Fields, name: str) -> tuple[Seen, ...]:
    return tuple(Seen(value=each.text("value"), at=each.number("at")) for each in seen.maps_in(name))


def _seconds(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.3f}"}
