"""The final name appears last, and no other file remains."""

from __future__ import annotations

import struct

import pytest

from s3_to_sftp.errors import ConnectionLost, DirectoryAmbiguous, ProtocolViolation, RequestRefused
from s3_to_sftp.sftp import protocol
from s3_to_sftp.sftp.client import SmallFile, send_file
from s3_to_sftp.sftp.protocol import LIMITS, Answer, FileAttributes, Request, Status
from s3_to_sftp.sftp.scheduler import SftpTask
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import Staged, create, upload_small
from tests.support.scripted_server import (
    Asked,
    ScriptedServer,
    after_start,
    framed,
    is_rename,
    refusing,
    renamed,
    silent_at,
    status,
)
from tests.support.sftp_environment import MemoryJournal

DATA = b"x" * 100_000
OLD = b"old"
NO_POSIX_RENAME = {LIMITS: b"1"}


def sending(session: SftpSession, path: str, data: bytes = DATA) -> SftpTask[None]:
    directory = path.rpartition("/")[0]
    name = path.rpartition("/")[2]
    temporary = f"{directory}/.{name}.part" if directory else f".{name}.part"
    return send_file(
        session, SmallFile("", path, temporary, data, aside=f"{temporary}.old", journal=MemoryJournal())
    )


def put(server: ScriptedServer, *, path: str = "a.csv", data: bytes = DATA) -> None:
    session = server.session()
    server.forget()
    session.run_one(sending(session, path, data))


@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(1024 * 1024)])
@pytest.mark.parametrize("extensions", [None, {}])
def test_file_arrives(extensions: dict[str, bytes] | None, data: bytes) -> None:
    server = ScriptedServer(extensions=extensions)
    put(server, data=data)
    assert server.files == {"a.csv": data}


def test_upload_takes_three_round_trips() -> None:
    server = ScriptedServer()
    put(server)
    assert server.turns == [[Request.OPEN], [Request.WRITE, Request.FSTAT, Request.CLOSE], [Request.EXTENDED]]


def test_many_files_share_three_round_trips() -> None:
    server = ScriptedServer()
    session = server.session()
    server.forget()
    outcomes = session.run((sending(session, str(number), b"x") for number in range(64)), at_a_time=64)
    assert sorted(outcomes) == [(number, None) for number in range(64)]
    assert [set(turn) for turn in server.turns] == [
        {Request.OPEN},
        {Request.WRITE, Request.FSTAT, Request.CLOSE},
        {Request.EXTENDED},
    ]
    assert server.files == {str(number): b"x" for number in range(64)}


def test_old_file_is_replaced_in_one_step_where_posix_rename_is_offered() -> None:
    server = ScriptedServer()
    server.files["a.csv"] = bytearray(OLD)
    put(server)
    assert server.files == {"a.csv": DATA}
    assert server.paths(Request.REMOVE) == []


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.OP_UNSUPPORTED, Status.NO_SUCH_FILE])
def test_old_file_stays_when_the_rename_is_refused_for_another_reason(code: int) -> None:
    server = ScriptedServer(refusing(Request.RENAME, code), extensions=NO_POSIX_RENAME)
    server.files["a.csv"] = bytearray(OLD)
    with pytest.raises(RequestRefused, match="rename"):
        put(server)
    assert server.files == {"a.csv": OLD}


def refuse_posix_rename(asked: Asked) -> bytes | None:
    renames = asked.kind == Request.EXTENDED and b"posix-rename" in asked.payload
    return status(asked, Status.FAILURE) if renames else None


def test_twice_refused_rename_keeps_the_old_file() -> None:
    def script(asked: Asked) -> bytes | None:
        refused = is_rename(asked) and renamed(asked) == (".a.csv.part", "a.csv")
        return status(asked, Status.FAILURE) if refused else None

    server = ScriptedServer(script)
    server.files["a.csv"] = bytearray(OLD)
    with pytest.raises(RequestRefused, match="rename"):
        put(server)
    assert server.files == {"a.csv": OLD}


# --- every step can fail ---

STEPS = [Request.OPEN, Request.WRITE, Request.CLOSE, Request.RENAME]
SENT_LAST = {Request.WRITE: Request.CLOSE}  # CLOSE is sent with WRITE, without waiting


@pytest.mark.parametrize("step", STEPS)
def test_refused_step_leaves_no_file(step: Request) -> None:
    server = ScriptedServer(refusing(step, number=1), extensions=NO_POSIX_RENAME)
    with pytest.raises(RequestRefused):
        put(server)
    assert server.files == {}


@pytest.mark.parametrize("step", STEPS)
def test_unanswered_step_keeps_the_old_file_and_sends_nothing_more(step: Request) -> None:
    server = ScriptedServer(silent_at(step), extensions=NO_POSIX_RENAME)
    server.files["a.csv"] = bytearray(OLD)
    with pytest.raises(ConnectionLost):
        put(server)
    assert server.files["a.csv"] == OLD
    last = server.asked[-1].kind
    assert last == SENT_LAST.get(step, step), "a clean-up does not wait for a silent server"


