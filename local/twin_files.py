"""The files of a twin: what a folder does, and what the measured server did instead."""

from __future__ import annotations

import errno
import itertools
import os
import posixpath
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from s3_to_sftp.measured_server import OK, MeasuredServer
from s3_to_sftp.sftp.protocol import (
    ATTR_ACMODTIME,
    ATTR_PERMISSIONS,
    ATTR_SIZE,
    OPEN_CREATE,
    OPEN_EXCLUSIVE,
    OPEN_READ,
    OPEN_TRUNCATE,
    OPEN_WRITE,
    Status,
)

_CODES = {
    errno.ENOENT: Status.NO_SUCH_FILE,
    errno.ENOTDIR: Status.NO_SUCH_FILE,
    errno.EACCES: Status.PERMISSION_DENIED,
    errno.EPERM: Status.PERMISSION_DENIED,
}
_ENTRIES_AT_A_TIME = 100


class Refused(Exception):
    """A request is answered with another status than OK."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Handle:
    """An open file, or a directory with what is still to be listed.

    Attributes:
        path: Remote.
        file: Descriptor; None: a directory, or a copy.
        copy: What this handle has written, where the server keeps what handles write apart.
        entries: Of a directory.
    """

    path: str
    file: int | None = None
    copy: bytearray | None = None
    entries: list[str] = field(default_factory=list)


class TwinFiles:
    """Answers as the measured server did, and otherwise as the folder does.

    Raises (each method):
        Refused: With the status code.
    """

    def __init__(self, measured: MeasuredServer, root: Path) -> None:
        self._measured = measured
        self._root = root.resolve()
        self._handles: dict[bytes, _Handle] = {}
        self._numbers = itertools.count(1)

    # Files.

    def open(self, path: str, flags: int) -> bytes:
        """Opens a file and returns its handle."""
        there = self._local(path)
        if (code := self._measured.answer("open_one_more")) and self._open_files >= self._measured.open_files:
            raise Refused(code)
        if flags & OPEN_CREATE:
            self._require_may_create(path)
        if there.exists():
            if flags & OPEN_CREATE and flags & OPEN_EXCLUSIVE:
                self._say("create_existing", otherwise=Status.FAILURE)
                flags |= OPEN_TRUNCATE  # it takes the file for a new one
            if flags & OPEN_READ:
                self._say("open_reading")
        elif not flags & OPEN_CREATE:
            self._say(
                "open_missing_for_writing" if flags & OPEN_WRITE else "open_missing",
                otherwise=Status.NO_SUCH_FILE,
            )
            flags |= OPEN_CREATE  # it said OK
        return self._kept(self._opened(path, there, flags))

    def _opened(self, path: str, there: Path, flags: int) -> _Handle:
        ways = os.O_RDWR if flags & OPEN_WRITE and flags & OPEN_READ else os.O_WRONLY
        ways = ways if flags & OPEN_WRITE else os.O_RDONLY
        ways |= os.O_CREAT if flags & OPEN_CREATE else 0
        ways |= os.O_TRUNC if flags & OPEN_TRUNCATE else 0
        with _as_status():
            file = os.open(there, ways, 0o666)
        if self._measured.keeps_second_handle is False and flags & OPEN_WRITE:
            os.close(file)
            return _Handle(path, copy=bytearray(there.read_bytes()))
        return _Handle(path, file=file)

    def _require_may_create(self, path: str) -> None:
        directory, name = posixpath.split(path)
        if len(name) > self._measured.longest_name:
            raise Refused(self._measured.answer("create_too_long") or Status.FAILURE)
        self._say("create")
        if self._measured.writable.get(directory) is False:
            raise Refused(Status.PERMISSION_DENIED)

    def close(self, handle: bytes) -> None:
        """Closes a file or a directory."""
        closed = self._handles.pop(handle, None)
        if closed is None:
            raise Refused(Status.FAILURE)
        if closed.file is not None:
            os.close(closed.file)
        if closed.copy is not None:
            with _as_status():
                self._local(closed.path).write_bytes(closed.copy)

    def close_all(self) -> None:
        """Closes what is open, and loses what is only in a copy."""
        for each in self._handles.values():
            if each.file is not None:
                os.close(each.file)
        self._handles = {}

    def read(self, handle: bytes, offset: int, length: int) -> bytes:
        """Returns what is there, empty at the end."""
        opened = self._of(handle)
        self._say("read")
        if opened.copy is not None:
            return bytes(opened.copy[offset : offset + length])
        with _as_status():
            return os.pread(self._descriptor(opened), length, offset)

    def write(self, handle: bytes, offset: int, data: bytes) -> None:
        """Writes all of it."""
        opened = self._of(handle)
        if opened.copy is not None:
            opened.copy.extend(bytes(max(offset - len(opened.copy), 0)))
            opened.copy[offset : offset + len(data)] = data
            return
        with _as_status():
            while data:
                written = os.pwrite(self._descriptor(opened), data, offset)
                data, offset = data[written:], offset + written

    def sync(self, handle: bytes) -> None:
        """Does nothing but answer."""
        self._of(handle)
        self._say("fsync")

    def path_of(self, handle: bytes) -> str:
        """Returns the path of an open file."""
        return self._of(handle).path

    # Names.

    def stat(self, path: str) -> os.stat_result:
        """Returns what is known of a file."""
        there = self._local(path)
        if not there.exists():
            raise Refused(self._measured.answer("stat_missing") or Status.NO_SUCH_FILE)
        self._say("stat")
        with _as_status():
            return there.stat()

    def set_attributes(self, path: str, *, mode: int | None, times: tuple[int, int] | None) -> None:
        """Sets mode and times, or says so."""
        there = self._local(path)
        if mode is not None and not there.exists():
            self._say("set_mode_missing", otherwise=Status.NO_SUCH_FILE)
            return
        with _as_status():
            there.stat()
            if mode is not None:
                self._say("set_mode")
                if self._measured.takes_mode is not False:
                    there.chmod(mode & 0o7777)
            if times is not None:
                self._say("set_time")
                if self._measured.takes_time is not False:
                    os.utime(there, times)

    def rename(self, old: str, new: str, *, posix: bool = False) -> None:
        """Renames a file; `posix` is the extension."""
        there, target = self._local(old), self._local(new)
        which = "posix_rename" if posix else "rename"
        if not there.exists():
            raise Refused(self._measured.answer(f"{which}_missing") or Status.NO_SUCH_FILE)
        self._say(which)
        if posixpath.dirname(self.normal(old)) != posixpath.dirname(self.normal(new)):
            self._say(f"{which}_across_directories")
        if target.exists():
            self._say(f"{which}_over_existing", otherwise=Status.FAILURE)
        with _as_status():
            there.replace(target)

    def remove(self, path: str) -> None:
        """Removes a file."""
        there = self._local(path)
        if not there.exists():
            raise Refused(self._measured.answer("remove_missing") or Status.NO_SUCH_FILE)
        self._say("remove")
        if there.is_dir():
            raise Refused(Status.FAILURE)
        with _as_status():
            there.unlink()

    # Directories.

    def make_directory(self, path: str) -> None:
        """Makes one directory."""
        there = self._local(path)
        if there.exists():
            self._say("make_existing_directory", otherwise=Status.FAILURE)
            return
        self._say("make_directory")
        with _as_status():
            there.mkdir()

    def remove_directory(self, path: str) -> None:
        """Removes an empty directory."""
        self._say("remove_directory")
        with _as_status():
            self._local(path).rmdir()

    def open_directory(self, path: str) -> bytes:
        """Opens a directory for listing."""
        if not self._local(path).exists():
            self._say("list_missing", otherwise=Status.NO_SUCH_FILE)
            return self._kept(_Handle(path))
        if not self._local(path).is_dir():
            self._say("list_file", otherwise=Status.FAILURE)
            return self._kept(_Handle(path))
        with _as_status():
            return self._kept(_Handle(path, entries=sorted(_names_in(self._local(path)))))

    def entries(self, handle: bytes) -> list[tuple[str, os.stat_result]]:
        """Returns the next entries; none at the end."""
        opened = self._of(handle)
        folder = self._local(opened.path)
        listed: list[tuple[str, os.stat_result]] = []
        while opened.entries and not listed:  # none at all would be the end
            names, opened.entries = opened.entries[:_ENTRIES_AT_A_TIME], opened.entries[_ENTRIES_AT_A_TIME:]
            listed = [(name, found) for name in names if (found := _found(folder / name)) is not None]
        return listed

    def normal(self, path: str) -> str:
        """Returns an absolute path without `.` and `..`."""
        return posixpath.normpath(posixpath.join("/", path)).replace("//", "/")

    @property
    def _open_files(self) -> int:
        return sum(each.file is not None or each.copy is not None for each in self._handles.values())

    def _local(self, path: str) -> Path:
        parts = [part for part in self.normal(path).split("/") if part]
        there = self._root
        for part in parts:
            there = self._spelled(there, part) if self._measured.ignores_case else there / part
        return there

    def _spelled(self, folder: Path, name: str) -> Path:
        """Returns the entry that has this name in any case."""
        if not folder.is_dir():
            return folder / name
        same = (each for each in _names_in(folder) if each.casefold() == name.casefold())
        return folder / next(same, name)

    def _say(self, name: str, *, otherwise: int = OK) -> None:
        """Answers as the server did; where it was not asked, with another code."""
        code = self._measured.answer(name)
        code = otherwise if code is None else code
        if code != OK:
            raise Refused(code)

    def _kept(self, opened: _Handle) -> bytes:
        handle = str(next(self._numbers)).encode()
        self._handles[handle] = opened
        return handle

    def _of(self, handle: bytes) -> _Handle:
        if handle not in self._handles:
            raise Refused(Status.FAILURE)
        return self._handles[handle]

    def _descriptor(self, opened: _Handle) -> int:
        if opened.file is None:
            raise Refused(Status.FAILURE)
        return opened.file


def _names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def _found(path: Path) -> os.stat_result | None:
    """Returns what is there; None: another connection has removed or renamed it meanwhile."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def attributes_of(found: os.stat_result) -> bytes:
    """Returns attributes as they are on the wire."""
    flags = ATTR_SIZE | ATTR_PERMISSIONS | ATTR_ACMODTIME
    times = (int(found.st_atime) & 0xFFFFFFFF, int(found.st_mtime) & 0xFFFFFFFF)
    return struct.pack(">IQIII", flags, found.st_size, found.st_mode, *times)


@contextmanager
def _as_status() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(_CODES.get(error.errno or 0, Status.FAILURE)) from None
