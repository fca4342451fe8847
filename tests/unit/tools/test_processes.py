"""Ports for servers on loopback."""

from __future__ import annotations

import socket

import pytest

from local import processes
from local.processes import LOOPBACK, CannotRun, free_port


def test_free_port_can_be_bound() -> None:
    with socket.create_server((LOOPBACK, free_port())) as server:
        assert server.getsockname()[0] == LOOPBACK


def test_port_in_use_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, free_port())) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(processes, "_PORTS", range(taken, taken + 1))
        with pytest.raises(CannotRun, match="no port is free"):
            free_port()
