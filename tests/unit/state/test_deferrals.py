"""What is not delivered at first sight has an item that says why, and when it is tried next."""

from __future__ import annotations

from typing import Any

import pytest

from s3_to_sftp.errors import ConnectionLost, DeliveryError, Disposition, PartnerRefusesWrites, RequestRefused
from s3_to_sftp.explanation import failure_fields
from s3_to_sftp.outcomes import Cancelled, CircuitOpen
from s3_to_sftp.s3.object_ref import ObjectRef
from tests.support.ledger_environment import (
    LEASE_SECONDS,
    START,
    FaultyClient,
    LedgerEnvironment,
    commit_of,
    ref,
)
from tests.unit.state.test_ledger import checkpoint_of

A = ref("0A", size=5)
OPEN = CircuitOpen("The circuit breaker is open: no route.", hint="Wait.", retry_after=60)
REFUSED = RequestRefused(
    "The server refuses.", hint="Ask.", code=3, disposition=Disposition.RETRY, request="create"
)


def deferred(
    env: LedgerEnvironment,
    version: ObjectRef = A,
    error: DeliveryError = OPEN,
    *,
    after: float = 60,
    was_tried: bool = False,
    client: Any = None,
) -> None:
    env.function(client=client).note_deferred(
        version, error, next_try=env.clock.now + after, was_tried=was_tried
    )


def attributes(env: LedgerEnvironment, version: ObjectRef = A) -> dict[str, Any]:
    return {name: next(iter(value.values())) for name, value in env.item(version).items()}


def test_a_version_that_waits_at_first_sight_is_listed_with_its_reason(env: LedgerEnvironment) -> None:
    deferred(env)
    item = attributes(env)
    about = {"state": "WAITING", "status": "IN_FLIGHT", "size": "5", "sequencer": "0A", "etag": "e"}
    why = {"reason": OPEN.reason, "hint": "Wait.", "error": "CircuitOpen", "next_try": str(START + 60)}
    assert item.items() >= {**about, **why}.items()
    assert "attempts" not in item
    assert [each["pk"]["S"] for each in env.with_status("IN_FLIGHT")] == ["object#bucket/in/a.csv"]


def test_the_first_wait_of_a_new_version_costs_one_request(env: LedgerEnvironment) -> None:
    client = FaultyClient(env.dynamodb)  # it cannot read
    deferred(env, client=client)
    assert client.writes == 1


def test_a_failed_attempt_costs_one_request_more_than_its_release(env: LedgerEnvironment) -> None:
    lease = env.lease(A)
    env.function().release(lease, reason=REFUSED.reason, error=REFUSED)
    client = FaultyClient(env.dynamodb)
    deferred(env, error=REFUSED, was_tried=True, client=client)
    assert client.writes == 1
    assert attributes(env)["next_try"] == str(START + 60)


def test_a_lease_ends_the_wait(env: LedgerEnvironment) -> None:
    deferred(env)
    assert env.lease(A).attempt == 1
    item = attributes(env)
    assert item["state"] == "SENDING"
    assert item["status"] == "IN_FLIGHT"
    assert not item.keys() & {"next_try", "reason", "hint", "error", "operation", "sftp_status"}


def test_an_object_that_another_error_blocked_waits_though_it_was_never_leased(
    env: LedgerEnvironment,
) -> None:
    deferred(env, error=REFUSED, was_tried=True)
    item = attributes(env)
    assert (item["state"], item["operation"], item["sftp_status"]) == (
        "WAITING", "create", "PERMISSION_DENIED",
    )  # fmt: skip


def test_a_version_that_is_being_sent_is_not_said_to_wait(env: LedgerEnvironment) -> None:
    env.lease(A)
    before = env.item(A)
    deferred(env)
    deferred(env, error=REFUSED, was_tried=True)
    assert env.item(A) == before


def test_the_lease_of_a_dead_function_does_not_hide_the_wait(env: LedgerEnvironment) -> None:
    env.lease(A)
    env.clock.now += LEASE_SECONDS
    deferred(env, error=REFUSED, was_tried=True)
    assert attributes(env)["next_try"] == str(env.clock.now + 60)
    assert env.lease(A).attempt == 2


def test_a_wait_keeps_what_the_server_has_refused(env: LedgerEnvironment) -> None:
    lease = env.lease(A)
    env.function().commit(lease, commit_of(lease))
    env.function().stage(lease, commit_of(lease, rename_unanswered=False), reason="no.", error=REFUSED)
    deferred(env)
    item = attributes(env)
    assert (item["state"], item["reason"], item["error"]) == ("STAGED", "no.", "RequestRefused")
    assert item["next_try"] == str(START + 60)


@pytest.mark.parametrize("state", ["GONE", "SUPERSEDED", "UNKNOWN"])
def test_a_version_that_has_ended_does_not_wait(env: LedgerEnvironment, state: Any) -> None:
    env.function().record_outcome(A, state=state, reason="r", hint="h")
    before = env.item(A)
    deferred(env)
    deferred(env, error=REFUSED, was_tried=True)
    assert env.item(A) == before


def test_a_delivered_version_does_not_wait(env: LedgerEnvironment) -> None:
    env.deliver(A)
    before = env.item(A)
    deferred(env)
    assert env.item(A) == before


def test_a_redriven_version_that_waits_is_in_flight_again(env: LedgerEnvironment) -> None:
    env.function().record_outcome(A, state="FAILED", reason="r", hint="h")
    deferred(env)
    item = attributes(env)
    assert (item["state"], item["status"], item["reason"]) == ("WAITING", "IN_FLIGHT", OPEN.reason)


