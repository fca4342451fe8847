"""The server: shows each request to the document, refuses what it forbids, and records it."""

from __future__ import annotations

import functools
import posixpath
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from local.sftp_server import RunningServer, start_asyncssh_server
from tests.support.strict_partner.document import Arrival, Document

_WRITES = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC


@dataclass(kw_only=True)
class StrictPartner:
    """A running partner.

    Attributes:
        server: How to reach it.
        document: What it demands.
        arrivals: Files that it took, in order.
        complaints: What was wrong, in order. Whatever caused one was refused.
    """

    server: RunningServer
    document: Document
    arrivals: list[Arrival] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _ends: dict[int, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def names(self) -> list[str]:
        """Names of the files that it took, in order."""
        return [file.name for file in self.arrivals]

    def end_of_day(self) -> None:
        """Complain about what is missing."""
        if complaint := self.document.missing(self.arrivals):
            self.complaints.append(complaint)

    def require(self, complaint: str) -> None:
        """Record and refuse if there is a complaint.

        Raises:
            asyncssh.SFTPPermissionDenied: There is one.
        """
        if complaint:
            with self._lock:
                self.complaints.append(complaint)
            raise asyncssh.SFTPPermissionDenied(complaint)


@contextmanager
def start_strict_partner(root: Path, document: Document) -> Iterator[StrictPartner]:
    """Runs a partner with this document until the block ends; `root` is what clients see as `/`."""
    for directory in (document.inbox, *document.directories):
        (root / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
    holder: list[StrictPartner] = []
    with start_asyncssh_server(root, sftp_factory=functools.partial(_StrictServer, holder)) as server:
        holder.append(StrictPartner(server=server, document=document))
        yield holder[0]


class _StrictServer(asyncssh.SFTPServer):
    """One SFTP session of the partner."""

    def __init__(self, holder: list[StrictPartner], chan: Any, chroot: bytes) -> None:
        super().__init__(chan, chroot=chroot)
        self._partner = holder[0]
        self._document = holder[0].document

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & _WRITES:
            shown = _absolute(path)
            self._partner.require(self._document.written(shown) or self._taken(shown))
            if attrs.permissions is not None:
                self._require_settable(shown)
        file = super().open(path, pflags, attrs)
        self._partner._ends[id(file)] = 0
        return file

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._document.writes_in_order and offset != self._partner._ends[id(file_obj)]:
            self._partner.require(f"a write at {offset} does not begin where the last one ended")
        self._partner._ends[id(file_obj)] = offset + len(data)
        return super().write(file_obj, offset, data)

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        shown = _absolute(path)
        self._partner.require(self._taken(shown))
        self._require_settable(shown)
        super().setstat(path, attrs)

    lsetstat = setstat

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        self._require_settable("an open file")
        super().fsetstat(file_obj, attrs)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if self._local(newpath).exists():
            self._partner.require(f"{_absolute(newpath)} is there already")
        self._moved(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._moved(oldpath, newpath)

    def remove(self, path: bytes) -> None:
        self._partner.require(self._taken(_absolute(path)))
        super().remove(path)

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        self._partner.require(f"{_absolute(path)} is a directory of the sender's")

    rmdir = mkdir  # type: ignore[assignment] # refuses, too

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        self._partner.require(f"{_absolute(newpath)} is a link")

    link = symlink

    def _moved(self, oldpath: bytes, newpath: bytes) -> None:
        old, new = _absolute(oldpath), _absolute(newpath)
        source, target = self._local(oldpath), self._local(newpath)
        self._partner.require(self._taken(old) or self._document.renamed(old, new))
        if self._document.is_temporary(posixpath.basename(new)):
            self._partner.require(self._document.placed(new))
        else:
            self._arrive(old, new, source, target)
        super().posix_rename(oldpath, newpath)

    def _arrive(self, old: str, new: str, source: Path, target: Path) -> None:
        file = Arrival(
            path=new,
            temporary=posixpath.basename(old),
            data=source.read_bytes(),
            mode=source.stat().st_mode & 0o7777,
            replaces=target.exists(),
        )
        partner = self._partner
        partner.require(self._document.placed(new) or self._document.arrived(file, tuple(partner.arrivals)))
        partner.arrivals.append(file)

    def _taken(self, path: str) -> str:
        taken = any(file.path == path for file in self._partner.arrivals)
        return f"{path} was taken already, and is changed" if taken else ""

    def _require_settable(self, path: str) -> None:
        if not self._document.can_set_attributes:
            self._partner.require(f"attributes of {path} cannot be set")

    def _local(self, path: bytes) -> Path:
        return Path(self.map_path(path).decode())


def _absolute(path: bytes) -> str:
    return posixpath.normpath(posixpath.join("/", path.decode()))
