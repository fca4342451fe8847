"""The partner's server as deliveries see it: small files many at a time, large ones in streams."""

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from s3_to_sftp.credentials import CredentialSource
from s3_to_sftp.errors import ConnectionLost, CredentialsError, RenameUnanswered
from s3_to_sftp.known_server import KnownServers
from s3_to_sftp.server import Server
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.connection import Connect, connect
from s3_to_sftp.sftp.open_files import FILES_AT_A_TIME, Limit, send_all
from s3_to_sftp.sftp.parallel_upload import upload_parallel
from s3_to_sftp.sftp.pool import ConnectionPool
from s3_to_sftp.sftp.publish import (
    Journal,
    NoJournal,
    PathStatus,
    is_removed,
    look,
    publish,
    remove_aside,
)
from s3_to_sftp.sftp.resume import supports_resume
from s3_to_sftp.sftp.scheduler import SftpTask
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import another_name, names_of_attempt, resume_probe_name
from s3_to_sftp.sftp.upload import Staged, discard, upload_small
from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, TransferTuning, UploadRequest
from s3_to_sftp.sftp.windows import same_file
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.ssh.stream import Piece

if TYPE_CHECKING:
    from s3_to_sftp.sftp.pace import Pace  # loaded where a bandwidth is set

T = TypeVar("T")


@dataclass(frozen=True)
class SmallFile(Generic[T]):
    """A file whose bytes are at hand.

    Attributes:
        ticket: Whatever tells the caller which file it is.
        path: The final name.
        temporary: The name until then, in the same directory.
        data: The bytes.
        aside: Where a file of the partner's may be moved that has the final name.
        journal: Records names that may exist at the partner.
        is_complete: Returns whether all its bytes are at the partner: what is refused then is
            another file.
    """

    ticket: T
    path: str
    temporary: str
    data: Piece
    aside: str
    journal: Journal = field(default_factory=NoJournal)
    is_complete: Callable[[], bool] = lambda: False


SendSmall = Callable[[SftpSession, SmallFile[T]], SftpTask[Any]]
"""Sends one small file and gives it its final name."""


async def send_file(session: SftpSession, file: SmallFile[Any]) -> None:
    """Send a small file and give it its final name, without asking or telling anybody.

    Raises:
        See `upload_small` and `publish`.
    """
    await upload_small(session, file.data, temporary=file.temporary, path=file.path, journal=file.journal)
    try:
        await publish(session, file.temporary, file.path, aside=file.aside, journal=file.journal)
    except Exception:
        if await discard(session, file.temporary):
            file.journal.gone(file.temporary)
        raise


