"""Progress messages of long steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_REMINDER_SECONDS = 10.0


class Progress:
    """Prints lines with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Prints one line."""
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", flush=True)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Announces a step, and repeats every few seconds that it is still running."""
        self.say(f"{what} ...")
        ended = threading.Event()
        threading.Thread(target=self._remind, args=(what, ended), daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _remind(self, what: str, ended: threading.Event) -> None:
        while not ended.wait(_REMINDER_SECONDS):
            self.say(f"  still running: {what}")
