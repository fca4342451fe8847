"""An SFTP session over one SSH channel: requests out, replies matched to them by id.

paramiko's own `SFTPClient` is not used: in pipelined mode it never looks at the statuses of the last
writes and swallows errors of CLOSE (docs/decisions/0005-own-sftp-writer.md).

Every request returns at once with a `Pending`; its reply is awaited. A task is a coroutine, and
`SftpSession.run` runs many of them at a time over the one channel (see `scheduler`).
"""

import functools
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from s3_to_sftp.defaults import REPLY_TIMEOUT_SECONDS
from s3_to_sftp.diagnosis.server_messages import ServerMessages, quote
from s3_to_sftp.errors import TransferError
from s3_to_sftp.sftp import protocol, windows
from s3_to_sftp.sftp.protocol import Answer, FileAttributes, MalformedReplyError, Reply, Request
from s3_to_sftp.sftp.replies import (
    SAFE_WRITE_BYTES,
    ReplyDecoder,
    attributes_if_told,
    handle_if_told,
    limits_if_told,
    name_if_told,
    names_if_told,
)
from s3_to_sftp.sftp.scheduler import SftpTask, run_tasks
from s3_to_sftp.sftp.temporary_names import described
from s3_to_sftp.sftp.wire import SEND_AT_BYTES, Pending, Wire
from s3_to_sftp.ssh.stream import Piece, Stream
from s3_to_sftp.untrusted_text import quoted

if TYPE_CHECKING:
    from s3_to_sftp.sftp.pace import Pace  # loaded where a bandwidth is set

T = TypeVar("T")


