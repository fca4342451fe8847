"""Runs the workloads: all tools of one workload in turn, so that disturbances affect all of them."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.clients.job import Job
from bench.measure import ClientFailed, Measurement, measure
from bench.network import start_link
from bench.objects import StoredObject, store_object
from bench.payload import Payload
from bench.rows import Row, row_of
from bench.server import Sink, WrongArrival, check_arrival
from bench.throttle import CpuShare, cpu_of_lambda
from bench.tools import Tool
from bench.workloads import Work, size_text
from local.processes import CannotRun
from local.progress import Progress

_MEMORY_TO_SPARE = 2 * 1024**3
_COPIES_WITH_S3 = 3
"""The emulator keeps objects in memory, for a moment both the parts and the whole; the third one arrives."""


@dataclass
class Results:
    """The results.

    Attributes:
        rows: One per work and tool.
        skipped: What was not measured -> reason.
        cpu_limit: How CPU shares were enforced.
    """

    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    cpu_limit: str = ""


def do_work(work: Work, sink: Sink, results: Results, *, scratch: Path, progress: Progress) -> list[Row]:
    """Measures one work with all its tools; returns its rows, which are also added to the results."""
    if (reason := _too_large(work, sink)) is not None:
        results.skipped[str(work)] = reason
        return []
    tools = [tool for tool in work.tools if _is_there(tool, results)]
    with progress.step(str(work)), _place(work, sink, scratch) as place:
        results.cpu_limit = place.share.method if work.memory_mb else results.cpu_limit
        runs: dict[int, list[Measurement]] = {}
        for _ in range(work.runs):
            for number, tool in enumerate(tools):
                if f"{tool}, {work}" in results.skipped:
                    continue
                try:
                    measured = _run(work, tool, place)
                except (ClientFailed, CannotRun, WrongArrival) as error:
                    results.skipped[f"{tool}, {work}"] = str(error)
                    progress.say(f"  {tool}: {error}")
                else:
                    runs.setdefault(number, []).append(measured)
    rows = [
        row_of(work, tools[number], done, size=_size(work, tools[number]), files=_files(work, tools[number]))
        for number, done in runs.items()
    ]
    results.rows += rows
    return rows


@dataclass(frozen=True, kw_only=True)
class _Place:
    sink: Sink
    port: int
    share: CpuShare
    stored: StoredObject | None


@contextmanager
def _place(work: Work, sink: Sink, scratch: Path) -> Iterator[_Place]:
    with ExitStack() as stack:
        port = sink.server.port
        if not work.link.is_direct:
            port = stack.enter_context(start_link(work.link, to_port=port, log=scratch / "link.log"))
        stored = None
        if work.name == "end-to-end":
            stored = stack.enter_context(
                store_object(work.size, scratch / f"cloud{'-tls' if work.tls else ''}", tls=work.tls)
            )
        share = stack.enter_context(cpu_of_lambda(work.memory_mb))
        yield _Place(sink=sink, port=port, share=share, stored=stored)
        sink.empty()


def _run(work: Work, tool: Tool, place: _Place) -> Measurement:
    size, files = _size(work, tool), _files(work, tool)
    sink = place.sink
    sink.empty()
    before = sink.logins()
    job = _job(work, tool, place)
    measurement = measure(tool.command(job), share=place.share, env=tool.env)
    if tool.name != "s3-get":
        check_arrival(sink.inbox, size=size, files=files, sha256=_checksum(size) if files == 1 else "")
    return replace(measurement, logins=sink.logins() - before)


def _job(work: Work, tool: Tool, place: _Place) -> Job:
    size, files = _size(work, tool), _files(work, tool)
    server = place.sink.server
    job = Job(
        host=server.host,
        port=place.port,
        host_key=server.host_key,
        username=server.username,
        key_file=str(place.sink.key_file),
        directory=str(place.sink.inbox.resolve()),
        size=size,
        files=files,
    )
    if tool.reads_files:
        job = replace(job, local=str(place.sink.local(size=size, files=files)))
    if place.stored and tool.reads_object:
        stored = place.stored
        job = replace(
            job,
            endpoint=stored.endpoint,
            certificate=stored.certificate,
            bucket=stored.bucket,
            key=stored.key,
        )
    return job


def _size(work: Work, tool: Tool) -> int:
    return work.less.get(str(tool), work.size)


def _files(work: Work, tool: Tool) -> int:
    return work.fewer.get(str(tool), work.files)


@functools.cache
def _checksum(size: int) -> str:
    return Payload(size).sha256()


def _is_there(tool: Tool, results: Results) -> bool:
    reason = tool.missing()
    if reason is not None:
        results.skipped[str(tool)] = reason
    return reason is None


def _too_large(work: Work, sink: Sink) -> str | None:
    reads_files = any(tool.reads_files for tool in work.tools)
    copies = 2 if reads_files else _COPIES_WITH_S3 if work.name == "end-to-end" else 1
    needed = work.size * work.files * copies + _MEMORY_TO_SPARE
    free = min(shutil.disk_usage(sink.inbox).free, _available_memory())
    if needed <= free:
        return None
    return f"the files need {size_text(needed)} of memory to land in, {size_text(free)} are free"


def _available_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
