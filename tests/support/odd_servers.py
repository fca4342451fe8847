"""Servers in memory that reply OK but do something other than what was requested."""

from __future__ import annotations

import struct

from s3_to_sftp.sftp.protocol import OPEN_CREATE, OPEN_WRITE, Answer, Request, Status
from tests.support.scripted_server import Asked, ScriptedServer, status


class Spool(bytearray):
    """The bytes that one handle has written."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


def flags_of(asked: Asked) -> int:
    """Return the flags of an OPEN."""
    (flags,) = struct.unpack_from(">I", asked.payload, len(asked.payload) - 8)
    return int(flags)


class KeepsApart(ScriptedServer):
    """What a handle has written takes the place of the file at its CLOSE."""

    def _open(self, asked: Asked) -> bytes:
        answer = super()._open(asked)
        if answer[4] == Answer.HANDLE and flags_of(asked) & OPEN_WRITE:
            self._handles[answer[13:].decode()] = Spool(asked.texts[0])
        return answer

    def _close(self, asked: Asked) -> bytes:
        spool = self._handles[asked.texts[0]]
        if isinstance(spool, Spool):
            self.files[spool.path] = bytearray(spool)
        return super()._close(asked)


class KeepsConnectionsApart(ScriptedServer):
    """Handles of one connection share what they write; it replaces the file when the last closes."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type] # passed on
        self._spools: dict[str, Spool] = {}

    def _open(self, asked: Asked) -> bytes:
        answer = super()._open(asked)
        (path,) = asked.texts
        if answer[4] == Answer.HANDLE and flags_of(asked) & OPEN_WRITE:
            self._handles[answer[13:].decode()] = self._spools.setdefault(path, Spool(path))
        return answer

    def _close(self, asked: Asked) -> bytes:
        spool = self._handles[asked.texts[0]]
        answer = super()._close(asked)
        if isinstance(spool, Spool) and not any(other is spool for other in self._handles.values()):
            self.files[spool.path] = bytearray(self._spools.pop(spool.path))
        return answer


class WipesAtOpen(ScriptedServer):
    """Overwrites the content with zeros when a file is reopened for writing, as rclone's cache does."""

    def _open(self, asked: Asked) -> bytes:
        answer = super()._open(asked)
        if answer[4] == Answer.HANDLE and flags_of(asked) & (OPEN_WRITE | OPEN_CREATE) == OPEN_WRITE:
            file = self._handles[answer[13:].decode()]
            file[:] = bytes(len(file))
        return answer


class IgnoresOffsets(ScriptedServer):
    """Appends every WRITE, like a file opened for appending."""

    def _write(self, asked: Asked) -> bytes:
        handle_end = 4 + int.from_bytes(asked.payload[:4], "big")
        end = len(self.file_of(asked.payload[4:handle_end]))
        payload = asked.payload[:handle_end] + end.to_bytes(8, "big") + asked.payload[handle_end + 8 :]
        return super()._write(Asked(asked.kind, asked.request_id, payload, asked.number))


class OneHandle(ScriptedServer):
    """Limits each connection to one open handle."""

    code = Status.FAILURE

    def _open(self, asked: Asked) -> bytes:
        return status(asked, self.code) if self._handles else super()._open(asked)


class OneHandleAnsweredInAnyOrder(OneHandle):
    """Processes the last of several requests first: here the OPEN of the probe file before the real one."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type] # passed on
        self._refused = False

    def _open(self, asked: Asked) -> bytes:
        if asked.kind == Request.OPEN and not self._refused:
            self._refused = True
            return status(asked, Status.PERMISSION_DENIED)
        return super()._open(asked)
