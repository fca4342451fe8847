"""How many objects were delivered today: from the ledger, or, where they are many, from the metrics."""

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.status import Today

MOST_TODAY = 20_000
"""Deliveries that are counted in the ledger; more are taken from CloudWatch."""


class TodaysDeliveries:
    """Counts today's deliveries; looks only at those that it has not seen."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._start(date.min)

    def _start(self, day: date) -> None:
        self._day = day
        self._since: datetime | None = None
        self._at_since: set[tuple[str, str, str]] = set()
        self._size = 0
        self._seconds: list[float] = []
        self._count = 0
        self._superseded = 0
        self._superseded_since: datetime | None = None

    def read(self, now: datetime) -> Today | None:
        """Return today's deliveries; None: there are too many to count them.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        day = now.astimezone(UTC).date()
        if day != self._day:
            self._start(day)
        if self._count >= MOST_TODAY:
            return None
        for record in self._ledger.delivered(day, day, since=self._since):
            self._add(record)
            if self._count >= MOST_TODAY:
                return None
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        superseded, skipped = (
            sum(1 for _ in islice(self._ledger.in_state(state, since=midnight), MOST_TODAY))
            for state in ("SUPERSEDED", "SKIPPED")
        )
        return Today(
            day=day,
            delivered=self._count,
            size=self._size,
            p95=percentile(self._seconds, 95),
            superseded=superseded,
            skipped=skipped,
            source="ledger",
        )

    def _add(self, record: Record) -> None:
        identity = record.identity
        if record.changed == self._since:
            if identity in self._at_since:
                return
        else:
            self._since, self._at_since = record.changed, set()
        self._at_since.add(identity)
        self._count += 1
        self._size += record.size or 0
        if record.changed and record.first_seen and not record.earlier_receipts:
            self._seconds.append((record.changed - record.first_seen).total_seconds())


def todays_metrics(cloudwatch: Any, function: str, now: datetime) -> Today:
    """Return today's deliveries as the metrics count them.

    Raises:
        ClientError, BotoCoreError: CloudWatch refused, or did not answer.
    """
    day = now.astimezone(UTC).date()
    wanted = {
        "delivered": ("Delivered", "Sum"),
        "bytes": ("DeliveredBytes", "Sum"),
        "p95": ("DeliverySeconds", "p95"),
        "superseded": ("Superseded", "Sum"),
    }
    dimensions = [
        {"Name": "function_name", "Value": function},
        {"Name": "service", "Value": "s3-to-sftp"},
    ]
    answer = cloudwatch.get_metric_data(
        StartTime=datetime(day.year, day.month, day.day, tzinfo=UTC),
        EndTime=now,
        MetricDataQueries=[
            {
                "Id": name,
                "MetricStat": {
                    "Metric": {"Namespace": "S3ToSftp", "MetricName": metric, "Dimensions": dimensions},
                    "Period": 86_400,
                    "Stat": statistic,
                },
            }
            for name, (metric, statistic) in wanted.items()
        ],
    )
    values = {each["Id"]: each["Values"] for each in answer["MetricDataResults"]}
    return Today(
        day=day,
        delivered=int(sum(values.get("delivered", ()))),
        size=int(sum(values.get("bytes", ()))),
        p95=max(values.get("p95", ()), default=None),
        superseded=int(sum(values.get("superseded", ()))),
        source="cloudwatch",
    )


def percentile(values: Iterable[float], share: int) -> float | None:
    """Return the smallest of the values that this many percent of them do not exceed; None: there is none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * share / 100) - 1, 0)] if ordered else None
