"""One object, from the lease to the receipt: sent once, over several invocations if necessary."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from typing import Any

import pytest

from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import SmallDelivery
from s3_to_sftp.errors import (
    ConnectionLost,
    Disposition,
    LedgerError,
    NoProgress,
    ObjectChanged,
    ObjectCorrupt,
    ObjectGone,
    ObjectReadInterrupted,
    OutcomeUnknown,
    PartnerUnreachable,
    RemotePathRefused,
    RequestRefused,
    ResumeNotSupported,
)
from s3_to_sftp.outcomes import (
    AlreadyDelivered,
    AlreadyGone,
    CheckpointSaved,
    DeadlineTooClose,
    FolderMarker,
    LeaseHeld,
    Superseded,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp import stream_count
from s3_to_sftp.sftp.protocol import Request, Status
from s3_to_sftp.sftp.temporary_names import another_name, probe_name
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.sftp.upload_request import TransferTuning
from s3_to_sftp.state.items import KEY
from s3_to_sftp.state.receipt import Evidence, Receipt
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.delivery_environment import PLENTY, DeliveryEnvironment, crc_of, is_rename, vague
from tests.support.ledger_environment import SERVER, commit_of
from tests.support.odd_servers import IgnoresOffsets
from tests.support.scripted_server import Asked, File, refusing, silent_at, status
from tests.support.sftp_environment import CHANNEL, wait_for_streams

BLOCK = 16 * 1024
DATA = random.Random(1).randbytes(30 * 8 * BLOCK + 777)
"""More than a session sends in thirty windows."""


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    return DeliveryEnvironment(ledger_table, {"a": b"news"})


def deliver_in_several_invocations(
    harness: DeliveryEnvironment, ref: ObjectRef, *, budget: int, most: int = 100, **about: Any
) -> tuple[Receipt, int]:
    """Deliver with a new function for each invocation of `budget` bytes; return the number of invocations."""
    for number in range(1, most + 1):
        function = harness.function(f"f{number}", **about)
        try:
            receipt = function.deliver(ref, harness.invocation(budget=budget))
        except CheckpointSaved:
            wait_for_streams()
            function.sftp.close()
        else:
            wait_for_streams()
            return receipt, number
    raise AssertionError(f"not delivered in {most} invocations")


# --- in one invocation ---


def test_ledger_stores_the_receipt_of_a_delivery(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    clock = iter([100.0, 107.5]).__next__
    receipt = harness.deliver(ref, name="request-7", clock=clock)
    assert harness.whole == {"inbox/a": b"news"}
    assert receipt == Receipt(
        ref=ref,
        remote_path="inbox/a",
        size=4,
        seconds=7.5,
        checksum_algorithm="CRC64NVME",
        checksum=crc_of(b"news"),
        streams=1,
        host_key_fingerprint="SHA256:abc",
    )
    assert harness.state(ref) == "DELIVERED"
    assert harness.item(ref)["receipt"]["M"] == {
        "remote_path": {"S": "inbox/a"},
        "bytes": {"N": "4"},
        "seconds": {"N": "7.5"},
        "checksum_algorithm": {"S": "CRC64NVME"},
        "checksum": {"S": crc_of(b"news")},
        "verified_by": {"S": "none"},
        "evidence": {"S": "rename_ok"},
        "streams": {"N": "1"},
        "host_key": {"S": "SHA256:abc"},
        "attempt": {"N": "1"},
        "recovered": {"BOOL": False},
        "request_id": {"S": "request-7"},
    }
    assert not harness.has_lease(ref)
    assert harness.temporaries(ref) == set()


def test_lease_names_the_invocation_and_lasts_until_its_end(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    deadline = harness.deadline()
    lease = harness.function().read_small(ref, Invocation(deadline, "request-7"))
    assert isinstance(lease, SmallDelivery)
    lease = lease.attempt.lease
    assert (lease.owner, lease.until) == ("request-7", deadline.ends_at)
    assert harness.item(ref)["owner"] == {"S": "request-7"}


def test_duplicate_event_opens_no_connection(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.deliver(ref)
    requests = len(harness.s3.requests) + len(harness.s3.heads)
    with pytest.raises(AlreadyDelivered):
        harness.deliver(ref)
    assert harness.env.tried[0] == 1
    assert len(harness.s3.requests) + len(harness.s3.heads) == requests


def test_older_version_does_not_replace_a_newer_one(harness: DeliveryEnvironment) -> None:
    old, new = harness.ref(sequencer="0A"), harness.ref(sequencer="0B")
    harness.deliver(new)
    with pytest.raises(Superseded):
        harness.deliver(old)
    assert harness.state(old) == "SUPERSEDED"
    assert harness.env.tried[0] == len(harness.s3.heads) == 1


def test_key_leased_by_another_function_is_deferred(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.function("other").read_small(ref, harness.invocation())
    with pytest.raises(LeaseHeld) as raised:
        harness.deliver(ref)
    assert 0 < raised.value.retry_after <= PLENTY + 10
    assert harness.env.made == []


def test_without_a_ledger_the_same_event_is_delivered_again(harness: DeliveryEnvironment) -> None:
    function = harness.function(has_ledger=False)
    for _ in range(2):
        function.deliver(harness.ref(), harness.invocation())
    assert len(harness.paths(Request.OPEN)) == 2


# --- deleted and overwritten objects ---


def test_deleted_object_is_recorded_as_gone(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.s3.objects.clear()
    for _ in range(2):
        with pytest.raises(AlreadyGone):
            harness.deliver(ref)
    assert harness.state(ref) == "GONE"
    assert not harness.has_lease(ref)
    assert harness.env.made == []
    assert len(harness.s3.heads) == 1


def test_overwritten_object_is_recorded_as_superseded(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.s3.objects["a"] = b"newer"
    with pytest.raises(Superseded):
        harness.deliver(ref)
    assert harness.state(ref) == "SUPERSEDED"
    assert not harness.has_lease(ref)
    assert harness.env.made == []


@pytest.mark.parametrize(("objects", "error"), [({}, ObjectGone), ({"a": b"newer"}, ObjectChanged)])
def test_without_a_ledger_a_missing_object_is_an_error(
    objects: dict[str, bytes], error: type[Exception], harness: DeliveryEnvironment
) -> None:
    ref = harness.ref()
    harness.s3.objects = objects
    with pytest.raises(error):
        harness.deliver(ref, has_ledger=False)


@pytest.mark.parametrize("overwritten", [True, False])
def test_object_deleted_between_two_invocations_leaves_no_file_at_the_partner(
    overwritten: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    harness.env.max_write = BLOCK
    harness.s3.objects["a"] = DATA
    ref = harness.ref()
    with pytest.raises(CheckpointSaved):
        harness.deliver(ref, deadline=harness.deadline(budget=len(DATA) // 2))
    assert len(harness.partial) == 1
    if overwritten:
        harness.s3.objects["a"] = b"newer"
    else:
        harness.s3.objects.clear()
    with pytest.raises(Superseded if overwritten else AlreadyGone):
        harness.deliver(ref)
    assert harness.env.files == {}


def test_newer_version_is_delivered_after_an_overwrite_between_two_invocations(
    harness: DeliveryEnvironment,
) -> None:
    harness.env.max_write = BLOCK
    harness.s3.objects["a"] = DATA
    old = harness.ref(sequencer="0A")
    with pytest.raises(CheckpointSaved):
        harness.deliver(old, deadline=harness.deadline(budget=len(DATA) // 2))
    harness.s3.objects["a"] = DATA[::-1]
    with pytest.raises(Superseded):
        harness.deliver(old)
    harness.deliver(harness.ref(sequencer="0B"))
    assert harness.env.files == {"inbox/a": DATA[::-1]}


# --- failures ---


@pytest.mark.parametrize(
    ("script", "error"),
    [(silent_at(Request.WRITE), ConnectionLost), (refusing(Request.OPEN), RequestRefused)],
)
def test_failed_delivery_releases_its_lease_and_records_the_reason(
    script: Any, error: type[Exception], harness: DeliveryEnvironment
) -> None:
    ref = harness.ref()
    harness.env.scripts[0] = script
    with pytest.raises(error) as raised:
        harness.deliver(ref)
    assert harness.state(ref) == "SENDING"
    assert not harness.has_lease(ref)
    assert harness.item(ref)["reason"]["S"] in str(raised.value)
    del harness.env.scripts[0]
    assert harness.deliver(ref).attempt == 2


def test_unexpected_error_releases_the_lease(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("surprise")

    ref = harness.ref()
    monkeypatch.setattr("s3_to_sftp.delivery.resumable_upload.ObjectReader", broken)
    with pytest.raises(ZeroDivisionError):
        harness.deliver(ref)
    assert not harness.has_lease(ref)
    assert harness.item(ref)["reason"] == {"S": "ZeroDivisionError: surprise"}


def test_failed_release_of_the_lease_does_not_hide_the_error(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise LedgerError("busy.", hint="")

    ledger = harness.ledger.function()
    monkeypatch.setattr(ledger, "release", busy)
    harness.env.scripts[0] = refusing(Request.WRITE)
    with pytest.raises(RequestRefused):
        harness.deliver(harness.ref(), ledger=ledger)


def test_failed_commit_prevents_the_rename(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise LedgerError("busy.", hint="")

    ledger, ref = harness.ledger.function(), harness.ref()
    monkeypatch.setattr(ledger, "commit", busy)
    with pytest.raises(LedgerError):
        harness.deliver(ref, ledger=ledger)
    assert harness.whole == {}
    assert not any(is_rename(asked) for made in harness.env.made for asked in made.server.asked)
    harness.deliver(ref)
    assert harness.env.files == {"inbox/a": b"news"}


def test_leftovers_of_a_dead_attempt_are_removed_before_the_next_upload(
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    left = harness.dies_after(ref)
    there_at_open: list[bool] = []

    def watch(asked: Asked) -> None:
        if asked.kind == Request.OPEN:
            there_at_open.append(left in harness.env.files)

    harness.env.scripts[0] = watch
    receipt = harness.deliver(ref)
    assert there_at_open == [False]
    assert harness.env.files == {"inbox/a": b"news"}
    assert receipt.attempt == 2
    assert harness.temporaries(ref) == set()


def test_leftovers_of_an_older_version_are_removed_after_the_rename(harness: DeliveryEnvironment) -> None:
    old = harness.ref(sequencer="0A")
    left = harness.dies_after(old)
    there_at_rename: list[bool] = []

    def watch(asked: Asked) -> None:
        if is_rename(asked):
            there_at_rename.append(left in harness.env.files)

    harness.env.scripts[0] = watch
    harness.deliver(harness.ref(sequencer="0B"))
    assert there_at_rename == [True]
    assert harness.env.files == {"inbox/a": b"news"}
    assert harness.temporaries(old) == set()


def test_delivery_succeeds_although_leftovers_cannot_be_removed(harness: DeliveryEnvironment) -> None:
    harness.dies_after(harness.ref(sequencer="0A"))
    ref = harness.ref(sequencer="0B")
    harness.env.scripts[0] = silent_at(Request.REMOVE)
    harness.deliver(ref)
    assert harness.state(ref) == "DELIVERED"


@pytest.mark.parametrize("has_ledger", [True, False])
def test_partial_file_of_a_lost_connection_is_removed_over_the_next_one(
    has_ledger: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    harness.s3.objects["before"] = b"x"
    function = harness.function(has_ledger=has_ledger)
    function.deliver(harness.ref("before"), harness.invocation())
    harness.env.connection(0).server.forget()
    harness.env.connection(0).server.script = silent_at(Request.WRITE)
    function.deliver(harness.ref(), harness.invocation())
    assert harness.env.files == {"inbox/before": b"x", "inbox/a": b"news"}
    assert harness.env.tried[0] == 2


def test_connection_lost_after_a_reply_is_not_replaced(
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    harness.dies_after(ref)
    harness.env.scripts[0] = silent_at(Request.WRITE)
    with pytest.raises(ConnectionLost):
        harness.deliver(ref)
    assert harness.env.tried[0] == 1


def test_corrupt_object_gets_no_final_name_and_is_read_again_by_the_next_attempt(
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    fields = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": crc_of(b"news")}
    harness.s3.checksums["a"] = fields
    harness.s3.wire["a"] = b"news"[::-1]
    with pytest.raises(ObjectCorrupt):
        harness.deliver(ref)
    assert harness.env.files == {}
    del harness.s3.wire["a"]
    harness.deliver(ref)
    assert harness.env.files == {"inbox/a": b"news"}


# --- connections lost during the rename ---


def lose_connection_at_rename(harness: DeliveryEnvironment, ref: ObjectRef, *, done: bool) -> None:
    """Lose a reused connection during the rename."""
    harness.s3.objects["before"] = b"x"
    function = harness.function()
    function.deliver(harness.ref("before"), harness.invocation())
    harness.env.connection(0).server.script = harness.cut_at_rename(done=done)
    with pytest.raises(ConnectionLost):
        function.deliver(ref, harness.invocation())
    assert harness.state(ref) == "COMMITTING"
    assert not harness.has_lease(ref)
    assert ("inbox/a" in harness.whole) is done


@pytest.mark.parametrize("done", [True, False])
def test_connection_lost_during_the_rename_causes_no_second_upload(
    done: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    lose_connection_at_rename(harness, harness.ref(), done=done)
    assert harness.env.tried[0] == 1
    assert len(harness.paths(Request.OPEN)) == 2


@pytest.mark.parametrize("done", [True, False])
def test_next_attempt_recovers_an_unanswered_rename_without_a_second_upload(
    done: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=done)
    sent = harness.written
    receipt = harness.deliver(ref, name="second")
    assert harness.written == sent
    assert harness.whole["inbox/a"] == b"news"
    assert harness.partial == []
    assert harness.state(ref) == "DELIVERED"
    assert (receipt.recovered, receipt.attempt, receipt.size) == (True, 2, 4)
    assert harness.item(ref)["receipt"]["M"]["recovered"] == {"BOOL": True}


def test_other_file_of_equal_size_and_time_is_not_taken_for_one_that_was_truncated_before_its_rename(
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=False)
    (temporary,) = harness.partial
    file = harness.env.files[temporary]
    assert isinstance(file, File)
    harness.env.files["inbox/a"] = File(b"past", modified=file.modified)
    del file[2:]
    receipt = harness.deliver(ref, name="second")
    assert harness.whole["inbox/a"] == b"news"
    assert not receipt.recovered
    assert harness.partial == []


def test_missing_file_after_an_unanswered_rename_has_an_unknown_outcome(
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=True)
    del harness.env.files["inbox/a"]
    sent = harness.written
    with pytest.raises(OutcomeUnknown) as raised:
        harness.deliver(ref)
    assert (harness.written, "inbox/a" in harness.env.files) == (sent, False)
    assert harness.state(ref) == "COMMITTING"
    assert not harness.has_lease(ref)
    assert "'inbox/a' with 4 bytes" in raised.value.hint
    harness.function().give_up(ref, raised.value)
    assert harness.state(ref) == "UNKNOWN"


@pytest.mark.parametrize(
    ("policy", "sends", "evidence"),
    [
        (UnknownOutcome.RESEND, True, Evidence.RENAME_OK),
        (UnknownOutcome.ASSUME_DELIVERED, False, Evidence.ASSUMED),
    ],
)
def test_policy_decides_about_a_missing_file_after_an_unanswered_rename(
    policy: UnknownOutcome,
    sends: bool,  # noqa: FBT001 - a parameter
    evidence: Evidence,
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=True)
    del harness.env.files["inbox/a"]
    receipt = harness.deliver(ref, unknown_outcome=policy)
    assert (receipt.evidence, "inbox/a" in harness.env.files) == (evidence, sends)
    assert harness.state(ref) == "DELIVERED"
    assert harness.item(ref)["receipt"]["M"]["evidence"] == {"S": evidence.value}
    assert harness.temporaries(ref) == set()


@pytest.mark.parametrize("done", [True, False])
def test_unanswered_rename_is_recovered_at_a_server_with_vague_status_codes(
    done: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=done)
    harness.env.scripts[0] = lambda asked: vague(asked, harness.env)
    harness.deliver(ref)
    assert harness.whole["inbox/a"] == b"news"
    assert harness.state(ref) == "DELIVERED"


@pytest.mark.parametrize("done", [True, False])
def test_invisible_file_is_not_renamed_after_an_unanswered_rename(
    done: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    # It may have been truncated meanwhile, which cannot be detected.
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=done)
    harness.env.scripts[0] = refusing(Request.LSTAT, Status.PERMISSION_DENIED)
    with pytest.raises(OutcomeUnknown):
        harness.deliver(ref)
    assert harness.state(ref) == "COMMITTING"
    assert ("inbox/a" in harness.whole) is done


def test_refused_rename_keeps_the_state_staged(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.env.scripts[0] = lambda asked: (
        status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None
    )
    with pytest.raises(RequestRefused):
        harness.deliver(ref)
    assert harness.state(ref) == "STAGED"
    assert harness.item(ref)["commit"]["M"]["rename_unanswered"] == {"BOOL": False}


def test_file_of_a_refused_rename_is_kept_and_published_later_without_sending_it_again(
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    harness.env.scripts[0] = lambda asked: (
        status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None
    )
    with pytest.raises(RequestRefused):
        harness.deliver(ref)
    sent = harness.written
    assert len(harness.partial) == 1
    del harness.env.scripts[0]
    assert harness.deliver(ref).recovered
    assert (harness.written, harness.whole) == (sent, {"inbox/a": harness.s3.objects["a"]})


def test_refused_rename_does_not_resolve_an_earlier_unanswered_one(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=False)
    harness.env.scripts[0] = lambda asked: (
        status(asked, Status.PERMISSION_DENIED) if is_rename(asked) else None
    )
    with pytest.raises(RequestRefused):
        harness.deliver(ref)
    assert harness.state(ref) == "COMMITTING"


def test_drop_box_with_vague_status_codes_gets_no_file_twice(
    harness: DeliveryEnvironment,
) -> None:
    def denies_stat(asked: Asked) -> bytes | None:
        if asked.kind in {Request.STAT, Request.LSTAT}:
            return status(asked, Status.PERMISSION_DENIED)
        return vague(asked, harness.env)

    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=True)
    sent = harness.written
    harness.env.scripts[0] = denies_stat
    with pytest.raises(OutcomeUnknown):
        harness.deliver(ref)
    assert (harness.written, harness.state(ref)) == (sent, "COMMITTING")
    assert not harness.has_lease(ref)


@pytest.mark.parametrize("done", [True, False])
def test_unanswered_rename_is_recovered_at_a_server_without_posix_rename(
    done: bool,  # noqa: FBT001 - a parameter
    harness: DeliveryEnvironment,
) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=done)
    harness.env.extensions = {}
    if not done:
        harness.env.files["inbox/a"] = bytearray(b"an older version")
    harness.deliver(ref)
    assert harness.whole["inbox/a"] == b"news"
    assert harness.state(ref) == "DELIVERED"
    assert harness.paths(Request.RENAME) == [] or not done


def test_delivery_of_a_deleted_object_is_recovered(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    lose_connection_at_rename(harness, ref, done=False)
    harness.s3.objects.clear()
    receipt = harness.deliver(ref)
    assert harness.whole["inbox/a"] == b"news"
    assert (receipt.size, receipt.checksum) == (4, crc_of(b"news"))


def test_next_attempt_writes_a_receipt_that_could_not_be_written(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise LedgerError("busy.", hint="")

    ledger, ref = harness.ledger.function(), harness.ref()
    monkeypatch.setattr(ledger, "delivered", busy)
    with pytest.raises(LedgerError):
        harness.deliver(ref, ledger=ledger)
    sent = harness.written
    assert harness.deliver(ref).recovered
    assert (harness.written, harness.state(ref)) == (sent, "DELIVERED")


def test_recovery_removes_leftovers_of_attempts_before_the_commit(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    left = harness.dies_after(ref)
    harness.env.scripts[0] = lambda asked: (
        status(asked, Status.PERMISSION_DENIED)
        if asked.kind == Request.REMOVE
        else harness.cut_at_rename(done=False)(asked)
    )
    with pytest.raises(ConnectionLost):
        harness.deliver(ref)
    assert left in harness.env.files
    del harness.env.scripts[0]
    harness.deliver(ref)
    assert harness.env.files == {"inbox/a": b"news"}
    assert harness.temporaries(ref) == set()


# --- over several invocations ---


@pytest.fixture
def long_harness(harness: DeliveryEnvironment) -> DeliveryEnvironment:
    """Return an environment with an object that takes many invocations of a few blocks each."""
    harness.env.max_write = BLOCK
    harness.s3.objects["a"] = DATA
    return harness


def test_object_sent_in_25_invocations_arrives_identical(long_harness: DeliveryEnvironment) -> None:
    ref = long_harness.ref()
    receipt, invocations = deliver_in_several_invocations(long_harness, ref, budget=1)
    assert invocations >= 25
    assert long_harness.env.files == {"inbox/a": DATA}
    assert (receipt.checksum, receipt.size, receipt.attempt) == (crc_of(DATA), len(DATA), invocations)
    assert long_harness.state(ref) == "DELIVERED"
    assert long_harness.temporaries(ref) == set()


def test_object_sent_in_parallel_streams_over_many_invocations_arrives_identical(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.env.tuning = TransferTuning(
        min_bytes_per_stream=1,
        segment_bytes=8 * BLOCK,
        last_segment_bytes=4 * BLOCK,
        aim_bytes_per_second=4 * stream_count.WINDOW_BYTES / 0.1,
    )
    ref = long_harness.ref()
    checksums = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": crc_of(DATA)}
    long_harness.s3.checksums["a"] = checksums
    receipt, invocations = deliver_in_several_invocations(
        long_harness, ref, budget=6 * BLOCK, max_connections=4
    )
    assert invocations > 5
    assert long_harness.env.tried[1]
    assert long_harness.whole == {"inbox/a": DATA}
    assert receipt.checksum == crc_of(DATA)
    assert long_harness.partial == []


def test_checkpoint_holds_the_acknowledged_offset(long_harness: DeliveryEnvironment) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=8 * BLOCK))
    checkpoint = long_harness.item(ref)["checkpoint"]["M"]
    offset = int(checkpoint["offset"]["N"])
    assert 0 < offset <= 8 * BLOCK
    (name,) = long_harness.partial
    assert checkpoint["temporary"] == {"S": name}
    assert bytes(long_harness.env.files[name][:offset]) == DATA[:offset]
    assert not long_harness.has_lease(ref)
    assert long_harness.state(ref) == "SENDING"


def test_next_invocation_sends_only_the_missing_bytes(long_harness: DeliveryEnvironment) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    offset = int(long_harness.item(ref)["checkpoint"]["M"]["offset"]["N"])
    before = long_harness.written
    long_harness.deliver(ref)
    assert long_harness.written - before == len(DATA) - offset
    assert long_harness.whole == {"inbox/a": DATA}


def test_without_a_ledger_the_object_is_sent_in_one_invocation(long_harness: DeliveryEnvironment) -> None:
    deadline = long_harness.deadline(budget=8 * BLOCK)
    long_harness.deliver(long_harness.ref(), deadline=deadline, has_ledger=False)
    assert long_harness.whole == {"inbox/a": DATA}


@pytest.mark.parametrize("shorter", [True, False])
def test_object_restarts_under_another_name_when_checkpointed_bytes_are_lost(
    shorter: bool,  # noqa: FBT001 - a parameter
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    (old,) = long_harness.partial
    if shorter:
        del long_harness.env.files[old][-1 - len(DATA) // 4 :]
    else:
        del long_harness.env.files[old]
    long_harness.deliver(ref)
    new = [path for (path,) in long_harness.paths(Request.OPEN)][-1]
    assert new != old
    assert long_harness.env.files == {"inbox/a": DATA}
    assert long_harness.temporaries(ref) == set()


def test_object_restarts_when_the_checkpoint_has_another_checksum_algorithm(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    long_harness.ledger.write(
        ref,
        "checkpoint",
        {"M": {**long_harness.item(ref)["checkpoint"]["M"], "algorithm": {"S": "CRC32C"}}},
    )
    (old,) = long_harness.partial
    receipt = long_harness.deliver(ref)
    assert [path for (path,) in long_harness.paths(Request.OPEN)][-1] != old
    assert long_harness.env.files == {"inbox/a": DATA}
    assert receipt.checksum == crc_of(DATA)


def test_corruption_in_an_earlier_invocation_is_detected_and_the_object_restarts(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    fields = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": crc_of(DATA)}
    long_harness.s3.checksums["a"] = fields
    long_harness.s3.wire["a"] = bytes(len(DATA))
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    (old,) = long_harness.partial
    del long_harness.s3.wire["a"]
    with pytest.raises(ObjectCorrupt) as raised:
        long_harness.deliver(ref)
    assert raised.value.disposition is Disposition.PERMANENT, "it would repeat indefinitely otherwise"
    assert long_harness.whole == {}
    assert "checkpoint" not in long_harness.item(ref)
    long_harness.deliver(ref)
    assert long_harness.env.files == {"inbox/a": DATA}
    assert old not in long_harness.env.files


def test_upload_resumes_under_the_second_temporary_name(long_harness: DeliveryEnvironment) -> None:
    """Where streams were refused, the checkpoint names the second temporary name of an attempt."""
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    (first,) = long_harness.partial
    second = another_name(first)
    long_harness.env.files[second] = long_harness.env.files.pop(first)
    checkpoint = {**long_harness.item(ref)["checkpoint"]["M"], "temporary": {"S": second}}
    long_harness.ledger.write(ref, "checkpoint", {"M": checkpoint})
    before = long_harness.written
    long_harness.deliver(ref)
    assert long_harness.written - before < 0.6 * len(DATA)
    assert long_harness.env.files == {"inbox/a": DATA}
    assert long_harness.temporaries(ref) == set()


def test_lost_reused_connection_is_replaced_and_the_checkpoint_kept(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    function = long_harness.function()
    with pytest.raises(CheckpointSaved):
        function.deliver(ref, long_harness.invocation(budget=len(DATA) // 2))
    offset = int(long_harness.item(ref)["checkpoint"]["M"]["offset"]["N"])
    long_harness.env.connection(0).server.forget()
    long_harness.env.connection(0).server.script = silent_at(Request.WRITE, number=3)
    function.deliver(ref, long_harness.invocation())
    assert long_harness.env.tried[0] == 2
    of_object = [size for size in long_harness.env.connection(0).server.sizes if size > 2]
    assert sum(of_object) == len(DATA) - offset
    assert long_harness.whole == {"inbox/a": DATA}


# --- no progress ---


def deadline_after_open(harness: DeliveryEnvironment) -> Deadline:
    """Return the deadline of an invocation whose time ends as soon as the file is open."""

    def is_open() -> bool:
        return bool(harness.env.made) and any(
            asked.kind == Request.OPEN for asked in harness.env.connection(0).server.asked
        )

    harness.env.made.clear()
    return harness.deadline(is_over=is_open)


def test_two_consecutive_invocations_without_progress_raise_no_progress(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=deadline_after_open(long_harness))
    with pytest.raises(NoProgress, match="no further: 0 of"):
        long_harness.deliver(ref, deadline=deadline_after_open(long_harness))
    assert not long_harness.has_lease(ref)


def test_two_consecutive_invocations_without_progress_after_a_checkpoint_raise_no_progress(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=deadline_after_open(long_harness))
    with pytest.raises(NoProgress):
        long_harness.deliver(ref, deadline=deadline_after_open(long_harness))


def test_progress_resets_the_count_of_stalled_invocations(long_harness: DeliveryEnvironment) -> None:
    ref = long_harness.ref()
    for _ in range(3):
        with pytest.raises(CheckpointSaved):
            long_harness.deliver(ref, deadline=deadline_after_open(long_harness))
        with pytest.raises(CheckpointSaved):
            long_harness.deliver(ref, deadline=long_harness.deadline(budget=8 * BLOCK))
    long_harness.deliver(ref)
    assert long_harness.whole == {"inbox/a": DATA}


def test_files_removed_by_the_partner_between_invocations_raise_no_progress(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    for _ in range(2):
        with pytest.raises(CheckpointSaved):
            long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
        long_harness.env.files.clear()
    with pytest.raises(NoProgress, match="removes files before they are complete"):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))


def test_single_stream_is_used_after_parallel_streams_stalled(long_harness: DeliveryEnvironment) -> None:
    long_harness.env.tuning = TransferTuning(min_bytes_per_stream=1)
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=deadline_after_open(long_harness), max_connections=4)
    wait_for_streams()
    assert long_harness.env.tried[1]
    long_harness.env.tried.clear()
    long_harness.deliver(ref, max_connections=4)
    assert long_harness.env.tried == {0: 1}
    assert long_harness.whole == {"inbox/a": DATA}


# --- servers that do not support resume ---


def deadline_in(harness: DeliveryEnvironment, seconds: float, *, budget: int | None = None) -> Deadline:
    """Return the deadline of an invocation with this many seconds, and bytes, for sending."""
    return harness.deadline(left=seconds / 0.75, budget=budget)


def refuse_second_open(asked: Asked) -> bytes | None:
    is_existing = asked.kind == Request.OPEN and not asked.payload[-5] & 0x08
    return status(asked, Status.PERMISSION_DENIED) if is_existing else None


def test_object_that_cannot_be_resumed_is_refused_before_its_first_byte(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.env.scripts = dict.fromkeys((0, CHANNEL), refuse_second_open)
    ref = long_harness.ref()
    with pytest.raises(ResumeNotSupported, match="longer than one invocation") as raised:
        long_harness.deliver(ref, deadline=deadline_in(long_harness, 0.02))
    assert "refused to open" in raised.value.reason
    assert "said the partner" in raised.value.reason, "the partner's own words"
    assert "ask the partner" in raised.value.hint
    assert raised.value.disposition is Disposition.RETRY, "a refusal may pass"
    assert long_harness.written <= 2
    assert long_harness.env.files == {}
    assert not long_harness.has_lease(ref)


def test_server_that_ignores_write_offsets_makes_the_refusal_permanent(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.env.kind = IgnoresOffsets
    with pytest.raises(ResumeNotSupported, match="does not keep what is resumed") as raised:
        long_harness.deliver(long_harness.ref(), deadline=deadline_in(long_harness, 0.02))
    assert raised.value.disposition is Disposition.PERMANENT
    assert long_harness.env.files == {}


def test_object_is_resumed_after_the_server_stops_refusing(long_harness: DeliveryEnvironment) -> None:
    long_harness.env.scripts = dict.fromkeys((0, CHANNEL), refuse_second_open)
    ref = long_harness.ref()
    with pytest.raises(ResumeNotSupported):
        long_harness.deliver(ref, deadline=deadline_in(long_harness, 0.02))
    long_harness.env.scripts = {}
    receipt, invocations = deliver_in_several_invocations(long_harness, ref, budget=len(DATA) // 2)
    assert invocations > 1
    assert receipt.size == len(DATA)
    assert long_harness.env.files == {"inbox/a": DATA}


def test_resume_probe_file_stays_in_the_ledger_until_it_is_removed(
    long_harness: DeliveryEnvironment,
) -> None:
    """The server accepts no more connections during the probe."""

    def refuse_the_second() -> None:
        if long_harness.env.tried[0] > 1:
            raise PartnerUnreachable("no connection", hint="later")

    long_harness.env.before_connect = {0: refuse_the_second, CHANNEL: refuse_connection}
    ref = long_harness.ref()
    with pytest.raises(PartnerUnreachable):
        long_harness.deliver(ref, deadline=deadline_in(long_harness, 0.02))
    assert [name.endswith("-resume.part") for name in long_harness.partial] == [True]
    assert len(long_harness.temporaries(ref)) == 1
    long_harness.env.before_connect = {}
    long_harness.deliver(ref)
    assert long_harness.env.files == {"inbox/a": DATA}
    assert long_harness.temporaries(ref) == set()


def refuse_connection() -> None:
    raise ConnectionLost("no channel", hint="later")


def test_file_of_an_interrupted_probe_is_removed_before_the_delivery_ends(
    long_harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further stream was cancelled while it wrote; the file that it may have left is removed by name."""
    function = long_harness.function()
    send = function.sftp.upload

    def leaving_the_probe(*args: Any, **more: Any) -> Staged:
        sent = send(*args, **more)
        long_harness.env.files[probe_name(sent.temporary)] = bytearray(b"ab")
        return dataclasses.replace(sent, probe_may_stand=True)

    monkeypatch.setattr(function.sftp, "upload", leaving_the_probe)
    ref = long_harness.ref()
    function.deliver(ref, long_harness.invocation())
    assert long_harness.env.files == {"inbox/a": DATA}
    assert long_harness.temporaries(ref) == set()


