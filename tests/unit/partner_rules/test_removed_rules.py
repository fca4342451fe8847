"""A deployment removes all rules while objects are under way: what they have begun comes to its end."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from s3_to_sftp.errors import ConnectionLost, RenameUnanswered, RequestRefused
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone
from s3_to_sftp.rules.after_delivery import AfterDelivery
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import FINAL_NAME, DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.state.receipt import Receipt
from tests.support.delivery_environment import is_rename, silent_after
from tests.support.killable_function import KillableEnvironment
from tests.support.memory_aws import mock_aws
from tests.support.mortal_bucket import MortalBucket
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import Asked, Script, status

LARGE = bytes(range(256)) * 4096
ACTIONS = {
    "tag": AfterDelivery.tag({"delivered": "yes"}),
    "move": AfterDelivery.move(prefix="delivered/"),
    "delete": AfterDelivery.delete(),
}


class Bucket(KillableEnvironment):
    """A partner, and a bucket whose requests are steps, too."""

    def __init__(self, rules: DeliveryRules, *, is_versioned: bool = True) -> None:
        super().__init__(rules, {})
        self.bucket = MortalBucket(self, is_versioned=is_versioned)
        self.s3 = self.bucket  # type: ignore[assignment] # all that is used of it

    def after(self, ref: ObjectRef) -> str:
        item = self.version_item(ref)
        assert item["state"] == {"S": "DELIVERED"}, item
        return str(item["after"]["M"]["state"]["S"]) if "after" in item else ""


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("is_versioned", [True, False], ids=["versioned", "unversioned"])
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_what_was_to_happen_to_the_object_ends_wherever_a_function_was_killed(
    action: AfterDelivery, *, is_versioned: bool
) -> None:
    ends = set()
    for step in itertools.count(1):
        with mock_aws():
            env = Bucket(DeliveryRules(after_delivery=action), is_versioned=is_versioned)
            ref = env.bucket.put("a", b"data")
            if not env.invoke([ref], dies_at=step).is_dead:
                break
            env.rules = None
            env.settle([ref])
            assert [landed.path for landed in env.disk.landed] == ["inbox/a"], step
            ends.add(end := env.after(ref))
            copies = env.bucket.versions("delivered/a")
            if action is ACTIONS["move"] and end:  # what is recorded may have been begun
                assert copies, step
                assert env.bucket.versions("a") == [], step
            elif end in {"", "kept"}:  # nothing of it was done, or it was done and not recorded
                assert copies == [], step
                assert env.bucket.versions("a") or action is ACTIONS["delete"], step
    assert ends == ({"", "done"} if action is ACTIONS["move"] else {"", "kept", "done"})


def half_delivered(ledger_table: Any, rules: DeliveryRules, refused: str) -> RulesEnvironment:
    """The object x, when the partner has refused this name once."""
    env = RulesEnvironment(ledger_table, rules, {"x": b"one"})
    env.env.scripts[0] = refusing(refused)
    with pytest.raises(RequestRefused):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    env.rules = None
    return env


def refusing(name: str) -> Script:
    """A partner that refuses this final name."""

    def script(asked: Asked) -> bytes | None:
        is_it = (is_rename(asked) or asked.kind == Request.RENAME) and asked.texts[-1] == f"inbox/{name}"
        return status(asked, Status.PERMISSION_DENIED) if is_it else None

    return script


MARKED = DeliveryRules(name="{name}.dat", companions=[Companion.marker("{name}.done")])


def test_data_that_stands_gets_its_marker(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, MARKED, "x.dat.done")
    receipt = env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {"inbox/x.dat", "inbox/x.dat.done"}
    assert (receipt.remote_path, receipt.details["companions"]) == ("inbox/x.dat", ["inbox/x.dat.done"])


def test_data_whose_rename_was_not_answered_gets_its_marker(ledger_table: Any) -> None:
    env = RulesEnvironment(ledger_table, MARKED, {"x": b"one"})
    env.env.scripts[0] = env.cut_at_rename(done=True)
    with pytest.raises(RenameUnanswered):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    env.rules = None
    env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {"inbox/x.dat", "inbox/x.dat.done"}


def test_receipt_has_the_number_that_the_partner_has_seen(ledger_table: Any) -> None:
    numbered = DeliveryRules(name="{sequence}", sequence=Sequence(), companions=MARKED.companions)
    env = half_delivered(ledger_table, numbered, "1.done")
    receipt = env.deliver(env.ref("x"), name="two")
    assert receipt.details["sequence"] == 1
    assert set(env.env.files) == {"inbox/1", "inbox/1.done"}
    env.s3.objects["y"] = b"two"
    env.rules = numbered
    assert env.deliver(env.ref("y"), name="three").details["sequence"] == 2


def test_file_that_announces_the_data_goes_when_the_data_comes_under_another_name(ledger_table: Any) -> None:
    rules = DeliveryRules(name="{name}.dat", companions=[Companion.marker("{name}.announced", before=True)])
    env = half_delivered(ledger_table, rules, "x.dat")
    assert "inbox/x.dat.announced" in env.env.files
    receipt = env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {receipt.remote_path} == {"inbox/x"}


def test_compressed_file_is_not_taken_for_the_object(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, DeliveryRules(name="{name}", transforms=[Gzip()]), "x")
    receipt = env.deliver(env.ref("x"), name="two")
    assert {path: bytes(data) for path, data in env.env.files.items()} == {"inbox/x": b"one"}
    assert "transforms" not in receipt.details


def half_written(ledger_table: Any, name: str) -> RulesEnvironment:
    """A large object of which the partner has half under this name, and from now on no rules."""
    rules = DeliveryRules(name=name, temporary=FINAL_NAME)
    env = RulesEnvironment(ledger_table, rules, {"x": LARGE})
    env.env.scripts[0] = silent_after(1)
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    env.rules = None
    return env


@pytest.mark.parametrize("name", ["{name}", "{name}.dat", "sub/{name}"])
def test_half_a_file_does_not_stay(ledger_table: Any, name: str) -> None:
    env = half_written(ledger_table, name)
    env.deliver(env.ref("x"), name="two")
    assert {path: bytes(data) for path, data in env.env.files.items()} == {"inbox/x": LARGE}


def test_half_a_file_goes_when_its_object_is_deleted(ledger_table: Any) -> None:
    env = half_written(ledger_table, "{name}.dat")
    ref = env.ref("x")
    del env.s3.objects["x"]
    with pytest.raises(AlreadyGone):
        env.deliver(ref, name="two")
    assert env.env.files == {}


@pytest.mark.usefixtures("_one_thread")
def test_what_stands_is_completed_or_goes_wherever_functions_are_killed() -> None:
    """Rules with all kinds of files, killed at any step; then none; then killed once more."""
    rules = DeliveryRules(
        name="{name}.dat",
        companions=[Companion.marker("{name}.first", before=True), Companion.marker("{name}.done")],
    )
    of_rules = {"inbox/x.dat", "inbox/x.dat.first", "inbox/x.dat.done"}
    ends = set()
    for step in itertools.count(1):
        env = KillableEnvironment(rules, {"x": b"one"})
        (ref,) = env.refs()
        if not env.invoke([ref], dies_at=step).is_dead:
            break
        env.rules = None
        env.invoke([ref], dies_at=step)
        env.settle([ref])
        there = frozenset(path for path in env.disk.files if "/." not in path)
        assert there in {frozenset({"inbox/x"}), frozenset(of_rules)}, (step, there)
        assert isinstance(env.outcomes[ref], Receipt | AlreadyDelivered)
        ends.add(there)
    assert len(ends) == 2


def test_rules_of_one_source_are_removed_while_another_has_some(ledger_table: Any) -> None:
    env = half_delivered(ledger_table, MARKED, "x.dat.done")
    env.source_rules = {"1": dataclasses.replace(MARKED, name="other/{name}")}
    env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {"inbox/x.dat", "inbox/x.dat.done"}


@pytest.mark.parametrize("name", ["{name}.dat", "sub/{name}"])
def test_half_a_file_goes_where_another_source_has_rules(ledger_table: Any, name: str) -> None:
    env = half_written(ledger_table, name)
    env.source_rules = {"1": MARKED}
    env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {"inbox/x"}


ADDED = {
    "marker": MARKED,
    "announcement": DeliveryRules(
        name="{name}.dat", companions=[Companion.marker("{name}.announced", before=True)]
    ),
    "number": DeliveryRules(name="{sequence}", sequence=Sequence(), companions=MARKED.companions),
    "gzip": DeliveryRules(name="{name}.gz", transforms=[Gzip()], companions=MARKED.companions),
}


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED)
def test_file_that_was_published_without_rules_gets_nothing_of_rules_that_come_later(
    ledger_table: Any, added: DeliveryRules
) -> None:
    env = RulesEnvironment(ledger_table, MARKED, {"x": b"one", "y": b"two"})
    env.rules = None
    env.env.scripts[0] = env.cut_at_rename(done=True)
    with pytest.raises(RenameUnanswered):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    env.rules = dataclasses.replace(added, after_delivery=ACTIONS["tag"])
    receipt = env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {"inbox/x"}
    assert (receipt.remote_path, dict(receipt.details)) == ("inbox/x", {})
    assert env.s3.tags["x"] == {"delivered": "yes"}
    env.deliver(env.ref("y"), name="three")
