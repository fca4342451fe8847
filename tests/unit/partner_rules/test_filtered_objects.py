"""Objects that the rules do not want are not delivered, whatever the partner's state is."""

from __future__ import annotations

import dataclasses

import pytest

from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import Filtered, TooYoung
from s3_to_sftp.rules.delivery_rules import DeliveryRules
from s3_to_sftp.rules.filter import Filter
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.state.receipt import Receipt
from tests.support.killable_function import KillableEnvironment
from tests.support.memory_s3 import PUT_AT
from tests.support.rules_environment import EVENT_TIME

pytestmark = pytest.mark.usefixtures("_one_thread")


def environment(only: Filter, *, age: int = 0, **objects: bytes) -> KillableEnvironment:
    env = KillableEnvironment(DeliveryRules(only=only), objects or {"a": b"data"})
    env.ledger.clock.now = float(EVENT_TIME + age)
    return env


def outcome(env: KillableEnvironment, ref: ObjectRef) -> object:
    """Deliver the object now."""
    env.live(env.life, [ref])
    return env.outcomes[ref]


def test_object_that_does_not_match_leaves_no_trace() -> None:
    env = environment(Filter(min_bytes=5))
    ref = env.ref("a")
    assert isinstance(outcome(env, ref), Filtered)
    assert env.disk.files == {}
    assert env.ledger.memory.items == {}
    assert env.s3.heads == env.s3.requests == []


def test_object_that_matches_is_delivered() -> None:
    env = environment(Filter(min_bytes=4, max_bytes=4, prefixes=["a", "b"], exclude=["*.tmp"]))
    assert isinstance(outcome(env, env.ref("a")), Receipt)


def test_what_the_event_says_is_decided_without_asking_s3() -> None:
    env = environment(Filter(max_bytes=3, min_age=60))
    function = env.living_function()
    small = dataclasses.replace(env.ref("a"), size=3)
    refs = [env.ref("a"), small, dataclasses.replace(small, key="b", event_time=EVENT_TIME - 60)]
    found = function.not_wanted(refs)
    assert [type(found.get(ref)) for ref in refs] == [Filtered, TooYoung, type(None)]
    assert env.life.asked == ["read", "read"]  # whether the two that are left out have begun
    assert env.s3.heads == []


def test_size_and_time_that_the_event_does_not_say_are_asked_of_s3() -> None:
    env = environment(Filter(max_bytes=3))
    assert isinstance(outcome(env, dataclasses.replace(env.ref("a"), size=None)), Filtered)
    env = environment(Filter(max_age=60))
    env.ledger.clock.now = PUT_AT.timestamp() + 61
    assert isinstance(outcome(env, dataclasses.replace(env.ref("a"), event_time=None)), Filtered)


def test_tags_decide() -> None:
    env = environment(Filter(tags={"state": "approved"}), a=b"data", b=b"data")
    env.s3.tags["a"] = {"state": "approved"}
    assert isinstance(outcome(env, env.ref("a")), Receipt)
    assert isinstance(outcome(env, env.ref("b")), Filtered)


def test_young_object_waits_and_is_delivered_then() -> None:
    env = environment(Filter(min_age=3600))
    young = outcome(env, env.ref("a"))
    assert isinstance(young, TooYoung)
    assert young.retry_after == 900
    env.ledger.clock.now += 3500
    nearly = outcome(env, env.ref("a"))
    assert isinstance(nearly, TooYoung)
    assert nearly.retry_after == 100
    env.ledger.clock.now += 100
    assert isinstance(outcome(env, env.ref("a")), Receipt)


def test_object_that_is_under_way_is_finished_however_old_it_is() -> None:
    rule = Filter(max_age=60)
    begun = environment(rule)
    begun.env.scripts = {0: begun.cut_at_rename(done=False)}
    outcome(begun, begun.ref("a"))
    begun.env.scripts = {}
    begun.ledger.clock.now += 5000
    outcome(begun, begun.ref("a"))
    assert begun.version_item(begun.ref("a"))["state"] == {"S": "DELIVERED"}
    new = environment(rule, age=61)
    assert isinstance(outcome(new, new.ref("a")), Filtered)


def test_operator_who_wants_an_object_again_gets_it() -> None:
    env = environment(Filter(max_age=60))
    ref = env.ref("a")
    assert isinstance(outcome(env, ref), Receipt)
    env.ledger.clock.now += 5000
    request = OperatorRequest(action=Action.RESEND, id="r", who="us", at=2e9)
    again = dataclasses.replace(ref, operator=request)
    assert env.living_function().not_wanted([again]) == {}
    assert isinstance(outcome(env, again), Receipt)


def test_object_that_waited_before_is_recorded_as_skipped() -> None:
    env = environment(Filter(min_bytes=5))
    ref = env.ref("a")
    filtered = outcome(env, ref)
    assert isinstance(filtered, Filtered)
    env.living_function().give_up(ref, filtered)  # as the disposition of a message that waited does
    assert env.version_item(ref)["state"] == {"S": "SKIPPED"}
