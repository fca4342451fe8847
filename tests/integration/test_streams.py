"""Several streams, resuming, lost connections at real servers: what arrives is right, or is not there."""

from __future__ import annotations

import os
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
from tests.support.other_servers import start_rclone
from tests.support.partner import files_below, partner_at, send, upload
from tests.support.sources import BytesSource, GatheringSource

MIB = 1024 * 1024
DATA = os.urandom(8 * MIB + 4321)
LARGE = os.urandom(60 * MIB)
TEMPORARY = ".a.part"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def same(found: bytes, expected: bytes) -> bool:
    """Compare without the explanation that pytest would give for minutes."""
    return found == expected


# --- the proof ---


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("cache", ["writes", "full"])
@pytest.mark.parametrize("max_connections", [1, 3], ids=["channels", "connections"])
def test_rclone_that_wipes_what_was_written_gets_one_stream(
    cache: str, max_connections: int, root: Path, stack: ExitStack
) -> None:
    server = stack.enter_context(start_rclone(root, cache=cache))
    partner = partner_at(server, max_connections=max_connections)
    stack.callback(partner.close)
    for name in ("a.bin", "b.bin"):
        assert send(partner, GatheringSource(DATA), name) == 1
        assert same((root / name).read_bytes(), DATA)
    assert set(files_below(root)) == {"a.bin", "b.bin"}


@pytest.mark.usefixtures("streams_at_any_distance")
def test_large_object_in_a_new_directory_gets_streams(server: RunningServer, stack: ExitStack) -> None:
    partner = partner_at(server, max_connections=3)
    stack.callback(partner.close)
    assert send(partner, GatheringSource(DATA), "2026/11/28/a.bin") == 3
    assert same((server.root / "2026/11/28/a.bin").read_bytes(), DATA)


@pytest.mark.usefixtures("streams_at_any_distance")
def test_server_with_one_handle_for_each_connection_gets_streams(root: Path, stack: ExitStack) -> None:
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=faulty(OneHandle, Fault())))
    partner = partner_at(server, max_connections=3)
    stack.callback(partner.close)
    send(partner, BytesSource(LARGE), "a.bin")
    assert same((root / "a.bin").read_bytes(), LARGE)
    assert send(partner, GatheringSource(DATA), "b.bin") == 3
    assert same((root / "b.bin").read_bytes(), DATA)
    assert set(files_below(root)) == {"a.bin", "b.bin"}


@pytest.mark.usefixtures("streams_at_any_distance")
def test_server_that_was_exchanged_must_show_it_anew(root: Path, stack: ExitStack) -> None:
    """The address and the host key are those of the first one; it keeps apart what two handles write."""
    kinds: list[type[WatchedServer]] = [WatchedServer]
    fault = Fault()
    server = stack.enter_context(
        start_asyncssh_server(root, sftp_factory=lambda chan, chroot: kinds[-1](chan, chroot, fault=fault))
    )
    proxy = stack.enter_context(tcp_proxy(server.port))
    now = 0.0
    partner = partner_at(server, port=proxy.port, max_connections=3, clock=lambda: now)
    stack.callback(partner.close)
    assert send(partner, GatheringSource(DATA), "a.bin") == 3
    kinds.append(SpoolsPerHandle)
    proxy.cut()
    now = 3600.0
    assert send(partner, GatheringSource(DATA[::-1]), "a.bin") == 1
    assert same((root / "a.bin").read_bytes(), DATA[::-1])


# --- a lost connection ---


