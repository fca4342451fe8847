"""Bodies are read into memory of ours over real HTTP, and their connections are used again."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody

from s3_to_sftp.errors import ObjectReadInterrupted
from s3_to_sftp.s3 import persistent_body
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.s3.persistent_body import PersistentBody

DATA = struct.pack(">300000I", *range(300_000))
REF = ObjectRef(bucket="bucket", key="a")


class HttpS3(ThreadingHTTPServer):
    """Answers GET with a range of DATA, over connections that stay open.

    Attributes:
        connections: How many were made.
        breaks: After so many bytes a response ends; one entry is used up per GET.
        in_chunks: Whether it sends no Content-Length.
        resets: Whether a response that ends early is reset in place of closed.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = 0
        self.breaks: list[int] = []
        self.in_chunks = self.resets = False

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpS3

    def do_GET(self) -> None:
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        data = DATA[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(DATA)}")
        if self.server.in_chunks:
            self.send_header("Transfer-Encoding", "chunked")
            data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        sent = data[: self.server.breaks.pop(0)] if self.server.breaks else data
        self.wfile.write(sent)
        self.close_connection = len(sent) < len(data)
        if self.close_connection and self.server.resets:
            wait_until_received(self.connection)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Write nothing to the test's output."""


def wait_until_received(sock: socket.socket) -> None:
    """Wait until the peer's kernel has all bytes: a reset overtakes what is still to be sent."""
    left = bytearray(4)
    while fcntl.ioctl(sock, termios.TIOCOUTQ, left) or any(left):
        time.sleep(0.001)


@pytest.fixture
def s3() -> Iterator[HttpS3]:
    with HttpS3() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@contextmanager
def body_of(s3: HttpS3, position: int, end: int) -> Iterator[PersistentBody]:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3.server_port}",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )

    def request(start: int, end: int) -> Any:
        answer = client.get_object(Bucket="bucket", Key="a", Range=f"bytes={start}-{end - 1}")
        return answer["Body"]

    with closing(PersistentBody(REF, request, position=position, end=end)) as body:
        yield body


def filled(body: PersistentBody, sizes: list[int]) -> bytes:
    data = b""
    for size in sizes:
        view = memoryview(bytearray(size))
        body.read_into(view)
        data += view
    return data


def refuse_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_body: object, _size: int | None = None) -> bytes:
        raise AssertionError("the body is read by a copy")

    monkeypatch.setattr(StreamingBody, "read", read)


def test_body_is_read_without_a_copy(s3: HttpS3, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_copy(monkeypatch)
    with body_of(s3, 7, 1_000_007) as body:
        assert filled(body, [1, 499_999, 500_000]) == DATA[7:1_000_007]


def test_connection_is_used_again_for_the_next_range(s3: HttpS3) -> None:
    with body_of(s3, 0, 300_000) as body:
        assert filled(body, [300_000]) == DATA[:300_000]
        following = PersistentBody(REF, body._request, position=300_000, end=600_000)
        with closing(following):
            assert filled(following, [300_000]) == DATA[300_000:600_000]
    assert s3.connections == 1


def test_connection_of_a_body_that_was_not_read_to_its_end_is_closed(s3: HttpS3) -> None:
    with body_of(s3, 0, len(DATA)) as body:
        filled(body, [10])
        body.close()
        following = PersistentBody(REF, body._request, position=0, end=10)
        with closing(following):
            assert filled(following, [10]) == DATA[:10]
    assert s3.connections == 2


def test_body_that_ends_early_is_requested_again_from_the_first_missing_byte(
    s3: HttpS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_copy(monkeypatch)
    s3.breaks = [100_000, 1, 0, 70_000]
    with body_of(s3, 5, len(DATA)) as body:
        assert filled(body, [len(DATA) - 5]) == DATA[5:]
    assert s3.connections == 5


def test_body_that_always_ends_early_is_interrupted(s3: HttpS3) -> None:
    s3.breaks = [0] * 10
    with body_of(s3, 0, 10) as body, pytest.raises(ObjectReadInterrupted, match="at byte 0"):
        filled(body, [10])
    assert s3.connections == persistent_body._MOST_STALLED_READS


def test_what_came_before_a_reset_counts(s3: HttpS3) -> None:
    s3.resets = True
    s3.breaks = [600_000, 300_000, 300_000]
    with body_of(s3, 0, len(DATA)) as body:
        assert filled(body, [len(DATA)]) == DATA
    assert s3.connections <= 4


def test_body_that_is_always_reset_on_the_way_comes_to_its_end(s3: HttpS3) -> None:
    s3.resets = True
    s3.breaks = [300_000] * 4
    with body_of(s3, 0, len(DATA)) as body:
        assert filled(body, [len(DATA)]) == DATA


def test_body_of_unknown_length_is_read_by_a_copy(s3: HttpS3) -> None:
    s3.in_chunks = True
    with body_of(s3, 0, 700_000) as body:
        assert filled(body, [300_000, 400_000]) == DATA[:700_000]
