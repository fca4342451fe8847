"""The messages of SFTP on a stream: requests are queued and sent together, replies matched to them by id."""

import contextlib
import struct
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

from s3_to_sftp.diagnosis import lost_connection
from s3_to_sftp.diagnosis.lost_connection import Traffic
from s3_to_sftp.diagnosis.requests import refused
from s3_to_sftp.diagnosis.server_messages import Ending
from s3_to_sftp.errors import ConnectionLost, ProtocolViolation, TransferError
from s3_to_sftp.sftp import protocol
from s3_to_sftp.sftp.protocol import ErrorStatusError, MalformedReplyError, Reply, Request
from s3_to_sftp.ssh.stream import Piece, Stream
from s3_to_sftp.untrusted_text import quoted

T = TypeVar("T")

_RETRIED = "It will be retried; ask the partner if it persists."

SEND_AT_BYTES = 128 * 1024
"""Requests are queued up to this size, or until all tasks wait."""


class Pending(Generic[T]):
    """A request that was sent. Await it for its result; it raises when the server refused it."""

    __slots__ = ("_decode", "_wire", "doing", "id", "request")

    def __init__(
        self,
        wire: "Wire",
        request_id: int,
        doing: str,
        decode: Callable[[Reply, str], T],
        request: str,
    ) -> None:
        self.id = request_id
        self.doing = doing
        self.request = request
        self._wire = wire
        self._decode = decode

    def __await__(self) -> Generator["Pending[Any]", None, T]:
        """Wait for the reply.

        Raises:
            RequestRefused: The server answered with an error status.
            ProtocolViolation: The server's answer breaks the protocol.
        """
        reply = self._wire.take_reply(self.id)
        while reply is None:
            yield self
            reply = self._wire.take_reply(self.id)
        return self.decode(reply)

    def take(self) -> bool:
        """Return whether the reply has arrived, without waiting for it, also when the session is closed.

        Raises:
            RequestRefused, ProtocolViolation: As `decode`.
        """
        reply = self._wire.take_reply(self.id)
        if reply is not None:
            self.decode(reply)
        return reply is not None

    def decode(self, reply: Reply) -> T:
        """Return the result in the reply, or raise the error in it."""
        try:
            return self._decode(reply, self.doing)
        except ErrorStatusError as status:
            raise refused(
                server=self._wire.server,
                request=self.request,
                doing=self.doing,
                code=status.code,
                words=status.words,
            ) from None


