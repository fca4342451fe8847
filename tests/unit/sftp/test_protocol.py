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

ALL = ATTR_SIZE | ATTR_UIDGID | ATTR_PERMISSIONS | ATTR_ACMODTIME


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


@pytest.mark.parametrize("flags", range(ALL + 1))
def test_each_attribute_is_read_where_its_flag_says_that_it_is(flags: int) -> None:
    assert read_attributes(attributes(flags)) == FileAttributes(
        size=2**40 + 1 if flags & ATTR_SIZE else None,
        mtime=1_800_000_000 if flags & ATTR_ACMODTIME else None,
        permissions=0o100640 if flags & ATTR_PERMISSIONS else None,
    )


def test_what_stands_behind_the_attributes_is_ignored() -> None:
    extended = struct.pack(">I", ALL | 0x8000_0000) + attributes(ALL)[4:] + struct.pack(">I", 1)
    assert read_attributes(extended) == read_attributes(attributes(ALL))


@pytest.mark.parametrize("flags", [ATTR_SIZE, ATTR_PERMISSIONS, ATTR_ACMODTIME, ALL])
def test_attributes_that_are_shorter_than_their_flags_say_are_malformed(flags: int) -> None:
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
def test_type_is_what_the_permissions_say(permissions: int | None, *, is_regular: bool | None) -> None:
    assert FileAttributes(permissions=permissions).is_regular is is_regular


Ask = Callable[[SftpSession], Pending[FileAttributes]]
both = pytest.mark.parametrize(
    ("ask", "kind"),
    [(lambda session: session.stat("a"), Request.STAT), (lambda session: session.lstat("a"), Request.LSTAT)],
    ids=["stat", "lstat"],
)


@both
def test_attributes_of_a_path_are_returned(ask: Ask, kind: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        body = struct.pack(">I", asked.request_id) + attributes(ALL)
        return framed(Answer.ATTRS, body) if asked.kind == kind else None

    session = ScriptedServer(script).session()
    assert result_of(session, ask(session)) == read_attributes(attributes(ALL))


@both
def test_refused_attributes_of_a_path_are_raised(ask: Ask, kind: Request) -> None:
    session = ScriptedServer(refusing(kind, Status.PERMISSION_DENIED)).session()
    with pytest.raises(RequestRefused, match="show the attributes of 'a'"):
        result_of(session, ask(session))


@both
def test_unreadable_attributes_of_a_path_end_the_session(ask: Ask, kind: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        body = struct.pack(">IIB", asked.request_id, ATTR_SIZE, 1)
        return framed(Answer.ATTRS, body) if asked.kind == kind else None

    session = ScriptedServer(script).session()
    with pytest.raises(ProtocolViolation):
        result_of(session, ask(session))
    assert session.is_over
