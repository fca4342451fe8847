"""Every fault, on one stream, two channels, three connections: a clear error or the same bytes, never a gap.

The fault may strike the first stream, whose failure fails the delivery, or a further one, whose work the
others take over. The threads decide which; the guarantee is the same.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.errors import ConnectionLost, DeliveryError, RequestRefused
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import LIMITS, POSIX_RENAME
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.faults.sftp_server import (
    FAILURE,
    NO_SPACE_ON_FILESYSTEM,
    PERMISSION_DENIED,
    DiskFull,
    FailsOnClose,
    Fault,
    HangsUp,
    IgnoresOffsets,
    OneOpenFile,
    RefusesReading,
    RefusesRequest,
    RefusesSecondOpen,
    SpoolsPerHandle,
    Stalls,
    SweepsAtClose,
    WatchedServer,
    WritesInOrderOnly,
    faulty,
    without_extensions,
)
from tests.support.faults.tcp_proxy import Plan, TcpProxy, tcp_proxy
from tests.support.noise import noise
from tests.support.pace import short
from tests.support.partner import client_for, contents_below, send
from tests.support.sources import GatheringSource
from tests.support.watch import never_partial

pytestmark = pytest.mark.usefixtures("streams_at_any_distance")

KEY = "report.csv"
OLD = b"the old file, complete"
NEW = noise(6 * 1024 * 1024 + 12345)  # 25 ranges: more than the streams can have in flight at first
SHORT = short(connect=3, handshake=1.5, login=1.5, reply=1.5)
"""For servers that stop answering."""

PATIENT = Timeouts(connect=60, handshake=60, login=60, reply=60)
"""For all other servers: a busy machine may let them answer late."""

streams = pytest.mark.parametrize("streams", [1, 2, 3], ids=["one stream", "two channels", "three streams"])


@dataclass
class StreamsEnvironment:
    """A server that may misbehave, a proxy that may break connections, and a client behind both."""

    server: RunningServer
    proxy: TcpProxy
    client: SftpClient
    streams: int

    def deliver(self) -> int:
        """Deliver NEW over OLD, and assert that nothing else is seen there; return the number of streams."""
        target = self.server.root / KEY
        with never_partial(target, OLD, NEW):
            used = send(self.client, GatheringSource(NEW), KEY, most_streams=self.streams)
            # Not `assert a == b`: in CI pytest explains the difference of megabytes for minutes.
            arrived_whole = target.read_bytes() == NEW
            assert arrived_whole
        return used

    def error_of_delivery(self) -> DeliveryError | None:
        """Deliver during the fault; return the error. An error leaves the old file, success the new one."""
        error = None
        (self.server.root / KEY).write_bytes(OLD)
        try:
            self.deliver()
        except DeliveryError as raised:
            error = raised
        if error is not None:
            assert (self.server.root / KEY).read_bytes() == OLD
            assert f"{self.server.host}:{self.proxy.port}" in error.reason
        return error

    def left_behind(self) -> list[str]:
        """Names of files that are neither the old nor the new one."""
        return sorted(set(contents_below(self.server.root)) - {KEY})


Start = Callable[..., StreamsEnvironment]


@pytest.fixture
def fault() -> Fault:
    return Fault()


@pytest.fixture
def start(root: Path, fault: Fault, streams: int) -> Iterator[Start]:
    """Starts a server with a fault; it ends with the test."""
    with ExitStack() as stack:

        def start(
            kind: Callable[..., Any] = WatchedServer,
            *args: Any,
            hide: tuple[str, ...] = (),
            options: dict[str, Any] | None = None,
            timeouts: Timeouts = PATIENT,
            **kwargs: Any,
        ) -> StreamsEnvironment:
            (root / KEY).write_bytes(OLD)
            stack.enter_context(without_extensions(*hide))
            factory = faulty(kind, fault, *args, **kwargs)
            server = stack.enter_context(start_asyncssh_server(root, sftp_factory=factory, options=options))
            proxy = stack.enter_context(tcp_proxy(server.port))
            # Where one connection is allowed, the second stream is a channel.
            client = client_for(
                server, port=proxy.port, max_connections=1 if streams == 2 else streams, timeouts=timeouts
            )
            stack.callback(client.close)
            return StreamsEnvironment(server, proxy, client, streams)

        yield start


def fail_or_deliver_then_deliver(env: StreamsEnvironment, fault: Fault) -> DeliveryError | None:
    error = env.error_of_delivery()
    assert fault.caused, "the fault did not happen: the test proves nothing"
    fault.clear()
    env.deliver()
    return error


@streams
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 10, 25])
def test_one_refused_write_leaves_no_gap_and_no_file(
    nth: int, streams: int, start: Start, fault: Fault
) -> None:
    env = start(RefusesRequest, "write", nth=nth, code=FAILURE)
    error = fail_or_deliver_then_deliver(env, fault)
    assert streams > 1 or isinstance(error, RequestRefused)
    assert error is None or "offset" in error.reason
    assert env.left_behind() == []


@streams
def test_refusal_of_all_writes_fails_the_delivery(streams: int, start: Start, fault: Fault) -> None:
    env = start(RefusesRequest, "write")
    assert isinstance(fail_or_deliver_then_deliver(env, fault), RequestRefused)
    assert env.left_behind() == []


@streams
def test_refusal_of_all_closes_fails_the_delivery(streams: int, start: Start, fault: Fault) -> None:
    env = start(FailsOnClose)
    error = fail_or_deliver_then_deliver(env, fault)
    assert isinstance(error, RequestRefused)
    assert "close" in error.reason
    assert env.left_behind() == []


@pytest.mark.parametrize(("streams", "nth"), [(1, 1), (3, 1), (3, 2), (3, 3)])
def test_one_refused_close_leaves_no_gap_and_no_file(
    nth: int, streams: int, start: Start, fault: Fault
) -> None:
    env = start(RefusesRequest, "close", nth=nth)
    error = fail_or_deliver_then_deliver(env, fault)
    assert streams > 1 or isinstance(error, RequestRefused)
    assert env.left_behind() == []


@streams
@pytest.mark.parametrize("hide", [(), (POSIX_RENAME,)], ids=["posix-rename", "rename"])
def test_refused_rename_keeps_the_complete_temporary_file(
    hide: tuple[str, ...], streams: int, start: Start, fault: Fault
) -> None:
    if hide:
        # Version 3 moves the old file aside between two attempts: refuse the last.
        env = start(RefusesRequest, "rename", nth=3, hide=hide)
    else:
        env = start(RefusesRequest, "posix_rename", code=PERMISSION_DENIED)
    assert isinstance(env.error_of_delivery(), RequestRefused)
    assert fault.caused
    (complete,) = env.left_behind()  # the next attempt of a delivery starts there
    assert (env.server.root / complete).read_bytes() == NEW
    (env.server.root / complete).unlink()
    fault.clear()
    send(env.client, GatheringSource(NEW), KEY, most_streams=streams)
    assert contents_below(env.server.root) == {KEY: NEW}


@streams
@pytest.mark.parametrize("capacity", [0, 1_000_000, 1_500_000])
def test_full_disk_fails_the_delivery_and_leaves_no_file(
    capacity: int, streams: int, start: Start, fault: Fault
) -> None:
    env = start(DiskFull, capacity=capacity, code=NO_SPACE_ON_FILESYSTEM)
    error = fail_or_deliver_then_deliver(env, fault)
    assert isinstance(error, RequestRefused)
    assert error.code == NO_SPACE_ON_FILESYSTEM
    assert env.left_behind() == []


@pytest.mark.parametrize(
    ("streams", "operation", "nth"),
    [
        *(
            (streams, operation, 1)
            for streams in (1, 3)
            for operation in ("open", "write", "close", "posix_rename")
        ),
        *((3, operation, 2) for operation in ("open", "write", "close")),
        (1, "write", 10),
    ],
)
def test_stalled_request_times_out_or_another_stream_takes_over(
    operation: str, nth: int, streams: int, start: Start, fault: Fault
) -> None:
    env = start(Stalls, operation, nth=nth, timeouts=SHORT)
    error = fail_or_deliver_then_deliver(env, fault)
    assert streams > 1 or isinstance(error, ConnectionLost)
    assert error is None or re.search("did not answer in time|took no more data for too long", error.reason)


# Bytes towards the server: within the login, and within the data.
CUTS = [3_000, 500_000, 1_500_000]


@pytest.mark.parametrize(("streams", "number"), [(1, 0), (3, 0), (3, 1)])
@pytest.mark.parametrize("action", ["cut", "reset", "stall"])
@pytest.mark.parametrize("at", CUTS)
def test_broken_connection_fails_or_another_stream_takes_over(
    action: str, at: int, number: int, streams: int, start: Start
) -> None:
    env = start(timeouts=SHORT)
    env.proxy.plans = {number: Plan(action=action, to_server=at)}  # type: ignore[arg-type] # one of the three
    error = None
    # The streams share the work: this one may have sent less than that, or was not needed.
    while not env.proxy.broken:
        error = env.error_of_delivery()
        assert error is None or env.proxy.broken
    assert streams > 1 or error is not None
    env.deliver()


@streams
@pytest.mark.parametrize("action", ["cut", "stall"])
@pytest.mark.parametrize("at", [2_500, 3_400, 4_500])
def test_connection_broken_towards_the_client_fails_the_delivery(
    action: str, at: int, streams: int, start: Start
) -> None:
    env = start(timeouts=SHORT)
    env.proxy.plan = Plan(action=action, to_client=at)  # type: ignore[arg-type] # one of the two
    assert env.error_of_delivery() is not None
    env.proxy.plan = Plan()
    env.deliver()


# --- servers with fewer capabilities: the delivery uses those that remain ---


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns what the program has logged, warnings and worse."""
    caplog.set_level(logging.WARNING, "s3_to_sftp")
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("s3_to_sftp")]


