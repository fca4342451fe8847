"""`python -m bench` measures everything; `python -m bench --quick` runs smaller workloads in ten minutes."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.about import about
from bench.cold_start import NotMeasurable, measure_cold_starts
from bench.deployed import measure_deployed
from bench.network import Link
from bench.network_check import check_link
from bench.partners import measure_partners
from bench.programs import REPOSITORY
from bench.report import table, target_table, write_results
from bench.run import Results, do_work
from bench.server import start_sink
from bench.targets import verdicts
from bench.workloads import CAPPED, FAR, NEAR, VERY_FAR, Work, full_works, quick_works
from cdk_s3_to_sftp.output_paths import file_to_write, folder_to_write
from local.processes import end_on_signals
from local.progress import Progress

_COLD_STARTS = 11
_COLD_STARTS_QUICK = 5
_DEPLOYED = (10, 100, 1000, 10_000)
_DEPLOYED_QUICK = (100, 1000)
_PARTNERS = (1, 10, 50)
GROUPS = (
    "network",
    "large",
    "capped",
    "small",
    "end-to-end",
    "cpu",
    "curves",
    "deployed",
    "partners",
    "cold-start",
)
_NOT_QUICK = ("curves", "partners")
"""The groups of which `--quick` measures nothing."""
_BUSY = 0.5


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    quick: bool
    only: tuple[str, ...]
    runs: int | None
    deployed: tuple[int, ...]
    output: Path
    plots: Path | None
    draw: Path | None


def main() -> int:
    """Returns the exit status. A missed target is a result, not an error."""
    options = _parse()
    if options.draw:
        return _draw(options.draw, options.plots or options.draw.parent)
    end_on_signals()
    progress = Progress()
    facts = about()
    if facts["load_before"] > _BUSY:
        progress.say(f"this machine is busy (load {facts['load_before']}): expect noise")
    results = Results()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, start_sink() as sink:
        scratch = Path(folder)
        if "network" in options.only:
            facts["links"] = _check_links(scratch, progress)
        for work in _works(options):
            rows = do_work(work, sink, results, scratch=scratch, progress=progress)
            print(table(rows) if rows else "  (nothing measured)", flush=True)
        if "deployed" in options.only:
            measure_deployed(sink, results, scratch=scratch, counts=options.deployed, progress=progress)
        if "partners" in options.only and not options.quick:
            measure_partners(sink, results, scratch=scratch, counts=_PARTNERS, progress=progress)
        if "cold-start" in options.only:
            _cold_start(
                results, scratch, progress, runs=_COLD_STARTS_QUICK if options.quick else _COLD_STARTS
            )
    _finish(options, facts, results, progress)
    return 0


def _parse() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller workloads, less than ten minutes")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="only these groups")
    parser.add_argument(
        "--runs",
        type=_count,
        metavar="N",
        help="how often each tool does each work; by default 3, but 1 for what takes long",
    )
    parser.add_argument(
        "--deployed",
        type=_count,
        nargs="+",
        metavar="N",
        help="numbers of objects for the deployed function; by default up to 10,000; 100,000 take the "
        "local AWS another half hour",
    )
    parser.add_argument(
        "--output",
        type=file_to_write,
        help="the JSON file; by default bench/results/<date>[-quick][-<groups>].json",
    )
    parser.add_argument(
        "--plots",
        type=folder_to_write,
        help="folder for plots; by default docs/bench, with --quick or --only none",
    )
    parser.add_argument("--draw", type=_results, help="measure nothing, draw the plots of this JSON file")
    given = parser.parse_args()
    if given.deployed and given.only and "deployed" not in given.only:
        parser.error(f"--deployed is for the group deployed, and --only names: {', '.join(given.only)}")
    if given.quick and given.only and not {*given.only} - {*_NOT_QUICK}:
        parser.error(f"--quick measures nothing of: {', '.join(given.only)}")
    parts = [f"{datetime.now(UTC):%Y-%m-%d}", *(["quick"] if given.quick else []), *(given.only or ())]
    name = f"{'-'.join(parts)}.json"
    is_full = not given.quick and not given.only
    return Options(
        quick=given.quick,
        only=tuple(given.only or GROUPS),
        runs=given.runs,
        deployed=tuple(given.deployed or (_DEPLOYED_QUICK if given.quick else _DEPLOYED)),
        output=given.output or REPOSITORY / "bench" / "results" / name,
        plots=given.plots or (REPOSITORY / "docs" / "bench" if is_full else None),
        draw=given.draw,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"not a number from 1 on: {text!r}")
    return int(text)


def _results(text: str) -> Path:
    path = Path(text)
    try:
        json.loads(path.read_text())["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{path} holds no results of a run") from error
    return path


def _works(options: Options) -> Sequence[Work]:
    workloads = quick_works() if options.quick else full_works()
    chosen = [work for work in workloads if work.group in options.only]
    return [replace(work, runs=options.runs) for work in chosen] if options.runs else chosen


def _check_links(scratch: Path, progress: Progress) -> list[dict[str, Any]]:
    checked = []
    for link in (NEAR, Link(mbit=600), FAR, VERY_FAR, CAPPED):
        check = check_link(link, log=scratch / "link.log")
        progress.say(str(check))
        checked.append(
            {
                "rtt_ms": link.rtt_ms,
                "mbit": link.mbit,
                "measured_rtt_ms": round(check.rtt_ms, 3),
                "measured_mb_per_s": round(check.mb_per_s, 1),
            }
        )
    return checked


def _cold_start(results: Results, scratch: Path, progress: Progress, *, runs: int) -> None:
    with progress.step("cold start"):
        try:
            rows = measure_cold_starts(scratch, runs=runs)
        except NotMeasurable as reason:
            results.skipped["cold start"] = str(reason)
            return
    results.rows += rows
    print(table(rows), flush=True)


def _finish(options: Options, facts: dict[str, Any], results: Results, progress: Progress) -> None:
    found = verdicts(results.rows)
    facts |= {"skipped": results.skipped, "cpu_limit": results.cpu_limit, "quick": options.quick}
    write_results(options.output, about=facts, rows=results.rows, verdicts=found)
    # Of some groups only, most targets cannot be measured: in a full run it matters which were not.
    shown = found if options.only == GROUPS else [each for each in found if each.got is not None]
    if shown:
        print(f"\n{target_table(shown)}\n")
    for what, reason in results.skipped.items():
        print(f"  skipped: {what}: {reason}")
    if options.plots:
        _draw(options.output, options.plots)
    progress.say(f"results are in {options.output}")


def _draw(results: Path, folder: Path) -> int:
    try:
        from bench.plots import draw
    except ImportError as error:
        print(f"no plots: {error.name} is not installed (pip install -r bench/requirements.txt)")
        return 1
    for path in draw(json.loads(results.read_text())["rows"], folder):
        print(f"  drawn: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
