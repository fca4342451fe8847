"""Text that a server sends in place of SFTP is quoted in the error, whenever the server closes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from s3_to_sftp.errors import ConnectionLost, ProtocolViolation
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
