"""File attributes as draft-ietf-secsh-filexfer-02, section 5, lays them out."""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable

import pytest

from s3_to_sftp.errors import ProtocolViolation, RequestRefused
from s3_to_sftp.sftp.protocol import (
    ATTR_ACMODTIME,
    ATTR_PERMISSIONS,
    ATTR_SIZE,
    ATTR_UIDGID,
    Answer,
    FileAttributes,
    MalformedReplyError,
    Request,
    Status,
    read_attributes,
)
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.wire import Pending
from tests.support.scripted_server import Asked, ScriptedServer, framed, refusing, result_of

ALL_FLAGS = ATTR_SIZE | ATTR_UIDGID | ATTR_PERMISSIONS | ATTR_ACMODTIME


def attributes(flags: int) -> bytes:
    body = struct.pack(">I", flags)
    if flags & ATTR_SIZE:
        body += struct.pack(">Q", 2**40 + 1)
    if flags & ATTR_UIDGID:
        body += struct.pack(">II", 1000, 100)
    if flags & ATTR_PERMISSIONS:
        body += struct.pack(">I", 0o100640)
    if flags & ATTR_ACMODTIME:
        body += struct.pack(">II", 1_700_000_000, 1_800_000_000)
    return body


@pytest.mark.parametrize("flags", range(ALL_FLAGS + 1))
def test_attributes_are_read_as_their_flags_state(flags: int) -> None:
    assert read_attributes(attributes(flags)) == FileAttributes(
        size=2**40 + 1 if flags & ATTR_SIZE else None,
        mtime=1_800_000_000 if flags & ATTR_ACMODTIME else None,
        permissions=0o100640 if flags & ATTR_PERMISSIONS else None,
    )


def test_extended_attributes_are_ignored() -> None:
    extended = struct.pack(">I", ALL_FLAGS | 0x8000_0000) + attributes(ALL_FLAGS)[4:] + struct.pack(">I", 1)
    assert read_attributes(extended) == read_attributes(attributes(ALL_FLAGS))


@pytest.mark.parametrize("flags", [ATTR_SIZE, ATTR_PERMISSIONS, ATTR_ACMODTIME, ALL_FLAGS])
def test_truncated_attributes_are_malformed(flags: int) -> None:
    with pytest.raises(MalformedReplyError):
        read_attributes(attributes(flags)[:-1])


@pytest.mark.parametrize(
    ("permissions", "is_regular"),
    [
        (stat.S_IFREG | 0o644, True),
        (stat.S_IFDIR | 0o755, False),
        (stat.S_IFLNK | 0o777, False),
        (stat.S_IFIFO, False),
        (0o644, None),
        (None, None),
    ],
)
def test_file_type_is_read_from_the_permissions(permissions: int | None, *, is_regular: bool | None) -> None:
    assert FileAttributes(permissions=permissions).is_regular is is_regular


SendStat = Callable[[SftpSession], Pending[FileAttributes]]
each_stat = pytest.mark.parametrize(
    ("send_stat", "kind"),
    [(lambda session: session.stat("a"), Request.STAT), (lambda session: session.lstat("a"), Request.LSTAT)],
    ids=["stat", "lstat"],
)


@each_stat
def test_stat_returns_the_attributes(send_stat: SendStat, kind: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        body = struct.pack(">I", asked.request_id) + attributes(ALL_FLAGS)
        return framed(Answer.ATTRS, body) if asked.kind == kind else None

    session = ScriptedServer(script).session()
    assert result_of(session, send_stat(session)) == read_attributes(attributes(ALL_FLAGS))


@each_stat
def test_refused_stat_is_raised(send_stat: SendStat, kind: Request) -> None:
    session = ScriptedServer(refusing(kind, Status.PERMISSION_DENIED)).session()
    with pytest.raises(RequestRefused, match="show the attributes of 'a'"):
        result_of(session, send_stat(session))


@each_stat
def test_malformed_stat_reply_ends_the_session(send_stat: SendStat, kind: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        body = struct.pack(">IIB", asked.request_id, ATTR_SIZE, 1)
        return framed(Answer.ATTRS, body) if asked.kind == kind else None

    session = ScriptedServer(script).session()
    with pytest.raises(ProtocolViolation):
        result_of(session, send_stat(session))
    assert session.is_over
