"""A tool, as the harness sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.clients.job import Job


def _nothing_missing() -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A client as it is started.

    Attributes:
        name: As in the results.
        variant: What is special about it; empty: its defaults.
        command: The command line for a job.
        missing: Says why it cannot be run here, None if it can.
        env: Environment variables that it needs.
        warm: The time starts when a first file has been delivered.
        reads_files: It needs local files; the others make their bytes in memory.
        reads_object: In end-to-end workloads it reads the object from S3.
    """

    name: str
    variant: str = ""
    command: Callable[[Job], list[str]] = field(repr=False)
    missing: Callable[[], str | None] = field(default=_nothing_missing, repr=False)
    env: dict[str, str] = field(default_factory=dict)
    warm: bool = False
    reads_files: bool = False
    reads_object: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name
