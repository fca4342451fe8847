"""What the doctor is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3_to_sftp.errors import CredentialsError

OPERATION = "doctor"
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
STAGES = (CURRENT, "AWSPENDING", PREVIOUS)
"""Staging labels of Secrets Manager."""


class SecretVersionMissing(CredentialsError):
    """The secret has no version with the staging label that was asked for."""


@dataclass(frozen=True, kw_only=True)
class DoctorRequest:
    """The event of an examination.

    Attributes:
        write: Whether to put a file at the partner for a moment.
        secret_version: Staging label of the secret's version whose login is tried.
        canary: Whether a schedule asks, not a person: what has changed since the last time is told. It never
            writes.
        retry_login: Whether to send the login although the partner has refused it before.
        measure: Whether to find out what the server does, with small files that are removed.
    """

    write: bool = False
    secret_version: str = CURRENT
    canary: bool = False
    retry_login: bool = False
    measure: bool = False

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "DoctorRequest":
        """Read the event; what it does not say is as by default.

        Raises:
            ValueError: It asks for a version that is none.
        """
        stage = event.get("secret_version") or CURRENT
        if stage not in STAGES:
            raise ValueError(f"secret_version must be one of {', '.join(STAGES)}.")
        canary = event.get("canary") is True
        return cls(
            write=event.get("write") is True and not canary,
            secret_version=CURRENT if canary else stage,
            canary=canary,
            retry_login=event.get("retry_login") is True and not canary,
            measure=event.get("measure") is True and not canary,
        )

    def as_event(self) -> dict[str, Any]:
        """Return the event that asks for this."""
        return {"operation": OPERATION, **vars(self)}


def is_doctor_request(event: object) -> bool:
    """Return whether the function is asked for an examination."""
    return isinstance(event, dict) and event.get("operation") == OPERATION
