"""Why SFTP does not start, from what is known of the session."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.diagnosis.sftp_start import cause_of_start


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        ({}, "sftp-ends-at-once"),
        ({"silent": True}, "sftp-silent"),
        ({"refused": True}, "no-sftp-subsystem"),
        ({"malformed": True}, "not-sftp"),
        ({"channel_data": b"\x00\x00\x00\x05\x09"}, "not-sftp"),
        ({"channel_data": b"Welcome"}, "shell-greets"),
        ({"channel_data": b"Hello\r\n\x00\x00\x00\x05\x02"}, "shell-greets"),
        ({"channel_data": b"abc\x00\x00\x05\x02"}, "not-sftp"),
        ({"channel_data": b"\x80\x01\x02\x03"}, "not-sftp"),
        ({"exit_status": 127}, "sftp-program-missing"),
        ({"exit_status": 1, "said": b"sh: /x: not found"}, "sftp-program-missing"),
        ({"exit_status": 1}, "account-without-sftp"),
        ({"exit_status": 127, "said": b"Only SFTP, no shell access."}, "sftp-program-missing"),
        ({"exit_status": 255}, "chroot-broken"),
        ({"exit_status": 255, "said": b"Only SFTP, no shell access."}, "chroot-broken"),
        ({"exit_status": 255, "said": b"/etc/profile: foo: command not found"}, "chroot-broken"),
        ({"exit_status": 255, "channel_data": b"Welcome"}, "shell-greets"),
        ({"said": b"This account is currently not available."}, "account-without-sftp"),
    ],
)
def test_cause_of_a_start_that_failed(seen: dict[str, Any], cause: str) -> None:
    nothing: dict[str, Any] = {
        "said": b"",
        "exit_status": None,
        "channel_data": b"",
        "refused": False,
        "silent": False,
    }
    assert cause_of_start(**{**nothing, **seen}).name == cause