class Wire:
    """One SFTP version 3 connection, below the meaning of its messages. Belongs to one thread.

    Attributes:
        server: Its name in errors.
        is_closed: Whether it was closed, by us or by an error after which no answer can be trusted.
        incoming: What has been received and is not a whole message yet.
        greeting: Takes type and body of the first message; None where that was received.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        server: str,
        reply_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without sending anything.

        Args:
            stream: To the server's SFTP subsystem; has a timeout of its own for each read and write.
            server: Its name in errors.
            reply_timeout: Seconds for the whole of one reply, so that a server that sends it byte by byte
                blocks nobody. Checked when bytes arrive: with the stream's timeout, twice as long at most.
            clock: Returns seconds for `reply_timeout`.
        """
        self.server = server
        self.is_closed = False
        self.incoming = bytearray()
        self.greeting: Callable[[int, bytes], None] | None = None
        self._stream = stream
        self._reply_timeout = reply_timeout
        self._clock = clock
        self._next_id = 0
        self._outgoing: list[Piece] = []
        self._outgoing_bytes = 0
        self._waiting: set[int] = set()
        self._abandoned: set[int] = set()
        self._arrived: dict[int, Reply] = {}
        self._ended_by: ProtocolViolation | None = None
        self._last_traffic = clock()
        self.traffic = Traffic()
        """What has gone over it."""

    def request(
        self,
        kind: Request,
        *parts: Piece,
        doing: str,
        decode: Callable[[Reply, str], T],
        request: str | None = None,
    ) -> Pending[T]:
        """Queue a request; it is sent with the next flush.

        Args:
            kind: Its type.
            parts: What follows the request id.
            doing: What it asks for, in errors.
            decode: Returns the result in its reply.
            request: The name of the request in errors; that of its type by default.
        """
        request_id = self._next_id
        self._next_id = (request_id + 1) & 0xFFFFFFFF
        self.collect(struct.pack(">BI", kind, request_id), *parts)
        self._waiting.add(request_id)
        if self._outgoing_bytes >= SEND_AT_BYTES:
            self.flush(doing)
        return Pending(self, request_id, doing, decode, request or kind.name.lower())

    def collect(self, *parts: Piece) -> None:
        """Queue a message."""
        length = sum(map(len, parts))
        self._outgoing.append(struct.pack(">I", length))
        self._outgoing.extend(parts)
        self._outgoing_bytes += 4 + length

    def flush(self, doing: str) -> None:
        """Send what is queued."""
        if self._ended_by is not None:  # later requests fail with the cause, too
            raise ProtocolViolation(self._ended_by.reason, hint=self._ended_by.hint)
        if self.is_closed:
            raise ConnectionLost(f"{self.server} has closed the session and cannot {doing}.", hint=_RETRIED)
        if not self._outgoing:
            return
        pieces, self._outgoing, self._outgoing_bytes = self._outgoing, [], 0
        self._note_pause()
        try:
            self._stream.send(pieces)
        except TimeoutError:
            what = f"took no more data for too long while we asked it to {doing}"
            raise self._lost(what, Ending.SILENT) from None
        except (OSError, EOFError) as error:
            self._take_last_replies(doing)
            what = f"closed the connection while we asked it to {doing}"
            raise self._lost(what, Ending.CLOSED, error) from None

    def _take_last_replies(self, doing: str) -> None:
        """Store what the server sent before it closed: what it acknowledged need not be sent again."""
        with contextlib.suppress(TransferError, OSError, EOFError):
            while data := self._stream.recv():  # a closed stream does not block
                self.incoming += data
                for kind, body in self._messages_at_hand(doing):
                    self._store(kind, body)

    def receive(self, doing: str) -> list[int]:
        """Wait for at least one reply; store all that are there and return their request ids."""
        arrived: list[int] = []
        while not arrived:
            for kind, body in (self.receive_message(doing), *self._messages_at_hand(doing)):
                request_id = self._store(kind, body)
                if request_id is not None:
                    arrived.append(request_id)
        return arrived

    def _store(self, kind: int, body: bytes) -> int | None:
        if self.greeting is not None:
            greet, self.greeting = self.greeting, None
            greet(kind, body)
            return None
        try:
            (answered,) = protocol.unpack(">I", body)
        except MalformedReplyError as error:
            raise self.violation(f"sent an unreadable message of type {kind} ({error})") from None
        if answered not in self._waiting:
            raise self.violation(f"answered request {answered}, which was never sent or already answered")
        self._waiting.discard(answered)
        if answered in self._abandoned:
            self._abandoned.discard(answered)
            return None
        self._arrived[answered] = Reply(kind, body[4:])
        return answered

    def receive_message(self, doing: str) -> tuple[int, bytes]:
        """Send what is queued, and return type and body of the next message."""
        self.flush(doing)
        deadline = self._clock() + self._reply_timeout
        while (message := self._message_at_hand(doing)) is None:
            if self._clock() > deadline:
                raise self._lost(f"did not finish its answer in time when asked to {doing}", Ending.SILENT)
            self.incoming += self._recv(doing)
        return message

    def _messages_at_hand(self, doing: str) -> Iterator[tuple[int, bytes]]:
        while (message := self._message_at_hand(doing)) is not None:
            yield message

    def _message_at_hand(self, doing: str) -> tuple[int, bytes] | None:
        if len(self.incoming) < 4:
            return None
        length = int.from_bytes(self.incoming[:4], "big")
        if not 1 <= length <= protocol.MAX_REPLY_BYTES:
            raise self.violation(f"announced a message of {length} bytes when asked to {doing}")
        if len(self.incoming) < 4 + length:
            return None
        kind, body = self.incoming[4], bytes(self.incoming[5 : 4 + length])
        del self.incoming[: 4 + length]
        return kind, body

    def _recv(self, doing: str) -> bytes:
        try:
            data = self._stream.recv()
        except TimeoutError:
            raise self._lost(f"did not answer in time when asked to {doing}", Ending.SILENT) from None
        except (OSError, EOFError) as error:
            raise self._lost(f"was lost when asked to {doing}", Ending.RESET, error) from None
        if not data:
            raise self._lost(f"closed the connection when asked to {doing}", Ending.CLOSED)
        self.traffic.idle, self._last_traffic = 0.0, self._clock()
        return data

    def _note_pause(self) -> None:
        """Remember how long nothing was sent or received until now."""
        now = self._clock()
        self.traffic.idle = max(self.traffic.idle, now - self._last_traffic)
        self._last_traffic = now

    def take_reply(self, request_id: int) -> Reply | None:
        """Return the reply to a request, once, or None while it has not arrived."""
        return self._arrived.pop(request_id, None)

    def abandon(self, pending: Pending[Any]) -> None:
        """Forget a request whose answer no longer matters; it is dropped when it arrives."""
        self._arrived.pop(pending.id, None)
        if pending.id in self._waiting:
            self._abandoned.add(pending.id)

    def close(self) -> None:
        """End the session."""
        # Nothing is sent after the first doubt: a clean-up must not wait for a silent server.
        self.is_closed = True
        self._stream.close()

    def _lost(self, what: str, ending: Ending, error: BaseException | None = None) -> ConnectionLost:
        """Close, and return the error for it."""
        self.close()
        why = quoted(error) if error else ""
        what = f"{what} ({why})" if why else what
        if self._next_id and self.greeting is None:
            return lost_connection.lost(what, ending, self.traffic, server=self.server, why=why)
        # SFTP has not started: that has causes of its own.
        lost = ConnectionLost(f"{self.server} {what}.", hint=_RETRIED)
        lost.silent = ending is Ending.SILENT
        return lost

    def violation(self, what: str) -> ProtocolViolation:
        """Close, and return the error for it, which every later request raises, too."""
        self.close()
        self._ended_by = ProtocolViolation(
            f"{self.server} {what}, which SFTP version 3 does not allow.",
            hint="It will be retried on a new connection; tell the partner if it persists.",
        )
        return self._ended_by
