"""The objects that wait or are being sent, and how fast the latter go."""

from datetime import datetime
from itertools import islice

from s3_to_sftp.outcomes import DropRateReached, SequenceHeld, WindowClosed
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.status import InFlight, Upload

MOST_IN_FLIGHT = 10_000
"""Objects without a final state that are looked at, the oldest first."""

STALE_SECONDS = 90
"""Progress is written every 20 seconds. What is older is not shown as present."""

_LEASE_MARGIN_SECONDS = 2.0
"""A lease lasts this much longer than the invocation's timeout."""

_Observation = tuple[int, float]
"""Bytes that were sent, and when, in seconds since 1970."""


class ObjectsInFlight:
    """Reads them again and again: the rate of an upload is that between two observations.

    Args:
        delivery: Which one.
        ledger: Its ledger.
    """

    def __init__(self, delivery: DeployedDelivery, ledger: LedgerReader) -> None:
        self._delivery = delivery
        self._ledger = ledger
        self._progress: dict[tuple[str, str, str], tuple[_Observation, ...]] = {}

    def read(self, now: float) -> InFlight:
        """Return what the ledger says of them.

        Args:
            now: Seconds since 1970.

        Raises:
            ClientError, BotoCoreError: The table refused, or did not answer.
        """
        records = self._ledger.in_flight()
        oldest: datetime | None = None
        looked_at = waiting = sending = for_number = for_drop = 0
        windows: list[float] = []
        next_tries: list[float] = []
        uploads: list[Upload] = []
        seen: dict[tuple[str, str, str], tuple[_Observation, ...]] = {}
        for looked_at, record in enumerate(islice(records, MOST_IN_FLIGHT), start=1):  # noqa: B007 - the last counts
            if not record.is_being_sent(now):
                oldest = oldest or record.changed or record.first_seen
                waiting += 1
                for_number += record.error == SequenceHeld.__name__
                for_drop += record.error == DropRateReached.__name__
                if record.error == WindowClosed.__name__:
                    windows.append(record.next_try or now)
                if record.next_try is not None:
                    next_tries.append(record.next_try)
                continue
            sending += 1
            if (upload := self._upload(record, now)) is not None:
                seen[record.identity] = self._last_two(record, (upload.sent, upload.at))
                uploads.append(upload)
        self._progress = seen
        return InFlight(
            oldest=oldest,
            waiting=waiting,
            next_try=min(next_tries, default=None),
            uploads=tuple(sorted(uploads, key=lambda each: each.total, reverse=True)),
            others_being_sent=sending - len(uploads),
            is_complete=looked_at < MOST_IN_FLIGHT,
            waiting_for_number=for_number,
            waiting_for_window=len(windows),
            opens_at=min(windows, default=None),
            waiting_for_drop=for_drop,
        )

    def _last_two(self, record: Record, observation: _Observation) -> tuple[_Observation, ...]:
        """Return the last two observations that differ, this one included."""
        before = self._progress.get(record.identity, ())
        return before if observation in before[-1:] else (*before, observation)[-2:]

    def _upload(self, record: Record, now: float) -> Upload | None:
        """Return the upload; None: it has no progress, or stale progress.

        Its rate is that between the last two observations of a reader that looks again. At the first look it
        is that since the invocation has begun, which is known from the lease and the function's timeout,
        without the bytes that earlier invocations had sent.
        """
        progress = record.progress
        if not progress or now - float(progress["at"]) > STALE_SECONDS:
            return None
        sent, at = int(progress["bytes"]), float(progress["at"])
        observed = self._last_two(record, (sent, at))
        # Fewer bytes than before: the object is sent anew.
        since = observed[0] if len(observed) == 2 and observed[0] < (sent, at) else self._at_start(record)
        rate = None
        if since is not None and at > since[1] and sent > since[0]:
            rate = (sent - since[0]) / (at - since[1])
        return Upload(
            bucket=record.bucket, key=record.key, sent=sent, total=int(progress["total"]), at=at, rate=rate
        )

    def _at_start(self, record: Record) -> _Observation | None:
        timeout = self._delivery.configuration.get("Timeout")
        if not timeout:
            return None
        resumed_at = (record.item.get("checkpoint") or {}).get("offset", 0)
        return int(resumed_at), record.lease_until - float(timeout) - _LEASE_MARGIN_SECONDS
