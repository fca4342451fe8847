"""Polls the partner's directory, like a program of the partner that waits for files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.records import Appearance, appearance, final_names

_POLL_SECONDS = 0.02


@contextmanager
def watched(inbox: Path) -> Iterator[set[Appearance]]:
    """Collects every file seen under a final name until the block ends."""
    seen: set[Appearance] = set()
    ended = threading.Event()

    def look() -> None:
        known: dict[str, tuple[int, int, int]] = {}
        while not ended.wait(_POLL_SECONDS):
            for path in final_names(inbox):
                _look_at(path, inbox, known, seen)

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _look_at(path: Path, inbox: Path, known: dict[str, tuple[int, int, int]], seen: set[Appearance]) -> None:
    try:
        status = path.stat()
        now = (status.st_ino, status.st_size, status.st_mtime_ns)
        if known.get(str(path)) == now:
            return
        seen.add(appearance(path, inbox))
    except FileNotFoundError:  # an existing file is moved aside before a rename
        return
    known[str(path)] = now