def until_complete(
    attempt: Callable[[int, str, int | None], Staged], *, at_most: int = 30
) -> tuple[Staged, int]:
    """Send as a delivery does: on a new connection from where the last one was lost.

    Over one connection from the moment on in which several were lost at once.
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
    raise AssertionError("no end")


@pytest.mark.parametrize("max_connections", [1, 3])
@pytest.mark.parametrize("most", [1_000, 40])
def test_server_that_closes_after_some_requests_gets_everything(
    most: int, max_connections: int, root: Path, stack: ExitStack, request: pytest.FixtureRequest
) -> None:
    if max_connections > 1:
        request.getfixturevalue("streams_at_any_distance")
    fault = Fault()
    factory = faulty(ClosesAfterRequests, fault, most=most)
    stack.enter_context(without_extensions(LIMITS))  # then a WRITE holds 32 KiB
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=factory))
    partner = partner_at(server, max_connections=max_connections)
    stack.callback(partner.close)
    data = LARGE if most == 1_000 else DATA

    def attempt(start: int, temporary: str, streams: int | None) -> Staged:
        return upload(
            partner, BytesSource(data), "a.bin", temporary=temporary, start=start, most_streams=streams
        )

    until_complete(attempt)
    assert same((root / "a.bin").read_bytes(), data)
    assert fault.requests["write"] * 32 * 1024 < 3 * len(data), "not sent again and again"


@pytest.mark.parametrize("action", ["cut", "reset"])
@pytest.mark.parametrize("max_connections", [1, 3])
@pytest.mark.usefixtures("streams_at_any_distance")
def test_what_was_acknowledged_before_a_loss_is_kept(
    max_connections: int, action: str, server: RunningServer, stack: ExitStack
) -> None:
    proxy = stack.enter_context(tcp_proxy(server.port))
    proxy.plan = Plan(action=action, to_server=3 * MIB)  # type: ignore[arg-type] # one of the two
    partner = partner_at(server, port=proxy.port, max_connections=max_connections)
    stack.callback(partner.close)
    starts: list[int] = []

    def attempt(start: int, temporary: str, streams: int | None) -> Staged:
        starts.append(start)
        return upload(
            partner, BytesSource(DATA), "a.bin", temporary=temporary, start=start, most_streams=streams
        )

    until_complete(attempt)
    assert same((server.root / "a.bin").read_bytes(), DATA)
    assert starts == sorted(starts)
    assert all(starts.count(start) <= 2 for start in starts)
    partner.remove(TEMPORARY)  # as a delivery does that was interrupted: with it goes what a probe has left
    assert files_below(server.root).keys() == {"a.bin"}


def test_loss_before_the_first_acknowledgement_is_raised(root: Path, stack: ExitStack) -> None:
    server = stack.enter_context(
        start_asyncssh_server(root, sftp_factory=faulty(ClosesAfterRequests, Fault(), most=0))
    )
    partner = partner_at(server)
    stack.callback(partner.close)
    with pytest.raises(ConnectionLost):
        upload(partner, BytesSource(DATA), "a.bin", temporary=TEMPORARY)


def test_file_whose_tail_was_lost_with_the_connection_is_not_resumed(root: Path, stack: ExitStack) -> None:
    server = stack.enter_context(
        start_asyncssh_server(root, sftp_factory=faulty(LosesTheTail, Fault(), most=20))
    )
    partner = partner_at(server)
    stack.callback(partner.close)
    sent = upload(partner, BytesSource(DATA), "a.bin", temporary=TEMPORARY)
    assert sent.lost
    with pytest.raises(CheckpointLost, match="were acknowledged"):
        upload(partner, BytesSource(DATA), "a.bin", temporary=TEMPORARY, start=sent.acknowledged)


# --- the size ---


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("streams", [1, 3])
def test_file_of_another_size_gets_no_final_name(streams: int, root: Path, stack: ExitStack) -> None:
    fault = Fault()
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=faulty(ShortensAtClose, fault)))
    partner = partner_at(server, max_connections=streams)
    stack.callback(partner.close)

    def attempt() -> TransferError | None:
        try:
            upload(partner, GatheringSource(DATA), "a.bin", temporary=TEMPORARY, most_streams=streams)
        except SizeMismatch as mismatch:
            return mismatch
        return None

    error = attempt()
    if streams > 1:  # for one stream FSTAT travels with the data, and was right then
        assert error is not None
        assert f"{len(DATA)} were acknowledged" in error.reason
        assert files_below(root) == {}
    fault.clear()
    assert attempt() is None
    assert same((root / "a.bin").read_bytes(), DATA)


def test_server_that_tells_the_size_only_after_the_close_is_asked_then(root: Path, stack: ExitStack) -> None:
    fault = Fault()
    server = stack.enter_context(start_asyncssh_server(root, sftp_factory=faulty(TellsSizeLate, fault)))
    partner = partner_at(server)
    stack.callback(partner.close)
    sent = upload(partner, BytesSource(DATA), "a.bin", temporary=TEMPORARY)
    assert fault.caused
    assert sent.seen is not None
    assert sent.seen.size == len(DATA)
    assert same((root / "a.bin").read_bytes(), DATA)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.usefixtures("streams_at_any_distance")
def test_size_and_time_are_shown_before_the_final_name_is_given(
    streams: int, server: RunningServer, stack: ExitStack
) -> None:
    partner = partner_at(server, max_connections=streams)
    stack.callback(partner.close)
    what = upload(partner, GatheringSource(DATA), "a.bin", temporary=TEMPORARY, most_streams=streams).seen
    assert what is not None
    assert what.is_regular
    found = (server.root / "a.bin").stat()
    assert (what.size, what.mtime) == (len(DATA), int(found.st_mtime))


# --- resuming ---


def test_file_is_resumed_at_a_server_with_one_session_for_each_login(root: Path, stack: ExitStack) -> None:
    skip_without_sshd()
    server = stack.enter_context(start_sshd(root, extra_config=["MaxSessions 1"]))
    (root / TEMPORARY).write_bytes(DATA[:MIB])
    partner: SftpClient = partner_at(server)
    stack.callback(partner.close)
    assert upload(partner, BytesSource(DATA), "a.bin", temporary=TEMPORARY, start=MIB).complete
    assert same((root / "a.bin").read_bytes(), DATA)
