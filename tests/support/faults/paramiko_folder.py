"""Files of a folder behind paramiko's SFTPServer, as its users write that."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import paramiko
from paramiko import SFTPAttributes, SFTPHandle, SFTPServer
from paramiko.sftp import SFTP_FAILURE, SFTP_OK

F = TypeVar("F", bound=Callable[..., Any])


def _or_errno(work: F) -> F:
    @functools.wraps(work)
    def answered(*arguments: Any) -> Any:
        try:
            return work(*arguments)
        except OSError as error:
            return SFTPServer.convert_errno(error.errno or 0)

    return answered  # type: ignore[return-value] # the same arguments


class _Handle(SFTPHandle):
    @_or_errno
    def stat(self) -> Any:
        file: Any = self
        return SFTPAttributes.from_stat(os.fstat(file.writefile.fileno()))


class ParamikoFolder(paramiko.SFTPServerInterface):
    """Shows a folder as `/`."""

    def __init__(self, server: paramiko.ServerInterface, *_: Any, root: Path) -> None:
        super().__init__(server)
        self._root = root

    def _local(self, path: str) -> Path:
        return self._root / self.canonicalize(path).lstrip("/")

    @_or_errno
    def list_folder(self, path: str) -> Any:
        listed = []
        for each in self._local(path).iterdir():
            with suppress(FileNotFoundError):  # another connection has removed or renamed it meanwhile
                listed.append(SFTPAttributes.from_stat(each.lstat(), each.name))
        return listed

    @_or_errno
    def stat(self, path: str) -> Any:
        return SFTPAttributes.from_stat(self._local(path).stat())

    @_or_errno
    def lstat(self, path: str) -> Any:
        return SFTPAttributes.from_stat(self._local(path).lstat())

    @_or_errno
    def open(self, path: str, flags: int, attr: SFTPAttributes) -> Any:
        file = os.fdopen(os.open(self._local(path), flags, 0o644), "r+b" if flags & os.O_RDWR else "wb")
        handle: Any = _Handle(flags)
        handle.readfile = handle.writefile = file
        return handle

    @_or_errno
    def remove(self, path: str) -> int:
        self._local(path).unlink()
        return SFTP_OK

    @_or_errno
    def rename(self, oldpath: str, newpath: str) -> int:
        if self._local(newpath).exists():
            return SFTP_FAILURE
        return self.posix_rename(oldpath, newpath)

    @_or_errno
    def posix_rename(self, oldpath: str, newpath: str) -> int:
        self._local(oldpath).replace(self._local(newpath))
        return SFTP_OK

    @_or_errno
    def mkdir(self, path: str, attr: SFTPAttributes) -> int:
        self._local(path).mkdir()
        return SFTP_OK
