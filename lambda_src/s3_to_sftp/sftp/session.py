"""An SFTP session over one SSH channel: requests out, replies matched to them by id.

paramiko's own `SFTPClient` is not used: in pipelined mode it never looks at the statuses of the last
writes and swallows errors of CLOSE (docs/decisions/0005-own-sftp-writer.md).

Every request returns at once with a `Pending`; its reply is awaited. A conversation is a coroutine, and
`SftpSession.run` drives many of them at a time over the one channel in the calling thread. There is no
event loop besides: while a conversation waits for the server, the others go on, and what they all send
meanwhile travels together.
"""

import contextlib
import struct
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, NamedTuple, TypeVar

from s3_to_sftp.errors import ConnectionLost, ProtocolViolation, RequestRefused, TransferError
from s3_to_sftp.sftp import protocol, windows
from s3_to_sftp.sftp.protocol import Answer, FileAttributes, MalformedReplyError, Reply, Request, Status
from s3_to_sftp.sftp.status_advice import advice_for
from s3_to_sftp.ssh.server_messages import quote
from s3_to_sftp.ssh.stream import Piece, Stream
from s3_to_sftp.untrusted_text import quoted

T = TypeVar("T")
Conversation = Coroutine["Pending[Any] | ExternalFuture[Any]", None, T]

_SAFE_WRITE_BYTES = 32 * 1024 - 64
"""For servers that state no limit: one WRITE with its header fits the 32 KiB that all must take."""

_SMALLEST_LIMIT = 512
"""Limits below are not believed: the protocol wants 32 KiB, and a few bytes at a time would take for ever."""

_MAX_WRITE_BYTES = 255 * 1024
"""OpenSSH's limit; larger brings nothing."""

_NEW_CONNECTION = "It will be retried on a new connection; tell the partner if it goes on."

_SEND_AT_BYTES = 128 * 1024
"""Requests are collected to this size, or until all conversations wait."""


class Pending(Generic[T]):
    """A request under way. Await it for its result; it raises when the server refused it."""

    __slots__ = ("_decode", "_session", "doing", "id", "request")

    def __init__(
        self,
        session: "SftpSession",
        request_id: int,
        doing: str,
        decode: Callable[[Reply, str], T],
        request: str,
    ) -> None:
        self.id = request_id
        self.doing = doing
        self.request = request
        self._session = session
        self._decode = decode

    def __await__(self) -> Generator["Pending[Any]", None, T]:
        """Wait for the reply.

        Raises:
            RequestRefused: The server answered with an error status.
            ProtocolViolation: The server's answer makes no sense.
        """
        reply = self._session.take_reply(self.id)
        while reply is None:
            yield self
            reply = self._session.take_reply(self.id)
        return self.decode(reply)

    def take(self) -> bool:
        """Return whether the reply has arrived, without waiting for it, also when the session is over.

        Raises:
            RequestRefused, ProtocolViolation: What it says.
        """
        reply = self._session.take_reply(self.id)
        if reply is not None:
            self.decode(reply)
        return reply is not None

    def decode(self, reply: Reply) -> T:
        """Return the result that the reply says, or raise what it says."""
        try:
            return self._decode(reply, self.doing)
        except RequestRefused as refused:
            refused.request = self.request
            raise


class ExternalFuture(Generic[T]):
    """Something that another thread works on. Await it in a conversation for its result.

    It is looked for when a reply has come, or when no conversation waits for one.
    """

    __slots__ = ("future",)

    def __init__(self, future: "Future[T]") -> None:
        self.future = future

    def __await__(self) -> Generator["ExternalFuture[T]", None, T]:
        """Wait; raises what the work raised."""
        while not self.future.done():
            yield self
        return self.future.result()


