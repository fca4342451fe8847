"""Half a file under a final name that its object no longer gets: it goes, and nothing else does."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from s3_to_sftp.delivery.half_written import hidden_name
from s3_to_sftp.delivery_plan import IfExists
from s3_to_sftp.errors import ConnectionLost
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
