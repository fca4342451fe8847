"""An SFTP session over one SSH channel: requests out, replies matched to them by id.

paramiko's own `SFTPClient` is not used: in pipelined mode it never looks at the statuses of the last
writes and swallows errors of CLOSE (docs/decisions/0005-own-sftp-writer.md).

Every request returns at once with a `Pending`; its reply is awaited. A task is a coroutine, and
`SftpSession.run` runs many of them at a time over the one channel (see `scheduler`).
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from s3_to_sftp.defaults import REPLY_TIMEOUT_SECONDS
from s3_to_sftp.diagnosis.server_messages import ServerMessages, quote
from s3_to_sftp.errors import TransferError
from s3_to_sftp.sftp import protocol, windows
from s3_to_sftp.sftp.protocol import Answer, MalformedReplyError, Request
from s3_to_sftp.sftp.replies import (
    SAFE_WRITE_BYTES,
)
from s3_to_sftp.sftp.requests import SftpRequests
from s3_to_sftp.sftp.scheduler import SftpTask, run_tasks
from s3_to_sftp.sftp.wire import Pending, Wire
from s3_to_sftp.ssh.stream import Stream
from s3_to_sftp.untrusted_text import quoted

if TYPE_CHECKING:
    from s3_to_sftp.sftp.pace import Pace  # loaded where a bandwidth is set

T = TypeVar("T")
U = TypeVar("U")


class SftpSession(SftpRequests):
    """Speaks SFTP version 3. Belongs to one thread.

    Raises (any method that waits):
        ConnectionLost: The channel ended, or was silent longer than its timeout.
        ProtocolViolation: The server's answer breaks the protocol.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        server: str,
        reply_timeout: float = REPLY_TIMEOUT_SECONDS,
        received: ServerMessages | None = None,
        expected: tuple[str, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start SFTP.

        Args:
            stream: To the server's SFTP subsystem; has a timeout of its own for each read and write.
            server: Its name in errors.
            reply_timeout: Seconds for the whole of one reply (see `Wire`).
            received: What the server says beside SFTP, to be quoted when the connection is lost.
            expected: Names of the extensions that this server is known to offer: its answer to INIT is not
                waited for, and the first requests travel with INIT. None: nothing is known.
            clock: Returns seconds for `reply_timeout`.
        """
        super().__init__(Wire(stream, server=server, reply_timeout=reply_timeout, clock=clock))
        self._wire.traffic.received = received
        self.version = 0
        """Of SFTP, as the server answers."""
        self._limits: Pending[int] | None = None
        self._max_write_bytes = SAFE_WRITE_BYTES
        self.directories: tuple[str, ...] = ()
        """The directories that the function is configured to deliver to."""
        self.pace: Pace | None = None
        """Lets data wait until it may leave; None: it may leave at once."""
        self.is_windows = False
        """Whether the server says that it runs on Windows."""
        self.checked_directories: dict[str, Future[None]] = {}
        """Missing directories whose siblings have been looked at, or are being; see `directory_names`."""
        self.round_trip = 0.0
        """Seconds to the server and back, as the start of the session measured it."""
        self._wire.collect(struct.pack(">BI", Request.INIT, protocol.VERSION))
        self._wire.greeting = self._greeted
        self.has_started = False
        """Whether the server has answered INIT."""
        self.contradiction = ""
        """What of its answer to INIT was not as expected, in words."""
        if expected is None:
            self.start()
        else:
            self._extensions = dict.fromkeys(expected, b"")
        self._ask_for_limits()

    def start(self) -> None:
        """Wait for the answer to INIT, unless it is there.

        Raises:
            ConnectionLost, ProtocolViolation: There is none.
        """
        if self.has_started:
            return
        try:
            self._wire.flush("start SFTP")
            sent_at = time.monotonic()
            message = self._wire.receive_message("start SFTP")
        except TransferError as error:
            # A login script, or a shell that denies access: the first byte of an SFTP message is 0.
            if not self._wire.incoming or not self._wire.incoming[0]:
                raise
            said = bytes(self._wire.incoming)
            violation = self._wire.violation(f"said {quote(said)} in place of SFTP")
            violation.received = said
            raise violation from error
        self.round_trip = time.monotonic() - sent_at
        self._wire.greeting = None
        self._greeted(*message)

    def _greeted(self, kind: int, payload: bytes) -> None:
        expected = set(self._extensions)
        if kind != Answer.VERSION:
            raise self._wire.violation(f"answered INIT with message type {kind}")
        self.version = int.from_bytes(payload[:4], "big")
        try:
            self._extensions = protocol.read_extensions(payload[4:])
        except MalformedReplyError as error:
            raise self._wire.violation(f"sent an unreadable VERSION ({error})") from None
        if expected - set(self._extensions):
            self.contradiction = f"it no longer offers {', '.join(sorted(expected - set(self._extensions)))}"
        self.has_started = True

    def _ask_for_limits(self) -> None:
        # Only where it is offered: a server may hang up on a request that it does not know.
        if protocol.LIMITS in self._extensions:
            # Not awaited: it travels with the first OPEN.
            self._limits = self._wire.request(
                Request.EXTENDED,
                protocol.text(protocol.LIMITS),
                doing="state its limits",
                decode=self._replies.write_limit,
            )

    @property
    def server(self) -> str:
        """Its name in errors."""
        return self._wire.server

    @property
    def max_write_bytes(self) -> int:
        """Bytes of data that one WRITE may hold. Final from the first reply to an OPEN on."""
        if self._limits is not None and (reply := self._wire.take_reply(self._limits.id)) is not None:
            limits, self._limits = self._limits, None
            self._max_write_bytes = limits.decode(reply)
        return self._max_write_bytes

    @property
    def is_over(self) -> bool:
        """Whether it was closed, by us or by an error after which no answer can be trusted."""
        return self._wire.is_closed

    @property
    def extensions(self) -> dict[str, str]:
        """What the server offers beyond version 3 -> its version or data, as text."""
        return {quoted(name): quoted(data) for name, data in self._extensions.items()}

    @property
    def used_extensions(self) -> tuple[str, ...]:
        """Those of them that requests of ours depend on."""
        used = (protocol.FSYNC, protocol.LIMITS, protocol.POSIX_RENAME)
        return tuple(name for name in used if name in self._extensions)

    def require_valid_name(self, path: str) -> None:
        """Refuse a final name that the server would not keep as it is.

        Raises:
            RemotePathRefused: With the reason.
        """
        if self.is_windows:
            windows.require_valid_name(path, directories=self.directories)

    def ping(self) -> None:
        """Make one round trip that needs no permission; whatever the answer is, the server is there."""
        asked_at = time.monotonic()
        self.wait_for(self.turn())
        self.round_trip = min(self.round_trip, time.monotonic() - asked_at)

    def abandon(self, pending: Pending[Any]) -> None:
        """Forget a request whose answer no longer matters; it is dropped when it arrives."""
        self._wire.abandon(pending)

    # Running tasks.

    def run_one(self, task: SftpTask[T]) -> T:
        """Run one task to its end and return its result, or raise what it raises."""
        for _, outcome in self.run([task]):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        raise AssertionError("a task has exactly one outcome")

    def run_two(self, one: SftpTask[T], other: SftpTask[U]) -> tuple[T | Exception, U | Exception]:
        """Run two tasks at the same time to their ends; return their outcomes."""
        outcomes: dict[int, Any] = dict(self.run([one, other], at_a_time=2))
        return outcomes[0], outcomes[1]

    def wait_for(self, pending: Pending[T]) -> T:
        """Wait for the answer to one request; return its result, or raise what it says."""
        return self.run_one(_result_of(pending))

    def run(
        self, tasks: Iterable[SftpTask[T]], *, at_a_time: int | Callable[[], int] = 1
    ) -> Iterator[tuple[int, T | Exception]]:
        """Run tasks, some at a time, and yield their outcomes as they end (see `run_tasks`)."""
        return run_tasks(self._wire, tasks, at_a_time=at_a_time)

    def close(self) -> None:
        """End the session."""
        self._wire.close()


async def _result_of(pending: Pending[T]) -> T:
    return await pending
