"""A stream ends with the reason for which the library has given the connection up."""

from __future__ import annotations

from typing import Any

import paramiko
import pytest

from s3_to_sftp.ssh.stream import PlainStream


class EndedChannel:
    """A channel of a connection that is over."""

    timeout = 1.0

    def __init__(self, why: Exception | None) -> None:
        self.saved_exception = why

    def recv(self, _most: int) -> bytes:
        return b""

    def get_transport(self) -> EndedChannel:
        return self


def stream(why: Exception | None) -> PlainStream:
    channel: Any = EndedChannel(why)
    return PlainStream(channel)


def test_failed_key_exchange_is_the_reason_for_the_end() -> None:
    with pytest.raises(OSError, match="Key-exchange timed out"):
        stream(paramiko.SSHException("Key-exchange timed out waiting for key negotiation")).recv()


@pytest.mark.parametrize("why", [None, EOFError(), ConnectionResetError("reset")])
def test_end_without_such_a_reason_is_an_end(why: Exception | None) -> None:
    assert stream(why).recv() == b""
