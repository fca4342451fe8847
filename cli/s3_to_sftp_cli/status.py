"""What `status` shows, as plain values."""

from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from s3_to_sftp_cli.delivery import DeployedDelivery
from s3_to_sftp_cli.sequences import Sequence
from s3_to_sftp_cli.times import from_epoch
from s3_to_sftp_cli.unfinished_actions import UnfinishedActions


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """A part that cannot be shown.

    Attributes:
        action: IAM action that the caller lacks; empty: it is something else.
        message: What is wrong.
    """

    action: str = ""
    message: str = ""

    def __str__(self) -> str:
        return f"not allowed: {self.action}" if self.action else f"not known: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Deliveries are paused by an operator, or may begin outside the partner's windows.

    Attributes:
        since: When it began, in seconds since 1970.
        until: When it ends by itself; None: when somebody resumes.
        reason: Why.
        who: Who has paused them.
        windows_open_until: It is over, and until then deliveries may begin outside the partner's windows;
            None: deliveries are paused.
    """

    since: float
    until: float | None
    reason: str
    who: str
    windows_open_until: float | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether deliveries are paused."""
        return self.windows_open_until is None


@dataclass(frozen=True, kw_only=True)
class TrustedHostKey:
    """A host key that is trusted on an operator's word.

    Attributes:
        fingerprint: `SHA256:...`
        until: When that ends, in seconds since 1970.
        who: Whose word.
    """

    fingerprint: str
    until: float
    who: str


@dataclass(frozen=True, kw_only=True)
class Partner:
    """The circuit breaker of the partner's server.

    Attributes:
        is_open: Whether nobody may connect but the one who tries.
        failures: In a row.
        since: When the first of them was, in seconds since 1970.
        error: Class of the last one.
        reason: Of the last one.
        next_attempt: When the next one may be made, in seconds since 1970.
        is_trying: Whether an invocation is making one now.
        last_delivery: Of the last days; None: there was none.
        addresses: From where the function connects, where that is known and the breaker is open.
        offered_host_key: Fingerprint of the key that the server shows instead of a pinned one; empty: it
            shows a pinned one, or that is not known.
        trusted_host_key: None: only pinned keys are trusted.
    """

    is_open: bool
    failures: int
    since: float
    error: str
    reason: str
    next_attempt: float
    is_trying: bool
    last_delivery: datetime | None = None
    addresses: tuple[str, ...] = ()
    offered_host_key: str = ""
    trusted_host_key: TrustedHostKey | None = None

    @property
    def host_key_is_trusted(self) -> bool:
        """Whether the host key that has opened the breaker is trusted by now: an attempt is all it takes."""
        if self.error != "HostKeyRefused" or self.trusted_host_key is None:
            return False
        return self.offered_host_key in ("", self.trusted_host_key.fingerprint)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Messages of the queue, as SQS counts them (approximately).

    Attributes:
        visible: To be received next.
        in_flight: Received by an invocation that has not finished with them.
        delayed: Deferred: they become visible later.
    """

    visible: int
    in_flight: int
    delayed: int


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An object that is being sent, with progress that is not stale.

    Attributes:
        bucket: Of the object.
        key: Of the object.
        sent: Bytes at the partner when progress was written last.
        total: Bytes of the object.
        at: When that was, in seconds since 1970.
        rate: Bytes in a second; None: not known yet.
    """

    bucket: str
    key: str
    sent: int
    total: int
    at: float
    rate: float | None

    @property
    def done_at(self) -> float | None:
        """When the last byte will be sent at this rate, in seconds since 1970; None: not known."""
        return self.at + (self.total - self.sent) / self.rate if self.rate else None


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """What the ledger has without a final state.

    Attributes:
        oldest: Since when the oldest of those that wait has been in flight: first seen, or redriven.
        waiting: How many no invocation holds a lease on.
        next_try: The earliest of their next tries, in seconds since 1970; None: none is recorded.
        uploads: Those with progress, the largest first.
        others_being_sent: How many others an invocation holds a lease on.
        is_complete: Whether all of them were looked at.
        waiting_for_number: How many of those that wait do so for the number of another object.
        waiting_for_window: How many do so for a window of the partner.
        opens_at: When the first of those windows opens, in seconds since 1970; None: not known.
        waiting_for_drop: How many do so for their turn among the drops.
    """

    oldest: datetime | None
    waiting: int
    next_try: float | None
    uploads: tuple[Upload, ...]
    others_being_sent: int
    is_complete: bool
    waiting_for_number: int = 0
    waiting_for_window: int = 0
    opens_at: float | None = None
    waiting_for_drop: int = 0

    @property
    def oldest_is_explained(self) -> bool:
        """Whether all that wait do so by the partner's rules."""
        return self.is_complete and self.waiting == self.waiting_for_window + self.waiting_for_drop


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Objects that were given up for the same reason.

    Attributes:
        count: How many.
        state: `FAILED` or `UNKNOWN`.
        error: Class of the error.
        sftp_status: What the server answered, where it refused.
        operation: What it refused.
    """

    count: int
    state: str
    error: str
    sftp_status: str
    operation: str

    def __str__(self) -> str:
        words = [self.error, self.sftp_status, self.operation]
        return f"{self.count:,} {' '.join(filter(None, words)) or self.state}"


@dataclass(frozen=True, kw_only=True)
class DeadLetters:
    """The dead-letter queue.

    Attributes:
        count: Messages, as SQS counts them (approximately).
        groups: What the ledger knows of them, the largest group first; None: it could not be read.
        looked_at: How many of the ledger's items are in the groups.
        is_complete: Whether these are all that failed in the last 14 days.
    """

    count: int
    groups: tuple[FailureGroup, ...] | None
    looked_at: int
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class Today:
    """What was delivered on this day.

    Attributes:
        day: In UTC.
        delivered: Objects.
        size: Their bytes.
        p95: 95th percentile of the seconds to deliver one; None: nothing was delivered.
        superseded: Versions that were not sent because of a newer one.
        skipped: Versions that were not sent because something else had the name; 0 where CloudWatch counts.
        source: `ledger` (seconds count from first_seen to the receipt), or `cloudwatch` (from the lease to
            the RENAME, as the metric DeliverySeconds).
    """

    day: date
    delivered: int
    size: int
    p95: float | None
    superseded: int
    source: str
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class Status:
    """The status of a delivery at one moment.

    Attributes:
        at: The moment, in the time zone of the reader.
        delivery: Which one.
        pause: None: it is not paused.
        is_disabled: Whether the function's trigger is disabled.
        may_not_run: Whether its reserved concurrency is 0, where that may be read.
        partner: The partner's server.
        queue: None: the function has no queue.
        in_flight: From the ledger.
        dead_letters: None: the function has no dead-letter queue.
        today: Today's deliveries.
        held: Sequences whose last number is held by an object, while others wait for the next one.
        after: What is left to do with delivered objects in S3; None: the partner has no rules.
    """

    at: datetime
    delivery: DeployedDelivery
    pause: Pause | Unavailable | None
    is_disabled: bool | Unavailable
    may_not_run: bool
    partner: Partner | Unavailable
    queue: Queue | Unavailable | None
    in_flight: InFlight | Unavailable
    dead_letters: DeadLetters | Unavailable | None
    today: Today | Unavailable
    held: tuple[Sequence, ...] | Unavailable = ()
    after: UnfinishedActions | Unavailable | None = None

    def parts(self) -> dict[str, Any]:
        """Return the parts by their names in JSON."""
        return {
            "paused": self.pause,
            "disabled": self.is_disabled,
            "may_not_run": self.may_not_run,
            "partner": self.partner,
            "queue": self.queue,
            "in_flight": self.in_flight,
            "dead_letters": self.dead_letters,
            "today": self.today,
            "sequences_held": self.held,
            "after_delivery": self.after,
        }


def as_json(status: Status, *, needs_attention: bool, advice: ListOf[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields of the JSON document.

    Args:
        status: What to show.
        needs_attention: Whether something needs a person.
        advice: For each thing to do: why, and the command to type.
    """
    parts = status.parts()
    return {
        "delivery": status.delivery.as_json(),
        "at": status.at,
        "attention": needs_attention,
        **{name: _json_of(part) for name, part in parts.items()},
        "unavailable": [
            {"part": name, "action": part.action or None, "message": part.message or str(part)}
            for name, part in parts.items()
            if isinstance(part, Unavailable)
        ],
        "next": [{"why": why, "command": command} for why, command in advice],
    }


