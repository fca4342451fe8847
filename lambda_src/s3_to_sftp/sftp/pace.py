"""Bytes leave no faster than the partner wants them: one pace for all streams of a function.

Nothing of this is loaded or asked where no bandwidth is set.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

LONGEST_SHARE_SECONDS = 1.0
"""A function takes its share of the partner's bandwidth in portions of this time."""

_FORGOTTEN_AFTER_SECONDS = 2.0
"""What is left of a portion later than this after it began is lost: nothing is saved up for a burst."""


class Bandwidth(Protocol):
    """Shares the bandwidth among functions."""

    bytes_per_second: float

    def reserve(self, size: int) -> float:
        """Take a portion of so many bytes, and return in how many seconds it begins. Never raises."""


class Pace:
    """Lets bytes wait until it is their turn. Thread-safe: all streams of a function share it.

    It waits before bytes are given to SFTP, never while a reply is being waited for, and never longer at a
    time than the portions of the other functions take: the partner sees a slow writer, not an idle one.

    Args:
        bandwidth: Shares it among functions.
        clock: Seconds.
        sleep: Waits.
    """

    def __init__(
        self,
        bandwidth: Bandwidth,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bandwidth = bandwidth
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._left = 0
        self._begun = 0.0

    @property
    def bytes_per_second(self) -> float:
        """Of the partner."""
        return self._bandwidth.bytes_per_second

    def wait_for(self, size: int) -> None:
        """Wait until so many bytes may leave."""
        with self._lock:
            if self._clock() - self._begun > _FORGOTTEN_AFTER_SECONDS:
                self._left = 0
            if self._left < size:
                portion = int(self.bytes_per_second * LONGEST_SHARE_SECONDS)
                wanted = max(size - self._left, portion)
                seconds = self._bandwidth.reserve(wanted)
                if seconds > 0:
                    self._sleep(seconds)
                self._left += wanted
                self._begun = self._clock()
            self._left -= size
