"""The checks of the partner that need no server."""

from __future__ import annotations

import socket

import pytest

from s3_to_sftp.doctor.checklist import Finding
from s3_to_sftp.doctor.login_guard import NoGuard
from s3_to_sftp.doctor.partner_checks import PartnerChecks, Target
from s3_to_sftp.server import Server


def test_connection_that_is_reset_at_once_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(server=Server(host="127.0.0.1", port=22))
    checks = PartnerChecks(target, None, guard=NoGuard(), has_way_out=lambda: ("", True))
    reset = socket.socket()  # like one that was reset, it has no peer
    reset.bind(("127.0.0.1", 0))
    monkeypatch.setattr(checks, "_open", lambda _addresses: reset)
    steps = dict(checks.steps())
    steps["name"]()
    found = steps["connect"]()
    checks.close()
    assert not isinstance(found, Finding)
    assert found.startswith("127.0.0.1:22 (127.0.0.1) from 127.0.0.1")
