"""What an operator asked for with the command `s3-to-sftp`: it travels with the message."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from s3_to_sftp.untrusted_text import cut

_MAX_TEXT_BYTES = 1000
"""Of each text: it ends up in an item of the ledger."""

_MAX_SECONDS = 1e11


class Action(StrEnum):
    """What the operator wants done with an object."""

    RESEND = "resend"
    """Send it again, although it is delivered; once per id."""
    RETRY = "retry"
    """Try it now: the message that waits comes back later, and finds it delivered."""
    BACKFILL = "backfill"
    """Send what nothing has announced, if it is still the current version of its key."""


@dataclass(frozen=True, kw_only=True)
class OperatorRequest:
    """What an operator asked for.

    Attributes:
        action: What to do.
        id: Identifies one request. A command that is repeated with it continues the request.
        who: ARN or login name.
        at: When, in seconds since 1970.
        reason: Why (may be empty).
        attempts: How many attempts the ledger had when it was asked for; None: not known.
    """

    action: Action
    id: str
    who: str = ""
    at: float = 0
    reason: str = ""
    attempts: int | None = None

    @classmethod
    def from_text(cls, text: str) -> "OperatorRequest":
        """Read the text of a message attribute.

        Raises:
            ValueError: It is not a request that the command sends.
        """
        try:
            written = json.loads(text)
            return cls(
                action=Action(written["action"]),
                id=_text(written["id"], required=True),
                who=_text(written.get("who", "")),
                at=_seconds(written.get("at", 0)),
                reason=_text(written.get("reason", "")),
                attempts=_count(written.get("attempts")),
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a request of an operator ({type(error).__name__})") from None

    def as_item(self) -> dict[str, Any]:
        """Return the request as the ledger keeps it, in `operator_actions`."""
        return {
            "action": self.action,
            "who": self.who,
            "at": self.at,
            "reason": self.reason,
            "id": self.id,
        }


def _text(value: object, *, required: bool = False) -> str:
    if not isinstance(value, str) or (required and not value):
        raise ValueError("a text is missing")
    value.encode()  # UnicodeEncodeError is a ValueError
    return cut(value, _MAX_TEXT_BYTES)


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("the attempts are no whole number")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_SECONDS:
        raise ValueError("the time is not in seconds since 1970")
    return value
