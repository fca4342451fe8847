"""One large object over several connections: the same bytes, no more connections than allowed, kept warm."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_sshd
from tests.integration.conftest import skip_without_sshd
from tests.support.faults.tcp_proxy import Plan, TcpProxy, tcp_proxy
from tests.support.partner import connections, partner_at, send
from tests.support.sources import BytesSource, GatheringSource

MIB = 1024 * 1024
FAR = Plan(delay=0.015)
"""30 ms there and back: enough for a handful of streams, little enough for a test."""

LARGE = os.urandom(5 * 16 * MIB + 1)
"""Enough for five streams."""


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[TcpProxy]:
    with tcp_proxy(server.port, FAR) as running:
        yield running


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_distant_partner_gets_as_many_streams_as_it_allows_and_the_same_bytes(
    limit: int, server: RunningServer, proxy: TcpProxy
) -> None:
    partner = partner_at(server, port=proxy.port, max_connections=limit)
    source = GatheringSource(LARGE)
    streams = max(2, limit)  # where one connection is allowed, a second channel of it
    assert send(partner, source, "report.csv") == streams
    assert len(source.readers) == streams
    assert connections(server) == limit
    assert (server.root / "report.csv").read_bytes() == LARGE
    partner.close()


@pytest.mark.parametrize("limit", [1, 3])
def test_connections_stay_warm_for_the_next_objects(
    limit: int, server: RunningServer, proxy: TcpProxy
) -> None:
    partner = partner_at(server, port=proxy.port, max_connections=limit)
    names = ("a.bin", "deep/b.bin")
    for name in names:
        assert send(partner, GatheringSource(LARGE[: 48 * MIB]), name) == max(2, limit)
    for name in names:
        assert (server.root / name).read_bytes() == LARGE[: 48 * MIB]
    assert connections(server) == limit
    partner.close()


def test_idle_streams_are_asked_before_they_are_used_again(server: RunningServer, proxy: TcpProxy) -> None:
    now = 0.0
    partner = partner_at(server, port=proxy.port, max_connections=3, clock=lambda: now)
    for now in (0.0, 3600.0):  # noqa: B007 - the clock above reads it
        assert send(partner, GatheringSource(LARGE[: 48 * MIB]), "report.csv") == 3
    assert connections(server) == 3
    partner.close()


def test_streams_that_died_while_idle_are_replaced(
    server: RunningServer, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    partner = partner_at(server, port=proxy.port, max_connections=3, clock=lambda: now)
    send(partner, GatheringSource(LARGE[: 48 * MIB]), "report.csv")
    proxy.cut()
    now = 3600.0
    (server.root / "report.csv").unlink()
    assert send(partner, GatheringSource(LARGE[: 48 * MIB]), "report.csv") == 3
    assert (server.root / "report.csv").read_bytes() == LARGE[: 48 * MIB]
    assert connections(server) == 6
    assert "does not accept" not in caplog.text, "age says nothing about the partner"
    partner.close()


def test_small_object_gets_one_stream_however_far_the_partner_is(
    server: RunningServer, proxy: TcpProxy
) -> None:
    partner = partner_at(server, port=proxy.port, max_connections=5)
    assert send(partner, BytesSource(LARGE[: 2 * MIB]), "report.csv") == 1
    assert connections(server) == 1
    partner.close()


def test_near_partner_gets_one_stream_once_its_distance_is_known(server: RunningServer) -> None:
    now = 0.0
    partner = partner_at(server, max_connections=5, clock=lambda: now)
    # The login takes longer than a round trip; pauses are what lets the session measure anew.
    for now in (0.0, 60.0, 120.0, 180.0, 240.0):  # noqa: B007 - the clock above reads it
        send(partner, BytesSource(b""), "first.csv")
    assert send(partner, BytesSource(LARGE[: 48 * MIB]), "report.csv") == 1
    assert connections(server) == 1
    partner.close()


def test_partner_that_takes_two_connections_gets_two_and_is_not_asked_again(
    server: RunningServer, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "s3_to_sftp")
    proxy.at_most = 2
    partner = partner_at(server, port=proxy.port, max_connections=5)
    for name in ("a.bin", "b.bin"):
        assert send(partner, GatheringSource(LARGE), name) == 2
        assert (server.root / name).read_bytes() == LARGE
    # A stream that is no longer needed does not start, so it may be one less.
    assert proxy.connections <= 5, "asked again for what was refused"
    said = [record.getMessage() for record in caplog.records if record.name.startswith("s3_to_sftp")]
    assert len(said) == 1, said
    assert "does not accept all streams" in said[0]
    partner.close()


def test_sshd_that_takes_no_further_sessions_is_no_obstacle(root: Path) -> None:
    # The server closes what comes too early by its own rule; streams may be refused, the object may not.
    skip_without_sshd()
    with (
        start_sshd(root, extra_config=["MaxStartups 1", "MaxSessions 1"]) as server,
        tcp_proxy(server.port, FAR) as proxy,
    ):
        partner = partner_at(server, port=proxy.port, max_connections=5)
        assert 1 <= send(partner, GatheringSource(LARGE), "report.csv") <= 5
        assert (root / "report.csv").read_bytes() == LARGE
        partner.close()
