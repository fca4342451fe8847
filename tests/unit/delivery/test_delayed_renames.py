"""A RENAME hangs in a server process and is carried out after a later one was answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.errors import ConnectionLost, EarlierRenamePending, RequestRefused
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME, Request, Status
from s3_to_sftp.state.receipt import Receipt
from tests.support.delivery_environment import PLENTY, DeliveryEnvironment
from tests.support.scripted_server import Asked, File, Hanging, Script, is_rename, one_of, renamed, status

PATH = "inbox/a"
OLD, ONE, TWO = b"theirs", b"version 1", b"version 2 is longer"


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    harness = DeliveryEnvironment(ledger_table, {"a": ONE})
    harness.env.files[PATH] = File(OLD)
    return harness


class Killed(BaseException):
    """The function was killed, and its lease is not released."""


Deliver = Callable[[DeliveryEnvironment, ObjectRef], Receipt]


def as_large(harness: DeliveryEnvironment, ref: ObjectRef) -> Receipt:
    return harness.deliver(ref)


def as_small(harness: DeliveryEnvironment, ref: ObjectRef) -> Receipt:
    ((_, outcome),) = deliver_all(harness.function(), [ref], harness.invocation())
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


each_way = pytest.mark.parametrize("deliver", [as_large, as_small])


# --- what the server refuses ---


def refuse_to_replace(harness: DeliveryEnvironment) -> Script:
    """Return a script: posix-rename is announced but does not replace, as on Windows."""

    def script(asked: Asked) -> bytes | None:
        taken = is_rename(asked) and harness.env.disk.has(renamed(asked)[1])
        return status(asked, Status.FAILURE) if taken else None

    return script


def refuse_remove(asked: Asked) -> bytes | None:
    return status(asked, Status.PERMISSION_DENIED) if asked.kind == Request.REMOVE else None


def refuse_void(asked: Asked) -> bytes | None:
    voids = is_rename(asked) and renamed(asked)[1].endswith(".void")
    return status(asked, Status.PERMISSION_DENIED) if voids else None


def refuse_blocker(asked: Asked) -> bytes | None:
    occupies = asked.kind == Request.OPEN and asked.texts[0].endswith(".old")
    return status(asked, Status.PERMISSION_DENIED) if occupies else None


def is_move_aside(asked: Asked) -> bool:
    return is_rename(asked) and renamed(asked)[0] == PATH


def is_publish(asked: Asked) -> bool:
    return is_rename(asked) and renamed(asked)[1] == PATH


def attempt_with_hanging_rename(
    harness: DeliveryEnvironment,
    ref: ObjectRef,
    is_due: Callable[[Asked], bool],
    *scripts: Script,
    deliver: Deliver = as_large,
    raises: type[Exception] = ConnectionLost,
) -> Hanging:
    """Run an attempt at a server whose RENAME hangs; return the pending RENAME."""
    hanging = Hanging(is_due, harness.env.disk)
    harness.env.scripts[0] = one_of(hanging, *scripts)
    with pytest.raises(raises):
        deliver(harness, ref)
    assert len(hanging.hung) == 1
    harness.env.scripts[0] = one_of(*scripts)
    return hanging


def killed_attempt_with_hanging_rename(
    harness: DeliveryEnvironment, ref: ObjectRef, is_due: Callable[[Asked], bool], *scripts: Script
) -> Hanging:
    """Kill an attempt at a server whose RENAME hangs."""
    hanging = Hanging(is_due, harness.env.disk)

    def script(asked: Asked) -> bytes | None:
        if hanging(asked) is not None:
            raise Killed
        return one_of(*scripts)(asked)

    harness.env.scripts[0] = script
    with pytest.raises(Killed):
        harness.deliver(ref)
    harness.env.scripts[0] = one_of(*scripts)
    harness.ledger.clock.now += 2 * PLENTY
    return hanging


def newer_version(harness: DeliveryEnvironment) -> ObjectRef:
    harness.s3.objects["a"] = TWO
    return harness.ref(sequencer="0B")


# --- the partner's old file is moved aside after ours has the final name ---

each_server = pytest.mark.parametrize("posix", [True, False], ids=["posix-rename", "rename"])


def server_without_replace(harness: DeliveryEnvironment, posix: object) -> Script:
    harness.env.extensions = {LIMITS: b"1", **({POSIX_RENAME: b"1"} if posix else {})}
    return refuse_to_replace(harness)


@each_way
@each_server
@pytest.mark.parametrize("more", [[], [refuse_remove]], ids=["REMOVE", "no REMOVE"])
@pytest.mark.parametrize("newer", [False, True], ids=["next attempt", "next version"])
def test_delayed_rename_does_not_move_a_delivered_file_aside(
    harness: DeliveryEnvironment, *, newer: bool, more: list[Script], posix: bool, deliver: Deliver
) -> None:
    server = server_without_replace(harness, posix)
    hanging = attempt_with_hanging_rename(
        harness, harness.ref(), is_move_aside, server, *more, deliver=deliver, raises=RequestRefused
    )
    assert harness.env.files[PATH] == OLD
    deliver(harness, newer_version(harness) if newer else harness.ref())
    delivered = TWO if newer else ONE
    assert harness.env.files[PATH] == delivered
    hanging.wakes_up()
    assert harness.env.files[PATH] == delivered


@each_server
def test_delayed_rename_of_a_killed_function_does_not_move_a_delivered_file_aside(
    harness: DeliveryEnvironment, *, posix: bool
) -> None:
    server = server_without_replace(harness, posix)
    hanging = killed_attempt_with_hanging_rename(harness, harness.ref(), is_move_aside, server)
    harness.deliver(harness.ref())
    hanging.wakes_up()
    assert harness.env.files[PATH] == ONE


@each_way
@each_server
def test_file_moved_aside_between_two_attempts_is_replaced(
    harness: DeliveryEnvironment, *, posix: bool, deliver: Deliver
) -> None:
    server = server_without_replace(harness, posix)
    hanging = attempt_with_hanging_rename(
        harness, harness.ref(), is_move_aside, server, deliver=deliver, raises=RequestRefused
    )
    hanging.wakes_up()
    assert PATH not in harness.env.files
    deliver(harness, harness.ref())
    assert harness.env.files == {PATH: ONE}
    assert harness.temporaries(harness.ref()) == set()


@each_server
@pytest.mark.parametrize("newer", [False, True], ids=["next attempt", "next version"])
def test_file_is_not_renamed_while_the_aside_name_cannot_be_occupied(
    harness: DeliveryEnvironment, *, newer: bool, posix: bool
) -> None:
    server = server_without_replace(harness, posix)
    hanging = attempt_with_hanging_rename(
        harness, harness.ref(), is_move_aside, server, refuse_blocker, raises=RequestRefused
    )
    ref = newer_version(harness) if newer else harness.ref()
    with pytest.raises(EarlierRenamePending):
        harness.deliver(ref)
    assert harness.env.files[PATH] == OLD
    assert harness.state(ref) == "STAGED"
    hanging.wakes_up()
    harness.deliver(ref)
    assert harness.env.files == {PATH: TWO if newer else ONE}
    assert harness.state(ref) == "DELIVERED"


# --- an older version, or an earlier attempt, is renamed after a later one ---

each_replacing_server = pytest.mark.parametrize(
    "extensions", [None, {LIMITS: b"1"}], ids=["posix-rename", "rename"]
)


@each_way
@each_replacing_server
@pytest.mark.parametrize("more", [[], [refuse_remove]], ids=["REMOVE", "no REMOVE"])
def test_delayed_rename_of_an_older_version_never_replaces_a_newer_one(
    harness: DeliveryEnvironment, more: list[Script], extensions: dict[str, bytes] | None, deliver: Deliver
) -> None:
    harness.env.extensions = extensions
    if extensions:
        del harness.env.files[PATH]  # a RENAME that does not replace would be answered with an error
    hanging = attempt_with_hanging_rename(harness, harness.ref(), is_publish, *more, deliver=deliver)
    newer = newer_version(harness)
    deliver(harness, newer)
    assert harness.env.files[PATH] == TWO
    harness.env.files.pop(PATH)  # the partner collects it: the name is free
    hanging.wakes_up()
    assert PATH not in harness.env.files
    assert harness.state(newer) == "DELIVERED"


@each_replacing_server
def test_delayed_rename_of_a_killed_function_never_replaces_a_newer_version(
    harness: DeliveryEnvironment, extensions: dict[str, bytes] | None
) -> None:
    harness.env.extensions = extensions
    if extensions:
        del harness.env.files[PATH]
    hanging = killed_attempt_with_hanging_rename(harness, harness.ref(), is_publish)
    harness.deliver(newer_version(harness))
    hanging.wakes_up()
    assert harness.env.files == {PATH: TWO}


@each_way
@each_replacing_server
def test_newer_version_waits_while_the_older_file_cannot_be_removed_or_renamed(
    harness: DeliveryEnvironment, extensions: dict[str, bytes] | None, deliver: Deliver
) -> None:
    harness.env.extensions = extensions
    if extensions:
        del harness.env.files[PATH]
    before = dict(harness.env.files)
    hanging = attempt_with_hanging_rename(
        harness, harness.ref(), is_publish, refuse_remove, refuse_void, deliver=deliver
    )
    newer = newer_version(harness)
    for _ in range(2):
        with pytest.raises(EarlierRenamePending):
            deliver(harness, newer)
        assert harness.whole == before
        assert harness.state(newer) == "STAGED"
        assert sorted(bytes(harness.env.files[name]) for name in harness.partial) == [ONE, TWO]
    hanging.wakes_up()
    assert harness.env.files[PATH] == ONE
    deliver(harness, newer)
    assert harness.env.files[PATH] == TWO
    assert harness.state(newer) == "DELIVERED"


@each_way
@pytest.mark.parametrize("more", [[], [refuse_remove]], ids=["REMOVE", "no REMOVE"])
def test_truncated_file_of_an_earlier_attempt_never_replaces_the_complete_file(
    harness: DeliveryEnvironment, more: list[Script], deliver: Deliver
) -> None:
    hanging = attempt_with_hanging_rename(harness, harness.ref(), is_publish, *more, deliver=deliver)
    (temporary,) = harness.partial
    del harness.env.files[temporary][3:]  # the partner has lost power
    deliver(harness, harness.ref())
    hanging.wakes_up()
    assert harness.env.files[PATH] == ONE


def test_completed_rename_is_not_prevented(harness: DeliveryEnvironment) -> None:
    hanging = attempt_with_hanging_rename(harness, harness.ref(), is_publish)
    hanging.wakes_up()
    receipt = harness.deliver(harness.ref())
    assert receipt.recovered
    assert harness.env.files == {PATH: ONE}
    newer = newer_version(harness)
    harness.deliver(newer)
    assert harness.env.files == {PATH: TWO}
