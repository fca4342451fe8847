"""A file of wrong size gets no final name; one whose size the server does not show does."""

from __future__ import annotations

import struct

import pytest

from s3_to_sftp.errors import ConnectionLost, Disposition, SizeMismatch
from s3_to_sftp.sftp.protocol import ATTR_SIZE, Answer, FileAttributes, Request, Status
from tests.support.scripted_server import NOTHING, Asked, Script, framed, status
from tests.support.sending import DATA, PATH, TEMPORARY, Bytes, gathering, send, send_part
from tests.support.sftp_environment import SftpEnvironment, wait_for_streams

SIZE = len(DATA)
WITHOUT_SIZE = -1


def showing(*, fstat: int | None = None, stat: int | None = None) -> Script:
    """Script: FSTAT and STAT show this size; None: refused; WITHOUT_SIZE: attributes without a size."""

    def script(asked: Asked) -> bytes | None:
        if asked.kind not in {Request.FSTAT, Request.STAT}:
            return None
        size = fstat if asked.kind == Request.FSTAT else stat
        if size is None:
            return status(asked, Status.PERMISSION_DENIED)
        if size == WITHOUT_SIZE:
            return framed(Answer.ATTRS, struct.pack(">II", asked.request_id, 0))
        return framed(Answer.ATTRS, struct.pack(">IIQ", asked.request_id, ATTR_SIZE, size))

    return script


def stats(env: SftpEnvironment) -> int:
    return len(env.connection(0).server.paths(Request.STAT))


@pytest.mark.parametrize("fstat", [SIZE, None, WITHOUT_SIZE])
def test_single_stream_sends_no_stat_unless_fstat_contradicts(fstat: int | None) -> None:
    env = SftpEnvironment(scripts={0: showing(fstat=fstat)})
    seen = send_part(env.pool()).seen
    assert stats(env) == 0
    assert seen == (None if fstat is None else FileAttributes(size=None if fstat == WITHOUT_SIZE else fstat))


def test_correct_size_after_the_close_is_accepted() -> None:
    env = SftpEnvironment(scripts={0: showing(fstat=0, stat=SIZE)})
    assert send_part(env.pool()).seen == FileAttributes(size=SIZE)


@pytest.mark.parametrize(
    ("stat", "shown"), [(SIZE - 1, SIZE - 1), (SIZE + 1, SIZE + 1), (None, 5), (WITHOUT_SIZE, 5)]
)
def test_wrong_size_raises_a_transient_size_mismatch(stat: int | None, shown: int) -> None:
    env = SftpEnvironment(scripts={0: showing(fstat=5, stat=stat)})
    with pytest.raises(SizeMismatch, match=f"has {shown} bytes at the partner, {SIZE} were") as raised:
        send(env.pool())
    assert raised.value.disposition is Disposition.RETRY
    assert env.files == {}


def test_resumed_file_of_wrong_size_is_removed() -> None:
    """Every further attempt would find it again."""
    wrong = showing(fstat=5, stat=5)
    env = SftpEnvironment(
        scripts={0: lambda asked: wrong(asked) if env.made and env.made[0].server.sizes else None}
    )
    env.disk.directories.add("inbox")
    env.files[TEMPORARY] = bytearray(DATA[:100])
    with pytest.raises(SizeMismatch):
        send_part(env.pool(), start=100)
    assert env.files == {}


@pytest.mark.parametrize("stat", [SIZE, None, WITHOUT_SIZE])
def test_size_of_several_streams_is_checked_after_all_have_closed(stat: int | None) -> None:
    env = SftpEnvironment(scripts={0: showing(fstat=5, stat=stat)})
    sent = send_part(env.pool(2), gathering())
    assert sent.streams == 2
    wait_for_streams()
    kinds = [asked.kind for asked in env.connection(0).server.asked]
    assert kinds[-3:] == [Request.CLOSE, Request.STAT, Request.EXTENDED]
    assert stats(env) == 1
    expected = None if stat is None else FileAttributes(size=None if stat == WITHOUT_SIZE else stat)
    assert sent.seen == expected


def test_short_file_of_several_streams_gets_no_final_name() -> None:
    env = SftpEnvironment(scripts={0: showing(stat=SIZE - 1)})
    with pytest.raises(SizeMismatch):
        send(env.pool(2), gathering())
    wait_for_streams()
    assert env.files == {}


def test_connection_lost_at_the_size_check_leaves_a_full_checkpoint() -> None:
    env = SftpEnvironment(scripts={0: lambda asked: NOTHING if asked.kind == Request.STAT else None})
    sent = send_part(env.pool(2), gathering())
    wait_for_streams()
    assert (sent.complete, sent.acknowledged) == (False, SIZE)
    assert isinstance(sent.lost, ConnectionLost)
    env.scripts.clear()
    send(env.pool(), Bytes(), start=SIZE)
    assert env.files == {PATH: DATA}
