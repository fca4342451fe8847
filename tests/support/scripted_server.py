"""An SFTP server in memory at the other end of a session's stream; a script decides its replies."""

from __future__ import annotations

import stat
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from s3_to_sftp.sftp.protocol import (
    ATTR_ACMODTIME,
    ATTR_PERMISSIONS,
    ATTR_SIZE,
    LIMITS,
    OPEN_CREATE,
    OPEN_EXCLUSIVE,
    OPEN_TRUNCATE,
    POSIX_RENAME,
    Answer,
    Request,
    Status,
    read_text,
    text,
)
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending
from s3_to_sftp.ssh.stream import Piece

NOTHING = b""
"""For a script: the request is never answered."""


@dataclass(frozen=True)
class Asked:
    """One request as received; `number` counts the requests of its kind from 1 on."""

    kind: Request
    request_id: int
    payload: bytes
    number: int

    @property
    def texts(self) -> list[str]:
        """The strings at the start of the request: paths, or the name of the extension and paths."""
        count = {Request.RENAME: 2, Request.EXTENDED: 3}.get(self.kind, 1)
        texts: list[str] = []
        offset = 0
        while offset < len(self.payload) and len(texts) < count:
            raw, offset = read_text(self.payload, offset)
            texts.append(raw.decode())
        return texts


Script = Callable[[Asked], bytes | None]
"""Returns the bytes to send, or None for what a healthy server would send."""


START = 1_795_392_000
"""When the first byte is written, in seconds since 1970."""


class File(bytearray):
    """The bytes and attributes of anything but a directory.

    Attributes:
        mode: The POSIX mode, including the file type.
        modified: In seconds since 1970.
    """

    def __init__(
        self, data: bytes | bytearray = b"", *, mode: int = stat.S_IFREG | 0o644, modified: int = 0
    ) -> None:
        super().__init__(data)
        self.mode = mode
        self.modified = modified


@dataclass
class Disk:
    """Files that several connections share. Each request is atomic, as on a real disk.

    Attributes:
        files: Path -> content. One that is not a `File` is a regular file, modified in 1970.
        directories: Those that exist, including the start directory.
        now: Seconds since 1970. Every WRITE takes one.
        shows_types: Whether permissions are shown with type bits, which version 3 does not require.
    """

    files: dict[str, bytearray] = field(default_factory=dict)
    directories: set[str] = field(default_factory=lambda: {"", "/"})
    now: int = START
    shows_types: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    def has(self, path: str) -> bool:
        """Return whether a file or directory has this path."""
        return path in self.files or path in self.directories

    def move(self, old: str, new: str) -> None:
        """Rename a file, or a directory with its content."""
        if old in self.files:
            self.files[new] = self.files.pop(old)
            return
        for path in [path for path in self.files if path.startswith(f"{old}/")]:
            self.files[new + path.removeprefix(old)] = self.files.pop(path)
        moved = {path for path in self.directories if path == old or path.startswith(f"{old}/")}
        self.directories = self.directories - moved | {new + path.removeprefix(old) for path in moved}

    def entries(self, path: str) -> list[tuple[str, int]]:
        """Return names and modes of what is in a directory, in any order."""
        modes = dict.fromkeys(self.files, stat.S_IFREG | 420)
        modes |= {directory: stat.S_IFDIR | 0o755 for directory in self.directories if directory.strip("/")}
        start = f"{path.rstrip('/')}/" if path else ""
        below = {name.removeprefix(start): mode for name, mode in modes.items() if name.startswith(start)}
        return [(name, mode) for name, mode in below.items() if name and "/" not in name]

    def tick(self) -> int:
        """Advance the time by a second, and return it."""
        self.now += 1
        return self.now


