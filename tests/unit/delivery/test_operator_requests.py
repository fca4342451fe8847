"""What an operator asks for is sent, unless it is older than what the bucket has."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from s3_to_sftp.operator_request import Action, OperatorRequest
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.delivery_environment import DeliveryEnvironment
from tests.unit.delivery.test_delivery import DATA


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    return DeliveryEnvironment(ledger_table, {"a": DATA, "small": b"news"})


def asked(ref: ObjectRef, action: Action = Action.BACKFILL, id_: str = "r1") -> ObjectRef:
    return dataclasses.replace(ref, operator=OperatorRequest(action=action, id=id_))


def test_a_resend_delivers_again_and_keeps_both_receipts(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.deliver(ref)
    del harness.env.files["inbox/a"]
    receipt = harness.deliver(asked(ref, Action.RESEND))
    assert harness.whole == {"inbox/a": DATA}
    assert receipt.attempt == 2
    item = harness.item(ref)
    assert [each["M"]["attempt"]["N"] for each in item["earlier_receipts"]["L"]] == ["1"]
    assert item["receipt"]["M"]["attempt"]["N"] == "2"
    with pytest.raises(AlreadyDelivered):
        harness.deliver(asked(ref, Action.RESEND))


@pytest.mark.parametrize("key", ["a", "small"])
def test_a_backfill_delivers_the_current_version(harness: DeliveryEnvironment, key: str) -> None:
    ref = asked(harness.ref(key, None))
    harness.deliver(ref)
    assert harness.whole == {f"inbox/{key}": harness.s3.objects[key]}


@pytest.mark.parametrize("key", ["a", "small"])
def test_a_backfill_of_what_has_changed_since_is_superseded(harness: DeliveryEnvironment, key: str) -> None:
    ref = asked(harness.ref(key, None))
    harness.s3.objects[key] = b"newer"
    with pytest.raises(Superseded):
        harness.deliver(ref)
    assert (harness.state(ref), harness.whole, harness.partial) == ("SUPERSEDED", {}, [])
    assert not harness.has_lease(ref)


def test_a_small_backfill_of_what_has_changed_since_is_superseded(harness: DeliveryEnvironment) -> None:
    ref = asked(harness.ref("small", None))
    harness.s3.objects["small"] = b"newer"
    with pytest.raises(Superseded):
        harness.function().read_small(ref, harness.invocation())
    assert harness.state(ref) == "SUPERSEDED"


def test_a_backfill_of_what_was_deleted_since_is_gone(harness: DeliveryEnvironment) -> None:
    ref = asked(harness.ref("a", None))
    del harness.s3.objects["a"]
    with pytest.raises(AlreadyGone):
        harness.deliver(ref)
    assert harness.state(ref) == "GONE"


def test_a_request_whose_place_in_the_order_of_events_is_known_asks_no_question(
    harness: DeliveryEnvironment,
) -> None:
    harness.deliver(harness.ref("small"))
    before = len(harness.s3.heads)
    harness.function().read_small(asked(harness.ref("small"), Action.RESEND), harness.invocation())
    assert len(harness.s3.heads) == before


def test_an_event_of_s3_costs_no_question(harness: DeliveryEnvironment) -> None:
    harness.function().read_small(harness.ref("small", None), harness.invocation())
    assert harness.s3.heads == []
