"""A large file is left in the middle and gone on with over other connections, where the server can."""

from __future__ import annotations

import os
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
from tests.support.partner import files_below, partner_at, upload
from tests.support.sources import BytesSource

MIB = 1024 * 1024
DATA = os.urandom(24 * MIB + 17)
TEMPORARY = "deep/.a.part"


@pytest.fixture(params=[1, 2, 3], ids=["one stream", "two channels", "three streams"])
def go_on(request: pytest.FixtureRequest) -> Callable[..., Staged]:
    """Sends from `start` on over new connections, and pauses at question number `pause`."""

    def go_on(server: RunningServer, *, start: int = 0, pause: int = 10**9) -> Staged:
        partner = partner_at(server, max_connections=1 if request.param == 2 else request.param)
        questions = iter(range(10**9))
        sent = upload(
            partner,
            BytesSource(DATA),
            "deep/a.bin",
            temporary=TEMPORARY,
            start=start,
            pause=lambda: next(questions) >= pause,
            streams=request.param,
        )
        partner.close()
        return sent

    return go_on


@pytest.mark.usefixtures("streams_at_any_distance")
@pytest.mark.parametrize("pauses", [[1], [40], [3, 20, 20], [15] * 6])
def test_file_is_whole_after_pauses(
    pauses: list[int], server: RunningServer, go_on: Callable[..., Staged]
) -> None:
    start = 0
    for pause in pauses:
        sent = go_on(server, start=start, pause=pause)
        assert not sent.complete
        assert start <= sent.acknowledged < len(DATA)
        there = (server.root / TEMPORARY).read_bytes()[: sent.acknowledged]
        is_right = there == DATA[: sent.acknowledged]
        assert is_right
        # What is behind may be anything; the checksum may end before it.
        start = max(0, sent.acknowledged - 1000)
    assert go_on(server, start=start).complete
    arrived_whole = files_below(server.root) == {"deep/a.bin": DATA}
    assert arrived_whole


@pytest.mark.usefixtures("streams_at_any_distance")
def test_file_that_was_taken_away_meanwhile_is_lost(
    server: RunningServer, go_on: Callable[..., Staged]
) -> None:
    sent = go_on(server, pause=30)
    (server.root / TEMPORARY).unlink()
    with pytest.raises(CheckpointLost):
        go_on(server, start=sent.acknowledged)
    assert files_below(server.root) == {}


@pytest.fixture
def asked(root: Path, request: pytest.FixtureRequest) -> Iterator[SftpClient]:
    with start_asyncssh_server(root, sftp_factory=faulty(request.param, Fault())) as server:
        partner = partner_at(server)
        yield partner
        partner.close()


@pytest.mark.parametrize("asked", [WatchedServer, DeniesLooking], indirect=True)
def test_server_that_goes_on_with_files_is_known(asked: SftpClient, root: Path) -> None:
    assert asked.supports_resume("new/.a.part")
    assert files_below(root) == {}


@pytest.mark.parametrize("asked", [SpoolsPerHandle, IgnoresOffsets], indirect=True)
def test_server_that_does_not_go_on_with_files_is_known(asked: SftpClient, root: Path) -> None:
    assert not asked.supports_resume("new/.a.part")
    assert files_below(root) == {}


@pytest.mark.parametrize(
    "asked", [OneOpenFile, RefusesSecondOpen, WritesInOrderOnly, RefusesReading], indirect=True
)
def test_server_that_does_not_let_it_be_tried_is_quoted(asked: SftpClient, root: Path) -> None:
    with pytest.raises(RequestRefused, match=r"-resume\.part"):
        asked.supports_resume("new/.a.part")
    assert files_below(root) == {}