@pytest.mark.parametrize("step", STEPS)
def test_malformed_reply_at_any_step_raises_protocol_violation(step: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        return framed(250, asked.request_id.to_bytes(4, "big")) if asked.kind == step else None

    server = ScriptedServer(after_start(script), extensions=NO_POSIX_RENAME)
    with pytest.raises(ProtocolViolation):
        put(server)
    assert "a.csv" not in server.files


@pytest.mark.parametrize("number", [1, 2, 5])
def test_file_is_renamed_only_after_every_write_succeeded(number: int) -> None:
    server = ScriptedServer(refusing(Request.WRITE, number=number), max_write=len(DATA) // 5)
    with pytest.raises(RequestRefused, match="write"):
        put(server)
    assert Request.EXTENDED not in {asked.kind for asked in server.asked}
    assert server.files == {}


def test_refused_close_removes_the_file() -> None:
    server = ScriptedServer(refusing(Request.CLOSE, number=1))
    with pytest.raises(RequestRefused, match="close"):
        put(server)
    assert server.paths(Request.REMOVE) == [[".a.csv.part"]]
    assert server.files == {}


@pytest.mark.parametrize("clean_up", [Request.CLOSE, Request.REMOVE])
def test_refused_clean_up_does_not_hide_the_first_error(clean_up: Request) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.WRITE:
            return status(asked, Status.QUOTA_EXCEEDED)
        return status(asked, Status.PERMISSION_DENIED) if asked.kind == clean_up else None

    with pytest.raises(RequestRefused, match="QUOTA_EXCEEDED"):
        put(ScriptedServer(script))


@pytest.mark.parametrize("step", ["write", "rename"])
def test_failed_file_never_closes_the_handle_of_another(step: str) -> None:
    """Servers reuse a closed handle for the next file: a second CLOSE would close that one."""

    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.WRITE and step == "write" and asked.payload.endswith(b"bad"):
            return status(asked, Status.FAILURE)
        return refuse_posix_rename(asked) if step == "rename" and b"bad" in asked.payload else None

    server = ScriptedServer(script)
    session = server.session()
    names = [f"bad{number}" if number % 3 == 0 else f"good{number}" for number in range(40)]
    outcomes = dict(
        session.run((sending(session, name, f"{name}: bad".encode()) for name in names), at_a_time=4)
        if step == "rename"
        else session.run(
            (sending(session, name, b"bad" if name.startswith("bad") else name.encode()) for name in names),
            at_a_time=4,
        )
    )
    for place, name in enumerate(names):
        assert isinstance(outcomes[place], RequestRefused) == name.startswith("bad"), outcomes[place]
    expected = {name: (f"{name}: bad" if step == "rename" else name).encode() for name in names}
    assert server.files == {name: data for name, data in expected.items() if name.startswith("good")}


# --- directories ---


@pytest.mark.parametrize("path", ["a/b/c/d.csv", "/a/b/c/d.csv", "a/d.csv"])
def test_missing_directories_are_created(path: str) -> None:
    server = ScriptedServer()
    put(server, path=path)
    assert server.files == {path: DATA}


@pytest.mark.parametrize("exists", [False, True])
def test_directory_is_created_within_itself_only_if_it_exists_there(*, exists: bool) -> None:
    """The login starts in /home/inbox, and the directory is `inbox`."""

    def at_home(asked: Asked) -> bytes | None:
        if asked.kind != Request.REALPATH:
            return None
        name = struct.pack(">II", asked.request_id, 1) + protocol.text("/home/inbox") * 2 + bytes(4)
        return framed(Answer.NAME, name)

    server = ScriptedServer(at_home)
    session = server.session()
    session.directories = ("inbox",)
    if exists:
        server.directories.add("inbox")
        session.run_one(sending(session, "inbox/2026/a.csv"))
        assert server.files == {"inbox/2026/a.csv": DATA}
    else:
        with pytest.raises(DirectoryAmbiguous, match="'/home/inbox/inbox'"):
            session.run_one(sending(session, "inbox/2026/a.csv"))
        assert server.paths(Request.MKDIR) == []


def test_directories_are_created_only_after_a_failed_open() -> None:
    server = ScriptedServer()
    server.directories.add("a")
    put(server, path="a/d.csv")
    assert server.paths(Request.MKDIR) == []


def test_many_files_create_their_common_directories_concurrently() -> None:
    server = ScriptedServer()
    session = server.session()
    paths = [f"a/{number % 3}/{number}.csv" for number in range(20)]
    outcomes = dict(session.run((sending(session, path) for path in paths), at_a_time=20))
    assert set(outcomes.values()) == {None}
    assert server.files == dict.fromkeys(paths, DATA)


@pytest.mark.parametrize("code", [Status.FAILURE, Status.NO_SUCH_PATH])
def test_directories_are_created_for_any_missing_parent_status(code: int) -> None:
    def vague(asked: Asked) -> bytes | None:
        answer = server.healthy(asked)
        missing = answer == status(asked, Status.NO_SUCH_FILE)
        return status(asked, code) if missing else answer

    server = ScriptedServer(vague)
    put(server, path="a/b/c/d.csv")
    assert server.files == {"a/b/c/d.csv": DATA}


@pytest.mark.parametrize("code", [Status.PERMISSION_DENIED, Status.QUOTA_EXCEEDED, Status.FAILURE])
def test_refused_mkdir_is_the_error_that_is_raised(code: int) -> None:
    server = ScriptedServer(refusing(Request.MKDIR, code))
    with pytest.raises(
        RequestRefused, match=r"refused to make the directory 'a(/b)?'.*said the partner"
    ) as raised:
        put(server, path="a/b/d.csv")
    assert (raised.value.request, raised.value.code) == ("mkdir", code)
    assert "refused to create 'a/b/.d.csv.part'" in raised.value.reason


def test_topmost_refused_mkdir_is_the_error_that_is_raised() -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, 3) if asked.kind == Request.MKDIR and asked.texts == ["a/b"] else None

    with pytest.raises(
        RequestRefused, match="make the directory 'a/b': status 3 PERMISSION_DENIED"
    ) as raised:
        put(ScriptedServer(script), path="a/b/c/d/e.csv")
    assert raised.value.code == Status.PERMISSION_DENIED


def test_refused_create_in_an_existing_directory_is_raised() -> None:
    server = ScriptedServer(refusing(Request.OPEN, Status.FAILURE))
    server.directories.add("a")
    with pytest.raises(RequestRefused, match=r"refused to create 'a/\.d\.csv\.part'") as raised:
        put(server, path="a/d.csv")
    assert (raised.value.request, raised.value.code) == ("create", Status.FAILURE)


def test_refused_create_in_a_new_directory_is_raised() -> None:
    def script(asked: Asked) -> bytes | None:
        again = asked.kind == Request.OPEN and asked.number == 2
        return status(asked, Status.QUOTA_EXCEEDED) if again else None

    with pytest.raises(RequestRefused, match="refused to create") as raised:
        put(ScriptedServer(script), path="a/d.csv")
    assert raised.value.code == Status.QUOTA_EXCEEDED


def test_permission_denied_on_open_creates_no_directories() -> None:
    server = ScriptedServer(refusing(Request.OPEN, Status.PERMISSION_DENIED))
    with pytest.raises(RequestRefused, match="PERMISSION_DENIED"):
        put(server, path="a/d.csv")
    assert server.paths(Request.MKDIR) == []


def test_refused_mkdir_of_the_parent_is_the_error_although_the_server_says_only_failure() -> None:
    """The MKDIR below it is answered with NO_SUCH_FILE, which says nothing about the cause."""

    def script(asked: Asked) -> bytes | None:
        forbidden = asked.kind == Request.MKDIR and asked.texts == ["a"]
        return status(asked, Status.FAILURE) if forbidden else None

    with pytest.raises(RequestRefused, match="refused to make the directory 'a': status 4 FAILURE") as raised:
        put(ScriptedServer(script), path="a/b/d.csv")
    assert (raised.value.request, raised.value.cause) == ("mkdir", "mkdir-refused")
    assert raised.value.to_partner


def test_refused_mkdir_is_the_error_where_open_and_mkdir_say_failure_of_a_missing_directory() -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, Status.FAILURE) if asked.kind in {Request.MKDIR, Request.OPEN} else None

    with pytest.raises(RequestRefused, match="refused to make the directory 'a'") as raised:
        put(ScriptedServer(script), path="a/d.csv")
    assert (raised.value.request, raised.value.cause) == ("mkdir", "mkdir-refused")


