"""The policy for files of which nobody knows whether they were delivered."""

from enum import StrEnum


class UnknownOutcome(StrEnum):
    """What to do when nothing tells whether a file was delivered."""

    HOLD = "hold"
    """Send the message to the dead-letter queue, with what to ask the partner."""
    RESEND = "resend"
    """Send the object again: the partner may get it twice."""
    ASSUME_DELIVERED = "assume_delivered"
    """Count it as delivered: for partners who collect files at once."""
