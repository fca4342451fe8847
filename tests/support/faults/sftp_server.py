"""SFTP servers that misbehave, one small class per fault, for `start_asyncssh_server(sftp_factory=...)`.

fault = Fault()
with start_asyncssh_server(root, sftp_factory=faulty(RefusesRequest, fault, "write", nth=3)) as server:
    ...                # the third WRITE is answered with FAILURE
    fault.clear()       # from here on the same server behaves well
"""

from __future__ import annotations

import functools
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import asyncssh
from asyncssh import SFTPError
from asyncssh.constants import (
    FX_FAILURE,
    FX_NO_SPACE_ON_FILESYSTEM,
    FX_NO_SUCH_PATH,
    FX_PERMISSION_DENIED,
    FX_QUOTA_EXCEEDED,
)
from asyncssh.sftp import SFTPServerHandler

from local.sftp_server import SftpFactory

Operation = Literal["open", "write", "close", "stat", "rename", "posix_rename", "remove", "mkdir", "realpath"]

FAILURE = FX_FAILURE
PERMISSION_DENIED = FX_PERMISSION_DENIED
NO_SPACE_ON_FILESYSTEM = FX_NO_SPACE_ON_FILESYSTEM
QUOTA_EXCEEDED = FX_QUOTA_EXCEEDED


@dataclass
class Fault:
    """One fault, shared by all sessions of a server, so that a test can see it happen and clear it.

    Attributes:
        broken: Whether it still happens.
        caused: How often it happened.
        requests: How many requests of each kind the server got.
        delayed: Work that hanging processes have not done yet.
    """

    broken: bool = True
    caused: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    delayed: list[Callable[[], None]] = field(default_factory=list)

    def wake(self) -> None:
        """Let the hanging processes do their work."""
        while self.delayed:
            self.delayed.pop(0)()

    def clear(self) -> None:
        self.broken = False

    def strike(self) -> bool:
        """Return whether it happens now, and count it."""
        self.caused += self.broken
        return self.broken


class Refusal(SFTPError):
    """A status with exactly this code. asyncssh turns codes of later drafts into FAILURE; servers do not."""

    def __init__(self, code: int, reason: str = "said the partner") -> None:
        super().__init__(code, reason)

    def encode(self, version: int) -> bytes:
        return super().encode(6)


class WatchedServer(asyncssh.SFTPServer):
    """Works; counts requests, and calls hooks of a subclass before and after each."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault) -> None:
        super().__init__(chan, chroot=chroot)
        self.fault = fault

    async def before(self, operation: Operation) -> None:
        """Called with the request not yet done; may raise or never return."""

    async def after(self, operation: Operation) -> None:
        """Called with the request done; may raise."""

    async def silence(self) -> None:
        """Do nothing until the client disconnects."""
        await self.channel.wait_closed()
        raise asyncssh.SFTPConnectionLost("the client has disconnected")

    async def _do(self, operation: Operation, work: Callable[[], Any]) -> Any:
        self.fault.requests[operation] += 1
        await self.before(operation)
        result = work()
        await self.after(operation)
        return result

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        return await self._do("open", lambda: super(WatchedServer, self).open(path, pflags, attrs))

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        return await self._do("write", lambda: super(WatchedServer, self).write(file_obj, offset, data))

    async def close(self, file_obj: object) -> Any:
        return await self._do("close", lambda: super(WatchedServer, self).close(file_obj))

    async def stat(self, path: bytes) -> Any:
        return await self._do("stat", lambda: super(WatchedServer, self).stat(path))

    async def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        return await self._do("rename", lambda: super(WatchedServer, self).rename(oldpath, newpath))

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        work = functools.partial(super().posix_rename, oldpath, newpath)
        return await self._do("posix_rename", work)

    async def remove(self, path: bytes) -> Any:
        return await self._do("remove", lambda: super(WatchedServer, self).remove(path))

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        return await self._do("mkdir", lambda: super(WatchedServer, self).mkdir(path, attrs))

    async def realpath(self, path: bytes) -> Any:
        return await self._do("realpath", lambda: super(WatchedServer, self).realpath(path))


class RefusesRequest(WatchedServer):
    """Answers request `operation` number `nth` (None: each one) with an error and does not do it."""

    def __init__(
        self,
        chan: Any,
        chroot: bytes,
        operation: Operation,
        *,
        fault: Fault,
        nth: int | None = None,
        code: int = FAILURE,
    ) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._operation = operation
        self._nth = nth
        self._code = code

    async def before(self, operation: Operation) -> None:
        if operation != self._operation or self._nth not in {None, self.fault.requests[operation]}:
            return
        if self.fault.strike():
            raise Refusal(self._code)


class FailsOnClose(WatchedServer):
    """Closes the file and says FAILURE, as a server does that commits to an object store at CLOSE."""

    async def after(self, operation: Operation) -> None:
        if operation == "close" and self.fault.strike():
            raise Refusal(FAILURE)


class DiskFull(WatchedServer):
    """Has room for `capacity` bytes in a session; what comes later is refused with `code`."""

    def __init__(
        self, chan: Any, chroot: bytes, *, fault: Fault, capacity: int, code: int = NO_SPACE_ON_FILESYSTEM
    ) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._room = capacity
        self._code = code

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        self._room -= len(data)
        if self._room < 0 and self.fault.strike():
            raise Refusal(self._code, "No space left on device")
        return await super().write(file_obj, offset, data)


class DeniesLooking(WatchedServer):
    """A drop box: files can be written, but neither examined nor listed."""

    async def stat(self, path: bytes) -> Any:
        raise self._denied()

    def lstat(self, path: bytes) -> Any:
        raise self._denied()

    def fstat(self, file_obj: object) -> Any:
        raise self._denied()

    def scandir(self, path: bytes) -> Any:
        raise self._denied()

    def _denied(self) -> Refusal:
        self.fault.strike()
        return Refusal(PERMISSION_DENIED)


class SweepsAway(WatchedServer):
    """Moves a file to the folder `swept` in the moment in which it gets its final name."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, swept: Path) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._swept = swept

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await super().posix_rename(oldpath, newpath)
        if self.fault.strike():
            arrived = Path(self.map_path(newpath).decode())
            arrived.rename(self._swept / arrived.name)


