"""What a large upload is asked to do, and how it is tuned."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from s3_to_sftp.ssh.stream import Piece


@dataclass(frozen=True, kw_only=True)
class TransferTuning:
    """How a large file is divided among streams.

    Attributes:
        aim_bytes_per_second: Streams are added until the SSH window no longer limits this rate. Five times
            a function's network, since a stream starts slowly; more than that only costs CPU.
        min_bytes_per_stream: What one stream could send while another is being set up: 8 round trips, one
            window each.
        segment_bytes: The range that a stream takes at a time. A single stream takes all at once.
        last_segment_bytes: The smallest range: towards the end they shrink, so that all streams end together.
        closing_seconds: How long further streams may take to close their handles when the first one's
            connection is lost.
    """

    aim_bytes_per_second: float = 400e6
    min_bytes_per_stream: int = 16 * 1024 * 1024
    segment_bytes: int = 4 * 1024 * 1024
    last_segment_bytes: int = 1024 * 1024
    closing_seconds: float = 10.0


DEFAULT_TUNING = TransferTuning()


class RangeReader(Protocol):
    """Bytes that can be read from any offset, by several threads at a time.

    Attributes:
        size: Bytes of the whole.
    """

    size: int

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, Piece]]:
        """Yield offset and bytes of each block of the ranges (offset, length), in order.

        A block need not stay valid when the next one is asked for. Ranges may be taken ahead of time, but
        not after the iterator was closed. `NOT_READY` may stand in place of a block that is not there yet.
        """


def never() -> bool:
    """Return False: an upload that is not to be stopped."""
    return False


@dataclass(frozen=True, kw_only=True)
class UploadRequest:
    """What to put where.

    Attributes:
        source: The bytes.
        temporary: The name. Missing directories are made.
        path: The final name, where there is to be one: nothing is sent if the server could not keep it.
        start: Bytes that are under the temporary name already; the others are written behind them, once this
            server has shown that it resumes files (`supports_resume`).
        is_spread: Whether several streams have written behind them before, as far as they got.
        stop: Asked before each block. From the first True on nothing more is sent, and the file stays under
            its temporary name, to be resumed later.
        most_streams: By default as many as pay.
    """

    source: RangeReader
    temporary: str
    path: str = ""
    start: int = 0
    is_spread: bool = False
    stop: Callable[[], bool] = never
    most_streams: int | None = None
