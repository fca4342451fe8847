"""The requests of SFTP version 3 (draft-ietf-secsh-filexfer-02) and the extensions that servers offer.

Every request returns at once with a `Pending`; its reply is awaited.
"""

import functools
import struct

from s3_to_sftp.sftp import protocol
from s3_to_sftp.sftp.protocol import FileAttributes, Reply, Request
from s3_to_sftp.sftp.replies import (
    ReplyDecoder,
    attributes_if_told,
    handle_if_told,
    limits_if_told,
    name_if_told,
    names_if_told,
)
from s3_to_sftp.sftp.temporary_names import described
from s3_to_sftp.sftp.wire import SEND_AT_BYTES, Pending, Wire
from s3_to_sftp.ssh.stream import Piece


class SftpRequests:
    """Sends the requests of one session. Each goes out with the next flush."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._replies = ReplyDecoder(wire)
        self._extensions: dict[str, bytes] = {}

    @property
    def renames_over_existing(self) -> bool:
        """Whether `rename` replaces an existing target atomically."""
        return protocol.POSIX_RENAME in self._extensions

    def create(self, path: str) -> Pending[bytes]:
        """Open a new or emptied file for writing; the result is its handle.

        WRITE|CREAT|TRUNC and nothing more: object-store-backed servers refuse APPEND and READ.
        """
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_TRUNCATE
        return self._open(path, flags, doing=f"create {described(path)}", request="create")

    def create_exclusively(self, path: str) -> Pending[bytes]:
        """Open a new file for writing; refused where the name is taken. The result is its handle."""
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_EXCLUSIVE
        return self._open(path, flags, doing=f"create {described(path)} where nothing is", request="create")

    def open_existing(self, path: str) -> Pending[bytes]:
        """Open a file that is there for writing at any offset; the result is its handle."""
        return self._open(path, protocol.OPEN_WRITE, doing=f"open {described(path)} a second time")

    def write(self, handle: bytes, offset: int, data: Piece, *, path: str) -> Pending[None]:
        """Write at an offset. When it returns, the data was sent or copied: its memory may be used again."""
        header = protocol.text(handle) + struct.pack(">QI", offset, len(data))
        self._wire.traffic.largest_sent = max(self._wire.traffic.largest_sent, len(data))
        if len(data) < SEND_AT_BYTES:
            data = bytes(data)
        return self._wire.request(
            Request.WRITE,
            header,
            data,
            doing=f"write {described(path)} at offset {offset}",
            decode=functools.partial(self._written, len(data)),
        )

    def _written(self, size: int, reply: Reply, doing: str) -> None:
        self._replies.ok(reply, doing)
        traffic = self._wire.traffic
        traffic.largest_accepted = max(traffic.largest_accepted, size)

    def close_file(self, handle: bytes, *, path: str) -> Pending[None]:
        """Close the file; servers with an object store behind them commit it only now."""
        return self._wire.request(
            Request.CLOSE, protocol.text(handle), doing=f"close {described(path)}", decode=self._replies.ok
        )

    def rename(self, old: str, new: str) -> Pending[None]:
        """Rename, replacing the target where the server can do that in one step."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {described(old)} to {described(new)}"
        if self.renames_over_existing:
            name = protocol.text(protocol.POSIX_RENAME)
            return self._wire.request(
                Request.EXTENDED, name + paths, doing=doing, decode=self._replies.ok, request="rename"
            )
        return self._wire.request(Request.RENAME, paths, doing=doing, decode=self._replies.ok)

    def rename_without_replacing(self, old: str, new: str) -> Pending[None]:
        """Rename as version 3 does it: refused where the target exists."""
        paths = protocol.text(old) + protocol.text(new)
        doing = f"rename {described(old)} to {described(new)}"
        return self._wire.request(
            Request.RENAME, paths, doing=doing, decode=self._replies.ok, request="rename"
        )

    def remove(self, path: str) -> Pending[None]:
        """Remove a file."""
        return self._wire.request(
            Request.REMOVE, protocol.text(path), doing=f"remove {described(path)}", decode=self._replies.ok
        )

    def make_directory(self, path: str) -> Pending[None]:
        """Make one directory; its parent must exist."""
        attributes = struct.pack(">I", 0)
        return self._wire.request(
            Request.MKDIR,
            protocol.text(path) + attributes,
            doing=f"make the directory {path!r}",
            decode=self._replies.ok,
        )

    def remove_directory(self, path: str) -> Pending[None]:
        """Remove an empty directory."""
        return self._wire.request(
            Request.RMDIR,
            protocol.text(path),
            doing=f"remove the directory {path!r}",
            decode=self._replies.ok,
        )

    def sync(self, handle: bytes, *, path: str) -> Pending[None]:
        """Let the server write an open file to its disk. Only where it offers `fsync@openssh.com`."""
        return self._wire.request(
            Request.EXTENDED,
            protocol.text(protocol.FSYNC) + protocol.text(handle),
            doing=f"write {described(path)} to its disk",
            decode=self._replies.ok,
        )

    @property
    def states_limits(self) -> bool:
        """Whether the server can be asked for its limits."""
        return protocol.LIMITS in self._extensions

    def limits(self) -> Pending[tuple[int, int, int, int] | None]:
        """Ask for bytes of a packet, a READ, a WRITE, and open files; None when the server does not tell."""
        return self._wire.request(
            Request.EXTENDED,
            protocol.text(protocol.LIMITS),
            doing="state its limits",
            decode=limits_if_told,
        )

    def exists(self, path: str) -> Pending[bool]:
        """Ask whether the server shows something under this name."""
        return self._wire.request(
            Request.STAT,
            protocol.text(path),
            doing=f"look at {described(path)}",
            decode=self._replies.is_there,
        )

    def size_of(self, path: str) -> Pending[int | None]:
        """Ask for the size of a file in bytes; None when the server does not say."""
        return self._wire.request(
            Request.STAT,
            protocol.text(path),
            doing=f"tell the size of {described(path)}",
            decode=self._replies.size,
        )

    def stat(self, path: str) -> Pending[FileAttributes]:
        """Ask for the attributes of a file; of a link: of what it points to."""
        return self._wire.request(
            Request.STAT,
            protocol.text(path),
            doing=f"show the attributes of {described(path)}",
            decode=self._replies.attributes,
        )

    def set_attributes(self, path: str, *, mode: int | None, mtime: int | None) -> Pending[None]:
        """Set permission bits, and the times in seconds since 1970; None leaves one as it is."""
        flags = (protocol.ATTR_PERMISSIONS if mode is not None else 0) | (
            protocol.ATTR_ACMODTIME if mtime is not None else 0
        )
        attributes = struct.pack(">I", flags)
        attributes += b"" if mode is None else struct.pack(">I", mode)
        attributes += b"" if mtime is None else struct.pack(">II", mtime, mtime)
        return self._wire.request(
            Request.SETSTAT,
            protocol.text(path) + attributes,
            doing=f"set the attributes of {described(path)}",
            decode=self._replies.ok,
        )

    def lstat(self, path: str) -> Pending[FileAttributes]:
        """Ask for the attributes of a file; of a link: of the link itself."""
        return self._wire.request(
            Request.LSTAT,
            protocol.text(path),
            doing=f"show the attributes of {described(path)}",
            decode=self._replies.attributes,
        )

    def fstat(self, handle: bytes, *, path: str) -> Pending[FileAttributes | None]:
        """Ask for the attributes of an open file; None when the server refuses, or answers unreadably.

        It is sent along with other requests and only informs: no answer to it is an error.
        """
        return self._wire.request(
            Request.FSTAT,
            protocol.text(handle),
            doing=f"show the attributes of {described(path)}",
            decode=attributes_if_told,
        )

    def open_directory(self, path: str) -> Pending[bytes]:
        """Open a directory for listing; the result is its handle."""
        return self._wire.request(
            Request.OPENDIR,
            protocol.text(path),
            doing=f"open the directory {path!r}",
            decode=self._replies.handle,
        )

    def listing(self, path: str) -> Pending[bytes | None]:
        """Open a directory for listing; the result is its handle, None when the server refuses."""
        return self._wire.request(
            Request.OPENDIR,
            protocol.text(path),
            doing=f"open the directory {path!r}",
            decode=handle_if_told,
        )

    def entries(self, handle: bytes, *, path: str) -> Pending[list[tuple[str, FileAttributes]]]:
        """List the next entries of a directory; none at its end, and when the server refuses."""
        return self._wire.request(
            Request.READDIR,
            protocol.text(handle),
            doing=f"list the directory {path!r}",
            decode=names_if_told,
        )

    def open_reading(self, path: str) -> Pending[bytes]:
        """Open a file for reading; the result is its handle."""
        return self._open(path, protocol.OPEN_READ, doing=f"open {described(path)} for reading")

    def read(self, handle: bytes, offset: int, length: int, *, path: str) -> Pending[bytes]:
        """Read up to so many bytes; empty at the end of the file."""
        body = protocol.text(handle) + struct.pack(">QI", offset, length)
        return self._wire.request(
            Request.READ, body, doing=f"read {described(path)}", decode=self._replies.data
        )

    def turn(self) -> Pending[None]:
        """Ask for an answer, whatever it is: while a task waits for it, the others have their turn."""
        return self._wire.request(
            Request.REALPATH, protocol.text("."), doing="answer a ping", decode=lambda _reply, _doing: None
        )

    def home(self) -> Pending[str]:
        """Ask where the login starts; empty where the server does not tell."""
        return self._wire.request(
            Request.REALPATH, protocol.text("."), doing="tell where the login starts", decode=name_if_told
        )

    def _open(self, path: str, flags: int, *, doing: str, request: str = "open") -> Pending[bytes]:
        body = protocol.text(path) + struct.pack(">II", flags, 0)
        return self._wire.request(
            Request.OPEN, body, doing=doing, decode=self._replies.handle, request=request
        )
