"""SFTP that works, and files that the server does not take."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from local.sftp_server import SftpFactory, start_asyncssh_server
from tests.support.faults.sftp_server import (
    FAILURE,
    PERMISSION_DENIED,
    QUOTA_EXCEEDED,
    Fault,
    HandleCap,
    Operation,
    Refusal,
    RefusesRequest,
    SweepsAtClose,
    WatchedServer,
    faulty,
)
from tests.support.problems.problem import (
    BY_PASSWORD,
    LARGE,
    PASSWORD,
    Problem,
    Provoke,
    Provoked,
    by_key_of,
    folder,
    provoked_by,
)
from tests.support.problems.servers import need_root, sshd

_ECHOED = PASSWORD


def asyncssh_with(
    sftp_factory: SftpFactory = asyncssh.SFTPServer,
    *,
    directory: str = "/inbox",
    files: dict[str, bytes] | None = None,
    content: bytes = b"content",
) -> Provoke:
    """Return how an asyncssh server behaves like this.

    Args:
        sftp_factory: Makes its sessions.
        directory: That of the deliveries. What exists is `/inbox`.
        files: What is in it.
        content: What is delivered.
    """

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with folder() as root, start_asyncssh_server(root, password=PASSWORD, sftp_factory=sftp_factory) as s:
            (root / "inbox").mkdir()
            for name, data in (files or {}).items():
                (root / "inbox" / name).write_bytes(data)
            yield replace(provoked_by(s, BY_PASSWORD, directory=directory), content=content)

    return provoke


def sshd_denies(*requests: str, directory: str = "") -> Provoke:
    """Return how OpenSSH's SFTP server denies these requests (`-P`)."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with folder() as place:
            program = f"internal-sftp -d {place} -P {','.join(requests)}"
            with sshd(subsystem=program) as (server, _):
                yield provoked_by(server, directory=directory)

    return provoke


@contextmanager
def read_only() -> Iterator[Provoked]:
    with folder() as place, sshd(subsystem=f"internal-sftp -d {place} -R") as (server, _):
        yield provoked_by(server)


@contextmanager
def starts_elsewhere() -> Iterator[Provoked]:
    """The login starts in the directory that SSH_DIR names: it would be made once more inside."""
    with folder() as place:
        home = place / "inbox"
        home.mkdir()
        with sshd(subsystem=f"internal-sftp -d {home}") as (server, _):
            yield provoked_by(server, directory="inbox")


class RefusesNames(WatchedServer):
    """Takes no hidden files."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, code: int, words: str) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._refusal = code, words

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if path.rpartition(b"/")[2].startswith(b".") and self.fault.strike():
            raise Refusal(*self._refusal)
        return await super().open(path, pflags, attrs)


class KeepsOldFiles(WatchedServer):
    """Neither replaces, moves nor removes a file that has its final name."""

    async def before_rename(self, old: bytes, new: bytes) -> None:
        exists = Path(self.map_path(new).decode()).exists()
        if (exists or b"/." not in old) and self.fault.strike():
            raise Refusal(FAILURE, "Failure")

    async def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await self.before_rename(oldpath, newpath)
        return await super().rename(oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        await self.before_rename(oldpath, newpath)
        return await super().posix_rename(oldpath, newpath)


class RefusesToRename(WatchedServer):
    """Both ways of it."""

    async def before(self, operation: Operation) -> None:
        if operation in {"rename", "posix_rename"} and self.fault.strike():
            raise Refusal(FAILURE, "Failure")


class SaysAtWrite(WatchedServer):
    """Refuses every WRITE with these words."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, code: int, words: str) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._refusal = code, words

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        self.fault.strike()
        raise Refusal(*self._refusal)


class ClosesAtWrite(WatchedServer):
    """Ends the connection at a WRITE of more than `most` bytes, without a word."""

    def __init__(self, chan: Any, chroot: bytes, *, fault: Fault, most: int) -> None:
        super().__init__(chan, chroot, fault=fault)
        self._most = most

    async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if len(data) > self._most and self.fault.strike():
            self.channel.get_connection().abort()
            await self.silence()
        return await super().write(file_obj, offset, data)


class HangsAtWrite(WatchedServer):
    """Never answers a WRITE."""

    async def before(self, operation: Operation) -> None:
        if operation == "write" and self.fault.strike():
            await self.silence()


class Disconnects(WatchedServer):
    """Says goodbye at a WRITE."""

    async def before(self, operation: Operation) -> None:
        if operation == "write" and self.fault.strike():
            connection: Any = self.channel.get_connection()
            # Its own `disconnect` closes at once: what we write may fail before the message is read.
            connection._send_disconnect(asyncssh.DISC_BY_APPLICATION, f"Maintenance, {_ECHOED}", "en")
            await self.silence()


