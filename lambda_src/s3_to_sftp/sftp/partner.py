"""The partner's server as deliveries see it: small files many at a time, large ones in lanes."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from s3_to_sftp.credentials import CredentialSource
from s3_to_sftp.errors import ConnectionLost
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.connection import Timeouts, connect
from s3_to_sftp.sftp.lanes import RangeSource, send_in_lanes
from s3_to_sftp.sftp.pool import Connect, ConnectionPool
from s3_to_sftp.sftp.session import Conversation
from s3_to_sftp.sftp.stream import Piece
from s3_to_sftp.sftp.upload import upload_small

T = TypeVar("T")

_FILES_AT_A_TIME = 64
"""Files under way on one connection; more bring nothing at any distance measured (bench: `small`)."""


@dataclass(frozen=True)
class SmallFile(Generic[T]):
    """A file whose bytes are at hand.

    Attributes:
        ticket: Whatever tells the caller which file it is.
        path: The final name.
        temporary: The name until then, in the same directory.
        data: The bytes.
    """

    ticket: T
    path: str
    temporary: str
    data: Piece


class Partner:
    """Sends files to one server, over connections that stay warm. Belongs to one thread."""

    def __init__(
        self,
        server: Server,
        credentials: CredentialSource,
        *,
        timeouts: Timeouts,
        max_connections: int = 1,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = ConnectionPool(
            server, credentials, timeouts=timeouts, limit=max_connections, connect=connect, clock=clock
        )

    @property
    def host_key_fingerprint(self) -> str:
        """Of the server that took the last file, `SHA256:...`."""
        return self._pool.host_key_fingerprint

    @property
    def was_reused(self) -> bool:
        """Whether the last file met a connection that had been used before, and may have died of its age."""
        return self._pool.reused

    def send_small(self, files: Iterable[SmallFile[T]]) -> Iterator[tuple[SmallFile[T], Exception | None]]:
        """Send files whose bytes are at hand, many at a time over one connection.

        Yields:
            Each file as it is done: with None when it stands under its final name, else with the error.
            Nothing half-written stands there. The connection is made when the first file is there.
        """
        lost: list[SmallFile[T]] = []
        for file, error in self._send_over_one_connection(files):
            if isinstance(error, ConnectionLost) and self._pool.reused:
                lost.append(file)
            else:
                yield file, error
        if lost:
            # An old connection may have died of its age; that says nothing about the partner.
            yield from self._send_over_one_connection(lost)

    def send_large(
        self, source: RangeSource, *, path: str, temporary: str, complete: Callable[[], object]
    ) -> int:
        """Send a file of any size over as many connections as pay; return how many lanes it was given.

        Raises:
            DeliveryError: See `send_in_lanes`.
        """
        return send_in_lanes(self._pool, source, path=path, temporary=temporary, complete=complete)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _send_over_one_connection(
        self, files: Iterable[SmallFile[T]]
    ) -> Iterator[tuple[SmallFile[T], Exception | None]]:
        waiting = iter(files)
        first = next(waiting, None)
        if first is None:
            return
        # Only those under way: their bytes are in memory as long as they are here.
        started: dict[int, SmallFile[T]] = {}
        try:
            session = self._pool.first().session
        except Exception as error:  # noqa: BLE001 - it is the outcome of each file
            yield first, error
            for file in waiting:
                yield file, error
            return

        def uploads() -> Iterator[Conversation[int]]:
            for place, file in enumerate(itertools.chain([first], waiting)):
                started[place] = file
                yield upload_small(session, file.data, path=file.path, temporary=file.temporary)

        for place, outcome in session.run(uploads(), at_a_time=_FILES_AT_A_TIME):
            yield started.pop(place), outcome if isinstance(outcome, Exception) else None
        self._pool.touch(0)
