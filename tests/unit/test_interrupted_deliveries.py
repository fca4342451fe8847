"""What was acknowledged is kept through whatever interrupts a delivery, and counts only where it is safe."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.delivery.deadline import Deadline
from s3_to_sftp.delivery.unknown_outcome import UnknownOutcome
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    LedgerError,
    NoProgress,
    ResumeRefused,
    ToBeContinued,
    TooManyConnections,
)
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.sftp import parallel_upload
from s3_to_sftp.sftp.protocol import LIMITS, Request, Status, read_text
from s3_to_sftp.state.receipt import Evidence
from tests.ledger_site import TABLE, create_table
from tests.unit.delivery_site import DeliverySite
from tests.unit.scripted_server import NOTHING, Asked, ScriptedServer, status
from tests.unit.site import CHANNEL, SOON, wait_for_lanes
from tests.unit.test_delivery import BLOCK, DATA, refuse_everybody, refusing_second_open


@pytest.fixture
def desk(dynamodb: Any) -> Iterator[DeliverySite]:
    create_table(dynamodb)
    yield DeliverySite(dynamodb, {"a": DATA, "small": b"news"})
    dynamodb.delete_table(TableName=TABLE)


def half(desk: DeliverySite) -> Deadline:
    """An invocation in which half of the object can be sent."""
    return desk.deadline(budget=len(DATA) // 2)


# --- the pause ---


def test_pause_is_recorded_where_nobody_is_let_in_to_try_whether_files_are_resumed(
    desk: DeliverySite,
) -> None:
    """One session for each login, and the partner still counts the one that we have just closed."""

    def busy() -> None:
        if desk.site.tried[0] % 2 == 0:
            raise TooManyConnections("one session at a time", hint="")

    desk.site.before_connect = {0: busy, CHANNEL: refuse_everybody}
    with pytest.raises(ToBeContinued):
        desk.deliver(desk.ref(), deadline=half(desk))
    assert "checkpoint" in desk.item(desk.ref())


def test_pause_is_recorded_where_the_server_refuses_for_now(desk: DeliverySite) -> None:
    desk.site.scripts = dict.fromkeys((0, CHANNEL), refusing_second_open)
    ref = desk.ref()
    with pytest.raises(ToBeContinued):
        desk.deliver(ref, deadline=half(desk))
    desk.site.scripts = {}
    sent = desk.written
    desk.deliver(ref)
    assert desk.written - sent < len(DATA)
    assert desk.whole == {"inbox/a": DATA}


# --- resuming ---


def paused(desk: DeliverySite) -> str:
    """Send half of the object; return the name of the file."""
    with pytest.raises(ToBeContinued):
        desk.deliver(desk.ref(), deadline=half(desk))
    (name,) = desk.partial
    return name


@pytest.mark.parametrize("code", [Status.FAILURE, Status.PERMISSION_DENIED, Status.LOCK_CONFLICT])
@pytest.mark.parametrize("what", ["the probe", "the file"])
def test_refusal_that_passes_costs_no_byte(what: str, code: int, desk: DeliverySite) -> None:
    """A virus scanner holds the file for a moment, or the server has too many open."""
    file = paused(desk)

    def script(asked: Asked) -> bytes | None:
        is_it = asked.kind == Request.OPEN and (
            asked.texts[0] == file if what == "the file" else asked.texts[0].endswith("-resume.part")
        )
        return status(asked, code) if is_it else None

    desk.site.scripts = {0: script}
    sent = desk.written
    for refusals in (1, 2):
        with pytest.raises(ResumeRefused, match="said the partner"):
            desk.deliver(desk.ref())
        assert desk.item(desk.ref())["checkpoint"]["M"]["refusals"] == {"N": str(refusals)}
    desk.site.scripts = {}
    desk.deliver(desk.ref())
    assert desk.written - sent < len(DATA)
    assert desk.site.files == {"inbox/a": DATA}


def test_refusal_that_does_not_pass_makes_the_object_be_sent_anew(desk: DeliverySite) -> None:
    file = paused(desk)

    def locked(asked: Asked) -> bytes | None:
        refused = asked.kind == Request.OPEN and asked.texts[0] == file
        return status(asked, Status.PERMISSION_DENIED) if refused else None

    desk.site.scripts = {0: locked}
    for _ in range(3):
        with pytest.raises(ResumeRefused):
            desk.deliver(desk.ref())
    desk.deliver(desk.ref())
    assert desk.whole == {"inbox/a": DATA}
    assert desk.temporaries(desk.ref()) == set()


def test_partner_who_tidies_up_between_invocations_that_lose_a_connection_is_no_endless_loop(
    desk: DeliverySite,
) -> None:
    for number in range(8):
        desk.site.tried[0] = 0
        cut_at = desk.written + len(DATA) // 4

        def cut(asked: Asked, cut_at: int = cut_at) -> bytes | None:
            is_time = asked.kind == Request.WRITE and desk.written >= cut_at and desk.site.tried[0] == 1
            return NOTHING if is_time else None

        desk.site.scripts = {0: cut}
        with pytest.raises(DeliveryError) as raised:
            desk.deliver(desk.ref(), deadline=half(desk), name=f"f{number}")
        if isinstance(raised.value, NoProgress):
            return
        desk.site.files.clear()
    raise AssertionError("it goes on without end")


# --- several streams ---


class Node(ScriptedServer):
    """One machine of several over one storage: what a handle has written is in its memory until CLOSE."""

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


def test_what_a_lost_stream_has_not_closed_does_not_count_beside_others(
    desk: DeliverySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other stream has stretched the file, so that its size shows nothing."""
    for name in ("_MIN_BYTES_PER_LANE", "_SEGMENT_BYTES", "_LAST_SEGMENT_BYTES"):
        monkeypatch.setattr(parallel_upload, name, 4 * BLOCK)
    desk.site.kind, desk.site.proven = Node, False
    joined, died = threading.Event(), threading.Event()
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
                desk.site.scripts = {}
                died.set()
                return NOTHING
        return None

    def closes_later(asked: Asked) -> bytes | None:
        if is_data(asked):
            joined.set()
        if asked.kind == Request.CLOSE and joined.is_set():
            assert died.wait(SOON)
        return None

    desk.site.scripts = {0: dies, 1: closes_later}
    desk.deliver(desk.ref(), max_connections=2)
    wait_for_lanes()
    assert desk.site.files["inbox/a"] == DATA