@streams
@pytest.mark.parametrize(
    "kind",
    [OneOpenFile, RefusesSecondOpen, WritesInOrderOnly, RefusesReading, SweepsAtClose],
    ids=lambda kind: str(kind.__name__),
)
def test_server_that_allows_one_writer_gets_one_stream_and_one_warning(
    kind: type[WatchedServer], streams: int, start: Start, warnings: Callable[[], list[str]]
) -> None:
    env = start(kind)
    for _ in range(3):
        env.deliver()
    assert env.deliver() == 1
    assert env.left_behind() == []
    assert len(warnings()) == (streams > 1), warnings()


@streams
@pytest.mark.parametrize("kind", [SpoolsPerHandle, IgnoresOffsets], ids=lambda kind: str(kind.__name__))
def test_server_that_discards_parallel_writes_gets_one_stream_and_one_warning(
    kind: type[WatchedServer], streams: int, start: Start, warnings: Callable[[], list[str]]
) -> None:
    env = start(kind)
    assert [env.deliver(), env.deliver()] == [1, 1]
    assert env.left_behind() == []
    assert len(warnings()) == (streams > 1), warnings()


@pytest.mark.parametrize("streams", [2, 3], ids=["two channels", "three streams"])
@pytest.mark.parametrize("nth", [2, 3, 4], ids=["create", "open", "open for reading"])
def test_server_that_disconnects_during_the_probe_is_not_probed_again(
    nth: int, streams: int, start: Start, fault: Fault, warnings: Callable[[], list[str]]
) -> None:
    env = start(HangsUp, "open", nth=nth)
    error = fail_or_deliver_then_deliver(env, fault)
    # The second file is opened by the first stream, the others by the further one.
    assert isinstance(error, ConnectionLost) or (streams == 3 and nth > 2)
    assert env.deliver() == 1
    assert len(warnings()) == 1, warnings()


