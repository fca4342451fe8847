"""How many files the partner has got in the last period: counted over all functions, in the ledger's table.

The times of the last drops are in one item, which is replaced on condition that nobody else has. A drop is
counted before the RENAME that makes it: what dies in between has wasted one, and the partner never gets more.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.outcomes import DropRateReached
from s3_to_sftp.rules.timing import period_in_words
from s3_to_sftp.state.attributes import Fields, Item, to_attribute
from s3_to_sftp.state.items import partition_key, version_key
from s3_to_sftp.state.ledger import Lease
from s3_to_sftp.state.table import Table

DROPS_PK, DROPS_SK = "delivery", "drops"
"""Keys of the item."""

_MAX_ATTEMPTS = 10
_SPREAD_SECONDS = 20.0
"""Those that wait for the same drop come back within this time: the first of them gets it."""
_SOON_SECONDS = 1.0
"""A RENAME that takes no longer than this is counted when it was sent."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A data file that the partner has got, or is about to get.

    Attributes:
        at: When it was counted, in seconds since 1970.
        by: Identifies the attempt.
    """

    at: float
    by: str


class Drops:
    """The drops of one partner.

    Args:
        table: The ledger's table.
        clock: Seconds since 1970.
        random: Returns a number from 0 up to, but not including, 1.
    """

    def __init__(
        self,
        table: Table,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._clock = clock
        self._random = random

    def wait(self, *, count: int, period: int) -> DropRateReached | None:
        """Return why the partner may get no further file now; None: it may.

        Args:
            count: The most files in a period.
            period: Its seconds.

        Raises:
            LedgerError: The ledger cannot be used.
        """
        now = self._clock()
        free_at = _free_at(self._read()[0], now, count=count, period=period)
        return None if free_at <= now else self._reached(free_at - now, count=count, period=period)

    def reserve(self, lease: Lease, *, count: int, period: int) -> None:
        """Count the file that is about to get its final name.

        Raises:
            DropRateReached: The partner has got as many as it may.
            LedgerError: The ledger cannot be used.
        """
        ours = _name_of(lease)
        for _ in range(_MAX_ATTEMPTS):
            drops, revision = self._read()
            now = self._clock()
            # One of this attempt has led to no RENAME: it would not ask again.
            others = [drop for drop in drops if drop.by != ours and drop.at > now - period]
            free_at = _free_at(others, now, count=count, period=period)
            if free_at > now:
                raise self._reached(free_at - now, count=count, period=period)
            if self._write([*others, Drop(at=now, by=ours)], revision):
                return
        raise LedgerError(
            f"{lease.ref} got no place among the drops of the partner: too many functions want one.",
            hint="It will be retried.",
        )

    def confirm(self, lease: Lease) -> None:
        """Count the drop from now on: its RENAME has been answered, perhaps long after it was counted.

        Never raises: then it counts from when it was reserved.
        """
        ours = _name_of(lease)
        try:
            for _ in range(_MAX_ATTEMPTS):
                drops, revision = self._read()
                now = self._clock()
                if not any(drop.by == ours and now - drop.at > _SOON_SECONDS for drop in drops):
                    return
                if self._write([Drop(at=now, by=d.by) if d.by == ours else d for d in drops], revision):
                    return
        except LedgerError as error:
            _log.warning("the drop of %s counts from before its RENAME: %s", lease.ref, error)

    def _read(self) -> tuple[list[Drop], int]:
        item = self._table.read(DROPS_PK, DROPS_SK)
        if item is None:
            return [], 0
        fields = Fields(item, hint="Delete the item: the drops of the last period are forgotten then.")
        drops = [Drop(at=each.number("at"), by=each.text("by")) for each in fields.maps_in("drops")]
        return drops, fields.integer("revision")

    def _write(self, drops: list[Drop], revision: int) -> bool:
        attributes: Item = {
            "revision": to_attribute(revision + 1),
            "drops": {"L": [{"M": {"at": {"N": f"{d.at:.3f}"}, "by": to_attribute(d.by)}} for d in drops]},
        }
        return self._table.put(DROPS_PK, DROPS_SK, attributes, expected_revision=revision)

    def _reached(self, seconds: float, *, count: int, period: int) -> DropRateReached:
        files = f"{count} file{'s' if count > 1 else ''}"
        return DropRateReached(
            f"The partner's rule max_drops allows {files} in {period_in_words(period)}.",
            hint="No action needed: it is sent when it is its turn.",
            retry_after=seconds + _SPREAD_SECONDS * self._random(),
        )


def _free_at(drops: list[Drop], now: float, *, count: int, period: int) -> float:
    """Return from when on there are fewer than `count` drops in the last period."""
    times = sorted(drop.at for drop in drops if drop.at > now - period)
    return now if len(times) < count else times[-count] + period


def _name_of(lease: Lease) -> str:
    """Return what no other attempt has; short, since all drops of a period are in one item."""
    text = f"{partition_key(lease.ref)}\n{version_key(lease.ref)}\n{lease.attempt}\n{lease.owner}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
