"""Fuzzes SFTP replies, SSH handshakes, events and keys: seeded, bounded in number and in time.

The exit status is 0 if no unexpected exception escaped, nothing hung, no secret appeared in an error, no
thread or descriptor was left, and the memory stayed under the bound.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fuzz.targets import Target, targets
from s3_to_sftp.ssh.incoming import MOST_RECEIVED_BYTES

TRIES = {"conversations": 5000, "connects": 300, "greetings": 300, "events": 20_000, "keys": 2000}
SECONDS = 60.0
"""Limit for each target."""

HANGS_AFTER_SECONDS = 120.0
"""All timeouts of one try together are a few seconds; a busy machine takes longer."""

MOST_GROWTH_BYTES = 64 * 1024 * 1024
"""For the whole process: what one connection may receive, the servers, and the slack of the allocator."""

assert MOST_RECEIVED_BYTES < MOST_GROWTH_BYTES


@dataclass
class Report:
    """The result of a run.

    Attributes:
        tried: Number of inputs, by target.
        unexpected: Tracebacks of unexpected exceptions.
        hangs: Tries that took too long.
        secrets: Secrets found in texts of errors.
        threads: Threads that have not ended.
        descriptors: File descriptors that are still open.
        growth: Memory growth in bytes.
    """

    tried: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    hangs: int = 0
    secrets: int = 0
    threads: int = 0
    descriptors: int = 0
    growth: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        left = self.hangs or self.secrets or self.threads > 0 or self.descriptors > 0
        return not self.unexpected and not left and self.growth < MOST_GROWTH_BYTES

    def lines(self) -> list[str]:
        """Return the report as readable lines."""
        return [
            ", ".join(f"{name} {count}" for name, count in self.tried.items()),
            f"unexpected exceptions {len(self.unexpected)}, hangs {self.hangs}, "
            f"secrets in texts {self.secrets}",
            f"threads left {self.threads}, descriptors left {self.descriptors}, "
            f"memory +{self.growth / 2**20:.1f} MiB of {MOST_GROWTH_BYTES / 2**20:.0f}",
            *(f"\n{trace}" for trace in self.unexpected[:5]),
        ]


def run(*, seed: int, share: float = 1.0, seconds: float = SECONDS) -> Report:
    """Try inputs of all targets.

    Args:
        seed: The same seed produces the same inputs.
        share: Fraction of the number of tries.
        seconds: Limit for each target.
    """
    report = Report()
    all_targets = targets()
    for target in all_targets:  # what is loaded once does not count as growth
        target.attempt(random.Random(0))
    threads, descriptors, memory = threading.active_count(), _descriptors(), _peak_bytes()
    for target in all_targets:
        _try(target, report, seed, max(1, int(TRIES[target.name] * share)), seconds)
    deadline = time.monotonic() + HANGS_AFTER_SECONDS
    while (
        threading.active_count() > threads or _descriptors() > descriptors
    ) and time.monotonic() < deadline:
        time.sleep(0.05)
    report.threads = threading.active_count() - threads
    report.descriptors = _descriptors() - descriptors
    report.growth = _peak_bytes() - memory
    return report


def _try(target: Target, report: Report, seed: int, count: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for number in range(count):
        started = time.monotonic()
        if started > deadline:
            return
        report.tried[target.name] += 1
        try:
            texts = target.attempt(random.Random(f"{seed} {target.name} {number}"))
        except Exception:  # noqa: BLE001 - this is what fuzzing looks for
            report.unexpected.append(f"{target.name} {number}, seed {seed}\n{traceback.format_exc()}")
            continue
        report.hangs += time.monotonic() - started > HANGS_AFTER_SECONDS
        report.secrets += sum(secret in text for secret in target.secrets for text in texts)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing itself is one of them, always


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print the report."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, action="append", help="may be repeated; by default 1, 2 and 3")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit for each target")
    options = parser.parse_args(arguments)
    if not options.seconds > 0:  # also where it is no number: nothing would be tried, and nothing found
        parser.error(f"--seconds must be more than 0, got {options.seconds}")
    logging.getLogger("s3_to_sftp").setLevel(logging.CRITICAL)
    clean = True
    for seed in options.seed or (1, 2, 3):
        report = run(seed=seed, seconds=options.seconds)
        print(f"seed {seed}: {'clean' if report.is_clean else 'NOT CLEAN'}", *report.lines(), sep="\n  ")
        clean &= report.is_clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
