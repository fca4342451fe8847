"""Which stream writes which bytes of a file, and how far it is written without a gap."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, TransferTuning, never


class ByteRanges:
    """The byte ranges of a file that are still to be written. Shared by the streams."""

    def __init__(
        self,
        size: int,
        *,
        start: int = 0,
        stop: Callable[[], bool] = never,
        tuning: TransferTuning = DEFAULT_TUNING,
    ) -> None:
        self._tuning = tuning
        self._size = size
        self._start = start
        self._stop = stop
        self._longest = max(1, size)
        self._streams = 1
        self._next = start
        self._given: list[tuple[int, int]] = []
        self._returned: deque[tuple[int, int]] = deque()
        self._unclosed: list[tuple[int, int]] = []
        self._being_written: list[list[tuple[int, int]]] = []
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._closed = False
        self._aborted = False
        self._stopped = False

    def share(self, streams: int) -> None:
        """Give out ranges for this number of streams."""
        self._streams = streams
        self._longest = self._tuning.segment_bytes

    def open(self) -> None:
        """Let the streams begin: the file is there."""
        self._opened.set()

    def wait_until_opened(self) -> None:
        """Wait until the streams may begin, or until it is clear that they never may."""
        self._opened.wait()

    def join(self, at_work: threading.Event) -> bool:
        """Join the work as soon as it is opened; return False when it has ended already."""
        self.wait_until_opened()
        with self._lock:
            if not self._closed:
                at_work.set()
            return not self._closed

    def close(self) -> None:
        """Let no further stream join."""
        with self._lock:
            self._closed = True
        self._opened.set()

    @property
    def aborted(self) -> bool:
        """Whether the delivery has failed: streams end at the next block."""
        return self._aborted

    @property
    def stopped(self) -> bool:
        """Whether the upload is to be resumed later: streams end at the next block, and close in order."""
        # Once True it stays True: what is left is counted from where each stream has ended.
        if not self._stopped and self._stop():
            self._stopped = True
        return self._stopped

    def abort(self) -> None:
        """Let all streams end."""
        self._aborted = True
        self.close()

    def take(self) -> tuple[int, int] | None:
        """Return the next range as offset and length, or None when all are taken."""
        with self._lock:
            if self._aborted or self.stopped:
                return None
            if self._returned:
                return self._returned.popleft()
            left = self._size - self._next
            if left <= 0:
                return None
            shared = (
                max(self._tuning.last_segment_bytes, left // (2 * self._streams))
                if self._streams > 1
                else left
            )
            taken = self._next, min(self._longest, shared, left)
            self._given.append(taken)
            self._next += taken[1]
            return taken

    def release(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Make ranges available again that were not written to their end.

        Writing them again writes the same bytes.
        """
        with self._lock:
            self._returned.extend(ranges)

    def note_unclosed(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remember ranges that were released although each WRITE was answered: the CLOSE was not."""
        with self._lock:
            self._unclosed.extend(ranges)

    def left(self) -> bool:
        """Return whether there are ranges to take."""
        with self._lock:
            return bool(self._returned) or self._next < self._size

    @contextlib.contextmanager
    def being_written(self, taken: list[tuple[int, int]]) -> Iterator[None]:
        """Count the ranges as being written until the end of the block."""
        with self._lock:
            self._being_written.append(taken)
        try:
            yield
        finally:
            with self._lock:
                self._being_written = [other for other in self._being_written if other is not taken]

    def acknowledged(self) -> int:
        """Return up to where all bytes are written, once every stream has ended."""
        with self._lock:
            return min([self._next, *(offset for offset, _ in self._returned)])

    def acknowledged_after_loss(self, *, at_best: bool = False) -> int:
        """Return up to where all bytes are written, also where the CLOSE was not answered.

        Args:
            at_best: What may come of it if streams that are at work still end well.
        """
        with self._lock:
            missing = [*self._returned, (self._next, self._size - self._next)]
            if not at_best:
                missing += [range_ for taken in self._being_written for range_ in taken]
            for offset, length in sorted(missing):
                reached = _end_of(self._unclosed, offset)
                if reached < offset + length:
                    return reached
            return self._size

    def restarted(self) -> "ByteRanges":
        """Return the same ranges for one stream, in order.

        Exactly the same, so that the source can tell that it gives bytes a second time.
        """
        anew = ByteRanges(self._size, start=self._start, stop=self._stop, tuning=self._tuning)
        anew._given = list(self._given)
        anew._returned.extend(self._given)
        anew._next, anew._longest = self._next, self._longest
        return anew


def _end_of(ranges: Iterable[tuple[int, int]], offset: int) -> int:
    """Return up to where the ranges cover what begins at the offset."""
    for start, length in sorted(ranges):
        if start <= offset < start + length:
            offset = start + length
    return offset


def first_of(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield the first `size` bytes of the ranges."""
    for offset, length in ranges:
        done = min(size, length)
        size -= done
        if done:
            yield offset, done


def rest_of(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield what is left of the ranges when the first `size` bytes of them are done."""
    for offset, length in ranges:
        done = min(size, length)
        size -= done
        if done < length:
            yield offset + done, length - done