class SftpSession:
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start SFTP.

        Args:
            stream: To the server's SFTP subsystem; has a timeout of its own for each read and write.
            server: Its name in errors.
            reply_timeout: Seconds for the whole of one reply (see `Wire`).
            received: What the server says beside SFTP, to be quoted when the connection is lost.
            clock: Returns seconds for `reply_timeout`.
        """
        self._wire = Wire(stream, server=server, reply_timeout=reply_timeout, clock=clock)
        self._wire.traffic.received = received
        self._replies = ReplyDecoder(self._wire)
        self._extensions: dict[str, bytes] = {}
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
        self._start()

    def _start(self) -> None:
        self._wire.collect(struct.pack(">BI", Request.INIT, protocol.VERSION))
        try:
            self._wire.flush("start SFTP")
            sent_at = time.monotonic()
            kind, payload = self._wire.receive_message("start SFTP")
        except TransferError as error:
            # A login script, or a shell that denies access: the first byte of an SFTP message is 0.
            if not self._wire.incoming or not self._wire.incoming[0]:
                raise
            said = bytes(self._wire.incoming)
            violation = self._wire.violation(f"said {quote(said)} in place of SFTP")
            violation.received = said
            raise violation from error
        self.round_trip = time.monotonic() - sent_at
        if kind != Answer.VERSION:
            raise self._wire.violation(f"answered INIT with message type {kind}")
        self.version = int.from_bytes(payload[:4], "big")
        try:
            self._extensions = protocol.read_extensions(payload[4:])
        except MalformedReplyError as error:
            raise self._wire.violation(f"sent an unreadable VERSION ({error})") from None
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
    def renames_over_existing(self) -> bool:
        """Whether `rename` replaces an existing target atomically."""
        return protocol.POSIX_RENAME in self._extensions

    def require_valid_name(self, path: str) -> None:
        """Refuse a final name that the server would not keep as it is.

        Raises:
            RemotePathRefused: With the reason.
        """
        if self.is_windows:
            windows.require_valid_name(path, directories=self.directories)

    # Requests. Each goes out with the next flush and returns what to await.

    def create(self, path: str) -> Pending[bytes]:
        """Open a new or emptied file for writing; the result is its handle.

        WRITE|CREAT|TRUNC and nothing more: object-store-backed servers refuse APPEND and READ.
        """
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_TRUNCATE
        return self._open(path, flags, doing=f"create {described(path)}", request="create")

    def create_exclusively(self, path: str) -> Pending[bytes]:
        """Open a new file for writing; refused where the name is taken. The result is its handle."""
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_EXCLUSIVE
        return self._open(path, flags, doing=f"create {described(path)} where nothing is", request="create")

    def open_existing(self, path: str) -> Pending[bytes]:
        """Open a file that is there for writing at any offset; the result is its handle."""
        return self._open(path, protocol.OPEN_WRITE, doing=f"open {described(path)} a second time")

    def write(self, handle: bytes, offset: int, data: Piece, *, path: str) -> Pending[None]:
        """Write at an offset. When it returns, the data was sent or copied: its memory may be used again."""
        header = protocol.text(handle) + struct.pack(">QI", offset, len(data))
        self._wire.traffic.largest_sent = max(self._wire.traffic.largest_sent, len(data))
        if len(data) < SEND_AT_BYTES:
            data = bytes(data)
        return self._wire.request(
            Request.WRITE,
            header,
            data,
            doing=f"write {described(path)} at offset {offset}",
            decode=functools.partial(self._written, len(data)),
        )

    def _written(self, size: int, reply: Reply, doing: str) -> None:
        self._replies.ok(reply, doing)
        traffic = self._wire.traffic
        traffic.largest_accepted = max(traffic.largest_accepted, size)

    def close_file(self, handle: bytes, *, path: str) -> Pending[None]:
        """Close the file; servers with an object store behind them commit it only now."""
        return self._wire.request(
            Request.CLOSE, protocol.text(handle), doing=f"close {described(path)}", decode=self._replies.ok
        )

    def rename(self, old: str, new: str) -> Pending[None]:
        """Rename, replacing the target where the server can do that in one step."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {described(old)} to {described(new)}"
        if self.renames_over_existing:
            name = protocol.text(protocol.POSIX_RENAME)
            return self._wire.request(
                Request.EXTENDED, name + paths, doing=doing, decode=self._replies.ok, request="rename"
            )
        return self._wire.request(Request.RENAME, paths, doing=doing, decode=self._replies.ok)

    def rename_without_replacing(self, old: str, new: str) -> Pending[None]:
        """Rename as version 3 does it: refused where the target exists."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {described(old)} to {described(new)}"
        return self._wire.request(
            Request.RENAME, paths, doing=doing, decode=self._replies.ok, request="rename"
        )

    def remove(self, path: str) -> Pending[None]:
        """Remove a file."""
        return self._wire.request(
            Request.REMOVE, protocol.text(path), doing=f"remove {described(path)}", decode=self._replies.ok
        )

    def make_directory(self, path: str) -> Pending[None]:
        """Make one directory; its parent must exist."""
        attributes = struct.pack(">I", 0)
        return self._wire.request(
            Request.MKDIR,
            protocol.text(path) + attributes,
            doing=f"make the directory {path!r}",
            decode=self._replies.ok,
        )

    def remove_directory(self, path: str) -> Pending[None]:
        """Remove an empty directory."""
        return self._wire.request(
            Request.RMDIR,
            protocol.text(path),
            doing=f"remove the directory {path!r}",
            decode=self._replies.ok,
        )

    def sync(self, handle: bytes, *, path: str) -> Pending[None]:
        """Let the server write an open file to its disk. Only where it offers `fsync@openssh.com`."""
        return self._wire.request(
            Request.EXTENDED,
            protocol.text(protocol.FSYNC) + protocol.text(handle),
            doing=f"write {described(path)} to its disk",
            decode=self._replies.ok,
        )

    @property
    def states_limits(self) -> bool:
        """Whether the server can be asked for its limits."""
        return protocol.LIMITS in self._extensions

    def limits(self) -> Pending[tuple[int, int, int, int] | None]:
        """Ask for bytes of a packet, a READ, a WRITE, and open files; None when the server does not tell."""
        return self._wire.request(
            Request.EXTENDED,
            protocol.text(protocol.LIMITS),
            doing="state its limits",
            decode=limits_if_told,
        )

    def exists(self, path: str) -> Pending[bool]:
        """Ask whether the server shows something under this name."""
        return self._wire.request(
            Request.STAT,
            protocol.text(path),
            doing=f"look at {described(path)}",
            decode=self._replies.is_there,
        )

    def size_of(self, path: str) -> Pending[int | None]:
        """Ask for the size of a file in bytes; None when the server does not say."""
        return self._wire.request(
            Request.STAT,
            protocol.text(path),
            doing=f"tell the size of {described(path)}",
            decode=self._replies.size,
        )

    def stat(self, path: str) -> Pending[FileAttributes]:
        """Ask for the attributes of a file; of a link: of what it points to."""
        return self._wire.request(
            Request.STAT,
            protocol.text(path),
            doing=f"show the attributes of {described(path)}",
            decode=self._replies.attributes,
        )

    def set_attributes(self, path: str, *, mode: int | None, mtime: int | None) -> Pending[None]:
        """Set permission bits, and the times in seconds since 1970; None leaves one as it is."""
        flags = (protocol.ATTR_PERMISSIONS if mode is not None else 0) | (
            protocol.ATTR_ACMODTIME if mtime is not None else 0
        )
        attributes = struct.pack(">I", flags)
        attributes += b"" if mode is None else struct.pack(">I", mode)
        attributes += b"" if mtime is None else struct.pack(">II", mtime, mtime)
        return self._wire.request(
            Request.SETSTAT,
            protocol.text(path) + attributes,
            doing=f"set the attributes of {described(path)}",
            decode=self._replies.ok,
        )

    def lstat(self, path: str) -> Pending[FileAttributes]:
        """Ask for the attributes of a file; of a link: of the link itself."""
        return self._wire.request(
            Request.LSTAT,
            protocol.text(path),
            doing=f"show the attributes of {described(path)}",
            decode=self._replies.attributes,
        )

    def fstat(self, handle: bytes, *, path: str) -> Pending[FileAttributes | None]:
        """Ask for the attributes of an open file; None when the server refuses, or answers unreadably.

        It is sent along with other requests and only informs: no answer to it is an error.
        """
        return self._wire.request(
            Request.FSTAT,
            protocol.text(handle),
            doing=f"show the attributes of {described(path)}",
            decode=attributes_if_told,
        )

    def open_directory(self, path: str) -> Pending[bytes]:
        """Open a directory for listing; the result is its handle."""
        return self._wire.request(
            Request.OPENDIR,
            protocol.text(path),
            doing=f"open the directory {path!r}",
            decode=self._replies.handle,
        )

    def listing(self, path: str) -> Pending[bytes | None]:
        """Open a directory for listing; the result is its handle, None when the server refuses."""
        return self._wire.request(
            Request.OPENDIR,
            protocol.text(path),
            doing=f"open the directory {path!r}",
            decode=handle_if_told,
        )

    def entries(self, handle: bytes, *, path: str) -> Pending[list[tuple[str, FileAttributes]]]:
        """List the next entries of a directory; none at its end, and when the server refuses."""
        return self._wire.request(
            Request.READDIR,
            protocol.text(handle),
            doing=f"list the directory {path!r}",
            decode=names_if_told,
        )

    def open_reading(self, path: str) -> Pending[bytes]:
        """Open a file for reading; the result is its handle."""
        return self._open(path, protocol.OPEN_READ, doing=f"open {described(path)} for reading")

    def read(self, handle: bytes, offset: int, length: int, *, path: str) -> Pending[bytes]:
        """Read up to so many bytes; empty at the end of the file."""
        body = protocol.text(handle) + struct.pack(">QI", offset, length)
        return self._wire.request(
            Request.READ, body, doing=f"read {described(path)}", decode=self._replies.data
        )

    def ping(self) -> None:
        """Make one round trip that needs no permission; whatever the answer is, the server is there."""
        asked_at = time.monotonic()
        self.wait_for(self.turn())
        self.round_trip = min(self.round_trip, time.monotonic() - asked_at)

    def turn(self) -> Pending[None]:
        """Ask for an answer, whatever it is: while a task waits for it, the others have their turn."""
        return self._wire.request(
            Request.REALPATH, protocol.text("."), doing="answer a ping", decode=lambda _reply, _doing: None
        )

    def home(self) -> Pending[str]:
        """Ask where the login starts; empty where the server does not tell."""
        return self._wire.request(
            Request.REALPATH, protocol.text("."), doing="tell where the login starts", decode=name_if_told
        )

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

    def _open(self, path: str, flags: int, *, doing: str, request: str = "open") -> Pending[bytes]:
        body = protocol.text(path) + struct.pack(">II", flags, 0)
        return self._wire.request(
            Request.OPEN, body, doing=doing, decode=self._replies.handle, request=request
        )


async def _result_of(pending: Pending[T]) -> T:
    return await pending
