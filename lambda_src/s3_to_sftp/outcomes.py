"""Outcomes that are no failure: an object waits, is continued, or needs no delivery.

They are raised like errors, since they end an attempt.

DeliveryError
├── SequenceHeld                  another object has the last number, and is not delivered yet
├── LeaseHeld                     another function is sending this key now
├── CircuitOpen                   the circuit breaker is open: nobody connects for a while
├── DeliveriesPaused              an operator has paused deliveries
├── TooYoung                      the rules say to wait until the object is older
├── DeadlineTooClose              not started: the invocation would end first
├── CheckpointSaved               unfinished: the next invocation resumes it
└── NothingToSend                 the object needs no delivery
    ├── AlreadyDelivered          this version is at the partner
    ├── Filtered                  the rules say that such objects are not delivered
    ├── FolderMarker              an empty object that stands for a folder
    ├── Skipped                   something else has the final name, and the rules say not to send it then
    ├── AlreadyGone               this version was found missing from S3 before
    ├── Cancelled                 an operator has cancelled the delivery of this version
    └── Superseded                a newer version of the key is at the partner, or on its way
"""

from s3_to_sftp.errors import DeliveryError, Disposition


class _NotNow(DeliveryError):
    """Nothing is wrong.

    Attributes:
        retry_after: After how many seconds to try again.
    """

    disposition = Disposition.WAIT

    def __init__(self, reason: str, *, hint: str, retry_after: float) -> None:
        super().__init__(reason, hint=hint)
        self.retry_after = retry_after


class LeaseHeld(_NotNow):
    """Another function is sending this object, or another version of its key."""


class SequenceHeld(_NotNow):
    """Another object has taken the last number of the sequence, and is not delivered yet.

    Attributes:
        holder: That object and its number.
        is_being_sent: Whether a function is sending it now: its number will soon be free.
    """

    holder: str = ""
    is_being_sent: bool = False


class CircuitOpen(_NotNow):
    """The circuit breaker is open: nobody connects to the partner for a while."""


class DeliveriesPaused(_NotNow):
    """An operator has paused deliveries.

    Attributes:
        paused_for: Seconds since the pause began.
    """

    def __init__(self, reason: str, *, hint: str, retry_after: float, paused_for: float) -> None:
        super().__init__(reason, hint=hint, retry_after=retry_after)
        self.paused_for = paused_for


class TooYoung(_NotNow):
    """The partner's rules say to wait until the object is older."""


class DeadlineTooClose(_NotNow):
    """The delivery was not started, because the invocation would end first."""


class CheckpointSaved(DeliveryError):
    """A part of the object is at the partner, and the ledger knows how much."""

    disposition = Disposition.CONTINUE


class NothingToSend(DeliveryError):
    """The object needs no delivery, now or later."""

    disposition = Disposition.DONE


class Filtered(NothingToSend):
    """The partner's rules say that such objects are not delivered."""


class Skipped(NothingToSend):
    """Something else has the final name, and the partner's rules say that the object is not sent then."""


class AlreadyDelivered(NothingToSend):
    """This version is at the partner, or was until they processed it.

    Attributes:
        has_action_left: Whether something is left to do with the object in S3.
    """

    has_action_left: bool = False


class FolderMarker(NothingToSend):
    """An empty object that stands for a folder."""


class AlreadyGone(NothingToSend):
    """This version was found missing from S3 before, and is recorded as gone."""


class Cancelled(NothingToSend):
    """An operator has cancelled the delivery of this version."""


class Superseded(NothingToSend):
    """A newer version of the key was sent, or is in the bucket and has its own event."""
