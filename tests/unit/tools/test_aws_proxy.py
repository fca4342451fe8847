"""The proxy in front of the local AWS: what it adds to the emulator, and what it passes on unchanged."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest

from local.aws_proxy import aws_proxy, requested_range
from local.processes import LOOPBACK

BODY = bytes(range(200))


class WithoutRanges(BaseHTTPRequestHandler):
    """Ignores ranges, as the emulator does for object versions; returns what was put."""

    def do_GET(self) -> None:
        self._answer(BODY)

    def do_PUT(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amz-version-id", "v1")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    server = HTTPServer((LOOPBACK, 0), WithoutRanges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with aws_proxy(f"http://{LOOPBACK}:{server.server_address[1]}") as endpoint:
        yield endpoint
    server.shutdown()
    server.server_close()


def request(
    endpoint: str, method: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
    connection.request(method, "/bucket/key?versionId=v1", body=body, headers=headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize(
    ("asked", "expected", "content_range"),
    [
        ("bytes=10-19", BODY[10:20], "bytes 10-19/200"),
        ("bytes=190-500", BODY[190:], "bytes 190-199/200"),
        ("bytes=150-", BODY[150:], "bytes 150-199/200"),
        ("bytes=-5", BODY[-5:], "bytes 195-199/200"),
    ],
)
def test_range_of_a_version_is_answered_with_these_bytes(
    proxy: str, asked: str, expected: bytes, content_range: str
) -> None:
    answer, content = request(proxy, "GET", headers={"Range": asked})
    assert (answer.status, content) == (206, expected)
    assert answer.getheader("Content-Range") == content_range
    assert answer.getheader("x-amz-version-id") == "v1"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=-"}, {"Range": "bytes=0-1,5-6"}])
def test_request_without_one_range_is_passed_on_unchanged(proxy: str, headers: dict[str, str]) -> None:
    answer, content = request(proxy, "GET", headers=headers)
    assert (answer.status, content, answer.getheader("Content-Range")) == (200, BODY, None)


def test_body_of_a_request_is_passed_on(proxy: str) -> None:
    answer, content = request(proxy, "PUT", body=b"x" * 300_000)
    assert (answer.status, content) == (200, b"x" * 300_000)


def test_range_beyond_the_end_is_none() -> None:
    assert requested_range("bytes=200-300", 200) is None
