"""Asks for one thing after the other, and takes a refusal for an answer."""

import contextlib
from collections.abc import Coroutine
from typing import Any

from s3_to_sftp.errors import DeliveryError, RequestRefused
from s3_to_sftp.measured_server import OK
from s3_to_sftp.sftp.protocol import FileAttributes
from s3_to_sftp.sftp.publish import is_removed
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending


class Asker:
    """Asks one session.

    Attributes:
        session: To the partner.
        answers: What was asked for -> status code.
        left: Names that could not be removed.

    Raises (each method):
        DeliveryError: The server is lost.
    """

    def __init__(self, session: SftpSession) -> None:
        self.session = session
        self.answers: dict[str, int | None] = {}
        self.left: list[str] = []
        self._names: list[str] = []

    def asked(self, pending: Pending[Any]) -> tuple[int, Any]:
        """Return the status code, and the result where it is OK."""
        try:
            return OK, self.session.wait_for(pending)
        except RequestRefused as refused:
            return refused.code, None

    def done(self, task: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
        """Return the same for a task of several requests."""
        try:
            return OK, self.session.run_one(task)
        except RequestRefused as refused:
            return refused.code, None

    def ask(self, name: str, pending: Pending[Any]) -> None:
        """Note the status code."""
        self.answers[name], _ = self.asked(pending)

    def ask_open(self, name: str, pending: Pending[bytes], path: str) -> None:
        """Note the status code of opening a file, which is closed at once."""
        self.answers[name], handle = self.asked(pending)
        if handle is not None:
            self.close(handle, path)

    def put(self, name: str) -> int:
        """Create a file of one byte, or empty it; return the status code."""
        code, handle = self.asked(self.session.create(name))
        self.note(name)
        if handle is not None:
            self.asked(self.session.write(handle, 0, b"x", path=name))
            self.close(handle, name)
        return code

    def close(self, handle: bytes, name: str) -> None:
        """Close a file, which is removed in the end."""
        self.note(name)
        self.asked(self.session.close_file(handle, path=name))

    def note(self, name: str) -> None:
        """Remember a name to be removed in the end."""
        self._names.append(name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.asked(self.session.remove(name))

    def shown(self, name: str) -> FileAttributes | None:
        """Return what the server shows of a file."""
        found: FileAttributes | None = self.asked(self.session.stat(name))[1]
        return found

    def clean_up(self) -> None:
        """Remove all files; never raises. What stays is in `left`."""
        for name in dict.fromkeys(self._names):
            gone = False
            with contextlib.suppress(DeliveryError):
                gone = self.session.run_one(is_removed(self.session, name)) or self.shown(name) is None
            if not gone:
                self.left.append(name)
        self._names = []
