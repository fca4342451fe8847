"""The partner's server as deliveries see it: small files many at a time, large ones in lanes."""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from s3_to_sftp.credentials import CredentialSource
from s3_to_sftp.errors import ConnectionLost, RequestRefused
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.connection import Timeouts, connect
from s3_to_sftp.sftp.lanes import Permit, RangeSource, Sent, another_name, probe_name, send_in_lanes
from s3_to_sftp.sftp.pool import Connect, ConnectionPool
from s3_to_sftp.sftp.protocol import Status
from s3_to_sftp.sftp.resume import supports_resume
from s3_to_sftp.sftp.session import Conversation, SftpSession
from s3_to_sftp.sftp.stream import Piece
from s3_to_sftp.sftp.upload import discard, name_aside, publish, remove, upload_small

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
        permit: See `upload_small`. None: nobody is asked.
    """

    ticket: T
    path: str
    temporary: str
    data: Piece
    permit: Callable[[str], Future[None]] | None = None


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
        permitted: set[str] = set()
        for file, error in self._send_over_one_connection(_noting(files, permitted)):
            # What was permitted to have its final name may have it: that is for the caller to find out.
            if isinstance(error, ConnectionLost) and self._pool.reused and file.temporary not in permitted:
                lost.append(file)
            else:
                yield file, error
        if lost:
            # An old connection may have died of its age; that says nothing about the partner.
            yield from self._send_over_one_connection(lost, _send_again)

    def send_large(
        self,
        source: RangeSource,
        *,
        path: str,
        temporary: str,
        check: Callable[[], object] = lambda: None,
        permit: Permit | None = None,
        start: int = 0,
        pause: Callable[[], bool] = lambda: False,
        lanes: int | None = None,
    ) -> Sent:
        """Send a file of any size over as many connections as pay.

        For arguments and errors see `send_in_lanes`.
        """
        return send_in_lanes(
            self._pool,
            source,
            path=path,
            temporary=temporary,
            check=check,
            permit=permit,
            start=start,
            pause=pause,
            lanes=lanes,
        )

    def continues_files(self, temporary: str) -> bool:
        """Return whether the server resumes files; asked once for each connection. See `supports_resume`.

        Args:
            temporary: A name that nobody uses, in the directory in question.

        Raises:
            DeliveryError: The server is lost.
        """
        return supports_resume(self._pool, temporary)

    def publish(self, temporary: str, path: str) -> bool:
        """Give a file its final name; False when there is surely none under the temporary name.

        Raises:
            DeliveryError: The server refused, or is lost.
        """
        session = self._pool.first().session
        published = self._publish(session, temporary, path)
        for left in _aside(session, temporary):
            with contextlib.suppress(RequestRefused):
                session.run_one(remove(session, left))
        return published

    def _publish(self, session: SftpSession, temporary: str, path: str) -> bool:
        # Where a target must be put aside, that is not done for nothing.
        if not session.renames_over_existing and session.run_one(_is_gone(session, temporary)):
            return False
        try:
            session.run_one(publish(session, temporary, path))
        except RequestRefused as refused:
            if refused.code == Status.NO_SUCH_FILE or session.run_one(_is_gone(session, temporary)):
                return False
            raise
        return True

    def discard(self, *temporaries: str) -> None:
        """Remove files that an earlier attempt has left, and what a second try of it has, all at a time.

        That the server has no such file, or does not let it be removed, is no error.

        Raises:
            DeliveryError: The server is lost.
        """
        session = self._pool.first().session
        removals = (
            remove(session, left)
            for name in temporaries
            for left in (name, another_name(name), probe_name(name), *_aside(session, name))
        )
        for _, outcome in session.run(removals, at_a_time=_FILES_AT_A_TIME):
            if isinstance(outcome, Exception) and not isinstance(outcome, RequestRefused):
                raise outcome

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _send_over_one_connection(
        self,
        files: Iterable[SmallFile[T]],
        send: Callable[[SftpSession, SmallFile[T]], Conversation[int]] | None = None,
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
                yield (send or _send)(session, file)

        for place, outcome in session.run(uploads(), at_a_time=_FILES_AT_A_TIME):
            yield started.pop(place), outcome if isinstance(outcome, Exception) else None
        self._pool.touch(0)


def _aside(session: SftpSession, temporary: str) -> tuple[str, ...]:
    """Where an old file may have been left that this one has replaced, or was about to."""
    if session.renames_over_existing:
        return ()
    return name_aside(temporary), name_aside(another_name(temporary))


async def _is_gone(session: SftpSession, path: str) -> bool:
    try:
        return not await session.exists(path)
    except RequestRefused:  # a drop box does not tell
        return False


async def _send(session: SftpSession, file: SmallFile[T]) -> int:
    return await upload_small(
        session, file.data, path=file.path, temporary=file.temporary, permit=file.permit
    )


async def _send_again(session: SftpSession, file: SmallFile[T]) -> int:
    """Send a file that was lost with another connection: what that has sent may still be written."""
    try:
        size = await _send(session, replace(file, temporary=another_name(file.temporary)))
    except Exception:
        await discard(session, file.temporary)
        raise
    await discard(session, file.temporary)
    return size


def _noting(files: Iterable[SmallFile[T]], permitted: set[str]) -> Iterator[SmallFile[T]]:
    """Note the temporary names whose permit is asked for."""
    for file in files:
        yield replace(file, permit=functools.partial(_note, permitted, file.permit)) if file.permit else file


def _note(permitted: set[str], permit: Callable[[str], Future[None]], temporary: str) -> Future[None]:
    permitted.add(temporary)
    return permit(temporary)
