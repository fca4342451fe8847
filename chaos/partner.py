"""The partner: an SFTP server whose every rename is recorded, behind a line that can be cut."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.constants import FX_NO_SPACE_ON_FILESYSTEM

from local.samples import MIB
from local.sftp_server import RunningServer, start_asyncssh_server
from tests.faults.sftp_server import Refusal
from tests.faults.tcp_proxy import TcpProxy

INBOX = "inbox"
_TEMPORARY = ".part"

_FAR = 4 * MIB
_FAR_BYTES_PER_SECOND = 3e6
"""So that the large object does not fit into the 15 s that an invocation sends, but what is under way then
(4 MiB for each lane) fits into the 5 s that are left."""


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Something that stood under a final name.

    Attributes:
        key: The object's key that this name belongs to.
        size: Bytes.
        sha256: Of the bytes.
    """

    key: str
    size: int
    sha256: str


@dataclass
class Disk:
    """The partner's.

    Attributes:
        is_full: Every write fails.
        bytes_per_second: Of all writes together; None: as fast as it can.
    """

    is_full: bool = False
    bytes_per_second: float | None = None
    _free_at: float = 0.0

    async def take(self, size: int, *, offset: int) -> None:
        """Lets so many bytes be written there. The far end of a large file is always slow.

        Raises:
            Refusal: There is no room.
        """
        if self.is_full:
            raise Refusal(FX_NO_SPACE_ON_FILESYSTEM, "No space left on device")
        speed = self.bytes_per_second or (_FAR_BYTES_PER_SECOND if offset > _FAR else None)
        if speed:
            self._free_at = max(self._free_at, time.monotonic()) + size / speed
            await asyncio.sleep(self._free_at - time.monotonic())


@dataclass
class Records:
    """What the server saw happen to final names.

    Attributes:
        renames: Every file that got its final name, in order.
        direct_writes: Final names that somebody opened for writing.
    """

    renames: list[Appearance] = field(default_factory=list)
    direct_writes: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Partner:
    """Stays at one port, whatever happens to what is behind it."""

    def __init__(self, root: Path) -> None:
        """Starts the server.

        Args:
            root: The folder that a login sees as `/`.
        """
        self.root = root
        self.inbox = root / INBOX
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.records = Records()
        self.disk = Disk()
        self._identity = asyncssh.generate_private_key("ssh-ed25519")
        self._up = ExitStack()
        self._server_port: int | None = None
        self.server = self.start_server()
        self.line = TcpProxy(self.server.port)
        self.port = self.line.port

    def start_server(self) -> RunningServer:
        """Starts it, as the one that it was."""
        self.server = self._up.enter_context(
            start_asyncssh_server(
                self.root,
                port=self._server_port,
                password="correct horse battery staple",  # noqa: S106 - of a server on loopback
                host_keys=[self._identity],
                sftp_factory=functools.partial(_RecordingServer, records=self.records, disk=self.disk),
            )
        )
        self._server_port = self.server.port
        return self.server

    def stop_server(self) -> None:
        """Whoever connects to the port is disconnected at once."""
        self._up.close()

    def close_port(self) -> None:
        """Whoever connects is refused."""
        self.line.close()

    def open_port(self) -> None:
        """Listens again, with nothing wrong."""
        self.line = TcpProxy(self.server.port, port=self.port)

    def stop(self) -> None:
        """Ends everything."""
        self.line.close()
        self._up.close()


class _RecordingServer(asyncssh.SFTPServer):
    """Writes down what gets a final name, with the bytes that it has at that moment."""

    def __init__(self, chan: Any, chroot: bytes, *, records: Records, disk: Disk) -> None:
        super().__init__(chan, chroot=chroot)
        self._records = records
        self._disk = disk

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        """Opens it; a final name must not be opened for writing."""
        if pflags & asyncssh.FXF_WRITE and not path.endswith(_TEMPORARY.encode()):
            with self._records.lock:
                self._records.direct_writes.append(self._key(path))
        return super().open(path, pflags, attrs)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Writes as fast as the disk is."""
        await self._disk.take(len(data), offset=offset)
        written: int = await _awaited(super().write(file_obj, offset, data))
        return written

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Renames as version 3 does."""
        seen = self._look(oldpath, newpath)
        await _awaited(super().rename(oldpath, newpath))
        self._record(seen)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Renames over whatever is there."""
        seen = self._look(oldpath, newpath)
        await _awaited(super().posix_rename(oldpath, newpath))
        self._record(seen)

    def _look(self, oldpath: bytes, newpath: bytes) -> Appearance | None:
        source = Path(os.fsdecode(self.map_path(oldpath)))
        if newpath.endswith(_TEMPORARY.encode()) or not source.is_file():
            return None
        content = source.read_bytes()
        return Appearance(
            key=self._key(newpath), size=len(content), sha256=hashlib.sha256(content).hexdigest()
        )

    def _record(self, seen: Appearance | None) -> None:
        if seen:
            with self._records.lock:
                self._records.renames.append(seen)

    def _key(self, path: bytes) -> str:
        return os.fsdecode(path).removeprefix(f"/{INBOX}/")


async def _awaited(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result
