"""An upload stops in the middle and resumes over other connections, where the server supports it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.errors import CheckpointLost, RequestRefused
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.upload import Staged
from tests.support.faults.sftp_server import (
    DeniesLooking,
    Fault,
    IgnoresOffsets,
    OneOpenFile,
    RefusesReading,
    RefusesSecondOpen,
    SpoolsPerHandle,
    WatchedServer,
    WritesInOrderOnly,
    faulty,
)
from tests.support.noise import noise
from tests.support.partner import client_for, contents_below, upload
from tests.support.sources import BytesSource

MIB = 1024 * 1024
DATA = noise(24 * MIB + 17)
TEMPORARY = "deep/.a.part"


@pytest.fixture(params=[1, 2, 3], ids=["one stream", "two channels", "three streams"])
def resume(request: pytest.FixtureRequest) -> Callable[..., Staged]:
    """Sends from `start` on over new connections, and stops at call number `stop` of the stop condition."""

    def resume(server: RunningServer, *, start: int = 0, stop: int = 10**9) -> Staged:
        client = client_for(server, max_connections=1 if request.param == 2 else request.param)
        questions = iter(range(10**9))
        sent = upload(
            client,
            BytesSource(DATA),
            "deep/a.bin",
            temporary=TEMPORARY,
            start=start,
            stop=lambda: next(questions) >= stop,
            most_streams=request.param,
        )
        client.close()
        return sent

    return resume


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("stops", [[1], [40], [3, 20, 20], [15] * 6])
def test_interrupted_upload_is_completed(
    stops: list[int], server: RunningServer, resume: Callable[..., Staged]
) -> None:
    start = 0
    for stop in stops:
        sent = resume(server, start=start, stop=stop)
        assert not sent.complete
        assert start <= sent.acknowledged < len(DATA)
        there = (server.root / TEMPORARY).read_bytes()[: sent.acknowledged]
        is_right = there == DATA[: sent.acknowledged]
        assert is_right
        # Bytes after that are undefined; the checksum may end before it.
        start = max(0, sent.acknowledged - 1000)
    assert resume(server, start=start).complete
    is_complete = contents_below(server.root) == {"deep/a.bin": DATA}
    assert is_complete


@pytest.mark.usefixtures("streams_at_any_distance")
def test_removed_temporary_file_raises_checkpoint_lost(
    server: RunningServer, resume: Callable[..., Staged]
) -> None:
    sent = resume(server, stop=30)
    (server.root / TEMPORARY).unlink()
    with pytest.raises(CheckpointLost):
        resume(server, start=sent.acknowledged)
    assert contents_below(server.root) == {}


@pytest.fixture
def client(root: Path, request: pytest.FixtureRequest) -> Iterator[SftpClient]:
    with start_asyncssh_server(root, sftp_factory=faulty(request.param, Fault())) as server:
        client = client_for(server)
        yield client
        client.close()


@pytest.mark.parametrize("client", [WatchedServer, DeniesLooking], indirect=True)
def test_server_that_supports_resume_is_recognized(client: SftpClient, root: Path) -> None:
    assert client.supports_resume("new/.a.part")
    assert contents_below(root) == {}


@pytest.mark.parametrize("client", [SpoolsPerHandle, IgnoresOffsets], indirect=True)
def test_server_that_does_not_support_resume_is_recognized(client: SftpClient, root: Path) -> None:
    assert not client.supports_resume("new/.a.part")
    assert contents_below(root) == {}


@pytest.mark.parametrize(
    "client", [OneOpenFile, RefusesSecondOpen, WritesInOrderOnly, RefusesReading], indirect=True
)
def test_refused_resume_probe_is_reported_with_the_name_of_the_probe_file(
    client: SftpClient, root: Path
) -> None:
    with pytest.raises(RequestRefused, match=r"-resume\.part"):
        client.supports_resume("new/.a.part")
    assert contents_below(root) == {}
