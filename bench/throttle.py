"""The CPU of a small Lambda function: a share of one core, as Lambda gives it by memory size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ONE_CORE_MB = 1769
"""The memory size at which a Lambda function has one vCPU."""

_PERIOD_S = 0.02
_HIERARCHIES = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class CpuShare:
    """A share of one core, and how it is enforced.

    Attributes:
        method: In words.
        cgroup: Files to write one's process id to.
        run_s: Seconds to run in each period, for the duty cycle.
        rest_s: Seconds to be stopped in each period; 0 = there is no duty cycle.
    """

    method: str
    cgroup: tuple[str, ...] = ()
    run_s: float = 0.0
    rest_s: float = 0.0


WHOLE_MACHINE = CpuShare(method="no limit")


@contextmanager
def cpu_of_lambda(memory_mb: int | None) -> Iterator[CpuShare]:
    """The share of a function of this memory size; None: no limit.

    By a cgroup where this user may make one, else by stopping and continuing the process in turn.
    """
    if memory_mb is None:
        yield WHOLE_MACHINE
        return
    share = min(1.0, memory_mb / ONE_CORE_MB)
    group = _make_cgroup(share)
    if group is None:
        yield duty_cycle(share)
        return
    try:
        yield CpuShare(
            method=f"cgroup, {_PERIOD_S * 1000:.0f} ms period", cgroup=(str(group / "cgroup.procs"),)
        )
    finally:
        with suppress(OSError):  # an empty one can always be removed; the machine's end removes the rest
            group.rmdir()


def duty_cycle(share: float) -> CpuShare:
    """The share by SIGSTOP and SIGCONT on one core."""
    run = share * _PERIOD_S
    return CpuShare(
        method=f"one core, SIGSTOP and SIGCONT, {_PERIOD_S * 1000:.0f} ms period",
        run_s=run,
        rest_s=max(_PERIOD_S - run, 1e-4),
    )


def _make_cgroup(share: float) -> Path | None:
    quota, period = int(share * _PERIOD_S * 1e6), int(_PERIOD_S * 1e6)
    name = f"bench-{os.getpid()}"
    # Version 1 has a hierarchy for the CPU; version 2 one for all, mounted at the root or next to the others.
    for parent in (_HIERARCHIES / "cpu", _HIERARCHIES, _HIERARCHIES / "unified"):
        group = parent / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "cpu.cfs_quota_us").exists():
                (group / "cpu.cfs_period_us").write_text(str(period))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {period}")
        except OSError:
            group.rmdir()
            continue
        return group
    return None
