"""Runs one client as a separate process and measures its cost."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.programs import environment
from bench.throttle import WHOLE_MACHINE, CpuShare
from local.processes import read, run

_LAUNCH = Path(__file__).with_name("launch.py")
_SECONDS = 1800.0


class ClientFailed(RuntimeError):
    """A client failed; the text holds the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Phases:
    """What a Python client reports about itself, in seconds.

    Attributes:
        setup_s: Connect, log in, start the session.
        transfer_s: From there to the last acknowledgement.
        setup_cpu_s: CPU of the set-up.
        transfer_cpu_s: CPU of the transfer.
        streams: How many connections or channels carried the file.
    """

    setup_s: float
    transfer_s: float
    setup_cpu_s: float
    transfer_cpu_s: float
    streams: int | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run of one client.

    Attributes:
        wall_s: From the start of the process to its end.
        cpu_s: User and system time of the process and its children.
        peak_rss_mb: Peak resident memory, in 10^6 bytes; below about 10 it cannot see.
        phases: The phases, from clients that know them.
        logins: How many connections logged in.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    phases: Phases | None = None
    logins: int = field(default=0, compare=False)

    def seconds(self, *, warm: bool) -> float:
        """The time that counts.

        It starts when the client starts to connect. An interpreter that starts and imports is not part of it:
        a function does that once, and the cold start is a measurement of its own.
        """
        if self.phases is None:
            return self.wall_s
        return self.phases.transfer_s + (0.0 if warm else self.phases.setup_s)

    def cpu_seconds(self, *, warm: bool) -> float:
        """CPU of the same span of time."""
        if self.phases is None:
            return self.cpu_s
        return self.phases.transfer_cpu_s + (0.0 if warm else self.phases.setup_cpu_s)


def measure(
    command: list[str], *, share: CpuShare = WHOLE_MACHINE, env: dict[str, str] | None = None
) -> Measurement:
    """Runs the command and waits for it.

    Raises:
        ClientFailed: It ended with another status than 0.
    """
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        place = Path(folder)
        spec: dict[str, Any] = {
            **asdict(share),
            "command": command,
            "stdout": str(place / "stdout"),
            "result": str(place / "result"),
        }
        # HOME is empty: no configuration of the user, no known hosts, no keys.
        run(
            [sys.executable, "-I", "-S", _LAUNCH, json.dumps(spec)],
            log=place / "stderr",
            seconds=_SECONDS,
            env={**environment(HOME=folder), **(env or {})},
            cwd=place,
        )
        result = json.loads((place / "result").read_text())
        status = result.pop("status")
        if status:
            said = read(place / "stderr") + read(place / "stdout")
            raise ClientFailed(f"exit status {status} from {command[0]}:\n{said[-2000:]}")
        return Measurement(**result, phases=_phases(place / "stdout"))


def _phases(stdout: Path) -> Phases | None:
    lines = read(stdout).splitlines()
    if not lines or not lines[-1].startswith('{"setup_s"'):
        return None
    return Phases(**json.loads(lines[-1]))
