"""Limits how often per second something is done."""

import time
from collections.abc import Callable

from s3_to_sftp_cli.option_types import Finite


class Rate(Finite):
    """A rate on the command line, 0.1 at least: `nan` and `inf` would mean no limit at all."""

    what = " of objects per second"

    def __init__(self) -> None:
        super().__init__(min=0.1)


class Pace:
    """Lets pass at most so many per second, evenly.

    Args:
        per_second: None: no limit.
        clock: Seconds.
        sleep: Waits.
    """

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def wait(self) -> None:
        """Wait until the next one may pass."""
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(self._next, now) + self._interval