class RefusesAttributes(WatchedServer):
    """Refuses SETSTAT and FSETSTAT, as AWS Transfer Family and Azure do."""

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        self.fault.strike()
        raise Refusal(PERMISSION_DENIED)

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> Any:
        self.fault.strike()
        raise Refusal(PERMISSION_DENIED)


class OneOpenFile(WatchedServer):
    """Refuses to open a second file while one is open, and any way of opening but WRITE|CREAT|TRUNC."""

    _PLAIN = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._open = 0

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if (self._open or pflags != self._PLAIN) and self.fault.strike():
            raise Refusal(FAILURE)
        self._open += 1
        return await super().open(path, pflags, attrs)

    async def close(self, file_obj: object) -> Any:
        self._open -= 1
        return await super().close(file_obj)


class HandleCap(WatchedServer):
    """Lets a session have `most` files open at a time; more are refused with `code`."""

    def __init__(
        self, chan: Any, chroot: bytes, *, fault: Fault, most: int, code: int = PERMISSION_DENIED
    ) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._most = most
        self._code = code
        self._open = 0

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if self._open >= self._most and self.fault.strike():
            raise Refusal(self._code, "too many open files")
        self._open += 1
        return await super().open(path, pflags, attrs)

    async def close(self, file_obj: object) -> Any:
        self._open -= 1
        return await super().close(file_obj)


class RefusesSecondOpen(WatchedServer):
    """Refuses to open an existing file for writing, unless that truncates it."""

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if not pflags & asyncssh.FXF_TRUNC and self.fault.strike():
            raise Refusal(PERMISSION_DENIED)
        return await super().open(path, pflags, attrs)


class WritesInOrderOnly(WatchedServer):
    """Accepts a WRITE only where the last one of the same handle ended, as object stores do."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._ends: dict[int, int] = {}

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        file_obj = await super().open(path, pflags, attrs)
        self._ends[id(file_obj)] = 0
        return file_obj

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if offset != self._ends[id(file_obj)] and self.fault.strike():
            raise Refusal(FAILURE, "Seek is not supported")
        self._ends[id(file_obj)] = offset + len(data)
        return await super().write(file_obj, offset, data)


class SpoolsPerHandle(WatchedServer):
    """Collects what a handle writes apart from the file, and puts it in the place of the file at CLOSE.

    Gateways to object stores may do so: several writers of one file then undo each other's work, and all
    their requests are answered with OK.
    """

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._spools: dict[int, tuple[Path, bytearray]] = {}

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        file_obj = await super().open(path, pflags, attrs)
        self._spools[id(file_obj)] = (Path(self.map_path(path).decode()), bytearray())
        return file_obj

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        spool = self._spools[id(file_obj)][1]
        spool.extend(bytes(max(0, offset + len(data) - len(spool))))
        spool[offset : offset + len(data)] = data
        return len(data)

    async def close(self, file_obj: object) -> Any:
        path, spool = self._spools.pop(id(file_obj))
        await super().close(file_obj)
        path.write_bytes(spool)


class IgnoresOffsets(WatchedServer):
    """Appends every WRITE to the file, whatever its offset."""

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        file: Any = file_obj
        return await super().write(file_obj, file.seek(0, io.SEEK_END), data)


class RefusesReading(WatchedServer):
    """Refuses to read files."""

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if pflags & asyncssh.FXF_READ and self.fault.strike():
            raise Refusal(PERMISSION_DENIED)
        return await super().open(path, pflags, attrs)


class SweepsAtClose(WatchedServer):
    """Removes a small file in the moment in which it is closed."""

    async def close(self, file_obj: object) -> Any:
        file: Any = file_obj
        small = file.seek(0, io.SEEK_END) < 1000
        result = await super().close(file_obj)
        if small and self.fault.strike():
            Path(file.name.decode()).unlink(missing_ok=True)
        return result


class OneHandle(WatchedServer):
    """Lets each connection have one handle open, and any number of connections."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._open = 0

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if self._open and self.fault.strike():
            raise Refusal(PERMISSION_DENIED)
        file_obj = await super().open(path, pflags, attrs)
        self._open += 1
        return file_obj

    async def close(self, file_obj: object) -> Any:
        self._open -= 1
        return await super().close(file_obj)


