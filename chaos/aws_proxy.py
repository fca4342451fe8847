"""An HTTP proxy between the function and AWS that throttles, drops responses and truncates bodies."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from local.aws_proxy import PIECE, Forwarder, ProxyServer, running

_TIMEOUT_SECONDS = 30.0


@dataclass
class FaultSchedule:
    """Which faults requests meet, as fractions of all requests.

    Attributes:
        throttled: Refused with the service's own throttling error.
        unanswered: Performed, but the response never arrives: the caller cannot know that it was performed.
        cut: The body of the response is truncated.
        longest_wait: Upper limit in seconds for the delay of a retry, so that hours of backoff pass in
            minutes. No guarantee depends on how long a message is hidden.
        requests: Number of requests received.
        injected: How often each fault happened.
        continuations: Messages with which the function continues a large object.
    """

    throttled: float = 0.0
    unanswered: float = 0.0
    cut: float = 0.0
    longest_wait: int = 3
    requests: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    continuations: int = 0

    def clear(self) -> None:
        """Lets every request through."""
        self.throttled = self.unanswered = self.cut = 0.0


@contextmanager
def aws_proxy(endpoint: str, rng: random.Random) -> Iterator[tuple[str, FaultSchedule]]:
    """Runs the proxy until the block ends; yields its endpoint and its fault schedule."""
    fault_schedule = FaultSchedule()
    with running(_Server(endpoint, fault_schedule=fault_schedule, rng=rng)) as own:
        yield own, fault_schedule


class _Server(ProxyServer):
    def __init__(self, endpoint: str, *, fault_schedule: FaultSchedule, rng: random.Random) -> None:
        super().__init__(endpoint, _Handler, timeout=_TIMEOUT_SECONDS)
        self.fault_schedule = fault_schedule
        self._rng = rng

    def injects(self, what: str, share: float) -> bool:
        """Returns whether the fault happens to this request, and counts it."""
        injected = self._rng.random() < share
        self.fault_schedule.injected[what] += injected
        return injected


class _Handler(Forwarder):
    """Applies the fault schedule to the requests of one connection."""

    server: _Server

    def forward(self, body: bytes) -> None:
        """Forwards a request, unless it is throttled."""
        fault_schedule = self.server.fault_schedule
        fault_schedule.requests += 1
        body = self._with_shorter_waits(body)
        if self.server.injects("throttled", fault_schedule.throttled):
            self._slow_down()
        else:
            super().forward(body)

    def is_passed_back(self) -> bool:
        """Returns whether the client gets the response."""
        return not self.server.injects("unanswered", self.server.fault_schedule.unanswered)

    def is_cut(self, length: int) -> bool:
        """Returns whether the connection ends in the middle of a body of this length."""
        return length > PIECE and self.server.injects("cut", self.server.fault_schedule.cut)

    def _slow_down(self) -> None:
        operation = self.headers.get("X-Amz-Target", "")
        if operation.startswith("DynamoDB"):
            code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
        elif operation.startswith("AmazonSQS"):
            code = "com.amazonaws.sqs#RequestThrottled"
        else:
            code = "ThrottlingException"
        if operation:
            status, body = 400, json.dumps({"__type": code, "message": "Slow down"}).encode()
        else:  # S3 speaks XML
            status, body = 503, b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>"
        self.send_response_only(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0" if operation else "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _with_shorter_waits(self, body: bytes) -> bytes:
        operation = self.headers.get("X-Amz-Target", "")
        if operation != "AmazonSQS.SendMessage":
            return body
        with suppress(ValueError, KeyError):
            request = json.loads(body)
            attributes = request.get("MessageAttributes", {})
            # A deferred message keeps its count of continuations, and has a delay.
            self.server.fault_schedule.continuations += (
                "continued" in attributes and "reason" not in attributes and "DelaySeconds" not in request
            )
            request["DelaySeconds"] = min(request["DelaySeconds"], self.server.fault_schedule.longest_wait)
            return json.dumps(request).encode()
        return body
