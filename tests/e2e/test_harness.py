"""`python -m local`: it runs while another copy does, and leaves nothing when a signal ends it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from local.environments import REPOSITORY
from local.processes import LOOPBACK, read, run, running
from tests.support.e2e.stack_environment import PATIENCE_SECONDS, StackEnvironment, wait_until


def test_demo_succeeds_while_another_copy_runs(env: StackEnvironment, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(
        [sys.executable, "-m", "local", "demo"],
        log=log,
        seconds=1500,
        env=_environment(tmp_path),
        cwd=REPOSITORY,
    )
    rows = [line for line in read(log).splitlines() if line.endswith("  equal")]
    assert len(rows) == 7, read(log)


@pytest.mark.usefixtures("_tools")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_servers_and_removes_folders(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    log, scratch = tmp_path / "log", tmp_path / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "local", "run"]
    with running(command, log=log, env=_environment(scratch), cwd=REPOSITORY) as process:
        wait_until(lambda: "cdk bootstrap" in read(log), "cloud", lambda: read(log))
        ports = [int(port) for port in re.findall(rf"listens on \S*{LOOPBACK}:(\d+)", read(log))]
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_SECONDS) == status, read(log)
    assert len(ports) == 2
    assert not any(_answers(port) for port in ports)
    assert list(scratch.iterdir()) == []


def _environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(scratch)}


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
