"""The policy for files with an unknown outcome."""

from enum import StrEnum


class UnknownOutcome(StrEnum):
    """What to do when nothing shows whether a file was delivered."""

    HOLD = "hold"
    """Dead-letter the message, with a hint what to ask the partner."""
    RESEND = "resend"
    """Send the object again: the partner may get it twice."""
    ASSUME_DELIVERED = "assume_delivered"
    """Count it as delivered: for partners that collect files at once."""
