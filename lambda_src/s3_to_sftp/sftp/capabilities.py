"""What the partner's server can do: shown before it is relied on, forgotten when something contradicts it.

`Capabilities` is what a server has proven; `probe` has the questions that are asked on the wire, `resume` and
`stream_admission` ask them where the answer is not known. `AcceptedStreams` is how many streams the partner
accepts, as far as it has refused some. The connection pool owns both.
"""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from s3_to_sftp.server import Server

_log = logging.getLogger(__name__)

CHANNEL = -1
"""The stream that is a second channel of connection 0. A third brings nothing."""

_DISABLED_FOR_SECONDS = 600.0
"""How long a failed stream is not tried: a partner may allow more later, and one cut cable says little."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What one server has proven. None: it was not asked.

    Attributes:
        resume: Whether a file that was begun over one connection can be resumed over a later one.
        parallel_connections: Whether it keeps together what several connections write into one file.
        parallel_channels: Whether it keeps together what several channels of one connection write.
    """

    resume: bool | None = None
    parallel_connections: bool | None = None
    parallel_channels: bool | None = None

    @classmethod
    def of_stream(cls, number: int) -> "Capabilities":
        """Return what is proven once such a further stream and the first one have written one file."""
        return cls(parallel_channels=True) if number == CHANNEL else cls(parallel_connections=True)

    def supports_stream(self, number: int) -> bool:
        """Return whether it is proven that such a further stream and the first one may write one file."""
        return bool(self.parallel_channels if number == CHANNEL else self.parallel_connections)

    def updated(self, newer: "Capabilities") -> "Capabilities":
        """Return these with the answers of the newer ones."""
        answers = {name: answer for name, answer in asdict(newer).items() if answer is not None}
        return replace(self, **answers)


def channels_only(numbers: list[int]) -> bool:
    """Return whether these further streams share the connection of the first one."""
    return numbers == [CHANNEL]


class AcceptedStreams:
    """Which further streams the partner accepts, as far as it has shown it. Shared by the streams' threads.

    Each has the number of its connection. Where only one connection is allowed, or left, there is one
    further stream, a second channel of it: that gains less, but costs the partner no login.
    """

    def __init__(self, server: Server, *, max_connections: int, clock: Callable[[], float]) -> None:
        self._server = server
        self._connections = range(1, max_connections)
        self._clock = clock
        self._lock = threading.Lock()
        self._disabled_until: dict[int, float] = {}
        self._refusal_logged = False

    @property
    def limit(self) -> int:
        """How many streams the partner allows, the first one with them."""
        return 1 + len(self.numbers())

    def numbers(self) -> list[int]:
        """Return the numbers of the further streams that the partner has not refused recently."""
        with self._lock:
            now = self._clock()
            self._disabled_until = {
                number: until for number, until in self._disabled_until.items() if until > now
            }
            accepted = [number for number in self._connections if number not in self._disabled_until]
            return accepted or [number for number in (CHANNEL,) if number not in self._disabled_until]

    @property
    def allows_channel(self) -> bool:
        """Whether a second channel of connection 0 was not refused."""
        return CHANNEL not in self._disabled_until

    def disable(self, number: int, reason: Exception) -> None:
        """Remember that the partner does not accept this stream as well; warn the first time.

        This number is disabled, not the highest one: the others may have warm connections.
        """
        with self._lock:
            if number in self._disabled_until:
                return
            self._disabled_until[number] = self._clock() + _DISABLED_FOR_SECONDS
        self._log_refusal(f"does not accept all streams: for now {self.limit} at most", reason)

    def disable_channel(self, reason: Exception) -> None:
        """Remember that the server allows no second channel."""
        if self._connections:  # no further stream would be a channel: nothing to log
            self._disabled_until[CHANNEL] = self._clock() + _DISABLED_FOR_SECONDS
        else:
            self.disable(CHANNEL, reason)

    def disable_all(self, reason: str, *, permanent: bool = True) -> None:
        """Remember that the server supports one stream only: for a while, or until another server answers."""
        until = math.inf if permanent else self._clock() + _DISABLED_FOR_SECONDS
        with self._lock:
            self._disabled_until = dict.fromkeys((*self._connections, CHANNEL), until)
        self._log_refusal("using one connection per file", reason)

    def forget_refusals(self) -> None:
        """Forget what was refused: it says nothing about another server."""
        with self._lock:
            self._disabled_until = {}

    def _log_refusal(self, what: str, reason: object) -> None:
        level = logging.INFO if self._refusal_logged else logging.WARNING
        self._refusal_logged = True
        _log.log(level, "%s: %s (%s)", self._server, what, reason)
