"""Timeouts of the tests, scaled to the current speed of this machine."""

from __future__ import annotations

import time

from s3_to_sftp.ssh.connect import Timeouts

_BURST_SECONDS = 0.05


def _slowness() -> float:
    """Return how many times longer work takes here than on a processor without other work."""
    started, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < _BURST_SECONDS:
        pass
    return max(1.0, (time.monotonic() - started) / _BURST_SECONDS)


def short(*, connect: float, handshake: float, login: float, reply: float) -> Timeouts:
    """Return timeouts that a healthy server meets; the arguments are seconds on an idle machine.

    A server on a busy machine must not be mistaken for one that hangs.
    """
    slowness = _slowness()
    return Timeouts(
        connect=connect * slowness,
        handshake=handshake * slowness,
        login=login * slowness,
        reply=reply * slowness,
    )
