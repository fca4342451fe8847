"""Key exchanges in the middle of a transfer, requested by the client and by the server, many times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from local.sftp_server import RunningServer, start_asyncssh_server, start_sshd
from s3_to_sftp.ssh.packetizer import Packetizer
from tests.integration.conftest import skip_without_sshd
from tests.support.noise import noise
from tests.support.partner import client_for, send
from tests.support.sources import GatheringSource

pytestmark = pytest.mark.usefixtures("streams_at_any_distance")

MIB = 1024 * 1024
DATA = noise(16 * MIB + 7)

streams = pytest.mark.parametrize("streams", [1, 2, 3], ids=["one stream", "two channels", "three streams"])
ciphers = pytest.mark.parametrize(
    ("streams", "cipher"),
    [*((streams, "aes128-gcm@openssh.com") for streams in (1, 2, 3)), (2, "aes256-ctr"), (3, "aes256-ctr")],
)


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the key exchanges of all connections."""
    count = 0
    activate = paramiko.Transport._activate_inbound  # type: ignore[attr-defined] # private to the stubs

    def counting(transport: paramiko.Transport) -> None:
        nonlocal count
        count += 1
        activate(transport)

    monkeypatch.setattr(paramiko.Transport, "_activate_inbound", counting)
    return lambda: count


@contextmanager
def openssh(root: Path, *, rekey_bytes: int | None, cipher: str) -> Iterator[RunningServer]:
    skip_without_sshd()
    config = [f"Ciphers {cipher}"] + ([f"RekeyLimit {rekey_bytes}"] if rekey_bytes else [])
    with start_sshd(root, extra_config=config) as server:
        yield server


@contextmanager
def asyncssh(root: Path, *, rekey_bytes: int | None, cipher: str) -> Iterator[RunningServer]:
    options = {"encryption_algs": [cipher], **({"rekey_bytes": rekey_bytes} if rekey_bytes else {})}
    with start_asyncssh_server(root, options=options) as server:
        yield server


SERVERS = pytest.mark.parametrize("start", [openssh, asyncssh], ids=["sshd", "asyncssh"])


def assert_arrives(server: RunningServer, streams: int) -> None:
    # Where one connection is allowed, the second stream is a channel.
    client = client_for(server, max_connections=1 if streams == 2 else streams)
    for name in ("a.bin", "b.bin"):
        assert send(client, GatheringSource(DATA), name, most_streams=streams) == streams
        arrived_whole = (server.root / name).read_bytes() == DATA
        assert arrived_whole
    client.close()


@ciphers
@SERVERS
def test_keys_are_renewed_by_the_client(
    start: Callable[..., Iterator[RunningServer]],
    cipher: str,
    streams: int,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    exchanges: Callable[[], int],
) -> None:
    monkeypatch.setattr(Packetizer, "REKEY_BYTES", MIB)
    with start(root, rekey_bytes=None, cipher=cipher) as server:  # type: ignore[attr-defined] # a context
        assert_arrives(server, streams)
    # The limit is checked when a batch is sent, and what is in flight comes on top.
    assert exchanges() > streams + 8


@ciphers
@pytest.mark.parametrize(
    ("start", "limit"),
    [(openssh, MIB), (asyncssh, 3000)],  # asyncssh counts only what it sends: statuses
    ids=["sshd", "asyncssh"],
)
def test_keys_are_renewed_by_the_server(
    start: Callable[..., Iterator[RunningServer]],
    limit: int,
    cipher: str,
    streams: int,
    root: Path,
    exchanges: Callable[[], int],
) -> None:
    with start(root, rekey_bytes=limit, cipher=cipher) as server:  # type: ignore[attr-defined] # a context
        assert_arrives(server, streams)
    assert exchanges() >= 2 * streams


@streams
def test_keys_are_renewed_by_both_at_once(
    streams: int, root: Path, monkeypatch: pytest.MonkeyPatch, exchanges: Callable[[], int]
) -> None:
    monkeypatch.setattr(Packetizer, "REKEY_BYTES", 700_000)
    with openssh(root, rekey_bytes=700_000, cipher="aes128-gcm@openssh.com") as server:
        assert_arrives(server, streams)
    assert exchanges() > streams + 8
