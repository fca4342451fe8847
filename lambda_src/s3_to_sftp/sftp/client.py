"""The partner's server as deliveries see it: small files many at a time, large ones in streams."""

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from s3_to_sftp.credentials import CredentialSource
from s3_to_sftp.errors import ConnectionLost, CredentialsError
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.settings import Server
from s3_to_sftp.sftp.connection import Timeouts, connect
from s3_to_sftp.sftp.open_files import FILES_AT_A_TIME, Limit, send_all
from s3_to_sftp.sftp.parallel_upload import (
    RangeSource,
    Sent,
    another_name,
    probe_name,
    resume_probe_name,
    upload_parallel,
)
from s3_to_sftp.sftp.pool import Connect, ConnectionPool
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.publish import (
    Journal,
    NoJournal,
    PathStatus,
    block_aside,
    is_removed,
    look,
    name_of_void,
    publish,
    remove_aside,
    restore,
    void_temporary,
)
from s3_to_sftp.sftp.resume import supports_resume
from s3_to_sftp.sftp.session import Conversation, SftpSession
from s3_to_sftp.sftp.upload import Permit, discard, upload_small
from s3_to_sftp.sftp.windows import same_file
from s3_to_sftp.ssh.stream import Piece

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
        journal: Told of names that may stand at the partner.
        permit: See `upload_small`. None: nobody is asked.
        was_sent: Whether some of it may have been written over a connection that was lost.
    """

    ticket: T
    path: str
    temporary: str
    data: Piece
    aside: str
    journal: Journal = field(default_factory=NoJournal)
    permit: Permit | None = None
    was_sent: bool = False


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
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = ConnectionPool(
            server,
            credentials,
            timeouts=timeouts,
            limit=max_connections,
            directories=directories,
            connect=connect,
            clock=clock,
        )
        self._clock = clock
        self._limits: dict[str, Limit] = {}

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
                lost.append(replace(file, was_sent=True))
            else:
                yield file, error
        if lost:
            # An old connection may have died of its age; that says nothing about the partner.
            yield from self._send_over_one_connection(lost, _send_again)

    def send_large(
        self,
        source: RangeSource,
        *,
        temporary: str,
        path: str = "",
        start: int = 0,
        is_spread: bool = False,
        pause: Callable[[], bool] = lambda: False,
        streams: int | None = None,
    ) -> Sent:
        """Put a file of any size under its temporary name, over as many connections as pay.

        For arguments and errors see `upload_parallel`.
        """
        return upload_parallel(
            self._pool,
            source,
            temporary=temporary,
            path=path,
            start=start,
            is_spread=is_spread,
            pause=pause,
            streams=streams,
        )

    def supports_resume(self, temporary: str) -> bool:
        """Return whether the server resumes files; asked once for each connection. See `supports_resume`.

        Args:
            temporary: Of the file that is to be resumed: what is tried is tried beside it.

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
        except CredentialsError:  # told when a connection is needed
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

    def publish(self, temporary: str, path: str, *, aside: str, journal: Journal) -> None:
        """Give a complete file its final name; arguments and errors as in `publish.publish`."""
        session = self._pool.first().session
        session.run_one(publish(session, temporary, path, aside=aside, journal=journal))

    def prevent_renames(self, *, temporaries: Iterable[str], asides: Iterable[str], journal: Journal) -> None:
        """Make sure that RENAMEs that earlier attempts have sent do no harm, should they still happen.

        Args:
            temporaries: Names that may still be renamed to a final name.
            asides: Names to which the file under the final name may still be moved.
            journal: Told what has become of each.

        Raises:
            EarlierRenamePending: The server does not let one be prevented.
            DeliveryError: The server is lost.
        """
        session = self._session
        self._run(void_temporary(session, name, journal) for name in temporaries)
        self._run(block_aside(session, name, journal) for name in asides)

    def restore(self, asides: Iterable[str], path: str, journal: Journal) -> None:
        """Give a file of the partner's that was moved aside its name back, if nothing has the name.

        Raises:
            DeliveryError: The server is lost.
        """
        session = self._session
        for aside in asides:
            if session.run_one(look(session, path)).absent:
                session.run_one(restore(session, aside, path, journal))

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
        relatives = [(name, each) for name in names for each in _family(name)]
        removed = self._run(is_removed(session, each) for _, each in relatives)
        standing = {name for (name, _), gone in zip(relatives, removed, strict=True) if not gone}
        return set(names) - standing

    @property
    def _session(self) -> SftpSession:
        return self._pool.first().session

    def _run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """Drive conversations, many at a time; return their results in order, or raise the first error."""
        results: dict[int, T] = {}
        for place, outcome in self._session.run(conversations, at_a_time=FILES_AT_A_TIME):
            if isinstance(outcome, Exception):
                raise outcome
            results[place] = outcome
        return [results[place] for place in sorted(results)]

    def end_of_invocation(self, *, keep_first: bool) -> None:
        """Close the connections that must not stay open while nobody uses them. Never raises.

        A function that Lambda has frozen keeps its connections, and they count at the partner.

        Args:
            keep_first: Whether connection 0 stays open for the next invocation.
        """
        self._pool.end_of_invocation(keep_first=keep_first)

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
            functools.partial(send or _send, session),
            self._limit(),
        )
        self._pool.touch(0)

    def _limit(self) -> Limit:
        """Return what the server behind the connection has shown to bear."""
        server = self._pool.host_key_fingerprint
        if server not in self._limits:
            self._limits[server] = Limit(server, clock=self._clock)
        return self._limits[server]


def _family(temporary: str) -> tuple[str, ...]:
    """Return the names that an attempt may have used, given the one that the ledger has."""
    others = (another_name, probe_name, resume_probe_name, name_of_void)
    return temporary, *(other(temporary) for other in others)


async def _send(session: SftpSession, file: SmallFile[T]) -> int:
    return await upload_small(
        session,
        file.data,
        path=file.path,
        temporary=file.temporary,
        aside=file.aside,
        journal=file.journal,
        permit=file.permit,
    )


async def _send_again(session: SftpSession, file: SmallFile[T]) -> int:
    """Send a file that was lost with another connection: what that has sent may still be written."""
    try:
        return await _send(session, replace(file, temporary=another_name(file.temporary)))
    finally:
        # The name stays in the ledger: what was sent over the lost connection may arrive later.
        await discard(session, file.temporary)


def _noting(files: Iterable[SmallFile[T]], permitted: set[str]) -> Iterator[SmallFile[T]]:
    """Note the temporary names whose permit is asked for."""
    for file in files:
        yield replace(file, permit=functools.partial(_note, permitted, file.permit)) if file.permit else file


def _note(permitted: set[str], permit: Permit, temporary: str, seen: FileAttributes | None) -> "Future[None]":
    permitted.add(temporary)
    return permit(temporary, seen)
