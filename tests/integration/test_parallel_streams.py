"""One large object over several connections: the same bytes, within the connection limit, and reused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_sshd
from tests.integration.conftest import skip_without_sshd
from tests.support.faults.tcp_proxy import Plan, TcpProxy, tcp_proxy
from tests.support.noise import noise
from tests.support.partner import client_for, connections, send
from tests.support.sources import BytesSource, GatheringSource

MIB = 1024 * 1024
FAR = Plan(delay=0.015)
"""A round trip of 30 ms: enough for five streams, and short enough for a test."""

LARGE = noise(5 * 16 * MIB + 1)
"""Enough for five streams."""


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[TcpProxy]:
    with tcp_proxy(server.port, FAR) as running:
        yield running


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_distant_partner_gets_as_many_streams_as_it_allows(
    limit: int, server: RunningServer, proxy: TcpProxy
) -> None:
    client = client_for(server, port=proxy.port, max_connections=limit)
    source = GatheringSource(LARGE)
    streams = max(2, limit)  # where one connection is allowed, a second channel of it
    assert send(client, source, "report.csv") == streams
    assert len(source.readers) == streams
    assert connections(server) == limit
    assert (server.root / "report.csv").read_bytes() == LARGE
    client.close()


@pytest.mark.parametrize("limit", [1, 3])
def test_connections_are_reused_for_the_next_object(
    limit: int, server: RunningServer, proxy: TcpProxy
) -> None:
    client = client_for(server, port=proxy.port, max_connections=limit)
    names = ("a.bin", "deep/b.bin")
    for name in names:
        assert send(client, GatheringSource(LARGE[: 48 * MIB]), name) == max(2, limit)
    for name in names:
        assert (server.root / name).read_bytes() == LARGE[: 48 * MIB]
    assert connections(server) == limit
    client.close()


def test_idle_streams_are_reused_after_an_hour(server: RunningServer, proxy: TcpProxy) -> None:
    now = 0.0
    client = client_for(server, port=proxy.port, max_connections=3, clock=lambda: now)
    for now in (0.0, 3600.0):  # noqa: B007 - the clock above reads it
        assert send(client, GatheringSource(LARGE[: 48 * MIB]), "report.csv") == 3
    assert connections(server) == 3
    client.close()


def test_streams_closed_while_idle_are_replaced(
    server: RunningServer, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    client = client_for(server, port=proxy.port, max_connections=3, clock=lambda: now)
    send(client, GatheringSource(LARGE[: 48 * MIB]), "report.csv")
    proxy.cut()
    now = 3600.0
    (server.root / "report.csv").unlink()
    assert send(client, GatheringSource(LARGE[: 48 * MIB]), "report.csv") == 3
    assert (server.root / "report.csv").read_bytes() == LARGE[: 48 * MIB]
    assert connections(server) == 6
    assert "does not accept" not in caplog.text, "an old connection says nothing about the partner"
    client.close()


def test_small_object_gets_one_stream_at_any_distance(server: RunningServer, proxy: TcpProxy) -> None:
    client = client_for(server, port=proxy.port, max_connections=5)
    assert send(client, BytesSource(LARGE[: 2 * MIB]), "report.csv") == 1
    assert connections(server) == 1
    client.close()


def test_near_partner_gets_one_stream_once_its_round_trip_is_measured(server: RunningServer) -> None:
    now = 0.0
    client = client_for(server, max_connections=5, clock=lambda: now)
    # The login takes longer than a round trip; the session measures again after each pause and keeps the
    # shortest, which on a busy machine is not among the first.
    for now in range(0, 20 * 60, 60):  # noqa: B007 - the clock above reads it
        send(client, BytesSource(b""), "first.csv")
    assert send(client, BytesSource(LARGE[: 48 * MIB]), "report.csv") == 1
    assert connections(server) == 1
    client.close()


def test_partner_that_accepts_two_connections_gets_two_streams_and_no_further_attempt(
    server: RunningServer, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "s3_to_sftp")
    proxy.at_most = 2
    client = client_for(server, port=proxy.port, max_connections=5)
    for name in ("a.bin", "b.bin"):
        assert send(client, GatheringSource(LARGE), name) == 2
        assert (server.root / name).read_bytes() == LARGE
    # A stream that is no longer needed does not start, so it may be one less.
    assert proxy.connections <= 5, "a refused connection was requested again"
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("s3_to_sftp")]
    assert len(warnings) == 1, warnings
    assert "does not accept all streams" in warnings[0]
    client.close()


def test_object_arrives_at_sshd_that_refuses_further_sessions(root: Path) -> None:
    # The server closes what comes too early by its own rule; streams may be refused, the object may not.
    skip_without_sshd()
    with (
        start_sshd(root, extra_config=["MaxStartups 1", "MaxSessions 1"]) as server,
        tcp_proxy(server.port, FAR) as proxy,
    ):
        client = client_for(server, port=proxy.port, max_connections=5)
        assert 1 <= send(client, GatheringSource(LARGE), "report.csv") <= 5
        assert (root / "report.csv").read_bytes() == LARGE
        client.close()
