"""The partner's SFTP server: it records every rename and has the faults that a session can meet."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import asyncssh
from asyncssh.constants import FX_NO_SPACE_ON_FILESYSTEM

from chaos.records import Records, Renamed, appearance, is_temporary
from local.samples import MIB
from tests.support.faults.sftp_server import PERMISSION_DENIED, Refusal

_FAR = 4 * MIB
_FAR_BYTES_PER_SECOND = 3e6
"""The large object takes longer than the 15 s that an invocation sends; what is in flight then (4 MiB for
each connection) fits into the remaining 5 s."""

_ABANDONED_SECONDS = 11.0
"""The function has disconnected by then: SSH_REPLY_TIMEOUT is 10."""
_LATEST_SECONDS = 60.0

Refusable = Literal["open", "rename"]


@dataclass
class Disk:
    """The disk of the partner.

    Attributes:
        is_full: Every write fails.
        bytes_per_second: Limit for all writes together; None: no limit.
        far_bytes_per_second: The limit beyond the first 4 MiB of a file, which always applies.
    """

    is_full: bool = False
    bytes_per_second: float | None = None
    far_bytes_per_second: float = _FAR_BYTES_PER_SECOND
    _free_at: float = 0.0

    async def take(self, size: int, *, offset: int) -> None:
        """Waits as long as writing `size` bytes at `offset` takes.

        Raises:
            Refusal: The disk is full.
        """
        if self.is_full:
            raise Refusal(FX_NO_SPACE_ON_FILESYSTEM, "No space left on device")
        speed = self.bytes_per_second or (self.far_bytes_per_second if offset > _FAR else None)
        if speed:
            self._free_at = max(self._free_at, time.monotonic()) + size / speed
            await asyncio.sleep(self._free_at - time.monotonic())


@dataclass
class DelayedRename:
    """A RENAME in a server process that hangs.

    Attributes:
        due: When it is completed, by the monotonic clock.
        old: The name before.
        new: The name after.
        replace: Whether it replaces an existing file.
    """

    due: float
    old: Path
    new: Path
    replace: bool


@dataclass
class ServerFaults:
    """Faults that all sessions share.

    Attributes:
        hanging: This many of the next RENAMEs get no reply and are completed later.
        delayed: Those that are not completed yet.
        refusing: Kinds of request that are refused, and with which status.
        most_handles: Files that a session may have open at a time; None: no limit.
        too_many: The status of an OPEN beyond that limit.
        rng: Determines when a delayed RENAME is completed.
    """

    hanging: int = 0
    delayed: list[DelayedRename] = field(default_factory=list)
    refusing: dict[Refusable, int] = field(default_factory=dict)
    most_handles: int | None = None
    too_many: int = PERMISSION_DENIED
    rng: random.Random = field(default_factory=random.Random)

    def refuse(self, request: Refusable) -> None:
        """Refuses the request if its kind is refused now.

        Raises:
            Refusal: Its kind is refused.
        """
        if (code := self.refusing.get(request)) is not None:
            raise Refusal(code)


class RecordingServer(asyncssh.SFTPServer):
    """Records each file that gets a final name, with its bytes at that moment."""

    def __init__(
        self,
        chan: Any,
        chroot: bytes,
        *,
        inbox: Path,
        records: Records,
        disk: Disk,
        server_faults: ServerFaults,
    ) -> None:
        super().__init__(chan, chroot=chroot)
        self._inbox = inbox
        self._records = records
        self._disk = disk
        self._server_faults = server_faults
        self._open: dict[int, Path] = {}

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        """Opens a file, and records a final name that is opened for writing."""
        self._server_faults.refuse("open")
        most = self._server_faults.most_handles
        if most is not None and len(self._open) >= most:
            raise Refusal(self._server_faults.too_many, "Too many open files")
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
        """Closes the file."""
        with self._records.lock:
            local = self._open.pop(id(file_obj), None)
            if local in self._records.open:
                self._records.open.remove(local)
        return super().close(file_obj)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Writes at the speed of the disk."""
        await self._disk.take(len(data), offset=offset)
        result: Any = super().write(file_obj, offset, data)
        written: int = await result if asyncio.iscoroutine(result) else result
        return written

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Renames as SSH_FXP_RENAME of version 3 does."""
        await self._hang_or_refuse(oldpath, newpath, replace=False)
        work = super().rename
        self._recorded(lambda: work(oldpath, newpath), oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Renames and replaces an existing file."""
        await self._hang_or_refuse(oldpath, newpath, replace=True)
        work = super().posix_rename
        self._recorded(lambda: work(oldpath, newpath), oldpath, newpath)

    async def _hang_or_refuse(self, oldpath: bytes, newpath: bytes, *, replace: bool) -> None:
        server_faults = self._server_faults
        server_faults.refuse("rename")
        if server_faults.hanging <= 0:
            return
        server_faults.hanging -= 1
        due = time.monotonic() + server_faults.rng.uniform(_ABANDONED_SECONDS, _LATEST_SECONDS)
        server_faults.delayed.append(DelayedRename(due, self._local(oldpath), self._local(newpath), replace))
        await self.channel.wait_closed()
        raise asyncssh.SFTPConnectionLost("the client has disconnected")

    def _recorded(self, work: Callable[[], Any], oldpath: bytes, newpath: bytes) -> None:
        recorded_rename(self._records, self._inbox, self._local(oldpath), self._local(newpath), work)

    def _local(self, path: bytes) -> Path:
        return Path(os.fsdecode(self.map_path(path)))


def recorded_rename(
    records: Records, inbox: Path, old: Path, new: Path, work: Callable[[], Any], *, late: bool = False
) -> None:
    """Renames, and records a file that gets a final name."""
    with records.lock:
        seen = None
        if not is_temporary(new.name) and old.is_file():
            content = appearance(old, inbox)
            key = str(new.relative_to(inbox))
            seen = Renamed(
                file=replace(content, key=key),
                temporary=content.key,
                late=late,
            )
        work()
        if seen is not None:
            records.events.append(seen)
