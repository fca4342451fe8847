"""CPU time and memory of the processes of a local AWS: the emulator, and the functions that it runs."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from local.cloud import EMULATOR

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(kw_only=True)
class CloudProcesses:
    """What the processes of one local AWS have used since `restart`; call `look` now and then.

    A process that ends between two looks is counted as it was at the last one.

    Attributes:
        folder: Of that local AWS: the path of every function that it runs begins with it.
    """

    folder: Path
    _at_start: dict[int, float] = field(default_factory=dict)
    _seconds: dict[int, float] = field(default_factory=dict)
    _peaks: dict[int, int] = field(default_factory=dict)
    _functions: set[int] = field(default_factory=set)

    def restart(self) -> None:
        """Counts CPU from now on."""
        self._seconds, self._peaks, self._functions = {}, {}, set()
        self._at_start = {}
        self.look()
        self._at_start = dict(self._seconds)

    def look(self) -> None:
        """Reads what all processes have used so far."""
        for process in _PROC.glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                self._look_at(process)

    @property
    def emulator_seconds(self) -> float:
        """CPU of the emulator."""
        return sum(self._since_start(pid) for pid in self._seconds if pid not in self._functions)

    @property
    def function_seconds(self) -> float:
        """CPU of all functions."""
        return sum(self._since_start(pid) for pid in self._functions)

    @property
    def function_count(self) -> int:
        """How many processes of functions were seen."""
        return len(self._functions)

    @property
    def function_peak_mb(self) -> float:
        """Peak resident memory of the largest function, in 10^6 bytes; 0: none was seen."""
        return max((self._peaks.get(pid, 0) for pid in self._functions), default=0) * 1024 / 1e6

    def _since_start(self, pid: int) -> float:
        return self._seconds[pid] - self._at_start.get(pid, 0.0)

    def _look_at(self, process: Path) -> None:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        pid = int(process.name)
        is_function = any(
            word.startswith(f"{self.folder}/") and word.endswith("_worker.py") for word in words
        )
        if not is_function and not self._is_emulator(process, words):
            return
        stat = (process / "stat").read_text().rpartition(")")[2].split()
        self._seconds[pid] = (int(stat[11]) + int(stat[12])) / _TICKS  # utime, stime: proc_pid_stat(5)
        if is_function:
            self._functions.add(pid)
            self._peaks[pid] = _peak_kib(process)

    def _is_emulator(self, process: Path, words: list[str]) -> bool:
        if words[1:3] != ["-P", str(EMULATOR)]:
            return False
        return f"HOME={self.folder}".encode() in (process / "environ").read_bytes().split(b"\0")


def _peak_kib(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
