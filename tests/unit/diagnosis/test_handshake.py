"""What a handshake that failed means."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis import handshake
from s3_to_sftp.diagnosis.server_messages import Ending, ServerMessages


def test_reset_at_once_may_be_an_allow_list_as_well() -> None:
    # A server that closes with our version line unread sends a reset, too.
    reset = handshake.RESET_AT_ONCE
    assert "does not allow this address" in reset.summary
    assert "allow-list" in reset.advice
    assert "allow-list" in reset.to_partner


@pytest.mark.parametrize(
    ("said", "is_other"),
    [
        (b"220 Welcome\r\n", True),
        (b"HTTP/1.1 400 Bad Request\r\n", True),
        (b"\xff\xfd\x18", True),
        (b"Router 7\r\n\r\nlogin: ", True),
        (b"\x15\x03\x01", True),
        (b"Authorised users only\r\n", False),
        (b"Not allowed at this time\r\n", False),
        (b"", False),
    ],
)
def test_other_protocols_are_known_by_how_they_begin(said: bytes, *, is_other: bool) -> None:
    assert handshake.is_another_protocol(said) is is_other


@pytest.mark.parametrize("before", [b"", b"Welcome\r\n"])
def test_version_line_that_is_not_over_in_time_is_ssh(before: bytes) -> None:
    received = ServerMessages(before_version=before + b"SSH-2.0-dr", ending=Ending.SILENT)
    error = handshake.handshake_failed(TimeoutError(), received, server="sftp.example:22", seconds=20)
    assert error.cause == "key-exchange-failed"


@pytest.mark.parametrize(
    ("quiet", "cause"),
    [(None, "mtu-inbound"), (19.0, "mtu-inbound"), (1.0, "key-exchange-failed")],
)
def test_packets_are_lost_only_where_nothing_comes(quiet: float | None, cause: str) -> None:
    received = ServerMessages(version=b"SSH-2.0-x", version_seconds=0.1)
    state = handshake.TcpState(quiet_seconds=quiet)
    error = handshake.handshake_failed(TimeoutError(), received, server="x:22", seconds=20, tcp=state)
    assert error.cause == cause
