"""Events on an EventBridge bus. Schemas and examples: docs/events.

Events are collected while an invocation delivers, and sent at its end. One that cannot be sent is logged and
dropped: the ledger is the record, and no delivery fails because an event could not be sent.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from s3_to_sftp.errors import DeliveryError
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.circuit_breaker import Opened, Recovered
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.untrusted_text import cut

_log = logging.getLogger(__name__)

SOURCE = "s3-to-sftp"
VERSION = "1"
"""Version of the detail's schema. It grows when a field changes or goes away, not when one is added."""

COMPLETED = "S3 to SFTP Delivery Completed"
FAILED = "S3 to SFTP Delivery Failed"
SUPERSEDED = "S3 to SFTP Delivery Superseded"
GONE = "S3 to SFTP Object Gone"
UNAVAILABLE = "S3 to SFTP Partner Unavailable"
RECOVERED = "S3 to SFTP Partner Recovered"
CHANGED = "S3 to SFTP Partner Changed"

_MAX_ENTRIES = 10
"""Of one PutEvents request."""

_MAX_BYTES = 256_000
"""Of one PutEvents request. AWS documents 1 MB in one place and 256 KB in another: this satisfies both."""

_MAX_TEXT_BYTES = 4096
"""Of a reason or a hint. An error may quote the partner, and that text has no limit."""


