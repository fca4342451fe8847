"""A RENAME that hangs in a process of the partner's, and is carried out after a later one was answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.errors import ConnectionLost, EarlierRenamePending, RequestRefused
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Request, Status
from s3_to_sftp.state.receipt import Receipt
from tests.ledger_site import TABLE, create_table
from tests.unit.delivery_site import PLENTY, DeliverySite
from tests.unit.scripted_server import Asked, File, Hanging, Script, is_rename, one_of, renamed, status

PATH = "inbox/a"
OLD, ONE, TWO = b"theirs", b"version 1", b"version 2 is longer"


@pytest.fixture
def desk(dynamodb: Any) -> Iterator[DeliverySite]:
    create_table(dynamodb)
    desk = DeliverySite(dynamodb, {"a": ONE})
    desk.site.files[PATH] = File(OLD)
    yield desk
    dynamodb.delete_table(TableName=TABLE)


class Killed(BaseException):
    """The function is gone, and nobody gives its lease back."""


Deliver = Callable[[DeliverySite, ObjectRef], Receipt]


def as_large(desk: DeliverySite, ref: ObjectRef) -> Receipt:
    return desk.deliver(ref)


def as_small(desk: DeliverySite, ref: ObjectRef) -> Receipt:
    ((_, outcome),) = deliver_all(desk.function(), [ref], desk.deadline())
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


each_way = pytest.mark.parametrize("deliver", [as_large, as_small])


# --- what the partner's server does not do ---


def replaces_nothing(desk: DeliverySite) -> Script:
    """Script: posix-rename is announced, and does not replace, as on Windows."""

    def script(asked: Asked) -> bytes | None:
        taken = is_rename(asked) and desk.site.disk.has(renamed(asked)[1])
        return status(asked, Status.FAILURE) if taken else None

    return script


def removes_nothing(asked: Asked) -> bytes | None:
    return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.REMOVE else None


def voids_nothing(asked: Asked) -> bytes | None:
    voids = is_rename(asked) and renamed(asked)[1].endswith(".void")
    return status(asked, Status.PERMISSION_DENIED) if voids else None


def occupies_nothing(asked: Asked) -> bytes | None:
    occupies = asked.kind == Request.OPEN and asked.texts[0].endswith(".old")
    return status(asked, Status.PERMISSION_DENIED) if occupies else None


def moves_aside(asked: Asked) -> bool:
    return is_rename(asked) and renamed(asked)[0] == PATH


def publishes(asked: Asked) -> bool:
    return is_rename(asked) and renamed(asked)[1] == PATH


def hang(
    desk: DeliverySite,
    ref: ObjectRef,
    is_due: Callable[[Asked], bool],
    *scripts: Script,
    deliver: Deliver = as_large,
    raises: type[Exception] = ConnectionLost,
) -> Hanging:
    """Let an attempt meet a server that hangs."""
    hanging = Hanging(is_due, desk.site.disk)
    desk.site.scripts[0] = one_of(hanging, *scripts)
    with pytest.raises(raises):
        deliver(desk, ref)
    assert len(hanging.hung) == 1
    desk.site.scripts[0] = one_of(*scripts)
    return hanging


def killed(desk: DeliverySite, ref: ObjectRef, is_due: Callable[[Asked], bool], *scripts: Script) -> Hanging:
    """Let an attempt be killed at a server that hangs."""
    hanging = Hanging(is_due, desk.site.disk)

    def script(asked: Asked) -> bytes | None:
        if hanging(asked) is not None:
            raise Killed
        return one_of(*scripts)(asked)

    desk.site.scripts[0] = script
    with pytest.raises(Killed):
        desk.deliver(ref)
    desk.site.scripts[0] = one_of(*scripts)
    desk.ledger.clock.now += 2 * PLENTY
    return hanging


def second(desk: DeliverySite) -> ObjectRef:
    desk.s3.objects["a"] = TWO
    return desk.ref(sequencer="0B")


# --- the partner's old file is moved aside when it is ours that has the name ---

each_server = pytest.mark.parametrize("posix", [True, False], ids=["posix-rename", "rename"])


def without_replacing(desk: DeliverySite, posix: object) -> Script:
    desk.site.extensions = {LIMITS: b"1", **({POSIX_RENAME: b"1"} if posix else {})}
    return replaces_nothing(desk)


@each_way
@each_server
@pytest.mark.parametrize("more", [[], [removes_nothing]], ids=["REMOVE", "no REMOVE"])
@pytest.mark.parametrize("newer", [False, True], ids=["next attempt", "next version"])
def test_delivered_file_is_not_moved_aside_later(
    desk: DeliverySite, *, newer: bool, more: list[Script], posix: bool, deliver: Deliver
) -> None:
    server = without_replacing(desk, posix)
    hanging = hang(desk, desk.ref(), moves_aside, server, *more, deliver=deliver, raises=RequestRefused)
    assert desk.site.files[PATH] == OLD
    deliver(desk, second(desk) if newer else desk.ref())
    delivered = TWO if newer else ONE
    assert desk.site.files[PATH] == delivered
    hanging.wakes_up()
    assert desk.site.files[PATH] == delivered


@each_server
def test_delivered_file_is_not_moved_aside_later_when_the_function_was_killed(
    desk: DeliverySite, *, posix: bool
) -> None:
    server = without_replacing(desk, posix)
    hanging = killed(desk, desk.ref(), moves_aside, server)
    desk.deliver(desk.ref())
    hanging.wakes_up()
    assert desk.site.files[PATH] == ONE


@each_way
@each_server
def test_old_file_that_is_moved_aside_between_two_attempts_is_replaced(
    desk: DeliverySite, *, posix: bool, deliver: Deliver
) -> None:
    server = without_replacing(desk, posix)
    hanging = hang(desk, desk.ref(), moves_aside, server, deliver=deliver, raises=RequestRefused)
    hanging.wakes_up()
    assert PATH not in desk.site.files
    deliver(desk, desk.ref())
    assert desk.site.files == {PATH: ONE}
    assert desk.temporaries(desk.ref()) == set()


@each_server
@pytest.mark.parametrize("newer", [False, True], ids=["next attempt", "next version"])
def test_nothing_is_renamed_while_the_old_name_cannot_be_occupied(
    desk: DeliverySite, *, newer: bool, posix: bool
) -> None:
    server = without_replacing(desk, posix)
    hanging = hang(desk, desk.ref(), moves_aside, server, occupies_nothing, raises=RequestRefused)
    ref = second(desk) if newer else desk.ref()
    with pytest.raises(EarlierRenamePending):
        desk.deliver(ref)
    assert desk.site.files[PATH] == OLD
    assert desk.state(ref) == "STAGED"
    hanging.wakes_up()
    desk.deliver(ref)
    assert desk.site.files == {PATH: TWO if newer else ONE}
    assert desk.state(ref) == "DELIVERED"


# --- an older version, or an earlier attempt, gets the name when a later one has it ---

each_replacing_server = pytest.mark.parametrize(
    "extensions", [None, {LIMITS: b"1"}], ids=["posix-rename", "rename"]
)


@each_way
@each_replacing_server
@pytest.mark.parametrize("more", [[], [removes_nothing]], ids=["REMOVE", "no REMOVE"])
def test_older_version_never_replaces_a_newer_one(
    desk: DeliverySite, more: list[Script], extensions: dict[str, bytes] | None, deliver: Deliver
) -> None:
    desk.site.extensions = extensions
    if extensions:
        del desk.site.files[PATH]  # a RENAME that does not replace would be answered
    hanging = hang(desk, desk.ref(), publishes, *more, deliver=deliver)
    newer = second(desk)
    deliver(desk, newer)
    assert desk.site.files[PATH] == TWO
    desk.site.files.pop(PATH)  # the partner takes it: nothing is in the way
    hanging.wakes_up()
    assert PATH not in desk.site.files
    assert desk.state(newer) == "DELIVERED"


@each_replacing_server
def test_older_version_never_replaces_a_newer_one_when_its_function_was_killed(
    desk: DeliverySite, extensions: dict[str, bytes] | None
) -> None:
    desk.site.extensions = extensions
    if extensions:
        del desk.site.files[PATH]
    hanging = killed(desk, desk.ref(), publishes)
    desk.deliver(second(desk))
    hanging.wakes_up()
    assert desk.site.files == {PATH: TWO}


@each_way
@each_replacing_server
def test_newer_version_waits_while_the_older_one_can_neither_be_removed_nor_renamed(
    desk: DeliverySite, extensions: dict[str, bytes] | None, deliver: Deliver
) -> None:
    desk.site.extensions = extensions
    if extensions:
        del desk.site.files[PATH]
    before = dict(desk.site.files)
    hanging = hang(desk, desk.ref(), publishes, removes_nothing, voids_nothing, deliver=deliver)
    newer = second(desk)
    for _ in range(2):
        with pytest.raises(EarlierRenamePending):
            deliver(desk, newer)
        assert desk.whole == before
        assert desk.state(newer) == "STAGED"
        assert sorted(bytes(desk.site.files[name]) for name in desk.partial) == [ONE, TWO]
    hanging.wakes_up()
    assert desk.site.files[PATH] == ONE
    deliver(desk, newer)
    assert desk.site.files[PATH] == TWO
    assert desk.state(newer) == "DELIVERED"


@each_way
@pytest.mark.parametrize("more", [[], [removes_nothing]], ids=["REMOVE", "no REMOVE"])
def test_stump_of_an_earlier_attempt_never_replaces_the_whole_file(
    desk: DeliverySite, more: list[Script], deliver: Deliver
) -> None:
    hanging = hang(desk, desk.ref(), publishes, *more, deliver=deliver)
    (temporary,) = desk.partial
    del desk.site.files[temporary][3:]  # the partner has lost power
    deliver(desk, desk.ref())
    hanging.wakes_up()
    assert desk.site.files[PATH] == ONE


def test_rename_that_was_carried_out_is_not_prevented(desk: DeliverySite) -> None:
    hanging = hang(desk, desk.ref(), publishes)
    hanging.wakes_up()
    receipt = desk.deliver(desk.ref())
    assert receipt.recovered
    assert desk.site.files == {PATH: ONE}
    newer = second(desk)
    desk.deliver(newer)
    assert desk.site.files == {PATH: TWO}
