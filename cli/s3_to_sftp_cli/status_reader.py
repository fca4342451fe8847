"""Reads the status of a delivery: each part by itself, so that a missing permission hides one part only."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp_cli.addresses import source_addresses
from s3_to_sftp_cli.aws import Aws, denied_action, explained
from s3_to_sftp_cli.deliveries_today import TodaysDeliveries, todays_metrics
from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.doctor_checks import reserved_concurrency
from s3_to_sftp_cli.errors import CliError
from s3_to_sftp_cli.ledger import LedgerReader, Record
from s3_to_sftp_cli.log_reader import LogReader
from s3_to_sftp_cli.objects_in_flight import ObjectsInFlight
from s3_to_sftp_cli.sequences import Sequence, read_sequences
from s3_to_sftp_cli.status import (
    DeadLetters,
    FailureGroup,
    InFlight,
    Partner,
    Pause,
    Queue,
    Status,
    Today,
    TrustedHostKey,
    Unavailable,
)
from s3_to_sftp_cli.unfinished_actions import UnfinishedActions, read_unfinished

MOST_FAILURES = 1000
"""Failed objects that are grouped."""

_DEAD_LETTERS_KEPT = timedelta(days=14)
_DAYS_BACK = 7
_LOOK_FOR_HOST_KEY = timedelta(hours=2)
"""The circuit breaker lets one try at least every hour."""

_OFFERED_KEY = re.compile(r"It offers '[^']*' \((SHA256:[A-Za-z0-9+/]{43})\)")

_P = TypeVar("_P")

_COUNT_EVERY_SECONDS = 60
"""DynamoDB may read 2,000 items for what is left to do in S3."""


class StatusReader:
    """Reads the status again and again: what is known already is not read again.

    Args:
        aws: The account.
        delivery: Which one.
        ledger: Its ledger.
    """

    def __init__(self, aws: Aws, delivery: DeployedDelivery, ledger: LedgerReader) -> None:
        self._aws = aws
        self._delivery = delivery
        self._ledger = ledger
        self._today = TodaysDeliveries(ledger)
        self._objects = ObjectsInFlight(delivery, ledger)
        self._unfinished: tuple[datetime, UnfinishedActions] | None = None

    def read(self, now: datetime) -> Status:
        """Return the status now.

        Args:
            now: With the time zone of the reader.
        """
        seconds = now.timestamp()
        dead_letters = self._delivery.dead_letter_queue_url
        queue = self._delivery.queue_url
        in_flight = _part("dynamodb", lambda: self._objects.read(seconds))
        return Status(
            at=now,
            delivery=self._delivery,
            pause=_part("dynamodb", lambda: self._pause(seconds)),
            is_disabled=_part("lambda", self._is_disabled),
            may_not_run=reserved_concurrency(self._aws, self._delivery.function) == 0,
            partner=_part("dynamodb", lambda: self._partner(now)),
            queue=_part("sqs", lambda: self._queue(queue)) if queue else None,
            in_flight=in_flight,
            dead_letters=(
                _part("sqs", lambda: self._dead_letters(dead_letters, now)) if dead_letters else None
            ),
            today=_part("dynamodb", lambda: self._deliveries_today(now)),
            held=_part("dynamodb", lambda: self._held(in_flight)),
            after=_part("dynamodb", lambda: self._after(now)),
        )

    def _held(self, in_flight: InFlight | Unavailable) -> tuple[Sequence, ...]:
        """Return the sequences that make objects wait."""
        if isinstance(in_flight, Unavailable) or not in_flight.waiting_for_number:
            return ()
        return tuple(each for each in read_sequences(self._ledger) if each.holder is not None)

    def _after(self, now: datetime) -> UnfinishedActions | None:
        """Return what is left to do in S3; None: without rules there is nothing."""
        if not self._delivery.rules:
            return None
        if self._unfinished is None or (now - self._unfinished[0]).total_seconds() >= _COUNT_EVERY_SECONDS:
            self._unfinished = now, read_unfinished(self._ledger, now)
        return self._unfinished[1]

    def _pause(self, now: float) -> Pause | None:
        item = self._ledger.item("delivery", "hold")
        if item is None:
            return None
        until, open_until = item.get("until"), item.get("open_until")
        is_over = until is not None and float(until) <= now
        if is_over and (open_until is None or float(open_until) <= now):
            return None
        return Pause(
            since=float(item.get("since", 0)),
            until=None if until is None else float(until),
            reason=str(item.get("reason", "")),
            who=str(item.get("who", "")),
            windows_open_until=float(open_until) if is_over and open_until is not None else None,
        )

    def _is_disabled(self) -> bool:
        """Return whether all triggers of the function are disabled, as `enabled=False` leaves them."""
        answer = self._aws.client("lambda").list_event_source_mappings(FunctionName=self._delivery.function)
        states = [each.get("State", "") for each in answer["EventSourceMappings"]]
        return bool(states) and all(state in ("Disabled", "Disabling") for state in states)

    def _partner(self, now: datetime) -> Partner:
        item = self._ledger.item(f"partner#{self._delivery.server}", "breaker") or {}
        is_open, error = bool(item.get("openings")), str(item.get("error", ""))
        return Partner(
            is_open=is_open,
            failures=int(item.get("failures", 0)),
            since=float(item.get("since", 0)),
            error=error,
            reason=str(item.get("reason", "")),
            next_attempt=float(item.get("retry_at", 0)),
            is_trying=is_open and float(item.get("claimed_until", 0)) > now.timestamp(),
            last_delivery=self._last_delivery(now),
            addresses=self._addresses() if is_open else (),
            offered_host_key=self._offered_host_key(now) if error == "HostKeyRefused" and is_open else "",
            trusted_host_key=self._trusted_host_key(now.timestamp()),
        )

    def _trusted_host_key(self, now: float) -> TrustedHostKey | None:
        item = self._ledger.item(f"partner#{self._delivery.server}", "trusted-host-key")
        if item is None or float(item.get("until", 0)) <= now:
            return None
        return TrustedHostKey(
            fingerprint=str(item["fingerprint"]), until=float(item["until"]), who=str(item.get("who", ""))
        )

    def _offered_host_key(self, now: datetime) -> str:
        """Return the fingerprint that the server has shown last, as the function's log says."""
        reader = LogReader(self._aws.client("logs"), self._delivery.log_group)
        offered = ""
        try:
            for line in reader.lines(since=now - _LOOK_FOR_HOST_KEY, terms=["HostKeyRefused"]):
                offered = offered_host_key(f"{line.fields.get('hint', '')} {line.message}") or offered
        except (ClientError, BotoCoreError, CliError):
            return ""
        return offered

    def _last_delivery(self, now: datetime) -> datetime | None:
        today = now.astimezone(UTC).date()
        days = (today - timedelta(days=back) for back in range(_DAYS_BACK))
        return next((found.changed for day in days if (found := self._ledger.last_delivered(day))), None)

    def _addresses(self) -> tuple[str, ...]:
        try:
            return source_addresses(self._aws, self._delivery).fixed
        except (ClientError, BotoCoreError):
            return ()  # `addresses` says why

    def _queue(self, url: str) -> Queue:
        counts = self._messages(url)
        return Queue(visible=counts[""], in_flight=counts["NotVisible"], delayed=counts["Delayed"])

    def _messages(self, url: str) -> dict[str, int]:
        parts = ("", "NotVisible", "Delayed")
        names = {part: f"ApproximateNumberOfMessages{part}" for part in parts}
        answer = self._aws.client("sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=list(names.values())
        )
        return {part: int(answer["Attributes"].get(name, 0)) for part, name in names.items()}

    def _dead_letters(self, url: str, now: datetime) -> DeadLetters:
        count = sum(self._messages(url).values())
        if not count:
            return DeadLetters(count=0, groups=(), looked_at=0, is_complete=True)
        try:
            failed = list(islice(self._failures(now), MOST_FAILURES))
        except (ClientError, BotoCoreError):
            return DeadLetters(count=count, groups=None, looked_at=0, is_complete=False)
        groups = Counter((each.state, each.error, each.sftp_status, each.operation) for each in failed)
        return DeadLetters(
            count=count,
            groups=tuple(
                FailureGroup(
                    count=number, state=state, error=error, sftp_status=sftp_status, operation=operation
                )
                for (state, error, sftp_status, operation), number in groups.most_common()
            ),
            looked_at=len(failed),
            is_complete=len(failed) < MOST_FAILURES,
        )

    def _failures(self, now: datetime) -> Iterator[Record]:
        """Yield what failed while its dead letter can still be there."""
        for state in ("UNKNOWN", "FAILED"):
            yield from self._ledger.in_state(state, since=now - _DEAD_LETTERS_KEPT)

    def _deliveries_today(self, now: datetime) -> Today | Unavailable:
        if (today := self._today.read(now)) is not None:
            return today
        try:
            return todays_metrics(self._aws.client("cloudwatch"), self._delivery.function, now)
        except (ClientError, BotoCoreError) as error:
            action = denied_action(error, "cloudwatch")
            return Unavailable(action=action or "", message="" if action else explained(error).message)


def offered_host_key(hint: str) -> str:
    """Return the fingerprint of the host key that the server offers, as the hint of HostKeyRefused says."""
    found = _OFFERED_KEY.search(hint)
    return found[1] if found else ""


def _part(service: str, read: Callable[[], _P]) -> _P | Unavailable:
    try:
        return read()
    except (ClientError, BotoCoreError) as error:
        action = denied_action(error, service)
        return Unavailable(action=action or "", message="" if action else explained(error).message)
    except (ValueError, TypeError, KeyError) as error:
        return Unavailable(message=f"an item of the ledger is corrupt ({type(error).__name__}: {error})")