@contextmanager
def _full_disk() -> Iterator[Path]:
    """A file system in memory without space."""
    need_root("a file system of its own")
    with folder() as place:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"no file system in memory here: {made.stderr.strip()}")
        try:
            (place / "inbox").mkdir()
            _fill(place / "old")
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as old:
        while True:
            old.write(bytes(4096))


@contextmanager
def disk_of_sshd_full() -> Iterator[Provoked]:
    """It says only `Failure`."""
    with _full_disk() as place, sshd(subsystem=f"internal-sftp -d {place}") as (server, _):
        yield provoked_by(server, by_key_of(server))


@contextmanager
def disk_full() -> Iterator[Provoked]:
    """The server says why."""
    with _full_disk() as place, start_asyncssh_server(place, password=PASSWORD) as server:
        yield provoked_by(server, BY_PASSWORD, directory="/inbox")


def refuses(operation: Operation, code: int = PERMISSION_DENIED) -> SftpFactory:
    return faulty(RefusesRequest, Fault(), operation, code=code)


def says_at_write(code: int, words: str) -> SftpFactory:
    return faulty(SaysAtWrite, Fault(), code=code, words=words)


def refuses_names(code: int, words: str) -> SftpFactory:
    return faulty(RefusesNames, Fault(), code=code, words=words)


INVALID_FILENAME = 20
OLD = {"report.csv": b"of yesterday"}

PROBLEMS = [
    Problem("directory in another case", asyncssh_with(directory="/Inbox"), "directory-other-case"),
    Problem("login starts in the directory", starts_elsewhere, "directory-is-start-directory"),
    Problem("MKDIR denied", sshd_denies("mkdir", directory="outbox"), "mkdir-refused"),
    Problem("MKDIR refused", asyncssh_with(refuses("mkdir"), directory="/outbox"), "mkdir-refused"),
    Problem("read only", read_only, "create-refused"),
    Problem("OPEN refused", asyncssh_with(refuses("open")), "create-refused"),
    Problem("OPEN fails", asyncssh_with(refuses("open", FAILURE)), "create-failed"),
    Problem(
        "temporary name refused",
        asyncssh_with(refuses_names(INVALID_FILENAME, f"No hidden files, {_ECHOED}")),
        "temporary-name-refused",
    ),
    Problem(
        "temporary name refused in words",
        asyncssh_with(refuses_names(FAILURE, "File name not allowed")),
        "temporary-name-refused",
    ),
    Problem("WRITE denied", sshd_denies("write"), "write-refused"),
    Problem("RENAME denied", sshd_denies("rename", "posix-rename"), "rename-refused"),
    Problem("RENAME fails", asyncssh_with(faulty(RefusesToRename, Fault())), "rename-failed"),
    Problem(
        "overwrite refused", asyncssh_with(faulty(KeepsOldFiles, Fault()), files=OLD), "overwrite-refused"
    ),
    Problem("swept at once", asyncssh_with(faulty(SweepsAtClose, Fault())), "temporary-file-removed"),
    Problem("quota", asyncssh_with(says_at_write(QUOTA_EXCEEDED, f"Limit of {_ECHOED}")), "quota-exceeded"),
    Problem("quota in words", asyncssh_with(says_at_write(FAILURE, "Disk quota exceeded")), "quota-exceeded"),
    Problem("disk full", disk_full, "disk-full"),
    Problem("disk full at sshd", disk_of_sshd_full, "write-failed"),
    Problem(
        "no handles",
        asyncssh_with(faulty(HandleCap, Fault(), most=0, code=FAILURE)),
        "too-many-open-files",
    ),
    Problem(
        "packet size",
        asyncssh_with(faulty(ClosesAtWrite, Fault(), most=32 * 1024), content=LARGE),
        "large-write-closes",
    ),
    Problem(
        "read-only file system",
        asyncssh_with(says_at_write(FAILURE, "Read-only file system")),
        "read-only",
    ),
    Problem(
        "file locked",
        asyncssh_with(says_at_write(FAILURE, "The file is being used by another process")),
        "file-locked",
    ),
    Problem("hangs", asyncssh_with(faulty(HangsAtWrite, Fault())), "server-hangs", is_silence=True),
    Problem("disconnected", asyncssh_with(faulty(Disconnects, Fault())), "server-disconnects"),
    Problem("cut", asyncssh_with(faulty(ClosesAtWrite, Fault(), most=0)), "connection-closed"),
]
