"""Every size around every boundary, on one to four streams: the checksums of both ends are equal."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.sftp_server import RunningServer, sshd_path, start_asyncssh_server, start_sshd
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.write_window import WINDOW_BYTES
from s3_to_sftp.ssh.connect import Timeouts
from tests.support import partner
from tests.support.faults.sftp_server import without_extensions
from tests.support.noise import noise
from tests.support.partner import client_for, send, tuned
from tests.support.sources import BytesSource, GatheringSource, StampedSource

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

WRITE = 255 * KIB
"""One WRITE at OpenSSH."""

SAFE_WRITE = 32 * KIB - 64
"""One WRITE where no limit is stated."""

PACKET = 32 * KIB
"""One SSH packet: how much of it is data depends on the headers, all of which are shorter than 64 bytes."""

BOUNDARIES = [
    0,
    *(PACKET - header for header in range(0, 64, 3)),
    SAFE_WRITE,
    WRITE,
    4 * MIB,  # a range of a stream
    MIB,  # its last ones
    128 * KIB,  # collected before it is sent
    2 * MIB,  # the window of OpenSSH
    WINDOW_BYTES,
    16 * SAFE_WRITE,
]

SIZES = st.builds(
    lambda boundary, times, by: max(0, boundary * times + by),
    st.sampled_from(BOUNDARIES),
    st.integers(1, 3),
    st.integers(-1, 1),
)

DATA = noise(3 * max(BOUNDARIES) + 1)


@pytest.fixture(scope="module", params=["sshd", "asyncssh without limits"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("partner")
    if request.param == "sshd":
        if sshd_path() is None:
            pytest.skip("OpenSSH's sshd is not installed (apt-get install openssh-server)")
        with start_sshd(root) as running:
            yield running
    else:
        with without_extensions("limits@openssh.com"), start_asyncssh_server(root) as running:
            yield running


@pytest.fixture(scope="module")
def clients(server: RunningServer) -> Iterator[dict[int, SftpClient]]:
    """One client for each number of streams, with connections that are reused for all sizes."""
    clients = {
        streams: client_for(server, max_connections=streams, timeouts=Timeouts()) for streams in range(1, 5)
    }
    yield clients
    for each in clients.values():
        each.close()


@pytest.fixture(scope="module", params=[255 * KIB, 4 * MIB], ids=["ranges of a write", "ranges of 4 MiB"])
def streams_of_any_size(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partner, "TUNING", tuned(request.param))
        yield


@pytest.mark.usefixtures("streams_of_any_size")
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(size=SIZES, streams=st.integers(1, 4))
def test_any_size_arrives_on_any_number_of_streams(
    size: int, streams: int, server: RunningServer, clients: dict[int, SftpClient]
) -> None:
    data = DATA[:size]
    send(clients[streams], GatheringSource(data), "report.bin")
    assert sha256_of(server.root / "report.bin") == hashlib.sha256(data).digest()
    assert [path.name for path in server.root.iterdir()] == ["report.bin"]


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("server", ["sshd"], indirect=True)
@pytest.mark.usefixtures("streams_at_any_distance")
def test_each_boundary_arrives_once_without_a_hole(
    streams: int, server: RunningServer, clients: dict[int, SftpClient]
) -> None:
    for boundary in BOUNDARIES:
        for size in range(max(0, boundary - 1), boundary + 2):
            send(clients[streams], BytesSource(DATA[:size]), "report.bin")
            assert sha256_of(server.root / "report.bin") == hashlib.sha256(DATA[:size]).digest()


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory, to spare the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


def require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 2 * size:
        pytest.skip(f"{folder} has {free / GIB:.1f} GiB free, {2 * size / GIB:.1f} are wanted")


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(2 * GIB + 1, id="2 GiB + 1"),
        pytest.param(
            4 * GIB + 12345,
            id="over 4 GiB",
            marks=pytest.mark.skipif(not os.environ.get("BIG"), reason="takes half a minute: set BIG=1"),
        ),
    ],
)
def test_offsets_beyond_32_bits_arrive_where_they_belong(
    size: int, in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sshd_path() is None:
        pytest.skip("OpenSSH's sshd is not installed (apt-get install openssh-server)")
    require_room(in_memory, size)
    monkeypatch.setattr(partner, "TUNING", tuned(4 * MIB))
    source = StampedSource(size)
    with start_sshd(in_memory) as server:
        client = client_for(server, max_connections=2, timeouts=Timeouts())
        send(client, source, "big.bin")
        client.close()
    assert (in_memory / "big.bin").stat().st_size == size
    assert sha256_of(in_memory / "big.bin") == source.sha256()


def sha256_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
