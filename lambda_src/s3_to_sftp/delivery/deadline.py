"""Which invocation it is, and how much of it is left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from s3_to_sftp.outcomes import DeadlineTooClose
from s3_to_sftp.s3.object_ref import ObjectRef

SMALL_BYTES = 1024 * 1024
"""Objects up to this size are read whole, many at a time, and share the round trips of one connection."""

_MOST_RESERVE_SECONDS = 30.0
"""Kept for the end of an invocation: the window is drained, the file closed, the checkpoint written."""

_RESERVE_SHARE = 0.25
"""Of an invocation that is too short for that reserve."""

_SLOW_BYTES_PER_SECOND = 5e6
"""On the slow side of what partners take: an object that is put off needlessly loses less than a batch."""

_FAST_BYTES_PER_SECOND = 75e6
"""The network of one function: nothing is sent faster."""

_LONGEST_SECONDS = 1800.0
"""The most that Lambda allows (CreateFunction, `Timeout`; the developer guide still says 900)."""

_MARGIN_SECONDS = 2.0
"""Lambda ends an invocation a little later than it says."""


class Deadline:
    """The end of an invocation.

    Attributes:
        ends_at: When it is over for sure, in seconds since the epoch.
        seconds: What there was at its begin.
        reserve: Seconds before its end from which on nothing new is sent.
    """

    def __init__(self, remaining: Callable[[], float], *, clock: Callable[[], float] = time.time) -> None:
        """Begin an invocation.

        Args:
            remaining: Returns the seconds that are left; asked often.
            clock: Seconds since the epoch.
        """
        self._remaining = remaining
        self._first = True
        self.seconds = remaining()
        self.ends_at = clock() + self.seconds + _MARGIN_SECONDS
        self.reserve = min(_MOST_RESERVE_SECONDS, self.seconds * _RESERVE_SHARE)

    def is_near(self) -> bool:
        """Return whether it is time to stop."""
        return self._remaining() < self.reserve

    @property
    def seconds_of_work(self) -> float:
        """What an invocation as long as this one has for work."""
        return self.seconds - self.reserve

    @property
    def seconds_left(self) -> float:
        """What is left for work."""
        return self._remaining() - self.reserve

    def is_fresh(self, share: float) -> bool:
        """Return whether at least this share of the time for work is left."""
        return self.seconds_left >= share * self.seconds_of_work

    def suffices_for(self, size: int, *, at_best: bool = False) -> bool:
        """Return whether so many bytes can be sent in time.

        Args:
            size: Bytes.
            at_best: As fast as a function's network is; by default as slow as slow partners are.
        """
        speed = _FAST_BYTES_PER_SECOND if at_best else _SLOW_BYTES_PER_SECOND
        return size / speed < self.seconds_left

    def require_time_for(self, ref: ObjectRef, *, is_resumable: bool) -> None:
        """Refuse an object for which there is no time left.

        Args:
            ref: The object.
            is_resumable: Whether the next invocation could resume it.

        Raises:
            DeadlineTooClose: There is no time. The first large object of an invocation has all the time that
                there is, and is only refused when that is nothing: however large, it must have its turn.
        """
        is_large = ref.size is None or ref.size > SMALL_BYTES
        must_be_done = is_large and not self._first and not is_resumable
        if self.is_near() or (must_be_done and not self.suffices_for(ref.size or 0)):
            raise DeadlineTooClose(
                f"{ref} was not started: the invocation would end first.",
                hint="It will be retried at once.",
                retry_after=0,
            )
        self._first = self._first and not is_large


@dataclass(frozen=True)
class Invocation:
    """One invocation of the function.

    Attributes:
        deadline: Its end.
        request_id: As the log names it; the leases that it takes are its own.
    """

    deadline: Deadline
    request_id: str = ""

    @classmethod
    def longest(cls) -> "Invocation":
        """Return one that lasts as long as any may."""
        started = time.monotonic()
        return cls(Deadline(lambda: started + _LONGEST_SECONDS - time.monotonic()))
