"""The outcome of a RENAME: a reply is a fact, only silence leaves it unknown, and nothing is guessed.

The partner removes files, replaces the server, delays a RENAME, loses the end of a file. No missing file gets
a receipt, no older file replaces a newer one, and no file of the partner is lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.delivery.deadline import SMALL_BYTES
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    Disposition,
    EarlierRenamePending,
    OutcomeUnknown,
    RequestRefused,
    SizeMismatch,
    TargetNotAFile,
)
from s3_to_sftp.outcomes import Superseded
from s3_to_sftp.sftp.protocol import POSIX_RENAME, Status
from s3_to_sftp.state.receipt import Evidence, Receipt
from s3_to_sftp.unknown_outcome import UnknownOutcome
from tests.integration.conftest import start as start_healthy
from tests.support.faults.sftp_server import (
    PERMISSION_DENIED,
    AnnouncesReplacing,
    DeniesLooking,
    Fault,
    HangsInRename,
    HangsUp,
    KeepsFiles,
    LosesTheLastByte,
    Refusal,
    RefusesRequest,
    SweepsAwayAndHangsUp,
    WatchedServer,
    faulty,
    without_extensions,
)
from tests.support.ledger_harness import KEY, LedgerHarness, are_files
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import contents_below

DATA = os.urandom(SMALL_BYTES + 300_000)
SIZES = {"small": DATA[:SMALL_BYTES], "large": DATA}
ANSWERS = [Status.PERMISSION_DENIED, Status.FAILURE, Status.NO_SUCH_FILE]


@pytest.fixture(params=SIZES)
def data(request: pytest.FixtureRequest) -> bytes:
    return SIZES[request.param]


@pytest.fixture
def old(data: bytes) -> bytes:
    """An older file of the same length."""
    return bytes(len(data))


@pytest.fixture
def harness(dynamodb: Any, data: bytes) -> Iterator[LedgerHarness]:
    harness = LedgerHarness(dynamodb, MemoryS3({KEY: data}))
    yield harness
    harness.close()


@pytest.fixture
def fault() -> Fault:
    return Fault()


Start = Callable[..., RunningServer]


@pytest.fixture
def start(tmp_path: Path, fault: Fault) -> Iterator[Start]:
    """Starts a server with a fault; it ends with the test."""
    with ExitStack() as stack:

        def start(
            kind: Callable[..., Any], *args: Any, folder: str = "partner", **more: Any
        ) -> RunningServer:
            root = tmp_path / folder
            root.mkdir(exist_ok=True)
            factory = faulty(kind, fault, *args, **more)
            return stack.enter_context(start_asyncssh_server(root, sftp_factory=factory))

        yield start


@pytest.fixture(params=["posix_rename", "rename"])
def rename(request: pytest.FixtureRequest) -> Iterator[str]:
    """The RENAME: with the extension, which replaces an existing file, or of version 3, which does not."""
    with without_extensions(*([] if request.param == "posix_rename" else [POSIX_RENAME])):
        yield request.param


def sweep(server: RunningServer) -> list[str]:
    """Remove all files that look unfinished, as a cleanup job of the partner does; return their names."""
    swept = [path for path in server.root.rglob("*") if ".part" in path.name]
    for path in swept:
        path.unlink()
    return [path.name for path in swept]


def only_temporary(server: RunningServer) -> Path:
    (temporary,) = (path for path in server.root.iterdir() if path.name.endswith(".part"))
    return temporary


# --- a reply is a fact ---


@pytest.mark.parametrize("code", ANSWERS)
def test_refused_rename_is_no_delivery_after_the_temporary_file_was_removed(
    code: int,
    rename: str,
    data: bytes,
    harness: LedgerHarness,
    start: Start,
    fault: Fault,
) -> None:
    server = start(RefusesRequest, rename, code=code)
    assert isinstance(harness.attempt(server), RequestRefused)
    assert harness.state() == "STAGED"
    assert len(sweep(server)) == 1
    fault.clear()
    receipt = harness.attempt(server)
    assert isinstance(receipt, Receipt)
    assert (receipt.recovered, receipt.evidence) == (False, Evidence.RENAME_OK)
    assert are_files(server, report=data)


@pytest.mark.parametrize("kind", ["sshd", "asyncssh"])
def test_directory_under_the_final_name_stays_and_is_a_permanent_failure(
    kind: str,
    tmp_path: Path,
    rename: str,
    data: bytes,
    harness: LedgerHarness,
) -> None:
    root = tmp_path / "partner"
    (root / KEY).mkdir(parents=True)
    (root / KEY / "theirs").write_bytes(b"theirs")
    with start_healthy(kind, root) as server:
        refused = harness.attempt(server)
        assert isinstance(refused, TargetNotAFile)
        assert refused.disposition is Disposition.PERMANENT
        assert (root / KEY / "theirs").read_bytes() == b"theirs"
        sweep(server)
        assert isinstance(harness.attempt(server), TargetNotAFile)
        (root / KEY / "theirs").unlink()
        (root / KEY).rmdir()
        assert isinstance(harness.attempt(server), Receipt)
        assert are_files(server, report=data)


def test_symbolic_link_of_the_partner_is_not_moved_aside(
    tmp_path: Path, data: bytes, harness: LedgerHarness, start: Start
) -> None:
    with without_extensions(POSIX_RENAME):
        server = start(WatchedServer)
        (server.root / "elsewhere").write_bytes(b"theirs")
        (server.root / KEY).symlink_to(server.root / "elsewhere")
        assert isinstance(harness.attempt(server), TargetNotAFile)
    assert (server.root / KEY).is_symlink()
    assert (server.root / "elsewhere").read_bytes() == b"theirs"


def test_refused_rename_keeps_state_staged_and_bytes_are_sent_once(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(RefusesRequest, "posix_rename", code=Status.NO_SUCH_FILE)
    assert isinstance(harness.attempt(server), RequestRefused)
    writes = fault.requests["write"]
    for _ in range(3):
        assert isinstance(harness.attempt(server), RequestRefused)
        assert harness.state() == "STAGED"
    assert fault.requests["write"] == writes
    assert only_temporary(server).read_bytes() == data
    fault.clear()
    assert isinstance(harness.attempt(server), Receipt)
    assert are_files(server, report=data)
    assert fault.requests["write"] == writes


# --- only silence is unknown ---


def lose_connection_at_rename(harness: LedgerHarness, server: RunningServer, fault: Fault) -> None:
    """Lose the connection at the RENAME; afterwards the server works."""
    lost = harness.attempt(server)
    assert isinstance(lost, ConnectionLost), lost
    assert harness.state() == "COMMITTING"
    fault.clear()


@pytest.mark.parametrize("done", [False, True])
def test_unanswered_rename_is_recovered_without_sending_twice(
    done: bool,  # noqa: FBT001 - a parameter
    rename: str,
    data: bytes,
    harness: LedgerHarness,
    start: Start,
    fault: Fault,
) -> None:
    server = start(HangsUp, rename, done=done)
    lose_connection_at_rename(harness, server, fault)
    writes = fault.requests["write"]
    receipt = harness.attempt(server)
    assert isinstance(receipt, Receipt)
    assert receipt.recovered
    assert receipt.evidence == (Evidence.SEEN_AFTER_RENAME if done else Evidence.RENAME_OK)
    assert fault.requests["write"] == writes
    assert are_files(server, report=data)
    assert harness.names() == {}


@pytest.mark.parametrize("policy", UnknownOutcome)
def test_older_file_of_the_same_length_is_no_evidence(
    policy: UnknownOutcome, data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(HangsUp, "posix_rename")
    (server.root / KEY).write_bytes(old)
    os.utime(server.root / KEY, (1_700_000_000, 1_700_000_000))
    lose_connection_at_rename(harness, server, fault)
    assert len(sweep(server)) == 1
    outcome = harness.attempt(server, unknown_outcome=policy)
    if policy is UnknownOutcome.HOLD:
        assert isinstance(outcome, OutcomeUnknown)
        assert outcome.disposition is Disposition.PERMANENT
        assert harness.state() == "COMMITTING"
        assert are_files(server, report=old)
    else:
        assert isinstance(outcome, Receipt)
        resent = policy is UnknownOutcome.RESEND
        assert outcome.evidence == (Evidence.RENAME_OK if resent else Evidence.ASSUMED)
        assert are_files(server, report=data if resent else old)


class CoarseClock(HangsUp):
    """Shows the same modification time for every file: versions may follow within a second."""

    def lstat(self, path: bytes) -> Any:
        return self._of_one_second(super().lstat(path))

    def fstat(self, file_obj: object) -> Any:
        return self._of_one_second(super().fstat(file_obj))

    def _of_one_second(self, status: Any) -> asyncssh.SFTPAttrs:
        attributes = asyncssh.SFTPAttrs.from_local(status)
        attributes.mtime = 1_700_000_000
        return attributes


def test_older_version_of_the_same_length_and_modification_time_is_no_evidence(
    data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(CoarseClock, "posix_rename", nth=2)
    harness.s3.objects[KEY] = old
    assert isinstance(harness.attempt(server, ref=harness.announced("09")), Receipt)
    harness.s3.objects[KEY] = data
    lose_connection_at_rename(harness, server, fault)
    sweep(server)
    assert isinstance(harness.attempt(server), OutcomeUnknown)
    assert are_files(server, report=old)


def test_held_object_is_sent_again_only_when_redriven(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(HangsUp, "posix_rename")
    lose_connection_at_rename(harness, server, fault)
    sweep(server)
    held = harness.attempt(server)
    assert isinstance(held, OutcomeUnknown)
    harness.give_up(held)
    assert harness.state() == "UNKNOWN"
    again = harness.attempt(server)
    assert isinstance(again, OutcomeUnknown)
    assert contents_below(server.root) == {}
    assert isinstance(harness.attempt(server, ref=harness.redriven()), Receipt)
    assert are_files(server, report=data)


def test_unanswered_rename_at_one_server_is_no_delivery_at_another(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    lose_connection_at_rename(harness, start(HangsUp, "posix_rename", done=True), fault)
    other = start(WatchedServer, folder="another partner")
    assert isinstance(harness.attempt(other), Receipt)
    assert are_files(other, report=data)


def test_truncated_temporary_file_never_gets_the_final_name(
    rename: str,
    data: bytes,
    old: bytes,
    harness: LedgerHarness,
    start: Start,
    fault: Fault,
) -> None:
    server = start(HangsUp, rename)
    (server.root / KEY).write_bytes(old)
    lose_connection_at_rename(harness, server, fault)
    os.truncate(only_temporary(server), len(data) // 2)
    receipt = harness.attempt(server)
    assert isinstance(receipt, Receipt)
    assert receipt.size == len(data)
    assert are_files(server, report=data)


def test_aside_file_is_kept_while_the_outcome_is_unknown(
    data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    with without_extensions(POSIX_RENAME):
        server = start(HangsUp, "rename", nth=3)
        (server.root / KEY).write_bytes(old)
        lose_connection_at_rename(harness, server, fault)
        (aside,) = (path for path in server.root.iterdir() if path.name.endswith(".old"))
        only_temporary(server).unlink()
        assert isinstance(harness.attempt(server), OutcomeUnknown)
    assert aside.read_bytes() == old
    assert aside.name in harness.names()


def test_removed_files_after_an_unanswered_rename_give_no_receipt(
    data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    with without_extensions(POSIX_RENAME):
        server = start(HangsUp, "rename", nth=3)
        (server.root / KEY).write_bytes(old)
        lose_connection_at_rename(harness, server, fault)
        assert len(sweep(server)) == 2
        assert isinstance(harness.attempt(server), OutcomeUnknown)
    assert harness.state() == "COMMITTING"


def test_unanswered_rename_at_a_drop_box_is_an_unknown_outcome(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    class DropBox(DeniesLooking, HangsUp):
        """Shows nothing, and hangs up at the first RENAME."""

    server = start(DropBox, "posix_rename")
    assert isinstance(harness.attempt(server), ConnectionLost)
    assert isinstance(harness.attempt(server), OutcomeUnknown)
    receipt = harness.attempt(server, unknown_outcome=UnknownOutcome.RESEND)
    assert isinstance(receipt, Receipt)
    assert receipt.evidence == Evidence.RENAME_OK
    assert are_files(server, report=data)


def test_file_removed_after_an_unanswered_rename_is_held_or_assumed_as_configured(
    tmp_path: Path, data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    swept = tmp_path / "swept"
    swept.mkdir()
    server = start(SweepsAwayAndHangsUp, swept=swept)
    lose_connection_at_rename(harness, server, fault)
    writes = fault.requests["write"]
    assert isinstance(harness.attempt(server), OutcomeUnknown)
    receipt = harness.attempt(server, unknown_outcome=UnknownOutcome.ASSUME_DELIVERED)
    assert isinstance(receipt, Receipt)
    assert receipt.evidence == Evidence.ASSUMED
    assert fault.requests["write"] == writes
    assert (swept / KEY).read_bytes() == data


def test_size_is_compared_before_every_rename(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    class LosesTheTailEarly(LosesTheLastByte):
        """Shows already before the CLOSE that the last byte is missing."""

        async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
            return await super().write(file_obj, offset, data[:-1] if self.fault.strike() else data)

    server = start(LosesTheTailEarly)
    assert isinstance(harness.attempt(server), SizeMismatch)
    assert fault.requests["posix_rename"] == 0
    assert contents_below(server.root) == {}
    fault.clear()
    assert isinstance(harness.attempt(server), Receipt)
    assert are_files(server, report=data)


# --- an older version never wins, and files of others stay ---


def newer_version(harness: LedgerHarness, data: bytes) -> Any:
    harness.s3.objects[KEY] = data
    return harness.announced("0B")


class HangsAndKeepsFiles(KeepsFiles, HangsInRename):
    """Hangs in the first RENAME, and refuses to remove files."""


class HangsAndKeepsNames(HangsAndKeepsFiles):
    """Also refuses every RENAME of version 3."""

    async def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if self.fault.strike():
            raise Refusal(PERMISSION_DENIED)
        return await super().rename(oldpath, newpath)


@pytest.mark.parametrize("kind", [HangsInRename, HangsAndKeepsFiles])
def test_delayed_rename_of_an_older_version_does_not_replace_the_newer_file(
    kind: Any, data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(kind)
    assert isinstance(harness.attempt(server), ConnectionLost)
    newer = newer_version(harness, b"newer" + data)
    outcome = harness.attempt(server, ref=newer)
    assert isinstance(outcome, Receipt), outcome
    fault.wake()
    assert (server.root / KEY).read_bytes() == b"newer" + data
    assert isinstance(harness.attempt(server), Superseded)


def test_newer_version_is_retried_while_an_older_rename_cannot_be_prevented(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(HangsAndKeepsNames)
    assert isinstance(harness.attempt(server), ConnectionLost)
    newer = newer_version(harness, b"newer" + data)
    outcome = harness.attempt(server, ref=newer)
    assert isinstance(outcome, EarlierRenamePending), outcome
    assert outcome.disposition is Disposition.RETRY
    fault.wake()
    fault.clear()
    assert isinstance(harness.attempt(server, ref=newer), Receipt)
    assert (server.root / KEY).read_bytes() == b"newer" + data


def test_delayed_move_aside_does_not_move_the_delivered_file(
    data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    with without_extensions(POSIX_RENAME):
        server = start(HangsInRename, nth=2)  # the first one is refused: there is an old file
        (server.root / KEY).write_bytes(old)
        assert isinstance(harness.attempt(server), RequestRefused)
        assert isinstance(harness.attempt(server), Receipt)
        fault.wake()
        assert (server.root / KEY).read_bytes() == data
    assert set(harness.names().values()) == {"blocker"}
    assert harness.keys_with_leftovers() == 1


def test_old_file_is_moved_aside_where_posix_rename_does_not_replace(
    data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(AnnouncesReplacing)
    (server.root / KEY).write_bytes(old)
    assert isinstance(harness.attempt(server), Receipt)
    assert fault.caused
    assert are_files(server, report=data)
    assert harness.names() == {}


# --- leftovers are in the ledger ---


def test_staged_file_of_a_dead_lettered_object_is_listed_and_used_by_the_redrive(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(RefusesRequest, "posix_rename")
    refused = harness.attempt(server)
    assert isinstance(refused, DeliveryError)
    harness.give_up(refused)
    assert harness.state() == "FAILED"
    assert list(harness.names()) == [only_temporary(server).name]
    assert harness.keys_with_leftovers() == 1
    fault.clear()
    writes = fault.requests["write"]
    assert isinstance(harness.attempt(server), Receipt)
    assert fault.requests["write"] == writes
    assert (harness.names(), harness.keys_with_leftovers()) == ({}, 0)


def test_aside_file_that_cannot_be_removed_is_listed_until_it_is_removed(
    data: bytes, old: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    with without_extensions(POSIX_RENAME):
        server = start(KeepsFiles)
        (server.root / KEY).write_bytes(old)
        assert isinstance(harness.attempt(server), Receipt)
        assert list(harness.names().values()) == ["aside"]
        assert harness.keys_with_leftovers() == 1
        assert set(harness.names()) == set(contents_below(server.root)) - {KEY}
        fault.clear()
        assert isinstance(harness.attempt(server, ref=newer_version(harness, b"newer")), Receipt)
    assert are_files(server, report=b"newer")
    assert (harness.names(), harness.keys_with_leftovers()) == ({}, 0)


class HangsUpOnceAndRefusesNames(RefusesRequest):
    """Ends the first connection at its first WRITE, and refuses every RENAME."""

    async def before(self, operation: Any) -> None:
        if operation == "write" and self.fault.requests["write"] == 1:
            self.channel.get_connection().abort()
            await self.silence()
        await super().before(operation)


def test_removed_name_is_not_removed_again_at_every_retry(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(HangsUpOnceAndRefusesNames, "posix_rename")
    assert isinstance(harness.attempt(server), ConnectionLost)
    assert len(harness.names()) == 1
    assert isinstance(harness.attempt(server), RequestRefused)
    removed = fault.requests["remove"]
    assert removed
    for _ in range(2):
        assert isinstance(harness.attempt(server), RequestRefused)
    assert fault.requests["remove"] == removed


def test_changed_directory_applies_to_a_dead_lettered_object(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(RefusesRequest, "posix_rename")
    refused = harness.attempt(server)
    assert isinstance(refused, DeliveryError)
    harness.give_up(refused)
    fault.clear()
    receipt = harness.attempt(server, directory="elsewhere")
    assert isinstance(receipt, Receipt)
    assert receipt.remote_path == f"elsewhere/{KEY}"
    assert contents_below(server.root) == {f"elsewhere/{KEY}": data}
