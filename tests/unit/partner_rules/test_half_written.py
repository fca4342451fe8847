"""Half a file under a final name that its object no longer gets: it goes, and nothing else does."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from s3_to_sftp.delivery.half_written import hidden_name
from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import ConnectionLost, OutcomeUnknown, RenameUnanswered
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyGone
from s3_to_sftp.rules.delivery_rules import FINAL_NAME, DeliveryRules
from s3_to_sftp.rules.gzip_transform import Gzip
from s3_to_sftp.rules.sequence import Sequence
from s3_to_sftp.sftp.protocol import Request, Status
from tests.support.delivery_environment import silent_after
from tests.support.killable_function import KillableEnvironment
from tests.support.rules_environment import RulesEnvironment
from tests.support.scripted_server import Asked, File, status

LARGE = bytes(range(256)) * 4096
DIRECT = DeliveryRules(name="{name}", temporary=FINAL_NAME)
OTHER_NAMES = {
    "direct": DeliveryRules(name="{name}.gz", temporary=FINAL_NAME, transforms=[Gzip()]),
    "temporary": DeliveryRules(name="{name}.gz", transforms=[Gzip()]),
    "number": DeliveryRules(name="{sequence}.gz", sequence=Sequence(), transforms=[Gzip()]),
    "no transform": DeliveryRules(name="new/{name}"),
}


def half_written(ledger_table: Any, **more: Any) -> RulesEnvironment:
    """A large object of which the partner has half under the final name, where nobody knows another one."""
    env = RulesEnvironment(ledger_table, dataclasses.replace(DIRECT, **more), {"x": LARGE})
    env.env.scripts[0] = silent_after(1)
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    assert 0 < len(env.env.files["inbox/x"]) < len(LARGE)
    return env


@pytest.mark.parametrize("if_exists", [IfExists.REPLACE, IfExists.REFUSE, IfExists.SKIP])
@pytest.mark.parametrize("changed", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_half_a_file_goes_when_other_rules_give_the_object_another_name(
    ledger_table: Any, changed: DeliveryRules, if_exists: IfExists
) -> None:
    env = half_written(ledger_table, if_exists=if_exists)
    env.rules = changed
    receipt = env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {receipt.remote_path}
    assert env.temporaries(env.ref("x")) == set()


@pytest.mark.parametrize("first", [DeliveryRules(name="{name}.first"), None], ids=["rules", "no rules"])
@pytest.mark.parametrize("changed", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_half_a_file_goes_when_rules_change_twice_while_the_outcome_of_a_rename_is_unknown(
    ledger_table: Any, changed: DeliveryRules, first: DeliveryRules | None
) -> None:
    env = RulesEnvironment(ledger_table, DIRECT, {"x": LARGE})
    env.rules = first
    env.env.scripts[0] = env.cut_at_rename(done=False)
    with pytest.raises(RenameUnanswered):
        env.deliver(env.ref("x"), name="one")
    env.rules = dataclasses.replace(DIRECT, name="{name}.second")
    env.env.scripts[0] = silent_after(1)
    with pytest.raises(ConnectionLost):
        env.deliver(env.ref("x"), name="two")
    env.env.scripts.clear()
    assert 0 < len(env.env.files["inbox/x.second"]) < len(LARGE)
    env.rules = changed
    receipt = env.deliver(env.ref("x"), name="three")
    assert set(env.env.files) == {receipt.remote_path}
    assert env.temporaries(env.ref("x")) == set()


@pytest.mark.parametrize("done", [True, False], ids=["renamed", "not renamed"])
def test_one_file_stands_when_rules_change_twice_while_the_outcome_of_a_rename_is_unknown(
    *, done: bool
) -> None:
    """At any step at which the function with the second rules is killed."""
    seen = set()
    for step in itertools.count(1):
        env = KillableEnvironment(DeliveryRules(name="{name}.first"), {"x": b"new bytes"})
        env.env.scripts = {0: env.cut_at_rename(done=done)}
        (ref,) = env.refs()
        env.invoke([ref])
        env.env.scripts = {}
        env.rules = DIRECT
        if not env.invoke([ref], dies_at=step).is_dead:
            break
        env.rules = OTHER_NAMES["temporary"]
        env.settle([ref])
        (there,) = env.disk.files
        assert not env.names_known(), step
        seen.add(there)
    assert seen == ({"inbox/x.first"} if done else {"inbox/x", "inbox/x.gz"})


def test_other_file_of_equal_size_and_time_is_not_taken_for_one_that_is_sent_under_its_final_name(
    ledger_table: Any,
) -> None:
    env = RulesEnvironment(ledger_table, DeliveryRules(name="{name}.first"), {"x": b"news"})
    env.env.scripts[0] = env.cut_at_rename(done=False)
    with pytest.raises(RenameUnanswered):
        env.deliver(env.ref("x"), name="one")
    env.env.scripts.clear()
    (temporary,) = env.partial
    file = env.env.files[temporary]
    assert isinstance(file, File)
    env.env.files["inbox/x.first"] = File(b"past", modified=file.modified)
    env.rules = DIRECT
    receipt = env.deliver(env.ref("x"), name="two")
    assert (receipt.remote_path, receipt.recovered) == ("inbox/x", False)
    assert env.whole == {"inbox/x": b"news", "inbox/x.first": b"past"}


def test_half_a_file_goes_after_an_operator_has_found_that_nothing_has_arrived(ledger_table: Any) -> None:
    """It was begun under the name of a RENAME whose outcome nobody knew."""
    env = half_written(ledger_table)
    env.rules = dataclasses.replace(DIRECT, temporary=None)
    env.env.scripts[0] = env.cut_at_rename(done=False)
    with pytest.raises(RenameUnanswered):
        env.deliver(env.ref("x"), name="two")
    env.env.scripts.clear()
    for name in env.partial:
        del env.env.files[name]
    with pytest.raises(OutcomeUnknown) as unknown:
        env.deliver(env.ref("x"), name="three")
    env.function("three").give_up(env.ref("x"), unknown.value)
    env.rules = OTHER_NAMES["temporary"]
    request = OperatorRequest(action=Action.RESEND, id="r1", who="us", at=2e9)
    env.deliver(dataclasses.replace(env.ref("x"), operator=request), name="four")
    assert set(env.env.files) == {"inbox/x.gz"}


def test_half_a_file_goes_when_its_object_is_deleted(ledger_table: Any) -> None:
    env = half_written(ledger_table)
    ref = env.ref("x")
    del env.s3.objects["x"]
    with pytest.raises(AlreadyGone):
        env.deliver(ref, name="two")
    assert env.env.files == {}


def test_file_of_the_partner_that_was_about_to_be_replaced_stays_when_the_name_changes_after_a_kill() -> None:
    """At any step: what we have not written to is whole, and what we have is gone."""
    left = set()
    for step in itertools.count(1):
        env = KillableEnvironment(DIRECT, {"x": b"new bytes"})
        env.disk.files["inbox/x"] = File(b"theirs", modified=5)
        (ref,) = env.refs()
        if not env.invoke([ref], dies_at=step).is_dead:
            break
        was_delivered = env.version_item(ref).get("state") in ({"S": "DELIVERED"}, {"S": "COMMITTING"})
        before = bytes(env.disk.files["inbox/x"])
        env.rules = OTHER_NAMES["temporary"]
        env.settle([ref])
        there = env.disk.files.get("inbox/x")
        if was_delivered:
            assert bytes(there or b"") == b"new bytes", step
            continue
        left.add(there if there is None else bytes(there))
        assert (there is None) == (before != b"theirs"), step
        assert {*env.disk.files} - {"inbox/x"} == {"inbox/x.gz"}, step
    assert left == {None, b"theirs"}


def test_file_that_cannot_be_half_of_the_object_stays(ledger_table: Any) -> None:
    env = half_written(ledger_table)
    env.env.files["inbox/x"] = bytearray(len(LARGE) + 1)
    env.rules = OTHER_NAMES["temporary"]
    env.deliver(env.ref("x"), name="two")
    assert set(env.env.files) == {"inbox/x", "inbox/x.gz"}


@pytest.mark.parametrize("may_rename", [True, False])
def test_half_a_file_that_may_not_be_removed_is_hidden_or_at_least_remembered(
    ledger_table: Any, caplog: pytest.LogCaptureFixture, *, may_rename: bool
) -> None:
    env = half_written(ledger_table)
    env.rules = OTHER_NAMES["temporary"]

    def script(asked: Asked) -> bytes | None:
        is_rename = asked.kind == Request.RENAME and not may_rename
        is_it = asked.texts[:1] == ["inbox/x"] and is_rename
        return status(asked, Status.PERMISSION_DENIED) if is_it or asked.kind == Request.REMOVE else None

    env.env.scripts[0] = script
    env.deliver(env.ref("x"), name="two")
    left = hidden_name("inbox/x") if may_rename else "inbox/x"
    assert set(env.env.files) == {left, "inbox/x.gz"}
    assert left in env.temporaries(env.ref("x"))
    assert f"half of it stays as {left!r}" in caplog.text