def _json_of(part: Any) -> Any:
    match part:
        case bool():
            return part
        case Pause():
            return {
                "since": from_epoch(part.since),
                "until": None if part.until is None else from_epoch(part.until),
                "reason": part.reason,
                "who": part.who,
                "windows_open_until": None
                if part.windows_open_until is None
                else from_epoch(part.windows_open_until),
            }
        case Partner(trusted_host_key=trusted):
            return {
                "circuit_breaker": "open" if part.is_open else "closed",
                "failures": part.failures,
                "since": from_epoch(part.since) if part.failures else None,
                "error": part.error or None,
                "reason": part.reason or None,
                "next_attempt": from_epoch(part.next_attempt) if part.is_open else None,
                "trying_now": part.is_trying,
                "last_delivery": part.last_delivery,
                "addresses": list(part.addresses),
                "offered_host_key": part.offered_host_key or None,
                "trusted_host_key": None
                if trusted is None
                else {**vars(trusted), "until": from_epoch(trusted.until)},
            }
        case Queue():
            return vars(part)
        case InFlight():
            return {
                "oldest_waiting_since": part.oldest,
                "waiting": part.waiting,
                "next_try": None if part.next_try is None else from_epoch(part.next_try),
                "sending": [_upload(upload) for upload in part.uploads],
                "others_being_sent": part.others_being_sent,
                "complete": part.is_complete,
                "waiting_for_number": part.waiting_for_number,
                "waiting_for_window": part.waiting_for_window,
                "window_opens_at": None if part.opens_at is None else from_epoch(part.opens_at),
                "waiting_for_drop": part.waiting_for_drop,
            }
        case UnfinishedActions():
            return part.as_json()
        case tuple():
            return [sequence.as_json() for sequence in part]
        case DeadLetters():
            groups = None if part.groups is None else [vars(group) for group in part.groups]
            return {
                "count": part.count,
                "groups": groups,
                "looked_at": part.looked_at,
                "complete": part.is_complete,
            }
        case Today():
            return {
                "day": part.day,
                "delivered": part.delivered,
                "bytes": part.size,
                "p95_seconds": part.p95,
                "superseded": part.superseded,
                "skipped": part.skipped,
                "source": part.source,
            }
    return None


def _upload(upload: Upload) -> dict[str, Any]:
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "bytes": upload.sent,
        "total": upload.total,
        "at": from_epoch(upload.at),
        "bytes_per_second": None if upload.rate is None else round(upload.rate),
        "done_at": None if upload.done_at is None else from_epoch(upload.done_at),
    }
