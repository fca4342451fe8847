"""What the words of a DISCONNECT during a login mean."""

from __future__ import annotations

import pytest

from s3_to_sftp.diagnosis.login import cause_of_goodbye


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (b"Your IP address 192.0.2.1 has been blocked", "banned"),
        (b"Address locked for 10 minutes", "banned"),
        (b"Blocked after too many authentication failures", "banned"),
        (b"User address is banned", "banned"),
        (b"Too many authentication failures", "too-many-attempts"),
        (b"This account has been disabled", "account-disabled"),
        (b"Account locked after too many failed logins", "account-disabled"),
        (b"Your account has been blocked", "account-disabled"),
        (b"Your account has expired", "account-disabled"),
        (b"Locked account", "account-disabled"),
        (b"User bob is not active", "account-disabled"),
        (b"Account unlocked, try again", ""),
        (b"Password authentication is disabled on this server", ""),
        (b"User password authentication is disabled", ""),
        (b"Disconnected: session inactive for 30 s", ""),
        (b"Host key algorithm disabled", ""),
        (b"Unblocked", ""),
        (b"", ""),
    ],
)
def test_cause_of_a_goodbye(said: bytes, cause: str) -> None:
    found = cause_of_goodbye(said)
    assert (found.name if found else "") == cause
