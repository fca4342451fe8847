"""Polls a final name during a delivery."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def never_partial(path: Path, *whole: bytes) -> Iterator[None]:
    """Asserts that only one of the complete files is ever seen under `path` inside the block."""
    seen: list[str] = []
    ended = threading.Event()

    def look() -> None:
        known: tuple[int, int, int] | None = None
        while not ended.wait(0.001):
            try:
                with path.open("rb") as file:
                    state = path.stat()
                    now = (state.st_ino, state.st_size, state.st_mtime_ns)
                    if now == known:
                        continue
                    known = now
                    content = file.read()
            except FileNotFoundError:
                continue
            if content not in whole:
                seen.append(f"{len(content)} bytes")

    watcher = threading.Thread(target=look, name="watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert not seen, f"partial files under the final name: {seen}"