class Publisher(Protocol):
    """Publishes events. Nothing here raises because of the bus."""

    def completed(self, receipt: Receipt) -> None:
        """Publish that the object has its final name."""

    def failed(
        self,
        ref: ObjectRef | None,
        error: DeliveryError,
        *,
        attempt: int,
        remote_path: str | None = None,
    ) -> None:
        """Publish that a message was dead-lettered: nothing happens until an operator acts.

        Args:
            ref: The object; None for a message that names none.
            error: Why.
            attempt: The last one.
            remote_path: The final name that the object was meant for, if it is known.
        """

    def superseded(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Publish that this version is not delivered, because a newer one is or will be."""

    def gone(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Publish that this version is not delivered, because it is no longer in S3."""

    def unavailable(self, opened: Opened) -> None:
        """Publish that the circuit breaker is open."""

    def recovered(self, recovered: Recovered) -> None:
        """Publish that the partner is accepting files again."""

    def changed(self, *, changes: Sequence[str], failures: Sequence[str]) -> None:
        """Publish what the canary has found to be different from before.

        Args:
            changes: What the server shows, a sentence each.
            failures: What worked before and fails now, a sentence each.
        """

    def flush(self) -> None:
        """Send the collected events."""


class EventPublisher:
    """Publishes events on a bus.

    Args:
        client: EventBridge client.
        bus: Name or ARN of the bus.
        server: host:port of the partner.
        clock: Seconds since the epoch.
    """

    def __init__(self, client: Any, *, bus: str, server: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._bus = bus
        self._server = server
        self._clock = clock
        self._entries: list[dict[str, Any]] = []

    def completed(self, receipt: Receipt) -> None:
        """Publish that the object has its final name."""
        checksum = {"algorithm": receipt.checksum_algorithm, "value": receipt.checksum}
        self._publish(
            COMPLETED,
            **_about(receipt.ref),
            remotePath=receipt.remote_path,
            bytes=receipt.size,
            checksum=checksum if receipt.checksum else None,
            verifiedBy=receipt.verified_by,
            evidence=receipt.evidence,
            sha256=receipt.sha256,
            duration=round(receipt.seconds, 3),
            attempt=receipt.attempt,
            streams=receipt.streams,
            hostKey=receipt.host_key_fingerprint,
        )

    def failed(
        self,
        ref: ObjectRef | None,
        error: DeliveryError,
        *,
        attempt: int,
        remote_path: str | None = None,
    ) -> None:
        """See `Publisher`."""
        self._publish(
            FAILED,
            **(_about(ref) if ref else {}),
            remotePath=remote_path,
            attempt=attempt,
            reason=cut(error.reason, _MAX_TEXT_BYTES),
            hint=cut(error.hint, _MAX_TEXT_BYTES),
            error=type(error).__name__,
        )

    def superseded(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Publish that this version is not delivered, because a newer one is or will be."""
        self._publish(SUPERSEDED, **_about(ref), reason=cut(error.reason, _MAX_TEXT_BYTES))

    def gone(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Publish that this version is not delivered, because it is no longer in S3."""
        self._publish(GONE, **_about(ref), reason=cut(error.reason, _MAX_TEXT_BYTES))

    def unavailable(self, opened: Opened) -> None:
        """Publish that the circuit breaker is open."""
        self._publish(UNAVAILABLE, **_about_partner(opened), retryAt=_as_text(opened.retry_at))

    def recovered(self, recovered: Recovered) -> None:
        """Publish that the partner is accepting files again."""
        self._publish(RECOVERED, **_about_partner(recovered))

    def changed(self, *, changes: Sequence[str], failures: Sequence[str]) -> None:
        """See `Publisher`."""
        self._publish(CHANGED, changes=list(changes), failures=list(failures))

    def flush(self) -> None:
        """Send the collected events, and forget them.

        Entries that the bus refuses are sent once more: it refuses when it is busy.
        """
        entries, self._entries = self._entries, []
        for request in _requests(entries):
            if refused := self._send(request):
                self._drop(self._send([entry for entry, _ in refused]))

    def _publish(self, detail_type: str, **detail: Any) -> None:
        detail = {"version": VERSION, "server": self._server, **detail}
        self._entries.append(
            {
                "EventBusName": self._bus,
                "Source": SOURCE,
                "DetailType": detail_type,
                "Time": datetime.fromtimestamp(self._clock(), UTC),
                "Detail": json.dumps({name: value for name, value in detail.items() if value is not None}),
            }
        )

    def _send(self, entries: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
        """Send one request and return the entries that the bus refused, each with the reason."""
        try:
            answer = self._client.put_events(Entries=entries)
        except (ClientError, BotoCoreError) as error:
            # The bus accepted nothing, and botocore has already retried.
            _warn(entries, str(error))
            return []
        return [
            (entry, f"{result['ErrorCode']}: {result.get('ErrorMessage', '')}")
            for entry, result in zip(entries, answer["Entries"], strict=True)
            if "ErrorCode" in result
        ]

    def _drop(self, refused: Sequence[tuple[dict[str, Any], str]]) -> None:
        for entry, why in refused:
            _warn([entry], why)


class NullPublisher:
    """Publishes nothing: there is no bus."""

    def completed(self, receipt: Receipt) -> None:
        """Publish nothing."""

    def failed(
        self, ref: ObjectRef | None, error: DeliveryError, *, attempt: int, remote_path: str | None = None
    ) -> None:
        """Publish nothing."""

    def superseded(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Publish nothing."""

    def gone(self, ref: ObjectRef, error: DeliveryError) -> None:
        """Publish nothing."""

    def unavailable(self, opened: Opened) -> None:
        """Publish nothing."""

    def recovered(self, recovered: Recovered) -> None:
        """Publish nothing."""

    def changed(self, *, changes: Sequence[str], failures: Sequence[str]) -> None:
        """Publish nothing."""

    def flush(self) -> None:
        """Send nothing."""


def _about(ref: ObjectRef) -> dict[str, Any]:
    return {"bucket": ref.bucket, "key": ref.key, "versionId": ref.version_id}


def _about_partner(change: Opened | Recovered) -> dict[str, Any]:
    return {
        "server": change.server,
        "reason": change.reason,
        "error": change.error,
        "since": _as_text(change.since),
        "failures": change.failures,
    }


def _as_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _requests(entries: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Split the entries, in order, into requests that PutEvents accepts."""
    request: list[dict[str, Any]] = []
    total = 0
    for entry in entries:
        size = _size(entry)
        if request and (len(request) == _MAX_ENTRIES or total + size > _MAX_BYTES):
            yield request
            request, total = [], 0
        request.append(entry)
        total += size
    if request:
        yield request


def _size(entry: Mapping[str, Any]) -> int:
    """Return the size as PutEvents counts it: 14 bytes for the time, and the texts in UTF-8."""
    return 14 + sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))


def _warn(entries: Sequence[Mapping[str, Any]], why: str) -> None:
    _log.warning(
        "events not sent (%d): %s",
        len(entries),
        why,
        extra={"events": [f"{entry['DetailType']}: {entry['Detail']}" for entry in entries]},
    )
