"""Text that a server sends in place of SFTP is quoted in the error, whenever the server closes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from s3_to_sftp.errors import ConnectionLost, ProtocolViolation, TransferError
from s3_to_sftp.sftp.protocol import POSIX_RENAME
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.ssh.stream import Piece


class Shell:
    """A stream to a program that prints a text and ends."""

    def __init__(self, says: bytes, *, has_ended: bool) -> None:
        self._says = [says]
        self._has_ended = has_ended

    def send(self, pieces: Sequence[Piece]) -> None:
        if self._has_ended:
            raise OSError("Socket is closed")

    def recv(self) -> bytes:
        return self._says.pop() if self._says else b""

    def close(self) -> None:
        pass


@pytest.mark.parametrize("has_ended", [False, True], ids=["after our request", "before our request"])
@pytest.mark.parametrize("says", [b"This account is currently not available.\n", b"Hi\n"])
def test_text_in_place_of_sftp_is_quoted(says: bytes, has_ended: bool) -> None:  # noqa: FBT001 - given by pytest
    with pytest.raises(ProtocolViolation, match=f"said '{says.decode().strip()}' in place of SFTP"):
        SftpSession(Shell(says, has_ended=has_ended), server="partner")


def test_truncated_reply_is_not_quoted_as_text() -> None:
    with pytest.raises(ConnectionLost, match="closed the connection when asked to start SFTP"):
        SftpSession(Shell(b"\0\0\0\5\2", has_ended=False), server="partner")


def version(*extensions: str, kind: int = 2) -> bytes:
    """Return the answer to INIT that offers these."""
    pairs = b"".join(struct.pack(">I", len(name)) + name.encode() + b"\0\0\0\0" for name in extensions)
    body = bytes([kind]) + struct.pack(">I", 3) + pairs
    return struct.pack(">I", len(body)) + body


class Server:
    """A stream to a server that says what the test lets it say."""

    def __init__(self, *says: bytes) -> None:
        self._says = list(says)
        self.sent = b""

    def send(self, pieces: Sequence[Piece]) -> None:
        self.sent += b"".join(pieces)

    def recv(self) -> bytes:
        return self._says.pop(0) if self._says else b""

    def close(self) -> None:
        pass


HANDLE = b"\0\0\0\x0a" + bytes([102]) + b"\0\0\0\0" + b"\0\0\0\1h"


def test_known_server_is_not_waited_for() -> None:
    server = Server(version(POSIX_RENAME) + HANDLE)
    session = SftpSession(server, server="partner", expected=(POSIX_RENAME,))
    assert not session.has_started
    assert session.renames_over_existing
    opening = session.create("a")
    assert server.sent == b""
    assert session.wait_for(opening) == b"h"
    assert server.sent[4] == 1, "INIT comes first"
    assert session.has_started
    assert session.contradiction == ""


def test_known_server_can_be_waited_for() -> None:
    session = SftpSession(Server(version(POSIX_RENAME)), server="partner", expected=(POSIX_RENAME,))
    session.start()
    session.start()
    assert session.has_started


def test_extension_that_is_gone_is_noticed_and_not_used() -> None:
    session = SftpSession(Server(version() + HANDLE), server="partner", expected=(POSIX_RENAME,))
    session.wait_for(session.create("a"))
    assert POSIX_RENAME in session.contradiction
    assert not session.renames_over_existing


def test_extension_that_is_new_is_used() -> None:
    session = SftpSession(Server(version(POSIX_RENAME) + HANDLE), server="partner", expected=())
    session.wait_for(session.create("a"))
    assert session.contradiction == ""
    assert session.renames_over_existing


@pytest.mark.parametrize(
    "says", [b"", b"This account is not available.\n", version(kind=101), b"\0\0\0\6\2\0\0\0\3x"]
)
def test_known_server_that_does_not_start_has_not_started(says: bytes) -> None:
    session = SftpSession(Server(says), server="partner", expected=())
    with pytest.raises(TransferError):
        session.wait_for(session.create("a"))
    assert not session.has_started
