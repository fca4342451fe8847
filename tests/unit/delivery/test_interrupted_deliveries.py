"""Acknowledged bytes survive every interruption of a delivery, and count only where that is safe."""

from __future__ import annotations

import struct
import threading
import time
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    LedgerError,
    NoProgress,
    ResumeRefused,
    TooManyConnections,
)
from s3_to_sftp.outcomes import CheckpointSaved
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp.protocol import LIMITS, Request, Status, read_text
from s3_to_sftp.sftp.upload_request import TransferTuning
from s3_to_sftp.state.receipt import Evidence
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.support.delivery_environment import DeliveryEnvironment
from tests.support.scripted_server import NOTHING, Asked, ScriptedServer, status
from tests.support.sftp_environment import CHANNEL, SOON, wait_for_streams
from tests.unit.delivery.test_delivery import BLOCK, DATA, refuse_connection, refuse_second_open


@pytest.fixture
def harness(ledger_table: Any) -> DeliveryEnvironment:
    return DeliveryEnvironment(ledger_table, {"a": DATA, "small": b"news"})


def deadline_at_half(harness: DeliveryEnvironment) -> Deadline:
    """Return the deadline of an invocation that can send half of the object."""
    return harness.deadline(budget=len(DATA) // 2)


# --- checkpoints ---


def test_checkpoint_is_saved_when_no_connection_is_left_for_the_resume_probe(
    harness: DeliveryEnvironment,
) -> None:
    """The server allows one session per login, and still counts the one that has just been closed."""

    def busy() -> None:
        if harness.env.tried[0] % 2 == 0:
            raise TooManyConnections("one session at a time", hint="")

    harness.env.before_connect = {0: busy, CHANNEL: refuse_connection}
    with pytest.raises(CheckpointSaved):
        harness.deliver(harness.ref(), deadline=deadline_at_half(harness))
    assert "checkpoint" in harness.item(harness.ref())


def test_checkpoint_is_saved_when_the_server_refuses_the_resume_probe(harness: DeliveryEnvironment) -> None:
    harness.env.scripts = dict.fromkeys((0, CHANNEL), refuse_second_open)
    ref = harness.ref()
    with pytest.raises(CheckpointSaved):
        harness.deliver(ref, deadline=deadline_at_half(harness))
    harness.env.scripts = {}
    sent = harness.written
    harness.deliver(ref)
    assert harness.written - sent < len(DATA)
    assert harness.whole == {"inbox/a": DATA}


# --- resuming ---


def save_checkpoint_at_half(harness: DeliveryEnvironment) -> str:
    """Send half of the object; return the temporary name."""
    with pytest.raises(CheckpointSaved):
        harness.deliver(harness.ref(), deadline=deadline_at_half(harness))
    (name,) = harness.partial
    return name


@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED, Status.LOCK_CONFLICT])
@pytest.mark.parametrize("what", ["the probe", "the file"])
def test_temporary_refusal_to_resume_keeps_the_acknowledged_bytes(
    what: str, code: int, harness: DeliveryEnvironment
) -> None:
    """A virus scanner holds the file for a moment, or the server has too many open."""
    file = save_checkpoint_at_half(harness)

    def script(asked: Asked) -> bytes | None:
        is_it = asked.kind == Request.OPEN and (
            asked.texts[0] == file if what == "the file" else asked.texts[0].endswith("-resume.part")
        )
        return status(asked, code) if is_it else None

    harness.env.scripts = {0: script}
    sent = harness.written
    for refusals in (1, 2):
        with pytest.raises(ResumeRefused, match="said the partner"):
            harness.deliver(harness.ref())
        assert harness.item(harness.ref())["checkpoint"]["M"]["refusals"] == {"N": str(refusals)}
    harness.env.scripts = {}
    harness.deliver(harness.ref())
    assert harness.written - sent < len(DATA)
    assert harness.env.files == {"inbox/a": DATA}