class ClosesAfterRequests(WatchedServer):
    """Ends the connection after `most` WRITEs of the session."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, most: int) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._left = most

    async def before(self, operation: Operation) -> None:
        if operation != "write":
            return
        self._left -= 1
        if self._left < 0 and self.fault.strike():
            self.channel.get_connection().close()
            await self.silence()


class LosesTheTail(ClosesAfterRequests):
    """Ends the connection, and truncates the file to half of its length."""

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._left <= 0:
            file: Any = file_obj
            file.truncate(file.seek(0, io.SEEK_END) // 2)
        return await super().write(file_obj, offset, data)


class ShortensAtClose(WatchedServer):
    """Loses a byte of a large file when it is closed."""

    async def close(self, file_obj: object) -> Any:
        file: Any = file_obj
        size = file.seek(0, io.SEEK_END)
        result = await super().close(file_obj)
        if size > 1000 and self.fault.strike():
            path = Path(file.name.decode())
            with path.open("r+b") as again:
                again.truncate(path.stat().st_size - 1)
        return result


class TellsSizeLate(WatchedServer):
    """Reports a file as empty while it is open."""

    def fstat(self, file_obj: object) -> Any:
        found: Any = super().fstat(file_obj)
        self.fault.strike()
        attributes = asyncssh.SFTPAttrs.from_local(found)
        attributes.size = 0
        return attributes


class Stalls(WatchedServer):
    """Never answers request `operation` number `nth`, nor later requests of the session."""

    def __init__(self, chan: Any, chroot: bytes, operation: Operation, *, fault: Fault, nth: int = 1) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._operation = operation
        self._nth = nth

    async def before(self, operation: Operation) -> None:
        due = operation == self._operation and self.fault.requests[operation] == self._nth
        if due and self.fault.strike():
            await self.silence()


class HangsUp(WatchedServer):
    """Ends the connection at request `operation` number `nth`: not done yet, or done and not answered."""

    def __init__(
        self,
        chan: Any,
        chroot: bytes,
        operation: Operation,
        *,
        fault: Fault,
        nth: int = 1,
        done: bool = False,
    ) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._operation = operation
        self._nth = nth
        self._done = done

    async def before(self, operation: Operation) -> None:
        if not self._done:
            await self._hang_up(operation)

    async def after(self, operation: Operation) -> None:
        if self._done:
            await self._hang_up(operation)

    async def _hang_up(self, operation: Operation) -> None:
        due = operation == self._operation and self.fault.requests[operation] == self._nth
        if due and self.fault.strike():
            self.channel.get_connection().abort()
            await self.silence()


class SweepsAwayAndHangsUp(SweepsAway):
    """Removes the file after its RENAME, and closes the connection without a reply."""

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await super().posix_rename(oldpath, newpath)
        if self.fault.broken:
            self.channel.get_connection().abort()
            await self.silence()


class TakesShortWritesOnly(WatchedServer):
    """Refuses a WRITE of more than `most` bytes. What it states as its limit is another matter."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, most: int) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._most = most

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if len(data) > self._most and self.fault.strike():
            raise Refusal(FAILURE, "Message too long")
        return await super().write(file_obj, offset, data)


class FailsOnMissingParent(WatchedServer):
    """Says FAILURE, not NO_SUCH_FILE, where the directory of a new file or directory is missing."""

    code = FAILURE

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        return await self._vaguely(super().open(path, pflags, attrs))

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        return await self._vaguely(super().mkdir(path, attrs))

    async def _vaguely(self, work: Any) -> Any:
        try:
            return await work
        except OSError:
            self.fault.strike()
            raise Refusal(self.code) from None


