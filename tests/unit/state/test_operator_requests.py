"""What operators ask for: a resend counts once, keeps the receipts, and never wins over a newer version."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from s3_to_sftp.errors import OutcomeUnknown
from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, Cancelled, CircuitOpen, LeaseHeld, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.ledger_environment import (
    FaultyClient,
    LedgerEnvironment,
    commit_of,
    ref,
)

A, NEWER = ref("0A"), ref("0B")


def asked(version: ObjectRef = A, *, action: Action = Action.RESEND, id_: str = "r1") -> ObjectRef:
    request = OperatorRequest(action=action, id=id_, who="arn:me", at=7, reason="they lost it")
    return dataclasses.replace(version, operator=request)


def actions(env: LedgerEnvironment, version: ObjectRef = A) -> list[tuple[str, str]]:
    listed = env.item(version).get("operator_actions", {"L": []})["L"]
    return [(each["M"]["action"]["S"], each["M"]["id"]["S"]) for each in listed]


def earlier(env: LedgerEnvironment, version: ObjectRef = A) -> list[dict[str, Any]]:
    return [each["M"] for each in env.item(version).get("earlier_receipts", {"L": []})["L"]]


def test_a_resend_of_a_delivered_version_is_leased_and_its_receipt_kept(env: LedgerEnvironment) -> None:
    env.deliver(A)
    receipt = env.item(A)["receipt"]["M"]
    delivered_at = env.clock.now
    env.clock.now += 3600
    lease = env.lease(asked())
    assert (lease.attempt, lease.has_history) == (2, False)
    assert env.item(A)["status"]["S"] == "IN_FLIGHT"
    assert "receipt" not in env.item(A)
    assert earlier(env) == [{**receipt, "at": {"N": repr(float(delivered_at))}}]


@pytest.mark.parametrize("value", [None, {"S": "yesterday"}])
def test_a_receipt_whose_time_is_not_known_is_kept_without_one(
    env: LedgerEnvironment, value: dict[str, Any] | None
) -> None:
    env.deliver(A)
    receipt = env.item(A)["receipt"]["M"]
    env.write(A, "status_at", value)
    env.lease(asked())
    assert earlier(env) == [receipt]


def test_each_earlier_receipt_has_the_time_of_its_own_delivery(env: LedgerEnvironment) -> None:
    times = []
    for number in range(3):
        env.deliver(asked(id_=f"r{number}"))
        times.append(env.clock.now)
        env.clock.now += 3600
    assert [float(each["at"]["N"]) for each in earlier(env)] == times[:2]


def test_a_resend_leaves_who_when_and_why(env: LedgerEnvironment) -> None:
    env.deliver(A)
    env.lease(asked())
    (action,) = env.item(A)["operator_actions"]["L"]
    assert action["M"] == {
        "action": {"S": "resend"}, "id": {"S": "r1"}, "who": {"S": "arn:me"}, "at": {"N": "7"},
        "reason": {"S": "they lost it"},
    }  # fmt: skip


def test_every_resend_keeps_the_receipts_before_it(env: LedgerEnvironment) -> None:
    for number in range(3):
        env.deliver(asked(id_=f"r{number}"))
    assert actions(env) == [("resend", "r0"), ("resend", "r1"), ("resend", "r2")]
    assert len(earlier(env)) == 2
    assert "receipt" in env.item(A)


def test_the_second_message_of_a_resend_waits_and_then_finds_it_delivered(env: LedgerEnvironment) -> None:
    env.deliver(A)
    ledger = env.function()
    lease = env.lease(asked(), ledger)
    with pytest.raises(LeaseHeld):
        env.lease(asked())
    ledger.commit(lease, commit_of(lease))
    ledger.delivered(lease, {"bytes": 2})
    with pytest.raises(AlreadyDelivered):
        env.lease(asked())
    assert len(earlier(env)) == 1


def test_two_messages_of_a_resend_that_meet_at_the_item_make_one_lease(env: LedgerEnvironment) -> None:
    env.deliver(A)
    # Both have seen DELIVERED; the other one is faster.
    client = FaultyClient(env.dynamodb, [None, lambda: env.lease(asked(), env.function("other")) and None])
    with pytest.raises(LeaseHeld, match="is being sent by other"):
        env.lease(asked(), env.function(client=client))
    assert actions(env) == [("resend", "r1")]


def test_a_duplicate_event_of_s3_does_not_resend(env: LedgerEnvironment) -> None:
    env.deliver(A)
    with pytest.raises(AlreadyDelivered):
        env.lease(A)


@pytest.mark.parametrize("action", [Action.RETRY, Action.BACKFILL])
def test_other_requests_do_not_send_a_delivered_version_again(env: LedgerEnvironment, action: Action) -> None:
    env.deliver(A)
    with pytest.raises(AlreadyDelivered):
        env.lease(asked(action=action))


@pytest.mark.parametrize("action", [Action.RETRY, Action.BACKFILL])
def test_every_request_that_gets_a_lease_leaves_a_trace_without_another_write(
    env: LedgerEnvironment, action: Action
) -> None:
    client = FaultyClient(env.dynamodb)
    env.lease(asked(action=action), env.function(client=client))
    assert client.writes == 1
    assert actions(env) == [(action, "r1")]


def test_a_retry_of_the_message_leaves_no_second_trace(env: LedgerEnvironment) -> None:
    env.deliver(A)
    env.function().release(env.lease(asked()), reason="r")
    env.lease(asked())
    assert actions(env) == [("resend", "r1")]


def test_a_version_without_order_is_resent_once_for_each_request(env: LedgerEnvironment) -> None:
    version = ref(None, version_id=None)
    env.deliver(version)
    env.deliver(asked(version))
    with pytest.raises(AlreadyDelivered):
        env.lease(asked(version))
    assert env.lease(asked(version, id_="r2")).attempt == 3


def test_a_resend_never_wins_over_a_newer_version(env: LedgerEnvironment) -> None:
    env.deliver(A)
    env.deliver(NEWER)
    before = env.item(A)
    with pytest.raises(Superseded):
        env.lease(asked())
    assert env.item(A) == before


def test_a_resend_waits_while_a_newer_version_is_sent(env: LedgerEnvironment) -> None:
    env.deliver(A)
    env.lease(NEWER)
    with pytest.raises(LeaseHeld):
        env.lease(asked())
    assert env.state(A) == "DELIVERED"


def test_a_resend_that_is_given_up_before_its_lease_leaves_the_receipt(env: LedgerEnvironment) -> None:
    env.deliver(A)
    before = env.item(A)
    env.function().record_outcome(asked(), state="FAILED", reason="r", hint="h")
    assert env.item(A) == before


def test_a_resend_that_waits_leaves_the_receipt(env: LedgerEnvironment) -> None:
    env.deliver(A)
    before = env.item(A)
    waits = CircuitOpen("r", hint="h", retry_after=1)
    env.function().note_deferred(asked(), waits, next_try=1, was_tried=False)
    assert env.item(A) == before


def test_a_resend_that_fails_for_good_keeps_the_earlier_receipt(env: LedgerEnvironment) -> None:
    env.deliver(A)
    env.function().release(env.lease(asked()), reason="r")
    env.function().record_outcome(asked(), state="FAILED", reason="r", hint="h")
    assert env.state(A) == "FAILED"
    assert len(earlier(env)) == 1


def test_a_resend_after_an_unknown_outcome_starts_from_the_beginning_once(env: LedgerEnvironment) -> None:
    ledger, lease = env.function(), env.lease(A)
    ledger.commit(lease, commit_of(lease))
    ledger.stage(lease, commit_of(lease), reason="silence")
    ledger.record_outcome(A, state="UNKNOWN", reason="r", hint="h")
    again = env.lease(asked(), ledger)
    assert again.commit is None
    ledger.commit(again, commit_of(again))
    ledger.stage(again, commit_of(again), reason="silence")
    ledger.record_outcome(asked(), state="UNKNOWN", reason="r", hint="h")
    with pytest.raises(OutcomeUnknown):
        env.lease(asked())


def test_a_resend_sends_what_was_cancelled_after_all(env: LedgerEnvironment) -> None:
    env.function().record_outcome(A, state="FAILED", reason="r", hint="h")
    env.write(A, "state", {"S": "CANCELLED"})
    with pytest.raises(Cancelled):
        env.lease(asked(action=Action.RETRY))
    assert env.lease(asked()).attempt == 1


@pytest.mark.parametrize(("action", "state"), [("cancel", "CANCELLED"), ("confirm", "DELIVERED")])
def test_a_resend_that_waited_does_not_overrule_a_later_decision(
    env: LedgerEnvironment, action: str, state: str
) -> None:
    env.function().record_outcome(A, state="UNKNOWN", reason="r", hint="h")
    env.write(A, "state", {"S": state})
    decision = {"action": {"S": action}, "id": {"S": "c1"}, "at": {"N": "7.5"}}
    env.write(A, "operator_actions", {"L": [{"M": decision}]})
    with pytest.raises(Cancelled if action == "cancel" else AlreadyDelivered):
        env.lease(asked())  # at 7
    later = asked()
    assert later.operator is not None
    later = dataclasses.replace(later, operator=dataclasses.replace(later.operator, at=8))
    assert env.lease(later).attempt == 1


def test_a_resend_does_not_bring_back_what_is_gone(env: LedgerEnvironment) -> None:
    env.function().record_outcome(A, state="GONE", reason="r", hint="h")
    with pytest.raises(AlreadyGone):
        env.lease(asked())


def test_a_version_cancelled_meanwhile_is_not_sent_by_a_resend_that_is_retried(
    env: LedgerEnvironment,
) -> None:
    env.deliver(A)
    env.function().release(env.lease(asked()), reason="r")
    env.write(A, "state", {"S": "CANCELLED"})
    with pytest.raises(Cancelled):
        env.lease(asked())


def test_only_the_last_receipts_are_kept(env: LedgerEnvironment) -> None:
    env.deliver(A)
    many = [{"M": {"bytes": {"N": str(number)}}} for number in range(60)]
    env.write(A, "earlier_receipts", {"L": many})
    env.lease(asked())
    assert len(earlier(env)) == 50
    assert earlier(env)[-2] == {"bytes": {"N": "59"}}
