"""When a refusal is no matter of the object any more: the partner refuses different objects alike.

One wrong permission at the partner, a full disk, or a file system that is mounted read-only shows itself as
a refusal of each object. Three different ones in a row that are refused the same request with the same
status, and none accepted in between, are taken for the state of the partner: the rest waits.
"""

import hashlib

from s3_to_sftp.errors import CheckpointSaved, Disposition, PartnerRefusesWrites, RequestRefused
from s3_to_sftp.s3.object_ref import ObjectRef

ALIKE = 3
"""So many different objects in a row, refused alike, are the state of the partner."""

_TOLD_OBJECTS = 2 * ALIKE
"""More need not be remembered."""


class RefusalStreak:
    """Refusals that are alike, since an object was accepted last.

    Attributes:
        accepted: Objects that the partner has accepted.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self._refused: RequestRefused | None = None
        self._objects: dict[str, None] = {}

    def record(self, ref: ObjectRef, outcome: object, *, accepted_before: int | None = None) -> None:
        """Count what came of an object. What says nothing about the partner changes nothing.

        Args:
            ref: The object.
            outcome: What came of it; an exception, or it was accepted.
            accepted_before: `accepted` when it was begun. Where another one was accepted since then, a
                refusal says nothing about the partner.
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
        """Begin anew."""
        self._refused = None
        self._objects = {}

    @property
    def are_the_partners(self) -> bool:
        """Whether there are so many that no further object need be tried."""
        return len(self._objects) >= ALIKE

    def error(self) -> PartnerRefusesWrites | None:
        """Return what is wrong with the partner if there are enough of these; None: nothing was refused."""
        refused = self._refused
        if refused is None:
            return None
        return PartnerRefusesWrites(
            f"Object after object is refused alike; the last one: {refused.reason}",
            hint=refused.hint,
            alike=_alike(refused),
            objects=tuple(self._objects)[:_TOLD_OBJECTS],
        )


def _alike(refused: RequestRefused | None) -> str:
    return f"{refused.request} {refused.code}" if refused else ""


def _short(ref: ObjectRef) -> str:
    return hashlib.sha256(f"{ref.bucket}/{ref.key}".encode()).hexdigest()[:12]
