"""Streams, resuming and lost connections at real servers: a file is complete or has no final name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_sshd
from s3_to_sftp.errors import CheckpointLost, ConnectionLost, SizeMismatch, TransferError
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.protocol import LIMITS
from s3_to_sftp.sftp.upload import Staged
from tests.integration.conftest import skip_without_sshd
from tests.support.faults.sftp_server import (
    ClosesAfterRequests,
    Fault,
    LosesTheTail,
    OneHandle,
    ShortensAtClose,
    SpoolsPerHandle,
    TellsSizeLate,
    WatchedServer,
    faulty,
    without_extensions,
)
from tests.support.faults.tcp_proxy import Plan, tcp_proxy
from tests.support.noise import noise
from tests.support.other_servers import keeps_writes_of_two_handles, start_rclone
from tests.support.partner import client_for, contents_below, send, upload
from tests.support.sources import BytesSource, GatheringSource

MIB = 1024 * 1024
DATA = noise(8 * MIB + 4321)
LARGE = noise(60 * MIB)
TEMPORARY = ".a.part"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def same(found: bytes, expected: bytes) -> bool:
    """Compare without an explanation by pytest, which would take minutes."""
    return found == expected


# --- the probe for parallel writes ---


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("cache", ["writes", "full"])
@pytest.mark.parametrize("max_connections", [1, 3], ids=["channels", "connections"])
def test_rclone_that_discards_earlier_writes_gets_one_stream(
    cache: str, max_connections: int, root: Path, stack: ExitStack
) -> None:
    server = stack.enter_context(start_rclone(root, cache=cache))
    most = max(2, max_connections) if keeps_writes_of_two_handles(server) else 1
    client = client_for(server, max_connections=max_connections)
    stack.callback(client.close)
    for name in ("a.bin", "b.bin"):
        assert send(client, GatheringSource(DATA), name) == most
        assert same((root / name).read_bytes(), DATA)
    assert set(contents_below(root)) == {"a.bin", "b.bin"}


@pytest.mark.usefixtures("streams_at_any_distance")
def test_large_object_in_a_new_directory_gets_three_streams(server: RunningServer, stack: ExitStack) -> None:
    client = client_for(server, max_connections=3)
    stack.callback(client.close)
    assert send(client, GatheringSource(DATA), "2026/11/28/a.bin") == 3
    assert same((server.root / "2026/11/28/a.bin").read_bytes(), DATA)


@pytest.mark.usefixtures("streams_at_any_distance")
def test_server_with_one_handle_per_connection_gets_three_streams(root: Path, stack: ExitStack) -> None:
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=faulty(OneHandle, Fault())))
    client = client_for(server, max_connections=3)
    stack.callback(client.close)
    send(client, BytesSource(LARGE), "a.bin")
    assert same((root / "a.bin").read_bytes(), LARGE)
    assert send(client, GatheringSource(DATA), "b.bin") == 3
    assert same((root / "b.bin").read_bytes(), DATA)
    assert set(contents_below(root)) == {"a.bin", "b.bin"}


@pytest.mark.usefixtures("streams_at_any_distance")
def test_replaced_server_is_probed_again_for_parallel_writes(root: Path, stack: ExitStack) -> None:
    """The second server has the address and host key of the first; it discards parallel writes."""
    kinds: list[type[WatchedServer]] = [WatchedServer]
    fault = Fault()
    server = stack.enter_context(
        start_asyncssh_server(root, sftp_factory=lambda chan, chroot: kinds[-1](chan, chroot, fault=fault))
    )
    proxy = stack.enter_context(tcp_proxy(server.port))
    now = 0.0
    client = client_for(server, port=proxy.port, max_connections=3, clock=lambda: now)
    stack.callback(client.close)
    assert send(client, GatheringSource(DATA), "a.bin") == 3
    kinds.append(SpoolsPerHandle)
    proxy.cut()
    now = 3600.0
    assert send(client, GatheringSource(DATA[::-1]), "a.bin") == 1
    assert same((root / "a.bin").read_bytes(), DATA[::-1])


# --- a lost connection ---


def until_complete(
    attempt: Callable[[int, str, int | None], Staged], *, at_most: int = 30
) -> tuple[Staged, int]:
    """Send as a delivery does: resume over a new connection where the last one was lost.

    From the first loss without progress on, over one connection.
    """
    start, temporary, streams = 0, TEMPORARY, None
    for number in range(1, 1 + at_most):
        sent = attempt(start, temporary, streams)
        if sent.complete:
            return sent, number
        assert isinstance(sent.lost, ConnectionLost)
        if sent.acknowledged <= start:
            assert sent.streams > 1
            streams = 1
        start, temporary = sent.acknowledged, sent.temporary
    raise AssertionError("the upload never ends")


@pytest.mark.parametrize("max_connections", [1, 3])
@pytest.mark.parametrize("most", [1_000, 40])
def test_file_arrives_complete_at_server_that_closes_after_some_requests(
    most: int, max_connections: int, root: Path, stack: ExitStack, request: pytest.FixtureRequest
) -> None:
    if max_connections > 1:
        request.getfixturevalue("streams_at_any_distance")
    fault = Fault()
    factory = faulty(ClosesAfterRequests, fault, most=most)
    stack.enter_context(without_extensions(LIMITS))  # then a WRITE holds 32 KiB
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=factory))
    client = client_for(server, max_connections=max_connections)
    stack.callback(client.close)
    data = LARGE if most == 1_000 else DATA

    def attempt(start: int, temporary: str, streams: int | None) -> Staged:
        return upload(
            client, BytesSource(data), "a.bin", temporary=temporary, start=start, most_streams=streams
        )

    until_complete(attempt)
    assert same((root / "a.bin").read_bytes(), data)
    assert fault.requests["write"] * 32 * 1024 < 3 * len(data), "bytes are sent repeatedly"


@pytest.mark.parametrize("action", ["cut", "reset"])
@pytest.mark.parametrize("max_connections", [1, 3])
@pytest.mark.usefixtures("streams_at_any_distance")
def test_acknowledged_bytes_are_kept_when_the_connection_is_lost(
    max_connections: int, action: str, server: RunningServer, stack: ExitStack
) -> None:
    proxy = stack.enter_context(tcp_proxy(server.port))
    proxy.plan = Plan(action=action, to_server=3 * MIB)  # type: ignore[arg-type] # one of the two
    client = client_for(server, port=proxy.port, max_connections=max_connections)
    stack.callback(client.close)
    starts: list[int] = []

    def attempt(start: int, temporary: str, streams: int | None) -> Staged:
        starts.append(start)
        return upload(
            client, BytesSource(DATA), "a.bin", temporary=temporary, start=start, most_streams=streams
        )

    until_complete(attempt)
    assert same((server.root / "a.bin").read_bytes(), DATA)
    assert starts == sorted(starts)
    assert all(starts.count(start) <= 2 for start in starts)
    client.remove(TEMPORARY)  # as an interrupted delivery does: that includes a probe file
    assert contents_below(server.root).keys() == {"a.bin"}


def test_connection_lost_before_the_first_acknowledgement_is_an_error(root: Path, stack: ExitStack) -> None:
    server = stack.enter_context(
        start_asyncssh_server(root, sftp_factory=faulty(ClosesAfterRequests, Fault(), most=0))
    )
    client = client_for(server)
    stack.callback(client.close)
    with pytest.raises(ConnectionLost):
        upload(client, BytesSource(DATA), "a.bin", temporary=TEMPORARY)


def test_file_that_lost_acknowledged_bytes_is_not_resumed(root: Path, stack: ExitStack) -> None:
    server = stack.enter_context(
        start_asyncssh_server(root, sftp_factory=faulty(LosesTheTail, Fault(), most=20))
    )
    client = client_for(server)
    stack.callback(client.close)
    sent = upload(client, BytesSource(DATA), "a.bin", temporary=TEMPORARY)
    assert sent.lost
    with pytest.raises(CheckpointLost, match="were acknowledged"):
        upload(client, BytesSource(DATA), "a.bin", temporary=TEMPORARY, start=sent.acknowledged)


# --- the size ---


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("streams", [1, 3])
def test_file_of_wrong_size_gets_no_final_name(streams: int, root: Path, stack: ExitStack) -> None:
    fault = Fault()
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=faulty(ShortensAtClose, fault)))
    client = client_for(server, max_connections=streams)
    stack.callback(client.close)

    def attempt() -> TransferError | None:
        try:
            upload(client, GatheringSource(DATA), "a.bin", temporary=TEMPORARY, most_streams=streams)
        except SizeMismatch as mismatch:
            return mismatch
        return None

    error = attempt()
    if streams > 1:  # for one stream FSTAT travels with the data, and was right then
        assert error is not None
        assert f"{len(DATA)} were acknowledged" in error.reason
        assert contents_below(root) == {}
    fault.clear()
    assert attempt() is None
    assert same((root / "a.bin").read_bytes(), DATA)


def test_size_is_read_after_close_at_server_that_reports_it_only_then(root: Path, stack: ExitStack) -> None:
    fault = Fault()
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=faulty(TellsSizeLate, fault)))
    client = client_for(server)
    stack.callback(client.close)
    sent = upload(client, BytesSource(DATA), "a.bin", temporary=TEMPORARY)
    assert fault.caused
    assert sent.seen is not None
    assert sent.seen.size == len(DATA)
    assert same((root / "a.bin").read_bytes(), DATA)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.usefixtures("streams_at_any_distance")
def test_upload_returns_the_size_and_modification_time_of_the_file(
    streams: int, server: RunningServer, stack: ExitStack
) -> None:
    client = client_for(server, max_connections=streams)
    stack.callback(client.close)
    what = upload(client, GatheringSource(DATA), "a.bin", temporary=TEMPORARY, most_streams=streams).seen
    assert what is not None
    assert what.is_regular
    found = (server.root / "a.bin").stat()
    assert (what.size, what.mtime) == (len(DATA), int(found.st_mtime))


# --- resuming ---


def test_file_is_resumed_at_server_with_one_session_per_login(root: Path, stack: ExitStack) -> None:
    skip_without_sshd()
    server = stack.enter_context(start_sshd(root, extra_config=["MaxSessions 1"]))
    (root / TEMPORARY).write_bytes(DATA[:MIB])
    client: SftpClient = client_for(server)
    stack.callback(client.close)
    assert upload(client, BytesSource(DATA), "a.bin", temporary=TEMPORARY, start=MIB).complete
    assert same((root / "a.bin").read_bytes(), DATA)
