"""A partner whose disk is a dictionary, and whose every answer may be lost, late, or a refusal.

The conversations of the product run on it as they are: `ModelSession` stands in for the SFTP session.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from s3_to_sftp.errors import CheckpointLost, ConnectionLost, Disposition, RequestRefused
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import FileAttributes, Status
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.sftp.upload_request import UploadRequest

T = TypeVar("T")
THEIRS = b"theirs"
BLOCK_BYTES = 2
_SECONDS = itertools.count(1)


class Violation(BaseException):
    """What must not happen has happened. No product code catches it."""


def check(holds: object, claim: str) -> None:
    if not holds:
        raise Violation(claim)


@dataclass
class File:
    """A file at the partner.

    Attributes:
        version: Whose bytes it holds; None for the partner's own, and for empty ones that only block a name.
    """

    data: bytes
    modified: int
    version: ObjectRef | None = None


@dataclass(frozen=True)
class PendingRename:
    """A RENAME that hangs in a process at the partner."""

    version: ObjectRef
    old: str
    new: str
    replaces: bool


@dataclass
class Landed:
    """A file that got a final name."""

    version: ObjectRef
    path: str


@dataclass
class Server:
    """One server.

    Attributes:
        landed: On this disk, in this order.
        fingerprints: All host keys that it has had with this disk.
        disks: The fingerprints, and what has landed, of every disk that it has had.
        deleted_blockers: Empty files that kept a delayed RENAME from happening, and that the partner deleted.
        just_shown: The name that a STAT has shown, if that was the last request.
    """

    identity: ServerIdentity
    contents: dict[ObjectRef, bytes]
    on_landing: Callable[[Server, Landed], None]
    on_late_aside: Callable[[ObjectRef, File], None]
    files: dict[str, File] = field(default_factory=dict)
    pending: list[PendingRename] = field(default_factory=list)
    landed: list[Landed] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)
    disks: list[tuple[list[str], list[Landed]]] = field(init=False)
    replaces: bool = True
    shows: bool = True
    refuses_rename: bool = False
    refuses_remove: bool = False
    deleted_blockers: set[str] = field(default_factory=set)
    just_shown: str = ""

    def __post_init__(self) -> None:
        self.disks = [(self.fingerprints, self.landed)]

    def now(self) -> int:
        return next(_SECONDS)  # no two files are of the same second

    # What happens there without being asked for

    def is_exchanged(self) -> None:
        """Another machine has the address, with nothing on it."""
        self.files, self.pending = {}, []
        self.fingerprints, self.landed = [], []
        self.disks.append((self.fingerprints, self.landed))
        self.gets_new_key()

    def gets_new_key(self) -> None:
        number = int(self.identity.host_key.rpartition("-")[2]) + 1
        key = f"{self.identity.host_key.rpartition('-')[0]}-{number}"
        self.identity = replace(self.identity, host_key=key)
        self.fingerprints.append(key)

    def loses_power(self) -> None:
        """The newest file loses its tail; whatever hung is dead.

        Not where nothing is shown: such a file is indistinguishable from a complete one.
        """
        self.pending = []
        files = [file for file in self.files.values() if file.version is not None]
        if files and self.shows:
            newest = max(files, key=lambda file: file.modified)
            newest.data = newest.data[:BLOCK_BYTES]

    def tidies_up(self) -> None:
        """Somebody removes whatever looks temporary."""
        self.deleted_blockers |= {
            name for name, file in self.files.items() if name.endswith(".old") and not file.data
        }
        self.files = {name: file for name, file in self.files.items() if ".part" not in name}

    def collects(self) -> None:
        self.files = {name: file for name, file in self.files.items() if ".part" in name}

    def wakes_up(self) -> None:
        """A process that hung carries out its RENAME."""
        if self.pending:
            late = self.pending.pop(0)
            if late.old in self.files and (late.replaces or late.new not in self.files):
                # Where the partner has deleted what was in its way, nothing is left that could stop it.
                if late.new.endswith(".old") and late.new not in self.deleted_blockers:
                    self.on_late_aside(late.version, self.files[late.old])
                self.move(late.old, late.new)

    def move(self, old: str, new: str) -> None:
        file = self.files.pop(old)
        self.files[new] = file
        if ".part" not in new and ".part" in old and not old.endswith(".old"):
            assert file.version is not None
            check(file.data == self.contents[file.version], f"half a file of {file.version} was renamed")
            landed = Landed(file.version, new)
            self.landed.append(landed)
            self.on_landing(self, landed)

    def shows_nothing(self) -> None:
        self.shows = False
        self.files = {
            name: file
            for name, file in self.files.items()
            if file.version is None or file.data == self.contents[file.version]
        }

    # Requests

    def rename(self, old: str, new: str, *, replaces: bool) -> None:
        self.just_shown = ""
        if self.refuses_rename:
            raise refusal(Status.PERMISSION_DENIED, "rename")
        if old not in self.files:
            raise refusal(Status.NO_SUCH_FILE, "rename")
        if new in self.files and not replaces:
            raise refusal(Status.FAILURE, "rename")
        self.move(old, new)

    def remove(self, name: str) -> None:
        just_shown, self.just_shown = self.just_shown, ""
        if self.refuses_remove:
            raise refusal(Status.PERMISSION_DENIED, "remove")
        if name not in self.files:
            raise refusal(Status.NO_SUCH_FILE, "remove")
        file = self.files.pop(name)
        if name.endswith(".old") and file.data:
            path = "/".join([*name.split("/")[:-1], "a.csv"]).lstrip("/")
            # The partner may collect the new file in the moment between the STAT and the REMOVE.
            is_seen = path in self.files or just_shown == path
            check(is_seen, "the partner's old file is removed, and no other has its name")

    def create(self, name: str, version: ObjectRef | None, *, exclusively: bool) -> bytes:
        self.just_shown = ""
        if exclusively and name in self.files:
            raise refusal(Status.FAILURE, "create")
        self.files[name] = File(b"", self.now(), version)
        return name.encode()

    def open_existing(self, name: str) -> bytes:
        self.just_shown = ""
        if name not in self.files:
            raise refusal(Status.NO_SUCH_FILE, "open")
        return name.encode()

    def write(self, name: str, offset: int, data: bytes) -> None:
        self.just_shown = ""
        if file := self.files.get(name):
            file.data = file.data[:offset].ljust(offset, b"\0") + data + file.data[offset + len(data) :]
            file.modified = self.now()

    def attributes(self, name: str) -> FileAttributes:
        self.just_shown = ""
        if not self.shows:
            raise refusal(Status.PERMISSION_DENIED, "stat")
        if name not in self.files:
            raise refusal(Status.NO_SUCH_FILE, "stat")
        self.just_shown = name
        file = self.files[name]
        return FileAttributes(size=len(file.data), mtime=file.modified, permissions=0o100644)


def refusal(code: Status, request: str) -> RequestRefused:
    return RequestRefused("No.", hint="", code=code, disposition=Disposition.RETRY, request=request)


class Answer(Generic[T]):
    """A request that is worked on when it is awaited."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()
        return self._work()

    def take(self) -> bool:
        """It was lost with the connection."""
        return False


