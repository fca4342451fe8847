"""Many small objects through the deployed stack: S3, queue, function and ledger, in the local AWS.

The objects are put while the event source mapping is disabled. The clock starts when it is enabled, and ends
with the last receipt in the ledger. It stands still while more are put.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.ours import NAME, ours
from bench.payload import small_file, small_name
from bench.processes import CloudProcesses
from bench.report import table
from bench.rows import Row, rounded
from bench.run import Results, do_work
from bench.server import Sink, WrongArrival
from bench.workloads import NEAR, SMALL_BYTES, Work
from local.cloud import LocalCloud, start_cloud
from local.deployment import (
    Deployment,
    bootstrap,
    cloud_assembly,
    deploy,
    fill_secret,
    messages_in,
    missing_tool,
    server_context,
    wait_for_test_event,
)
from local.processes import CannotRun
from local.progress import Progress

VARIANT = "deployed"
CURVE = "deployed"
"""Of the rows of this group; the engine alone has the same."""

_PUTS_AT_A_TIME = 4
_MOST_WAITING = 10_000
"""More are put when these have arrived: for each batch, the emulator goes through all that waits."""

_GLANCE_SECONDS = 0.1
_FILES_A_SECOND_OF_GLANCES = 50_000
"""Looking at more files takes the CPU that it is to measure, so it is done less often."""

_STALLED_SECONDS = 300.0
"""Without another file: it has failed."""


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """The stock stack, which delivers to the sink.

    Attributes:
        mapping: UUID of the event source mapping.
        processes: What the local AWS uses.
    """

    cloud: LocalCloud
    deployment: Deployment
    mapping: str
    processes: CloudProcesses
    sink: Sink

    def switch(self, *, on: bool) -> None:
        """Enables or disables the event source mapping."""
        self.cloud.client("lambda").update_event_source_mapping(UUID=self.mapping, Enabled=on)


def measure_deployed(
    sink: Sink, results: Results, *, scratch: Path, counts: Sequence[int], progress: Progress
) -> None:
    """Delivers so many objects of 4 KiB at a time, each beside the engine alone; adds rows to the results.

    Args:
        sink: The partner.
        results: Gets the rows, or the reason why there are none.
        scratch: Takes the files of the local AWS.
        counts: Numbers of objects, in this order.
        progress: Told of each step.
    """
    if (lacking := missing_tool()) is not None:
        results.skipped["deployed"] = lacking
        return
    sink.empty()
    try:
        with _stack(sink, scratch / "deployed", progress) as stack:
            for turn, files in enumerate(counts):
                with progress.step(f"deployed: {files:,} x 4 KiB"):
                    row = _deliver(stack, f"{turn}-", files)
                results.rows.append(row)
                print(
                    table([row, *do_work(_alone(files), sink, results, scratch=scratch, progress=progress)])
                )
    except (CannotRun, WrongArrival) as error:
        results.skipped["deployed"] = str(error)
        progress.say(f"  deployed: {error}")


def _alone(files: int) -> Work:
    return Work(
        name="small",
        group="deployed",
        curve=CURVE,
        link=NEAR,
        size=SMALL_BYTES,
        files=files,
        tools=[ours()],
    )


@contextmanager
def _stack(sink: Sink, folder: Path, progress: Progress) -> Iterator[_Stack]:
    scratch = folder / "cdk"
    with start_cloud(folder / "cloud") as cloud:
        with progress.step("cdk bootstrap and cdk deploy"), cloud_assembly(scratch) as assembly:
            bootstrap(cloud, scratch=scratch)
            context = server_context(sink.server, sink.inbox.name)
            deployment = deploy(cloud, context, assembly=assembly, scratch=scratch)
        fill_secret(cloud, deployment, sink.server)
        wait_for_test_event(cloud, deployment)
        (mapping,) = cloud.client("lambda").list_event_source_mappings(FunctionName=deployment.function)[
            "EventSourceMappings"
        ]
        processes = CloudProcesses(folder=folder / "cloud")
        yield _Stack(
            cloud=cloud, deployment=deployment, mapping=mapping["UUID"], processes=processes, sink=sink
        )


def _deliver(stack: _Stack, prefix: str, files: int) -> Row:
    # A name that was never used: a key that was delivered before costs more.
    names = [f"{prefix}{small_name(number)}" for number in range(files)]
    waves = [
        _deliver_wave(stack, names[: first + _MOST_WAITING], first)
        for first in range(0, files, _MOST_WAITING)
    ]
    _check(stack.sink.inbox, names, prefix)
    receipts = _receipts(stack, prefix)
    if len(receipts) != len(names):
        raise WrongArrival(f"{len(names):,} objects have arrived, and {len(receipts):,} receipts are there")
    return _row(waves, receipts)


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Objects that waited at the same time, and what their delivery took.

    Attributes:
        begun: When the function began, in seconds since 1970.
        function_seconds: CPU of all functions.
        emulator_seconds: CPU of the emulator.
        functions: How many processes of functions there were.
        peak_mb: Peak resident memory of the largest function.
    """

    begun: float
    function_seconds: float
    emulator_seconds: float
    functions: int
    peak_mb: float