@pytest.mark.parametrize("path", ["/x", "a/x", "/a/x", "a/b/x"])
def test_directory_creation_ends_when_no_parent_can_be_created(path: str) -> None:
    def nothing_there(asked: Asked) -> bytes | None:
        return status(asked, Status.NO_SUCH_FILE) if asked.kind in {Request.MKDIR, Request.OPEN} else None

    session = ScriptedServer(nothing_there).session()
    with pytest.raises(RequestRefused, match="make the directory"):
        session.run_one(create(session, path))


@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_upload_small_returns_what_was_staged(data: bytes) -> None:
    server = ScriptedServer()
    session = server.session()
    staged = session.run_one(
        upload_small(session, data, temporary=".a.part", path="a.csv", journal=MemoryJournal())
    )
    seen = FileAttributes(size=len(data), mtime=server.disk.now, permissions=0o100644)
    assert staged == Staged(temporary=".a.part", acknowledged=len(data), complete=True, seen=seen)
    assert server.files == {".a.part": data}


@pytest.mark.parametrize("answer", [Status.OK, Status.NO_SUCH_FILE, Status.NO_SUCH_PATH, Status.FAILURE])
def test_temporary_name_is_forgotten_only_when_the_file_is_known_to_be_gone(answer: int) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.REMOVE and answer:
            return status(asked, answer)
        return status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None

    journal = MemoryJournal({".a.part": "written"})
    session = ScriptedServer(script).session()
    with pytest.raises(RequestRefused, match="rename"):
        session.run_one(send_file(session, SmallFile("", "a.csv", ".a.part", DATA, ".a.part.old", journal)))
    assert journal.names == ({".a.part": "written"} if answer == Status.FAILURE else {})
