"""What a handshake that failed means."""

from __future__ import annotations

from s3_to_sftp.diagnosis import handshake


def test_reset_at_once_may_be_an_allow_list_as_well() -> None:
    # A server that closes with our version line unread sends a reset, too.
    reset = handshake.RESET_AT_ONCE
    assert "does not allow this address" in reset.summary
    assert "allow-list" in reset.advice
    assert "allow-list" in reset.to_partner
