"""A file of an earlier attempt stays known until it is removed, whatever becomes of the next attempt."""

from __future__ import annotations

import dataclasses

import pytest

from s3_to_sftp.errors import PartnerUnreachable
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from tests.support.killable_function import KillableEnvironment
from tests.support.rules_lifecycle import LifecycleEnvironment
from tests.unit.partner_rules.test_crashes_by_rules import NAMED, NUMBERED, environment
from tests.unit.partner_rules.test_sequences import refusing_name

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
