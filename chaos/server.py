"""The partner's SFTP server: records every rename, and has the faults that a session can meet."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import asyncssh
from asyncssh.constants import FX_NO_SPACE_ON_FILESYSTEM

from chaos.records import Records, Renamed, appearance, is_temporary
from local.samples import MIB
from tests.support.faults.sftp_server import PERMISSION_DENIED, Refusal

_FAR = 4 * MIB
_FAR_BYTES_PER_SECOND = 3e6
"""So that the large object does not fit into the 15 s that an invocation sends, but what is under way then
(4 MiB for each connection) fits into the 5 s that are left."""

_GIVEN_UP_SECONDS = 11.0
"""After so long without a reply the function has left: SSH_REPLY_TIMEOUT is 10."""
_LATEST_SECONDS = 60.0

Refusable = Literal["open", "rename"]


@dataclass
class Disk:
    """The partner's.

    Attributes:
        is_full: Every write fails.
        bytes_per_second: Of all writes together; None: as fast as it can.
        far_bytes_per_second: The same for the far end of a large file, which is always slow.
    """

    is_full: bool = False
    bytes_per_second: float | None = None
    far_bytes_per_second: float = _FAR_BYTES_PER_SECOND
    _free_at: float = 0.0

    async def take(self, size: int, *, offset: int) -> None:
        """Lets so many bytes be written there. The far end of a large file is always slow.

        Raises:
            Refusal: There is no room.
        """
        if self.is_full:
            raise Refusal(FX_NO_SPACE_ON_FILESYSTEM, "No space left on device")
        speed = self.bytes_per_second or (self.far_bytes_per_second if offset > _FAR else None)
        if speed:
            self._free_at = max(self._free_at, time.monotonic()) + size / speed
            await asyncio.sleep(self._free_at - time.monotonic())


@dataclass
class Late:
    """A RENAME in a process that hangs.

    Attributes:
        due: When the process wakes, by the monotonic clock.
        replace: Whether it replaces what has the new name.
    """

    due: float
    old: Path
    new: Path
    replace: bool


@dataclass
class Temper:
    """How the server is disposed; the same for all sessions.

    Attributes:
        hanging: So many of the next RENAMEs are not answered, and carried out later.
        late: Those that are still to be carried out.
        refusing: Requests that are refused, whatever they are for, and the status that is told.
        most_handles: Files that a session may have open at a time; None: any number.
        too_many: The status that is told when there are more.
        rng: Gives when hanging processes wake.
    """

    hanging: int = 0
    late: list[Late] = field(default_factory=list)
    refusing: dict[Refusable, int] = field(default_factory=dict)
    most_handles: int | None = None
    too_many: int = PERMISSION_DENIED
    rng: random.Random = field(default_factory=random.Random)

    def refuse(self, request: Refusable) -> None:
        """Refuses the request while requests of its kind are refused.

        Raises:
            Refusal: They are.
        """
        if (code := self.refusing.get(request)) is not None:
            raise Refusal(code)


class RecordingServer(asyncssh.SFTPServer):
    """Writes down what gets a final name, with the bytes that it has at that moment."""

    def __init__(
        self, chan: Any, chroot: bytes, *, inbox: Path, records: Records, disk: Disk, temper: Temper
    ) -> None:
        super().__init__(chan, chroot=chroot)
        self._inbox = inbox
        self._records = records
        self._disk = disk
        self._temper = temper
        self._open: dict[int, Path] = {}

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        """Opens it; a final name must not be opened for writing."""
        self._temper.refuse("open")
        most = self._temper.most_handles
        if most is not None and len(self._open) >= most:
            raise Refusal(self._temper.too_many, "Too many open files")
        local = self._local(path)
        with self._records.lock:
            opened: Any = super().open(path, pflags, attrs)
            self._open[id(opened)] = local
            if pflags & asyncssh.FXF_WRITE:
                if not is_temporary(local.name):
                    self._records.direct_writes.append(str(local.relative_to(self._inbox)))
                self._records.open.append(local)
        return opened

    def close(self, file_obj: object) -> Any:
        """Closes it."""
        with self._records.lock:
            local = self._open.pop(id(file_obj), None)
            if local in self._records.open:
                self._records.open.remove(local)
        return super().close(file_obj)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Writes as fast as the disk is."""
        await self._disk.take(len(data), offset=offset)
        result: Any = super().write(file_obj, offset, data)
        written: int = await result if asyncio.iscoroutine(result) else result
        return written

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Renames as version 3 does."""
        await self._hang_or_refuse(oldpath, newpath, replace=False)
        work = super().rename
        self._recorded(lambda: work(oldpath, newpath), oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Renames over whatever is there."""
        await self._hang_or_refuse(oldpath, newpath, replace=True)
        work = super().posix_rename
        self._recorded(lambda: work(oldpath, newpath), oldpath, newpath)

    async def _hang_or_refuse(self, oldpath: bytes, newpath: bytes, *, replace: bool) -> None:
        temper = self._temper
        temper.refuse("rename")
        if temper.hanging <= 0:
            return
        temper.hanging -= 1
        due = time.monotonic() + temper.rng.uniform(_GIVEN_UP_SECONDS, _LATEST_SECONDS)
        temper.late.append(Late(due, self._local(oldpath), self._local(newpath), replace))
        await self.channel.wait_closed()
        raise asyncssh.SFTPConnectionLost("the client has gone")

    def _recorded(self, work: Callable[[], Any], oldpath: bytes, newpath: bytes) -> None:
        recorded_rename(self._records, self._inbox, self._local(oldpath), self._local(newpath), work)

    def _local(self, path: bytes) -> Path:
        return Path(os.fsdecode(self.map_path(path)))


def recorded_rename(
    records: Records, inbox: Path, old: Path, new: Path, work: Callable[[], Any], *, late: bool = False
) -> None:
    """Renames, and writes down what got a final name thereby."""
    with records.lock:
        seen = None
        if not is_temporary(new.name) and old.is_file():
            content = appearance(old, inbox)
            key = str(new.relative_to(inbox))
            seen = Renamed(
                file=type(content)(key=key, size=content.size, sha256=content.sha256),
                temporary=content.key,
                late=late,
            )
        work()
        if seen is not None:
            records.events.append(seen)
