"""Every fault of server and network, with a ledger: a clear error, and the next attempt delivers.

The file under the final name is the old or the new one, complete, at every moment. After the delivery no
other file of ours is left at the partner, and the same event makes no further connection.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.delivery.deadline import SMALL_BYTES
from s3_to_sftp.errors import (
    ConnectionLost,
    DeliveryError,
    Disposition,
    PartnerUnreachable,
    RenameUnanswered,
    RequestRefused,
    ResumeNotSupported,
    ResumeRefused,
    TooManyConnections,
)
from s3_to_sftp.outcomes import AlreadyDelivered, CheckpointSaved
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME
from s3_to_sftp.state.receipt import Receipt
from tests.support.faults.sftp_server import (
    NO_SPACE_ON_FILESYSTEM,
    PERMISSION_DENIED,
    QUOTA_EXCEEDED,
    DeniesLooking,
    DiskFull,
    FailsOnClose,
    Fault,
    HangsUp,
    OneOpenFile,
    RefusesAttributes,
    RefusesRequest,
    RefusesSecondOpen,
    SpoolsPerHandle,
    Stalls,
    SweepsAway,
    TakesShortWritesOnly,
    WatchedServer,
    WritesInOrderOnly,
    faulty,
    stating_write_limit,
    without_extensions,
)
from tests.support.faults.tcp_proxy import HEALTHY, Plan, tcp_proxy
from tests.support.ledger_harness import KEY, LedgerHarness, are_files
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import connections, contents_below
from tests.support.watch import never_partial

OLD = b"the old file, complete"
DATA = os.urandom(SMALL_BYTES + 300_000)  # a number of writes
SIZES = {"small": DATA[:SMALL_BYTES], "large": DATA}


@dataclass(frozen=True)
class Case:
    """A server's fault.

    Attributes:
        kind: Makes the server.
        raises: Error of the first attempt; None: it delivers.
        disposition: Disposition of that error.
        around: Entered before the server starts.
    """

    kind: Callable[..., Any]
    raises: type[DeliveryError] | None = None
    disposition: Disposition = Disposition.RETRY
    around: Callable[[], AbstractContextManager[None]] = field(default=without_extensions)


def refuses(operation: str, **about: Any) -> Callable[..., Any]:
    return functools.partial(_in_order(RefusesRequest, operation), **about)


def hangs_up(operation: str, **about: Any) -> Callable[..., Any]:
    return functools.partial(_in_order(HangsUp, operation), **about)


def stalls(operation: str) -> Callable[..., Any]:
    return _in_order(Stalls, operation)


def _in_order(kind: Callable[..., Any], operation: str) -> Callable[..., Any]:
    return lambda chan, chroot, **more: kind(chan, chroot, operation, **more)


def full(code: int) -> Callable[..., Any]:
    return functools.partial(DiskFull, capacity=600_000, code=code)


no_posix_rename = functools.partial(without_extensions, POSIX_RENAME)
no_limits = functools.partial(without_extensions, LIMITS)
drop_box = functools.partial(without_extensions, POSIX_RENAME, LIMITS)
PERMANENT = Disposition.PERMANENT

FAULTS = {
    "OPEN fails": Case(refuses("open"), RequestRefused),
    "OPEN is denied": Case(refuses("open", code=PERMISSION_DENIED), RequestRefused),
    "the first WRITE fails": Case(refuses("write", nth=1), RequestRefused),
    "another WRITE fails": Case(refuses("write", nth=3), RequestRefused),
    "CLOSE fails": Case(FailsOnClose, RequestRefused),
    "RENAME fails": Case(refuses("posix_rename", code=PERMISSION_DENIED), RequestRefused),
    "RENAME fails over a file": Case(refuses("posix_rename"), None),
    "RENAME of version 3 fails": Case(refuses("rename", nth=1), None, around=no_posix_rename),
    "RENAME of version 3 always fails": Case(refuses("rename"), RequestRefused, around=no_posix_rename),
    "STAT fails": Case(refuses("stat"), None),
    "the disk is full": Case(full(NO_SPACE_ON_FILESYSTEM), RequestRefused),
    "the quota is used up": Case(full(QUOTA_EXCEEDED), RequestRefused),
    "no extension of OpenSSH's": Case(WatchedServer, None, around=drop_box),
    "nothing may be looked at": Case(DeniesLooking, None),
    "attributes may not be set": Case(RefusesAttributes, None),
    "one file may be open": Case(OneOpenFile, None),
    "nothing may be opened a second time": Case(RefusesSecondOpen, None),
    "bytes must come in order": Case(WritesInOrderOnly, None),
    "short WRITEs, and it says so": Case(
        functools.partial(TakesShortWritesOnly, most=5000), None, around=lambda: stating_write_limit(5000)
    ),
    "short WRITEs, and it says nothing": Case(
        functools.partial(TakesShortWritesOnly, most=32 * 1024), None, around=no_limits
    ),
    "shorter WRITEs than it says": Case(functools.partial(TakesShortWritesOnly, most=5000), RequestRefused),
    "it hangs up at OPEN": Case(hangs_up("open"), ConnectionLost),
    "it hangs up after OPEN": Case(hangs_up("open", done=True), ConnectionLost),
    "it hangs up at a WRITE": Case(hangs_up("write", nth=3), ConnectionLost),
    "it hangs up at CLOSE": Case(hangs_up("close"), ConnectionLost),
    "it hangs up after CLOSE": Case(hangs_up("close", done=True), ConnectionLost),
    "it hangs up at RENAME": Case(hangs_up("posix_rename"), RenameUnanswered),
    "it hangs up after RENAME": Case(hangs_up("posix_rename", done=True), RenameUnanswered),
    "it is silent from a WRITE on": Case(stalls("write"), ConnectionLost),
    "it is silent from RENAME on": Case(stalls("posix_rename"), RenameUnanswered),
}


@pytest.fixture(params=SIZES)
def data(request: pytest.FixtureRequest) -> bytes:
    return SIZES[request.param]


@pytest.fixture
def harness(dynamodb: Any, data: bytes) -> Iterator[LedgerHarness]:
    harness = LedgerHarness(dynamodb, MemoryS3({KEY: data}))
    yield harness
    harness.close()


@pytest.fixture
def fault() -> Fault:
    return Fault()


Start = Callable[[Case], RunningServer]


@pytest.fixture
def start(root: Path, fault: Fault) -> Iterator[Start]:
    """Starts a server with a fault and an old file; it ends with the test."""
    (root / KEY).write_bytes(OLD)
    with ExitStack() as stack:

        def start(case: Case) -> RunningServer:
            stack.enter_context(case.around())
            factory = faulty(case.kind, fault)
            return stack.enter_context(start_asyncssh_server(root, sftp_factory=factory))

        yield start


def is_resumed(outcome: Receipt | Exception, error: type[DeliveryError], data: bytes) -> bool:
    """Return whether a large object was resumed over another connection, within the same attempt."""
    return isinstance(outcome, Receipt) and error is ConnectionLost and len(data) > SMALL_BYTES


def assert_delivered_once(
    harness: LedgerHarness, server: RunningServer, data: bytes, *, port: int | None = None
) -> None:
    """Assert that the object is delivered, recorded, and not sent again."""
    assert are_files(server, report=data)
    assert harness.state() == "DELIVERED"
    assert not harness.is_leased()
    before = connections(server)
    assert isinstance(harness.attempt(server, port=port), AlreadyDelivered)
    assert connections(server) == before


@pytest.mark.parametrize("name", FAULTS)
def test_object_is_delivered_once_despite_a_fault_of_the_server(
    name: str, data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    case = FAULTS[name]
    server = start(case)
    # Without OpenSSH's extension there is a moment without a file, but never with a partial one.
    with never_partial(server.root / KEY, OLD, data):
        outcome = harness.attempt(server)
        if case.raises is None:
            assert isinstance(outcome, Receipt), outcome
        else:
            assert fault.caused, "the fault did not happen: the test proves nothing"
            if not is_resumed(outcome, case.raises, data):
                assert type(outcome) is case.raises
                assert isinstance(outcome, case.raises)
                assert outcome.disposition is case.disposition
                assert harness.state() in {"SENDING", "STAGED", "COMMITTING"}
                assert not harness.is_leased()
                fault.clear()
                assert isinstance(harness.attempt(server), Receipt)
            fault.clear()
    assert_delivered_once(harness, server, data)


def test_file_removed_right_after_its_rename_is_delivered(
    tmp_path: Path, data: bytes, harness: LedgerHarness, start: Start
) -> None:
    swept = tmp_path / "swept"
    swept.mkdir()
    server = start(Case(functools.partial(SweepsAway, swept=swept)))
    assert isinstance(harness.attempt(server), Receipt)
    assert contents_below(server.root) == {}
    assert isinstance(harness.attempt(server), AlreadyDelivered)
    assert list(contents_below(swept)) == [KEY]


# --- the network ---

BANNER = b"Exceeded MaxStartups\r\n"
BREAKS = {
    "a banner that is an error": (Plan(banner=BANNER), TooManyConnections, Disposition.PARTNER),
    "a slow accept": (Plan(accept_delay=0.3), None, None),
    "a cut in the handshake": (Plan(to_server=500), PartnerUnreachable, Disposition.PARTNER),
    "a cut in the bytes": (Plan(to_server=500_000), ConnectionLost, Disposition.RETRY),
    "a reset in the bytes": (Plan(to_server=500_000, action="reset"), ConnectionLost, Disposition.RETRY),
    "silence in the bytes": (Plan(to_server=500_000, action="stall"), ConnectionLost, Disposition.RETRY),
}


@pytest.mark.parametrize("name", BREAKS)
def test_object_is_delivered_once_despite_a_fault_of_the_network(
    name: str, data: bytes, harness: LedgerHarness, start: Start
) -> None:
    plan, error, disposition = BREAKS[name]
    server = start(Case(WatchedServer))
    with tcp_proxy(server.port, plan) as proxy, never_partial(server.root / KEY, OLD, data):
        outcome = harness.attempt(server, port=proxy.port)
        if error is None:
            assert isinstance(outcome, Receipt)
        else:
            if not is_resumed(outcome, error, data):
                assert isinstance(outcome, error)
                assert outcome.disposition is disposition
                assert not harness.is_leased()
                proxy.plan = HEALTHY
                assert isinstance(harness.attempt(server, port=proxy.port), Receipt)
            proxy.plan = HEALTHY
        assert_delivered_once(harness, server, data, port=proxy.port)


def test_connection_closed_while_idle_is_replaced_within_the_same_delivery(
    data: bytes, harness: LedgerHarness, start: Start
) -> None:
    server = start(Case(WatchedServer))
    harness.s3.objects["other.csv"] = b"the next one"
    with (
        tcp_proxy(server.port) as proxy,
        harness.function(server, port=proxy.port) as function,
    ):
        assert isinstance(harness.invoke(function), Receipt)
        proxy.cut()
        wait_until(lambda: "connection ended" in server.read_log())
        other = harness.invoke(function, ref=harness.announced("0A", key="other.csv"))
        assert isinstance(other, Receipt)
        assert other.attempt == 1
    assert are_files(server, report=data, other=b"the next one")


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- more than one invocation ---

only_large = pytest.mark.parametrize("data", [DATA], ids=["large"])
IN_PIECES = Case(WatchedServer, around=lambda: stating_write_limit(5000))


def ends_within_the_object() -> Callable[[], float]:
    """Return the remaining time of an invocation that ends within the large object; read at each WRITE."""
    times = itertools.count()
    return lambda: 900.0 if next(times) < 100 else 0.0


def save_checkpoint(harness: LedgerHarness, server: RunningServer) -> Path:
    """Deliver a part, up to a checkpoint; return the temporary file."""
    assert isinstance(harness.attempt(server, remaining=ends_within_the_object()), CheckpointSaved)
    assert (server.root / KEY).read_bytes() == OLD
    (part,) = (path for path in server.root.iterdir() if path.name != KEY)
    assert 0 < part.stat().st_size < len(DATA)
    return part


@only_large
def test_next_invocation_resumes_at_the_checkpoint(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(IN_PIECES)
    save_checkpoint(harness, server)
    sent = fault.requests["write"]
    assert isinstance(harness.attempt(server), Receipt)
    probing = 2 * 3  # WRITEs of the probe for resuming, over either connection
    assert 0 <= fault.requests["write"] - -(-len(data) // 5000) <= probing
    assert 0 < sent < fault.requests["write"]
    assert_delivered_once(harness, server, data)


@only_large
@pytest.mark.parametrize("what", ["is swept away", "is cut short", "is emptied"])
def test_object_is_sent_from_the_beginning_where_its_temporary_file_contradicts_the_checkpoint(
    what: str, data: bytes, harness: LedgerHarness, start: Start
) -> None:
    server = start(IN_PIECES)
    part = save_checkpoint(harness, server)
    if what == "is swept away":
        part.unlink()
    else:
        os.truncate(part, part.stat().st_size - 1 if what == "is cut short" else 0)
    assert isinstance(harness.attempt(server), Receipt)
    assert_delivered_once(harness, server, data)


@only_large
def test_object_is_sent_from_the_beginning_where_resuming_is_refused_three_times(
    data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    fault.clear()
    server = start(Case(RefusesSecondOpen, around=lambda: stating_write_limit(5000)))
    save_checkpoint(harness, server)
    fault.broken = True
    for _ in range(3):  # a refusal may be transient
        assert isinstance(harness.attempt(server), ResumeRefused)
    assert isinstance(harness.attempt(server), Receipt)
    assert fault.caused
    assert_delivered_once(harness, server, data)


@only_large
@pytest.mark.parametrize("kind", [SpoolsPerHandle, RefusesSecondOpen, WritesInOrderOnly])
def test_object_too_large_for_one_invocation_is_refused_before_any_upload_without_resume(
    kind: Callable[..., Any], data: bytes, harness: LedgerHarness, start: Start, fault: Fault
) -> None:
    server = start(Case(kind))
    refused = harness.attempt(server, remaining=lambda: 0.02)
    assert isinstance(refused, ResumeNotSupported)
    assert are_files(server, report=OLD)
    assert fault.requests["write"] <= 2
    # One invocation with enough time delivers it.
    assert isinstance(harness.attempt(server), Receipt)
    assert_delivered_once(harness, server, data)


@only_large
def test_checkpoint_survives_a_cut_connection(data: bytes, harness: LedgerHarness, start: Start) -> None:
    server = start(IN_PIECES)
    save_checkpoint(harness, server)
    with tcp_proxy(server.port, Plan(to_server=300_000)) as proxy:
        # Each connection makes progress, unless it is cut before there is anything for a checkpoint.
        outcome = harness.attempt(server, port=proxy.port)
        assert isinstance(outcome, Receipt | ConnectionLost)
    if not isinstance(outcome, Receipt):
        assert isinstance(harness.attempt(server), Receipt)
    files = contents_below(server.root)
    assert files.pop(KEY) == data
    assert set(files) <= set(harness.names()), "the last connection may have been cut during the cleanup"
    assert harness.state() == "DELIVERED"
