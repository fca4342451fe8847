"""The machine and the versions, without which the figures are meaningless."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.peers import rclone_program
from bench.programs import REPOSITORY
from local.sftp_server import sshd_path

_LIBRARIES = ("paramiko", "asyncssh", "cryptography", "boto3", "botocore")


def about() -> dict[str, Any]:
    """Date, machine and versions, as the head of the results."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "revision": _first_line(["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {
            "python": platform.python_version(),
            "sshd": _first_line([str(sshd_path() or "sshd"), "-V"]),
            "sftp": _first_line(["ssh", "-V"]),
            "rclone": _first_line([rclone_program() or "rclone", "version"]),
            "lftp": _first_line(["lftp", "--version"]),
            **{library: importlib.metadata.version(library) for library in _LIBRARIES},
        },
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "not installed"
    lines = (done.stdout + done.stderr).strip().splitlines()
    # An sshd before 9.6 answers with its usage, whose second line is the version.
    line = next((line for line in lines if "OpenSSH_" in line), lines[0] if lines else "unknown")
    return line.partition(" | Copyright")[0]
