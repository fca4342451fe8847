"""SFTP version 3 over a folder, with the answers that another server gave (draft-ietf-secsh-filexfer-02)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncssh

from local.twin_files import Refused, TwinFiles, attributes_of
from s3_to_sftp.measured_server import OK, MeasuredServer
from s3_to_sftp.sftp.protocol import FSYNC, LIMITS, POSIX_RENAME, Answer, Request, Status, text

_FSETSTAT = 10
_LONGEST_PACKET = 8 * 1024 * 1024


class Reader:
    """Reads the fields of a request."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def number(self) -> int:
        """Returns 32 bits."""
        return self._unpack(">I")

    def large(self) -> int:
        """Returns 64 bits."""
        return self._unpack(">Q")

    def data(self) -> bytes:
        """Returns a string of bytes."""
        length = self.number()
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def path(self) -> str:
        """Returns a string as a path."""
        return self.data().decode("utf-8", "surrogateescape")

    def _unpack(self, layout: str) -> int:
        size = struct.calcsize(layout)
        (value,) = struct.unpack(layout, self._rest[:size])
        self._rest = self._rest[size:]
        return int(value)


Handler = Callable[[Reader], tuple[int, bytes] | None]
"""Returns type and body of the answer; None: the status OK."""


class TwinSession(asyncssh.SSHServerSession[bytes]):
    """One SFTP session."""

    def __init__(self, measured: MeasuredServer, root: Path) -> None:
        self._measured = measured
        self._files = TwinFiles(measured, root)
        self._received = b""
        self._handlers: Mapping[int, Handler] = {
            Request.OPEN: self._open,
            Request.CLOSE: self._close,
            Request.READ: self._read,
            Request.WRITE: self._write,
            Request.LSTAT: self._stat,
            Request.STAT: self._stat,
            Request.FSTAT: lambda asked: _attributes(self._files.stat(self._files.path_of(asked.data()))),
            Request.SETSTAT: lambda asked: self._set(asked.path(), asked),
            _FSETSTAT: lambda asked: self._set(self._files.path_of(asked.data()), asked),
            Request.OPENDIR: lambda asked: (Answer.HANDLE, text(self._files.open_directory(asked.path()))),
            Request.READDIR: self._list,
            Request.REMOVE: self._by_path(self._files.remove),
            Request.MKDIR: self._by_path(self._files.make_directory),
            Request.RMDIR: self._by_path(self._files.remove_directory),
            Request.REALPATH: self._real_path,
            Request.RENAME: self._rename,
            Request.EXTENDED: self._extended,
        }

    # Called by asyncssh.

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Keeps the channel."""
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        """Accepts SFTP."""
        return subsystem == "sftp"

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 - asyncssh's
        """Answers every complete request."""
        self._received += data
        while len(self._received) >= 4:
            (length,) = struct.unpack(">I", self._received[:4])
            if length > _LONGEST_PACKET:
                self._channel.close()
                return
            if len(self._received) < 4 + length:
                return
            packet, self._received = self._received[4 : 4 + length], self._received[4 + length :]
            self._channel.write(_packet(*self._answer(packet)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
        """Closes what is open."""
        self._files.close_all()

    def _answer(self, packet: bytes) -> tuple[int, bytes]:
        kind, asked = packet[0], Reader(packet[1:])
        if kind == Request.INIT:
            pairs = b"".join(text(name) + text(data) for name, data in self._measured.extensions.items())
            return Answer.VERSION, struct.pack(">I", self._measured.sftp_version) + pairs
        request_id = struct.pack(">I", asked.number())
        handler = self._handlers.get(kind)
        try:
            answer, body = (handler(asked) or _status(OK)) if handler else _status(Status.OP_UNSUPPORTED)
        except Refused as refused:
            answer, body = _status(refused.code)
        except (struct.error, ValueError):
            answer, body = _status(Status.BAD_MESSAGE)
        return answer, request_id + body

    # Requests.

    def _open(self, asked: Reader) -> tuple[int, bytes]:
        path, flags = asked.path(), asked.number()
        return Answer.HANDLE, text(self._files.open(path, flags))

    def _read(self, asked: Reader) -> tuple[int, bytes]:
        content = self._files.read(asked.data(), asked.large(), asked.number())
        return (Answer.DATA, text(content)) if content else _status(Status.EOF)

    def _write(self, asked: Reader) -> None:
        self._files.write(asked.data(), asked.large(), asked.data())

    def _close(self, asked: Reader) -> None:
        self._files.close(asked.data())

    def _by_path(self, do: Callable[[str], None]) -> Handler:
        def handle(asked: Reader) -> None:
            do(asked.path())

        return handle

    def _rename(self, asked: Reader) -> None:
        self._files.rename(asked.path(), asked.path())

    def _stat(self, asked: Reader) -> tuple[int, bytes]:
        return _attributes(self._files.stat(asked.path()))

    def _set(self, path: str, asked: Reader) -> None:
        flags = asked.number()
        if flags & 0x01:  # the size
            asked.large()
        if flags & 0x02:  # user and group
            asked.number(), asked.number()
        mode = asked.number() if flags & 0x04 else None
        times = (asked.number(), asked.number()) if flags & 0x08 else None
        self._files.set_attributes(path, mode=mode, times=times)

    def _list(self, asked: Reader) -> tuple[int, bytes]:
        entries = self._files.entries(asked.data())
        if not entries:
            return _status(Status.EOF)
        listed = b"".join(text(name) + text(name) + attributes_of(found) for name, found in entries)
        return Answer.NAME, struct.pack(">I", len(entries)) + listed

    def _real_path(self, asked: Reader) -> tuple[int, bytes]:
        name = text(self._files.normal(asked.path()).encode("utf-8", "surrogateescape"))
        return Answer.NAME, struct.pack(">I", 1) + name + name + struct.pack(">I", 0)

    def _extended(self, asked: Reader) -> tuple[int, bytes]:
        name = asked.path()
        if name not in self._measured.extensions:
            return _status(Status.OP_UNSUPPORTED)
        if name == POSIX_RENAME:
            self._files.rename(asked.path(), asked.path(), posix=True)
            return _status(OK)
        if name == FSYNC:
            self._files.sync(asked.data())
            return _status(OK)
        if name == LIMITS and self._measured.limits is not None:
            return Answer.EXTENDED_REPLY, struct.pack(">QQQQ", *self._measured.limits)
        return _status(Status.OP_UNSUPPORTED)


def _packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


def _status(code: int) -> tuple[int, bytes]:
    return Answer.STATUS, struct.pack(">I", code) + text("") + text("")


def _attributes(found: os.stat_result) -> tuple[int, bytes]:
    return Answer.ATTRS, attributes_of(found)
