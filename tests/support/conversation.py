"""The same requests to two servers, and the status codes of both."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import connect
from s3_to_sftp.sftp.protocol import FSYNC
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending
from tests.support.partner import IMPATIENT

Said = tuple[str, int]
"""A request in words, and its status code."""


class Conversation:
    """Asks a session, and notes what it says.

    Attributes:
        said: So far.
    """

    def __init__(self, session: SftpSession, directory: str) -> None:
        self.said: list[Said] = []
        self._session = session
        self._directory = directory

    def run(self) -> list[Said]:
        """Have the whole conversation, which a delivery's steps are made of, and many of its mistakes."""
        for part in (
            self._files,
            self._renames,
            self._attributes,
            self._directories,
            self._handles,
            self._end,
        ):
            part()
        return self.said

    def _files(self) -> None:
        session, a = self._session, self._path("a")
        self._put("a", b"first")
        self._put("a", b"second, and longer")
        self._say("read a", self._opened("open a for reading", session.open_reading(a), a))
        self._opened("open none for reading", session.open_reading(self._path("none")), a)
        self._opened("open none for writing", session.open_existing(self._path("none")), a)
        self._opened("create a exclusively", session.create_exclusively(a), a)
        self._opened("create e exclusively", session.create_exclusively(self._path("e")), a)
        self._opened("create in a missing directory", session.create(self._path("no/such")), a)
        self._opened("create a long name", session.create(self._path("x" * 255)), a)
        self._opened("create a longer name", session.create(self._path("x" * 256)), a)
        self._ask("stat a", session.stat(a))
        self._ask("lstat a", session.lstat(a))
        self._ask("stat none", session.stat(self._path("none")))
        self._ask("stat in a missing directory", session.stat(self._path("no/such")))
        if FSYNC in session.extensions:
            handle = self._ask("open a", session.open_existing(a))
            self._ask("fsync a", session.sync(handle, path=a))
            self._ask("close a", session.close_file(handle, path=a))

    def _renames(self) -> None:
        session = self._session
        for number, way in enumerate((session.rename, session.rename_without_replacing)):
            name = f"rename {number}"
            self._put("r", b"new")
            self._put("old", b"old")
            self._ask(f"{name}: to a free name", way(self._path("r"), self._path(f"free{number}")))
            self._ask(f"{name}: what is gone", way(self._path("r"), self._path("free")))
            self._put("r", b"new")
            self._ask(f"{name}: over a file", way(self._path("r"), self._path("old")))
            self._ask(f"{name}: is it gone", session.stat(self._path("r")))
            self._ask(f"{name}: into a missing directory", way(self._path("old"), self._path("no/such")))

    def _attributes(self) -> None:
        a = self._path("a")
        for mode in (0o600, 0o644):
            self._ask(f"mode {mode:o}", self._session.set_attributes(a, mode=mode, mtime=None))
        self._ask("time", self._session.set_attributes(a, mode=None, mtime=1_234_567_890))
        self._ask("mode of none", self._session.set_attributes(self._path("none"), mode=0o600, mtime=None))
        shown = self._ask("stat a", self._session.stat(a))
        self.said.append(("time is shown", int(shown.mtime == 1_234_567_890)))
        self.said.append(("size is shown", shown.size))

    def _directories(self) -> None:
        session = self._session
        self._ask("mkdir d", session.make_directory(self._path("d")))
        self._ask("mkdir d again", session.make_directory(self._path("d")))
        self._ask("mkdir in a missing directory", session.make_directory(self._path("no/such")))
        for way in (session.rename, session.rename_without_replacing):
            self._put("d/in", b"in")
            self._ask("move out of d", way(self._path("d/in"), self._path("out")))
            self._ask("remove out", session.remove(self._path("out")))
        self._ask("list d", session.open_directory(self._path("d")))
        self._ask("list a", session.open_directory(self._path("a")))
        self._ask("list none", session.open_directory(self._path("none")))
        self._ask("rmdir d", session.remove_directory(self._path("d")))
        self._ask("rmdir d again", session.remove_directory(self._path("d")))

    def _handles(self) -> None:
        session, h = self._session, self._path("h")
        first = self._ask("create h", session.create(h))
        self._ask("write one", session.write(first, 1, b"b", path=h))
        second = self._ask("open h again", session.open_existing(h))
        if second is not None:
            self._ask("write two", session.write(second, 0, b"a", path=h))
            self._ask("close two", session.close_file(second, path=h))
        self._ask("close one", session.close_file(first, path=h))

    def _end(self) -> None:
        for name in ("a", "a", "none", "h"):
            self._ask(f"remove {name}", self._session.remove(self._path(name)))

    def _put(self, name: str, content: bytes) -> None:
        path = self._path(name)
        handle = self._ask(f"create {name}", self._session.create(path))
        if handle is not None:
            self._ask(f"write {name}", self._session.write(handle, 0, content, path=path))
            self._ask(f"close {name}", self._session.close_file(handle, path=path))

    def _opened(self, words: str, pending: Pending[bytes], path: str) -> int:
        handle = self._ask(words, pending)
        if handle is None:
            return -1
        self._ask(f"{words}: close", self._session.close_file(handle, path=path))
        return 0

    def _say(self, words: str, code: int) -> None:
        self.said.append((words, code))

    def _ask(self, words: str, pending: Pending[Any]) -> Any:
        try:
            result = self._session.wait_for(pending)
        except RequestRefused as refused:
            self.said.append((words, refused.code))
            return None
        self.said.append((words, 0))
        return result

    def _path(self, name: str) -> str:
        return posixpath.join(self._directory, name)


@contextmanager
def session_of(server: Server, login: Credentials) -> Iterator[SftpSession]:
    """An SFTP session until the block ends."""
    connection = connect(server, login, IMPATIENT)
    try:
        yield connection.session
    finally:
        connection.close()