def test_object_that_fits_one_invocation_is_sent_to_a_server_without_resume(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.env.scripts = dict.fromkeys((0, CHANNEL), refuse_second_open)
    long_harness.deliver(long_harness.ref(), deadline=deadline_in(long_harness, 0.1))
    assert long_harness.env.files == {"inbox/a": DATA}


def test_object_that_exceeds_one_invocation_raises_resume_not_supported(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.env.kind = IgnoresOffsets
    ref = long_harness.ref()
    deadline = deadline_in(long_harness, 0.1, budget=8 * BLOCK + 1)
    with pytest.raises(ResumeNotSupported):
        long_harness.deliver(ref, deadline=deadline)
    assert "checkpoint" not in long_harness.item(ref)


def test_no_checkpoint_is_written_at_a_server_without_resume(
    long_harness: DeliveryEnvironment,
) -> None:
    """There seemed to be enough time, so the server was not probed before the first byte."""
    long_harness.env.kind = IgnoresOffsets
    ref = long_harness.ref()
    with pytest.raises(ResumeNotSupported):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    assert "checkpoint" not in long_harness.item(ref)
    assert long_harness.whole == {}


def test_object_in_a_missing_directory_can_be_resumed(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.env.disk.directories.discard("inbox")
    ref = long_harness.ref()
    deadline = deadline_in(long_harness, 0.02, budget=8 * BLOCK + 1)
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=deadline)


def test_resume_is_not_probed_for_an_object_that_fits_one_invocation(
    long_harness: DeliveryEnvironment,
) -> None:
    long_harness.deliver(long_harness.ref())
    assert len(long_harness.paths(Request.OPEN)) == 1


# --- the deadline ---


def test_object_is_not_started_when_the_deadline_is_near(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    with pytest.raises(DeadlineTooClose):
        harness.deliver(ref, deadline=harness.deadline(budget=0))
    assert harness.item(ref) == {}
    assert harness.s3.heads == []
    assert harness.env.made == []


def test_object_does_not_restart_without_time_left(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    long_harness.env.files.clear()
    with pytest.raises(DeadlineTooClose):
        long_harness.deliver(ref, deadline=deadline_after_open(long_harness))
    assert not long_harness.has_lease(ref)
    long_harness.deliver(ref)
    assert long_harness.env.files == {"inbox/a": DATA}


# --- SHA-256 ---


def test_sha256_is_in_the_receipt_and_forces_one_stream(long_harness: DeliveryEnvironment) -> None:
    long_harness.env.tuning = TransferTuning(min_bytes_per_stream=1)
    ref = long_harness.ref()
    receipt = long_harness.deliver(ref, max_connections=4, sha256=True)
    expected = hashlib.sha256(DATA).hexdigest()
    assert receipt.sha256 == expected
    assert long_harness.item(ref)["receipt"]["M"]["sha256"] == {"S": expected}
    assert long_harness.env.tried == {0: 1}


def test_sha256_is_omitted_after_several_invocations(long_harness: DeliveryEnvironment) -> None:
    ref = long_harness.ref()
    receipt, _ = deliver_in_several_invocations(long_harness, ref, budget=len(DATA) // 2, sha256=True)
    assert receipt.sha256 is None
    assert "sha256" not in long_harness.item(ref)["receipt"]["M"]
    assert receipt.checksum == crc_of(DATA)


def test_sha256_is_not_computed_by_default(harness: DeliveryEnvironment) -> None:
    assert harness.deliver(harness.ref()).sha256 is None


# --- failed objects ---


def test_failed_object_is_recorded_and_can_be_redriven(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.env.scripts[0] = refusing(Request.OPEN)
    with pytest.raises(RequestRefused) as raised:
        harness.deliver(ref)
    harness.function().give_up(ref, raised.value)
    item = harness.item(ref)
    assert (item["state"]["S"], item["reason"]["S"], item["hint"]["S"]) == (
        "FAILED",
        raised.value.reason,
        raised.value.hint,
    )
    del harness.env.scripts[0]
    harness.deliver(ref)
    assert harness.state(ref) == "DELIVERED"


def test_partly_sent_failed_object_resumes_after_a_redrive(
    long_harness: DeliveryEnvironment,
) -> None:
    ref = long_harness.ref()
    with pytest.raises(CheckpointSaved):
        long_harness.deliver(ref, deadline=long_harness.deadline(budget=len(DATA) // 2))
    long_harness.function().give_up(ref, ObjectReadInterrupted("S3 is away.", hint="wait."))
    before = long_harness.written
    long_harness.deliver(ref)
    assert long_harness.written - before < 0.6 * len(DATA)
    assert long_harness.whole == {"inbox/a": DATA}


def test_corrupt_ledger_item_is_named_in_the_error(harness: DeliveryEnvironment) -> None:
    ref = harness.ref()
    harness.dies_after(ref)
    harness.ledger.write(ref, "revision", {"S": "many"}, sk=KEY)
    with pytest.raises(LedgerError, match="object#bucket/a"):
        harness.deliver(ref)
    assert harness.env.made == []


def test_object_of_unknown_size_is_delivered(harness: DeliveryEnvironment) -> None:
    ref = dataclasses.replace(harness.ref(), size=None)
    assert harness.deliver(ref).size == 4


@pytest.mark.parametrize("key", ["dir/", "dir_$folder$"])
def test_folder_marker_of_unknown_size_is_recognised(key: str, harness: DeliveryEnvironment) -> None:
    """S3 Batch Operations names an object without its size."""
    harness.s3.objects[key] = b""
    ref = dataclasses.replace(harness.ref(key), size=None)
    with pytest.raises(FolderMarker):
        harness.deliver(ref)
    assert harness.env.made == []
    harness.s3.objects[key] = b"content"
    ref = dataclasses.replace(harness.ref(key), size=None)
    if key.endswith("/"):
        with pytest.raises(RemotePathRefused):
            harness.deliver(ref)
    else:
        harness.deliver(ref)


def test_receipt_names_the_server_that_has_the_file_whatever_is_connected_since(
    harness: DeliveryEnvironment,
) -> None:
    function, lease = harness.function(), harness.ledger.lease(harness.ref())
    server = dataclasses.replace(SERVER, host_key="SHA256:that one")
    receipt = function._publication.receipt(function._admission.begin(lease), commit_of(lease, server=server))
    assert receipt.host_key_fingerprint == "SHA256:that one"