def test_a_redriven_version_with_a_checkpoint_resumes_after_its_wait(env: LedgerEnvironment) -> None:
    lease = env.lease(A)
    env.function().checkpoint(lease, checkpoint_of(lease))
    env.function().record_outcome(A, state="FAILED", reason="r", hint="h")
    deferred(env)
    assert env.state(A) == "SENDING"
    assert env.lease(A).checkpoint == checkpoint_of(lease)


def test_a_redriven_version_with_a_commit_is_examined_after_its_wait(env: LedgerEnvironment) -> None:
    lease = env.lease(A)
    commit = commit_of(lease)
    env.function().commit(lease, commit)
    env.function().stage(lease, commit, reason="silence")
    env.function().record_outcome(A, state="FAILED", reason="r", hint="h")
    deferred(env)
    assert env.state(A) == "COMMITTING"
    assert env.lease(A).commit == commit


@pytest.mark.parametrize("end", ["delivered", "FAILED"])
def test_a_final_state_says_nothing_of_a_next_try_or_of_progress(env: LedgerEnvironment, end: str) -> None:
    lease = env.lease(A)
    ledger = env.function()
    ledger.note_progress(lease, sent=2, total=5)
    env.write(A, "next_try", {"N": "1"})
    if end == "delivered":
        ledger.commit(lease, commit_of(lease))
        ledger.delivered(lease, {})
    else:
        ledger.record_outcome(A, state="FAILED", reason="r", hint="h", lease=lease, error=REFUSED)
        assert attributes(env)["operation"] == "create"
    assert not env.item(A).keys() & {"next_try", "progress"}


def test_progress_is_recorded_while_the_upload_runs(env: LedgerEnvironment) -> None:
    lease = env.lease(A)
    env.function().note_progress(lease, sent=2, total=5)
    assert env.item(A)["progress"]["M"] == {"bytes": {"N": "2"}, "total": {"N": "5"}, "at": {"N": str(START)}}


def test_progress_that_comes_too_late_changes_nothing(env: LedgerEnvironment) -> None:
    ledger, lease = env.function(), env.lease(A)
    ledger.commit(lease, commit_of(lease))
    before = env.item(A)
    ledger.note_progress(lease, sent=2, total=5)
    assert env.item(A) == before
    ledger.delivered(lease, {})
    ledger.note_progress(lease, sent=2, total=5)
    assert "progress" not in env.item(A)


def test_progress_of_another_attempt_is_not_the_one_of_this(env: LedgerEnvironment) -> None:
    first = env.lease(A)
    env.function().note_progress(first, sent=2, total=5)
    env.all_leases_expire()
    env.lease(A)
    env.function().note_progress(first, sent=3, total=5)
    assert "progress" not in env.item(A)


def test_a_checkpoint_forgets_why_the_attempt_before_failed(env: LedgerEnvironment) -> None:
    ledger, lease = env.function(), env.lease(A)
    ledger.release(lease, reason="r", error=REFUSED)
    ledger.checkpoint(again := env.lease(A), checkpoint_of(again))
    assert not env.item(A).keys() & {"reason", "hint", "error", "operation", "sftp_status"}


def test_a_later_error_leaves_nothing_of_the_earlier_one(env: LedgerEnvironment) -> None:
    ledger = env.function()
    ledger.release(env.lease(A), reason="r", error=REFUSED)
    lost = ConnectionLost("Cut.", hint="")
    ledger.release(env.lease(A), reason="Cut.", error=lost)
    item = attributes(env)
    assert (item["reason"], item["error"]) == ("Cut.", "ConnectionLost")
    assert not item.keys() & {"hint", "operation", "sftp_status"}


def test_a_cancelled_version_is_never_leased(env: LedgerEnvironment) -> None:
    deferred(env)
    env.write(A, "state", {"S": "CANCELLED"})
    with pytest.raises(Cancelled, match="was cancelled: The circuit"):
        env.lease(A)
    with pytest.raises(Cancelled):
        env.function().record_outcome(A, state="FAILED", reason="r", hint="h")


def test_a_cancelled_version_without_order_is_never_leased_either(env: LedgerEnvironment) -> None:
    version = ref(None, version_id=None)
    env.function().record_outcome(version, state="FAILED", reason="r", hint="h")
    env.write(version, "state", {"S": "CANCELLED"})
    with pytest.raises(Cancelled):
        env.lease(version)


def test_what_servers_refuse_is_named_as_the_protocol_does() -> None:
    assert failure_fields(REFUSED) == {
        "error": "RequestRefused", "operation": "create", "sftp_status": "PERMISSION_DENIED",
    }  # fmt: skip
    odd = RequestRefused("r", hint="h", code=4711, disposition=Disposition.RETRY, request="rename")
    assert failure_fields(odd)["sftp_status"] == "4711"
    alike = PartnerRefusesWrites("r", hint="h", alike="create 3", objects=())
    assert failure_fields(alike) == {**failure_fields(REFUSED), "error": "PartnerRefusesWrites"}


def test_an_error_without_an_answer_of_the_server_names_its_class_alone() -> None:
    assert failure_fields(ConnectionLost("Cut.", hint="")) == {"error": "ConnectionLost"}


def test_a_defect_is_named_by_the_class_of_the_original_error() -> None:
    shown = DeliveryError("ZeroDivisionError: division by zero", hint="h")
    shown.__cause__ = ZeroDivisionError()
    assert failure_fields(shown) == {"error": "ZeroDivisionError"}
