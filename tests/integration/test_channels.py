"""Where one connection is allowed, the second stream of a large file is a second channel of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_sshd
from s3_to_sftp.errors import ConnectionLost
from s3_to_sftp.sftp.client import SftpClient
from tests.integration.conftest import skip_without_sshd
from tests.support import partner
from tests.support.faults.sftp_server import Fault, Stalls, faulty
from tests.support.noise import noise
from tests.support.partner import client_for, connections, contents_below, send, tuned
from tests.support.sources import GatheringSource

MIB = 1024 * 1024
DATA = noise(40 * MIB + 4321)

pytestmark = pytest.mark.usefixtures("streams_at_any_distance")


@pytest.fixture
def streams_at_any_distance(streams_at_any_distance: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges as in production: each is longer than the window of the server."""
    monkeypatch.setattr(partner, "TUNING", tuned(4 * MIB))


def sessions(server: RunningServer) -> int:
    """SFTP sessions that sshd has started."""
    return server.read_log().count("subsystem request for sftp") or server.read_log().count(
        "Starting session: subsystem 'sftp'"
    )


def logins(server: RunningServer) -> int:
    return server.read_log().count("Accepted publickey")


@pytest.fixture
def sshd(request: pytest.FixtureRequest, root: Path) -> Iterator[RunningServer]:
    skip_without_sshd()
    with start_sshd(root, extra_config=[f"MaxSessions {request.param}", "LogLevel VERBOSE"]) as server:
        yield server


@pytest.mark.parametrize("sshd", [10], indirect=True)
@pytest.mark.parametrize("ciphers", [(), ("aes256-ctr",)], ids=["in bulk", "by paramiko"])
def test_two_sessions_over_one_login_write_one_file(ciphers: tuple[str, ...], sshd: RunningServer) -> None:
    client = client_for(sshd, ciphers=ciphers)
    for name in ("a.bin", "b.bin"):
        source = GatheringSource(DATA)
        assert send(client, source, name) == 2
        assert len(source.readers) == 2
        arrived_whole = (sshd.root / name).read_bytes() == DATA
        assert arrived_whole
    client.close()
    assert (logins(sshd), connections(sshd), sessions(sshd)) == (1, 1, 2)
    assert sorted(path.name for path in sshd.root.iterdir()) == ["a.bin", "b.bin"]


@pytest.mark.parametrize("sshd", [1], indirect=True)
def test_server_that_allows_one_session_gets_one_stream_and_one_warning(
    sshd: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "s3_to_sftp")
    now = 0.0
    client = client_for(sshd, clock=lambda: now)
    for name in ("a.bin", "b.bin"):
        assert send(client, GatheringSource(DATA), name) == 1
        arrived_whole = (sshd.root / name).read_bytes() == DATA
        assert arrived_whole
    refused = sshd.read_log().count("no more sessions")
    assert (logins(sshd), connections(sshd), refused) == (1, 1, 1)
    assert caplog.text.count("does not accept all streams") == 1
    now = 600.0
    assert send(client, GatheringSource(DATA), "c.bin") == 1
    assert sshd.read_log().count("no more sessions") == 2, "asked again when some time has passed"
    assert caplog.text.count("does not accept all streams") == 1
    client.close()


def test_other_channel_takes_over_when_one_hangs(root: Path, fault: Fault) -> None:
    factory = faulty(Stalls, fault, "write", nth=6)
    with start_asyncssh_server(root, sftp_factory=factory) as server:
        client = client_for(server)
        send_with_retry(client)
        assert fault.caused
        found = contents_below(root)
        arrived_whole = found["a.bin"] == DATA
        assert arrived_whole
        # The hanging channel may leave a temporary file, which the ledger records and a delivery removes.
        assert all(name.endswith(".part") for name in found if name != "a.bin")
        client.close()


@pytest.fixture
def fault() -> Fault:
    return Fault()


def send_with_retry(client: SftpClient) -> None:
    """Send again after an error: the failure of the first channel fails the delivery."""
    try:
        send(client, GatheringSource(DATA), "a.bin")
    except ConnectionLost:
        send(client, GatheringSource(DATA), "a.bin")
