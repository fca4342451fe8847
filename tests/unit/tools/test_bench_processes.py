"""What the benchmark counts of the processes of a local AWS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.processes import CloudProcesses

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

WORK = """
import sys, time
def burn():
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
held = bytearray(30_000_000)
burn()
print(flush=True)
sys.stdin.readline()
burn()
print(flush=True)
sys.stdin.readline()
"""


@contextmanager
def running(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has used CPU, and uses as much again when it gets a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(WORK)
    process = subprocess.Popen([sys.executable, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def work_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()


def test_functions_are_counted_from_the_restart(tmp_path: Path) -> None:
    cloud = CloudProcesses(folder=tmp_path / "cloud")
    with running(tmp_path / "cloud" / "f" / "_worker.py") as process:
        cloud.restart()
        assert cloud.function_seconds == 0
        work_on(process)
        cloud.look()
        assert cloud.function_seconds >= 0.05  # it has used 0.1 s, counted in hundredths
        assert cloud.function_count == 1
        assert cloud.function_peak_mb > 30
        assert cloud.emulator_seconds == 0


def test_function_that_has_ended_stays_counted(tmp_path: Path) -> None:
    cloud = CloudProcesses(folder=tmp_path)
    cloud.restart()
    with running(tmp_path / "_worker.py"):
        cloud.look()
    cloud.look()
    assert cloud.function_seconds >= 0.05
    assert cloud.function_count == 1


def test_functions_of_another_cloud_are_not_counted(tmp_path: Path) -> None:
    cloud = CloudProcesses(folder=tmp_path / "ours")
    cloud.restart()
    with running(tmp_path / "theirs" / "_worker.py"):
        cloud.look()
    assert (cloud.function_count, cloud.function_seconds, cloud.function_peak_mb) == (0, 0, 0)
