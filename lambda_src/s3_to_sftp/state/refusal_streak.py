"""When refusals concern the partner, not the object: the server refuses different objects alike.

One wrong permission at the partner, a full disk, or a file system that is mounted read-only shows up as a
refusal of every object. When three different objects in a row are refused the same request with the same
status, and none is accepted in between, the partner is considered to refuse writes: the rest waits.
"""

import hashlib

from s3_to_sftp.errors import Disposition, PartnerRefusesWrites, RequestRefused
from s3_to_sftp.outcomes import CheckpointSaved
from s3_to_sftp.s3.object_ref import ObjectRef

ALIKE = 3
"""This many different objects in a row, refused alike, mean that the partner refuses writes."""

_REPORTED_OBJECTS = 2 * ALIKE
"""More are not remembered."""


class RefusalStreak:
    """Refusals that are alike, since the last object that was accepted.

    Attributes:
        accepted: Objects that the partner has accepted.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self._refused: RequestRefused | None = None
        self._objects: dict[str, None] = {}

    def record(self, ref: ObjectRef, outcome: object, *, accepted_before: int | None = None) -> None:
        """Count the outcome of an object. Other errors change nothing.

        Args:
            ref: The object.
            outcome: An exception; anything else means that the object was accepted.
            accepted_before: `accepted` when the object was started. Where another one was accepted since
                then, a refusal says nothing about the partner.
        """
        if not isinstance(outcome, Exception) or isinstance(outcome, CheckpointSaved):
            self.accepted += 1
            self.forget()
        elif accepted_before not in {None, self.accepted}:
            return
        elif isinstance(outcome, RequestRefused) and outcome.disposition is not Disposition.PERMANENT:
            if _alike(self._refused) != _alike(outcome):
                self.forget()
            self._refused = outcome
            self._objects[_short(ref)] = None

    def forget(self) -> None:
        """Start a new streak."""
        self._refused = None
        self._objects = {}

    @property
    def are_the_partners(self) -> bool:
        """Whether there are enough refusals that no further object needs to be tried."""
        return len(self._objects) >= ALIKE

    def error(self) -> PartnerRefusesWrites | None:
        """Return the error for the streak of refusals; None: nothing was refused."""
        refused = self._refused
        if refused is None:
            return None
        return PartnerRefusesWrites(
            f"{refused.reason} The server refuses different objects for the same reason.",
            hint=refused.hint,
            alike=_alike(refused),
            objects=tuple(self._objects)[:_REPORTED_OBJECTS],
        ).with_cause_of(refused)


def _alike(refused: RequestRefused | None) -> str:
    return f"{refused.request} {refused.code}" if refused else ""


def _short(ref: ObjectRef) -> str:
    return hashlib.sha256(f"{ref.bucket}/{ref.key}".encode()).hexdigest()[:12]