def test_persistent_refusal_to_resume_restarts_the_object(harness: DeliveryEnvironment) -> None:
    file = save_checkpoint_at_half(harness)

    def locked(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and asked.texts[0] == file
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    harness.env.scripts = {0: locked}
    for _ in range(3):
        with pytest.raises(ResumeRefused):
            harness.deliver(harness.ref())
    harness.deliver(harness.ref())
    assert harness.whole == {"inbox/a": DATA}
    assert harness.temporaries(harness.ref()) == set()


def test_lost_connections_and_removed_files_end_with_no_progress(
    harness: DeliveryEnvironment,
) -> None:
    for number in range(8):
        harness.env.tried[0] = 0
        cut_at = harness.written + len(DATA) // 4

        def cut(asked: Asked, cut_at: int = cut_at) -> bytes | None:
            is_time = asked.kind == Request.WRITE and harness.written >= cut_at and harness.env.tried[0] == 1
            return NOTHING if is_time else None

        harness.env.scripts = {0: cut}
        with pytest.raises(DeliveryError) as raised:
            harness.deliver(harness.ref(), deadline=deadline_at_half(harness), name=f"f{number}")
        if isinstance(raised.value, NoProgress):
            return
        harness.env.files.clear()
    raise AssertionError("no invocation raised NoProgress")


# --- several streams ---


class ClusterNode(ScriptedServer):
    """One of several machines over one storage: it keeps what a handle has written in memory until CLOSE."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._in_memory: dict[str, list[Asked]] = {}

    def _write(self, asked: Asked) -> bytes:
        handle, at = read_text(asked.payload)
        (size,) = struct.unpack_from(">I", asked.payload, at + 8)
        self._in_memory.setdefault(handle.decode(), []).append(asked)
        self.sizes.append(size)
        return status(asked, Status.OK)

    def _close(self, asked: Asked) -> bytes:
        for written in self._in_memory.pop(asked.texts[0], []):
            super()._write(written)
            self.sizes.pop()
        return super()._close(asked)


def test_bytes_of_a_lost_stream_without_close_are_sent_again(harness: DeliveryEnvironment) -> None:
    """The other stream has extended the file, so that its size proves nothing."""
    harness.env.tuning = TransferTuning(
        min_bytes_per_stream=4 * BLOCK, segment_bytes=4 * BLOCK, last_segment_bytes=4 * BLOCK
    )
    harness.env.kind, harness.env.proven = ClusterNode, False
    joined, died, is_over = threading.Event(), threading.Event(), threading.Event()
    after_that: list[int] = []

    def is_data(asked: Asked) -> bool:
        return asked.kind == Request.WRITE and len(asked.payload) > 1000

    def dies(asked: Asked) -> bytes | None:
        nonlocal after_that
        if died.is_set():
            return NOTHING
        if is_data(asked):
            time.sleep(0.02)  # so that the other stream can join; where it does not, nothing is lost
            after_that += [1] if joined.is_set() else []
            if len(after_that) == 6:
                harness.env.scripts = {}
                died.set()
                is_over.set()
                return NOTHING
        if asked.kind == Request.CLOSE and joined.is_set():
            is_over.set()  # the other one came so late that nothing is left to lose
        return None

    def closes_later(asked: Asked) -> bytes | None:
        is_next_segment = is_data(asked) and joined.is_set()  # the rest is for the stream that dies
        if is_data(asked):
            joined.set()
        if is_next_segment or (asked.kind == Request.CLOSE and joined.is_set()):
            assert is_over.wait(SOON)
        return None

    harness.env.scripts = {0: dies, 1: closes_later}
    harness.deliver(harness.ref(), max_connections=2)
    wait_for_streams()
    assert harness.env.files["inbox/a"] == DATA


# --- the end ---


def renamed_without_receipt(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch, **about: Any
) -> ObjectRef:
    """Deliver an object while the ledger does not accept the receipt."""

    def throttled(*_: object) -> None:
        raise LedgerError("throttled", hint="")

    ref, ledger = harness.ref("small"), harness.ledger.function()
    monkeypatch.setattr(ledger, "delivered", throttled)
    with pytest.raises(LedgerError):
        harness.deliver(ref, ledger=ledger, **about)
    return ref


def test_answered_rename_counts_as_delivered_although_its_receipt_was_not_written(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = renamed_without_receipt(harness, monkeypatch)
    del harness.env.files["inbox/small"]  # collected by the partner
    made = len(harness.env.made)
    receipt = harness.deliver(ref)
    assert (receipt.evidence, receipt.recovered) == (Evidence.RENAME_OK, True)
    assert harness.state(ref) == "DELIVERED"
    assert len(harness.env.made) == made, "no connection is needed"


@pytest.mark.parametrize(
    ("is_there", "policy", "evidence"),
    [
        (True, UnknownOutcome.HOLD, Evidence.SEEN_AFTER_RENAME),
        (False, UnknownOutcome.ASSUME_DELIVERED, Evidence.ASSUMED),
    ],
)
def test_failed_receipt_of_a_recovered_rename_keeps_its_evidence(
    is_there: bool,  # noqa: FBT001 - a parameter
    policy: UnknownOutcome,
    evidence: Evidence,
    harness: DeliveryEnvironment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref = harness.ref("small")
    harness.env.scripts = {0: harness.cut_at_rename(done=True)}
    with pytest.raises(ConnectionLost):
        harness.deliver(ref)
    harness.env.scripts = {}
    if not is_there:
        harness.env.files.clear()
    renamed_without_receipt(harness, monkeypatch, unknown_outcome=policy)
    receipt = harness.deliver(ref, unknown_outcome=policy)
    assert (receipt.evidence, receipt.recovered) == (evidence, True)


def test_rename_answered_by_another_account_is_no_delivery(
    harness: DeliveryEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login was changed before the receipt could be written."""
    ref = renamed_without_receipt(harness, monkeypatch)
    harness.env.files.clear()
    elsewhere = harness.env.client(login=Credentials(username="another", password="p"))
    receipt = harness.deliver(ref, partner=elsewhere)
    assert not receipt.recovered
    assert harness.env.files == {"inbox/small": b"news"}


def test_partner_file_moved_aside_is_restored_when_the_object_is_gone(
    harness: DeliveryEnvironment,
) -> None:
    harness.env.extensions = {LIMITS: b"1"}  # no posix-rename
    ref = harness.ref("small")
    harness.env.files["inbox/small"] = bytearray(b"yesterday")
    harness.env.scripts = {
        0: lambda asked: NOTHING if (asked.kind, asked.number) == (Request.RENAME, 3) else None
    }
    with pytest.raises(ConnectionLost):
        harness.deliver(ref)
    harness.env.scripts = {}
    for name in harness.partial:
        del harness.env.files[name]  # the partner deletes them
    del harness.s3.objects["small"]
    with pytest.raises(DeliveryError):
        harness.deliver(ref, unknown_outcome=UnknownOutcome.RESEND)
    assert harness.state(ref) == "GONE"
    assert harness.env.files == {"inbox/small": b"yesterday"}
