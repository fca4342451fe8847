"""Puts sample files into the bucket and compares what arrives at the partner byte by byte."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.arrivals import Arrivals, others_left, watch
from local.deployment import function_log
from local.harness import Harness
from local.progress import Progress
from local.samples import MIB, Sample, make_samples

_TIMEOUT_SECONDS = 600.0
_TIDY_SECONDS = 60.0
_LOG_LINES = 20
_LARGE = 64 * MIB


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one sample; `seconds` is None if it did not arrive."""

    key: str
    remote_path: str
    size: int
    seconds: float | None
    intact: bool


def demonstrate(harness: Harness, progress: Progress) -> bool:
    """Sends the samples, prints the table, and returns whether exactly these files arrived, complete."""
    with progress.step("making the files"):
        samples = make_samples(harness.scratch / "samples")
    outcomes = _send(harness, samples, progress)
    print("\n" + table(outcomes) + "\n", flush=True)
    places = [harness.landing_place(sample.key) for sample in samples]
    others = others_left(harness.server.root, places, seconds=_TIDY_SECONDS)
    for path in sorted(others):
        print(f"unexpected file on the server: {path.relative_to(harness.server.root)}")
    good = all(outcome.intact for outcome in outcomes) and not others
    if not good:
        _explain(harness)
    return good


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as aligned columns."""
    rows = [("key", "remote path", "bytes", "seconds", "SHA-256")]
    rows += [
        (
            outcome.key,
            outcome.remote_path,
            f"{outcome.size:,}",
            "-" if outcome.seconds is None else f"{outcome.seconds:.2f}",
            "equal" if outcome.intact else "missing" if outcome.seconds is None else "DIFFERS",
        )
        for outcome in outcomes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"{key:<{widths[0]}}  {path:<{widths[1]}}  {size:>{widths[2]}}  {seconds:>{widths[3]}}  {digest}"
        for key, path, size, seconds, digest in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _send(harness: Harness, samples: Sequence[Sample], progress: Progress) -> list[Outcome]:
    # The emulator starts functions slowly while it receives a large body, so that one is sent alone.
    small = [sample for sample in samples if sample.size < _LARGE]
    large = [sample for sample in samples if sample.size >= _LARGE]
    return _send_together(harness, small, progress) + _send_together(harness, large, progress)


def _send_together(harness: Harness, samples: Sequence[Sample], progress: Progress) -> list[Outcome]:
    s3 = harness.cloud.client("s3")
    put_at: dict[str, float] = {}
    total = sum(sample.size for sample in samples) / MIB
    with watch(harness.landing_place(sample.key) for sample in samples) as arrivals:
        with progress.step(f"putting {len(samples)} of the files into the bucket ({total:.0f} MiB)"):
            for sample in samples:
                sample.put(s3, harness.deployment.bucket)
                put_at[sample.key] = time.monotonic()
        with progress.step("waiting until they arrive at the SFTP server"):
            arrivals.wait(seconds=_TIMEOUT_SECONDS)
    return [_outcome(harness, sample, put_at, arrivals) for sample in samples]


def _outcome(harness: Harness, sample: Sample, put_at: Mapping[str, float], arrivals: Arrivals) -> Outcome:
    path = harness.landing_place(sample.key)
    arrived = arrivals.times.get(path)
    return Outcome(
        key=sample.key,
        remote_path=harness.remote_path(sample.key),
        size=sample.size,
        # The response to a put may arrive after the file does.
        seconds=None if arrived is None else max(0.0, arrived - put_at[sample.key]),
        intact=arrived is not None and _sha256(path) == sample.sha256,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _explain(harness: Harness) -> None:
    lines = function_log(harness.cloud, harness.deployment.function)
    print(f"The last {_LOG_LINES} lines that the function logged:")
    print("\n".join(lines[-_LOG_LINES:]) or "(nothing: it was not invoked)")
    print("The last lines that the SFTP server logged:")
    print("\n".join(harness.server.read_log().splitlines()[-_LOG_LINES:]), flush=True)
