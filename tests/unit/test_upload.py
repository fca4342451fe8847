"""The final name appears last, and nothing else is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from s3_to_sftp.errors import ConnectionLost, ProtocolViolation, RequestRefused
from s3_to_sftp.sftp.protocol import LIMITS, Request, Status
from s3_to_sftp.sftp.upload import make_directories, upload
from tests.unit.scripted_server import Asked, ScriptedServer, framed, refusing, silent_at, status

DATA = b"x" * 100_000
OLD = b"old"
NO_POSIX_RENAME = {LIMITS: b"1"}


def put(
    server: ScriptedServer,
    *,
    path: str = "a.csv",
    complete: Callable[[int], None] = lambda size: None,
    blocks: Iterator[bytes] | None = None,
) -> int:
    directory = path.rpartition("/")[0]
    temporary = f"{directory}/.tmp.part" if directory else ".tmp.part"
    return upload(server.session(), blocks or iter([DATA]), path=path, temporary=temporary, complete=complete)


@pytest.mark.parametrize("extensions", [None, {}])
def test_file_arrives_and_its_size_is_returned(extensions: dict[str, bytes] | None) -> None:
    server = ScriptedServer(extensions=extensions)
    assert put(server) == len(DATA)
    assert server.files == {"a.csv": DATA}


def test_final_name_is_given_last() -> None:
    server = ScriptedServer()
    put(server)
    assert [asked.kind for asked in server.asked][-2:] == [Request.CLOSE, Request.EXTENDED]


def test_old_file_is_replaced_in_one_step_where_the_server_can() -> None:
    server = ScriptedServer()
    server.files["a.csv"] = OLD
    put(server)
    assert server.files == {"a.csv": DATA}
    assert server.paths(Request.REMOVE) == []


@pytest.mark.parametrize("code", [Status.FAILURE, Status.FILE_ALREADY_EXISTS])
def test_old_file_is_removed_first_where_the_server_cannot_replace(code: int) -> None:
    server = ScriptedServer(refusing(Request.RENAME, code, number=1), extensions=NO_POSIX_RENAME)
    server.files["a.csv"] = OLD
    put(server)
    assert server.files == {"a.csv": DATA}
    assert server.paths(Request.REMOVE) == [["a.csv"]]


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED, Status.NO_SUCH_FILE])
def test_old_file_is_not_removed_when_the_rename_is_refused_for_another_reason(code: int) -> None:
    server = ScriptedServer(refusing(Request.RENAME, code), extensions=NO_POSIX_RENAME)
    server.files["a.csv"] = OLD
    with pytest.raises(RequestRefused, match="rename"):
        put(server)
    assert server.files == {"a.csv": OLD}


def test_posix_rename_that_fails_never_removes_the_old_file() -> None:
    def refuse_rename(asked: Asked) -> bytes | None:
        renames = asked.kind == Request.EXTENDED and b"posix-rename" in asked.payload
        return status(asked, Status.FAILURE) if renames else None

    server = ScriptedServer(refuse_rename)
    server.files["a.csv"] = OLD
    with pytest.raises(RequestRefused, match="rename"):
        put(server)
    assert server.files == {"a.csv": OLD}


def test_refused_look_does_not_hide_the_refused_rename() -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.STAT else None

    server = ScriptedServer(script, extensions=NO_POSIX_RENAME)
    server.files["a.csv"] = OLD
    with pytest.raises(RequestRefused, match="refused to rename"):
        put(server)
    assert server.files == {"a.csv": OLD}


# --- every step can fail ---

STEPS = [Request.OPEN, Request.WRITE, Request.CLOSE, Request.RENAME]


@pytest.mark.parametrize("step", STEPS)
def test_refused_step_leaves_nothing(step: Request) -> None:
    server = ScriptedServer(refusing(step, number=1), extensions=NO_POSIX_RENAME)
    with pytest.raises(RequestRefused):
        put(server)
    assert server.files == {}


@pytest.mark.parametrize("step", STEPS)
def test_silence_at_any_step_leaves_the_old_file_and_ends_the_conversation(step: Request) -> None:
    server = ScriptedServer(silent_at(step), extensions=NO_POSIX_RENAME)
    server.files["a.csv"] = OLD
    with pytest.raises(ConnectionLost):
        put(server)
    assert server.files["a.csv"] == OLD
    assert server.asked[-1].kind == step, "a clean-up must not wait for a silent server"


@pytest.mark.parametrize("step", STEPS)
def test_nonsense_at_any_step_is_no_success(step: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        return framed(250, asked.request_id.to_bytes(4, "big")) if asked.kind == step else None

    server = ScriptedServer(script, extensions=NO_POSIX_RENAME)
    with pytest.raises(ProtocolViolation):
        put(server)
    assert "a.csv" not in server.files


def test_close_that_fails_is_no_success_even_when_every_write_was_fine() -> None:
    server = ScriptedServer(refusing(Request.CLOSE, number=1))
    with pytest.raises(RequestRefused, match="close"):
        put(server)
    assert server.paths(Request.REMOVE) == [[".tmp.part"]]
    assert server.files == {}


def test_incomplete_object_gets_no_final_name() -> None:
    def insist(size: int) -> None:
        raise ValueError(f"only {size}")

    server = ScriptedServer()
    with pytest.raises(ValueError, match=f"only {len(DATA)}"):
        put(server, complete=insist)
    assert server.files == {}


def test_source_that_breaks_gets_no_final_name() -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise ValueError("the source broke")

    server = ScriptedServer()
    with pytest.raises(ValueError, match="the source broke"):
        put(server, blocks=broken())
    assert server.files == {}


@pytest.mark.parametrize("clean_up", [Request.CLOSE, Request.REMOVE])
def test_refused_clean_up_does_not_hide_the_first_error(clean_up: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.WRITE:
            return status(asked, Status.QUOTA_EXCEEDED)
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == clean_up else None

    with pytest.raises(RequestRefused, match="QUOTA_EXCEEDED"):
        put(ScriptedServer(script))


# --- directories ---


@pytest.mark.parametrize("path", ["a/b/c/d.csv", "/a/b/c/d.csv", "a/d.csv"])
def test_missing_directories_are_made(path: str) -> None:
    server = ScriptedServer()
    put(server, path=path)
    assert server.files == {path: DATA}


def test_directories_are_only_made_when_the_open_has_failed() -> None:
    server = ScriptedServer()
    server.directories.add("a")
    put(server, path="a/d.csv")
    assert server.paths(Request.MKDIR) == []


def test_directories_are_made_where_a_missing_parent_is_just_a_failure() -> None:
    def vague(asked: Asked) -> bytes | None:
        answer = server.healthy(asked)
        missing = answer == status(asked, Status.NO_SUCH_FILE)
        return status(asked, Status.FAILURE) if missing else answer

    server = ScriptedServer(vague)
    put(server, path="a/b/c/d.csv")
    assert server.files == {"a/b/c/d.csv": DATA}


def test_directories_that_cannot_be_made_fail_with_the_refused_open() -> None:
    server = ScriptedServer(refusing(Request.MKDIR, Status.PERMISSION_DENIED))
    with pytest.raises(RequestRefused, match=r"refused to create 'a/b/\.tmp\.part'"):
        put(server, path="a/b/d.csv")


def test_open_without_permission_makes_no_directories() -> None:
    server = ScriptedServer(refusing(Request.OPEN, Status.PERMISSION_DENIED))
    with pytest.raises(RequestRefused, match="PERMISSION_DENIED"):
        put(server, path="a/d.csv")
    assert server.paths(Request.MKDIR) == []


@pytest.mark.parametrize("path", ["/", "a", "/a", "a/b"])
def test_making_directories_ends_where_nothing_can_be_made(path: str) -> None:
    server = ScriptedServer(refusing(Request.MKDIR, Status.NO_SUCH_FILE))
    make_directories(server.session(), path)
