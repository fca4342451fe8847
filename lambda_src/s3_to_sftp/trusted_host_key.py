"""A host key that an operator vouches for until it is pinned."""

from dataclasses import dataclass
from typing import Protocol

LONGEST_SECONDS = 24 * 60 * 60
"""How long a key is trusted on an operator's word, whatever the item says; then it is pinned or refused."""


@dataclass(frozen=True, kw_only=True)
class TrustedHostKey:
    """The fingerprint of a host key that is accepted beside the pinned ones.

    Attributes:
        fingerprint: `SHA256:...`, as ssh-keygen prints it.
        since: When it was trusted, in seconds since 1970.
        until: When that ends, in seconds since 1970.
        reason: Why, in the operator's words.
        who: The operator.
        revision: Counts the writes to the item; 0 where a person has written it by hand.
    """

    fingerprint: str
    since: float
    until: float
    reason: str = ""
    who: str = ""
    revision: int = 0

    @property
    def ends_at(self) -> float:
        """When it is no longer trusted, in seconds since 1970."""
        return min(self.until, self.since + LONGEST_SECONDS)

    def is_in_force(self, now: float) -> bool:
        """Return whether it is trusted at this time (seconds since 1970)."""
        return now < self.ends_at


class TrustedHostKeys(Protocol):
    """Knows the key that is trusted at present."""

    def current(self) -> TrustedHostKey | None:
        """Return it; None: there is none, or nobody can tell."""
