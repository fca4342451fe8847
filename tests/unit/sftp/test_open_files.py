"""The client stays below a server's limit of open files and still delivers every file."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_sftp.errors import RequestRefused
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.sftp.client import SftpClient, SmallFile
from s3_to_sftp.sftp.protocol import Request, Status
from tests.support.scripted_server import Asked, ScriptedServer, refusing, status
from tests.support.sftp_environment import MemoryConnection, MemoryJournal, SftpEnvironment

MANY = [f"{number:03}" for number in range(100)]
Outcomes = dict[str, Exception | None]


class LimitsOpenFiles(ScriptedServer):
    """Limits the number of open files.

    Attributes:
        most: The limit.
        code: The status of an OPEN beyond the limit.
        refused: How many OPENs were refused.
    """

    most = 1
    code: int = Status.PERMISSION_DENIED
    refused = 0

    def _open(self, asked: Asked) -> bytes:
        if len(self.open_handles) >= self.most:
            self.refused += 1
            return status(asked, self.code)
        return super()._open(asked)


def environment_with_limit(
    most: int, code: int = Status.PERMISSION_DENIED, kind: type[LimitsOpenFiles] = LimitsOpenFiles
) -> SftpEnvironment:
    """An environment whose servers have this limit."""
    return SftpEnvironment(kind=type("Limited", (kind,), {"most": most, "code": code}))


def files(*names: str) -> Iterator[SmallFile[str]]:
    for name in names:
        directory = f"{name.rpartition('/')[0]}/" if "/" in name else ""
        temporary = f"{directory}.{name.rpartition('/')[2]}.part"
        yield SmallFile(name, name, temporary, name.encode(), f"{temporary}.old", MemoryJournal())


def send(client: SftpClient, *names: str) -> Outcomes:
    return {file.ticket: error for file, error in client.send_small(files(*names))}


def server_of(env: SftpEnvironment) -> Any:
    return env.connection(0).server


def content(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


def most_concurrent_opens(env: SftpEnvironment) -> int:
    turns: list[list[Request]] = server_of(env).turns
    return max(turn.count(Request.OPEN) for turn in turns)


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE, Status.QUOTA_EXCEEDED, 99])
@pytest.mark.parametrize("most", [1, 2, 8, 63, 64])
def test_every_file_arrives_under_any_open_file_limit(most: int, code: int) -> None:
    env = environment_with_limit(most, code)
    assert send(env.client(), *MANY) == dict.fromkeys(MANY)
    assert env.files == content(*MANY)
    assert (server_of(env).refused > 0) == (most < 64)


class ShrinkingLimit(LimitsOpenFiles):
    """Lowers its limit with every 8 refusals, down to one."""

    most = 32

    def _open(self, asked: Asked) -> bytes:
        if self.refused and self.refused % 8 == 0:
            self.most = max(1, self.most // 2)
        return super()._open(asked)


def test_every_file_arrives_while_the_open_file_limit_shrinks() -> None:
    """A file that is refused twice among others is sent alone before the refusal counts."""
    env = environment_with_limit(32, kind=ShrinkingLimit)
    assert send(env.client(), *MANY) == dict.fromkeys(MANY)
    assert env.files == content(*MANY)
    assert server_of(env).most == 1


@pytest.mark.parametrize("most", [1, 2, 8])
def test_open_file_limit_is_remembered(most: int) -> None:
    env = environment_with_limit(most)
    client = env.client()
    send(client, *MANY)
    server_of(env).refused = 0
    server_of(env).forget()
    assert send(client, *MANY) == dict.fromkeys(MANY)
    assert server_of(env).refused == 0
    assert most_concurrent_opens(env) == most


def test_open_file_limit_is_remembered_on_the_next_connection() -> None:
    env = environment_with_limit(2)
    client = env.client()
    send(client, *MANY)
    env.connection(0).close()
    assert send(client, *MANY) == dict.fromkeys(MANY)
    assert env.tried[0] == 2
    assert server_of(env).refused == 0


def test_open_file_limit_is_not_applied_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    env = environment_with_limit(2)
    client = env.client()
    send(client, *MANY)
    env.connection(0).close()
    serve = env.serve

    def serve_elsewhere(number: int, known: KnownServer | None = None) -> MemoryConnection:
        connection = serve(number, known)
        connection.host_key_fingerprint = "SHA256:another"
        return connection

    monkeypatch.setattr(env, "serve", serve_elsewhere)
    env.kind = ScriptedServer
    env.made.clear()
    send(client, *MANY)
    assert most_concurrent_opens(env) == 64


def test_open_file_limit_doubles_every_10_minutes() -> None:
    now = [0.0]
    env = environment_with_limit(2)
    client = env.client(clock=lambda: now[0])
    send(client, *MANY)
    server_of(env).most = 64
    found = []
    for _ in range(7):
        now[0] += 599
        send(client, *MANY)
        server_of(env).forget()
        now[0] += 1
        assert send(client, *MANY) == dict.fromkeys(MANY)
        found.append(most_concurrent_opens(env))
    assert found == [4, 8, 16, 32, 64, 64, 64]


def test_limit_raised_too_far_is_lowered_without_losing_a_file() -> None:
    now = [0.0]
    env = environment_with_limit(3)
    client = env.client(clock=lambda: now[0])
    send(client, *MANY)
    now[0] += 600
    assert send(client, *MANY) == dict.fromkeys(MANY)
    server_of(env).refused = 0
    assert send(client, *MANY) == dict.fromkeys(MANY)
    assert server_of(env).refused == 0


def refusing_temporary_files_of(*names: str) -> Any:
    parts = {f".{name}.part" for name in names}

    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and asked.texts[0] in parts
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    return script


@pytest.mark.parametrize("bad", [["000"], ["050"], ["099"], ["003", "004", "070"]])
def test_file_refused_on_its_own_does_not_lower_the_limit(bad: list[str]) -> None:
    env = SftpEnvironment(scripts={0: refusing_temporary_files_of(*bad)})
    client = env.client()
    errors = send(client, *MANY)
    assert [name for name in MANY if errors[name]] == bad
    assert {type(errors[name]) for name in bad} == {RequestRefused}
    assert env.files == content(*(name for name in MANY if name not in bad))
    server_of(env).forget()
    send(client, *(f"new{number}" for number in range(64)))
    assert most_concurrent_opens(env) == 64


def test_file_refused_on_its_own_does_not_reset_the_limit() -> None:
    env = environment_with_limit(4)
    env.scripts[0] = refusing_temporary_files_of("050")
    client = env.client()
    errors = send(client, *MANY)
    assert [name for name in MANY if errors[name]] == ["050"]
    server_of(env).refused = 0
    send(client, *(f"new{number}" for number in range(64)))
    assert server_of(env).refused == 0


def test_each_file_is_opened_once_when_every_open_is_refused() -> None:
    env = SftpEnvironment(scripts={0: refusing(Request.OPEN, Status.PERMISSION_DENIED)})
    client = env.client()
    errors = send(client, *MANY)
    assert {type(error) for error in errors.values()} == {RequestRefused}
    assert len(server_of(env).paths(Request.OPEN)) == len(MANY)


def test_single_refused_file_is_opened_once() -> None:
    env = SftpEnvironment(scripts={0: refusing(Request.OPEN, Status.PERMISSION_DENIED)})
    assert isinstance(send(env.client(), "a")["a"], RequestRefused)
    assert server_of(env).paths(Request.OPEN) == [[".a.part"]]


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.FAILURE])
def test_directories_are_created_under_an_open_file_limit(code: int) -> None:
    env = environment_with_limit(2, code)
    names = [f"{number % 3}/{number}" for number in range(40)]
    assert send(env.client(), *names) == dict.fromkeys(names)
    assert env.files == content(*names)


class RepliesInReverse(LimitsOpenFiles):
    """Processes many requests at a time: its last reply comes first."""

    def recv(self) -> bytes:
        data = super().recv()
        messages = []
        while data:
            length = 4 + int.from_bytes(data[:4], "big")
            messages.append(data[:length])
            data = data[length:]
        return b"".join(reversed(messages))


@pytest.mark.parametrize("most", [1, 8])
def test_files_arrive_when_replies_come_in_reverse_order(most: int) -> None:
    env = environment_with_limit(most, kind=RepliesInReverse)
    assert send(env.client(), *MANY) == dict.fromkeys(MANY)
    assert env.files == content(*MANY)


@pytest.mark.parametrize(
    "env", [SftpEnvironment(), environment_with_limit(1)], ids=["every open succeeds", "files are sent again"]
)
def test_bytes_of_a_finished_file_are_released(env: SftpEnvironment) -> None:
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

    gc.disable()  # what only the collector releases is released too late
    try:
        errors = [error for _, error in env.client().send_small(watched())]
    finally:
        gc.enable()
    assert errors == [None] * 300
    assert most <= 64 + 2


def test_files_waiting_for_a_retry_fail_with_the_connection() -> None:
    class Dies(LimitsOpenFiles):
        def _rename(self, asked: Asked) -> bytes:
            raise AssertionError("posix-rename is offered")

        def _extended(self, asked: Asked) -> bytes:
            answer = super()._extended(asked)
            if asked.number > 3:
                self.broken = EOFError("cut")
            return answer

    env = environment_with_limit(1, kind=Dies)
    errors = send(env.client(), *MANY)
    assert sorted(errors) == MANY
    assert sum(error is None for error in errors.values()) < 4
