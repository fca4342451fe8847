"""An SFTP server in memory that answers as a test tells it to, on the other end of a session's channel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Answer, Request, Status, read_text, text
from s3_to_sftp.sftp.session import SftpSession

NOTHING = b""
"""For a script: the request is never answered."""


@dataclass(frozen=True)
class Asked:
    """One request as it came: `number` counts the requests of its kind from 1 on."""

    kind: Request
    request_id: int
    payload: bytes
    number: int

    @property
    def texts(self) -> list[str]:
        """The strings that the request begins with: paths, or the name of the extension and paths."""
        count = {Request.RENAME: 2, Request.EXTENDED: 3}.get(self.kind, 1)
        texts: list[str] = []
        offset = 0
        while offset < len(self.payload) and len(texts) < count:
            raw, offset = read_text(self.payload, offset)
            texts.append(raw.decode())
        return texts


Script = Callable[[Asked], bytes | None]
"""Returns the bytes to send, or None for what a healthy server would send."""


class ScriptedServer:
    """A healthy server with files in memory, as far as the script does not say otherwise.

    Attributes:
        files: What stands where.
        directories: Those that exist besides the start directory.
        asked: Every request after INIT.
        sizes: Bytes of data of each WRITE.
        closed: Whether the client has closed the channel.
    """

    def __init__(
        self,
        script: Script = lambda asked: None,
        *,
        extensions: Mapping[str, bytes] | None = None,
        max_write: int = 261_120,
        version: bytes | None = None,
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.directories: set[str] = {"", "/"}
        self.asked: list[Asked] = []
        self.sizes: list[int] = []
        self.closed = False
        self.broken: Exception | None = None
        self._script = script
        self._max_write = max_write
        offered = {POSIX_RENAME: b"1", LIMITS: b"1"} if extensions is None else extensions
        pairs = b"".join(text(name) + text(data) for name, data in offered.items())
        self._version = version or framed(Answer.VERSION, struct.pack(">I", 3) + pairs)
        self._out = bytearray()
        self._handles: dict[str, str] = {}

    def session(self) -> SftpSession:
        """Start a session with it."""
        return SftpSession(self, server="sftp.partner.example:22")

    def paths(self, kind: Request) -> list[list[str]]:
        """The strings of every request of this kind."""
        return [asked.texts for asked in self.asked if asked.kind == kind]

    def say(self, data: bytes) -> None:
        """Send bytes that nobody asked for."""
        self._out += data

    # --- the channel, as the session sees it ---

    def sendall(self, data: bytes) -> None:
        if self.broken:
            raise self.broken
        assert int.from_bytes(data[:4], "big") == len(data) - 4, "one whole message in one piece"
        kind = Request(data[4])
        if kind == Request.INIT:
            self._out += self._version
            return
        (request_id,) = struct.unpack(">I", data[5:9])
        number = 1 + sum(asked.kind == kind for asked in self.asked)
        asked = Asked(kind, request_id, data[9:], number)
        self.asked.append(asked)
        answer = self._script(asked)
        self._out += self.healthy(asked) if answer is None else answer

    def recv(self, nbytes: int) -> bytes:
        if self.broken:
            raise self.broken
        if not self._out:
            raise TimeoutError
        data = bytes(self._out[:nbytes])
        del self._out[:nbytes]
        return data

    def close(self) -> None:
        self.closed = True

    # --- what a healthy server does ---

    def healthy(self, asked: Asked) -> bytes:
        work = getattr(self, f"_{asked.kind.name.lower()}")
        answer: bytes = work(asked)
        return answer

    def _open(self, asked: Asked) -> bytes:
        (path,) = asked.texts
        if path.rpartition("/")[0] not in self.directories:
            return status(asked, Status.NO_SUCH_FILE)
        handle = f"handle {len(self._handles)}"
        self._handles[handle] = path
        self.files[path] = b""
        return framed(Answer.HANDLE, struct.pack(">I", asked.request_id) + text(handle))

    def _write(self, asked: Asked) -> bytes:
        raw, offset = read_text(asked.payload)
        at, length = struct.unpack_from(">QI", asked.payload, offset)
        data = asked.payload[offset + 12 :]
        assert len(data) == length
        self.sizes.append(length)
        path = self._handles[raw.decode()]
        old = self.files[path].ljust(at, b"\0")
        self.files[path] = old[:at] + data + old[at + length :]
        return status(asked, Status.OK)

    def _close(self, asked: Asked) -> bytes:
        known = self._handles.pop(asked.texts[0], None)
        return status(asked, Status.FAILURE if known is None else Status.OK)

    def _remove(self, asked: Asked) -> bytes:
        gone = self.files.pop(asked.texts[0], None)
        return status(asked, Status.NO_SUCH_FILE if gone is None else Status.OK)

    def _mkdir(self, asked: Asked) -> bytes:
        (path,) = asked.texts
        if path in self.directories:
            return status(asked, Status.FAILURE)
        if path.rpartition("/")[0] not in self.directories:
            return status(asked, Status.NO_SUCH_FILE)
        self.directories.add(path)
        return status(asked, Status.OK)

    def _rename(self, asked: Asked) -> bytes:
        old, new = asked.texts
        if new in self.files:
            return status(asked, Status.FAILURE)
        self.files[new] = self.files.pop(old)
        return status(asked, Status.OK)

    def _stat(self, asked: Asked) -> bytes:
        if asked.texts[0] not in self.files:
            return status(asked, Status.NO_SUCH_FILE)
        return framed(Answer.ATTRS, struct.pack(">II", asked.request_id, 0))

    def _realpath(self, asked: Asked) -> bytes:
        return framed(Answer.NAME, struct.pack(">II", asked.request_id, 1) + text("/") * 2 + bytes(4))

    def _extended(self, asked: Asked) -> bytes:
        name, *paths = asked.texts if POSIX_RENAME.encode() in asked.payload else [LIMITS]
        if name == LIMITS:
            limits = struct.pack(">IQQQQ", asked.request_id, 262_144, 261_120, self._max_write, 0)
            return framed(Answer.EXTENDED_REPLY, limits)
        old, new = paths
        self.files[new] = self.files.pop(old)
        return status(asked, Status.OK)


def framed(kind: int, body: bytes) -> bytes:
    """A message with its length."""
    return struct.pack(">IB", len(body) + 1, kind) + body


def status(asked: Asked | int, code: int, words: str | None = "said the partner") -> bytes:
    """A STATUS answer; without words as servers older than version 3 send it."""
    request_id = asked if isinstance(asked, int) else asked.request_id
    said = b"" if words is None else text(words) + text("en")
    return framed(Answer.STATUS, struct.pack(">II", request_id, code) + said)


def refusing(kind: Request, code: int = Status.FAILURE, *, number: int | None = None) -> Script:
    """Script: request `number` of this kind (None: each one) is refused and not done."""

    def script(asked: Asked) -> bytes | None:
        due = asked.kind == kind and number in {None, asked.number}
        return status(asked, code) if due else None

    return script


def silent_at(kind: Request, *, number: int = 1) -> Script:
    """Script: request `number` of this kind is never answered."""
    return lambda asked: NOTHING if (asked.kind, asked.number) == (kind, number) else None
