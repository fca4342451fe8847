"""Messages that operators send to the queue of a delivery: S3 notifications, with who wants what, and why."""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote_plus

from s3_to_sftp_cli.errors import CliError
from s3_to_sftp_cli.ledger import Record

Named = TypeVar("Named")

_BATCH = 10
"""The most that SQS takes in one request."""

_TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an operator wants; it travels with every message, and the ledger keeps it.

    Attributes:
        action: `resend`, `retry` or `backfill`.
        id: The same for all messages of one command, and of its repetition.
        who: ARN or login name.
        at: When, in seconds since 1970.
        reason: Why.
    """

    action: str
    id: str
    who: str
    at: float
    reason: str

    def as_action(self) -> dict[str, Any]:
        """Return the request as the ledger keeps it in `operator_actions`."""
        return {
            "action": self.action,
            "who": self.who,
            "at": round(self.at, 3),
            "reason": self.reason,
            "id": self.id,
        }


def new_id(action: str) -> str:
    """Return an id that no other command has: `resend-20261129T021500Z-1a2b3c`."""
    return f"{action}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def notification_of(record: Record) -> dict[str, Any]:
    """Return a notification of S3 that names the version as the ledger knows it: it meets the same item."""
    item = record.item
    entry: dict[str, Any] = {"key": quote_plus(record.key, safe="/")}
    known = {"size": item.get("size"), "eTag": item.get("etag"), "sequencer": item.get("sequencer")}
    if record.version:
        known["versionId"] = record.version
    else:
        _, etag, sequencer = str(item["sk"]).split("#", 2)
        known |= {"eTag": etag, "sequencer": sequencer}
    entry |= {name: value for name, value in known.items() if value not in (None, "")}
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": record.bucket}, "object": entry},
            }
        ]
    }


class Sender:
    """Sends messages to the queue.

    Args:
        client: A low-level SQS client; needs `sqs:SendMessage`.
        queue_url: The queue that the function reads.
        max_rate: Messages per second at most; None: as fast as SQS takes them.
        hint: What to do when SQS does not take messages.
        clock: Seconds.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        client: Any,
        queue_url: str,
        *,
        max_rate: float | None = None,
        hint: str = "Repeat the command with the same --id: what was sent is not sent twice.",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._max_rate = max_rate
        self._hint = hint
        self._clock = clock
        self._sleep = sleep

    def send(
        self,
        records: Iterable[Named],
        request: Request,
        notification: Callable[[Named], dict[str, Any]] | None = None,
    ) -> Iterator[Named]:
        """Send a message for each version, and yield the version once SQS has it.

        Args:
            records: Of the ledger, or whatever `notification` takes.
            request: Travels with every message.
            notification: Returns the notification that names a version; by default `notification_of`.

        Raises:
            CliError: SQS refuses messages again and again.
            ClientError, BotoCoreError: SQS refused, or did not answer.
        """
        started, sent = self._clock(), 0
        size = _BATCH if self._max_rate is None else max(1, min(_BATCH, int(self._max_rate)))
        iterator = iter(records)
        while batch := list(islice(iterator, size)):
            self._send([self._message(each, request, notification) for each in batch])
            sent += len(batch)
            yield from batch
            if self._max_rate is not None and (early := started + sent / self._max_rate - self._clock()) > 0:
                self._sleep(early)

    @staticmethod
    def _message(
        named: Named, request: Request, notification: Callable[[Named], dict[str, Any]] | None
    ) -> dict[str, Any]:
        body = (notification or notification_of)(named)  # type: ignore[arg-type]
        # Where another message has it delivered first, the function knows that this one asked before.
        attempts = {"attempts": named.attempts} if isinstance(named, Record) else {}
        if not attempts and request.action == "resend":  # the ledger knows no attempt
            attempts = {"attempts": 0}
        text = json.dumps({**request.as_action(), **attempts})
        attribute = {"DataType": "String", "StringValue": text}
        return {"MessageBody": json.dumps(body), "MessageAttributes": {"operator": attribute}}

    def _send(self, messages: list[dict[str, Any]]) -> None:
        entries = [{"Id": str(number), **message} for number, message in enumerate(messages)]
        for attempt in range(_TRIES):
            answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            failed = {each["Id"]: each for each in answer.get("Failed", [])}
            if not failed:
                return
            entries = [entry for entry in entries if entry["Id"] in failed]
            if any(each.get("SenderFault") for each in failed.values()):
                break
            self._sleep(2.0**attempt)
        why = next(iter(failed.values()))
        raise CliError(
            f"SQS does not take {len(failed)} of the messages: {why.get('Message') or why.get('Code')}",
            hint=self._hint,
        )
