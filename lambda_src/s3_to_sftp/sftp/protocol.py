"""SFTP version 3 on the wire.

Numbers and layouts: draft-ietf-secsh-filexfer-02 (the version that every server speaks) and, for the
extensions whose names end in @openssh.com, the file PROTOCOL of the OpenSSH sources.
"""

import stat
import struct
from dataclasses import dataclass
from enum import IntEnum

from s3_to_sftp.sftp_status import Status as Status
from s3_to_sftp.untrusted_text import decoded

VERSION = 3

POSIX_RENAME = "posix-rename@openssh.com"
LIMITS = "limits@openssh.com"
FSYNC = "fsync@openssh.com"

OPEN_READ = 0x01
OPEN_WRITE = 0x02
OPEN_CREATE = 0x08
OPEN_TRUNCATE = 0x10
OPEN_EXCLUSIVE = 0x20

# SSH_FILEXFER_ATTR_*: which attributes follow the flags, in this order.
ATTR_SIZE = 0x01
ATTR_UIDGID = 0x02
ATTR_PERMISSIONS = 0x04
ATTR_ACMODTIME = 0x08
ATTR_EXTENDED = 0x8000_0000

MAX_REPLY_BYTES = 256 * 1024
"""OpenSSH's own bound of one message. None of the replies that we ask for comes near it."""


class Request(IntEnum):
    """SSH_FXP_* numbers of what a client sends."""

    INIT = 1
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    EXTENDED = 200


class Answer(IntEnum):
    """SSH_FXP_* numbers of what a server sends."""

    VERSION = 2
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED_REPLY = 201


NOTHING_THERE = frozenset({Status.NO_SUCH_FILE, Status.NO_SUCH_PATH})
"""How servers say that a file, or a directory on the way to it, does not exist."""


class MalformedReplyError(Exception):
    """A reply is shorter than its own lengths say, or of a layout that version 3 does not have."""


class ErrorStatusError(Exception):
    """A reply is a STATUS other than OK."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words


@dataclass(frozen=True)
class Reply:
    """One answer of the server: its type and what follows the request id."""

    kind: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class FileAttributes:
    """What a server tells about a file. None: it does not tell.

    Attributes:
        size: Bytes.
        mtime: When it was last modified, in seconds since 1970.
        permissions: The mode of POSIX: permission bits, and in most servers' answers the type of the file.
    """

    size: int | None = None
    mtime: int | None = None
    permissions: int | None = None

    @property
    def is_directory(self) -> bool | None:
        """Whether it is a directory; None: the server does not tell."""
        if self.permissions is None or not (kind := stat.S_IFMT(self.permissions)):
            return None
        return kind == stat.S_IFDIR

    @property
    def is_regular(self) -> bool | None:
        """Whether it is a regular file, neither a directory nor a link nor a device."""
        # Version 3 does not ask for the type bits, and there are servers that leave them out.
        if self.permissions is None or not (kind := stat.S_IFMT(self.permissions)):
            return None
        return kind == stat.S_IFREG


def text(value: str | bytes) -> bytes:
    """Encode an SSH string: length, then bytes (paths as UTF-8)."""
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return struct.pack(">I", len(raw)) + raw


def read_text(payload: bytes, offset: int = 0) -> tuple[bytes, int]:
    """Decode the SSH string at `offset`; return it and the offset behind it.

    Raises:
        MalformedReplyError: The payload ends before the string does.
    """
    (length,) = unpack(">I", payload, offset)
    end = offset + 4 + length
    if end > len(payload):
        raise MalformedReplyError(f"a string of {length} bytes in {len(payload) - offset - 4}")
    return payload[offset + 4 : end], end


def unpack(layout: str, payload: bytes, offset: int = 0) -> tuple[int, ...]:
    """Decode integers at `offset`.

    Raises:
        MalformedReplyError: The payload is too short.
    """
    try:
        return struct.unpack_from(layout, payload, offset)
    except struct.error as error:
        raise MalformedReplyError(str(error)) from None


def read_extensions(payload: bytes) -> dict[str, bytes]:
    """Decode the name/data pairs behind the version number of a VERSION answer."""
    extensions = {}
    offset = 0
    while offset < len(payload):
        name, offset = read_text(payload, offset)
        data, offset = read_text(payload, offset)
        extensions[name.decode("utf-8", "replace")] = data
    return extensions


def read_status(payload: bytes) -> tuple[int, str]:
    """Decode a STATUS answer to its code and the server's own words.

    Servers older than version 3 leave the words out; then they are empty. Nobody needs those of an OK, and a
    large file has thousands of them.
    """
    (code,) = unpack(">I", payload)
    if len(payload) <= 4:
        return code, ""
    words, _ = read_text(payload, 4)
    return code, "" if code == Status.OK else decoded(words).strip()


def read_attributes(payload: bytes) -> FileAttributes:
    """Decode an ATTRS answer (draft-ietf-secsh-filexfer-02, section 5).

    Raises:
        MalformedReplyError: It is shorter than its flags say.
    """
    attributes, _, _ = _attributes_at(payload, 0)
    return attributes


def read_names(payload: bytes) -> list[tuple[str, FileAttributes]]:
    """Decode a NAME answer (draft-ietf-secsh-filexfer-02, section 7): count, then name, line, attributes.

    Raises:
        MalformedReplyError: It is shorter than its count says.
    """
    (count,) = unpack(">I", payload)
    names, offset = [], 4
    for _ in range(count):
        name, offset = read_text(payload, offset)
        _line, offset = read_text(payload, offset)
        attributes, flags, offset = _attributes_at(payload, offset)
        if flags & ATTR_EXTENDED:
            offset = _behind_extended(payload, offset)
        names.append((decoded(name), attributes))
    return names


def _attributes_at(payload: bytes, offset: int) -> tuple[FileAttributes, int, int]:
    """Return attributes, their flags, and the offset behind all but the extended ones."""
    (flags,) = unpack(">I", payload, offset)
    offset += 4
    size = permissions = mtime = None
    if flags & ATTR_SIZE:
        (size,) = unpack(">Q", payload, offset)
        offset += 8
    if flags & ATTR_UIDGID:
        offset += 8
    if flags & ATTR_PERMISSIONS:
        (permissions,) = unpack(">I", payload, offset)
        offset += 4
    if flags & ATTR_ACMODTIME:
        _, mtime = unpack(">II", payload, offset)
        offset += 8
    return FileAttributes(size=size, mtime=mtime, permissions=permissions), flags, offset


def _behind_extended(payload: bytes, offset: int) -> int:
    (pairs,) = unpack(">I", payload, offset)
    offset += 4
    for _ in range(2 * pairs):
        _, offset = read_text(payload, offset)
    return offset