@streams
def test_connection_limit_leaves_two_channels_and_one_warning(
    streams: int, start: Start, warnings: Callable[[], list[str]]
) -> None:
    env = start()
    env.proxy.at_most = 1
    assert [env.deliver(), env.deliver(), env.deliver()] == [
        1 if streams == 3 else streams,
        *[min(2, streams)] * 2,
    ]
    assert env.proxy.connections == (3 if streams == 3 else 1), "a refused connection was requested again"
    assert len(warnings()) == (streams == 3), warnings()


@streams
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": 32 * 1024},
        {"max_pktsize": 4096},
        {"max_pktsize": 4096, "window": 4096},
        {"encryption_algs": ["aes256-ctr"]},
        {"encryption_algs": ["aes256-gcm@openssh.com"]},
        {"encryption_algs": ["chacha20-poly1305@openssh.com", "aes128-ctr"], "mac_algs": ["hmac-sha2-256"]},
        {"compression_algs": ["zlib@openssh.com", "none"]},
    ],
    ids=str,
)
def test_small_windows_and_other_algorithms_leave_the_bytes_unchanged(
    options: dict[str, Any], streams: int, start: Start
) -> None:
    env = start(hide=(LIMITS,), options=options)
    assert env.deliver() == streams
    assert env.left_behind() == []


@streams
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no TCP_USER_TIMEOUT")
def test_server_that_stops_reading_on_all_streams_times_out(streams: int, start: Start) -> None:
    env = start(timeouts=SHORT)
    env.proxy.plan = Plan(action="stall", to_server=700_000)
    assert isinstance(env.error_of_delivery(), ConnectionLost)
    env.proxy.plan = Plan()
    env.deliver()
