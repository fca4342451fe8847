"""Which key has a name that several could get, and when another one may take it."""

from __future__ import annotations

import dataclasses

import pytest

from s3_to_sftp.errors import NameTaken
from s3_to_sftp.operator_request import Action
from s3_to_sftp.rules.companion import Companion
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.receipt import Receipt
from tests.support.killable_function import KillableEnvironment, Life
from tests.unit.partner_rules.test_sequences import asked, refusing_name, silent_at_name

pytestmark = pytest.mark.usefixtures("_one_thread")

RULES = DeliveryRules(name="{stem}.csv", companions=[Companion.marker("{stem}.done")])
FIXED = dataclasses.replace(RULES, temporary="{name}.partial")


def environment(rules: DeliveryRules = RULES) -> tuple[KillableEnvironment, ObjectRef, ObjectRef]:
    """Two objects to which the rules give one name."""
    env = KillableEnvironment(rules, {"a.x": b"one", "a.y": b"two"})
    return env, *env.refs()


def ends(env: KillableEnvironment, ref: ObjectRef, state: str = "CANCELLED") -> None:
    """Let an operator cancel the version, or let it end otherwise."""
    item = env.version_item(ref)
    key = (item["pk"]["S"], item["sk"]["S"])
    kept = {name: value for name, value in item.items() if name not in {"owner", "lease_until"}}
    env.ledger.memory.items[key] = {**kept, "state": {"S": state}, "reason": {"S": "They do not want it."}}
    env.ledger.clock.now += 2000


def names(env: KillableEnvironment) -> dict[str, bytes]:
    return {path: bytes(data) for path, data in env.disk.files.items() if not path.endswith(".part")}


OF_Y = {"inbox/a.csv": b"two", "inbox/a.done": b""}


@pytest.mark.parametrize("state", ["CANCELLED", "GONE", "SKIPPED"])
def test_name_of_an_object_that_was_given_up_goes_to_the_next_one(state: str) -> None:
    env, x, y = environment()
    env.env.scripts[0] = refusing_name("inbox/a.csv")
    env.invoke([x])
    env.env.scripts.clear()
    env.settle([y])
    assert isinstance(env.outcomes[y], NameTaken)
    ends(env, x, state)
    env.settle([y])
    assert names(env) == OF_Y


@pytest.mark.parametrize("rules", [RULES, FIXED], ids=["random", "fixed"])
def test_object_that_is_sent_after_all_does_not_replace_the_file_that_has_its_name_now(
    rules: DeliveryRules,
) -> None:
    env, x, y = environment(rules)
    life = env.invoke([x])
    for step in range(1, life.steps + 1):
        env, x, y = environment(rules)
        env.invoke([x], dies_at=step)
        is_seen = bool({"inbox/a.csv", "inbox/a.done"} & {*env.disk.files})
        if env.version_item(x).get("state") == {"S": "DELIVERED"}:
            break
        if env.version_item(x):
            ends(env, x)
        env.settle([y])
        if is_seen:
            assert isinstance(env.outcomes[y], NameTaken), step
        elif isinstance(env.outcomes[y], Receipt):
            env.settle([asked(x, Action.RESEND) if env.version_item(x) else x])
            assert names(env) == OF_Y, step
    assert step > 20


def test_name_stays_where_its_rename_was_not_answered() -> None:
    env, x, y = environment()
    env.env.scripts[0] = silent_at_name("inbox/a.csv")
    env.invoke([x])
    env.env.scripts.clear()
    ends(env, x)
    env.settle([y])
    assert isinstance(env.outcomes[y], NameTaken)


def test_name_stays_where_an_earlier_version_of_the_key_was_delivered() -> None:
    env, x, y = environment()
    env.settle([x])
    env.s3.objects["a.x"] = b"newer"
    newer = env.ref("a.x", "0B")
    env.env.scripts[0] = refusing_name("inbox/a.csv")
    env.invoke([newer])
    env.env.scripts.clear()
    ends(env, newer)
    env.settle([y])
    assert isinstance(env.outcomes[y], NameTaken)
    assert names(env)["inbox/a.csv"] == b"one"


def test_name_stays_with_an_object_that_is_sent_again_at_the_same_time() -> None:
    env, x, y = environment()
    last = _cancelled(environment()).invoke([y]).steps
    for step in range(1, last + 1):
        env, x, y = environment()
        _cancelled((env, x, y))
        life = Life()

        def resent(env: KillableEnvironment = env, x: ObjectRef = x, life: Life = life) -> None:
            env.live(Life(), [asked(x, Action.RESEND)])
            env.life = life

        life.meanwhile[step] = resent
        env.live(life, [y])
        again = asked(x, Action.RESEND)
        arrived = [ref for ref in (again, y) if isinstance(env.outcomes[ref], Receipt)]
        if not arrived:  # each has one of the two names
            ends(env, x)
            env.settle([y])
            arrived = [y]
        assert len(arrived) == 1, (step, env.outcomes)
        assert env.disk.files["inbox/a.csv"] == env.s3.objects[arrived[0].key], step


def _cancelled(made: tuple[KillableEnvironment, ObjectRef, ObjectRef]) -> KillableEnvironment:
    env, x, _ = made
    env.env.scripts[0] = refusing_name("inbox/a.csv")
    env.invoke([x])
    env.env.scripts.clear()
    ends(env, x)
    return env
