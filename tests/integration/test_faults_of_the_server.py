"""A server that misbehaves: no false success, no partial file, no leftovers, and the next delivery works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.delivery.batch import deliver_all
from s3_to_sftp.delivery.deadline import Deadline, Invocation
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import ConnectionLost, Disposition, PartnerRefusesWrites, RequestRefused
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME
from s3_to_sftp.state.receipt import Receipt
from tests.support.faults.sftp_server import (
    FAILURE,
    NO_SPACE_ON_FILESYSTEM,
    PERMISSION_DENIED,
    QUOTA_EXCEEDED,
    DeniesLooking,
    DiskFull,
    FailsOnClose,
    FailsOnMissingParent,
    Fault,
    HandleCap,
    NoSuchPath,
    OneOpenFile,
    Operation,
    RefuseAllCreates,
    RefusesAttributes,
    RefusesRequest,
    ScannerLock,
    Stalls,
    SweepsAway,
    faulty,
    without_extensions,
)
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import contents_below, delivery_to

KEY = "report.csv"
OLD = b"the old file, complete"
SAFE_WRITE = 32 * 1024 - 64
NEW = bytes(range(256)) * 8192  # 2 MiB: a number of writes, all of them within one window

Start = Callable[..., RunningServer]


@pytest.fixture
def fault() -> Fault:
    return Fault()


@pytest.fixture
def s3() -> MemoryS3:
    return MemoryS3({KEY: NEW})


@pytest.fixture
def start_faulty(root: Path, fault: Fault) -> Iterator[Start]:
    """Starts the server with a fault; it ends with the test."""
    with ExitStack() as stack:

        def start(kind: Callable[..., Any], *args: Any, hide: tuple[str, ...] = (), **kwargs: Any) -> Any:
            stack.enter_context(without_extensions(*hide))
            factory = faulty(kind, fault, *args, **kwargs)
            return stack.enter_context(start_asyncssh_server(root, sftp_factory=factory))

        yield start


def assert_fails_then_delivers(
    server: RunningServer,
    s3: MemoryS3,
    fault: Fault,
    *,
    before: dict[str, bytes],
    error: type[Exception],
    left_behind: int = 0,
) -> Any:
    """Deliver twice: with the fault, then without it. Return the error of the first delivery."""
    delivery = delivery_to(server, s3)
    for name, data in before.items():
        (server.root / name).write_bytes(data)
    with pytest.raises(error) as raised:
        delivery.deliver(s3.ref(KEY))
    assert fault.caused, "the fault did not happen: the test proves nothing"
    after = contents_below(server.root)
    temporary = [name for name in after if name.endswith(".part")]
    assert len(temporary) == left_behind
    assert {name: data for name, data in after.items() if name not in temporary} == before
    fault.clear()
    delivery.deliver(s3.ref(KEY))
    assert contents_below(server.root)[KEY] == NEW
    return raised.value


@pytest.fixture(params=[{}, {KEY: OLD}], ids=["new file", "over an old file"])
def before(request: pytest.FixtureRequest) -> dict[str, bytes]:
    """The files on the server before the delivery."""
    files: dict[str, bytes] = request.param
    return files


@pytest.mark.parametrize("nth", [1, 2, 8, 9])
def test_failure_of_any_write_fails_the_delivery(
    nth: int, before: dict[str, bytes], start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "write", nth=nth, code=FAILURE)
    error = assert_fails_then_delivers(server, s3, fault, before=before, error=RequestRefused)
    assert error.code == FAILURE


def test_failure_of_the_very_last_write_fails_the_delivery(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "write", nth=-(-len(NEW) // SAFE_WRITE), hide=(LIMITS,))
    assert_fails_then_delivers(server, s3, fault, before={}, error=RequestRefused)


def test_failure_of_close_fails_the_delivery(
    before: dict[str, bytes], start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    error = assert_fails_then_delivers(
        start_faulty(FailsOnClose), s3, fault, before=before, error=RequestRefused
    )
    assert "close" in str(error)


def test_failure_of_rename_fails_the_delivery(
    before: dict[str, bytes], start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "posix_rename", code=PERMISSION_DENIED)
    error = assert_fails_then_delivers(server, s3, fault, before=before, error=RequestRefused)
    assert "rename" in str(error)


def test_refused_rename_of_version_3_fails_the_delivery(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "rename", hide=(POSIX_RENAME,))
    assert_fails_then_delivers(server, s3, fault, before={}, error=RequestRefused)


def test_forbidden_rename_of_version_3_keeps_the_old_file(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "rename", code=PERMISSION_DENIED, hide=(POSIX_RENAME,))
    error = assert_fails_then_delivers(server, s3, fault, before={KEY: OLD}, error=RequestRefused)
    assert "rename" in str(error)


def test_old_file_stays_when_the_new_one_cannot_be_renamed(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    # Renames without OpenSSH's extension: onto the old file, the old one aside, the new one to its name.
    server = start_faulty(RefusesRequest, "rename", nth=3, code=PERMISSION_DENIED, hide=(POSIX_RENAME,))
    assert_fails_then_delivers(server, s3, fault, before={KEY: OLD}, error=RequestRefused)


def test_new_file_gets_its_name_although_the_old_one_cannot_be_removed(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "remove", code=PERMISSION_DENIED, hide=(POSIX_RENAME,))
    (server.root / KEY).write_bytes(OLD)
    delivery_to(server, s3).deliver(s3.ref(KEY))
    assert fault.caused
    files = contents_below(server.root)
    assert files.pop(KEY) == NEW
    assert list(files.values()) == [OLD]


def test_permission_denied_is_retried_with_a_hint(
    before: dict[str, bytes], start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(RefusesRequest, "open", code=PERMISSION_DENIED)
    error = assert_fails_then_delivers(server, s3, fault, before=before, error=RequestRefused)
    assert error.disposition is Disposition.RETRY
    assert "permission to write" in error.hint


@pytest.mark.parametrize("hide", [(), (POSIX_RENAME,)], ids=["posix-rename", "rename"])
def test_rename_refused_by_a_virus_scanner_is_retried(
    hide: tuple[str, ...], start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    error = assert_fails_then_delivers(
        start_faulty(ScannerLock, hide=hide), s3, fault, before={}, error=RequestRefused
    )
    assert (error.request, error.code) == ("rename", PERMISSION_DENIED)
    assert error.disposition is Disposition.RETRY


@pytest.mark.parametrize("code", [FAILURE, NO_SPACE_ON_FILESYSTEM, QUOTA_EXCEEDED])
@pytest.mark.parametrize("capacity", [0, 1_000_000, len(NEW) - 1])
def test_full_disk_fails_the_delivery_and_is_retried(
    code: int, capacity: int, start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(DiskFull, capacity=capacity, code=code)
    error = assert_fails_then_delivers(server, s3, fault, before={KEY: OLD}, error=RequestRefused)
    assert error.code == code
    assert error.disposition is Disposition.RETRY
    assert "disk" in error.hint or "quota" in error.hint


@pytest.mark.parametrize("operation", ["open", "write", "posix_rename"])
def test_unanswered_request_times_out(
    operation: str, start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(Stalls, operation)
    # A server that does not answer cannot be cleaned up.
    left_behind = 0 if operation == "open" else 1
    assert_fails_then_delivers(
        server, s3, fault, before={KEY: OLD}, error=ConnectionLost, left_behind=left_behind
    )


def test_unanswered_close_is_completed_over_another_connection(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(Stalls, "close")
    delivery_to(server, s3).deliver(s3.ref(KEY))
    assert fault.caused
    assert contents_below(server.root) == {KEY: NEW}


def test_unanswered_cleanup_does_not_hide_the_first_error(root: Path, s3: MemoryS3, fault: Fault) -> None:
    class FailsThenStalls(RefusesRequest):
        async def before(self, operation: Operation) -> None:
            if operation == "remove":
                await self.silence()
            await super().before(operation)

    factory = faulty(FailsThenStalls, fault, "write", nth=2)
    with start_asyncssh_server(root, sftp_factory=factory) as server:
        with pytest.raises(RequestRefused, match="refused to write"):
            delivery_to(server, s3).deliver(s3.ref(KEY))
        assert fault.requests["remove"] > 0, "the cleanup was not requested"


# --- peculiarities of servers that are not errors ---


def assert_delivers(server: RunningServer, s3: MemoryS3) -> None:
    delivery: Delivery = delivery_to(server, s3)
    delivery.deliver(s3.ref(KEY))
    delivery.deliver(s3.ref(KEY))  # again, over the file of the first time
    assert contents_below(server.root) == {KEY: NEW}


def test_file_is_delivered_to_a_drop_box_that_refuses_stat(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    assert_delivers(start_faulty(DeniesLooking), s3)
    assert fault.caused


def test_drop_box_that_cannot_replace_reports_the_refused_rename(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    server = start_faulty(DeniesLooking, hide=(POSIX_RENAME,))
    (server.root / KEY).write_bytes(OLD)
    with pytest.raises(RequestRefused, match="refused to rename"):
        delivery_to(server, s3).deliver(s3.ref(KEY))
    assert contents_below(server.root) == {KEY: OLD}


def test_file_removed_right_after_its_rename_is_delivered(
    tmp_path: Path, start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    swept = tmp_path / "swept"
    swept.mkdir()
    server = start_faulty(SweepsAway, swept=swept)
    delivery_to(server, s3).deliver(s3.ref(KEY))
    assert contents_below(server.root) == {}
    assert contents_below(swept) == {KEY: NEW}


def test_file_is_delivered_without_setting_attributes(
    start_faulty: Start, s3: MemoryS3, fault: Fault
) -> None:
    assert_delivers(start_faulty(RefusesAttributes), s3)
    assert not fault.caused


def test_file_is_delivered_with_one_open_file(start_faulty: Start, s3: MemoryS3, fault: Fault) -> None:
    assert_delivers(start_faulty(OneOpenFile), s3)
    assert not fault.caused


@pytest.mark.parametrize("code", [PERMISSION_DENIED, FAILURE])
@pytest.mark.parametrize("most", [1, 2, 8])
def test_batch_is_delivered_where_few_files_can_be_open(
    most: int, code: int, start_faulty: Start, fault: Fault
) -> None:
    server = start_faulty(HandleCap, most=most, code=code)
    s3 = MemoryS3({f"{number}.csv": str(number).encode() for number in range(30)})
    delivery = delivery_to(server, s3)
    refs = [s3.ref(key) for key in s3.objects]
    for _ in range(2):
        assert {
            type(outcome) for _, outcome in deliver_all(delivery, refs, Invocation(Deadline(lambda: 900)))
        } == {Receipt}
        assert contents_below(server.root) == s3.objects
        refused, fault.caused = fault.caused, 0
    assert not refused, "the limit of the server is remembered"


def test_server_that_refuses_all_creates_is_not_asked_for_every_object(
    start_faulty: Start, fault: Fault
) -> None:
    server = start_faulty(RefuseAllCreates)
    s3 = MemoryS3({f"{number}.csv": str(number).encode() for number in range(200)})
    delivery = delivery_to(server, s3)
    refs = [s3.ref(key) for key in s3.objects]
    outcomes = [outcome for _, outcome in deliver_all(delivery, refs, Invocation(Deadline(lambda: 900)))]
    assert {type(outcome) for outcome in outcomes} == {RequestRefused, PartnerRefusesWrites}
    assert fault.caused <= 64
    assert not any(getattr(outcome, "disposition", None) is Disposition.PERMANENT for outcome in outcomes)
    fault.clear()
    assert {
        type(outcome) for _, outcome in deliver_all(delivery, refs, Invocation(Deadline(lambda: 900)))
    } == {Receipt}
    assert contents_below(server.root) == s3.objects


@pytest.mark.parametrize("hide", [(POSIX_RENAME,), (LIMITS,), (POSIX_RENAME, LIMITS)])
def test_file_is_delivered_without_the_openssh_extensions(
    hide: tuple[str, ...], start_faulty: Start, s3: MemoryS3
) -> None:
    assert_delivers(start_faulty(OneOpenFile, hide=hide), s3)


@pytest.mark.parametrize("kind", [FailsOnMissingParent, NoSuchPath])
def test_directories_are_made_whatever_status_reports_a_missing_parent(
    kind: Callable[..., Any], start_faulty: Start, fault: Fault
) -> None:
    server = start_faulty(kind)
    s3 = MemoryS3({"a/b/c/report.csv": NEW})
    delivery_to(server, s3).deliver(s3.ref("a/b/c/report.csv"))
    assert fault.caused
    assert contents_below(server.root) == {"a/b/c/report.csv": NEW}


def test_refused_mkdir_is_the_reported_error(start_faulty: Start, fault: Fault) -> None:
    server = start_faulty(RefusesRequest, "mkdir", code=PERMISSION_DENIED)
    s3 = MemoryS3({"a/b/report.csv": NEW})
    with pytest.raises(RequestRefused, match="refused to make the directory 'a/b': status 3") as raised:
        delivery_to(server, s3).deliver(s3.ref("a/b/report.csv"))
    assert (raised.value.request, raised.value.code) == ("mkdir", PERMISSION_DENIED)
