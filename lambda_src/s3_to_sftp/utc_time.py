"""Times in sentences for people."""

from datetime import UTC, datetime


def utc_text(seconds: float) -> str:
    """Return a time as `2026-11-29 03:12 UTC`, whatever number it is.

    Args:
        seconds: Since 1970; an item of the ledger may hold any number.
    """
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"
