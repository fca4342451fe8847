"""The same guarantees at every server that can run here: OpenSSH, asyncssh, ProFTPD, dropbear, rclone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_sshd
from s3_to_sftp.sftp.client import SftpClient, SmallFile
from s3_to_sftp.ssh.connect import Timeouts
from tests.integration.conftest import skip_without_sshd
from tests.support.faults.tcp_proxy import Plan, tcp_proxy
from tests.support.noise import noise
from tests.support.other_servers import start_dropbear, start_proftpd, start_rclone
from tests.support.partner import client_for, contents_below, send
from tests.support.sources import GatheringSource

MIB = 1024 * 1024
FAR = Plan(delay=0.01)
LARGE = noise(3 * 16 * MIB + 1)
PATIENT = Timeouts(connect=5, handshake=10, login=10, reply=20)


def start_openssh(root: Path) -> AbstractContextManager[RunningServer]:
    skip_without_sshd()
    return start_sshd(root)


def start_rclone_without_cache(root: Path) -> AbstractContextManager[RunningServer]:
    return start_rclone(root, cache="off")


SERVERS: dict[str, Callable[[Path], AbstractContextManager[RunningServer]]] = {
    "openssh": start_openssh,
    "asyncssh": start_asyncssh_server,
    "proftpd": start_proftpd,
    "dropbear": start_dropbear,
    "rclone": start_rclone,
    "rclone without cache": start_rclone_without_cache,
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, root: Path) -> Iterator[RunningServer]:
    with SERVERS[request.param](root) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[SftpClient]:
    client = client_for(server, timeouts=PATIENT)
    yield client
    client.close()


def remote(server: RunningServer, name: str) -> str:
    return f"{server.directory.rstrip('/')}/{name}".lstrip("/" if not server.directory else "")


def send_small(client: SftpClient, server: RunningServer, files: dict[str, bytes]) -> None:
    """Send all concurrently, and assert that each has arrived."""
    outcomes = client.send_small(
        SmallFile(
            name, remote(server, name), remote(server, f"{name}.part"), data, remote(server, f"{name}.old")
        )
        for name, data in files.items()
    )
    assert {file.ticket: error for file, error in outcomes} == dict.fromkeys(files)


def test_files_of_all_boundary_sizes_arrive(client: SftpClient, server: RunningServer) -> None:
    sizes = [0, 1, 32_703, 32_704, 32_705, 32_768, 261_119, 261_120, 261_121, MIB]
    files = {f"{size}.bin": os.urandom(size) for size in sizes}
    send_small(client, server, files)
    assert contents_below(server.root) == files


def test_200_small_files_sent_concurrently_arrive(client: SftpClient, server: RunningServer) -> None:
    files = {f"{number}.csv": os.urandom(number * 37) for number in range(200)}
    send_small(client, server, files)
    assert contents_below(server.root) == files


def test_unusual_names_arrive_in_missing_directories(client: SftpClient, server: RunningServer) -> None:
    names = [
        "a b+ü(1)&%41.csv",
        "🚀 emoji.csv",
        "quotes ' and \" and `.csv",
        "$(touch x);|&<>*?[].csv",
        "-rf",
        "ends with a blank ",
        "deep/er/and deeper/ü.csv",
        "deep/er/and deeper/too.csv",
    ]
    files = {name: name.encode() for name in names}
    send_small(client, server, files)
    assert contents_below(server.root) == files


@pytest.mark.parametrize("size", [3, 3 * MIB], ids=["small", "large"])
def test_existing_file_is_replaced(size: int, client: SftpClient, server: RunningServer) -> None:
    for version in (os.urandom(2 * size), os.urandom(size)):
        if size < MIB:
            send_small(client, server, {"report.csv": version})
        else:
            send(client, GatheringSource(version), remote(server, "report.csv"))
        assert contents_below(server.root) == {"report.csv": version}


def test_large_file_arrives_over_three_connections(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "s3_to_sftp")
    with tcp_proxy(server.port, FAR) as proxy:
        client = client_for(server, port=proxy.port, max_connections=3, timeouts=PATIENT)
        for name in ("a.bin", "deep/b.bin"):
            streams = send(client, GatheringSource(LARGE), remote(server, name))
            assert (server.root / name).read_bytes() == LARGE
        client.close()
        assert set(contents_below(server.root)) == {"a.bin", "deep/b.bin"}
        assert proxy.connections == 3
    assert streams == 3 or "using one connection per file" in caplog.text


def test_proftpd_that_limits_clients_gets_at_most_two_streams(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "s3_to_sftp")
    with (
        start_proftpd(root, extra_config=["MaxClients 2"]) as server,
        tcp_proxy(server.port, FAR) as proxy,
    ):
        client = client_for(server, port=proxy.port, max_connections=3, timeouts=PATIENT)
        for name in ("a.bin", "b.bin"):
            # Connections made at the same time may count against each other: both may be refused.
            assert send(client, GatheringSource(LARGE), remote(server, name)) <= 2
            assert (root / name).read_bytes() == LARGE
        client.close()
        assert proxy.connections == 3, "a refused connection was requested again"
    assert caplog.text.count("does not accept all streams") == 1
