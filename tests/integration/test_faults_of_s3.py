"""Faults of S3 and objects that change: the announced version is delivered complete, or not at all."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.delivery.deadline import SMALL_BYTES
from s3_to_sftp.errors import (
    DeliveryError,
    Disposition,
    ObjectAccessDenied,
    ObjectCorrupt,
    ObjectReadInterrupted,
    RenameUnanswered,
)
from s3_to_sftp.outcomes import AlreadyDelivered, AlreadyGone, CheckpointSaved, Superseded
from s3_to_sftp.s3.checksum import RangeChecksum
from s3_to_sftp.state.receipt import Receipt
from tests.support.faults.sftp_server import Fault, HangsUp, WatchedServer, faulty, stating_write_limit
from tests.support.ledger_harness import KEY, LedgerHarness, are_files
from tests.support.memory_s3 import MemoryS3, client_error, digest_of
from tests.support.partner import connections
from tests.support.watch import never_partial

OLD = b"the old file, complete"
LARGE = os.urandom(SMALL_BYTES + 300_000)
NEWER = os.urandom(SMALL_BYTES + 1)
SIZES = {"small": LARGE[:SMALL_BYTES], "large": LARGE}

Hook = Callable[[int], None]
"""Called with the number of the request, before it is answered; may raise."""


class ChangingS3(MemoryS3):
    """Calls a hook before each request.

    Attributes:
        before_get: Called before each GetObject.
        before_head: Called before each HeadObject.
    """

    before_get: Hook = staticmethod(lambda _number: None)
    before_head: Hook = staticmethod(lambda _number: None)

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.before_get(len(self.requests) + 1)
        return super().get_object(**request)

    def head_object(self, **request: Any) -> dict[str, Any]:
        self.before_head(len(self.heads) + 1)
        return super().head_object(**request)


def refusing(code: str, status: int) -> Hook:
    def refuse(_number: int) -> None:
        raise client_error(code, status)

    return refuse


def healthy(_number: int) -> None:
    return None


@pytest.fixture(params=SIZES)
def data(request: pytest.FixtureRequest) -> bytes:
    return SIZES[request.param]


@pytest.fixture
def s3(data: bytes) -> ChangingS3:
    return ChangingS3({KEY: data})


@pytest.fixture
def harness(dynamodb: Any, s3: ChangingS3) -> Iterator[LedgerHarness]:
    harness = LedgerHarness(dynamodb, s3)
    yield harness
    harness.close()


@pytest.fixture
def server(root: Path, data: bytes) -> Iterator[RunningServer]:
    """A healthy server; asserts that no partial file is ever seen under the final name."""
    (root / KEY).write_bytes(OLD)
    factory = faulty(WatchedServer, Fault(broken=False))
    with (
        stating_write_limit(5000),
        start_asyncssh_server(root, sftp_factory=factory) as running,
        never_partial(root / KEY, OLD, data, NEWER),
    ):
        yield running


only_large = pytest.mark.parametrize("data", [LARGE], ids=["large"])


def assert_fails(
    harness: LedgerHarness, server: RunningServer, error: type[DeliveryError], disposition: Disposition
) -> DeliveryError:
    """Assert that an attempt meets this error and leaves the old file and no lease; return the error."""
    outcome = harness.attempt(server)
    assert type(outcome) is error
    assert isinstance(outcome, DeliveryError)
    assert outcome.disposition is disposition
    assert are_files(server, report=OLD)
    assert not harness.is_leased()
    return outcome


def assert_delivers(harness: LedgerHarness, server: RunningServer, data: bytes) -> None:
    """Assert that one attempt delivers it, and that the next one finds it delivered."""
    assert isinstance(harness.attempt(server), Receipt)
    assert are_files(server, report=data)
    assert harness.state() == "DELIVERED"
    assert not harness.is_leased()
    assert isinstance(harness.attempt(server), AlreadyDelivered)


def assert_superseded(harness: LedgerHarness, server: RunningServer) -> None:
    """Assert that the version is recorded as superseded, and the newer one is delivered by its event."""
    assert are_files(server, report=OLD)
    assert harness.state() == "SUPERSEDED"
    assert not harness.is_leased()
    newer = harness.announced("0B")
    assert isinstance(harness.attempt(server, ref=newer), Receipt)
    assert are_files(server, report=NEWER)
    assert harness.state(newer) == "DELIVERED"
    assert isinstance(harness.attempt(server), Superseded)
    assert are_files(server, report=NEWER)


def assert_gone(harness: LedgerHarness, server: RunningServer) -> None:
    """Assert that it is recorded as gone, and that its event is acknowledged from now on."""
    assert are_files(server, report=OLD)
    assert harness.state() == "GONE"
    assert not harness.is_leased()
    before = connections(server)
    assert isinstance(harness.attempt(server), AlreadyGone)
    assert connections(server) == before


# --- S3 is busy, or its answers are incomplete ---


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500)])
def test_busy_s3_is_retried(
    code: str, status: int, data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.before_get = refusing(code, status)
    assert_fails(harness, server, ObjectReadInterrupted, Disposition.RETRY)
    assert harness.state() == "SENDING"
    s3.before_get = healthy
    assert_delivers(harness, server, data)


@only_large
def test_s3_that_is_busy_after_a_reset_is_retried(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    def busy_from_the_second_on(number: int) -> None:
        if number > 1:
            raise client_error("SlowDown", 503)

    s3.breaks = [500_000]
    s3.before_get = busy_from_the_second_on
    assert_fails(harness, server, ObjectReadInterrupted, Disposition.RETRY)
    s3.before_get = healthy
    assert_delivers(harness, server, data)


@only_large
def test_large_object_is_delivered_despite_resets_of_its_body(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.breaks = [1, 0, 500_000, 300_000, 0, 0]
    assert_delivers(harness, server, data)
    assert len(s3.requests) == 7


@pytest.mark.parametrize("data", [SIZES["small"]], ids=["small"])
def test_reset_of_a_small_body_is_retried(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.breaks = [len(data) // 2]
    assert_fails(harness, server, ObjectReadInterrupted, Disposition.RETRY)
    assert_delivers(harness, server, data)


@pytest.mark.parametrize("length", [0, 1000, -1])
def test_truncated_body_is_not_delivered(
    length: int, data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.wire[KEY] = data[:length]
    assert_fails(harness, server, ObjectReadInterrupted, Disposition.RETRY)
    assert harness.state() == "SENDING"
    del s3.wire[KEY]
    assert_delivers(harness, server, data)


def test_damaged_body_gets_no_final_name(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    checksum = RangeChecksum("CRC32")
    checksum.add(0, len(data), checksum.of(data))
    s3.checksums[KEY] = {"ChecksumType": "FULL_OBJECT", "ChecksumCRC32": checksum.value(len(data))}
    s3.wire[KEY] = data[:-1] + bytes([data[-1] ^ 1])
    assert_fails(harness, server, ObjectCorrupt, Disposition.RETRY)
    del s3.wire[KEY]
    assert_delivers(harness, server, data)


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1"])
def test_body_that_differs_from_its_stored_hash_gets_no_final_name(
    algorithm: str, data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    stored = base64.b64encode(digest_of(algorithm, data)).decode()
    s3.checksums[KEY] = {"ChecksumType": "FULL_OBJECT", f"Checksum{algorithm}": stored}
    s3.wire[KEY] = data[:-1] + bytes([data[-1] ^ 1])
    assert_fails(harness, server, ObjectCorrupt, Disposition.RETRY)
    del s3.wire[KEY]
    assert_delivers(harness, server, data)
    assert harness.receipt()["verified_by"] == {"S": f"full_object:{algorithm}"}


def test_composite_checksum_is_not_compared_as_full_object_checksum(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.put_in_parts(KEY, [data[:70_000], data[70_000:]], "CRC32", announced="FULL_OBJECT")
    assert_delivers(harness, server, data)
    assert harness.receipt()["verified_by"] == {"S": "composite:CRC32/2"}


def test_object_whose_parts_cannot_be_listed_is_delivered_with_verified_by_none(
    data: bytes,
    s3: ChangingS3,
    harness: LedgerHarness,
    server: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def deny(**_request: Any) -> Any:
        raise client_error("AccessDenied", 403)

    s3.put_in_parts(KEY, [data[:70_000], data[70_000:]], "CRC32")
    monkeypatch.setattr(s3, "get_object_attributes", deny)
    assert_delivers(harness, server, data)
    assert harness.receipt()["verified_by"] == {"S": "none"}


def test_denied_object_is_delivered_once_access_is_granted(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.before_get = s3.before_head = refusing("AccessDenied", 403)
    error = assert_fails(harness, server, ObjectAccessDenied, Disposition.PERMANENT)
    assert "s3:GetObject" in error.hint
    s3.before_get = s3.before_head = healthy
    assert_delivers(harness, server, data)


# --- the object changes ---

Change = Callable[[ChangingS3], None]
AssertEnd = Callable[[LedgerHarness, RunningServer], None]


def overwrite(s3: ChangingS3) -> None:
    s3.objects[KEY] = NEWER


def delete(s3: ChangingS3) -> None:
    del s3.objects[KEY]


changed = pytest.mark.parametrize(
    ("change", "error", "assert_end"),
    [(overwrite, Superseded, assert_superseded), (delete, AlreadyGone, assert_gone)],
    ids=["overwritten", "deleted"],
)


def test_overwritten_object_is_superseded_and_the_newer_event_delivers(
    s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    overwrite(s3)
    assert isinstance(harness.attempt(server), Superseded)
    assert_superseded(harness, server)


def test_deleted_object_is_recorded_as_gone_without_a_connection(
    s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    delete(s3)
    assert isinstance(harness.attempt(server), AlreadyGone)
    assert_gone(harness, server)
    assert connections(server) == 0


@only_large
@changed
def test_object_changed_during_the_read_leaves_no_file(
    change: Change,
    error: type[DeliveryError],
    assert_end: AssertEnd,
    s3: ChangingS3,
    harness: LedgerHarness,
    server: RunningServer,
) -> None:
    def change_before_the_second(number: int) -> None:
        if number == 2:
            change(s3)

    s3.breaks = [500_000]
    s3.before_get = change_before_the_second
    assert isinstance(harness.attempt(server), error)
    assert_end(harness, server)


@only_large
def test_object_overwritten_between_head_and_get_is_superseded(
    s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    s3.before_get = lambda _number: overwrite(s3)
    assert isinstance(harness.attempt(server), Superseded)
    assert_superseded(harness, server)


# --- between two invocations ---


def save_checkpoint(harness: LedgerHarness, server: RunningServer) -> None:
    asked = iter([900.0] * 100)
    outcome = harness.attempt(server, remaining=lambda: next(asked, 0.0))
    assert isinstance(outcome, CheckpointSaved)
    assert not are_files(server, report=OLD), "nothing was sent"


@only_large
@changed
def test_object_changed_between_invocations_leaves_no_file(
    change: Change,
    error: type[DeliveryError],
    assert_end: AssertEnd,
    s3: ChangingS3,
    harness: LedgerHarness,
    server: RunningServer,
) -> None:
    save_checkpoint(harness, server)
    change(s3)
    assert isinstance(harness.attempt(server), error)
    assert_end(harness, server)


@only_large
def test_checkpoint_survives_busy_s3_in_the_next_invocation(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, server: RunningServer
) -> None:
    save_checkpoint(harness, server)
    s3.before_head = refusing("SlowDown", 503)
    assert isinstance(harness.attempt(server), ObjectReadInterrupted)
    s3.before_head = healthy
    s3.requests.clear()
    assert_delivers(harness, server, data)
    assert not s3.requests[0]["Range"].startswith("bytes=0-")


@only_large
def test_object_deleted_after_its_rename_is_recorded_as_delivered(
    data: bytes, s3: ChangingS3, harness: LedgerHarness, root: Path
) -> None:
    fault = Fault()
    factory = faulty(HangsUp, fault, "posix_rename", done=True)
    with start_asyncssh_server(root, sftp_factory=factory) as server:
        assert isinstance(harness.attempt(server), RenameUnanswered)
        fault.clear()
        del s3.objects[KEY]
        recovered = harness.attempt(server)
        assert isinstance(recovered, Receipt)
        assert recovered.recovered
        assert recovered.size == len(data)
        assert harness.state() == "DELIVERED"
        assert are_files(server, report=data)
