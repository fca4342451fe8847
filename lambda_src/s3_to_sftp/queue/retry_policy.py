"""How long a message waits for its next attempt, when its retries end, and its history so far."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from s3_to_sftp.defaults import RETRY_FOR_SECONDS

_CLOCK_TOLERANCE_SECONDS = 300
"""Between our clock before SendMessage and the one of SQS: a request that is repeated takes a minute."""

_MAX = 1e11
"""Seconds since the epoch: the year 5138."""


@dataclass(frozen=True, kw_only=True)
class RetryHistory:
    """The retries and waits of a message. It is sent with every copy of the message.

    Attributes:
        first_sent: When the event was first sent, in seconds since the epoch.
        count: Attempts that failed.
        since: When the first of them failed, in seconds since the epoch; None: none has. Moved forward
            by the time that the message has since waited for something other than a failure.
        waits: How often in a row it only waited.
    """

    first_sent: float
    count: int = 0
    since: float | None = None
    waits: int = 0

    @property
    def has_waited(self) -> bool:
        """Whether the message was returned to the queue before."""
        return bool(self.count or self.waits)

    def failed(self, now: float) -> "RetryHistory":
        """Return the history after one more failed attempt."""
        return replace(self, count=self.count + 1, since=now if self.since is None else self.since, waits=0)

    def waited(self, *, paused_for: float = 0) -> "RetryHistory":
        """Return the history after one more wait, which is no attempt.

        Args:
            paused_for: Seconds of the wait that do not count against `retry_for`.
        """
        since = None if self.since is None else self.since + paused_for
        return replace(self, since=since, waits=self.waits + 1)

    def as_text(self, *, sent: float) -> str:
        """Return the history as text, for a message that is sent now."""
        return json.dumps(
            {
                "sent": round(sent, 3),
                "first_sent": round(self.first_sent, 3),
                "tries": self.count,
                "first_try": None if self.since is None else round(self.since, 3),
                "waits": self.waits,
            }
        )

    @classmethod
    def from_text(cls, text: str, *, sent: float) -> "RetryHistory":
        """Read the text of a message that was sent at about this time.

        A redriven message is new to SQS and was sent later than its history says: its retries start again.
        So do those of a message with an attribute that we did not write.
        """
        try:
            written = json.loads(text)
            first_try = written["first_try"]
            read = cls(
                first_sent=_number(written["first_sent"]),
                count=int(_number(written["tries"])),
                since=None if first_try is None else _number(first_try),
                waits=int(_number(written["waits"])),
            )
            is_of_this_message = abs(_number(written["sent"]) - sent) <= _CLOCK_TOLERANCE_SECONDS
        except (ValueError, TypeError, KeyError, RecursionError):
            is_of_this_message = False
        return read if is_of_this_message else cls(first_sent=sent)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    if not 0 <= value < _MAX:
        raise ValueError(f"expected a number that is neither negative nor huge, got {value!r}")
    return value


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded by the time since the first failure.

    Full jitter, because messages that fail together must not return together: a partner that was away
    would get the whole backlog in one second ("Exponential Backoff And Jitter", AWS Architecture Blog).

    Attributes:
        retry_for: Seconds from the first failure after which a message is dead-lettered.
        base: Upper bound of the first wait, in seconds.
        cap: Upper bound of every wait, in seconds. SQS delays a message by 900 at most.
    """

    retry_for: float = RETRY_FOR_SECONDS
    base: float = 5
    cap: float = 900

    def wait(self, attempt: int, *, random: Callable[[], float] = random.random) -> int:
        """Return how many seconds to wait after a failed attempt.

        Args:
            attempt: The attempt that failed, from 1 on.
            random: Returns a number from 0 up to, but not including, 1.

        Returns:
            Whole seconds, from 1 to the smaller of `cap` and base x 2^(attempt - 1).
        """
        # The exponent is bounded: a message may wait a thousand times for a long transfer.
        bound = min(self.cap, self.base * 2 ** min(max(attempt, 1) - 1, 64))
        return 1 + int(random() * max(int(bound), 1))

    def is_over(self, *, first_try: float | None, now: float) -> bool:
        """Return whether the message has been retried for long enough.

        Args:
            first_try: When it first failed, in seconds since the epoch; None: it has not failed.
            now: Seconds since the epoch.
        """
        return first_try is not None and now - first_try >= self.retry_for
