"""The figures of a report, added up in one pass over the ledger in bounded memory."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from s3_to_sftp_cli.checksums import hexadecimal
from s3_to_sftp_cli.deliveries import number_of_delivery, seconds_to_deliver
from s3_to_sftp_cli.ledger import Record

_BUCKETS_PER_DOUBLING = 8
"""Times to deliver are counted in buckets of 2^(1/8): a percentile is right to 9 %, whatever their number."""

_SHORTEST_SECONDS = 0.01

_BOUNDS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86_400, math.inf)
"""Seconds: the upper bounds of the bars that people see."""


@dataclass
class Times:
    """Durations in seconds, counted on a logarithmic scale, and in bars for people."""

    buckets: Counter[int] = field(default_factory=Counter)
    bars: Counter[float] = field(default_factory=Counter)
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        position = math.log2(max(seconds, _SHORTEST_SECONDS) / _SHORTEST_SECONDS) * _BUCKETS_PER_DOUBLING
        self.buckets[int(position)] += 1
        self.bars[next(bound for bound in _BOUNDS if seconds <= bound)] += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, share: float) -> float | None:
        """Return the duration that this share (0 to 1) does not exceed; None: nothing was counted."""
        wanted = math.ceil(sum(self.buckets.values()) * share)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                upper: float = _SHORTEST_SECONDS * 2.0 ** ((bucket + 1) / _BUCKETS_PER_DOUBLING)
                return min(upper, self.longest)
        return None

    def histogram(self) -> list[tuple[float, int]]:
        """Return upper bounds in seconds (the last may be infinite), and how many are between two."""
        if not self.bars:
            return []
        lowest, highest = min(self.bars), max(self.bars)
        return [(bound, self.bars[bound]) for bound in _BOUNDS if lowest <= bound <= highest]


@dataclass
class Figures:
    """What a report says of a period.

    Attributes:
        first: Its first day (UTC).
        last: Its last day.
        delivered: Deliveries: an object that was sent again counts each time.
        sent_again: Those of them that were not the first delivery of their object version.
        volume: Bytes.
        per_slot: Deliveries and bytes by day, or by hour for a period of a day or two.
        times: From the first sight of an object to its first receipt.
        failures: Objects that wait for a person, by reason.
        by_state: Objects that ended otherwise, by state.
        evidence: Deliveries by evidence.
        unverified: Deliveries whose bytes were compared with no checksum of S3's.
    """

    first: date
    last: date
    delivered: int = 0
    sent_again: int = 0
    volume: int = 0
    per_slot: dict[datetime, tuple[int, int]] = field(default_factory=dict)
    times: Times = field(default_factory=Times)
    failures: Counter[str] = field(default_factory=Counter)
    by_state: Counter[str] = field(default_factory=Counter)
    evidence: Counter[str] = field(default_factory=Counter)
    unverified: int = 0

    @property
    def is_by_hour(self) -> bool:
        """Whether a slot is an hour, not a day."""
        return self.last - self.first <= timedelta(days=1)

    def add_delivery(self, record: Record) -> None:
        """Count a delivery."""
        size = int(record.receipt.get("bytes", record.size or 0))
        self.delivered += 1
        self.sent_again += (number_of_delivery(record) or 1) > 1
        self.volume += size
        self.evidence[str(record.receipt.get("evidence", ""))] += 1
        self.unverified += record.receipt.get("verified_by", "none") == "none"
        if record.changed is not None:
            slot = record.changed.replace(minute=0, second=0, microsecond=0)
            slot = slot if self.is_by_hour else slot.replace(hour=0)
            deliveries, volume = self.per_slot.get(slot, (0, 0))
            self.per_slot[slot] = (deliveries + 1, volume + size)
        if (seconds := seconds_to_deliver(record)) is not None:
            self.times.add(seconds)

    def add_other_end(self, record: Record) -> None:
        """Count an object that was not delivered."""
        self.by_state[record.state] += 1
        if record.state in ("FAILED", "UNKNOWN"):
            self.failures[kind_of_failure(record)] += 1


def kind_of_failure(record: Record) -> str:
    """Return what alike failures have in common: error, and the server's status and request."""
    return " ".join(filter(None, (record.error or record.state, record.sftp_status, record.operation)))


def as_row(record: Record) -> Mapping[str, str | int | float | None]:
    """Return a delivery as the table and the CSV file show it."""
    receipt = record.receipt
    return {
        "delivered": record.changed.strftime("%Y-%m-%d %H:%M:%S") if record.changed else "",
        "bucket": record.bucket,
        "key": record.key,
        "version": record.version,
        "remote_path": record.remote_path,
        "bytes": int(receipt.get("bytes", 0)),
        "seconds": seconds_to_deliver(record),
        "checksum_algorithm": str(receipt.get("checksum_algorithm", "")),
        "checksum": hexadecimal(str(receipt.get("checksum", ""))),
        "sha256": str(receipt.get("sha256", "")),
        "verified_by": str(receipt.get("verified_by", "none")),
        "evidence": str(receipt.get("evidence", "")),
        "attempts": record.attempts,
        "delivery": number_of_delivery(record),
        "sequence": None if receipt.get("sequence") is None else int(receipt["sequence"]),
        "companions": " ".join(map(str, receipt.get("companions") or ())),
    }