def _deliver_wave(stack: _Stack, names: Sequence[str], first: int) -> Wave:
    """Delivers the objects from the `first` name on; those before it have been."""
    stack.switch(on=False)
    _put(stack, names, first)
    stack.processes.restart()
    begun = time.time()
    stack.switch(on=True)
    _wait(stack, names)
    stack.processes.look()
    return Wave(
        begun=begun,
        function_seconds=stack.processes.function_seconds,
        emulator_seconds=stack.processes.emulator_seconds,
        functions=stack.processes.function_count,
        peak_mb=stack.processes.function_peak_mb,
    )


def _put(stack: _Stack, names: Sequence[str], first: int) -> None:
    s3 = stack.cloud.client("s3")

    def put(number: int) -> None:
        body = small_file(number, SMALL_BYTES)
        s3.put_object(Bucket=stack.deployment.bucket, Key=names[number], Body=body)

    with ThreadPoolExecutor(_PUTS_AT_A_TIME) as pool:
        list(pool.map(put, range(first, len(names))))
    deadline = time.monotonic() + _STALLED_SECONDS
    while (waiting := messages_in(stack.cloud, stack.deployment.queue_url)) < len(names) - first:
        if any((stack.sink.inbox / name).exists() for name in names[first:]):
            raise CannotRun("the event source mapping was to be disabled, but objects were delivered")
        if time.monotonic() > deadline:
            raise CannotRun(f"{waiting:,} of {len(names) - first:,} objects were announced")
        _pause(len(names))


def _wait(stack: _Stack, names: Sequence[str]) -> None:
    """Waits until all have arrived and the queue is empty; asks the emulator only at the end."""
    missing, changed = set(names), time.monotonic()
    while missing or messages_in(stack.cloud, stack.deployment.queue_url):
        stack.processes.look()
        _pause(len(names))
        left = missing - {path.name for path in stack.sink.inbox.iterdir()}
        if left != missing:
            missing, changed = left, time.monotonic()
        if time.monotonic() - changed > _STALLED_SECONDS:
            raise CannotRun(f"{len(missing):,} of {len(names):,} objects have not arrived")


def _pause(files: int) -> None:
    time.sleep(max(_GLANCE_SECONDS, files / _FILES_A_SECOND_OF_GLANCES))


def _check(inbox: Path, names: Sequence[str], prefix: str) -> None:
    arrived = {path.name for path in inbox.iterdir() if path.name.lstrip(".").startswith(prefix)}
    if more := arrived - set(names):
        raise WrongArrival(f"{len(more):,} files arrived that were not put, such as {min(more)}")
    for number, name in enumerate(names):
        if (inbox / name).read_bytes() != small_file(number, SMALL_BYTES):
            raise WrongArrival(f"{name} arrived with other content")


def _receipts(stack: _Stack, prefix: str) -> list[float]:
    """Returns when each was recorded as delivered, in seconds since 1970, in order."""
    keys = f"object#{stack.deployment.bucket}/{prefix}"
    pages: Any = stack.cloud.client("dynamodb").get_paginator("scan")
    items = [
        item
        for page in pages.paginate(TableName=stack.deployment.ledger_table)
        for item in page["Items"]
        if item["pk"]["S"].startswith(keys) and item.get("state", {}).get("S") == "DELIVERED"
    ]
    return sorted(datetime.fromisoformat(item["status_at"]["S"]).timestamp() for item in items)


def _row(waves: Sequence[Wave], receipts: Sequence[float]) -> Row:
    files, seconds = len(receipts), wave_seconds([wave.begun for wave in waves], receipts)
    function = sum(wave.function_seconds for wave in waves)
    emulator = sum(wave.emulator_seconds for wave in waves)
    return {
        "tool": NAME,
        "variant": VARIANT,
        "work": "small",
        "rtt_ms": NEAR.rtt_ms,
        "curve": CURVE,
        "files": files,
        "files_per_s": rounded(files / sum(seconds)),
        "first_receipt_s": rounded(receipts[0] - waves[0].begun),
        "function_cpu_ms_per_file": rounded(function / files * 1000),
        "emulator_cpu_ms_per_file": rounded(emulator / files * 1000),
        "emulator_share": rounded(emulator / (emulator + function)),
        "functions": max(wave.functions for wave in waves),
        "peak_rss_mb": rounded(max(wave.peak_mb for wave in waves)),
        "waves_s": [rounded(each) for each in seconds],
        "runs": 1,
        "each_s": [rounded(sum(seconds))],
    }


def wave_seconds(begun: Sequence[float], receipts: Sequence[float]) -> list[float]:
    """Returns how long the delivery of each wave took: until the last receipt before the next one began.

    Args:
        begun: When the delivery of each wave began, in seconds since 1970.
        receipts: When each receipt was written, in order.
    """
    return [
        max(at for at in receipts if start <= at < end) - start for start, end in pairwise([*begun, math.inf])
    ]
