"""Small files travel together, and each has its own outcome."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from s3_to_sftp.errors import ConnectionLost, PartnerUnreachable, ProtocolViolation, RequestRefused
from s3_to_sftp.sftp.lanes import Sent
from s3_to_sftp.sftp.partner import SmallFile
from s3_to_sftp.sftp.protocol import LIMITS, Request, Status
from tests.unit.scripted_server import (
    NOTHING,
    Asked,
    Script,
    after_start,
    framed,
    refusing,
    silent_at,
    status,
)
from tests.unit.sending import DATA, TEMPORARY, Bytes
from tests.unit.site import CHANNEL, Site

Outcomes = dict[str, Exception | None]


def small(*names: str) -> Iterator[SmallFile[str]]:
    for name in names:
        yield SmallFile(name, name, f".{name}.part", name.encode())


def outcomes(partner: Any, *names: str) -> Outcomes:
    return {file.ticket: error for file, error in partner.send_small(small(*names))}


def content(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


def test_files_share_three_round_trips() -> None:
    site = Site()
    partner = site.partner()
    outcomes(partner, "warms up")
    site.connection(0).server.forget()
    assert outcomes(partner, *"abcdef") == dict.fromkeys("abcdef")
    assert len(site.connection(0).server.turns) == 3
    assert site.files == content("warms up", *"abcdef")
    assert site.tried[0] == 1


def test_many_files_are_under_way_but_not_all() -> None:
    site = Site()
    names = [f"{number:03}" for number in range(200)]
    assert outcomes(site.partner(), *names) == dict.fromkeys(names)
    assert site.files == content(*names)
    assert max(len(turn) for turn in site.connection(0).server.turns) <= 3 * 64


def test_nobody_connects_for_no_files() -> None:
    site = Site()
    assert outcomes(site.partner()) == {}
    assert site.made == []


def test_file_that_is_refused_does_not_cost_the_others() -> None:
    site = Site(scripts={0: refusing(Request.WRITE, number=2)})
    errors = outcomes(site.partner(), *"abc")
    assert (errors["a"], errors["c"]) == (None, None)
    assert isinstance(errors["b"], RequestRefused)
    assert site.files == content("a", "c")


@pytest.mark.parametrize("error", [PartnerUnreachable("down.", hint=""), ZeroDivisionError("surprise")])
def test_partner_that_cannot_be_reached_is_the_outcome_of_every_file(error: Exception) -> None:
    def down() -> None:
        raise error

    site = Site(before_connect={0: down})
    assert outcomes(site.partner(), *"abc") == dict.fromkeys("abc", error)
    assert site.tried[0] == 1, "one refused login is enough"


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
    site = Site()
    partner = site.partner()
    outcomes(partner, "warms up")
    site.connection(0).server.script = dead_from_now_on
    assert outcomes(partner, *"abc") == dict.fromkeys("abc")
    assert site.tried[0] == 2
    assert {name: bytes(data) for name, data in site.files.items() if not name.startswith(".")} == content(
        "warms up", *"abc"
    )


def test_only_files_that_the_old_connection_took_with_it_are_sent_again() -> None:
    site = Site()
    partner = site.partner()
    outcomes(partner, "warms up")
    old = site.connection(0).server
    old.forget()
    old.script = lambda asked: NOTHING if asked.kind == Request.EXTENDED and asked.number > 2 else None
    assert outcomes(partner, *"abcd") == dict.fromkeys("abcd")
    sent_again = site.connection(0).server.paths(Request.OPEN)
    assert [path for (path,) in sent_again] == [".c-2.part", ".d-2.part"]
    assert site.files == content("warms up", *"abcd")


def test_second_loss_is_the_outcome() -> None:
    site = Site()
    partner = site.partner()
    outcomes(partner, "warms up")
    site.connection(0).server.script = dead_from_now_on
    site.scripts[0] = after_start(dead_from_now_on)
    errors = outcomes(partner, *"ab")
    assert {type(error) for error in errors.values()} == {ConnectionLost}
    assert site.tried[0] == 2


def test_new_connection_that_dies_is_not_replaced_at_once() -> None:
    site = Site(scripts={0: dies_after(2)})
    errors = outcomes(site.partner(), *"abcd")
    assert (errors["a"], errors["b"]) == (None, None)
    assert isinstance(errors["c"], ConnectionLost)
    assert isinstance(errors["d"], ConnectionLost)
    assert site.tried[0] == 1


def test_files_that_were_not_begun_when_a_new_connection_died_are_lost_too() -> None:
    names = [f"{number:03}" for number in range(100)]
    site = Site(scripts={0: dies_after(0)})
    errors = outcomes(site.partner(), *names)
    assert {type(error) for error in errors.values()} == {ConnectionLost}
    assert len(errors) == 100


@pytest.mark.parametrize("kind", [RequestRefused, ProtocolViolation])
def test_only_a_loss_is_tried_again_at_once(kind: type[Exception]) -> None:
    site = Site()
    partner = site.partner()
    outcomes(partner, "warms up")

    def nonsense(asked: Asked) -> bytes | None:
        return framed(250, asked.request_id.to_bytes(4, "big")) if asked.kind == Request.WRITE else None

    site.connection(0).server.script = refusing(Request.WRITE) if kind is RequestRefused else nonsense
    errors = outcomes(partner, "a")
    assert isinstance(errors["a"], kind)
    assert site.tried[0] == 1


def test_connection_that_was_lost_is_replaced_for_the_next_files() -> None:
    site = Site(scripts={0: silent_at(Request.WRITE)})
    partner = site.partner()
    assert isinstance(outcomes(partner, "a")["a"], ConnectionLost)
    site.scripts.clear()
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
            yield SmallFile(number, str(number), f".{number}.part", memoryview(data))

    gc.disable()  # what is let go only by the collector is not let go in time
    try:
        assert all(error is None for _, error in Site().partner().send_small(files()))
    finally:
        gc.enable()
    assert most <= 64 + 2


def test_caller_that_stops_early_leaves_a_partner_that_can_be_used() -> None:
    def slow_with_b(asked: Asked) -> bytes | None:
        return NOTHING if asked.kind == Request.EXTENDED and b"b.part" in asked.payload else None

    site = Site(scripts={0: slow_with_b})
    partner = site.partner()
    sending: Any = partner.send_small(small(*"abcd"))
    next(sending)
    sending.close()  # raises if a file's clean-up waited for the server
    gc.collect()
    assert outcomes(partner, "e") == {"e": None}
    assert site.tried[0] == 1


def test_close_closes_the_connection() -> None:
    site = Site()
    partner = site.partner()
    outcomes(partner, "a")
    partner.close()
    assert site.connection(0).closed


# --- the permit ---


def permitted(name: str, permit: Callable[[str], Future[None]]) -> SmallFile[str]:
    return SmallFile(name, name, f".{name}.part", name.encode(), permit)


def granted(_temporary: str) -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def test_permit_is_asked_when_the_bytes_are_there_and_before_the_name_is_given() -> None:
    site = Site()
    seen: list[dict[str, bytearray]] = []

    def permit(temporary: str) -> Future[None]:
        seen.append(dict(site.files))
        return granted(temporary)

    assert [error for _, error in site.partner().send_small([permitted("a", permit)])] == [None]
    assert seen == [{".a.part": b"a"}]
    assert site.files == content("a")


def test_files_share_their_round_trips_while_others_wait_for_their_permits() -> None:
    site = Site()
    last: list[Future[None]] = []

    def late(_temporary: str) -> Future[None]:
        last.append(Future())
        if len(last) == 3:
            for future in last:
                future.set_result(None)
        return last[-1]

    files = [permitted(name, late) for name in "abc"]
    assert [error for _, error in site.partner().send_small(files)] == [None] * 3
    assert site.files == content(*"abc")


def test_refused_permit_is_the_outcome_and_leaves_the_file_to_the_caller() -> None:
    def refuse(_temporary: str) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(ValueError("superseded"))
        return future

    site = Site()
    files = [permitted("a", refuse), permitted("b", granted)]
    errors = {file.ticket: error for file, error in site.partner().send_small(files)}
    assert errors["b"] is None
    assert str(errors["a"]) == "superseded"
    assert site.files == {".a.part": b"a", "b": b"b"}


def test_file_that_was_lost_behind_its_permit_is_not_sent_again_at_once() -> None:
    """It may have its final name already: only who gave the permit can tell."""
    site = Site()
    partner = site.partner()
    outcomes(partner, "warms up")
    old = site.connection(0).server
    old.forget()
    old.script = lambda asked: NOTHING if asked.kind == Request.EXTENDED else None
    files = [permitted("a", granted), next(small("b"))]
    errors = {file.ticket: error for file, error in partner.send_small(files)}
    assert isinstance(errors["a"], ConnectionLost)
    assert errors["b"] is None
    assert [path for (path,) in site.connection(0).server.paths(Request.OPEN)] == [".b-2.part"]


# --- what an earlier attempt has left ---

NO_POSIX_RENAME = {LIMITS: b"1"}
each_rename = pytest.mark.parametrize("extensions", [None, NO_POSIX_RENAME], ids=["posix-rename", "rename"])


@each_rename
@pytest.mark.parametrize("old", [None, b"old"])
def test_file_that_is_there_gets_its_final_name(
    old: bytes | None, extensions: dict[str, bytes] | None
) -> None:
    site = Site(extensions=extensions)
    site.files[".a.part"] = bytearray(b"new")
    if old:
        site.files["a"] = bytearray(old)
    assert site.partner().publish(".a.part", "a")
    assert site.files == {"a": b"new"}


@each_rename
@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize("code", [Status.NO_SUCH_FILE, Status.FAILURE])
def test_file_that_is_not_there_gets_no_name_and_nothing_is_touched(
    code: int, delivered: object, extensions: dict[str, bytes] | None
) -> None:
    def script(asked: Asked) -> bytes | None:
        return status(asked, code) if names_changed(asked) and b".part" in asked.payload else None

    site = Site(extensions=extensions, scripts={0: script})
    if delivered:
        site.files["a"] = bytearray(b"delivered")
    assert not site.partner().publish(".a.part", "a")
    assert site.files == ({"a": b"delivered"} if delivered else {})
    asked = site.connection(0).server.asked
    moved = [each for each in asked if names_changed(each) and b".old" in each.payload]
    assert moved == [], "the delivered file must not be put aside for one that is not there"


def names_changed(asked: Asked) -> bool:
    return asked.kind == Request.RENAME or (asked.kind == Request.EXTENDED and b"posix" in asked.payload)


@each_rename
@pytest.mark.parametrize("look", [Status.OK, Status.PERMISSION_DENIED], ids=["shows it", "drop box"])
def test_refused_name_of_a_file_that_may_be_there_is_an_error(
    look: int, extensions: dict[str, bytes] | None
) -> None:
    def script(asked: Asked) -> bytes | None:
        if asked.kind == Request.STAT and look:
            return status(asked, look)
        return status(asked, Status.PERMISSION_DENIED) if names_changed(asked) else None

    site = Site(extensions=extensions, scripts={0: script})
    site.files[".a.part"] = bytearray(b"new")
    with pytest.raises(RequestRefused, match="rename"):
        site.partner().publish(".a.part", "a")
    assert site.files == {".a.part": b"new"}


def test_lost_connection_is_no_answer_about_the_file() -> None:
    site = Site(scripts={0: lambda asked: NOTHING if names_changed(asked) else None})
    with pytest.raises(ConnectionLost):
        site.partner().publish(".a.part", "a")


def test_what_is_left_is_discarded_with_what_a_second_attempt_left() -> None:
    site = Site()
    for name in (".a.part", ".a-2.part", ".b.part", "kept"):
        site.files[name] = bytearray(b"x")
    site.partner().discard(".a.part", ".b.part", ".gone.part")
    assert set(site.files) == {"kept"}


def test_discarding_what_may_not_be_removed_is_no_error() -> None:
    site = Site(scripts={0: refusing(Request.REMOVE, Status.PERMISSION_DENIED)})
    site.partner().discard(".a.part")
    assert site.connection(0).is_open()


# --- whether files can be gone on with ---


def test_server_is_asked_once_whether_files_can_be_gone_on_with() -> None:
    site = Site()
    partner = site.partner()
    assert partner.continues_files("new/.a.part")
    assert partner.continues_files("new/.b.part")
    reads = [each.number for each in site.made for _ in each.server.paths(Request.READ)]
    assert reads == [CHANNEL]
    assert site.files == {}


def test_refusal_to_go_on_with_files_is_asked_for_again_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site(scripts={CHANNEL: refusing(Request.READ, Status.PERMISSION_DENIED)})
    partner = site.partner()
    assert not partner.continues_files("locked/.a.part")
    assert "files cannot be resumed" in caplog.text
    site.scripts.clear()
    assert partner.continues_files("open/.a.part")
    assert site.files == {}


# --- large files ---


def test_large_file_is_sent_and_its_fate_told() -> None:
    site = Site(channels=True)
    sent = site.partner().send_large(Bytes(), temporary=TEMPORARY)
    assert sent.seen is not None
    assert sent.seen.size == len(DATA)
    assert sent == Sent(lanes=1, acknowledged=len(DATA), complete=True, temporary=TEMPORARY, seen=sent.seen)
    assert site.files == {TEMPORARY: DATA}
