"""The circuit breaker: no connections to a partner that is away, refuses the login, or refuses every file.

One item in the ledger's table per server, shared by all functions that deliver to it. `breaker_state.py`
decides what a failure makes of it, `dynamodb_circuit_breaker.py` reads and writes it.

    closed ──failures in a row──> open ──time over, or new login──> half-open ──success──> closed
                                   ^                                    │
                                   └──────────────failure───────────────┘

Half-open is no state of its own: it is an open breaker with a claim, and the function with the claim tries.

A server that accepts the login and refuses a file is reachable, and the login is right: that ends a streak of
such failures, and closes a breaker that they have opened. Whether the server accepts files is another streak:
several different objects that are refused alike open the breaker, too, and only an accepted one closes it.

A breaker that cannot be read or written never stops a delivery.

`DynamoCircuitBreaker` implements it; `NoCircuitBreaker` replaces it where there is no table.
"""

from dataclasses import dataclass
from typing import Protocol

from s3_to_sftp.errors import DeliveryError


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The circuit breaker has opened, or stays open for another reason than before.

    Attributes:
        server: host:port.
        reason: What is wrong.
        error: Name of the error's class.
        since: First failure of this streak, in seconds since the epoch.
        failures: In a row.
        retry_at: When one function will try again, in seconds since the epoch.
    """

    server: str
    reason: str
    error: str
    since: float
    failures: int
    retry_at: float


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The partner is accepting files again.

    Attributes:
        server: host:port.
        reason: The last thing that was wrong.
        error: Name of that error's class.
        since: First failure of the streak that has ended, in seconds since the epoch.
        failures: In that streak.
    """

    server: str
    reason: str
    error: str
    since: float
    failures: int


@dataclass(frozen=True, kw_only=True)
class LastFailure:
    """The last failure of a streak that has not ended.

    Attributes:
        error: Name of its class.
        reason: What was wrong.
        since: First failure of the streak, in seconds since 1970.
    """

    error: str
    reason: str
    since: float = 0


class CircuitBreaker(Protocol):
    """Decides who may connect to the partner. Only `admit` may fail a delivery."""

    @property
    def is_open(self) -> bool:
        """Whether it was open when it was last read or written."""

    def admit(self, *, configuration: str, until: float) -> None:
        """Let the caller connect, or raise an error with the time to wait.

        Args:
            configuration: Identifies what can be fixed (secret's version, host keys) without showing it.
            until: When the caller's invocation must have ended, in seconds since the epoch.

        Raises:
            CircuitOpen: The breaker is open, or another function is trying.
        """

    def failed(self, error: DeliveryError, *, configuration: str) -> Opened | None:
        """Count an error that blocks every delivery; other errors are not counted.

        Returns:
            The event to publish: the breaker has opened, or stays open for a new reason. Else None.
        """

    def last_failure(self, *, configuration: str) -> LastFailure | None:
        """Return the last failure, if this configuration has failed since the partner accepted anything."""

    def login_accepted(self) -> Recovered | None:
        """Learn that the server accepted the login and refused a file: all that is known so far.

        Returns:
            The event to publish, when the breaker was open for another reason than refused files.
        """

    def succeeded(self) -> Recovered | None:
        """Close the breaker: the server has accepted a file. Called once per invocation.

        Returns:
            The event to publish, when the breaker was open.
        """

    def release(self) -> None:
        """Release the claim, if this function has it and learned nothing: another one may try."""


class NoCircuitBreaker:
    """Always admits the caller: there is no table for its state."""

    is_open = False

    def admit(self, *, configuration: str, until: float) -> None:
        """Admit everybody."""

    def failed(self, error: DeliveryError, *, configuration: str) -> None:
        """Count nothing."""

    def last_failure(self, *, configuration: str) -> None:
        """Know of none."""

    def login_accepted(self) -> None:
        """Close nothing."""

    def succeeded(self) -> None:
        """Close nothing."""

    def release(self) -> None:
        """Release nothing."""
