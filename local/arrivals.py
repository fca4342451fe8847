"""What arrives in the folder of an SFTP server, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_GLANCE_SECONDS = 0.01


@dataclass(frozen=True)
class Arrivals:
    """Which of the awaited paths exist; the times are those of `time.monotonic`."""

    awaited: frozenset[Path]
    times: dict[Path, float] = field(default_factory=dict)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, *, seconds: float) -> bool:
        """Waits until all are there; False if the time ran out before."""
        with self._news:
            return self._news.wait_for(lambda: self.awaited <= self.times.keys(), timeout=seconds)

    def look(self) -> None:
        """Notes what came since the last look."""
        for path in self.awaited - self.times.keys():
            if path.exists():
                with self._news:
                    self.times[path] = time.monotonic()
                    self._news.notify_all()


@contextmanager
def watch(paths: Iterable[Path]) -> Iterator[Arrivals]:
    """Watches until the block ends. A path of which nothing exists but a temporary name has not arrived."""
    arrivals = Arrivals(frozenset(paths))
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(_GLANCE_SECONDS):
            arrivals.look()

    thread = threading.Thread(target=keep_looking, name="arrivals", daemon=True)
    thread.start()
    try:
        yield arrivals
    finally:
        ended.set()
        thread.join()


def files_below(root: Path) -> set[Path]:
    """Every file below `root`, whatever its name."""
    return {path for path in root.rglob("*") if not path.is_dir()}
