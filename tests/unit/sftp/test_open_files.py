"""A server that limits open files gets no more than it bears, and every file all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.sftp.client import SftpClient, SmallFile
from s3_to_sftp.sftp.protocol import Request, Status
from tests.support.scripted_server import Asked, ScriptedServer, refusing, status
from tests.support.sftp_environment import MemoryConnection, MemoryJournal
from tests.support.sftp_environment import SftpEnvironment as Environment

MANY = [f"{number:03}" for number in range(100)]
Outcomes = dict[str, Exception | None]


class HandleCap(ScriptedServer):
    """Lets so many files be open at a time.

    Attributes:
        most: How many.
        code: What it says to those who open more.
        refused: How often it has said so.
    """

    most = 1
    code: int = Status.PERMISSION_DENIED
    refused = 0

    def _open(self, asked: Asked) -> bytes:
        if len(self._handles) >= self.most:
            self.refused += 1
            return status(asked, self.code)
        return super()._open(asked)


def cap(most: int, code: int = Status.PERMISSION_DENIED, kind: type[HandleCap] = HandleCap) -> Environment:
    """A partner with such servers."""
    return Environment(kind=type("Cap", (kind,), {"most": most, "code": code}))


def files(*names: str) -> Iterator[SmallFile[str]]:
    for name in names:
        directory = f"{name.rpartition('/')[0]}/" if "/" in name else ""
        temporary = f"{directory}.{name.rpartition('/')[2]}.part"
        yield SmallFile(name, name, temporary, name.encode(), f"{temporary}.old", MemoryJournal())


def send(partner: SftpClient, *names: str) -> Outcomes:
    return {file.ticket: error for file, error in partner.send_small(files(*names))}


def server_of(env: Environment) -> Any:
    return env.connection(0).server


def content(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


def opened_at_a_time(env: Environment) -> int:
    turns: list[list[Request]] = server_of(env).turns
    return max(turn.count(Request.OPEN) for turn in turns)


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE, Status.QUOTA_EXCEEDED, 99])
@pytest.mark.parametrize("most", [1, 2, 8, 63, 64])
def test_every_file_arrives_whatever_number_of_open_files_is_allowed(most: int, code: int) -> None:
    env = cap(most, code)
    assert send(env.partner(), *MANY) == dict.fromkeys(MANY)
    assert env.files == content(*MANY)
    assert (server_of(env).refused > 0) == (most < 64)


class ShrinkingCap(HandleCap):
    """Lets fewer and fewer files be open, down to one."""

    most = 32

    def _open(self, asked: Asked) -> bytes:
        if self.refused and self.refused % 8 == 0:
            self.most = max(1, self.most // 2)
        return super()._open(asked)


def test_every_file_arrives_at_a_server_that_bears_fewer_and_fewer() -> None:
    """A file that is refused beside others a second time is sent alone before that counts."""
    env = cap(32, kind=ShrinkingCap)
    assert send(env.partner(), *MANY) == dict.fromkeys(MANY)
    assert env.files == content(*MANY)
    assert server_of(env).most == 1


@pytest.mark.parametrize("most", [1, 2, 8])
def test_what_a_server_bears_is_remembered(most: int) -> None:
    env = cap(most)
    partner = env.partner()
    send(partner, *MANY)
    server_of(env).refused = 0
    server_of(env).forget()
    assert send(partner, *MANY) == dict.fromkeys(MANY)
    assert server_of(env).refused == 0
    assert opened_at_a_time(env) == most


def test_what_a_server_bears_is_remembered_on_its_next_connection() -> None:
    env = cap(2)
    partner = env.partner()
    send(partner, *MANY)
    partner._pool.drop(0)
    assert send(partner, *MANY) == dict.fromkeys(MANY)
    assert env.tried[0] == 2
    assert server_of(env).refused == 0


def test_another_server_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    env = cap(2)
    partner = env.partner()
    send(partner, *MANY)
    partner._pool.drop(0)
    serve = env.serve

    def serve_elsewhere(number: int) -> MemoryConnection:
        connection = serve(number)
        connection.host_key_fingerprint = "SHA256:another"
        return connection

    monkeypatch.setattr(env, "serve", serve_elsewhere)
    env.kind = ScriptedServer
    env.made.clear()
    send(partner, *MANY)
    assert opened_at_a_time(env) == 64


def test_more_files_are_tried_again_after_some_time() -> None:
    now = [0.0]
    env = cap(2)
    partner = env.partner(clock=lambda: now[0])
    send(partner, *MANY)
    server_of(env).most = 64
    found = []
    for _ in range(7):
        now[0] += 599
        send(partner, *MANY)
        server_of(env).forget()
        now[0] += 1
        assert send(partner, *MANY) == dict.fromkeys(MANY)
        found.append(opened_at_a_time(env))
    assert found == [4, 8, 16, 32, 64, 64, 64]


def test_number_that_has_grown_too_far_is_lowered_again_and_costs_no_file() -> None:
    now = [0.0]
    env = cap(3)
    partner = env.partner(clock=lambda: now[0])
    send(partner, *MANY)
    now[0] += 600
    assert send(partner, *MANY) == dict.fromkeys(MANY)
    server_of(env).refused = 0
    assert send(partner, *MANY) == dict.fromkeys(MANY)
    assert server_of(env).refused == 0


def refusing_files(*names: str) -> Any:
    parts = {f".{name}.part" for name in names}

    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and asked.texts[0] in parts
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    return script


@pytest.mark.parametrize("bad", [["000"], ["050"], ["099"], ["003", "004", "070"]])
def test_file_that_is_refused_alone_is_refused_and_says_nothing_about_the_number(bad: list[str]) -> None:
    env = Environment(scripts={0: refusing_files(*bad)})
    partner = env.partner()
    errors = send(partner, *MANY)
    assert [name for name in MANY if errors[name]] == bad
    assert {type(errors[name]) for name in bad} == {RequestRefused}
    assert env.files == content(*(name for name in MANY if name not in bad))
    server_of(env).forget()
    send(partner, *(f"new{number}" for number in range(64)))
    assert opened_at_a_time(env) == 64


def test_file_that_is_refused_at_a_server_with_a_limit_does_not_undo_the_limit() -> None:
    env = cap(4)
    env.scripts[0] = refusing_files("050")
    partner = env.partner()
    errors = send(partner, *MANY)
    assert [name for name in MANY if errors[name]] == ["050"]
    server_of(env).refused = 0
    send(partner, *(f"new{number}" for number in range(64)))
    assert server_of(env).refused == 0


def test_refusal_of_every_file_is_asked_for_once_per_file() -> None:
    env = Environment(scripts={0: refusing(Request.OPEN, Status.PERMISSION_DENIED)})
    partner = env.partner()
    errors = send(partner, *MANY)
    assert {type(error) for error in errors.values()} == {RequestRefused}
    assert len(server_of(env).paths(Request.OPEN)) == len(MANY)


def test_one_file_that_is_refused_is_asked_for_once() -> None:
    env = Environment(scripts={0: refusing(Request.OPEN, Status.PERMISSION_DENIED)})
    assert isinstance(send(env.partner(), "a")["a"], RequestRefused)
    assert server_of(env).paths(Request.OPEN) == [[".a.part"]]


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE])
def test_directories_are_made_at_a_server_with_a_limit(code: int) -> None:
    env = cap(2, code)
    names = [f"{number % 3}/{number}" for number in range(40)]
    assert send(env.partner(), *names) == dict.fromkeys(names)
    assert env.files == content(*names)


class AnswersBackwards(HandleCap):
    """Works on many requests at a time: its last answer comes first."""

    def recv(self) -> bytes:
        data = super().recv()
        messages = []
        while data:
            length = 4 + int.from_bytes(data[:4], "big")
            messages.append(data[:length])
            data = data[length:]
        return b"".join(reversed(messages))


@pytest.mark.parametrize("most", [1, 8])
def test_order_of_the_answers_does_not_matter(most: int) -> None:
    env = cap(most, kind=AnswersBackwards)
    assert send(env.partner(), *MANY) == dict.fromkeys(MANY)
    assert env.files == content(*MANY)


def test_no_more_files_are_in_memory_while_some_are_sent_again() -> None:
    class Bytes(bytearray):
        pass

    alive: list[weakref.ref[Bytes]] = []
    most = 0

    def watched() -> Iterator[SmallFile[int]]:
        nonlocal most
        for number in range(300):
            data = Bytes(b"x" * 100)
            alive.append(weakref.ref(data))
            most = max(most, sum(each() is not None for each in alive))
            names = (str(number), f".{number}.part")
            yield SmallFile(number, *names, memoryview(data), f".{number}.part.old", MemoryJournal())

    gc.disable()  # what is let go only by the collector is not let go in time
    try:
        assert all(error is None for _, error in cap(1).partner().send_small(watched()))
    finally:
        gc.enable()
    assert most <= 64 + 2


def test_files_that_are_to_be_sent_again_share_the_fate_of_the_connection() -> None:
    class Dies(HandleCap):
        def _rename(self, asked: Asked) -> bytes:
            raise AssertionError("posix-rename is offered")

        def _extended(self, asked: Asked) -> bytes:
            answer = super()._extended(asked)
            if asked.number > 3:
                self.broken = EOFError("cut")
            return answer

    env = cap(1, kind=Dies)
    errors = send(env.partner(), *MANY)
    assert sorted(errors) == MANY
    assert sum(error is None for error in errors.values()) < 4
