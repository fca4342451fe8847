"""The Lambda runtime API, for one invocation.

"Using the Lambda runtime API for custom runtimes" in the Lambda developer guide says what it answers.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.processes import LOOPBACK

_REQUEST_ID = "00000000-0000-4000-8000-000000000001"
_INVOCATION_SECONDS = 900


@dataclass(frozen=True)
class RuntimeApi:
    """One event to hand out, and what the runtime answered: (`response` or `error`, its JSON)."""

    address: str
    answers: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)


@contextmanager
def start_runtime_api(event: dict[str, Any], *, function_arn: str) -> Iterator[RuntimeApi]:
    """Gives `event` to the first runtime that asks, and lets its next request wait."""
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    events.put(event)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            waiting = events.get()
            if waiting is None:
                self.close_connection = True
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": _REQUEST_ID,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + _INVOCATION_SECONDS) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": function_arn,
                "Content-Type": "application/json",
            }
            self._answer(200, json.dumps(waiting).encode(), headers)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = "response" if self.path.endswith("/response") else "error"
            api.answers.put((kind, json.loads(body or b"null")))
            self._answer(202, b"{}", {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    api = RuntimeApi(f"{LOOPBACK}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        events.put(None)  # ends the wait of the runtime for another event
        server.shutdown()
        thread.join()
        server.server_close()
