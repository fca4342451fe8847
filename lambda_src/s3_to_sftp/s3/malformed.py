"""Errors of malformed events, with bounded quotations."""

from s3_to_sftp.errors import EventError

_MOST_QUOTED = 100
"""Characters. A sender with access to the queue may write text of any length into a field."""


def malformed(why: str, *, hint: str = "") -> EventError:
    """Return the error for an event that is refused."""
    return EventError(
        f"The message is not an S3 notification: {why}.",
        hint=hint
        or "Only S3 should send to this queue, itself or through EventBridge or SNS; look at the message in "
        "the dead-letter queue.",
    )


def quoted(value: object) -> str:
    """Return a value of an event as a short text: bounded in length and depth."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'JSON object'}"
    text = repr(value)
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}..."
