"""A file whose size is known to be wrong gets no final name; one whose size nobody tells gets it."""

from __future__ import annotations

import struct

import pytest

from s3_to_sftp.errors import ConnectionLost, Disposition, SizeMismatch
from s3_to_sftp.sftp.protocol import ATTR_SIZE, Answer, FileAttributes, Request, Status
from tests.support.scripted_server import NOTHING, Asked, Script, framed, status
from tests.support.sending import DATA, PATH, TEMPORARY, Bytes, gathering, send, send_part
from tests.support.sftp_environment import SftpEnvironment as Environment
from tests.support.sftp_environment import wait_for_streams

SIZE = len(DATA)
UNTOLD = -1


def showing(*, fstat: int | None = None, stat: int | None = None) -> Script:
    """Script: FSTAT and STAT show this size; None: refused; UNTOLD: attributes without a size."""

    def script(asked: Asked) -> bytes | None:
        if asked.kind not in {Request.FSTAT, Request.STAT}:
            return None
        size = fstat if asked.kind == Request.FSTAT else stat
        if size is None:
            return status(asked, Status.PERMISSION_DENIED)
        if size == UNTOLD:
            return framed(Answer.ATTRS, struct.pack(">II", asked.request_id, 0))
        return framed(Answer.ATTRS, struct.pack(">IIQ", asked.request_id, ATTR_SIZE, size))

    return script


def stats(env: Environment) -> int:
    return len(env.connection(0).server.paths(Request.STAT))


@pytest.mark.parametrize("fstat", [SIZE, None, UNTOLD])
def test_one_stream_is_asked_for_nothing_more_where_fstat_does_not_contradict(fstat: int | None) -> None:
    env = Environment(scripts={0: showing(fstat=fstat)})
    seen = send_part(env.pool()).seen
    assert stats(env) == 0
    assert seen == (None if fstat is None else FileAttributes(size=None if fstat == UNTOLD else fstat))


def test_size_that_is_right_after_the_close_counts() -> None:
    env = Environment(scripts={0: showing(fstat=0, stat=SIZE)})
    assert send_part(env.pool()).seen == FileAttributes(size=SIZE)


@pytest.mark.parametrize(
    ("stat", "shown"), [(SIZE - 1, SIZE - 1), (SIZE + 1, SIZE + 1), (None, 5), (UNTOLD, 5)]
)
def test_size_that_is_wrong_is_an_error_that_may_pass(stat: int | None, shown: int) -> None:
    env = Environment(scripts={0: showing(fstat=5, stat=stat)})
    with pytest.raises(SizeMismatch, match=f"has {shown} bytes at the partner, {SIZE} were") as raised:
        send(env.pool())
    assert raised.value.disposition is Disposition.RETRY
    assert env.files == {}


def test_size_of_a_resumed_file_that_is_wrong_discards_it() -> None:
    """It would be found at every further attempt."""
    wrong = showing(fstat=5, stat=5)
    env = Environment(
        scripts={0: lambda asked: wrong(asked) if env.made and env.made[0].server.sizes else None}
    )
    env.disk.directories.add("inbox")
    env.files[TEMPORARY] = bytearray(DATA[:100])
    with pytest.raises(SizeMismatch):
        send_part(env.pool(), start=100)
    assert env.files == {}


@pytest.mark.parametrize("stat", [SIZE, None, UNTOLD])
def test_several_streams_are_compared_when_all_have_closed(stat: int | None) -> None:
    env = Environment(scripts={0: showing(fstat=5, stat=stat)})
    sent = send_part(env.pool(2), gathering())
    assert sent.streams == 2
    wait_for_streams()
    kinds = [asked.kind for asked in env.connection(0).server.asked]
    assert kinds[-3:] == [Request.CLOSE, Request.STAT, Request.EXTENDED]
    assert stats(env) == 1
    told = None if stat is None else FileAttributes(size=None if stat == UNTOLD else stat)
    assert sent.seen == told


def test_file_of_several_streams_that_is_too_short_gets_no_final_name() -> None:
    env = Environment(scripts={0: showing(stat=SIZE - 1)})
    with pytest.raises(SizeMismatch):
        send(env.pool(2), gathering())
    wait_for_streams()
    assert env.files == {}


def test_connection_that_is_lost_at_the_comparison_leaves_a_checkpoint_of_all() -> None:
    env = Environment(scripts={0: lambda asked: NOTHING if asked.kind == Request.STAT else None})
    sent = send_part(env.pool(2), gathering())
    wait_for_streams()
    assert (sent.complete, sent.acknowledged) == (False, SIZE)
    assert isinstance(sent.lost, ConnectionLost)
    env.scripts.clear()
    send(env.pool(), Bytes(), start=SIZE)
    assert env.files == {PATH: DATA}