class SftpSession:
    """Speaks SFTP version 3. Belongs to one thread.

    Raises (any method that waits):
        ConnectionLost: The channel ended, or was silent longer than its timeout.
        ProtocolViolation: The server's answer makes no sense.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        server: str,
        reply_timeout: float = 120,
    ) -> None:
        """Start SFTP.

        Args:
            stream: To the server's SFTP subsystem; has a timeout of its own for each read and write.
            server: Its name in errors.
            reply_timeout: Seconds for the whole of one reply, so that a server that sends it byte by byte
                holds nobody up. Checked when bytes come: with the stream's timeout, twice as long at most.
        """
        self._stream = stream
        self._server = server
        self._reply_timeout = reply_timeout
        self._next_id = 0
        self._outgoing: list[Piece] = []
        self._outgoing_bytes = 0
        self._incoming = bytearray()
        self._waiting: set[int] = set()
        self._abandoned: set[int] = set()
        self._arrived: dict[int, Reply] = {}
        self._over = False
        self._ended_by: ProtocolViolation | None = None
        self._extensions: dict[str, bytes] = {}
        self._limits: Pending[int] | None = None
        self._max_write_bytes = _SAFE_WRITE_BYTES
        self.directories: tuple[str, ...] = ()
        """The directories that the function is configured to deliver to."""
        self.is_windows = False
        """Whether the server says that it runs on Windows."""
        self.round_trip = 0.0
        """Seconds to the server and back, as the start of the session measured it."""
        self._start()

    def _start(self) -> None:
        self._collect(struct.pack(">BI", Request.INIT, protocol.VERSION))
        try:
            self._flush("start SFTP")
            sent_at = time.monotonic()
            kind, payload = self._receive_message("start SFTP")
        except TransferError as error:
            # A login script, or a shell that says that there is no access: no message of SFTP begins so.
            if self._incoming and self._incoming[0]:
                raise self._violation(f"said {quote(bytes(self._incoming))} in place of SFTP") from error
            raise
        self.round_trip = time.monotonic() - sent_at
        if kind != Answer.VERSION:
            raise self._violation(f"answered INIT with message type {kind}")
        try:
            self._extensions = protocol.read_extensions(payload[4:])
        except MalformedReplyError as error:
            raise self._violation(f"sent an unreadable VERSION ({error})") from None
        # Only where it is offered: a strange server may hang up on a request that it has never heard of.
        if protocol.LIMITS in self._extensions:
            # Not waited for: it travels with the first OPEN.
            self._limits = self._request(
                Request.EXTENDED,
                protocol.text(protocol.LIMITS),
                doing="state its limits",
                decode=self._write_limit,
            )

    @property
    def max_write_bytes(self) -> int:
        """Bytes of data that one WRITE may hold. Right from the first reply to an OPEN on."""
        if self._limits is not None and (reply := self.take_reply(self._limits.id)) is not None:
            limits, self._limits = self._limits, None
            self._max_write_bytes = limits.decode(reply)
        return self._max_write_bytes

    @property
    def is_over(self) -> bool:
        """Whether it was closed, by us or by an error after which no answer could be trusted."""
        return self._over

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
        return self._open(path, flags, doing=f"create {path!r}", request="create")

    def create_exclusively(self, path: str) -> Pending[bytes]:
        """Open a new file for writing; refused where the name is taken. The result is its handle."""
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_EXCLUSIVE
        return self._open(path, flags, doing=f"create {path!r} where nothing is", request="create")

    def open_existing(self, path: str) -> Pending[bytes]:
        """Open a file that is there for writing at any offset; the result is its handle."""
        return self._open(path, protocol.OPEN_WRITE, doing=f"open {path!r} a second time")

    def write(self, handle: bytes, offset: int, data: Piece, *, path: str) -> Pending[None]:
        """Write at an offset. When it returns, the data was sent or copied: its memory may be used again."""
        header = protocol.text(handle) + struct.pack(">QI", offset, len(data))
        if len(data) < _SEND_AT_BYTES:
            data = bytes(data)
        return self._request(
            Request.WRITE, header, data, doing=f"write {path!r} at offset {offset}", decode=self._ok
        )

    def close_file(self, handle: bytes, *, path: str) -> Pending[None]:
        """Close the file; servers with an object store behind them commit it only now."""
        return self._request(Request.CLOSE, protocol.text(handle), doing=f"close {path!r}", decode=self._ok)

    def rename(self, old: str, new: str) -> Pending[None]:
        """Rename, replacing the target where the server can do that in one step."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {old!r} to {new!r}"
        if self.renames_over_existing:
            name = protocol.text(protocol.POSIX_RENAME)
            return self._request(
                Request.EXTENDED, name + paths, doing=doing, decode=self._ok, request="rename"
            )
        return self._request(Request.RENAME, paths, doing=doing, decode=self._ok)

    def rename_without_replacing(self, old: str, new: str) -> Pending[None]:
        """Rename as version 3 does it: refused where the target exists."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {old!r} to {new!r}"
        return self._request(Request.RENAME, paths, doing=doing, decode=self._ok, request="rename")

    def remove(self, path: str) -> Pending[None]:
        """Remove a file."""
        return self._request(Request.REMOVE, protocol.text(path), doing=f"remove {path!r}", decode=self._ok)

    def make_directory(self, path: str) -> Pending[None]:
        """Make one directory; its parent must exist."""
        attributes = struct.pack(">I", 0)
        return self._request(
            Request.MKDIR,
            protocol.text(path) + attributes,
            doing=f"make the directory {path!r}",
            decode=self._ok,
        )

    def exists(self, path: str) -> Pending[bool]:
        """Ask whether the server shows something under this name."""
        return self._request(
            Request.STAT, protocol.text(path), doing=f"look at {path!r}", decode=self._is_there
        )

    def size_of(self, path: str) -> Pending[int | None]:
        """Ask for the size of a file in bytes; None when the server does not say."""
        return self._request(
            Request.STAT, protocol.text(path), doing=f"tell the size of {path!r}", decode=self._size
        )

    def stat(self, path: str) -> Pending[FileAttributes]:
        """Ask for the attributes of a file; of a link: of what it points to."""
        return self._request(
            Request.STAT,
            protocol.text(path),
            doing=f"show the attributes of {path!r}",
            decode=self._attributes,
        )

    def lstat(self, path: str) -> Pending[FileAttributes]:
        """Ask for the attributes of a file; of a link: of the link itself."""
        return self._request(
            Request.LSTAT,
            protocol.text(path),
            doing=f"show the attributes of {path!r}",
            decode=self._attributes,
        )

    def fstat(self, handle: bytes, *, path: str) -> Pending[FileAttributes | None]:
        """Ask for the attributes of an open file; None when the server refuses, or answers unreadably.

        It travels with other requests for what it may tell, so that no answer to it is an error.
        """
        return self._request(
            Request.FSTAT,
            protocol.text(handle),
            doing=f"show the attributes of {path!r}",
            decode=_attributes_if_told,
        )

    def open_directory(self, path: str) -> Pending[bytes]:
        """Open a directory for listing; the result is its handle."""
        return self._request(
            Request.OPENDIR, protocol.text(path), doing=f"open the directory {path!r}", decode=self._handle
        )

    def open_reading(self, path: str) -> Pending[bytes]:
        """Open a file for reading; the result is its handle."""
        return self._open(path, protocol.OPEN_READ, doing=f"open {path!r} for reading")

    def read(self, handle: bytes, offset: int, length: int, *, path: str) -> Pending[bytes]:
        """Read up to so many bytes; empty at the end of the file."""
        body = protocol.text(handle) + struct.pack(">QI", offset, length)
        return self._request(Request.READ, body, doing=f"read {path!r}", decode=self._data)

    def ping(self) -> None:
        """Make one round trip that needs no permission; whatever the answer is, the server is there."""
        asked_at = time.monotonic()
        self.run_one(_result_of(self.turn()))
        self.round_trip = min(self.round_trip, time.monotonic() - asked_at)

    def turn(self) -> Pending[None]:
        """Ask for an answer, whatever it is: while a conversation waits for it, others have their turn."""
        return self._request(
            Request.REALPATH, protocol.text("."), doing="answer a ping", decode=lambda _reply, _doing: None
        )

    def home(self) -> Pending[str]:
        """Ask where the login starts; empty where the server does not tell."""
        return self._request(
            Request.REALPATH, protocol.text("."), doing="tell where the login starts", decode=_name_if_told
        )

    def abandon(self, pending: Pending[Any]) -> None:
        """Forget a request whose answer no longer matters; it is thrown away when it comes."""
        self._arrived.pop(pending.id, None)
        if pending.id in self._waiting:
            self._abandoned.add(pending.id)

    # Driving conversations.

    def run_one(self, conversation: Conversation[T]) -> T:
        """Drive one conversation to its end and return its result, or raise what it raises."""
        for _, outcome in self.run([conversation]):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        raise AssertionError("a conversation has exactly one outcome")

    def run(
        self, conversations: Iterable[Conversation[T]], *, at_a_time: int | Callable[[], int] = 1
    ) -> Iterator[tuple[int, T | Exception]]:
        """Drive conversations, some at a time, and yield their outcomes as they end.

        Args:
            conversations: Started in this order, each as soon as a place is free.
            at_a_time: How many may be under way; a function is asked before each is started.

        Yields:
            The conversation's place in the order, and its result or the exception that it raised.
        """
        upcoming = enumerate(conversations)
        talks: _Tasks[T] = _Tasks()
        exhausted = False
        limit = at_a_time if callable(at_a_time) else lambda: at_a_time
        try:
            while not exhausted or talks.under_way():
                while not exhausted and talks.under_way() < limit():
                    following = next(upcoming, None)
                    exhausted = following is None
                    if following is not None:
                        talks.advance(*following)
                if not talks.ended:
                    self._advance(talks)
                ended, talks.ended = talks.ended, []
                yield from ended
        finally:  # the caller wants no more outcomes
            for talk in talks.on_replies.values():
                self.abandon(talk.waits_for)
            talks.close()

    def _advance(self, talks: "_Tasks[T]") -> None:
        """Wait until a conversation can go on, and let it."""
        if talks.advance_external():
            return
        if talks.on_replies:
            self._receive_for(talks)
        elif talks.elsewhere:
            with contextlib.suppress(TransferError):  # told to whom asks for the next thing
                self._flush("go on")
            wait([talk.waits_for.future for talk in talks.elsewhere], return_when=FIRST_COMPLETED)

    def _receive_for(self, talks: "_Tasks[T]") -> None:
        try:
            arrived = self._receive(next(iter(talks.on_replies.values())).waits_for.doing)
        except TransferError as error:
            talks.throw(error)
            return
        for request_id in arrived:
            talks.reply_came(request_id)

    def take_reply(self, request_id: int) -> Reply | None:
        """Return the reply to a request, once, or None while it has not come."""
        return self._arrived.pop(request_id, None)

    def close(self) -> None:
        """End the session."""
        # Nothing more is sent after the first doubt: a clean-up must not wait for a silent server.
        self._over = True
        self._stream.close()

    # The wire.

    def _open(self, path: str, flags: int, *, doing: str, request: str = "open") -> Pending[bytes]:
        body = protocol.text(path) + struct.pack(">II", flags, 0)
        return self._request(Request.OPEN, body, doing=doing, decode=self._handle, request=request)

    def _request(
        self,
        kind: Request,
        *parts: Piece,
        doing: str,
        decode: Callable[[Reply, str], T],
        request: str | None = None,
    ) -> Pending[T]:
        request_id = self._next_id
        self._next_id = (request_id + 1) & 0xFFFFFFFF
        self._collect(struct.pack(">BI", kind, request_id), *parts)
        self._waiting.add(request_id)
        if self._outgoing_bytes >= _SEND_AT_BYTES:
            self._flush(doing)
        return Pending(self, request_id, doing, decode, request or kind.name.lower())

    def _collect(self, *parts: Piece) -> None:
        length = sum(map(len, parts))
        self._outgoing.append(struct.pack(">I", length))
        self._outgoing.extend(parts)
        self._outgoing_bytes += 4 + length

    def _flush(self, doing: str) -> None:
        if self._ended_by is not None:  # whoever comes later learns the cause, too
            raise ProtocolViolation(self._ended_by.reason, hint=self._ended_by.hint)
        if self._over:
            raise self._lost(f"has closed the session and cannot {doing}")
        if not self._outgoing:
            return
        pieces, self._outgoing, self._outgoing_bytes = self._outgoing, [], 0
        try:
            self._stream.send(pieces)
        except TimeoutError:
            raise self._lost(f"took no more data for too long while we asked it to {doing}") from None
        except (OSError, EOFError) as error:
            self._take_last_replies(doing)
            raise self._lost(
                f"closed the connection while we asked it to {doing} ({quoted(error)})"
            ) from None

    def _take_last_replies(self, doing: str) -> None:
        """Store what the server said before it closed: what it has acknowledged need not be sent again."""
        with contextlib.suppress(TransferError, OSError, EOFError):
            while data := self._stream.recv():  # what is closed does not keep anybody waiting
                self._incoming += data
                for kind, body in self._messages_at_hand(doing):
                    self._store(kind, body)

    def _receive(self, doing: str) -> list[int]:
        """Wait for at least one reply; store all that are there and return their request ids."""
        arrived: list[int] = []
        while not arrived:
            for kind, body in (self._receive_message(doing), *self._messages_at_hand(doing)):
                request_id = self._store(kind, body)
                if request_id is not None:
                    arrived.append(request_id)
        return arrived

    def _store(self, kind: int, body: bytes) -> int | None:
        (answered,) = self._decode(">I", Reply(kind, body))
        if answered not in self._waiting:
            raise self._violation(f"answered request {answered}, which was never sent or already answered")
        self._waiting.discard(answered)
        if answered in self._abandoned:
            self._abandoned.discard(answered)
            return None
        self._arrived[answered] = Reply(kind, body[4:])
        return answered

    def _receive_message(self, doing: str) -> tuple[int, bytes]:
        self._flush(doing)
        deadline = time.monotonic() + self._reply_timeout
        while (message := self._message_at_hand(doing)) is None:
            if time.monotonic() > deadline:
                raise self._lost(f"did not finish its answer in time when asked to {doing}")
            self._incoming += self._recv(doing)
        return message

    def _messages_at_hand(self, doing: str) -> Iterator[tuple[int, bytes]]:
        while (message := self._message_at_hand(doing)) is not None:
            yield message

    def _message_at_hand(self, doing: str) -> tuple[int, bytes] | None:
        if len(self._incoming) < 4:
            return None
        length = int.from_bytes(self._incoming[:4], "big")
        if not 1 <= length <= protocol.MAX_REPLY_BYTES:
            raise self._violation(f"announced a message of {length} bytes when asked to {doing}")
        if len(self._incoming) < 4 + length:
            return None
        kind, body = self._incoming[4], bytes(self._incoming[5 : 4 + length])
        del self._incoming[: 4 + length]
        return kind, body

    def _recv(self, doing: str) -> bytes:
        try:
            data = self._stream.recv()
        except TimeoutError:
            raise self._lost(f"did not answer in time when asked to {doing}") from None
        except (OSError, EOFError) as error:
            raise self._lost(f"was lost when asked to {doing} ({quoted(error)})") from None
        if not data:
            raise self._lost(f"closed the connection when asked to {doing}")
        return data

    # Replies.

    def _ok(self, reply: Reply, doing: str) -> None:
        code, words = self._status(reply, doing)
        if code != Status.OK:
            raise self._refused(code, words, doing)

    def _handle(self, reply: Reply, doing: str) -> bytes:
        if reply.kind != Answer.HANDLE:
            self._ok(reply, doing)
            raise self._violation(f"said OK to {doing} but gave no handle")
        try:
            handle, _ = protocol.read_text(reply.payload)
        except MalformedReplyError as error:
            raise self._violation(f"sent an unreadable handle ({error})") from None
        return handle

    def _attributes(self, reply: Reply, doing: str) -> FileAttributes:
        if reply.kind != Answer.ATTRS:
            self._ok(reply, doing)
            raise self._violation(f"said OK to {doing} but gave no attributes")
        try:
            return protocol.read_attributes(reply.payload)
        except MalformedReplyError as error:
            raise self._violation(f"sent an unreadable message of type {reply.kind} ({error})") from None

    def _size(self, reply: Reply, doing: str) -> int | None:
        return self._attributes(reply, doing).size

    def _data(self, reply: Reply, doing: str) -> bytes:
        if reply.kind == Answer.DATA:
            try:
                return protocol.read_text(reply.payload)[0]
            except MalformedReplyError as error:
                raise self._violation(f"sent unreadable data ({error})") from None
        if self._status(reply, doing)[0] == Status.EOF:
            return b""
        self._ok(reply, doing)
        raise self._violation(f"said OK to {doing} but gave no data")

    def _is_there(self, reply: Reply, doing: str) -> bool:
        if reply.kind == Answer.ATTRS:
            return True
        if self._status(reply, doing)[0] in protocol.NOTHING_THERE:
            return False
        self._ok(reply, doing)
        raise self._violation(f"said OK to {doing} but gave no attributes")

    def _write_limit(self, reply: Reply, _doing: str) -> int:
        if reply.kind != Answer.EXTENDED_REPLY:
            return _SAFE_WRITE_BYTES
        _, _, max_write, _ = self._decode(">QQQQ", reply)
        # 0 means "no limit stated".
        return min(max_write, _MAX_WRITE_BYTES) if max_write >= _SMALLEST_LIMIT else _SAFE_WRITE_BYTES

    def _status(self, reply: Reply, doing: str) -> tuple[int, str]:
        if reply.kind != Answer.STATUS:
            raise self._violation(f"answered with message type {reply.kind} when asked to {doing}")
        try:
            return protocol.read_status(reply.payload)
        except MalformedReplyError as error:
            raise self._violation(f"sent an unreadable status ({error}) when asked to {doing}") from None

    def _decode(self, layout: str, reply: Reply) -> tuple[int, ...]:
        try:
            return protocol.unpack(layout, reply.payload)
        except MalformedReplyError as error:
            raise self._violation(f"sent an unreadable message of type {reply.kind} ({error})") from None

    def _refused(self, code: int, words: str, doing: str) -> RequestRefused:
        name = Status(code).name if code in set(Status) else "unknown"
        hint, disposition = advice_for(code)
        said = f", it says {quoted(words)!r}" if words else ""
        return RequestRefused(
            f"{self._server} refused to {doing}: status {code} {name}{said}.",
            hint=hint,
            code=code,
            disposition=disposition,
        )

    def _lost(self, what: str) -> ConnectionLost:
        self.close()
        return ConnectionLost(
            f"{self._server} {what}.", hint="It is tried again; ask the partner if it goes on."
        )

    def _violation(self, what: str) -> ProtocolViolation:
        self.close()
        self._ended_by = ProtocolViolation(
            f"{self._server} {what}, which SFTP version 3 does not allow.",
            hint=_NEW_CONNECTION,
        )
        return self._ended_by


class _Task(NamedTuple, Generic[T]):
    """A conversation and what it waits for."""

    place: int
    conversation: Conversation[T]
    waits_for: Any


class _Tasks(Generic[T]):
    """The conversations that are under way, by what they wait for.

    Attributes:
        on_replies: Those that wait for a reply, by request id.
        elsewhere: Those that wait for another thread.
        ended: The outcomes that nobody has taken yet.
    """

    def __init__(self) -> None:
        self.on_replies: dict[int, _Task[T]] = {}
        self.elsewhere: list[_Task[T]] = []
        self.ended: list[tuple[int, T | Exception]] = []

    def under_way(self) -> int:
        """Return how many have not ended."""
        return len(self.on_replies) + len(self.elsewhere)

    def advance(self, place: int, conversation: Conversation[T], error: Exception | None = None) -> None:
        """Let a conversation go on to its next wait, or to its end."""
        try:
            waits_for = conversation.throw(error) if error else conversation.send(None)
        except StopIteration as end:
            self.ended.append((place, end.value))
        except Exception as failure:  # noqa: BLE001 - it is the conversation's outcome
            self.ended.append((place, failure))
        else:
            talk = _Task(place, conversation, waits_for)
            if isinstance(waits_for, ExternalFuture):
                self.elsewhere.append(talk)
            else:
                self.on_replies[waits_for.id] = talk

    def reply_came(self, request_id: int) -> None:
        """Let the conversation go on that waits for this reply, if there is one."""
        if request_id in self.on_replies:
            talk = self.on_replies.pop(request_id)
            self.advance(talk.place, talk.conversation)

    def advance_external(self) -> bool:
        """Let those go on for which another thread is done; say whether there were any."""
        done = [talk for talk in self.elsewhere if talk.waits_for.future.done()]
        for talk in done:
            self.elsewhere.remove(talk)
            self.advance(talk.place, talk.conversation)
        return bool(done)

    def throw(self, error: Exception) -> None:
        """Tell those that wait for a reply that none will come. What another thread does is not touched."""
        talks, self.on_replies = list(self.on_replies.values()), {}
        for talk in talks:
            self.advance(talk.place, talk.conversation, error)

    def close(self) -> None:
        """End them all where they are."""
        for talk in (*self.on_replies.values(), *self.elsewhere):
            talk.conversation.close()


def _name_if_told(reply: Reply, _doing: str) -> str:
    """Return the first name of a NAME answer (draft-ietf-secsh-filexfer-02, section 7: count, names)."""
    if reply.kind != Answer.NAME:
        return ""
    try:
        return protocol.read_text(reply.payload, 4)[0].decode("utf-8", "replace")
    except MalformedReplyError:
        return ""


async def _result_of(pending: Pending[T]) -> T:
    return await pending


def _attributes_if_told(reply: Reply, _doing: str) -> FileAttributes | None:
    if reply.kind != Answer.ATTRS:
        return None
    try:
        return protocol.read_attributes(reply.payload)
    except MalformedReplyError:
        return None
