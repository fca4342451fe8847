"""An SFTP session over one SSH channel: requests out, replies matched to them by id.

paramiko's own `SFTPClient` is not used: in pipelined mode it never looks at the statuses of the last
writes and swallows errors of CLOSE (docs/decisions/0005-own-sftp-writer.md).
"""

import contextlib
import struct
from typing import Protocol

import paramiko

from s3_to_sftp.errors import ConnectionLost, Disposition, ProtocolViolation, RequestRefused
from s3_to_sftp.sftp import protocol
from s3_to_sftp.sftp.protocol import Answer, MalformedReplyError, Reply, Request, Status

_SAFE_WRITE_BYTES = 32 * 1024  # what every server must take: draft-ietf-secsh-filexfer-02, section 3
_MAX_WRITE_BYTES = 255 * 1024  # OpenSSH's limit less the header; larger brings nothing


class Channel(Protocol):
    """What a session needs of an SSH channel (paramiko's has it)."""

    def sendall(self, data: bytes) -> None:
        """Send all bytes, waiting for the peer's window."""

    def recv(self, nbytes: int) -> bytes:
        """Return what is there, at least a byte; empty when the peer has closed."""

    def close(self) -> None:
        """Close the channel."""


class SftpSession:
    """Speaks SFTP version 3. Not thread-safe: one delivery at a time.

    Every failed request raises; a request whose reply was not waited for is not done.

    Raises (any method):
        RequestRefused: The server answered with an error status.
        ConnectionLost: The channel ended, or was silent longer than its timeout.
        ProtocolViolation: The server's answer makes no sense.
    """

    def __init__(self, channel: Channel, *, server: str) -> None:
        self._channel = channel
        self._server = server
        self._next_id = 0
        self._received = bytearray()
        self._waiting: set[int] = set()
        self._abandoned: set[int] = set()
        self._arrived: dict[int, Reply] = {}
        self._over = False
        self._extensions = self._start()
        self.max_write_bytes = self._negotiate_write_bytes()

    def _start(self) -> dict[str, bytes]:
        self._send(struct.pack(">BI", Request.INIT, protocol.VERSION), doing="INIT")
        kind, payload = self._receive(doing="INIT")
        if kind != Answer.VERSION:
            raise self._violation(f"answered INIT with message type {kind}")
        try:
            return protocol.read_extensions(payload[4:])
        except MalformedReplyError as error:
            raise self._violation(f"sent an unreadable VERSION ({error})") from None

    def _negotiate_write_bytes(self) -> int:
        if protocol.LIMITS not in self._extensions:
            return _SAFE_WRITE_BYTES
        reply = self._ask(Request.EXTENDED, protocol.text(protocol.LIMITS), doing="ask for its limits")
        if reply.kind != Answer.EXTENDED_REPLY:
            return _SAFE_WRITE_BYTES
        _, _, max_write, _ = self._decode(">QQQQ", reply)
        # 0 means "no limit stated".
        return min(max_write, _MAX_WRITE_BYTES) if max_write else _SAFE_WRITE_BYTES

    @property
    def is_over(self) -> bool:
        """Whether it was closed, by us or by an error after which no answer could be trusted."""
        return self._over

    @property
    def renames_over_existing(self) -> bool:
        """Whether `rename` replaces an existing target atomically."""
        return protocol.POSIX_RENAME in self._extensions

    def create(self, path: str) -> bytes:
        """Open a new or emptied file for writing and return its handle.

        WRITE|CREAT|TRUNC and nothing more: object-store-backed servers refuse APPEND and READ.
        """
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_TRUNCATE
        doing = f"create {path!r}"
        reply = self._ask(Request.OPEN, protocol.text(path), struct.pack(">II", flags, 0), doing=doing)
        if reply.kind == Answer.HANDLE:
            try:
                handle, _ = protocol.read_text(reply.payload)
            except MalformedReplyError as error:
                raise self._violation(f"sent an unreadable handle ({error})") from None
            return handle
        self._expect_ok(reply, doing=doing)
        raise self._violation(f"said OK to {doing} but gave no handle")

    def send_write(self, handle: bytes, offset: int, data: bytes | memoryview) -> int:
        """Send a WRITE without waiting; return the request id for `finish_write`."""
        header = protocol.text(handle) + struct.pack(">QI", offset, len(data))
        return self._request(Request.WRITE, header, data, doing=f"write at offset {offset}")

    def finish_write(self, request_id: int, *, path: str, offset: int) -> None:
        """Wait for the status of a WRITE and insist that it is OK."""
        doing = f"write {path!r} at offset {offset}"
        self._expect_ok(self._wait(request_id, doing=doing), doing=doing)

    def abandon(self, request_id: int) -> None:
        """Forget a request whose answer no longer matters; it is thrown away when it comes."""
        self._arrived.pop(request_id, None)
        if request_id in self._waiting:
            self._abandoned.add(request_id)

    def close_file(self, handle: bytes, *, path: str) -> None:
        """Close the file; servers with an object store behind them commit it only now."""
        doing = f"close {path!r}"
        self._expect_ok(self._ask(Request.CLOSE, protocol.text(handle), doing=doing), doing=doing)

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing the target where the server can do that in one step."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {old!r} to {new!r}"
        if self.renames_over_existing:
            reply = self._ask(Request.EXTENDED, protocol.text(protocol.POSIX_RENAME), paths, doing=doing)
        else:
            reply = self._ask(Request.RENAME, paths, doing=doing)
        self._expect_ok(reply, doing=doing)

    def remove(self, path: str) -> None:
        """Remove a file."""
        doing = f"remove {path!r}"
        self._expect_ok(self._ask(Request.REMOVE, protocol.text(path), doing=doing), doing=doing)

    def make_directory(self, path: str) -> None:
        """Make one directory; its parent must exist."""
        doing = f"make the directory {path!r}"
        reply = self._ask(Request.MKDIR, protocol.text(path), struct.pack(">I", 0), doing=doing)
        self._expect_ok(reply, doing=doing)

    def exists(self, path: str) -> bool:
        """Say whether the server shows something under this name."""
        doing = f"look at {path!r}"
        reply = self._ask(Request.STAT, protocol.text(path), doing=doing)
        if reply.kind == Answer.ATTRS:
            return True
        if self._status(reply, doing=doing)[0] == Status.NO_SUCH_FILE:
            return False
        self._expect_ok(reply, doing=doing)
        raise self._violation(f"said OK to {doing} but gave no attributes")

    def ping(self) -> None:
        """Make one round trip that needs no permission: the canonical name of the start directory."""
        self._ask(Request.REALPATH, protocol.text("."), doing="answer a ping")

    def close(self) -> None:
        """End the session."""
        self._end()

    def _ask(self, kind: Request, *parts: bytes, doing: str) -> Reply:
        return self._wait(self._request(kind, *parts, doing=doing), doing=doing)

    def _request(self, kind: Request, *parts: bytes | memoryview, doing: str) -> int:
        request_id = self._next_id
        self._next_id = (request_id + 1) & 0xFFFFFFFF
        self._send(b"".join((struct.pack(">BI", kind, request_id), *parts)), doing=doing)
        self._waiting.add(request_id)
        return request_id

    def _wait(self, request_id: int, *, doing: str) -> Reply:
        while request_id not in self._arrived:
            kind, body = self._receive(doing=doing)
            (answered,) = self._decode(">I", Reply(kind, body))
            if answered not in self._waiting:
                raise self._violation(
                    f"answered request {answered}, which was never sent or already answered"
                )
            self._waiting.discard(answered)
            if answered in self._abandoned:
                self._abandoned.discard(answered)
            else:
                self._arrived[answered] = Reply(kind, body[4:])
        return self._arrived.pop(request_id)

    def _send(self, message: bytes, *, doing: str) -> None:
        if self._over:
            raise self._lost(f"has no session any more to {doing} in")
        try:
            self._channel.sendall(struct.pack(">I", len(message)) + message)
        except TimeoutError:
            raise self._lost(f"took no more data for too long while we asked it to {doing}") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._lost(
                f"closed the connection while we asked it to {doing} ({_words(error)})"
            ) from None

    def _receive(self, *, doing: str) -> tuple[int, bytes]:
        length = int.from_bytes(self._read(4, doing=doing), "big")
        if not 1 <= length <= protocol.MAX_REPLY_BYTES:
            raise self._violation(f"announced a message of {length} bytes when asked to {doing}")
        message = self._read(length, doing=doing)
        return message[0], message[1:]

    def _read(self, count: int, *, doing: str) -> bytes:
        while len(self._received) < count:
            try:
                data = self._channel.recv(64 * 1024)
            except TimeoutError:
                raise self._lost(f"did not answer in time when asked to {doing}") from None
            except (OSError, EOFError) as error:
                raise self._lost(f"was lost when asked to {doing} ({_words(error)})") from None
            if not data:
                raise self._lost(f"closed the connection when asked to {doing}")
            self._received += data
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _expect_ok(self, reply: Reply, *, doing: str) -> None:
        code, words = self._status(reply, doing=doing)
        if code != Status.OK:
            raise self._refused(code, words, doing=doing)

    def _status(self, reply: Reply, *, doing: str) -> tuple[int, str]:
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

    def _refused(self, code: int, words: str, *, doing: str) -> RequestRefused:
        name = Status(code).name if code in set(Status) else "unknown"
        hint, disposition = _ADVICE.get(code, _ADVICE[Status.FAILURE])
        said = f", it says {words!r}" if words else ""
        return RequestRefused(
            f"{self._server} refused to {doing}: status {code} {name}{said}.",
            hint=hint,
            code=code,
            disposition=disposition,
        )

    def _lost(self, what: str) -> ConnectionLost:
        self._end()
        return ConnectionLost(
            f"{self._server} {what}.", hint="It is tried again; ask the partner if it goes on."
        )

    def _violation(self, what: str) -> ProtocolViolation:
        self._end()
        return ProtocolViolation(
            f"{self._server} {what}, which SFTP version 3 does not allow.",
            hint="It is tried again on a new connection; tell the partner if it goes on.",
        )

    def _end(self) -> None:
        # Nothing more is sent after the first doubt: a clean-up must not wait for a silent server.
        self._over = True
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()  # sends a farewell, which fails where the connection is lost


_ADVICE: dict[int, tuple[str, Disposition]] = {
    Status.PERMISSION_DENIED: (
        "Ask the partner for permission to write there, or set another SSH_DIR.",
        Disposition.PERMANENT,
    ),
    Status.NO_SUCH_FILE: (
        "Check SSH_DIR; ask the partner whether the directory was removed.",
        Disposition.RETRY,
    ),
    Status.OP_UNSUPPORTED: (
        "The partner's server cannot do this; ask the partner what it supports.",
        Disposition.PERMANENT,
    ),
    Status.NO_SPACE_ON_FILESYSTEM: (
        "Ask the partner to free disk space; it is tried again.",
        Disposition.RETRY,
    ),
    Status.QUOTA_EXCEEDED: ("Ask the partner to raise the quota; it is tried again.", Disposition.RETRY),
    Status.FAILURE: (
        "Servers answer so when the disk or quota is full or a rule of theirs forbids it; it is tried again. "
        "Ask the partner if it goes on.",
        Disposition.RETRY,
    ),
}


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
