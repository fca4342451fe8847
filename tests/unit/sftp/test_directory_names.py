"""A configured directory is not made beside one of almost the same name."""

from __future__ import annotations

import struct

import pytest

from s3_to_sftp.errors import ConnectionLost, DirectoryNameDiffers
from s3_to_sftp.sftp.protocol import Answer, Request, Status, text
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import create
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    Script,
    ScriptedServer,
    framed,
    refusing,
    status,
)


def session_to(server: ScriptedServer, *directories: str) -> SftpSession:
    session = server.session()
    session.directories = directories
    server.forget()
    return session


@pytest.mark.parametrize(
    ("configured", "path", "exists"),
    [
        ("Inbox", "Inbox/a", "inbox"),
        ("Inbox/", "Inbox/2026/a", "INBOX"),
        ("/data/Inbox", "/data/Inbox/a", "/data/inbox"),
        ("/data/Inbox", "/data/Inbox/a", "/data/inbox "),
        ("/Inbox", "/Inbox/a", "/inbox"),
        ("/Data/in", "/Data/in/a", "/data"),
        ("\u00e9", "\u00e9/a", "e\u0301"),
        ("Stra\u00dfe", "Stra\u00dfe/a", "STRASSE"),
    ],
)
def test_directory_is_not_made_beside_one_that_differs_only_in_spelling(
    configured: str, path: str, exists: str
) -> None:
    server = ScriptedServer()
    server.directories.update({exists, "/data"} if configured.startswith("/data") else {exists})
    session = session_to(server, configured)
    with pytest.raises(DirectoryNameDiffers) as raised:
        session.run_one(create(session, path))
    session.ping()
    assert repr(exists) in raised.value.reason
    assert "is missing" in raised.value.reason
    assert raised.value.cause == "directory-other-case"
    assert exists in raised.value.to_partner
    assert server.paths(Request.MKDIR) == []
    assert server.open_handles == set()


@pytest.mark.parametrize("beside", ["outbox", "inbox2", "in box"])
def test_directory_is_made_where_no_other_one_is_meant(beside: str) -> None:
    server = ScriptedServer()
    server.directories.add(beside)
    session = session_to(server, "inbox")
    session.run_one(create(session, "inbox/a"))
    assert "inbox" in server.directories


def test_file_of_that_name_is_no_directory() -> None:
    server = ScriptedServer()
    server.files["inbox"] = bytearray()
    session = session_to(server, "Inbox")
    session.run_one(create(session, "Inbox/a"))
    assert "Inbox" in server.directories


def test_directories_of_keys_may_differ_only_in_case() -> None:
    server = ScriptedServer()
    server.directories.update({"Inbox", "Inbox/daily"})
    session = session_to(server, "Inbox", "")
    session.run_one(create(session, "Inbox/Daily/a"))
    assert "Inbox/Daily" in server.directories
    assert server.paths(Request.READDIR) == []


def garbage(kind: Request) -> Script:
    def script(asked: Asked) -> bytes | None:
        body = struct.pack(">III", asked.request_id, 7, 99)
        return framed(Answer.NAME, body) if asked.kind == kind else None

    return script


@pytest.mark.parametrize(
    "script",
    [
        refusing(Request.OPENDIR, Status.PERMISSION_DENIED),
        refusing(Request.OPENDIR, Status.OP_UNSUPPORTED),
        refusing(Request.READDIR, Status.FAILURE),
        refusing(Request.LSTAT, Status.PERMISSION_DENIED),
        garbage(Request.OPENDIR),
        garbage(Request.READDIR),
    ],
)
def test_server_that_does_not_list_its_directories_gets_the_directory(script: Script) -> None:
    server = ScriptedServer(script)
    server.directories.add("inbox")
    session = session_to(server, "Inbox")
    session.run_one(create(session, "Inbox/a"))
    assert "Inbox" in server.directories


def test_many_files_look_for_it_once() -> None:
    server = ScriptedServer()
    session = session_to(server, "in")
    outcomes = dict(session.run((create(session, f"in/{n}/a") for n in range(20)), at_a_time=20))
    assert all(isinstance(outcome, bytes) for outcome in outcomes.values())
    assert len(server.paths(Request.OPENDIR)) == 1


def test_many_files_get_the_same_error() -> None:
    server = ScriptedServer()
    server.directories.add("inbox")
    session = session_to(server, "Inbox")
    outcomes = dict(session.run((create(session, f"Inbox/{n}") for n in range(20)), at_a_time=20))
    assert {type(outcome) for outcome in outcomes.values()} == {DirectoryNameDiffers}
    assert server.paths(Request.MKDIR) == []


def test_directory_that_the_partner_makes_meanwhile_is_used() -> None:
    server = ScriptedServer()
    server.directories.add("inbox")
    session = session_to(server, "Inbox")
    with pytest.raises(DirectoryNameDiffers):
        session.run_one(create(session, "Inbox/2026/a"))
    server.directories.add("Inbox")
    session.run_one(create(session, "Inbox/2026/a"))
    assert "Inbox/2026" in server.directories


def test_lost_connection_ends_the_search_for_all() -> None:
    server = ScriptedServer(lambda asked: NOTHING if asked.kind == Request.OPENDIR else None)
    session = session_to(server, "Inbox")
    outcomes = dict(session.run((create(session, f"Inbox/{n}") for n in range(3)), at_a_time=3))
    assert {type(outcome) for outcome in outcomes.values()} == {ConnectionLost}


@pytest.mark.parametrize(("at_a_time", "answers"), [(50, 40), (1, 64)])
def test_search_ends_after_a_bounded_number_of_entries_and_answers(at_a_time: int, answers: int) -> None:
    def endless(asked: Asked) -> bytes | None:
        if asked.kind != Request.READDIR:
            return None
        name = f"{asked.number}"
        entry = text(name) + text(name) + bytes(4)
        return framed(Answer.NAME, struct.pack(">II", asked.request_id, at_a_time) + at_a_time * entry)

    server = ScriptedServer(endless)
    session = session_to(server, "Inbox")
    session.run_one(create(session, "Inbox/a"))
    assert len(server.paths(Request.READDIR)) == answers
    assert "Inbox" in server.directories


def test_empty_name_answer_ends_the_search() -> None:
    def empty(asked: Asked) -> bytes | None:
        body = struct.pack(">II", asked.request_id, 0)
        return framed(Answer.NAME, body) if asked.kind == Request.READDIR else None

    session = session_to(ScriptedServer(empty), "Inbox")
    session.run_one(create(session, "Inbox/a"))


def test_extended_attributes_of_an_entry_are_skipped() -> None:
    def extended(asked: Asked) -> bytes | None:
        if asked.kind != Request.READDIR or asked.number > 1:
            return status(asked, Status.EOF) if asked.kind == Request.READDIR else None
        odd = text("odd") * 2 + struct.pack(">II", 0x8000_0000, 1) + text("a@b") + text("c")
        full = text("inbox") * 2 + struct.pack(">IQIIIII", 0x0F, 1, 2, 3, 0o40755, 4, 5)
        return framed(Answer.NAME, struct.pack(">II", asked.request_id, 2) + odd + full)

    session = session_to(ScriptedServer(extended), "Inbox")
    with pytest.raises(DirectoryNameDiffers, match="'inbox' exists"):
        session.run_one(create(session, "Inbox/a"))
