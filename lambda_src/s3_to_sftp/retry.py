"""How long a message waits for its next try, and when it has waited long enough."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded by the age of the message.

    Full jitter, because what fails together must not come back together: a partner who was away would
    meet the whole backlog in one second ("Exponential Backoff And Jitter", AWS Architecture Blog).

    Attributes:
        retry_for: Seconds from the sending of the message after which it is given up.
        base: Upper bound of the first wait, in seconds.
        cap: Upper bound of every wait, in seconds.
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
        # The exponent is bounded: a message that waited for an open breaker may be at its thousandth.
        bound = min(self.cap, self.base * 2 ** min(max(attempt, 1) - 1, 64))
        return 1 + int(random() * max(int(bound), 1))

    def is_over(self, *, first_sent: float, now: float) -> bool:
        """Say whether the message has been tried long enough. Both times in seconds since the epoch."""
        return now - first_sent >= self.retry_for
