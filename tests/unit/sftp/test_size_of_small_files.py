"""A small file whose shown size differs from the acknowledged bytes gets no final name."""

from __future__ import annotations

import pytest

from s3_to_sftp.errors import ConnectionLost, Disposition, SizeMismatch
from s3_to_sftp.sftp.protocol import LIMITS, FileAttributes, Request, Status
from s3_to_sftp.sftp.publish import publish
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.size_check import confirm_size
from s3_to_sftp.sftp.upload import Staged, upload_small
from tests.support.scripted_server import (
    Asked,
    Script,
    ScriptedServer,
    attributes,
    is_rename,
    one_of,
    refusing,
    silent_at,
)
from tests.support.sftp_environment import MemoryJournal

DATA = b"x" * 1000
SIZE = len(DATA)
TEMPORARY = ".a.part"

each_rename = pytest.mark.parametrize("extensions", [None, {LIMITS: b"1"}], ids=["posix-rename", "rename"])
each_wrong_size = pytest.mark.parametrize("wrong", [0, SIZE - 1, SIZE + 1, 2**40])


def showing(kind: Request, **what: int | None) -> Script:
    """Script: this is what the server shows."""
    return lambda asked: attributes(asked, **what) if asked.kind == kind else None


class Upload:
    """One small file on its way to a server.

    Attributes:
        staged: What `upload_small` returned.
    """

    def __init__(self, *scripts: Script, extensions: dict[str, bytes] | None = None) -> None:
        self.server = ScriptedServer(one_of(*scripts), extensions=extensions)
        self.journal = MemoryJournal({TEMPORARY: "written"})
        self.staged: list[Staged] = []

    def run(self) -> None:
        session = self.server.session()
        self.server.forget()
        session.run_one(self._send(session))

    async def _send(self, session: SftpSession) -> None:
        staged = await upload_small(session, DATA, temporary=TEMPORARY, path="a", journal=self.journal)
        assert not any(map(is_rename, self.server.asked))
        self.staged.append(staged)
        await publish(session, TEMPORARY, "a", aside=f"{TEMPORARY}.1.old", journal=self.journal)


@each_rename
def test_correct_size_before_the_close_sends_no_stat(
    extensions: dict[str, bytes] | None,
) -> None:
    upload = Upload(extensions=extensions)
    upload.run()
    assert upload.server.files == {"a": DATA}
    assert upload.server.paths(Request.STAT) == []
    assert len(upload.server.turns) == 3
    shown = FileAttributes(size=SIZE, mtime=upload.server.disk.now, permissions=0o100644)
    assert [staged.seen for staged in upload.staged] == [shown]


@each_rename
@each_wrong_size
def test_correct_size_after_the_close_is_accepted(wrong: int, extensions: dict[str, bytes] | None) -> None:
    upload = Upload(showing(Request.FSTAT, size=wrong, modified=1), extensions=extensions)
    upload.run()
    assert upload.server.files == {"a": DATA}
    assert upload.server.paths(Request.STAT) == [[TEMPORARY]]
    after_close = FileAttributes(size=SIZE, mtime=upload.server.disk.now, permissions=0o100644)
    assert [staged.seen for staged in upload.staged] == [after_close], (
        "the attributes after the CLOSE are the last ones"
    )


@each_rename
@each_wrong_size
def test_file_of_wrong_size_gets_no_final_name_and_is_removed(
    wrong: int, extensions: dict[str, bytes] | None
) -> None:
    upload = Upload(
        showing(Request.FSTAT, size=wrong), showing(Request.STAT, size=wrong), extensions=extensions
    )
    upload.server.files["a"] = bytearray(b"old")
    with pytest.raises(
        SizeMismatch, match=f"'.a.part' has {wrong} bytes at the partner, {SIZE} were acknowledged"
    ) as raised:
        upload.run()
    assert raised.value.disposition is Disposition.RETRY
    assert upload.staged == []
    assert not any(map(is_rename, upload.server.asked))
    assert upload.server.files == {"a": b"old"}
    assert upload.journal.names == {}


@each_rename
@pytest.mark.parametrize("code", [2, 3, 4, 8, 10, 11])
def test_file_is_published_where_the_server_refuses_to_show_its_size(
    code: int, extensions: dict[str, bytes] | None
) -> None:
    upload = Upload(refusing(Request.FSTAT, code), refusing(Request.STAT, code), extensions=extensions)
    upload.run()
    assert upload.server.files == {"a": DATA}
    assert [staged.seen for staged in upload.staged] == [None]


def test_attributes_without_a_size_are_accepted() -> None:
    upload = Upload(showing(Request.FSTAT, modified=7), showing(Request.STAT, modified=7))
    upload.run()
    assert upload.server.files == {"a": DATA}
    assert [staged.seen for staged in upload.staged] == [FileAttributes(mtime=7)]


@pytest.mark.parametrize("code", [2, 3, 4, 8, 10])
def test_wrong_size_before_the_close_counts_when_the_stat_is_refused(code: int) -> None:
    upload = Upload(showing(Request.FSTAT, size=5), refusing(Request.STAT, code))
    with pytest.raises(SizeMismatch, match="has 5 bytes at the partner"):
        upload.run()
    assert not any(map(is_rename, upload.server.asked))
    assert upload.server.files == {}


def test_file_of_wrong_size_that_cannot_be_removed_stays_in_the_journal() -> None:
    upload = Upload(
        showing(Request.FSTAT, size=5),
        showing(Request.STAT, size=5),
        refusing(Request.REMOVE, Status.PERMISSION_DENIED),
    )
    with pytest.raises(SizeMismatch):
        upload.run()
    assert upload.journal.names == {TEMPORARY: "written"}
    assert not any(map(is_rename, upload.server.asked))


def test_connection_lost_at_the_stat_is_raised() -> None:
    upload = Upload(showing(Request.FSTAT, size=5), silent_at(Request.STAT))
    with pytest.raises(ConnectionLost):
        upload.run()
    assert upload.server.asked[-1].kind == Request.STAT


@pytest.mark.parametrize("size", [0, 1, SIZE])
def test_confirm_size_returns_the_attributes_without_a_request(size: int) -> None:
    def unexpected(asked: Asked) -> bytes | None:
        raise AssertionError(asked)

    server = ScriptedServer()
    session = server.session()
    server.script = unexpected
    seen = FileAttributes(size=size, mtime=7)
    for at_close in (seen, None):
        asking = confirm_size(session, TEMPORARY, size=size, at_close=at_close, is_all=True)
        assert session.run_one(asking) is at_close
