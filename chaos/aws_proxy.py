"""An HTTP proxy between the function and AWS that throttles, drops responses and truncates bodies."""

from __future__ import annotations

import http.client
import io
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from local.processes import LOOPBACK

_PIECE = 64 * 1024
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
    server = _Server((LOOPBACK, 0), endpoint=endpoint, fault_schedule=fault_schedule, rng=rng)
    thread = threading.Thread(target=server.serve_forever, name="AWS proxy", daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}", fault_schedule
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Readable(Protocol):
    """The body of a response."""

    def read(self, size: int, /) -> bytes:
        """Returns the next bytes, at most `size`."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], *, endpoint: str, fault_schedule: FaultSchedule, rng: random.Random
    ) -> None:
        super().__init__(address, _Handler)
        self.target = urlsplit(endpoint).netloc
        self.fault_schedule = fault_schedule
        self._rng = rng

    def injects(self, what: str, share: float) -> bool:
        """Returns whether the fault happens to this request, and counts it."""
        injected = self._rng.random() < share
        self.fault_schedule.injected[what] += injected
        return injected

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: functions are killed in the middle of a request on purpose."""


class _Handler(BaseHTTPRequestHandler):
    """Forwards the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        """Reads one request, and applies the fault schedule to it."""
        self.raw_requestline = self.rfile.readline(_PIECE)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._with_shorter_waits(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        fault_schedule = self.server.fault_schedule
        fault_schedule.requests += 1
        if self.server.injects("throttled", fault_schedule.throttled):
            self._slow_down()
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=_TIMEOUT_SECONDS)
        try:
            answer = self._ask(upstream, body)
            if self.server.injects("unanswered", fault_schedule.unanswered):
                self.close_connection = True
                return
            self._pass_back(answer)
        finally:
            upstream.close()

    def _ask(self, upstream: http.client.HTTPConnection, body: bytes) -> http.client.HTTPResponse:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"content-length", "connection", "expect"}:
                upstream.putheader(name, value)
        upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body)
        return upstream.getresponse()

    def _pass_back(self, answer: http.client.HTTPResponse) -> None:
        size = answer.getheader("Content-Length")
        whole = io.BytesIO(answer.read()) if size is None else answer
        length = whole.getbuffer().nbytes if isinstance(whole, io.BytesIO) else int(size or 0)
        status, part, about_part = self._part(answer.status, length)
        self.send_response_only(status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        if about_part:
            self.send_header("Content-Range", about_part)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command != "HEAD":
            self._stream(whole, part)

    def _part(self, status: int, length: int) -> tuple[int, range, str]:
        """Returns status, bytes and Content-Range.

        MiniStack 1.5.33 ignores the range of a GET with a version id.
        """
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not (asked and self.command == "GET" and status == HTTPStatus.OK):
            return status, range(length), ""
        first, last = int(asked[1]), min(int(asked[2]), length - 1)
        return HTTPStatus.PARTIAL_CONTENT, range(first, last + 1), f"bytes {first}-{last}/{length}"

    def _stream(self, body: Readable, part: range) -> None:
        left = len(part)
        if left > _PIECE and self.server.injects("cut", self.server.fault_schedule.cut):
            left //= 2
            self.close_connection = True
        skip = part.start
        while skip:
            skip -= len(body.read(min(_PIECE, skip)))
        while left and (piece := body.read(min(_PIECE, left))):
            self.wfile.write(piece)
            left -= len(piece)

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