Gate = Callable[[str, Callable[[], T], Callable[[], None]], T]
"""Carries out a request, or lets it meet a fault: its name, the work, what a process that hangs will do."""


class ModelSession:
    """What the product's conversations need of an SFTP session."""

    max_write_bytes = BLOCK_BYTES
    server = "partner"
    directories: tuple[str, ...] = ()
    pace = None

    def require_valid_name(self, path: str) -> None:
        """Every name is a file of its own."""

    def __init__(self, server: Server, version: ObjectRef, gate: Gate[Any]) -> None:
        self._server = server
        self._version = version
        self._gate = gate

    def run_one(self, conversation: Any) -> Any:
        try:
            conversation.send(None)
        except StopIteration as stop:
            return stop.value
        raise AssertionError("nothing here is waited for")

    def run(self, conversations: Iterable[Any], *, at_a_time: object) -> Iterator[tuple[int, Any]]:
        del at_a_time
        for place, conversation in enumerate(conversations):
            outcome: Any
            try:
                outcome = self.run_one(conversation)
            except Exception as error:  # noqa: BLE001 - as the real one
                outcome = error
            yield place, outcome

    def abandon(self, pending: object) -> None:
        """Nothing is under way."""

    def create(self, path: str) -> Awaitable[bytes]:
        return self._ask("create", lambda: self._server.create(path, self._version, exclusively=False))

    def create_exclusively(self, path: str) -> Awaitable[bytes]:
        return self._ask("create", lambda: self._server.create(path, None, exclusively=True))

    def open_existing(self, path: str) -> Awaitable[bytes]:
        return self._ask("open", lambda: self._server.open_existing(path))

    def write(self, handle: bytes, offset: int, data: Any, *, path: str) -> Awaitable[None]:
        del handle
        block = bytes(data)
        return self._ask("write", lambda: self._server.write(path, offset, block))

    def fstat(self, handle: bytes, *, path: str) -> Awaitable[FileAttributes | None]:
        del handle
        return self._ask("fstat", lambda: self._seen(path))

    def close_file(self, handle: bytes, *, path: str) -> Awaitable[None]:
        del handle, path
        return self._ask("close", lambda: None)

    def make_directory(self, path: str) -> Awaitable[None]:
        return self._ask("mkdir", lambda: None)

    def stat(self, path: str) -> Awaitable[FileAttributes]:
        return self.lstat(path)

    def lstat(self, path: str) -> Awaitable[FileAttributes]:
        return self._ask("stat", lambda: self._server.attributes(path))

    def rename(self, old: str, new: str) -> Awaitable[None]:
        return self._rename(old, new, replaces=self._server.replaces)

    def rename_without_replacing(self, old: str, new: str) -> Awaitable[None]:
        return self._rename(old, new, replaces=False)

    def remove(self, path: str) -> Awaitable[None]:
        return self._ask("remove", lambda: self._server.remove(path))

    def _rename(self, old: str, new: str, *, replaces: bool) -> Awaitable[None]:
        late = PendingRename(self._version, old, new, replaces)
        return self._ask(
            "rename",
            lambda: self._server.rename(old, new, replaces=replaces),
            lambda: self._server.pending.append(late),
        )

    def _seen(self, path: str) -> FileAttributes | None:
        try:
            return self._server.attributes(path)
        except RequestRefused:
            return None

    def _ask(self, name: str, work: Callable[[], T], hang: Callable[[], None] = lambda: None) -> Answer[T]:
        return Answer(lambda: self._gate(name, work, hang))