class SftpClient:
    """Sends files to one server, over connections that stay warm. Belongs to one thread."""

    def __init__(
        self,
        server: Server,
        credentials: CredentialSource,
        *,
        timeouts: Timeouts,
        max_connections: int = 1,
        directories: Sequence[str] = (),
        pace: "Pace | None" = None,
        tuning: TransferTuning = DEFAULT_TUNING,
        known: KnownServers | None = None,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = ConnectionPool(
            server,
            credentials,
            timeouts=timeouts,
            limit=max_connections,
            directories=directories,
            pace=pace,
            known=known,
            connect=connect,
            clock=clock,
        )
        # More streams than the partner's bandwidth can fill are no use.
        aim = min(tuning.aim_bytes_per_second, pace.bytes_per_second) if pace else tuning.aim_bytes_per_second
        self._tuning = replace(tuning, aim_bytes_per_second=aim)
        self._pace = pace
        self._clock = clock
        self._known = known
        self._limits: dict[str, Limit] = {}

    def is_slow_for(self, size: int) -> bool:
        """Return whether the partner's bandwidth, where one is set, is little for so many bytes."""
        return self._pace is not None and size > self._pace.bytes_per_second

    @property
    def host_key_fingerprint(self) -> str:
        """Of the server that took the last file, `SHA256:...`."""
        return self._pool.host_key_fingerprint

    @property
    def was_reused(self) -> bool:
        """Whether the last file met a connection that had been used before, and may have died of its age."""
        return self._pool.reused

    def send_small(
        self, files: Iterable[SmallFile[T]], send: SendSmall[T] = send_file
    ) -> Iterator[tuple[SmallFile[T], Exception | None]]:
        """Send files whose bytes are at hand, many at a time over one connection.

        Args:
            files: Each is requested when there is room for it. The connection is made for the first one.
            send: Sends one.

        Yields:
            Each file as it is done: with None when it stands under its final name, else with the error.
            Nothing half-written stands there.
        """
        lost: list[SmallFile[T]] = []
        for file, error in self._send_over_one_connection(files, send):
            # A reused connection may simply have been too old, which says nothing about the partner. A file
            # that may have its final name is different: the caller finds out.
            is_old = isinstance(error, ConnectionLost) and self._pool.reused
            if is_old and not isinstance(error, RenameUnanswered):
                lost.append(file)
            else:
                yield file, error
        if lost:
            yield from self._send_over_one_connection(lost, functools.partial(_send_again, send))

    def upload(self, request: UploadRequest) -> Staged:
        """Put a file of any size under its temporary name, over as many connections as pay.

        Raises:
            See `upload_parallel`.
        """
        return upload_parallel(self._pool, request, self._tuning)

    def supports_resume(self, temporary: str) -> bool:
        """Return whether the server resumes files; asked once for each connection. See `supports_resume`.

        Args:
            temporary: Of the file that is to be resumed: the probe file is put in the same directory.

        Raises:
            RequestRefused: The server does not let it be tried.
            DeliveryError: The server is lost.
        """
        return supports_resume(self._pool, resume_probe_name(temporary))

    def connect(self) -> ServerIdentity:
        """Log in, unless a connection is open, and return which server that is.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connection.connect`.
        """
        self._pool.first()
        return self.identity

    @property
    def identity(self) -> ServerIdentity:
        """The server and the account of the last connection."""
        return self._pool.identity

    @property
    def account(self) -> str:
        """The account of the next connection, `user@host:port`; empty where the login is not known."""
        try:
            return self._pool.account
        except CredentialsError:  # raised when a connection is needed
            return ""

    def same_file(self, path: str) -> str | None:
        """Return what all paths have in common that are this file at the last server; None: no other is."""
        return same_file(path) if self._pool.is_windows else None

    def look_at(self, *paths: str) -> list[PathStatus]:
        """Return what the server shows under these names.

        Raises:
            DeliveryError: The server is lost.
        """
        return self._run(look(self._session, path) for path in paths)

    def run(self, task: Callable[[SftpSession], SftpTask[T]]) -> T:
        """Run a task over connection 0 to its end; return its result, or raise what it raises.

        Raises:
            PartnerError, CredentialsError, TransferError: See `connection.connect`.
        """
        session = self._session
        return session.run_one(task(session))

    def remove_asides(self, asides: Iterable[str], path: str, journal: Journal) -> None:
        """Remove old files of the partner's, if the new one is seen in its place.

        Raises:
            DeliveryError: The server is lost.
        """
        session = self._session
        self._run(remove_aside(session, aside, path, journal) for aside in asides)

    def remove(self, *names: str) -> set[str]:
        """Remove files that an earlier attempt has left, and what a second try of it has, all at a time.

        Returns:
            The names of which nothing is left. That the server does not let one be removed is no error.

        Raises:
            DeliveryError: The server is lost.
        """
        session = self._session
        relatives = [(name, each) for name in names for each in names_of_attempt(name)]
        removed = self._run(is_removed(session, each) for _, each in relatives)
        standing = {name for (name, _), gone in zip(relatives, removed, strict=True) if not gone}
        return set(names) - standing

    @property
    def _session(self) -> SftpSession:
        return self._pool.first().session

    def _run(self, tasks: Iterable[SftpTask[T]]) -> list[T]:
        """Run tasks, many at a time; return their results in order, or raise the first error."""
        results: dict[int, T] = {}
        for place, outcome in self._session.run(tasks, at_a_time=FILES_AT_A_TIME):
            if isinstance(outcome, Exception):
                raise outcome
            results[place] = outcome
        return [results[place] for place in sorted(results)]

    def end_of_invocation(self, *, keep_first: bool) -> None:
        """Remember what the server has shown, and close what must not stay open. Never raises.

        A function that Lambda has frozen keeps its connections, and they count at the partner.

        Args:
            keep_first: Whether connection 0 stays open for the next invocation.
        """
        if self._known is not None:
            limit = self._limits.get(self._pool.host_key_fingerprint)
            self._pool.learn(files=None if limit is None else limit.found)
        self._pool.end_of_invocation(keep_first=keep_first)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _send_over_one_connection(
        self,
        files: Iterable[SmallFile[T]],
        send: SendSmall[T],
    ) -> Iterator[tuple[SmallFile[T], Exception | None]]:
        waiting = iter(files)
        first = next(waiting, None)
        if first is None:
            return
        try:
            session = self._pool.first().session
        except Exception as error:  # noqa: BLE001 - it is the outcome of each file
            yield first, error
            for file in waiting:
                yield file, error
            return

        yield from send_all(
            session,
            itertools.chain([first], waiting),
            functools.partial(send, session),
            self._limit(),
            is_complete=lambda file: file.is_complete(),
        )
        self._pool.touch(0)

    def _limit(self) -> Limit:
        """Return how many open files the server behind the connection has accepted."""
        server = self._pool.host_key_fingerprint
        if server not in self._limits:
            known = self._known.current() if self._known is not None else None
            files = known.files if known is not None and known.host_key == server else 0
            self._limits[server] = Limit(server, known=files, clock=self._clock)
        return self._limits[server]


async def _send_again(send: SendSmall[T], session: SftpSession, file: SmallFile[T]) -> None:
    """Send a file that was lost with another connection: what that has sent may still be carried out."""
    try:
        await send(session, replace(file, temporary=another_name(file.temporary)))
    finally:
        # The name stays in the ledger: what was sent over the lost connection may arrive later.
        await discard(session, file.temporary)
