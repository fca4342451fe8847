"""From runs to rows: medians, in the units of the results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench.measure import Measurement
from bench.payload import MIB
from bench.tools import Tool
from bench.workloads import Work

Row = dict[str, Any]
"""What `bench/results/*.json` holds one of per work and tool; keys without a value are left out."""


def row_of(work: Work, tool: Tool, runs: Sequence[Measurement], *, size: int, files: int) -> Row:
    """The medians of all runs of one tool at one work.

    Args:
        work: What was done.
        tool: Who did it.
        runs: At least one.
        size: Bytes of each file that this tool sent.
        files: How many it sent.
    """

    def median(figure: Callable[[Measurement], float]) -> float:
        return statistics.median(figure(run) for run in runs)

    megabytes = size * files / 1e6
    amount = megabytes if work.files == 1 else files
    unit = "mb_per_s" if work.files == 1 else "files_per_s"
    seconds = [run.seconds(warm=tool.warm) for run in runs]
    row: Row = {
        "tool": tool.name,
        "variant": tool.variant,
        "work": work.name,
        "rtt_ms": work.link.rtt_ms,
        "link_mbit": work.link.mbit,
        "memory_mb": work.memory_mb,
        "tls": work.tls or None,
        "curve": work.curve,
        "mib": size / MIB if work.files == 1 else None,
        "files": files if work.files > 1 else None,
        unit: _rounded(amount / statistics.median(seconds)),
        f"process_{unit}": _rounded(amount / median(lambda run: run.wall_s)),
        "cpu_s_per_gb": _rounded(median(lambda run: run.cpu_seconds(warm=tool.warm)) / megabytes * 1000),
        "process_cpu_s_per_gb": _rounded(median(lambda run: run.cpu_s) / megabytes * 1000),
        "peak_rss_mb": _rounded(median(lambda run: run.peak_rss_mb)),
        "streams": _streams(runs),
        "connections": max(run.logins for run in runs),
        "warm": tool.warm or None,
        "runs": len(runs),
        "each_s": [_rounded(second) for second in seconds],
    }
    if any(run.phases for run in runs):
        row["setup_s"] = _rounded(median(lambda run: run.phases.setup_s if run.phases else 0.0))
        row[f"transfer_{unit}"] = _rounded(
            amount / median(lambda run: run.phases.transfer_s if run.phases else run.wall_s)
        )
    return {key: value for key, value in row.items() if value not in (None, "")}


def _streams(runs: Sequence[Measurement]) -> int:
    reported = [run.phases.streams for run in runs if run.phases and run.phases.streams is not None]
    return max(reported) if reported else max(run.logins for run in runs)


def _rounded(figure: float) -> float:
    return float(f"{figure:.4g}")
