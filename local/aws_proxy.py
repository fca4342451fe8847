"""An HTTP proxy in front of the local AWS, which adds what the emulator lacks."""

from __future__ import annotations

import http.client
import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from local.processes import LOOPBACK

PIECE = 64 * 1024
"""Bytes of a response that are passed on at a time."""

_TIMEOUT_SECONDS = 900.0
"""As long as a synchronous invocation of a function may take."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@contextmanager
def aws_proxy(endpoint: str) -> Iterator[str]:
    """Runs the proxy until the block ends, and yields its endpoint.

    Args:
        endpoint: Of the emulator; plain HTTP.
    """
    with running(ProxyServer(endpoint, Forwarder)) as own:
        yield own


@contextmanager
def running(server: ProxyServer) -> Iterator[str]:
    """Serves in a thread of this process until the block ends, and yields the endpoint."""
    thread = threading.Thread(target=server.serve_forever, name="AWS proxy", daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Readable(Protocol):
    """The body of a response."""

    def read(self, size: int, /) -> bytes:
        """Returns the next bytes, at most `size`."""


class ProxyServer(ThreadingHTTPServer):
    """Listens on a free port of loopback.

    Args:
        endpoint: Of the emulator; plain HTTP.
        handler: Handles its requests.
        timeout: Seconds that the emulator may take for one.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, endpoint: str, handler: type[Forwarder], *, timeout: float = _TIMEOUT_SECONDS) -> None:
        super().__init__((LOOPBACK, 0), handler)
        self.target = urlsplit(endpoint).netloc
        self.answers_within = timeout

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: clients are killed, or go away, in the middle of a request."""


class Forwarder(BaseHTTPRequestHandler):
    """Forwards the requests of one connection. Subclasses change what they do to them."""

    protocol_version = "HTTP/1.1"
    server: ProxyServer

    def handle_one_request(self) -> None:
        """Reads one request, forwards it, and passes its response back."""
        self.raw_requestline = self.rfile.readline(PIECE)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.forward(body)

    def forward(self, body: bytes) -> None:
        """Forwards a request with this body, and passes its response back."""
        upstream = http.client.HTTPConnection(self.server.target, timeout=self.server.answers_within)
        try:
            self._ask(upstream, body)
            answer = upstream.getresponse()
            if self.is_passed_back():
                self._pass_back(answer)
            else:
                self.close_connection = True
        finally:
            upstream.close()

    def is_passed_back(self) -> bool:
        """Returns whether the client gets the response."""
        return True

    def is_cut(self, length: int) -> bool:  # noqa: ARG002 - for subclasses
        """Returns whether the connection ends in the middle of a body of this length."""
        return False

    def _ask(self, upstream: http.client.HTTPConnection, body: bytes) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"content-length", "connection", "expect"}:
                upstream.putheader(name, value)
        upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body)

    def _pass_back(self, answer: http.client.HTTPResponse) -> None:
        size = answer.getheader("Content-Length")
        whole = io.BytesIO(answer.read()) if size is None else answer
        length = whole.getbuffer().nbytes if isinstance(whole, io.BytesIO) else int(size or 0)
        status, part, content_range = self._part(answer.status, length)
        self.send_response_only(status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command != "HEAD":
            self._stream(whole, part)

    def _part(self, status: int, length: int) -> tuple[int, range, str]:
        """Returns status, bytes and Content-Range.

        MiniStack 1.5.33 ignores the range of a GET with a version id.
        """
        whole = status, range(length), ""
        if self.command != "GET" or status != HTTPStatus.OK:
            return whole
        asked = requested_range(self.headers.get("Range", ""), length)
        if asked is None:
            return whole
        return HTTPStatus.PARTIAL_CONTENT, asked, f"bytes {asked.start}-{asked.stop - 1}/{length}"

    def _stream(self, body: Readable, part: range) -> None:
        left = len(part)
        if self.is_cut(left):
            left //= 2
            self.close_connection = True
        skip = part.start
        while skip:
            skip -= len(body.read(min(PIECE, skip)))
        while left and (piece := body.read(min(PIECE, left))):
            self.wfile.write(piece)
            left -= len(piece)


def requested_range(header: str, length: int) -> range | None:
    """Returns the bytes that a Range header asks for of a body of this length; None: all of it."""
    asked = _RANGE.fullmatch(header)
    if asked is None or asked[1] == asked[2] == "":
        return None
    if not asked[1]:
        found = range(max(0, length - int(asked[2])), length)
    else:
        found = range(int(asked[1]), min(int(asked[2]) + 1, length) if asked[2] else length)
    return found if found else None
