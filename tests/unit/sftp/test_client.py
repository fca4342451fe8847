"""Small files share round trips, and each has its own outcome; leftovers and resume support."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.errors import (
    ConnectionLost,
    PartnerUnreachable,
    ProtocolViolation,
    RenameUnanswered,
    RequestRefused,
)
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.client import SendSmall, SftpClient, SmallFile
from s3_to_sftp.sftp.protocol import FileAttributes, Request, Status
from s3_to_sftp.sftp.publish import PathStatus, restore_first
from s3_to_sftp.sftp.publish import publish as sftp_publish
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.temporary_names import another_name, names_of_attempt, void_name
from s3_to_sftp.sftp.upload import Staged, upload_small
from s3_to_sftp.sftp.upload_request import UploadRequest
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    File,
    Script,
    after_start,
    framed,
    refusing,
    renamed,
    silent_at,
    status,
)
from tests.support.sending import DATA, TEMPORARY, Bytes
from tests.support.sftp_environment import CHANNEL, LOGIN, SERVER, MemoryJournal, SftpEnvironment, done

Outcomes = dict[str, Exception | None]


def small_files(*names: str) -> Iterator[SmallFile[str]]:
    for name in names:
        yield small_file(name)


def small_file(name: str) -> SmallFile[str]:
    temporary = f".{name}.part"
    aside = f"{temporary}.old"
    return SmallFile(name, name, temporary, name.encode(), aside, MemoryJournal())


def outcomes(client: Any, *names: str) -> Outcomes:
    return {file.ticket: error for file, error in client.send_small(small_files(*names))}


def content(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


def test_small_files_share_three_round_trips() -> None:
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "warms up")
    env.connection(0).server.forget()
    assert outcomes(client, *"abcdef") == dict.fromkeys("abcdef")
    assert len(env.connection(0).server.turns) == 3
    assert env.files == content("warms up", *"abcdef")
    assert env.tried[0] == 1


def test_at_most_64_files_are_in_flight() -> None:
    env = SftpEnvironment()
    names = [f"{number:03}" for number in range(200)]
    assert outcomes(env.client(), *names) == dict.fromkeys(names)
    assert env.files == content(*names)
    assert max(len(turn) for turn in env.connection(0).server.turns) <= 3 * 64


def test_no_files_open_no_connection() -> None:
    env = SftpEnvironment()
    assert outcomes(env.client()) == {}
    assert env.made == []


def test_refused_file_does_not_fail_the_others() -> None:
    env = SftpEnvironment(scripts={0: refusing(Request.WRITE, number=2)})
    errors = outcomes(env.client(), *"abc")
    assert (errors["a"], errors["c"]) == (None, None)
    assert isinstance(errors["b"], RequestRefused)
    assert env.files == content("a", "c")


@pytest.mark.parametrize("error", [PartnerUnreachable("down.", hint=""), ZeroDivisionError("surprise")])
def test_failed_connect_is_the_outcome_of_every_file(error: Exception) -> None:
    def down() -> None:
        raise error

    env = SftpEnvironment(before_connect={0: down})
    assert outcomes(env.client(), *"abc") == dict.fromkeys("abc", error)
    assert env.tried[0] == 1, "one refused login is enough"


def test_connection_is_made_with_the_timeouts_of_the_client() -> None:
    given: list[Timeouts] = []

    def connect(server: Server, credentials: Credentials, timeouts: Timeouts, *_: Any, **__: Any) -> Any:
        given.append(timeouts)
        raise PartnerUnreachable("down.", hint="")

    timeouts = Timeouts(connect=7, reply=70)
    client = SftpClient(SERVER, FixedCredentials(LOGIN), timeouts=timeouts, connect=connect)
    with pytest.raises(PartnerUnreachable):
        client.connect()
    assert given == [timeouts]


# --- a lost connection ---


def silent_after(files: int) -> Script:
    """Script: this many files are renamed, then the server is silent."""

    def script(asked: Asked) -> bytes | None:
        is_lost = asked.kind == Request.EXTENDED and asked.number > 1 + files  # the first asks for limits
        return NOTHING if is_lost else None

    return script


def never_replies(asked: Asked) -> bytes:
    return NOTHING


def test_lost_warm_connection_is_replaced_and_all_files_arrive() -> None:
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "warms up")
    env.connection(0).server.script = never_replies
    assert outcomes(client, *"abc") == dict.fromkeys("abc")
    assert env.tried[0] == 2
    assert {name: bytes(data) for name, data in env.files.items() if not name.startswith(".")} == content(
        "warms up", *"abc"
    )


def test_only_files_lost_with_the_warm_connection_are_sent_again() -> None:
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "warms up")
    old = env.connection(0).server
    old.forget()
    old.script = lambda asked: NOTHING if asked.kind == Request.EXTENDED and asked.number > 2 else None
    assert outcomes(client, *"abcd") == dict.fromkeys("abcd")
    sent_again = env.connection(0).server.paths(Request.OPEN)
    assert [path for (path,) in sent_again] == [another_name(".c.part"), another_name(".d.part")]
    assert env.files == content("warms up", *"abcd")


def test_second_lost_connection_is_the_outcome() -> None:
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "warms up")
    env.connection(0).server.script = never_replies
    env.scripts[0] = after_start(never_replies)
    errors = outcomes(client, *"ab")
    assert {type(error) for error in errors.values()} == {ConnectionLost}
    assert env.tried[0] == 2


def test_lost_new_connection_is_not_replaced_at_once() -> None:
    env = SftpEnvironment(scripts={0: silent_after(2)})
    errors = outcomes(env.client(), *"abcd")
    assert (errors["a"], errors["b"]) == (None, None)
    assert isinstance(errors["c"], ConnectionLost)
    assert isinstance(errors["d"], ConnectionLost)
    assert env.tried[0] == 1


def test_unstarted_files_fail_with_a_lost_new_connection() -> None:
    names = [f"{number:03}" for number in range(100)]
    env = SftpEnvironment(scripts={0: silent_after(0)})
    errors = outcomes(env.client(), *names)
    assert {type(error) for error in errors.values()} == {ConnectionLost}
    assert len(errors) == 100


@pytest.mark.parametrize("kind", [RequestRefused, ProtocolViolation])
def test_refusal_and_protocol_violation_are_not_retried_at_once(kind: type[Exception]) -> None:
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "warms up")

    def malformed_reply(asked: Asked) -> bytes | None:
        return framed(250, asked.request_id.to_bytes(4, "big")) if asked.kind == Request.WRITE else None

    env.connection(0).server.script = refusing(Request.WRITE) if kind is RequestRefused else malformed_reply
    errors = outcomes(client, "a")
    assert isinstance(errors["a"], kind)
    assert env.tried[0] == 1


def test_lost_connection_is_replaced_for_the_next_files() -> None:
    env = SftpEnvironment(scripts={0: silent_at(Request.WRITE)})
    client = env.client()
    assert isinstance(outcomes(client, "a")["a"], ConnectionLost)
    env.scripts.clear()
    assert outcomes(client, "b") == {"b": None}


def test_client_is_usable_after_the_caller_stops_early() -> None:
    def slow_with_b(asked: Asked) -> bytes | None:
        return NOTHING if asked.kind == Request.EXTENDED and b"b.part" in asked.payload else None

    env = SftpEnvironment(scripts={0: slow_with_b})
    client = env.client()
    sending: Any = client.send_small(small_files(*"abcd"))
    next(sending)
    sending.close()  # raises if a file's clean-up waited for the server
    gc.collect()
    assert outcomes(client, "e") == {"e": None}
    assert env.tried[0] == 1


def test_close_closes_the_connection() -> None:
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "a")
    client.close()
    assert env.connection(0).closed


# --- a commit before the RENAME ---


def committing(commits: Callable[[str], Future[None]]) -> SendSmall[str]:
    """Send as a delivery with a ledger does."""

    async def send(session: SftpSession, file: SmallFile[str]) -> None:
        await upload_small(session, file.data, temporary=file.temporary, path=file.path, journal=file.journal)
        await ExternalFuture(commits(file.ticket))
        try:
            await sftp_publish(session, file.temporary, file.path, aside=file.aside, journal=file.journal)
        except ConnectionLost as lost:
            raise RenameUnanswered(lost.reason, hint=lost.hint) from lost

    return send


def test_files_proceed_while_others_wait_for_their_commits() -> None:
    env = SftpEnvironment()
    last: list[Future[None]] = []

    def commit_together(_name: str) -> Future[None]:
        last.append(Future())
        if len(last) == 3:
            for future in last:
                future.set_result(None)
        return last[-1]

    assert [
        error for _, error in env.client().send_small(small_files(*"abc"), committing(commit_together))
    ] == [None] * 3
    assert env.files == content(*"abc")


def test_refused_commit_fails_only_its_own_file() -> None:
    def refuse(name: str) -> Future[None]:
        future: Future[None] = Future()
        if name == "a":
            future.set_exception(ValueError("superseded"))
        else:
            future.set_result(None)
        return future

    env = SftpEnvironment()
    sent = env.client().send_small(small_files(*"ab"), committing(refuse))
    errors = {file.ticket: error for file, error in sent}
    assert errors["b"] is None
    assert str(errors["a"]) == "superseded"
    assert env.files == {".a.part": b"a", "b": b"b"}


def test_file_lost_after_its_commit_is_not_sent_again_at_once() -> None:
    """It may have its final name already: only the ledger can tell."""
    env = SftpEnvironment()
    client = env.client()
    outcomes(client, "warms up")
    old = env.connection(0).server
    old.forget()
    old.script = lambda asked: NOTHING if asked.kind == Request.EXTENDED else None
    ((_, error),) = client.send_small(small_files("a"), committing(lambda _name: done()))
    assert isinstance(error, RenameUnanswered)
    assert env.connection(0).server is old
    assert [path for (path,) in old.paths(Request.OPEN)] == [".a.part"]


# --- what an earlier attempt left behind ---

ASIDE = ".a.part.1.old"
LEFT = (".a.part", another_name(".a.part"), void_name(".a.part"))


def test_remove_deletes_all_names_derived_from_a_temporary_name() -> None:
    env = SftpEnvironment()
    for name in (*names_of_attempt(".a.part"), ".b.part", "kept"):
        env.files[name] = bytearray(b"x")
    gone = env.client().remove(".a.part", ".b.part", ".gone.part")
    assert gone == {".a.part", ".b.part", ".gone.part"}
    assert set(env.files) == {"kept"}


@pytest.mark.parametrize("left", LEFT)
def test_temporary_name_with_a_refused_remove_is_not_reported_as_gone(left: str) -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.REMOVE and asked.texts == [left]
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    env = SftpEnvironment(scripts={0: script})
    for name in (*LEFT, ".b.part"):
        env.files[name] = bytearray(b"x")
    assert env.client().remove(".a.part", ".b.part") == {".b.part"}
    assert env.connection(0).is_open()
    assert set(env.files) == {left}


@pytest.mark.parametrize("kind", [Request.LSTAT, Request.RENAME])
def test_lost_connection_is_raised_by_look_at_and_restore(kind: Request) -> None:
    client = SftpEnvironment(scripts={0: silent_at(kind)}).client()
    ask: Callable[[], object] = functools.partial(client.look_at, "a", "b")
    if kind is Request.RENAME:
        ask = functools.partial(
            client.run, lambda session: restore_first(session, [ASIDE], "a", MemoryJournal())
        )
    with pytest.raises(ConnectionLost):
        ask()


def test_look_at_returns_statuses_in_order_in_one_round_trip() -> None:
    env = SftpEnvironment()
    env.files["a"] = File(b"news", modified=7)
    client = env.client()
    client.connect()
    env.connection(0).server.forget()
    absent, seen = client.look_at(".a.part", "a")
    assert (absent, absent.present) == (PathStatus(absent=True), False)
    assert seen == PathStatus(FileAttributes(size=4, mtime=7, permissions=0o100644))
    assert len(env.connection(0).server.turns) == 1


def test_aside_file_is_restored_only_to_a_free_name() -> None:
    env = SftpEnvironment()
    env.disk.files |= {".1.old": bytearray(b"1"), ".2.old": bytearray(b"2")}
    journal = MemoryJournal({".1.old": "settled", ".2.old": "settled"})
    env.client().run(lambda session: restore_first(session, [".1.old", ".2.old"], "a", journal))
    assert env.files == {"a": b"1", ".2.old": b"2"}
    assert journal.names == {".2.old": "settled"}


def test_aside_file_never_replaces_a_newer_file() -> None:
    def replaces(asked: Asked) -> bytes | None:
        if asked.kind != Request.RENAME:
            return None
        env.disk.move(*renamed(asked))
        return status(asked, Status.OK)

    env = SftpEnvironment(scripts={0: replaces})
    env.disk.files |= {".1.old": bytearray(b"old"), "a": bytearray(b"new")}
    env.client().run(lambda session: restore_first(session, [".1.old"], "a", MemoryJournal()))
    assert env.files == {".1.old": b"old", "a": b"new"}


@pytest.mark.parametrize("stands", [True, False])
def test_aside_files_are_removed_only_when_the_final_name_is_seen(stands: object) -> None:
    env = SftpEnvironment()
    env.disk.files |= {".1.old": bytearray(b"1"), ".2.old": bytearray(b"2")}
    if stands:
        env.files["a"] = bytearray(b"new")
    journal = MemoryJournal({".1.old": "settled", ".2.old": "settled"})
    env.client().remove_asides([".1.old", ".2.old"], "a", journal)
    assert set(env.files) == ({"a"} if stands else {".1.old", ".2.old"})
    assert set(journal.names) == (set() if stands else {".1.old", ".2.old"})


# --- resume support ---


def test_resume_support_is_probed_once() -> None:
    env = SftpEnvironment()
    client = env.client()
    assert client.supports_resume("new/.a.part")
    assert client.supports_resume("new/.b.part")
    reads = [each.number for each in env.made for _ in each.server.paths(Request.READ)]
    assert reads == [CHANNEL]
    assert env.files == {}


def test_refused_resume_probe_is_repeated_in_another_directory() -> None:
    env = SftpEnvironment(scripts={CHANNEL: refusing(Request.READ, Status.PERMISSION_DENIED)})
    client = env.client()
    with pytest.raises(RequestRefused, match="said the partner"):
        client.supports_resume("locked/.a.part")
    env.scripts.clear()
    assert client.supports_resume("open/.a.part")
    assert env.files == {}


# --- large files ---


def test_upload_returns_what_was_staged() -> None:
    env = SftpEnvironment(channels=True)
    sent = env.client().upload(UploadRequest(source=Bytes(), temporary=TEMPORARY))
    assert sent.seen is not None
    assert sent.seen.size == len(DATA)
    assert sent == Staged(
        streams=1, acknowledged=len(DATA), complete=True, temporary=TEMPORARY, seen=sent.seen
    )
    assert env.files == {TEMPORARY: DATA}