class ModelPool:
    """One connection to one server."""

    reused = False
    is_windows = False

    def __init__(self, server: Server, session: ModelSession) -> None:
        self._server = server
        self.session = session

    def first(self) -> ModelPool:
        return self

    def touch(self, number: int) -> None:
        """It does not age."""

    @property
    def identity(self) -> ServerIdentity:
        return self._server.identity

    @property
    def account(self) -> str:
        return self._server.identity.account

    @property
    def host_key_fingerprint(self) -> str:
        return self._server.identity.host_key


class ModelPartner(SftpClient):
    """The product's client on such a connection; large files take one stream."""

    def __init__(self, server: Server, version: ObjectRef, gate: Gate[Any]) -> None:
        self._pool: Any = ModelPool(server, ModelSession(server, version, gate))
        self._clock = time.monotonic
        self._limits = {}
        self._known = None
        self._pace = None

    def supports_resume(self, temporary: str) -> bool:
        del temporary
        return True

    def upload(self, request: UploadRequest) -> Staged:
        session: Any = self._pool.session
        staged: Staged = session.run_one(
            _send(session, request.source, request.temporary, request.start, request.stop)
        )
        return staged


async def _send(session: Any, source: Any, temporary: str, start: int, pause: Callable[[], bool]) -> Staged:
    if start:
        try:
            handle = await session.open_existing(temporary)
        except RequestRefused as refused:
            raise CheckpointLost(refused.reason, hint="") from None
        seen = await session.fstat(handle, path=temporary)
        if seen is not None and seen.size < start:
            raise CheckpointLost("It is shorter than it was.", hint="")
    else:
        handle = await session.create(temporary)
    acknowledged = start
    ranges = [(at, min(BLOCK_BYTES, source.size - at)) for at in range(start, source.size, BLOCK_BYTES)]
    try:
        for offset, block in source.blocks(ranges, BLOCK_BYTES):
            if pause():
                await session.close_file(handle, path=temporary)
                return Staged(streams=1, acknowledged=acknowledged, complete=False, temporary=temporary)
            await session.write(handle, offset, block, path=temporary)
            acknowledged = offset + len(block)
    except ConnectionLost as lost:
        return Staged(streams=1, acknowledged=acknowledged, complete=False, temporary=temporary, lost=lost)
    seen = await session.fstat(handle, path=temporary)
    await session.close_file(handle, path=temporary)
    seen = await confirm_size(session, temporary, size=source.size, at_close=seen, is_all=True)
    return Staged(streams=1, acknowledged=acknowledged, complete=True, temporary=temporary, seen=seen)
