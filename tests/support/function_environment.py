"""The whole function but for S3, partner and queue: each key has its outcome, and what is printed is real."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from s3_to_sftp import handler, telemetry
from s3_to_sftp.app import App
from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.delivery import invocation
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery.invocation import InvocationRunner
from s3_to_sftp.errors import QueueError
from s3_to_sftp.events import NullPublisher
from s3_to_sftp.outcomes import CircuitOpen, DeliveriesPaused
from s3_to_sftp.queue.disposition import MessageDisposition
from s3_to_sftp.queue.message_queue import Message
from s3_to_sftp.queue.retry_policy import RetryHistory, RetryPolicy
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server import Server
from s3_to_sftp.state.circuit_breaker import NoCircuitBreaker
from s3_to_sftp.state.receipt import Receipt
from tests.support.lambda_events import LambdaContext, s3_notification, s3_record, sqs_event

NOW = 1_800_000_000.0
HOUR = 3600


@dataclass
class Queue:
    """Accepts every request of the disposition; fails if `broken`."""

    broken: bool = False
    dead_lettered: list[str] = field(default_factory=list)

    def return_to_queue(self, message: Message, **_how: Any) -> None:
        if self.broken:
            raise QueueError("no.", hint="")

    def acknowledge(self, message: Message) -> None:
        pass

    def dead_letter(self, message: Message, **why: str) -> None:
        self.dead_lettered.append(message.id)

    def send_continuation(self, message: Message, **_how: Any) -> None:
        pass


class CircuitBreaker(NoCircuitBreaker):
    """Admits no invocation while it is open."""

    is_open = False

    def admit(self, *, configuration: str, until: float) -> None:
        if self.is_open:
            raise CircuitOpen("The circuit breaker is open.", hint="", retry_after=60)


@dataclass
class OperatorsPause:
    """Holds back these keys.

    Attributes:
        keys: Of objects that are not under way.
        age: Seconds since it began.
    """

    keys: set[str] = field(default_factory=set)
    age: float = 0

    def held(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, DeliveriesPaused]:
        error = DeliveriesPaused("paused.", hint="", retry_after=300, paused_for=self.age)
        return {ref: error for ref in refs if ref.key in self.keys}


@dataclass
class FunctionEnvironment:
    """A function without S3 and partner: each key has its outcome, by default a delivery."""

    outcomes: dict[str, Exception] = field(default_factory=dict)
    queue: Queue = field(default_factory=Queue)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    pause: OperatorsPause = field(default_factory=OperatorsPause)
    credentials: FixedCredentials = field(
        default_factory=lambda: FixedCredentials(Credentials(username="u", password="p"))
    )

    def deliver_all(
        self, _delivery: Any, refs: Sequence[ObjectRef], _deadline: Deadline
    ) -> Iterator[tuple[ObjectRef, Receipt | Exception]]:
        for ref in refs:
            yield ref, self.outcomes.get(ref.key) or receipt(ref)

    def function(self) -> App:
        report: Any = handler.telemetry
        deliveries = InvocationRunner(
            server=Server(host="sftp.partner.example", port=22),
            credentials=self.credentials,
            delivery=_EverythingIsWanted(),  # type: ignore[arg-type]  # `deliver_all` is ours
            breaker=self.breaker,
            pause=self.pause,
            publisher=NullPublisher(),
            telemetry=report,
        )
        message_disposition = MessageDisposition(
            self.queue,  # type: ignore[arg-type]  # a stand-in for the queue
            policy=RetryPolicy(retry_for=24 * HOUR),
            publisher=NullPublisher(),
            give_up=lambda ref, error: None,
            telemetry=report,
            clock=lambda: NOW,
        )
        return App(runner=deliveries, disposition=message_disposition, publisher=NullPublisher())


def receipt(ref: ObjectRef) -> Receipt:
    return Receipt(
        ref=ref,
        remote_path=f"inbox/{ref.key}",
        size=42,
        seconds=1.25,
        checksum_algorithm="CRC32",
        checksum="y/Q5Jg==",
        streams=2,
        host_key_fingerprint="SHA256:abc",
    )


def installed(monkeypatch: pytest.MonkeyPatch) -> FunctionEnvironment:
    """Let the handler run such a function, in an environment of its own."""
    env = FunctionEnvironment()
    function = env.function()
    monkeypatch.setattr(handler, "_app", lambda: function)
    monkeypatch.setattr(invocation, "deliver_all", env.deliver_all)
    forget_dimensions()
    return env


def forget_dimensions() -> None:
    """As another function would begin: Powertools warns of a dimension that changes."""
    telemetry.metrics.clear_default_dimensions()
    telemetry.metrics.clear_metrics()


def batch(*keys: str, age: float = 0, tried_for: float | None = None) -> dict[str, Any]:
    """One message for each key, its event sent so many seconds ago.

    Args:
        keys: Of the objects.
        age: Seconds since the event was sent.
        tried_for: Seconds since its first try; None: there was none.
    """
    event = sqs_event(**{f"m_{key}": json.dumps(s3_notification(s3_record("bucket", key))) for key in keys})
    for record in event["Records"]:
        record["attributes"]["SentTimestamp"] = str(int((NOW - age) * 1000))
        if tried_for is not None:  # it was sent anew just now
            tries = RetryHistory(first_sent=NOW - age, count=1, since=NOW - tried_for)
            record["attributes"]["SentTimestamp"] = str(int(NOW * 1000))
            record["messageAttributes"] = {
                "retries": {"stringValue": tries.as_text(sent=NOW), "dataType": "String"}
            }
    return event


def emitted(
    capsys: pytest.CaptureFixture[str], event: dict[str, Any], *, function_name: str = "acme"
) -> dict[str, Any]:
    """Run the function and return the one line of metrics that it has printed; empty for none."""
    handler.lambda_handler(event, LambdaContext(function_name=function_name))
    lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return lines[0] if lines else {}


class _EverythingIsWanted:
    """Of a delivery what is asked before `deliver_all`."""

    def not_wanted(self, refs: Sequence[ObjectRef]) -> dict[ObjectRef, Exception]:
        del refs
        return {}