class ScriptedServer:
    """A healthy server with files in memory, unless its script decides otherwise.

    Handles are numbered like those of OpenSSH: the next file reuses a closed one.

    Attributes:
        disk: The files and directories.
        asked: Every request after INIT.
        sizes: Bytes of data of each WRITE.
        turns: The kinds of the messages that the client sent before each wait.
        sends: The kinds of the messages in each send of the client.
        closed: Whether the client has closed the stream.
        broken: Raised by the stream from now on.
    """

    def __init__(
        self,
        script: Script = lambda asked: None,
        *,
        extensions: Mapping[str, bytes] | None = None,
        max_write: int = 261_120,
        version: bytes | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.disk = disk or Disk()
        self.asked: list[Asked] = []
        self.sizes: list[int] = []
        self.sends: list[list[Request]] = []
        self.turns: list[list[Request]] = []
        self.closed = False
        self.broken: Exception | None = None
        self.script = script
        self._max_write = max_write
        offered = {POSIX_RENAME: b"1", LIMITS: b"1"} if extensions is None else extensions
        self._has_limits = LIMITS in offered
        pairs = b"".join(text(name) + text(data) for name, data in offered.items())
        self._version = version or framed(Answer.VERSION, struct.pack(">I", 3) + pairs)
        self._out = bytearray()
        self._sent_since_the_last_wait = False
        self._handles: dict[str, bytearray] = {}
        self._listings: dict[str, list[tuple[str, int]]] = {}

    def session(self, expected: tuple[str, ...] | None = None) -> SftpSession:
        """Start a session, and let it learn the limits, as the first OPEN would.

        Args:
            expected: The extensions of a server that is known: its session starts with its first request.
        """
        session = SftpSession(self, server="sftp.partner.example:22", expected=expected)
        if expected is None and self._has_limits:
            session._wire.receive("state its limits")
            assert session.max_write_bytes
        return session

    @property
    def files(self) -> dict[str, bytearray]:
        """Path -> content."""
        return self.disk.files

    @property
    def directories(self) -> set[str]:
        """Those that exist, including the start directory."""
        return self.disk.directories

    def paths(self, kind: Request) -> list[list[str]]:
        """Return the strings of every request of this kind."""
        return [asked.texts for asked in self.asked if asked.kind == kind]

    @property
    def open_handles(self) -> set[str]:
        """The handles that are not closed."""
        return set(self._handles)

    def file_of(self, handle: bytes) -> bytearray:
        """Return the file that is open under this handle."""
        return self._handles[handle.decode()]

    def forget(self) -> None:
        """Clear the records."""
        self.asked, self.sizes, self.sends, self.turns = [], [], [], []
        self._sent_since_the_last_wait = False

    def say(self, data: bytes) -> None:
        """Send unrequested bytes."""
        self._out += data

    # --- the stream, as the session sees it ---

    def send(self, pieces: Sequence[Piece]) -> None:
        if self.broken:
            raise self.broken
        data = b"".join(pieces)
        kinds = []
        while data:
            length = int.from_bytes(data[:4], "big")
            assert len(data) >= 4 + length, "whole messages only"
            kinds.append(self._take(data[4 : 4 + length]))
            data = data[4 + length :]
        self.sends.append(kinds)
        if not self._sent_since_the_last_wait:
            self.turns.append([])
        self.turns[-1] += kinds
        self._sent_since_the_last_wait = True

    def recv(self) -> bytes:
        if self.broken:
            raise self.broken
        self._sent_since_the_last_wait = False
        if not self._out:
            raise TimeoutError
        data = bytes(self._out)
        self._out.clear()
        return data

    def close(self) -> None:
        self.closed = True

    def _take(self, message: bytes) -> Request:
        kind = Request(message[0])
        if kind == Request.INIT:
            self._out += self._version
            return kind
        (request_id,) = struct.unpack(">I", message[1:5])
        number = 1 + sum(asked.kind == kind for asked in self.asked)
        asked = Asked(kind, request_id, message[5:], number)
        self.asked.append(asked)
        answer = self.script(asked)
        self._out += self.healthy(asked) if answer is None else answer
        return kind

    # --- what a healthy server does ---

    def healthy(self, asked: Asked) -> bytes:
        work = getattr(self, f"_{asked.kind.name.lower()}")
        with self.disk.lock:
            answer: bytes = work(asked)
        return answer

    def _open(self, asked: Asked) -> bytes:
        (path,) = asked.texts
        (flags,) = struct.unpack_from(">I", asked.payload, 4 + len(path.encode()))
        creates = bool(flags & OPEN_CREATE)
        if path.rpartition("/")[0] not in self.directories or not (creates or path in self.files):
            return status(asked, Status.NO_SUCH_FILE)
        if path in self.directories or (flags & OPEN_EXCLUSIVE and path in self.files):
            return status(asked, Status.FAILURE)
        file = self.files.setdefault(path, File(modified=self.disk.now))
        if flags & OPEN_TRUNCATE:
            file.clear()
        return self._handle_of(asked, file)

    def _opendir(self, asked: Asked) -> bytes:
        (path,) = asked.texts
        path = "" if path == "." else path
        if path not in self.directories:
            return status(asked, Status.NO_SUCH_FILE)  # OpenSSH's status for a file, too
        answer = self._handle_of(asked, bytearray())
        handle = read_text(answer, 9)[0].decode()
        self._listings[handle] = self.disk.entries(path)
        return answer

    def _readdir(self, asked: Asked) -> bytes:
        entries = self._listings.get(asked.texts[0], [])
        now, self._listings[asked.texts[0]] = entries[:100], entries[100:]
        if not now:
            return status(asked, Status.EOF)
        shown = b"".join(
            text(name) + text(f"?--------- {name}") + struct.pack(">II", ATTR_PERMISSIONS, mode)
            for name, mode in now
        )
        return framed(Answer.NAME, struct.pack(">II", asked.request_id, len(now)) + shown)

    def _handle_of(self, asked: Asked, file: bytearray) -> bytes:
        handle = next(name for name in map(str, count()) if name not in self._handles)
        self._handles[handle] = file
        return framed(Answer.HANDLE, struct.pack(">I", asked.request_id) + text(handle))

    def _write(self, asked: Asked) -> bytes:
        raw, offset = read_text(asked.payload)
        at, length = struct.unpack_from(">QI", asked.payload, offset)
        data = asked.payload[offset + 12 :]
        assert len(data) == length
        self.sizes.append(length)
        file = self._handles.get(raw.decode())
        if file is None:
            return status(asked, Status.FAILURE)
        file.extend(bytes(max(0, at - len(file))))
        file[at : at + length] = data
        if isinstance(file, File):
            file.modified = self.disk.tick()
        return status(asked, Status.OK)

    def _read(self, asked: Asked) -> bytes:
        raw, offset = read_text(asked.payload)
        at, length = struct.unpack_from(">QI", asked.payload, offset)
        file = self._handles.get(raw.decode())
        if file is None:
            return status(asked, Status.FAILURE)
        data = bytes(file[at : at + length])
        if not data:
            return status(asked, Status.EOF)
        return framed(Answer.DATA, struct.pack(">I", asked.request_id) + text(data))

    def _close(self, asked: Asked) -> bytes:
        known = self._handles.pop(asked.texts[0], None)
        return status(asked, Status.FAILURE if known is None else Status.OK)

    def _remove(self, asked: Asked) -> bytes:
        if asked.texts[0] in self.directories:
            return status(asked, Status.FAILURE)
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
        if self.disk.has(new):
            return status(asked, Status.FAILURE)
        return self._moved(asked, old, new)

    def _moved(self, asked: Asked, old: str, new: str) -> bytes:
        if not self.disk.has(old) or new.rpartition("/")[0] not in self.directories:
            return status(asked, Status.NO_SUCH_FILE)
        self.disk.move(old, new)
        return status(asked, Status.OK)

    def _stat(self, asked: Asked) -> bytes:
        (path,) = asked.texts
        if path in self.directories:
            return self._attributes(asked, File(mode=stat.S_IFDIR | 0o755))
        if path not in self.files:
            return status(asked, Status.NO_SUCH_FILE)
        return self._attributes(asked, self.files[path])

    _lstat = _stat

    def _setstat(self, asked: Asked) -> bytes:
        (path,) = asked.texts
        if path not in self.files:
            return status(asked, Status.NO_SUCH_FILE)
        file = self.files[path]
        if not isinstance(file, File):
            file = self.files[path] = File(file)
        offset = 4 + len(path.encode())
        (flags,) = struct.unpack_from(">I", asked.payload, offset)
        offset += 4
        if flags & ATTR_PERMISSIONS:
            (mode,) = struct.unpack_from(">I", asked.payload, offset)
            file.mode = stat.S_IFMT(file.mode) | mode
            offset += 4
        if flags & ATTR_ACMODTIME:
            _, file.modified = struct.unpack_from(">II", asked.payload, offset)
        return status(asked, Status.OK)

    def _fstat(self, asked: Asked) -> bytes:
        file = self._handles.get(asked.texts[0])
        return status(asked, Status.FAILURE) if file is None else self._attributes(asked, file)

    def _attributes(self, asked: Asked, file: bytearray) -> bytes:
        shown = file if isinstance(file, File) else File(file)
        mode = shown.mode if self.disk.shows_types else stat.S_IMODE(shown.mode)
        return attributes(asked, size=len(shown), mode=mode, modified=shown.modified)

    def _realpath(self, asked: Asked) -> bytes:
        return framed(Answer.NAME, struct.pack(">II", asked.request_id, 1) + text("/") * 2 + bytes(4))

    def _extended(self, asked: Asked) -> bytes:
        name, *paths = asked.texts
        if name == LIMITS:
            limits = struct.pack(">IQQQQ", asked.request_id, 262_144, 261_120, self._max_write, 0)
            return (
                framed(Answer.EXTENDED_REPLY, limits)
                if self._has_limits
                else status(asked, Status.OP_UNSUPPORTED)
            )
        old, new = paths
        if new in self.directories:
            return status(asked, Status.FAILURE)
        return self._moved(asked, old, new)


T = TypeVar("T")


def result_of(session: SftpSession, pending: Pending[T]) -> T:
    """Wait for the reply to one request, alone."""

    async def conversation() -> T:
        return await pending

    return session.run_one(conversation())


def assert_nothing_pending(session: SftpSession) -> None:
    """Assert that the session remembers no request and no reply."""
    wire = session._wire
    assert (wire._waiting, wire._arrived, wire._abandoned) == (set(), {}, set())


def framed(kind: int, body: bytes) -> bytes:
    """Return a message with its length in front."""
    return struct.pack(">IB", len(body) + 1, kind) + body


def status(asked: Asked | int, code: int, words: str | None = "said the partner") -> bytes:
    """Return a STATUS reply; without `words` as servers older than version 3 send it."""
    request_id = asked if isinstance(asked, int) else asked.request_id
    said = b"" if words is None else text(words) + text("en")
    return framed(Answer.STATUS, struct.pack(">II", request_id, code) + said)


def attributes(
    asked: Asked, *, size: int | None = None, mode: int | None = None, modified: int | None = None
) -> bytes:
    """Return an ATTRS reply with the given attributes."""
    flags, shown = 0, b""
    if size is not None:
        flags, shown = flags | ATTR_SIZE, shown + struct.pack(">Q", size)
    if mode is not None:
        flags, shown = flags | ATTR_PERMISSIONS, shown + struct.pack(">I", mode)
    if modified is not None:
        flags, shown = flags | ATTR_ACMODTIME, shown + struct.pack(">II", modified, modified)
    return framed(Answer.ATTRS, struct.pack(">II", asked.request_id, flags) + shown)


def is_rename(asked: Asked) -> bool:
    """Return whether the request is a RENAME, plain or posix-rename."""
    return asked.kind == Request.RENAME or (asked.kind == Request.EXTENDED and asked.texts[0] == POSIX_RENAME)


def renamed(asked: Asked) -> tuple[str, str]:
    """Return the old and the new name of a RENAME, plain or posix-rename."""
    old, new = asked.texts[-2:]
    return old, new


def one_of(*scripts: Script) -> Script:
    """Script: the reply of the first script that returns one."""

    def script(asked: Asked) -> bytes | None:
        return next((answer for each in scripts if (answer := each(asked)) is not None), None)

    return script


@dataclass
class Hanging:
    """Script: a process at the partner hangs in a request, which is never answered.

    Attributes:
        is_due: Which requests hang.
        disk: Where `wakes_up` executes them.
    """

    is_due: Callable[[Asked], bool]
    disk: Disk
    hung: list[Asked] = field(default_factory=list)

    def __call__(self, asked: Asked) -> bytes | None:
        if not self.is_due(asked):
            return None
        self.hung.append(asked)
        return NOTHING

    def wakes_up(self) -> None:
        """Execute the hanging requests, as far as that is still possible."""
        assert self.hung, "nothing hung"
        for asked in self.hung:
            ScriptedServer(disk=self.disk).healthy(asked)


def refusing(kind: Request, code: int = Status.FAILURE, *, number: int | None = None) -> Script:
    """Script: request `number` of this kind (None: each one) is refused and not executed."""

    def script(asked: Asked) -> bytes | None:
        due = asked.kind == kind and number in {None, asked.number}
        return status(asked, code) if due else None

    return script


def silent_at(kind: Request, *, number: int = 1) -> Script:
    """Script: request `number` of this kind is never answered."""
    return lambda asked: NOTHING if (asked.kind, asked.number) == (kind, number) else None


def after_start(script: Script) -> Script:
    """Script: like `script`, but the limits request at the start is answered normally."""
    return lambda asked: None if asked.kind == Request.EXTENDED and asked.number == 1 else script(asked)
