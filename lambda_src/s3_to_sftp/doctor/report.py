"""What the doctor found, for people and programs. Holds no secret."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from s3_to_sftp.untrusted_text import without_secrets

VERSION = 1
"""Of the JSON document."""

PAUSE, BREAKER_CHECK = "pause", "breaker"
"""Names of the checks of what holds deliveries back."""


class Outcome(Enum):
    """Of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something should be looked at."""
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report. Its texts hold no secret.

    Attributes:
        name: What was examined.
        outcome: In short.
        text: What was found; of a failure the cause first.
        advice: What to do next.
        to_partner: What to write to the partner; empty: nothing.
        cause: Name of the cause in `diagnosis`; empty: none of those.
        error: Class of the error; empty: none.
        seconds: How long it took.
    """

    name: str
    outcome: Outcome
    text: str
    advice: str = ""
    to_partner: str = ""
    cause: str = ""
    error: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # A report on a terminal is printed check by check, before there is a document.
        for name in ("text", "advice", "to_partner"):
            object.__setattr__(self, name, without_secrets(getattr(self, name), ours=True))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "outcome": self.outcome.value, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All checks, in their order.

    Attributes:
        server: host:port.
        ran_in: `function`, or `local`.
        checks: Each line.
        profile: What the server showed of itself -> JSON value.
        connections: How many were made to the partner.
    """

    server: str
    ran_in: str
    checks: Sequence[Check]
    profile: Mapping[str, Any] = field(default_factory=dict)
    connections: int = 0

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.outcome is Outcome.FAILED]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing failed, and nothing was left untried because of something else."""
        return all(check.outcome in {Outcome.OK, Outcome.WARNING} for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, without secrets."""
        document = {
            "version": VERSION,
            "server": self.server,
            "ran_in": self.ran_in,
            "healthy": self.is_healthy,
            "checks": [check.as_json() for check in self.checks],
            "profile": self.profile,
            "connections": self.connections,
        }
        cleaned: dict[str, Any] = _cleaned(document, ours=True)
        cleaned["profile"] = _cleaned(self.profile, ours=False)
        return cleaned


def _cleaned(value: Any, *, ours: bool) -> Any:
    """Return a JSON value without secrets in any of its texts.

    Args:
        value: Names of fields are ours, or quoted.
        ours: Whether its texts are sentences of ours. What they quote was cleaned when it was quoted.
    """
    match value:
        case str():
            return without_secrets(value, ours=ours)
        case Mapping():
            return {
                without_secrets(str(name), ours=True): _cleaned(each, ours=ours)
                for name, each in value.items()
            }
        case list() | tuple():
            return [_cleaned(each, ours=ours) for each in value]
    return value
