"""Small files travel together, and each has its own outcome."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from s3_to_sftp.errors import (
    ConnectionLost,
    PartnerUnreachable,
    ProtocolViolation,
    RenameUnanswered,
    RequestRefused,
)
from s3_to_sftp.sftp.client import SendSmall, SmallFile
from s3_to_sftp.sftp.protocol import LIMITS, FileAttributes, Request, Status
from s3_to_sftp.sftp.publish import PathStatus, restore_first
from s3_to_sftp.sftp.publish import publish as sftp_publish
from s3_to_sftp.sftp.scheduler import ExternalFuture
from s3_to_sftp.sftp.session import SftpSession
from s3_to_sftp.sftp.upload import Staged, upload_small
from s3_to_sftp.sftp.upload_request import UploadRequest
from tests.support.scripted_server import (
    NOTHING,
    Asked,
    File,
    Script,
    after_start,
    framed,
    is_rename,
    refusing,
    renamed,
    silent_at,
    status,
)
from tests.support.sending import DATA, TEMPORARY, Bytes
from tests.support.sftp_environment import CHANNEL, MemoryJournal, done
from tests.support.sftp_environment import SftpEnvironment as Environment

Outcomes = dict[str, Exception | None]


def small(*names: str) -> Iterator[SmallFile[str]]:
    for name in names:
        yield small_file(name)


def small_file(name: str) -> SmallFile[str]:
    temporary = f".{name}.part"
    aside = f"{temporary}.old"
    return SmallFile(name, name, temporary, name.encode(), aside, MemoryJournal())


def outcomes(partner: Any, *names: str) -> Outcomes:
    return {file.ticket: error for file, error in partner.send_small(small(*names))}


def content(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


def test_files_share_three_round_trips() -> None:
    env = Environment()
    partner = env.partner()
    outcomes(partner, "warms up")
    env.connection(0).server.forget()
    assert outcomes(partner, *"abcdef") == dict.fromkeys("abcdef")
    assert len(env.connection(0).server.turns) == 3
    assert env.files == content("warms up", *"abcdef")
    assert env.tried[0] == 1


def test_many_files_are_under_way_but_not_all() -> None:
    env = Environment()
    names = [f"{number:03}" for number in range(200)]
    assert outcomes(env.partner(), *names) == dict.fromkeys(names)
    assert env.files == content(*names)
    assert max(len(turn) for turn in env.connection(0).server.turns) <= 3 * 64


def test_nobody_connects_for_no_files() -> None:
    env = Environment()
    assert outcomes(env.partner()) == {}
    assert env.made == []


def test_file_that_is_refused_does_not_cost_the_others() -> None:
    env = Environment(scripts={0: refusing(Request.WRITE, number=2)})
    errors = outcomes(env.partner(), *"abc")
    assert (errors["a"], errors["c"]) == (None, None)
    assert isinstance(errors["b"], RequestRefused)
    assert env.files == content("a", "c")


@pytest.mark.parametrize("error", [PartnerUnreachable("down.", hint=""), ZeroDivisionError("surprise")])
def test_partner_that_cannot_be_reached_is_the_outcome_of_every_file(error: Exception) -> None:
    def down() -> None:
        raise error

    env = Environment(before_connect={0: down})
    assert outcomes(env.partner(), *"abc") == dict.fromkeys("abc", error)
    assert env.tried[0] == 1, "one refused login is enough"


# --- a connection that dies ---


def dies_after(files: int) -> Script:
    """The first files are renamed, then there is silence."""

    def script(asked: Asked) -> bytes | None:
        renamed = asked.kind == Request.EXTENDED and asked.number > 1
        return NOTHING if renamed and asked.number > 1 + files else None

    return script


def dead_from_now_on(asked: Asked) -> bytes:
    return NOTHING


def test_old_connection_that_died_is_replaced_and_all_files_arrive() -> None:
    env = Environment()
    partner = env.partner()
    outcomes(partner, "warms up")
    env.connection(0).server.script = dead_from_now_on
    assert outcomes(partner, *"abc") == dict.fromkeys("abc")
    assert env.tried[0] == 2
    assert {name: bytes(data) for name, data in env.files.items() if not name.startswith(".")} == content(
        "warms up", *"abc"
    )


def test_only_files_that_the_old_connection_took_with_it_are_sent_again() -> None:
    env = Environment()
    partner = env.partner()
    outcomes(partner, "warms up")
    old = env.connection(0).server
    old.forget()
    old.script = lambda asked: NOTHING if asked.kind == Request.EXTENDED and asked.number > 2 else None
    assert outcomes(partner, *"abcd") == dict.fromkeys("abcd")
    sent_again = env.connection(0).server.paths(Request.OPEN)
    assert [path for (path,) in sent_again] == [".c-2.part", ".d-2.part"]
    assert env.files == content("warms up", *"abcd")


def test_second_loss_is_the_outcome() -> None:
    env = Environment()
    partner = env.partner()
    outcomes(partner, "warms up")
    env.connection(0).server.script = dead_from_now_on
    env.scripts[0] = after_start(dead_from_now_on)
    errors = outcomes(partner, *"ab")
    assert {type(error) for error in errors.values()} == {ConnectionLost}
    assert env.tried[0] == 2


def test_new_connection_that_dies_is_not_replaced_at_once() -> None:
    env = Environment(scripts={0: dies_after(2)})
    errors = outcomes(env.partner(), *"abcd")
    assert (errors["a"], errors["b"]) == (None, None)
    assert isinstance(errors["c"], ConnectionLost)
    assert isinstance(errors["d"], ConnectionLost)
    assert env.tried[0] == 1


def test_files_that_were_not_begun_when_a_new_connection_died_are_lost_too() -> None:
    names = [f"{number:03}" for number in range(100)]
    env = Environment(scripts={0: dies_after(0)})
    errors = outcomes(env.partner(), *names)
    assert {type(error) for error in errors.values()} == {ConnectionLost}
    assert len(errors) == 100


@pytest.mark.parametrize("kind", [RequestRefused, ProtocolViolation])
def test_only_a_loss_is_tried_again_at_once(kind: type[Exception]) -> None:
    env = Environment()
    partner = env.partner()
    outcomes(partner, "warms up")

    def nonsense(asked: Asked) -> bytes | None:
        return framed(250, asked.request_id.to_bytes(4, "big")) if asked.kind == Request.WRITE else None

    env.connection(0).server.script = refusing(Request.WRITE) if kind is RequestRefused else nonsense
    errors = outcomes(partner, "a")
    assert isinstance(errors["a"], kind)
    assert env.tried[0] == 1


def test_connection_that_was_lost_is_replaced_for_the_next_files() -> None:
    env = Environment(scripts={0: silent_at(Request.WRITE)})
    partner = env.partner()
    assert isinstance(outcomes(partner, "a")["a"], ConnectionLost)
    env.scripts.clear()
    assert outcomes(partner, "b") == {"b": None}


def test_bytes_of_a_file_are_let_go_when_it_is_done() -> None:
    class Bytes(bytearray):
        pass

    alive: list[weakref.ref[Bytes]] = []
    most = 0

    def files() -> Iterator[SmallFile[int]]:
        nonlocal most
        for number in range(300):
            data = Bytes(b"x" * 100)
            alive.append(weakref.ref(data))
            most = max(most, sum(each() is not None for each in alive))
            name = f".{number}.part"
            yield SmallFile(number, str(number), name, memoryview(data), f"{name}.old", MemoryJournal())

    gc.disable()  # what is let go only by the collector is not let go in time
    try:
        assert all(error is None for _, error in Environment().partner().send_small(files()))
    finally:
        gc.enable()
    assert most <= 64 + 2


def test_caller_that_stops_early_leaves_a_partner_that_can_be_used() -> None:
    def slow_with_b(asked: Asked) -> bytes | None:
        return NOTHING if asked.kind == Request.EXTENDED and b"b.part" in asked.payload else None

    env = Environment(scripts={0: slow_with_b})
    partner = env.partner()
    sending: Any = partner.send_small(small(*"abcd"))
    next(sending)
    sending.close()  # raises if a file's clean-up waited for the server
    gc.collect()
    assert outcomes(partner, "e") == {"e": None}
    assert env.tried[0] == 1


def test_close_closes_the_connection() -> None:
    env = Environment()
    partner = env.partner()
    outcomes(partner, "a")
    partner.close()
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


def test_files_share_their_round_trips_while_others_wait_for_their_commits() -> None:
    env = Environment()
    last: list[Future[None]] = []

    def late(_name: str) -> Future[None]:
        last.append(Future())
        if len(last) == 3:
            for future in last:
                future.set_result(None)
        return last[-1]

    assert [error for _, error in env.partner().send_small(small(*"abc"), committing(late))] == [None] * 3
    assert env.files == content(*"abc")


def test_refused_commit_is_the_outcome_of_that_file_alone() -> None:
    def refuse(name: str) -> Future[None]:
        future: Future[None] = Future()
        if name == "a":
            future.set_exception(ValueError("superseded"))
        else:
            future.set_result(None)
        return future

    env = Environment()
    sent = env.partner().send_small(small(*"ab"), committing(refuse))
    errors = {file.ticket: error for file, error in sent}
    assert errors["b"] is None
    assert str(errors["a"]) == "superseded"
    assert env.files == {".a.part": b"a", "b": b"b"}


def test_file_that_was_lost_behind_its_commit_is_not_sent_again_at_once() -> None:
    """It may have its final name already: only who has committed can tell."""
    env = Environment()
    partner = env.partner()
    outcomes(partner, "warms up")
    old = env.connection(0).server
    old.forget()
    old.script = lambda asked: NOTHING if asked.kind == Request.EXTENDED else None
    ((_, error),) = partner.send_small(small("a"), committing(lambda _name: done()))
    assert isinstance(error, RenameUnanswered)
    assert env.connection(0).server is old
    assert [path for (path,) in old.paths(Request.OPEN)] == [".a.part"]


# --- what an earlier attempt has left ---

NO_POSIX_RENAME = {LIMITS: b"1"}
ASIDE = ".a.part.1.old"


def publish(env: Environment) -> None:
    env.partner().run(
        lambda session: sftp_publish(session, ".a.part", "a", aside=ASIDE, journal=MemoryJournal())
    )


each_rename = pytest.mark.parametrize("extensions", [None, NO_POSIX_RENAME], ids=["posix-rename", "rename"])


@each_rename
@pytest.mark.parametrize("old", [None, b"old"])
def test_file_that_is_there_gets_its_final_name(
    old: bytes | None, extensions: dict[str, bytes] | None
) -> None:
    env = Environment(extensions=extensions)
    env.files[".a.part"] = bytearray(b"new")
    if old:
        env.files["a"] = bytearray(old)
    publish(env)
    assert env.files == {"a": b"new"}


@each_rename
@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_file_that_is_not_there_gets_no_name_and_nothing_is_touched(
    code: int, delivered: object, extensions: dict[str, bytes] | None
) -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, code) if is_rename(asked) and renamed(asked) == (".a.part", "a") else None

    env = Environment(extensions=extensions, scripts={0: script})
    if delivered:
        env.files["a"] = bytearray(b"delivered")
    with pytest.raises(RequestRefused, match="rename"):
        publish(env)
    assert env.files == ({"a": b"delivered"} if delivered else {})
    asked = env.connection(0).server.asked
    assert [renamed(each) for each in asked if is_rename(each)] == [(".a.part", "a")], (
        "the delivered file must not be put aside for one that is not there"
    )


@each_rename
@pytest.mark.parametrize("look", [None, Status.PERMISSION_DENIED], ids=["shows it", "drop box"])
def test_refused_name_of_a_file_that_may_be_there_is_an_error(
    look: int | None, extensions: dict[str, bytes] | None
) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.LSTAT and look:
            return status(asked, look)
        return status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None

    env = Environment(extensions=extensions, scripts={0: script})
    env.files[".a.part"] = bytearray(b"new")
    with pytest.raises(RequestRefused, match="rename"):
        publish(env)
    assert env.files == {".a.part": b"new"}


def test_lost_connection_is_no_answer_about_the_file() -> None:
    env = Environment(scripts={0: lambda asked: NOTHING if is_rename(asked) else None})
    with pytest.raises(ConnectionLost):
        publish(env)


def test_what_is_left_is_removed_with_what_a_second_attempt_left() -> None:
    env = Environment()
    left = [".a.part", ".a-2.part", ".a-probe.part", ".a-resume.part", ".a.part.void"]
    for name in (*left, ".b.part", "kept"):
        env.files[name] = bytearray(b"x")
    gone = env.partner().remove(".a.part", ".b.part", ".gone.part")
    assert gone == {".a.part", ".b.part", ".gone.part"}
    assert set(env.files) == {"kept"}


@pytest.mark.parametrize("left", [".a.part", ".a-2.part", ".a.part.void"])
def test_name_of_which_something_may_not_be_removed_is_not_gone(left: str) -> None:
    def script(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.REMOVE and asked.texts == [left]
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    env = Environment(scripts={0: script})
    for name in (".a.part", ".a-2.part", ".a.part.void", ".b.part"):
        env.files[name] = bytearray(b"x")
    assert env.partner().remove(".a.part", ".b.part") == {".b.part"}
    assert env.connection(0).is_open()
    assert set(env.files) == {left}


@pytest.mark.parametrize("kind", [Request.LSTAT, Request.RENAME])
def test_lost_connection_is_told_by_all_that_ask_the_partner(kind: Request) -> None:
    partner = Environment(scripts={0: silent_at(kind)}).partner()
    ask: Callable[[], object] = functools.partial(partner.look_at, "a", "b")
    if kind is Request.RENAME:
        ask = functools.partial(
            partner.run, lambda session: restore_first(session, [ASIDE], "a", MemoryJournal())
        )
    with pytest.raises(ConnectionLost):
        ask()


def test_looks_are_answered_in_the_order_of_the_questions_and_share_a_round_trip() -> None:
    env = Environment()
    env.files["a"] = File(b"news", modified=7)
    partner = env.partner()
    partner.connect()
    env.connection(0).server.forget()
    absent, seen = partner.look_at(".a.part", "a")
    assert (absent, absent.present) == (PathStatus(absent=True), False)
    assert seen == PathStatus(FileAttributes(size=4, mtime=7, permissions=0o100644))
    assert len(env.connection(0).server.turns) == 1


def test_file_that_was_moved_aside_gets_its_name_back_only_where_nothing_has_it() -> None:
    env = Environment()
    env.disk.files |= {".1.old": bytearray(b"1"), ".2.old": bytearray(b"2")}
    journal = MemoryJournal({".1.old": "settled", ".2.old": "settled"})
    env.partner().run(lambda session: restore_first(session, [".1.old", ".2.old"], "a", journal))
    assert env.files == {"a": b"1", ".2.old": b"2"}
    assert journal.names == {".2.old": "settled"}


def test_old_file_does_not_replace_a_new_one_where_every_rename_replaces() -> None:
    def replaces(asked: Asked) -> bytes | None:
        if asked.kind != Request.RENAME:
            return None
        env.disk.move(*renamed(asked))
        return status(asked, Status.OK)

    env = Environment(scripts={0: replaces})
    env.disk.files |= {".1.old": bytearray(b"old"), "a": bytearray(b"new")}
    env.partner().run(lambda session: restore_first(session, [".1.old"], "a", MemoryJournal()))
    assert env.files == {".1.old": b"old", "a": b"new"}


@pytest.mark.parametrize("stands", [True, False])
def test_files_that_were_moved_aside_are_removed_only_when_the_final_name_is_seen(stands: object) -> None:
    env = Environment()
    env.disk.files |= {".1.old": bytearray(b"1"), ".2.old": bytearray(b"2")}
    if stands:
        env.files["a"] = bytearray(b"new")
    journal = MemoryJournal({".1.old": "settled", ".2.old": "settled"})
    env.partner().remove_asides([".1.old", ".2.old"], "a", journal)
    assert set(env.files) == ({"a"} if stands else {".1.old", ".2.old"})
    assert set(journal.names) == (set() if stands else {".1.old", ".2.old"})


# --- whether files can be resumed ---


def test_server_is_asked_once_whether_files_can_be_gone_on_with() -> None:
    env = Environment()
    partner = env.partner()
    assert partner.supports_resume("new/.a.part")
    assert partner.supports_resume("new/.b.part")
    reads = [each.number for each in env.made for _ in each.server.paths(Request.READ)]
    assert reads == [CHANNEL]
    assert env.files == {}


def test_refusal_to_go_on_with_files_is_asked_for_again_elsewhere() -> None:
    env = Environment(scripts={CHANNEL: refusing(Request.READ, Status.PERMISSION_DENIED)})
    partner = env.partner()
    with pytest.raises(RequestRefused, match="said the partner"):
        partner.supports_resume("locked/.a.part")
    env.scripts.clear()
    assert partner.supports_resume("open/.a.part")
    assert env.files == {}


# --- large files ---


def test_large_file_is_sent_and_its_fate_told() -> None:
    env = Environment(channels=True)
    sent = env.partner().upload(UploadRequest(source=Bytes(), temporary=TEMPORARY))
    assert sent.seen is not None
    assert sent.seen.size == len(DATA)
    assert sent == Staged(
        streams=1, acknowledged=len(DATA), complete=True, temporary=TEMPORARY, seen=sent.seen
    )
    assert env.files == {TEMPORARY: DATA}
