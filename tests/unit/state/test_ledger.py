"""Leases, order of versions, recovery, terminal states and errors of the DynamoDB ledger."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from s3_to_sftp.errors import Disposition, LedgerError, OutcomeUnknown
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, LeaseHeld, NothingToSend, Superseded
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server_identity import ServerIdentity
from s3_to_sftp.state.items import KEY
from s3_to_sftp.state.ledger import Checkpoint, Commit, Lease, Ledger, TerminalState
from s3_to_sftp.state.no_ledger import NoLedger
from tests.support.ledger_environment import (
    DAY,
    LEASE_SECONDS,
    RECEIPTS_FOR,
    START,
    FaultyClient,
    LedgerEnvironment,
    NamedLedger,
    commit_of,
    raising,
    ref,
    refused,
)

OLD, NEW = ref("0A"), ref("0B")


def checkpoint_of(lease: Lease, offset: int = 5) -> Checkpoint:
    return Checkpoint(
        temporary=lease.temporary,
        offset=offset,
        algorithm="CRC64NVME",
        crc=2**64 - 1,
        rounds_without_progress=1,
        etag='"e"',
    )


# Leases


def test_new_version_is_leased_without_history(env: LedgerEnvironment) -> None:
    lease = env.function("me").acquire(
        NEW, owner="me", remote_path="out/a", temporary="out/.t", until=START + 9
    )
    assert lease == Lease(
        ref=NEW, owner="me", remote_path="out/a", temporary="out/.t", attempt=1, until=START + 9
    )


def test_lease_of_a_new_key_needs_one_write_and_no_read(env: LedgerEnvironment) -> None:
    client = FaultyClient(env.dynamodb)
    env.lease(NEW, env.function(client=client))
    assert (client.writes, client.reads) == (1, 0)


def test_delivery_of_a_key_that_is_known_needs_one_write_and_one_read_more(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    client = FaultyClient(env.dynamodb)
    ledger = env.function(client=client)
    lease = env.lease(NEW, ledger)
    assert (client.writes, client.reads) == (2, 1)
    ledger.commit(lease, commit_of(lease))
    lease.names.remove(lease.temporary)
    ledger.delivered(lease, {})
    assert (client.writes, client.reads) == (4, 1)


def test_leased_version_is_refused_until_its_lease_ends(env: LedgerEnvironment) -> None:
    env.lease(NEW, env.function("the other"))
    env.clock.now += 100
    with pytest.raises(LeaseHeld, match="is being sent by the other") as raised:
        env.lease(NEW)
    assert raised.value.retry_after == LEASE_SECONDS - 100


@pytest.mark.parametrize(("first", "second"), [(OLD, NEW), (NEW, OLD)])
def test_only_one_version_of_a_key_is_leased_at_a_time(
    env: LedgerEnvironment, first: ObjectRef, second: ObjectRef
) -> None:
    env.lease(first)
    with pytest.raises(LeaseHeld) as raised:
        env.lease(second)
    assert raised.value.retry_after == LEASE_SECONDS


def test_other_keys_and_buckets_are_leased_meanwhile(env: LedgerEnvironment) -> None:
    env.lease(NEW)
    for other in (ref(key="in/b.csv"), ref(bucket="other")):
        env.lease(other)
        assert env.state(other) == "SENDING"


@pytest.mark.parametrize("seconds", [0, 3600])
def test_expired_lease_is_free(env: LedgerEnvironment, seconds: float) -> None:
    env.lease(NEW)
    env.clock.now += LEASE_SECONDS + seconds
    assert env.lease(NEW).attempt == 2


EACH_STEP = pytest.mark.parametrize(
    "step",
    [
        lambda ledger, lease: ledger.commit(
            dataclasses.replace(lease, until=lease.until + 9999), commit_of(lease)
        ),
        lambda ledger, lease: ledger.note_names(lease),
        lambda ledger, lease: ledger.delivered(lease, {}),
        lambda ledger, lease: ledger.checkpoint(lease, checkpoint_of(lease)),
        lambda ledger, lease: ledger.start_over(lease, temporary="x"),
        lambda ledger, lease: ledger.record_outcome(
            lease.ref, state="FAILED", reason="r", hint="h", lease=lease
        ),
    ],
    ids=["commit", "note_names", "delivered", "checkpoint", "start_over", "record_outcome"],
)
EACH_RELEASING_STEP = pytest.mark.parametrize(
    "step",
    [
        lambda ledger, lease: ledger.release(lease, reason="late"),
        lambda ledger, lease: ledger.stage(lease, commit_of(lease), reason="late"),
    ],
    ids=["release", "stage"],
)


@pytest.mark.parametrize("committed", [False, True], ids=["sending", "committing"])
@pytest.mark.parametrize(
    ("now_leased", "message"),
    [(OLD, r"attempt 1 of f\) is lost"), (NEW, "is lost")],
    ids=["same version", "newer version"],
)
@EACH_STEP
def test_step_with_a_lost_lease_raises_and_changes_nothing(
    env: LedgerEnvironment,
    step: Callable[[Ledger, Lease], None],
    committed: bool,  # noqa: FBT001 - pytest names the argument
    now_leased: ObjectRef,
    message: str,
) -> None:
    """The owner is the same: the attempt differs, or the version that the key item names."""
    ledger = env.function()
    lost = env.lease(OLD, ledger)
    if committed:
        ledger.commit(lost, commit_of(lost))
    env.all_leases_expire()
    env.lease(now_leased, ledger)
    before = env.item(OLD), env.item(NEW), env.key_item(NEW)
    with pytest.raises(LedgerError, match=message) as raised:
        step(ledger, lost)
    assert raised.value.disposition is Disposition.RETRY
    assert (env.item(OLD), env.item(NEW), env.key_item(NEW)) == before


@pytest.mark.parametrize("then", [OLD, NEW], ids=["same version", "newer version"])
@EACH_RELEASING_STEP
def test_releasing_a_lost_lease_raises_no_error_and_changes_nothing(
    env: LedgerEnvironment, step: Callable[[Ledger, Lease], None], then: ObjectRef
) -> None:
    ledger = env.function()
    lost = env.lease(OLD, ledger)
    env.all_leases_expire()
    env.lease(then, ledger)
    before = env.item(OLD), env.item(then), env.key_item(then)
    step(ledger, lost)
    assert (env.item(OLD), env.item(then), env.key_item(then)) == before


def test_expired_lease_cannot_commit(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    env.all_leases_expire()
    with pytest.raises(LedgerError, match="lost or has expired"):
        ledger.commit(lease, commit_of(lease))
    assert env.state(NEW) == "SENDING"


def test_delivery_without_a_commit_is_refused(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    with pytest.raises(LedgerError):
        ledger.delivered(lease, {})


def test_loser_of_a_race_for_the_lease_is_refused(env: LedgerEnvironment) -> None:
    env.deliver(OLD)  # the first read is not enough then
    client = FaultyClient(env.dynamodb, [None, lambda: ignore(env.lease(NEW, env.function("faster")))])
    with pytest.raises(LeaseHeld, match="by faster"):
        env.lease(NEW, env.function("slower", client))


def ignore(_: object) -> None:
    """Drop the result: a callback returns None."""


def test_endless_contention_raises_a_retryable_error(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    revisions = itertools.count(99)
    client = FaultyClient(
        env.dynamodb, [lambda: env.write(OLD, "revision", {"N": str(next(revisions))}, sk=KEY)] * 50
    )
    with pytest.raises(LedgerError, match="Too many functions") as raised:
        env.lease(NEW, env.function(client=client))
    assert raised.value.disposition is Disposition.RETRY


# Order of versions


def test_delivered_version_is_never_leased_again(env: LedgerEnvironment) -> None:
    env.deliver(NEW)
    env.all_leases_expire()
    with pytest.raises(AlreadyDelivered, match="has been delivered before") as raised:
        env.lease(NEW)
    assert raised.value.disposition is Disposition.DONE


def test_delivery_releases_the_lease(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    assert env.lease(NEW).attempt == 1


def test_receipt_is_stored_unchanged(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.delivered(
        lease, {"bytes": 2**63, "seconds": 0.25, "crc": "AAA=", "streams": [1, 2], "ok": True, "sha256": None}
    )
    assert env.item(NEW)["receipt"] == {
        "M": {
            "bytes": {"N": "9223372036854775808"},
            "seconds": {"N": "0.25"},
            "crc": {"S": "AAA="},
            "streams": {"L": [{"N": "1"}, {"N": "2"}]},
            "ok": {"BOOL": True},
            "sha256": {"NULL": True},
        }
    }


def test_receipt_of_an_unsupported_type_is_refused(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    with pytest.raises(TypeError, match="got ObjectRef"):
        ledger.delivered(lease, {"ref": NEW})


def test_recording_a_delivery_twice_keeps_the_first_receipt(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.deliver(NEW)
    ledger.delivered(lease, {"bytes": 2})
    assert env.item(NEW)["receipt"]["M"]["bytes"] == {"N": "1"}


def test_late_event_of_an_older_version_is_recorded_as_superseded(env: LedgerEnvironment) -> None:
    env.deliver(NEW)
    with pytest.raises(Superseded):
        env.lease(OLD)
    assert env.state(OLD) == "SUPERSEDED"
    assert [item["sk"]["S"] for item in env.with_status("SUPERSEDED")] == ["version#v0A"]
    with pytest.raises(Superseded):  # again, from the recorded state
        env.lease(OLD)


def test_committing_newer_version_supersedes_older_ones(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    with pytest.raises(Superseded):
        env.lease(OLD)


def test_version_superseded_during_its_rename_is_recorded_as_possibly_published(
    env: LedgerEnvironment,
) -> None:
    ledger = env.function()
    lease = env.lease(OLD, ledger)
    ledger.commit(lease, commit_of(lease))
    env.all_leases_expire()
    env.deliver(NEW)
    with pytest.raises(Superseded):
        env.lease(OLD)
    assert env.state(OLD) == "SUPERSEDED"
    assert "may have had the final name before" in env.item(OLD)["reason"]["S"]


def test_sending_newer_version_does_not_supersede_older_ones(env: LedgerEnvironment) -> None:
    env.lease(NEW)
    env.all_leases_expire()
    assert env.lease(OLD).ref == OLD


@pytest.mark.parametrize(
    ("older", "newer"),
    [("0A", "0A1"), ("0A1", "0B"), ("0055AED6DCD90281E5", "0055AED6DCD90281E6"), ("0a", "0B")],
)
def test_sequencers_are_compared_padded_on_the_right(env: LedgerEnvironment, older: str, newer: str) -> None:
    env.deliver(ref(newer))
    with pytest.raises(Superseded):
        env.lease(ref(older))


def test_padded_sequencer_equals_the_unpadded_one(env: LedgerEnvironment) -> None:
    env.deliver(ref("0A0"))
    assert env.lease(ref("0A")).attempt == 1


@pytest.mark.parametrize(("first", "second"), [("0B", None), (None, "0A")])
def test_versions_without_sequencers_have_no_order(
    env: LedgerEnvironment, first: str | None, second: str | None
) -> None:
    env.deliver(ref(first))
    env.deliver(ref(second))
    assert [env.state(ref(sequencer)) for sequencer in (first, second)] == ["DELIVERED"] * 2


def test_version_without_a_sequencer_does_not_change_the_order_of_others(env: LedgerEnvironment) -> None:
    env.deliver(NEW)
    env.deliver(ref(None))
    with pytest.raises(Superseded):
        env.lease(OLD)


def test_superseded_lease_cannot_commit_and_is_recorded(env: LedgerEnvironment) -> None:
    ledger = env.function()
    late = env.lease(OLD, ledger)
    env.all_leases_expire()
    env.deliver(NEW)
    with pytest.raises(Superseded):  # a late clock makes no difference
        ledger.commit(dataclasses.replace(late, until=late.until + 9999), commit_of(late))
    assert env.state(OLD) == "SUPERSEDED"


# Identity of versions


@pytest.mark.parametrize("version_id", [None, "null"], ids=["unversioned", "suspended"])
def test_sequencer_distinguishes_puts_with_the_same_version_id(
    env: LedgerEnvironment, version_id: str | None
) -> None:
    env.deliver(ref("0A", version_id=version_id))
    env.deliver(ref("0B", version_id=version_id))  # the same content, put again
    with pytest.raises(AlreadyDelivered):
        env.lease(ref("0B", version_id=version_id))


def test_eventbridge_event_is_the_same_version(env: LedgerEnvironment) -> None:
    env.deliver(ref("0ABC", version_id=None))
    with pytest.raises(AlreadyDelivered):
        env.lease(ref("0abc", version_id=None))


def test_earlier_content_is_sent_again_when_puts_cannot_be_distinguished(env: LedgerEnvironment) -> None:
    for etag in ("1", "2", "1"):
        version = ref(None, version_id=None, etag=etag)
        env.deliver(version)
        assert env.state(version) == "DELIVERED"


# Recovery


def test_next_attempt_knows_the_temporary_name_of_a_dead_one(env: LedgerEnvironment) -> None:
    dead = env.lease(NEW)
    env.all_leases_expire()
    lease = env.lease(NEW)
    assert set(lease.names) == {dead.temporary, lease.temporary}
    assert lease.has_history
    assert (lease.checkpoint, lease.commit) == (None, None)


def test_interrupted_commit_is_recovered_by_every_later_attempt(env: LedgerEnvironment) -> None:
    ledger = env.function()
    first = env.lease(NEW, ledger)
    ledger.commit(first, commit_of(first))
    for attempt in (2, 3):
        env.all_leases_expire()
        lease = env.lease(NEW)
        assert (lease.commit, lease.temporary, lease.attempt) == (
            commit_of(first, rename_unanswered=True),
            first.temporary,
            attempt,
        )
        assert set(lease.names) == {first.temporary}


def test_recovered_commit_ends_as_delivered(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    env.all_leases_expire()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))  # allowed, but not required
    ledger.delivered(lease, {})
    assert env.state(NEW) == "DELIVERED"
    assert "commit" not in env.item(NEW)


def test_commit_is_read_back_with_all_fields(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    server = ServerIdentity(host="other.example", port=2222, user="them", host_key="SHA256:two")
    commit = commit_of(lease, temporary="out/.other.part", size=2**40, modified=None, server=server)
    ledger.commit(lease, commit)
    env.all_leases_expire()
    again = env.lease(NEW)
    assert (again.commit, again.temporary) == (commit, "out/.other.part")


@pytest.mark.parametrize("unanswered", [False, True], ids=["refused", "not answered"])
def test_file_is_staged_with_the_outcome_of_its_rename(
    env: LedgerEnvironment,
    unanswered: bool,  # noqa: FBT001 - pytest names the argument
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    staged = commit_of(lease, rename_unanswered=unanswered)
    ledger.stage(lease, staged, reason="RENAME: permission denied.")
    state = "COMMITTING" if unanswered else "STAGED"
    assert (env.state(NEW), env.item(NEW)["reason"]) == (state, {"S": "RENAME: permission denied."})
    again = env.lease(NEW)  # at once
    assert (again.commit, again.temporary, env.state(NEW)) == (staged, lease.temporary, state)
    assert len(env.with_status("IN_FLIGHT")) == 1


def test_second_rename_of_a_staged_file_counts_as_unanswered(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.stage(lease, commit_of(lease, rename_unanswered=False), reason="refused")
    again = env.lease(NEW, ledger)
    assert again.commit is not None
    ledger.commit(again, again.commit)
    assert env.state(NEW) == "COMMITTING"
    env.all_leases_expire()
    assert env.lease(NEW).commit == commit_of(lease, rename_unanswered=True)


def test_changed_directory_applies_after_a_dead_lettered_commit(
    env: LedgerEnvironment,
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger, remote_path="then/a")
    ledger.commit(lease, commit_of(lease))
    ledger.stage(lease, commit_of(lease, rename_unanswered=False), reason="refused")
    ledger.record_outcome(NEW, state="FAILED", reason="refused", hint="Correct SSH_DIR.")
    again = env.lease(NEW, remote_path="now/a")
    assert again.commit is not None
    assert (again.remote_path, again.commit.remote_path) == ("now/a", "then/a")


def test_release_keeps_an_unanswered_commit(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.release(lease, reason="cut at the rename")
    assert env.lease(NEW).commit == commit_of(lease, rename_unanswered=True)
    assert env.state(NEW) == "COMMITTING"


def test_late_receipt_does_not_replace_an_earlier_one(env: LedgerEnvironment) -> None:
    ledger = env.function()
    slow = env.lease(NEW, ledger)
    ledger.commit(slow, commit_of(slow))
    env.all_leases_expire()
    ledger.delivered(env.lease(NEW, ledger), {"by": "the second"})
    ledger.delivered(slow, {"by": "the first"})
    assert env.item(NEW)["receipt"]["M"]["by"] == {"S": "the second"}


def test_next_invocation_resumes_at_the_checkpoint(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.checkpoint(lease, checkpoint_of(lease))
    again = env.lease(NEW)
    assert again.checkpoint == checkpoint_of(lease)
    assert (again.temporary, set(again.names), again.attempt) == (lease.temporary, {lease.temporary}, 2)


@pytest.mark.parametrize("end", ["crash", "release"])
def test_checkpoint_survives_a_resumed_attempt(env: LedgerEnvironment, end: str) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.checkpoint(lease, checkpoint_of(lease))
    resumed = env.lease(NEW, ledger)
    if end == "release":
        ledger.release(resumed, reason="cut")
    env.all_leases_expire()
    again = env.lease(NEW)
    assert (again.checkpoint, set(again.names)) == (checkpoint_of(lease), {lease.temporary})


def test_checkpoint_of_another_final_name_is_not_resumed(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger, remote_path="then/a", temporary="then/.t")
    ledger.checkpoint(lease, checkpoint_of(lease))
    again = env.lease(NEW, remote_path="now/a", temporary="now/.t")
    assert (again.checkpoint, again.temporary) == (None, "now/.t")
    assert set(again.names) == {"then/.t", "now/.t"}
    env.all_leases_expire()
    assert env.lease(NEW, remote_path="now/a").checkpoint is None


def test_released_version_can_be_leased_at_once_and_has_the_reason(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.release(lease, reason="The connection was cut.")
    assert env.item(NEW)["reason"] == {"S": "The connection was cut."}
    again = env.lease(NEW)
    assert set(again.names) == {lease.temporary, again.temporary}


@pytest.mark.parametrize("before", ["checkpoint", "commit"])
def test_restart_is_recorded_before_the_first_byte(env: LedgerEnvironment, before: str) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    if before == "commit":
        ledger.commit(lease, commit_of(lease))
    else:
        ledger.checkpoint(lease, checkpoint_of(lease))
        lease = env.lease(NEW, ledger)
    fresh = ledger.start_over(lease, temporary="out/.fresh")
    assert (fresh.temporary, fresh.checkpoint, fresh.commit) == ("out/.fresh", None, None)
    assert env.names(NEW) == {lease.temporary, "out/.fresh"}
    env.all_leases_expire()  # the attempt that restarted dies
    again = env.lease(NEW)
    assert (again.checkpoint, again.commit) == (None, None)
    assert set(again.names) == {lease.temporary, "out/.fresh", again.temporary}


# Terminal states without a delivery


def test_failure_is_recorded_and_can_be_redriven(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.record_outcome(NEW, state="FAILED", reason="No permission.", hint="Ask.", lease=lease)
    (item,) = env.with_status("FAILED")
    assert (item["reason"], item["hint"]) == ({"S": "No permission."}, {"S": "Ask."})
    again = env.lease(NEW)
    assert (again.attempt, again.checkpoint, again.commit) == (2, None, None)
    assert set(again.names) == {lease.temporary, again.temporary}
    assert env.with_status("FAILED") == []


def test_failure_with_a_lease_drops_the_commit(env: LedgerEnvironment) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.record_outcome(NEW, state="FAILED", reason="r", hint="h", lease=lease)
    again = env.lease(NEW)
    assert (again.commit, again.temporary != lease.temporary) == (None, True)


@pytest.mark.parametrize("unanswered", [False, True], ids=["refused", "not answered"])
def test_failure_without_a_lease_keeps_the_commit(
    env: LedgerEnvironment,
    unanswered: bool,  # noqa: FBT001 - pytest names the argument
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    commit = commit_of(lease, rename_unanswered=unanswered)
    ledger.stage(lease, commit, reason="r")
    ledger.record_outcome(NEW, state="FAILED", reason="r", hint="h")
    assert env.lease(NEW).commit == commit
    assert env.state(NEW) == ("COMMITTING" if unanswered else "STAGED")
    assert len(env.with_status("IN_FLIGHT")) == 1


def unknown(env: LedgerEnvironment) -> Commit:
    """Record a version of unknown outcome; return its commit."""
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    commit = commit_of(lease)
    ledger.commit(lease, commit)
    ledger.stage(lease, commit, reason="not answered")
    ledger.record_outcome(NEW, state="UNKNOWN", reason="Not answered.", hint="Ask the partner.")
    return commit


def test_duplicate_event_of_an_unknown_outcome_is_not_sent_again(env: LedgerEnvironment) -> None:
    unknown(env)
    before = env.item(NEW), env.key_item(NEW)
    with pytest.raises(OutcomeUnknown, match="Not answered") as raised:
        env.lease(NEW)
    assert (raised.value.reason, raised.value.hint) == ("Not answered.", "Ask the partner.")
    assert (env.item(NEW), env.key_item(NEW)) == before
    assert [item["sk"]["S"] for item in env.with_status("UNKNOWN")] == ["version#v0B"]


def test_redrive_of_an_unknown_outcome_is_sent_again(
    env: LedgerEnvironment,
) -> None:
    commit = unknown(env)
    again = env.lease(dataclasses.replace(NEW, resend=True))
    assert (again.commit, again.checkpoint, env.state(NEW)) == (None, None, "SENDING")
    assert again.temporary != commit.temporary
    entry = again.names.get(commit.temporary)
    assert entry is not None
    assert entry.rename_pending, "a hanging server process may still rename it"
    env.all_leases_expire()
    assert env.lease(NEW).commit is None, "it is deleted, not only ignored"


def test_unknown_outcome_does_not_block_a_newer_version(
    env: LedgerEnvironment,
) -> None:
    unknown(env)
    newer = env.lease(ref("0C"))
    assert newer.has_history


def test_redrive_of_a_superseded_unknown_outcome_is_not_sent(
    env: LedgerEnvironment,
) -> None:
    unknown(env)
    env.deliver(ref("0C"))
    with pytest.raises(Superseded):
        env.lease(dataclasses.replace(NEW, resend=True))
    assert "may have had the final name before" in env.item(NEW)["reason"]["S"]


@pytest.mark.parametrize("end", ["DELIVERED", "GONE"])
def test_redrive_does_not_change_another_terminal_state(env: LedgerEnvironment, end: str) -> None:
    if end == "DELIVERED":
        env.deliver(NEW)
    else:
        env.function().record_outcome(NEW, state="GONE", reason="r", hint="h")
    with pytest.raises(NothingToSend):
        env.lease(dataclasses.replace(NEW, resend=True))


def test_redriven_ref_equals_the_original() -> None:
    again = dataclasses.replace(NEW, resend=True)
    assert (again, hash(again)) == (NEW, hash(NEW))


def test_failure_of_a_version_that_was_never_leased_is_recorded(env: LedgerEnvironment) -> None:
    env.function().record_outcome(NEW, state="FAILED", reason="first", hint="h")
    env.function().record_outcome(NEW, state="FAILED", reason="second", hint="h")
    assert env.item(NEW)["reason"] == {"S": "second"}
    assert env.lease(NEW).attempt == 1


@pytest.mark.parametrize(("state", "error"), [("GONE", AlreadyGone), ("SUPERSEDED", Superseded)])
@pytest.mark.parametrize("leased", [True, False])
def test_version_in_a_terminal_state_is_not_leased_again(
    env: LedgerEnvironment,
    state: TerminalState,
    error: type[NothingToSend],
    leased: bool,  # noqa: FBT001 - pytest names the argument
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger) if leased else None
    ledger.record_outcome(NEW, state=state, reason="r", hint="h", lease=lease)
    with pytest.raises(error):
        env.lease(NEW)
    assert len(env.with_status(state)) == 1
    env.lease(ref("0C"))  # the key is free


def test_failure_does_not_overwrite_a_delivery(env: LedgerEnvironment) -> None:
    env.deliver(NEW)
    with pytest.raises(AlreadyDelivered):
        env.function().record_outcome(NEW, state="FAILED", reason="r", hint="h")
    assert env.state(NEW) == "DELIVERED"


def test_failure_without_a_lease_does_not_change_a_leased_version(env: LedgerEnvironment) -> None:
    env.lease(NEW)
    with pytest.raises(LeaseHeld):
        env.function().record_outcome(NEW, state="FAILED", reason="r", hint="h")
    assert env.state(NEW) == "SENDING"


# The status index


def test_status_index_lists_versions_in_flight_and_deliveries_by_day(
    env: LedgerEnvironment,
) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    env.clock.now += 1
    ledger.commit(lease, commit_of(lease))
    (item,) = env.with_status("IN_FLIGHT")
    assert item["status_at"] == {"S": f"{DAY}T00:00:00.000000Z"}
    ledger.delivered(lease, {})
    assert env.with_status("IN_FLIGHT") == []
    (item,) = env.with_status(f"DELIVERED#{DAY}")
    assert item["status_at"] == {"S": f"{DAY}T00:00:01.000000Z"}
    assert item["first_seen"] == {"S": f"{DAY}T00:00:00.000000Z"}


def test_status_index_dates_a_version_in_flight_from_its_first_attempt(env: LedgerEnvironment) -> None:
    env.lease(NEW)
    env.all_leases_expire()
    env.lease(NEW)
    (item,) = env.with_status("IN_FLIGHT")
    assert item["status_at"] == {"S": f"{DAY}T00:00:00.000000Z"}


def test_items_expire_a_fixed_time_after_their_last_change(env: LedgerEnvironment) -> None:
    env.clock.now += 10
    env.deliver(NEW)
    expected = {"N": str(int(START) + 10 + RECEIPTS_FOR)}
    assert (env.item(NEW)["expires"], env.key_item(NEW)["expires"]) == (expected, expected)


def test_delivered_item_has_no_lease_attributes(env: LedgerEnvironment) -> None:
    env.deliver(NEW)
    of_version = {
        "state", "attempts", "remote_path", "receipt", "first_seen", "status", "status_at", "expires", "etag",
        "sequencer",
    }  # fmt: skip
    of_key = {"version", "committed", "modified", "temporaries"}
    of_item = {"pk", "sk", "revision"}
    assert set(env.key_item(NEW)) == {*of_version, *of_key, *of_item, "write_id"}
    env.deliver(ref("0C"))
    assert set(env.item(NEW)) == {*of_version, *of_item}


# Errors of the table


class Step:
    """The steps of a delivery, each with the ledger behind a faulty client."""

    def __init__(self, env: LedgerEnvironment, name: str) -> None:
        self.client = FaultyClient(env.dynamodb)
        ledger = env.function(client=self.client)
        if name == "acquire":
            self.run: Callable[[], object] = lambda: env.lease(NEW, ledger)
            return
        lease = env.lease(NEW)
        if name == "delivered":
            ledger.commit(lease, commit_of(lease))
        lease.names.remove(lease.temporary)
        self.run = {
            "commit": lambda: ledger.commit(lease, commit_of(lease)),
            "delivered": lambda: ledger.delivered(lease, {}),
            "release": lambda: ledger.release(lease, reason="r"),
            "record_outcome": lambda: ledger.record_outcome(OLD, state="FAILED", reason="r", hint="h"),
        }[name]


STEPS = ["acquire", "commit", "delivered", "release", "record_outcome"]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (
            refused("ResourceNotFoundException"),
            "'ledger' does not exist in this account",
            "correct LEDGER_TABLE",
        ),
        (refused("AccessDeniedException"), "role may not do that", "dynamodb:UpdateItem"),
        (refused("ThrottlingException"), r"too busy \(ThrottlingException\)", "will be retried"),
        (
            refused("TransactionCanceledException", "None", "ValidationError"),
            "could not be written",
            "check the table",
        ),
        (EndpointConnectionError(endpoint_url="https://x"), "could not be written", "will be retried"),
    ],
    ids=["no table", "denied", "throttled", "invalid", "no network"],
)
def test_table_error_is_explained_and_retryable(
    env: LedgerEnvironment, name: str, error: Exception, reason: str, hint: str
) -> None:
    step = Step(env, name)
    step.client.faults = [raising(error)]
    with pytest.raises(LedgerError, match=reason) as raised:
        step.run()
    assert hint in raised.value.hint
    assert raised.value.disposition is Disposition.RETRY


def test_missing_table_is_recognised(env: LedgerEnvironment) -> None:
    ledger = NamedLedger("f", env.dynamodb, "other", receipts_for_seconds=1)
    with pytest.raises(LedgerError, match="'other' does not exist"):
        env.lease(NEW, ledger)


BUSY = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"]
CONFLICT = raising(refused("TransactionConflictException"))


@pytest.mark.parametrize("name", STEPS)
def test_write_that_conflicts_with_a_transaction_is_retried(env: LedgerEnvironment, name: str) -> None:
    step = Step(env, name)
    step.client.faults = [CONFLICT] * 4
    step.run()
    assert len(env.pauses) == 4
    assert all(0 <= pause <= 0.4 for pause in env.pauses)


@pytest.mark.parametrize("reason", BUSY)
def test_conflicting_transaction_is_retried(env: LedgerEnvironment, reason: str) -> None:
    env.deliver(OLD)
    busy = raising(refused("TransactionCanceledException", "None", reason))
    client = FaultyClient(env.dynamodb, [None, *[busy] * 4])
    assert env.lease(NEW, env.function(client=client)).attempt == 1
    assert len(env.pauses) == 4


def test_failed_condition_is_not_retried(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    conflict = refused("TransactionCanceledException", "ConditionalCheckFailed", "TransactionConflict")
    client = FaultyClient(env.dynamodb, [None, raising(conflict)])
    assert env.lease(NEW, env.function(client=client)).attempt == 1
    assert env.pauses == []


def test_persistent_write_conflict_raises_a_retryable_error(env: LedgerEnvironment) -> None:
    client = FaultyClient(env.dynamodb, [CONFLICT] * 99)
    with pytest.raises(LedgerError, match=r"too busy \(TransactionConflictException\)") as raised:
        env.lease(NEW, env.function(client=client))
    assert raised.value.disposition is Disposition.RETRY
    assert client.writes == 5


def test_persistent_conflict_of_transactions_raises_a_retryable_error(env: LedgerEnvironment) -> None:
    env.deliver(OLD)
    busy = raising(refused("TransactionCanceledException", "None", "TransactionConflict"))
    client = FaultyClient(env.dynamodb, [None, *[busy] * 99])
    with pytest.raises(LedgerError, match=r"too busy \(TransactionConflict\)") as raised:
        env.lease(NEW, env.function(client=client))
    assert raised.value.disposition is Disposition.RETRY
    assert client.writes == 6


class RepeatingClient(FaultyClient):
    """Sends each write twice: botocore repeats one whose answer was lost, and DynamoDB may have made it."""

    def _write(self, write: Callable[..., Any], request: Any) -> Any:
        if "TransactItems" not in request:  # these have a token, by which DynamoDB knows the second one
            super()._write(write, request)
        return super()._write(write, request)


@pytest.mark.parametrize("end", ["delivered", "checkpoint", "release", "stage", "record_outcome"])
def test_write_that_botocore_has_repeated_is_no_lost_lease(env: LedgerEnvironment, end: str) -> None:
    ledger = env.function(client=RepeatingClient(env.dynamodb))
    lease = env.lease(NEW, ledger)
    assert lease.attempt == 1
    lease.names.remove(lease.temporary)  # so that no write is a transaction
    if end == "checkpoint":
        ledger.checkpoint(lease, checkpoint_of(lease))
    elif end == "record_outcome":
        ledger.record_outcome(NEW, state="FAILED", reason="r", hint="h", lease=lease)
    else:
        ledger.commit(lease, commit_of(lease))
        lease.names.remove(lease.temporary)
        if end == "delivered":
            ledger.delivered(lease, {})
        elif end == "stage":
            ledger.stage(lease, commit_of(lease), reason="r")
        else:
            ledger.release(lease, reason="r")
    assert "owner" not in env.item(NEW)


def test_commit_without_a_response_is_recovered(env: LedgerEnvironment) -> None:
    client = FaultyClient(env.dynamodb)
    ledger = env.function(client=client)
    lease = env.lease(NEW, ledger)
    client.lost_answers = [EndpointConnectionError(endpoint_url="https://x")]
    with pytest.raises(LedgerError):
        ledger.commit(lease, commit_of(lease))
    ledger.release(lease, reason="r")
    assert env.lease(NEW).commit == commit_of(lease)


# Corrupt items


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", None),
        ("state", {"S": "SENT"}),
        ("state", {"N": "1"}),
        ("revision", None),
        ("revision", {"S": "1"}),
        ("revision", {"N": "-1"}),
        ("revision", {"N": "1.5"}),
        ("attempts", {"S": "many"}),
        ("owner", {"N": "7"}),
        ("lease_until", None),
        ("lease_until", {"S": "soon"}),
        ("remote_path", {"L": []}),
        ("reason", {"N": "1"}),
        ("hint", {"N": "1"}),
        ("commit", {"S": "sent"}),
        ("commit", {"M": {"temporary": {"S": "t"}}}),
        ("checkpoint", {"S": "here"}),
        ("checkpoint", {"M": {}}),
        ("checkpoint", {"M": {"temporary": {"S": "t"}, "offset": {"S": "5"}}}),
    ],
)
def test_corrupt_version_item_is_named_and_not_changed(
    env: LedgerEnvironment, name: str, value: dict[str, Any] | None
) -> None:
    env.lease(NEW)
    env.write(NEW, name, value)
    before = env.item(NEW)
    with pytest.raises(LedgerError, match=r"object#bucket/in/a.csv / key") as raised:
        env.lease(NEW)
    assert name in raised.value.reason
    assert raised.value.disposition is Disposition.PERMANENT
    assert env.item(NEW) == before


NAME: dict[str, Any] = {
    "version": {"S": "v"}, "sequencer": {"S": ""}, "server": {"S": ""}, "kind": {"S": "temporary"},
    "rename_pending": {"BOOL": False}, "since": {"N": "1"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("revision", None),
        ("lease_until", None),
        ("version", {"N": "1"}),
        ("committed", {"N": "1"}),
        ("temporaries", None),
        ("temporaries", {"S": "t"}),
        ("temporaries", {"M": {"t": {"S": "whose"}}}),
        ("temporaries", {"M": {"t": {"M": {"version": {"S": "v"}}}}}),
        ("temporaries", {"M": {"t": {"M": {**NAME, "kind": {"S": "directory"}}}}}),
        ("temporaries", {"M": {"t": {"M": {**NAME, "rename_pending": {"S": "no"}}}}}),
    ],
)
def test_corrupt_key_item_is_named_and_not_changed(
    env: LedgerEnvironment, name: str, value: dict[str, Any] | None
) -> None:
    env.lease(NEW)
    env.write(NEW, name, value, sk=KEY)
    before = env.key_item(NEW)
    with pytest.raises(LedgerError, match=r"object#bucket/in/a.csv / key") as raised:
        env.lease(OLD)
    assert name in raised.value.reason
    assert raised.value.disposition is Disposition.PERMANENT
    assert env.key_item(NEW) == before


def test_name_that_stands_for_one_in_a_commit_that_is_gone_is_corrupt(env: LedgerEnvironment) -> None:
    env.lease(OLD)
    env.write(OLD, "temporaries", {"M": {".": {"M": {"since": {"N": "1"}}}}}, sk=KEY)
    with pytest.raises(LedgerError, match="'commit' should be a map"):
        env.lease(NEW)


@pytest.mark.parametrize("state", ["STAGED", "COMMITTING"])
def test_staged_item_without_a_commit_is_corrupt(env: LedgerEnvironment, state: str) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    ledger.stage(lease, commit_of(lease, rename_unanswered=state == "COMMITTING"), reason="r")
    assert env.state(NEW) == state
    env.write(NEW, "commit", None)
    with pytest.raises(LedgerError, match="'commit' should be a map, is None"):
        env.lease(NEW)


@pytest.mark.parametrize("field", ["temporary", "size", "host", "port", "user", "host_key"])
def test_commit_with_a_missing_field_is_corrupt(env: LedgerEnvironment, field: str) -> None:
    ledger = env.function()
    lease = env.lease(NEW, ledger)
    ledger.commit(lease, commit_of(lease))
    commit = dict(env.item(NEW)["commit"]["M"])
    del commit[field]
    env.write(NEW, "commit", {"M": commit})
    with pytest.raises(LedgerError, match=f"commit is corrupt: '{field}'"):
        env.lease(NEW)


def test_deleted_items_start_the_version_from_the_beginning(env: LedgerEnvironment) -> None:
    lease = env.lease(NEW)
    for sk in ("version#v0B", KEY):
        env.delete(NEW, sk)
    with pytest.raises(LedgerError, match="lost"):
        env.function().commit(lease, commit_of(lease))
    assert env.lease(NEW).attempt == 1


# Without a ledger


def test_no_ledger_always_leases_and_keeps_nothing() -> None:
    ledger: Ledger = NoLedger()
    for _ in range(2):
        lease = ledger.acquire(NEW, owner="f", remote_path="p", temporary="t", until=1.0)
        assert (lease.temporary, lease.attempt, lease.has_history) == ("t", 1, False)
        ledger.commit(lease, commit_of(lease))
        ledger.note_names(lease)
        ledger.stage(lease, commit_of(lease), reason="r")
        ledger.delivered(lease, {})
        ledger.release(lease, reason="r")
        ledger.record_outcome(NEW, state="FAILED", reason="r", hint="h", lease=lease)
    assert ledger.start_over(lease, temporary="u").temporary == "u"


def test_no_ledger_refuses_a_checkpoint() -> None:
    ledger = NoLedger()
    lease = ledger.acquire(NEW, owner="f", remote_path="p", temporary="t", until=1.0)
    with pytest.raises(LedgerError, match="takes longer than one invocation") as raised:
        ledger.checkpoint(lease, checkpoint_of(lease))
    assert raised.value.disposition is Disposition.PERMANENT


def test_ledger_does_not_import_boto3() -> None:
    code = "import sys, s3_to_sftp.state.dynamodb_ledger; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
