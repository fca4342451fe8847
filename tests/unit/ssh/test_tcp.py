"""Whether a silent server waits for TLS: an alert is an answer, and so is a handshake."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from s3_to_sftp.server import Server
from s3_to_sftp.ssh.tcp import speaks_tls

ALERT = bytes((21, 3, 3, 0, 2, 2, 40))  # fatal: handshake_failure


class Answering:
    """Answers what it receives first with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.received = b""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def server(self) -> Server:
        return Server(host="127.0.0.1", port=self._listener.getsockname()[1])

    def close(self) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            self.received = connection.recv(16384)
            connection.sendall(self._answer)


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[Answering]:
    peer = Answering(request.param)
    yield peer
    peer.close()


@pytest.mark.parametrize(
    ("answering", "is_tls"), [(ALERT, True), (b"SSH-2.0-a\r\n", False)], indirect=["answering"]
)
def test_answer_to_a_client_hello_says_whether_it_is_tls(answering: Answering, *, is_tls: bool) -> None:
    assert speaks_tls(answering.server, seconds=60) is is_tls
    assert answering.received[:2] == b"\x16\x03"  # a handshake record
