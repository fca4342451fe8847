"""Several machines behind one address, with one host key: what one is sent, another may not see, or undo."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from s3_to_sftp.errors import ConnectionLost, RequestRefused
from s3_to_sftp.sftp.protocol import OPEN_READ, OPEN_WRITE, Answer, Request, Status
from s3_to_sftp.sftp.samples import Samples
from tests.support.odd_servers import Spool, flags_of
from tests.support.scripted_server import Asked, ScriptedServer, silent_at, status
from tests.support.sending import (
    DATA,
    PATH,
    SEGMENT,
    TEMPORARY,
    WRITE,
    Bytes,
    gathering,
    send,
    send_part,
    upload_part,
    waiting_for,
)
from tests.support.sftp_environment import SftpEnvironment, stream_number, wait_for_streams


@dataclass
class Machine:
    """Keeps what it is sent to itself until the last handle of the file is closed.

    Attributes:
        spools: Path -> what was written since then.
        open: Path -> handles.
        has_closed: Set once its last handle of the object is closed.
    """

    spools: dict[str, Spool] = field(default_factory=dict)
    open: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    has_closed: threading.Event = field(default_factory=threading.Event)


class OneOfSeveral(ScriptedServer):
    """A connection to one machine; its last CLOSE puts the file into the storage that all share."""

    machine: Machine

    def _open(self, asked: Asked) -> bytes:
        answer = super()._open(asked)
        (path,) = asked.texts
        if answer[4] == Answer.HANDLE and flags_of(asked) & OPEN_WRITE:
            spool = self.machine.spools.setdefault(path, Spool(path))
            self.machine.open[path] += 1
            self._handles[answer[13:].decode()] = spool
        return answer

    def _close(self, asked: Asked) -> bytes:
        spool = self._handles[asked.texts[0]]
        answer = super()._close(asked)
        if isinstance(spool, Spool):
            self.machine.open[spool.path] -= 1
            if not self.machine.open[spool.path]:
                self.files[spool.path] = bytearray(self.machine.spools.pop(spool.path))
                if "probe" not in spool.path:
                    self.machine.has_closed.set()
        return answer


@pytest.fixture(autouse=True)
def wait_for_all_streams() -> Iterator[None]:
    yield
    wait_for_streams()


class Balancer(SftpEnvironment):
    """Leads connection 2 to another machine than the others, once one of these has made the probe.

    Connection 2 gets nearly all of the object, its end included, and its machine is the last to put the file
    into the storage: the file has the right size, and nothing of the other streams.
    """

    def __init__(self) -> None:
        super().__init__(proven=False)
        self.disk.directories.add("inbox")
        self.machines = Machine(), Machine()
        self.kind = self._server  # type: ignore[assignment] # called in place of a class
        joined, is_read = threading.Event(), threading.Event()
        self.before_connect[2] = waiting_for(joined)
        self.scripts[2] = self._closing_last
        self.source = Bytes()
        self.source.until = is_read.is_set
        self._is_read = is_read

        def on_range(offset: int) -> None:
            if stream_number() == 2 and offset + SEGMENT > len(DATA):
                is_read.set()
            if stream_number() == 1 and joined.is_set():
                waiting_for(is_read)()
            if stream_number() == 1:
                joined.set()

        self.source.on_range = on_range

    def _closing_last(self, asked: Asked) -> None:
        if asked.kind == Request.CLOSE:
            waiting_for(self.machines[0].has_closed)()

    def expect_another(self) -> None:
        """Do the same to the next object."""
        self._is_read.clear()
        self.machines[0].has_closed.clear()

    def _server(self, *args: Any, **more: Any) -> OneOfSeveral:
        server = OneOfSeveral(*args, **more)
        server.machine = self.machines[stream_number() == 2]
        return server


def test_file_is_whole_where_a_stream_leads_to_another_machine() -> None:
    env = Balancer()
    sent = upload_part(env.pool(3), env.source)
    assert sent.complete
    assert env.files[sent.temporary] == DATA
    assert sent.temporary != TEMPORARY, "it was written again, alone"
    assert sent.streams == 1


def test_machines_that_undo_writes_get_one_stream_from_then_on() -> None:
    env = Balancer()
    pool = env.pool(3)
    upload_part(pool, env.source)
    wait_for_streams()
    assert pool.limit == 1


@pytest.mark.parametrize("kind", [Request.OPEN, Request.WRITE, Request.CLOSE])
def test_refusal_while_the_file_is_rewritten_is_the_outcome(kind: Request) -> None:
    env = Balancer()
    rewriting = threading.Event()

    def refuse(asked: Asked) -> bytes | None:
        if asked.kind == Request.OPEN and "-2.part" in asked.texts[0]:
            rewriting.set()
        return status(asked, Status.PERMISSION_DENIED) if rewriting.is_set() and asked.kind == kind else None

    env.scripts[0] = refuse
    with pytest.raises(RequestRefused):
        upload_part(env.pool(3), env.source)
    wait_for_streams()
    opened = [path for (path,) in env.connection(0).server.paths(Request.OPEN) if "-2.part" in path]
    assert len(opened) == 1


def healthy() -> SftpEnvironment:
    env = SftpEnvironment(proven=False)
    env.disk.directories.add("inbox")
    return env


def reads(env: SftpEnvironment) -> int:
    """Count the READs of the first stream: the further one reads the file of the probe."""
    return len(env.connection(0).server.paths(Request.READ))


def test_connections_are_looked_at_once() -> None:
    env = healthy()
    pool = env.pool(3)
    assert send(pool, gathering()) == 3
    assert reads(env) == 3, "a few bytes of each stream"
    assert send(pool, gathering()) == 3
    assert reads(env) == 3


def test_size_is_asked_in_the_same_round_trip() -> None:
    env = healthy()
    send_part(env.pool(3), gathering())
    opening, reading = [
        turn for turn in env.connection(0).server.turns if {Request.STAT, Request.READ} & {*turn}
    ]
    assert Request.OPEN in opening
    assert {Request.STAT, Request.READ} & {*opening} == {Request.STAT}
    assert {*reading} == {Request.READ, Request.CLOSE}


def test_further_connection_that_was_made_anew_is_looked_at() -> None:
    env = healthy()
    pool = env.pool(2)
    assert send(pool, gathering()) == 2
    assert reads(env) == 0, "it is the one that the probe was made over"
    wait_for_streams()
    pool.end_of_invocation(keep_first=True)
    assert send(pool, gathering()) == 2
    assert reads(env) == 2


def reads_the_file(asked: Asked) -> bool:
    return asked.kind == Request.OPEN and flags_of(asked) == OPEN_READ and b"probe" not in asked.payload


def test_file_that_may_not_be_read_is_written_again_alone() -> None:
    env = healthy()
    env.scripts[0] = lambda asked: status(asked, Status.PERMISSION_DENIED) if reads_the_file(asked) else None
    sent = send_part(env.pool(3), gathering())
    assert sent.complete
    assert sent.streams == 1
    assert env.files == {PATH: DATA}


def test_object_of_zeros_has_nothing_to_be_read_back() -> None:
    env = healthy()
    send(env.pool(3), gathering(bytes(len(DATA))))
    assert reads(env) == 0
    assert env.files == {PATH: bytes(len(DATA))}


def test_connection_that_has_written_nothing_to_read_back_is_looked_at_later() -> None:
    env = healthy()
    pool = env.pool(3)
    send(pool, gathering(bytes(len(DATA))))
    assert send(pool, gathering()) == 3
    assert reads(env) == 3


def test_file_is_whole_where_another_machine_had_got_nothing_but_zeros_before() -> None:
    env = Balancer()
    pool = env.pool(3)
    assert upload_part(pool, replace(env.source, data=bytes(len(DATA)))).streams == 3
    env.expect_another()
    sent = upload_part(pool, env.source, temporary="inbox/.b.part")
    assert sent.complete
    assert env.files[sent.temporary] == DATA


def test_what_is_read_back_is_not_zero() -> None:
    env = healthy()
    data = bytearray(len(DATA))
    data[WRITE - 1 :: WRITE] = b"x" * len(data[WRITE - 1 :: WRITE])
    send(env.pool(3), gathering(bytes(data)))
    assert reads(env) == 3


@pytest.mark.parametrize("is_there", [True, False])
def test_bytes_count_without_the_first_connection_where_another_one_sees_them(*, is_there: bool) -> None:
    env = healthy()

    def lose(asked: Asked) -> None:
        if reads_the_file(asked):
            env.connection(0).server.broken = EOFError("lost")

    def hide(asked: Asked) -> None:
        if reads_the_file(asked) and not is_there:
            env.files[TEMPORARY][:] = bytes(len(DATA))

    env.scripts = {0: lose, 1: hide, 2: hide}
    pool = env.pool(3)
    if is_there:
        sent = upload_part(pool, gathering())
        assert sent.lost is not None
        assert sent.acknowledged == len(DATA)
        assert sent.is_spread
    else:
        with pytest.raises(ConnectionLost):
            upload_part(pool, gathering())


def test_block_that_never_arrived_is_no_sign_of_another_machine() -> None:
    env = healthy()
    joined, has_failed = threading.Event(), threading.Event()
    env.before_connect[2] = waiting_for(joined)
    env.scripts[2] = silent_at(Request.WRITE)
    pool = env.pool(3)
    disable_stream = pool.disable_stream

    def note(number: int, reason: Exception) -> None:
        disable_stream(number, reason)
        has_failed.set()

    pool.disable_stream = note  # type: ignore[method-assign] # notes the call
    source = Bytes()
    source.until = has_failed.is_set
    source.on_range = lambda _offset: joined.set() if stream_number() == 1 else None
    sent = upload_part(pool, source, stop=has_failed.is_set)
    wait_for_streams()
    assert not sent.complete
    assert sent.temporary == TEMPORARY
    assert sent.acknowledged > 0
    assert env.files[TEMPORARY][: sent.acknowledged] == DATA[: sent.acknowledged]
    assert pool.limit == 2, "nothing is wrong with stream 1"


@pytest.mark.parametrize("is_there", [True, False])
def test_range_that_a_stream_takes_over_from_a_failed_one_is_looked_at(*, is_there: bool) -> None:
    # It lies before the stream's own first range, which is behind what counts when the first stream is lost.
    server = ScriptedServer()
    server.files["file"] = bytearray((b"a" if is_there else b"\0") * 16 + b"b" * 16)
    samples = Samples()
    samples.note(2, 16, b"b" * 16)
    samples.note(2, 0, b"a" * 16)
    session = server.session()
    assert session.run_one(samples.are_there(session, "file", below=16)) == is_there