# --- the end ---


def renamed_without_receipt(desk: DeliverySite, monkeypatch: pytest.MonkeyPatch, **about: Any) -> ObjectRef:
    """Deliver an object while the ledger does not take the receipt."""

    def throttled(*_: object) -> None:
        raise LedgerError("throttled", hint="")

    ref, function = desk.ref("small"), desk.function(**about)
    monkeypatch.setattr(function._ledger, "delivered", throttled)
    with pytest.raises(LedgerError):
        function.deliver(ref, desk.deadline())
    return ref


def test_rename_that_was_answered_is_a_fact_though_its_receipt_could_not_be_written(
    desk: DeliverySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = renamed_without_receipt(desk, monkeypatch)
    del desk.site.files["inbox/small"]  # collected by the partner
    made = len(desk.site.made)
    receipt = desk.deliver(ref)
    assert (receipt.evidence, receipt.recovered) == (Evidence.RENAME_OK, True)
    assert desk.state(ref) == "DELIVERED"
    assert len(desk.site.made) == made, "nobody is asked"


@pytest.mark.parametrize(
    ("is_there", "policy", "evidence"),
    [
        (True, UnknownOutcome.HOLD, Evidence.SEEN_AFTER_RENAME),
        (False, UnknownOutcome.ASSUME_DELIVERED, Evidence.ASSUMED),
    ],
)
def test_receipt_that_could_not_be_written_does_not_make_a_rename_an_answered_one(
    is_there: bool,  # noqa: FBT001 - a parameter
    policy: UnknownOutcome,
    evidence: Evidence,
    desk: DeliverySite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref = desk.ref("small")
    desk.site.scripts = {0: desk.cut_at_rename(done=True)}
    with pytest.raises(ConnectionLost):
        desk.deliver(ref)
    desk.site.scripts = {}
    if not is_there:
        desk.site.files.clear()
    renamed_without_receipt(desk, monkeypatch, unknown_outcome=policy)
    receipt = desk.deliver(ref, unknown_outcome=policy)
    assert (receipt.evidence, receipt.recovered) == (evidence, True)


def test_rename_that_was_answered_elsewhere_is_no_delivery_here(
    desk: DeliverySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function was aimed at another login before the receipt could be written."""
    ref = renamed_without_receipt(desk, monkeypatch)
    desk.site.files.clear()
    elsewhere = desk.function()
    other = Credentials(username="another", password="p")
    monkeypatch.setattr(elsewhere.partner._pool, "_credentials", FixedCredentials(other))
    receipt = elsewhere.deliver(ref, desk.deadline())
    assert not receipt.recovered
    assert desk.site.files == {"inbox/small": b"news"}


def test_file_of_the_partners_gets_its_name_back_when_the_object_is_gone(desk: DeliverySite) -> None:
    desk.site.extensions = {LIMITS: b"1"}  # no posix-rename
    ref = desk.ref("small")
    desk.site.files["inbox/small"] = bytearray(b"yesterday")
    desk.site.scripts = {
        0: lambda asked: NOTHING if (asked.kind, asked.number) == (Request.RENAME, 3) else None
    }
    with pytest.raises(ConnectionLost):
        desk.deliver(ref)
    desk.site.scripts = {}
    for name in desk.partial:
        del desk.site.files[name]  # the partner tidies up
    del desk.s3.objects["small"]
    with pytest.raises(DeliveryError):
        desk.deliver(ref, unknown_outcome=UnknownOutcome.RESEND)
    assert desk.state(ref) == "GONE"
    assert desk.site.files == {"inbox/small": b"yesterday"}