class NoSuchPath(FailsOnMissingParent):
    """Says NO_SUCH_PATH there, as later drafts do."""

    code = FX_NO_SUCH_PATH


class RefuseAllCreates(WatchedServer):
    """Refuses to create files: the permissions of the whole tree were changed."""

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if pflags & asyncssh.FXF_CREAT and self.fault.strike():
            raise Refusal(PERMISSION_DENIED, "Permission denied")
        return await super().open(path, pflags, attrs)


class ScannerLock(WatchedServer):
    """Refuses to rename a new file: a virus scanner holds it for a moment."""

    async def before(self, operation: Operation) -> None:
        if operation in {"rename", "posix_rename"} and self.fault.strike():
            raise Refusal(PERMISSION_DENIED, "The process cannot access the file")


def faulty(kind: Callable[..., asyncssh.SFTPServer], fault: Fault, *args: Any, **kwargs: Any) -> SftpFactory:
    """Return what `start_asyncssh_server` calls for each session, with the fault shared by all."""

    def factory(chan: Any, chroot: bytes) -> asyncssh.SFTPServer:
        return kind(chan, chroot, *args, fault=fault, **kwargs)

    return factory


@contextmanager
def without_extensions(*names: str) -> Iterator[None]:
    """Makes the asyncssh servers of this process have no such protocol extensions until the block ends.

    Without `posix-rename@openssh.com` only the RENAME of version 3 is left, which refuses a target that
    exists already. asyncssh has no switch for this: its handler's own lists are shortened, of what it
    offers and of what it answers to those who ask without having been offered it.
    """
    hidden = {name.encode() for name in names}
    offered, answered = SFTPServerHandler._extensions, SFTPServerHandler._packet_handlers
    SFTPServerHandler._extensions = [pair for pair in offered if pair[0] not in hidden]
    SFTPServerHandler._packet_handlers = {kind: how for kind, how in answered.items() if kind not in hidden}
    try:
        yield
    finally:
        SFTPServerHandler._extensions = offered
        SFTPServerHandler._packet_handlers = answered


@contextmanager
def stating_write_limit(most: int) -> Iterator[None]:
    """Makes the asyncssh servers of this process state this limit of bytes in a WRITE."""
    stated = asyncssh.sftp.MAX_SFTP_WRITE_LEN
    asyncssh.sftp.MAX_SFTP_WRITE_LEN = most
    try:
        yield
    finally:
        asyncssh.sftp.MAX_SFTP_WRITE_LEN = stated


class HangsInRename(WatchedServer):
    """Never answers the nth RENAME: its process may do it at any time later.

    `fault.wake` lets it. A RENAME of version 3 then does nothing if the target is taken.
    """

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, nth: int = 1) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._nth = nth

    async def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await self._hang("rename", oldpath, newpath, replace=False)
        return await super().rename(oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await self._hang("posix_rename", oldpath, newpath, replace=True)
        return await super().posix_rename(oldpath, newpath)

    async def _hang(self, operation: Operation, oldpath: bytes, newpath: bytes, *, replace: bool) -> None:
        before = self.fault.requests["rename"] + self.fault.requests["posix_rename"]
        if before + 1 != self._nth or not self.fault.strike():
            return
        self.fault.requests[operation] += 1
        old, new = (Path(self.map_path(path).decode()) for path in (oldpath, newpath))
        self.fault.delayed.append(functools.partial(_rename_late, old, new, replace=replace))
        await self.silence()


def _rename_late(old: Path, new: Path, *, replace: bool) -> None:
    if old.exists() and (replace or not new.exists()):
        old.rename(new)


class AnnouncesReplacing(WatchedServer):
    """Offers posix-rename, and does not replace an existing file, as some servers on Windows."""

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if Path(self.map_path(newpath).decode()).exists() and self.fault.strike():
            raise Refusal(FAILURE)
        return await super().posix_rename(oldpath, newpath)


class LosesTheLastByte(WatchedServer):
    """Answers OK to everything, and truncates the last byte of a file when it is closed."""

    async def close(self, file_obj: object) -> Any:
        file: Any = file_obj
        size = file.seek(0, io.SEEK_END)
        result = await super().close(file_obj)
        if size and self.fault.strike():
            os.truncate(file.name.decode(), size - 1)
        return result


class KeepsFiles(WatchedServer):
    """Refuses to remove files."""

    async def remove(self, path: bytes) -> Any:
        self.fault.requests["remove"] += 1
        if self.fault.strike():
            raise Refusal(PERMISSION_DENIED)
        return await super().remove(path)
