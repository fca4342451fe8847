"""Reads ranges of an object ahead of the stream that sends them, in bounded memory."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from s3_to_sftp.s3.checksum import CountedRange

BLOCKS_PER_BUFFER = 4
"""Blocks per read: about 1 MB with the limit of OpenSSH."""

_BUFFERS = 3
"""Per stream: one being sent, one ready, one being filled. Memory of a large object, in all streams together:
streams x _BUFFERS x BLOCKS_PER_BUFFER x bytes per block."""

Range = tuple[int, int]
FilledBuffer = tuple[list[CountedRange], int, memoryview]
"""A full buffer: the CRCs that count once it was sent; its offset; its bytes."""


class ReadAhead(threading.Thread):
    """Fills buffers in its own thread, and reuses them after they have been sent."""

    def __init__(
        self,
        fill: Callable[[Range, Callable[[], bytearray]], Iterator[FilledBuffer]],
        ranges: Iterable[Range],
        buffer_bytes: int,
    ) -> None:
        super().__init__(name="s3-reader", daemon=True)
        self._fill = fill
        self._ranges = iter(ranges)
        self._buffer_bytes = buffer_bytes
        self._free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[FilledBuffer | BaseException | None] = queue.SimpleQueue()
        self._made = 0
        self._lock = threading.Lock()
        self._stopped = False

    def filled(self) -> Iterator[FilledBuffer]:
        """Yield each full buffer; it is used again when the next one is asked for.

        Raises:
            BaseException: What the reading raised.
        """
        self.start()
        while (item := self._full.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            self._free.put(item[2].obj)  # type: ignore[arg-type]  # the bytearray under the view

    def stop(self) -> None:
        """Take no further range, whatever is being read."""
        with self._lock:
            self._stopped = True
        self._free.put(None)

    def run(self) -> None:
        """Read range after range."""
        try:
            while (range_ := self._next_range()) is not None:
                for item in self._fill(range_, self._buffer):
                    self._full.put(item)
            self._full.put(None)
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the bytes are waited for
            self._full.put(error)

    def _next_range(self) -> Range | None:
        with self._lock:
            return None if self._stopped else next(self._ranges, None)

    def _buffer(self) -> bytearray:
        if self._made < _BUFFERS and self._free.empty():
            self._made += 1
            return bytearray(self._buffer_bytes)
        buffer = self._free.get()
        if buffer is None:
            raise _StoppedError
        return buffer


class _StoppedError(Exception):
    """The bytes are no longer needed."""
