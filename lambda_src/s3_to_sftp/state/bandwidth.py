"""The bandwidth of a partner, shared by all functions: a virtual clock in the ledger's table.

The item says from when on the partner's line is free. Who wants to send moves that on by the time that its
bytes take, on condition that nobody else has meanwhile, and sends them from then on (the generic cell rate
algorithm, ITU-T I.371, with one portion as its burst). A function that dies has wasted one portion.
"""

import logging
import math
import time
from collections.abc import Callable

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.state.attributes import Fields, to_attribute
from s3_to_sftp.state.table import Table

BANDWIDTH = "bandwidth"
"""Sort key of the item."""

_MAX_ATTEMPTS = 20
_FARTHEST_SECONDS = 120.0
"""No line is taken for longer: a clock that is ahead has written that, or a function with less bandwidth."""

_log = logging.getLogger(__name__)


class SharedBandwidth:
    """The bandwidth of one server. One per execution environment; belongs to one thread at a time.

    Where the table does not answer, the function keeps to the bandwidth by itself: files come first.

    Args:
        table: The ledger's table.
        server: host:port.
        bytes_per_second: Over all functions.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        table: Table,
        server: str,
        *,
        bytes_per_second: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bytes_per_second = bytes_per_second
        self._table = table
        self._key = f"partner#{server}"
        self._clock = clock
        self._revision: int | None = None
        self._free_at = 0.0
        self._ours_until = 0.0  # of this function alone
        self._warned = False

    def reserve(self, size: int) -> float:
        """Take the line for so many bytes, and return in how many seconds it is ours.

        One write, and one read more where another function has written meanwhile.
        """
        try:
            return self._reserve(size)
        except LedgerError as error:
            if not self._warned:
                _log.warning("the bandwidth is not shared with other functions: %s", error)
            self._warned = True
            self._revision = None
            now = self._clock()
            begins, self._ours_until = self._turn(now, size)
            return begins - now

    def _reserve(self, size: int) -> float:
        for _ in range(_MAX_ATTEMPTS):
            if self._revision is None:
                self._read()
            now = self._clock()
            begins, ends = self._turn(now, size)
            if self._write(ends):
                self._ours_until = ends
                return begins - now
        raise LedgerError("Too many functions want bandwidth at a time.", hint="It will be retried.")

    def _turn(self, now: float, size: int) -> tuple[float, float]:
        """Return from when to when the line is ours."""
        is_far = self._free_at > now + _FARTHEST_SECONDS
        begins = max(now, self._ours_until, 0.0 if is_far else self._free_at)
        # The item has milliseconds; rounded up, so that small portions do not add up to more.
        return begins, math.ceil((begins + size / self.bytes_per_second) * 1000) / 1000

    def _read(self) -> None:
        item = self._table.read(self._key, BANDWIDTH)
        if item is None:
            self._revision, self._free_at = 0, 0.0
            return
        fields = Fields(item, hint="Delete the item: the next function writes a new one.")
        self._revision, self._free_at = fields.integer("revision"), fields.number("free_at")

    def _write(self, free_at: float) -> bool:
        revision = self._revision or 0
        attributes = {"revision": to_attribute(revision + 1), "free_at": {"N": f"{free_at:.3f}"}}
        if self._table.put(self._key, BANDWIDTH, attributes, expected_revision=revision):
            self._revision, self._free_at = revision + 1, free_at
            return True
        self._revision = None
        return False
