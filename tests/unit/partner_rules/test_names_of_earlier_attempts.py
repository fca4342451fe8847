"""A file of an earlier attempt stays known until it is removed, whatever becomes of the next attempt."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest

from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.temporary_name import temporary_name
from s3_to_sftp.delivery_plan import IfExists, PlannedFile
from s3_to_sftp.errors import ConnectionLost, PartnerUnreachable, RuleRefused
from s3_to_sftp.outcomes import CheckpointSaved
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.sftp.temporary_names import another_name
from s3_to_sftp.state.receipt import Receipt
from s3_to_sftp.state.remote_names import RemoteName, RemoteNames
from tests.support.delivery_environment import crc_of
from tests.support.killable_function import KillableEnvironment, is_final
from tests.support.ledger_environment import commit_of
from tests.support.rules_environment import RulesEnvironment
from tests.support.rules_lifecycle import LifecycleEnvironment
from tests.support.scripted_server import Asked, File, Hanging, is_rename, refusing, renamed
from tests.unit.partner_rules.test_crashes_by_rules import NAMED, NUMBERED, environment
from tests.unit.partner_rules.test_sequences import refusing_name

MIB = 1024 * 1024
pytestmark = pytest.mark.usefixtures("_one_thread")


def test_complete_file_of_an_object_that_was_replaced_in_s3_is_removed() -> None:
    rules = dataclasses.replace(NUMBERED, temporary="{name}.partial")
    env = LifecycleEnvironment(rules, is_versioned=False)
    env.put("y", 20)
    env.put("x", 20)
    env.env.scripts[0] = refusing_name("inbox/PAY_0001.xml")
    env.invoke(list(env.messages))
    env.env.scripts.clear()
    assert env.state_of(env.versions[1].ref) == "STAGED"
    env.put("x", 0)
    for _ in range(3):
        env.invoke(list(env.messages))
    assert [env.state_of(put.ref) for put in env.versions] == ["DELIVERED", "SUPERSEDED", "DELIVERED"]
    assert [path for path in env.disk.files if "partial" in path] == []
    assert env.names_known() == set()


def dies_while_it_writes(rules: DeliveryRules) -> KillableEnvironment:
    for step in range(1, 200):
        env = environment(rules, ("a",))
        if env.invoke(env.refs(), dies_at=step).asked[-1:] == ["WRITE"]:
            return env
    raise AssertionError("it writes nothing")


@pytest.mark.parametrize("temporary", ["{name}.partial", None])
def test_file_of_a_dead_attempt_is_not_forgotten_when_the_next_one_cannot_connect(
    temporary: str | None,
) -> None:
    env = dies_while_it_writes(dataclasses.replace(NAMED, temporary=temporary))
    (left,) = env.disk.files

    def down() -> None:
        raise PartnerUnreachable("down", hint="")

    env.env.before_connect[0] = down
    env.invoke(env.refs())
    assert left in env.names_known()
    env.env.before_connect.clear()
    env.settle(env.refs())
    assert [path for path in env.disk.files if "part" in path.rpartition("/")[2]] == []


@pytest.mark.parametrize("temporary", ["{name}.partial", None])
def test_file_of_an_object_that_the_rules_refuse_is_not_forgotten_where_it_cannot_be_removed(
    temporary: str | None,
) -> None:
    rules = dataclasses.replace(NAMED, companions=(), temporary=temporary, if_exists=IfExists.REFUSE)
    env = environment(rules, ("a",))
    env.disk.files["inbox/a.csv"] = File(b"theirs")
    env.env.scripts[0] = refusing(Request.REMOVE, Status.PERMISSION_DENIED)
    env.invoke(env.refs())
    assert isinstance(env.outcomes[env.ref("a")], RuleRefused)
    left = {path for path in env.disk.files if path != "inbox/a.csv"}
    assert len(left) == 1
    assert env.names_known() == left


# --- versions of a key share the temporary name that the rules give ---


def two_versions(rules: DeliveryRules) -> tuple[LifecycleEnvironment, ObjectRef, ObjectRef]:
    """An older version and a newer one of as many bytes."""
    env = LifecycleEnvironment(rules, is_versioned=True)
    env.put("x", 20)
    env.put("x", 20)
    older, newer = env.messages
    return env, older, newer


def assert_sent(env: LifecycleEnvironment, older: ObjectRef, *, end: str = "") -> None:
    """Check that what stands at the partner is of this version, and that its receipt says so."""
    data = env.versions[0].data
    assert env.state_of(older) == "DELIVERED"
    assert env.receipt_of(older)["checksum"] == crc_of(data)
    assert env.disk.files["inbox/x.csv"] == data
    if end:
        assert hashlib.sha256(data).hexdigest().encode() in env.disk.files[f"inbox/x{end}"]


@pytest.mark.parametrize("refused", ["inbox/x.csv", "inbox/x.xml", "inbox/x.csv.sha256"])
def test_file_of_a_newer_version_is_never_delivered_as_an_older_one(refused: str) -> None:
    for dies_at in range(1, 200):
        env, older, newer = two_versions(NAMED)
        env.env.scripts[0] = refusing_name(refused)
        env.invoke([older])
        env.env.scripts.clear()
        life = env.invoke([newer], dies_at=dies_at)
        if not life.is_dead:
            return
        for _ in range(2):
            env.invoke([older])
        if env.state_of(older) != "SUPERSEDED":
            assert_sent(env, older, end=".csv.sha256")
        env.invoke([newer])
        assert env.disk.files["inbox/x.csv"] == env.versions[1].data
        assert [path for path in env.disk.files if "partial" in path] == []
        assert env.names_known() == set()
    raise AssertionError("it never ends")


def test_checkpoint_is_not_resumed_in_the_file_of_another_version(ledger_table: Any) -> None:
    old, new = b"o" * 3 * MIB, b"n" * 3 * MIB
    env = RulesEnvironment(ledger_table, dataclasses.replace(NAMED, companions=()), {"a": old})
    older = env.ref("a", "0A")

    def invoke(ref: ObjectRef, name: str) -> Receipt | None:
        try:
            return env.deliver(ref, name=name, deadline=env.deadline(budget=MIB + 1))
        except CheckpointSaved:
            return None

    assert invoke(older, "function 1") is None
    env.s3.objects["a"] = new
    newer = env.ref("a", "0B")
    assert invoke(newer, "function 2") is None
    env.s3.objects["a"] = old  # S3 still has both, by their version ids
    while invoke(older, "function 3") is None:
        assert len(env.env.made) < 20
    assert env.whole["inbox/a.csv"] == old
    env.s3.objects["a"] = new
    while invoke(newer, "function 4") is None:
        assert len(env.env.made) < 20
    assert env.whole["inbox/a.csv"] == new


def test_complete_file_of_an_older_version_is_not_touched_by_a_newer_one(ledger_table: Any) -> None:
    first, second = "inbox/a.csv.partial", another_name("inbox/a.csv.partial")
    env = RulesEnvironment(ledger_table, dataclasses.replace(NAMED, companions=()), {"a": b"n" * 3 * MIB})
    older, newer = env.ref("a", "0A"), env.ref("a", "0B")
    dead = env.ledger.function("dead")
    lease = env.ledger.lease(older, dead, remote_path="inbox/a.csv", temporary=first)
    commit = dataclasses.replace(commit_of(lease), temporary=second, rename_unanswered=False)
    dead.commit(lease, commit)
    lease.names.rename_resolved(second)
    dead.stage(lease, commit, reason="refused")
    env.env.files[second] = bytearray(b"o" * commit.size)
    with pytest.raises(CheckpointSaved):
        env.deliver(newer, name="function 2", deadline=env.deadline(budget=MIB + 1))
    assert env.env.files[second] == b"o" * commit.size


@pytest.mark.parametrize("is_pending", [True, False])
@pytest.mark.parametrize("used", ["x.csv.partial", another_name("x.csv.partial")])
def test_name_that_an_earlier_attempt_has_used_is_not_used_again(used: str, *, is_pending: bool) -> None:
    file = PlannedFile(path="x.csv", temporary="x.csv.partial")
    names = RemoteNames({used: RemoteName(version="version#1", sequencer="0A", rename_pending=is_pending)})
    assert temporary_name(file, token="t", names=names) == "x.csv-t.partial"
    assert temporary_name(file, token="t", names=RemoteNames()) == "x.csv.partial"


def test_planned_name_is_used_after_an_attempt_that_was_not_let_in(ledger_table: Any) -> None:
    env = RulesEnvironment(ledger_table, dataclasses.replace(NAMED, companions=()), {"a": b"content"})

    def down() -> None:
        raise PartnerUnreachable("down", hint="")

    env.env.before_connect[0] = down
    with pytest.raises(PartnerUnreachable):
        env.deliver(env.ref(), name="function 1")
    env.env.before_connect.clear()
    opened: list[str] = []
    env.env.scripts[0] = lambda asked: opened.append(asked.texts[0]) if asked.kind == Request.OPEN else None
    env.deliver(env.ref(), name="function 2")
    assert "inbox/a.csv.partial" in opened


# --- the server hangs in an OPEN, and wakes up during the next attempt ---


@pytest.mark.parametrize("size", [20, 3 * MIB])
@pytest.mark.parametrize("number", [1, 2])
def test_hanging_open_does_not_empty_the_file_of_the_next_attempt(
    ledger_table: Any, size: int, number: int
) -> None:
    content = b"n" * size
    env = RulesEnvironment(ledger_table, dataclasses.replace(NAMED, companions=()), {"a": content})

    def is_open(asked: Asked) -> bool:
        return asked.kind == Request.OPEN and asked.texts[0].endswith(".partial")

    hanging = Hanging(is_open, env.env.disk)
    for attempt in range(number):
        env.env.scripts[0] = hanging
        with pytest.raises(ConnectionLost):
            env.deliver(env.ref(), name=f"function {attempt}")

    def wakes_up(asked: Asked) -> None:
        if is_rename(asked):
            hanging.wakes_up()

    env.env.scripts[0] = wakes_up
    receipt = env.deliver(env.ref(), name="last function")
    assert env.env.files["inbox/a.csv"] == content
    assert receipt.checksum == crc_of(content)


def test_hanging_open_does_not_empty_the_file_that_is_sent_again_over_a_new_connection(
    ledger_table: Any,
) -> None:
    rules = dataclasses.replace(NAMED, companions=())
    env = RulesEnvironment(ledger_table, rules, {"a": b"content of a", "b": b"content of b"})
    function = env.function(partner=env.env.client())

    def deliver(key: str) -> Receipt:
        ((_, outcome),) = deliver_all(function, [env.ref(key)], env.invocation("f"))
        assert isinstance(outcome, Receipt)
        return outcome

    def is_open(asked: Asked) -> bool:
        return asked.kind == Request.OPEN and asked.texts[0] == "inbox/a.csv.partial"

    env.env.scripts[0] = hanging = Hanging(is_open, env.env.disk)
    deliver("b")

    def wakes_up(asked: Asked) -> None:
        if is_rename(asked) and renamed(asked)[1] == "inbox/a.csv":
            hanging.wakes_up()

    env.env.scripts[0] = wakes_up
    receipt = deliver("a")  # over the connection of the other object first, which may have been too old
    assert len(env.env.made) == 2
    assert env.env.files["inbox/a.csv"] == b"content of a"
    assert receipt.checksum == crc_of(b"content of a")


# --- the server hangs in a RENAME of a file that has waited for days ---


def test_name_of_a_file_that_has_waited_for_days_stays_unused_for_a_day_from_its_rename_on() -> None:
    env = environment(dataclasses.replace(NAMED, companions=()), ("a",))
    (old,) = env.refs()
    env.env.scripts[0] = refusing_name("inbox/a.csv")
    env.invoke([old])
    env.ledger.clock.now += 3 * 86_400
    env.env.scripts[0] = hanging = Hanging(is_rename, env.disk)
    env.invoke([old])
    env.env.scripts.clear()
    env.settle([old])  # its RENAME is answered this time; the other one still hangs

    def wakes_up(asked: Asked) -> None:
        if asked.kind == Request.WRITE:
            hanging.wakes_up()
            assert env.disk.files["inbox/a.csv"] == b"the bytes of a\n"

    env.env.scripts[0] = wakes_up
    env.s3.objects["a"] = b"newer bytes"
    env.settle([env.ref("a", "0B")])
    assert env.disk.files["inbox/a.csv"] == b"newer bytes"


# --- the partner's files are moved aside, and stay there ---


def test_files_that_were_moved_aside_and_cannot_be_removed_stay_known_and_delay_no_version() -> None:
    env = environment(NAMED, ("a",))
    env.env.extensions = {}
    env.env.scripts[0] = refusing(Request.REMOVE, Status.PERMISSION_DENIED)
    for number in range(4):
        env.s3.objects["a"] = f"version {number}".encode()
        ref = env.ref("a", f"0{number}")
        env.invoke([ref])
        assert isinstance(env.outcomes[ref], Receipt), env.outcomes[ref]
        assert {path for path in env.disk.files if not is_final(path)} <= env.names_known()
