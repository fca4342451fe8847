"""Which files arrive in the directory of an SFTP server, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Arrivals:
    """Which of the awaited paths exist; the times are those of `time.monotonic`."""

    awaited: frozenset[Path]
    times: dict[Path, float] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, *, seconds: float) -> bool:
        """Waits until all have arrived; returns False after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self.awaited <= self.times.keys(), timeout=seconds)

    def poll(self) -> None:
        """Records what has arrived since the last poll."""
        for path in self.awaited - self.times.keys():
            if path.exists():
                with self._changed:
                    self.times[path] = time.monotonic()
                    self._changed.notify_all()


@contextmanager
def watch(paths: Iterable[Path]) -> Iterator[Arrivals]:
    """Watches until the block ends. A file under a temporary name has not arrived."""
    arrivals = Arrivals(frozenset(paths))
    ended = threading.Event()

    def keep_polling() -> None:
        while not ended.wait(_POLL_SECONDS):
            arrivals.poll()

    thread = threading.Thread(target=keep_polling, name="arrivals", daemon=True)
    thread.start()
    try:
        yield arrivals
    finally:
        ended.set()
        thread.join()


def others_left(root: Path, expected: Iterable[Path], *, seconds: float) -> set[Path]:
    """Returns the files below `root` that are not expected, once there are none or after `seconds`.

    The function tidies up behind the RENAME, too: a probe file may be there for a moment longer.
    """
    known = frozenset(expected)
    end = time.monotonic() + seconds
    while others := files_below(root) - known:
        if time.monotonic() >= end:
            break
        time.sleep(_POLL_SECONDS)
    return others


def files_below(root: Path) -> set[Path]:
    """Returns every file below `root`, whatever its name."""
    return {path for path in root.rglob("*") if not path.is_dir()}
