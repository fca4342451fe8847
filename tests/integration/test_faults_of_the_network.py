"""Broken connections: one clear error in bounded time, never a false success, and the next delivery works."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.errors import ConnectionLost, DeliveryError, LoginRefused, PartnerUnreachable, SftpNotStarted
from tests.support.faults.tcp_proxy import HEALTHY, Plan, TcpProxy, tcp_proxy
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import contents_below, delivery_to

KEY = "report.csv"
OLD = b"the old file, complete"
NEW = bytes(range(256)) * 32768  # 8 MiB: more than every buffer on the way
NEWER = b"small, so that it costs no time"
WITHIN_A_WRITE = 200_000
"""Bytes to the server until no block is complete yet: nothing to resume, however often it is tried."""


@pytest.fixture
def s3() -> MemoryS3:
    return MemoryS3({KEY: NEW})


@pytest.fixture
def server(root: Path) -> Iterator[RunningServer]:
    with start_asyncssh_server(root) as running:
        yield running


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[TcpProxy]:
    with tcp_proxy(server.port) as running:
        yield running


def fail_then_deliver(server: RunningServer, proxy: TcpProxy, s3: MemoryS3, plan: Plan) -> DeliveryError:
    (server.root / KEY).write_bytes(OLD)
    proxy.plan = plan
    delivery = delivery_to(server, s3, port=proxy.port)
    with pytest.raises(DeliveryError) as raised:
        delivery.deliver(s3.ref(KEY))
    assert contents_below(server.root)[KEY] == OLD
    proxy.plan = HEALTHY
    s3.objects[KEY] = NEWER
    delivery.deliver(s3.ref(KEY))
    assert contents_below(server.root)[KEY] == NEWER
    return raised.value


@pytest.mark.parametrize("action", ["cut", "reset", "stall"])
@pytest.mark.parametrize(
    ("to_server", "expected"),
    [
        (500, PartnerUnreachable),  # within the key exchange
        (WITHIN_A_WRITE, ConnectionLost),
    ],
)
def test_connection_broken_towards_the_server_is_an_error_and_the_next_delivery_works(
    action: str,
    to_server: int,
    expected: type[DeliveryError],
    server: RunningServer,
    proxy: TcpProxy,
    s3: MemoryS3,
) -> None:
    plan = Plan(action=action, to_server=to_server)  # type: ignore[arg-type] # one of the three
    assert type(fail_then_deliver(server, proxy, s3, plan)) is expected


@pytest.mark.parametrize("action", ["cut", "reset", "stall"])
def test_large_object_is_resumed_after_a_late_break(
    action: str, server: RunningServer, proxy: TcpProxy, s3: MemoryS3
) -> None:
    (server.root / KEY).write_bytes(OLD)
    proxy.plan = Plan(action=action, to_server=len(NEW))  # type: ignore[arg-type] # one of the three
    delivery_to(server, s3, port=proxy.port).deliver(s3.ref(KEY))
    assert contents_below(server.root) == {KEY: NEW}


# Bytes that the server sends before the break: its banner, the end of the key exchange, the login, the start
# of SFTP, the first statuses. What is cut differs between versions; the guarantee holds at every place.
PLACES = [0, 400, 2500, 3300, 3700, 4200, 5000]


@pytest.mark.parametrize("action", ["cut", "reset"])
@pytest.mark.parametrize("to_client", PLACES)
def test_connection_broken_towards_the_client_is_an_error_and_the_next_delivery_works(
    action: str, to_client: int, server: RunningServer, proxy: TcpProxy, s3: MemoryS3
) -> None:
    plan = Plan(action=action, to_client=to_client)  # type: ignore[arg-type] # one of the two
    error = fail_then_deliver(server, proxy, s3, plan)
    assert isinstance(error, PartnerUnreachable | ConnectionLost | LoginRefused | SftpNotStarted)


@pytest.mark.parametrize("to_client", [2500, 3400, 3800, 4400])
def test_silence_at_any_reply_times_out_and_is_not_a_refused_login(
    to_client: int, server: RunningServer, proxy: TcpProxy, s3: MemoryS3
) -> None:
    error = fail_then_deliver(server, proxy, s3, Plan(action="stall", to_client=to_client))
    assert isinstance(error, PartnerUnreachable | ConnectionLost | SftpNotStarted)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no TCP_USER_TIMEOUT")
def test_peer_that_stops_reading_times_out_with_a_small_send_buffer(
    server: RunningServer, proxy: TcpProxy, s3: MemoryS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The buffer fills before the window of the SSH channel does: then the write to the socket itself waits.
    connect = socket.create_connection

    def connect_with_small_buffer(*args: Any, **kwargs: Any) -> socket.socket:
        sock = connect(*args, **kwargs)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        return sock

    monkeypatch.setattr("s3_to_sftp.ssh.connect.socket.create_connection", connect_with_small_buffer)
    error = fail_then_deliver(server, proxy, s3, Plan(action="stall", to_server=WITHIN_A_WRITE))
    assert isinstance(error, ConnectionLost)


def test_server_without_ssh_is_unreachable_and_the_hint_names_the_port(
    server: RunningServer, proxy: TcpProxy, s3: MemoryS3
) -> None:
    plan = Plan(banner=b"220 ftp.partner.example FTP server ready\r\n" * 200)
    error = fail_then_deliver(server, proxy, s3, plan)
    assert isinstance(error, PartnerUnreachable)
    assert "SSH_PORT" in error.hint


def test_slow_accept_does_not_fail_the_delivery(server: RunningServer, proxy: TcpProxy, s3: MemoryS3) -> None:
    proxy.plan = Plan(accept_delay=0.3)
    delivery_to(server, s3, port=proxy.port).deliver(s3.ref(KEY))
    assert contents_below(server.root) == {KEY: NEW}


def test_connection_stalled_between_deliveries_is_replaced_within_the_same_delivery(
    server: RunningServer, proxy: TcpProxy, s3: MemoryS3
) -> None:
    delivery = delivery_to(server, s3, port=proxy.port)
    delivery.deliver(s3.ref(KEY))
    proxy.stall()
    s3.objects[KEY] = NEWER
    delivery.deliver(s3.ref(KEY))
    assert proxy.connections == 2
    assert contents_below(server.root) == {KEY: NEWER}
