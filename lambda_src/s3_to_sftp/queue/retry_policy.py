"""How long a message waits for its next try, when its tries are over, and what it has been through."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

_SAME_SENDING_SECONDS = 300
"""Between our clock before SendMessage and the one of SQS: a request that is repeated takes a minute."""

_MOST = 1e11
"""Seconds since the epoch: the year 5138."""


@dataclass(frozen=True, kw_only=True)
class RetryHistory:
    """What a message has been through. It is carried along whenever the message is sent anew.

    Attributes:
        first_sent: When the event was first sent, in seconds since the epoch.
        count: Tries that failed.
        since: When the first of them failed, in seconds since the epoch; None: none has. Moved on by the
            time that the message has waited since then for something that is nobody's fault.
        waits: Times in a row that it only waited.
    """

    first_sent: float
    count: int = 0
    since: float | None = None
    waits: int = 0

    def failed(self, now: float) -> "RetryHistory":
        """Return what it is after one more failed try."""
        return replace(self, count=self.count + 1, since=now if self.since is None else self.since, waits=0)

    def waited(self, *, clock_stands_for: float = 0) -> "RetryHistory":
        """Return what it is after one more wait, which is no try.

        Args:
            clock_stands_for: Seconds of the wait that do not count as time that it is retried for.
        """
        since = None if self.since is None else self.since + clock_stands_for
        return replace(self, since=since, waits=self.waits + 1)

    def as_text(self, *, sent: float) -> str:
        """Write it down for a message that is sent at this moment."""
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
        """Read what was written for a message that was sent at about this moment.

        A message that somebody has moved back from the dead-letter queue is new to SQS and was sent later
        than is written in it: it is tried for anew. So is one with an attribute that we have not written.
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
            is_of_this_message = abs(_number(written["sent"]) - sent) <= _SAME_SENDING_SECONDS
        except (ValueError, TypeError, KeyError, RecursionError):
            is_of_this_message = False
        return read if is_of_this_message else cls(first_sent=sent)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    if not 0 <= value < _MOST:
        raise ValueError(f"expected a number that is neither negative nor huge, got {value!r}")
    return value


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded by the time since the first try.

    Full jitter, because what fails together must not come back together: a partner who was away would
    meet the whole backlog in one second ("Exponential Backoff And Jitter", AWS Architecture Blog).

    Attributes:
        retry_for: Seconds from the first try after which a message is given up.
        base: Upper bound of the first wait, in seconds.
        cap: Upper bound of every wait, in seconds. SQS delays a message by 900 at most.
    """

    retry_for: float = 86_400
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
        # The exponent is bounded: a message that waits behind a long send may be at its thousandth look.
        bound = min(self.cap, self.base * 2 ** min(max(attempt, 1) - 1, 64))
        return 1 + int(random() * max(int(bound), 1))

    def is_over(self, *, first_try: float | None, now: float) -> bool:
        """Return whether it was tried long enough.

        Args:
            first_try: When it first failed, in seconds since the epoch; None: it has not.
            now: Seconds since the epoch.
        """
        return first_try is not None and now - first_try >= self.retry_for
