"""How often a fresh connection waits for its server before the first WRITE leaves, counted on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local.sftp_server import RunningServer
from s3_to_sftp.credentials import FixedCredentials
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.sftp.client import SftpClient
from tests.integration.test_interop import PATIENT, SERVERS, remote
from tests.support.known_servers import MemoryKnownServers
from tests.support.partner import address_of, contents_below, login_of, send
from tests.support.round_trips import CountingRelay, counting_relay

CONTENT = b"x" * 100_000
UNKNOWN, KNOWN = 9, 6
"""Round trips: `docs/reference/ssh.md` lists them. Unknown servers other than OpenSSH cost one less."""


class CountedSource:
    """A source that notes the round trips of each connection when the first WRITE is about to leave."""

    def __init__(self, relay: CountingRelay) -> None:
        self.size = len(CONTENT)
        self.counts: list[int] = []
        self._relay = relay

    def blocks(self, ranges: Iterable[tuple[int, int]], block_bytes: int) -> Iterator[tuple[int, bytes]]:
        for offset, length in ranges:
            self.counts = self.counts or list(self._relay.counts)
            for at in range(offset, offset + length, block_bytes):
                yield at, CONTENT[at : min(at + block_bytes, offset + length)]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, root: Path) -> Iterator[RunningServer]:
    start: Callable[[Path], AbstractContextManager[RunningServer]] = SERVERS[request.param]
    with start(root) as running:
        yield running


def round_trips(server: RunningServer, known: MemoryKnownServers, name: str = "file") -> int:
    """Send a file from a fresh client; return the round trips until its first WRITE."""
    with counting_relay(server.port) as relay:
        client = SftpClient(
            address_of(server, port=relay.port),
            FixedCredentials(login_of(server)),
            timeouts=PATIENT,
            known=known,
        )
        source = CountedSource(relay)
        try:
            send(client, source, remote(server, name))
            client.end_of_invocation(keep_first=False)
        finally:
            client.close()
        assert len(relay.counts) == 1, "one connection is enough"
        return source.counts[0]


def fewest(server: RunningServer, known: Callable[[], MemoryKnownServers], *, most: int) -> int:
    """Return the smallest of some counts: a busy machine can only add to them."""
    counts: list[int] = []
    while len(counts) < 4 and (not counts or min(counts) > most):
        counts.append(round_trips(server, known(), f"file {len(counts)}"))
    return min(counts)


def learned(server: RunningServer) -> KnownServer:
    """Return what a first function learns of the server."""
    known = MemoryKnownServers()
    round_trips(server, known, "first")
    assert known.known is not None
    return known.known


def test_first_write_to_a_known_server_leaves_after_six_round_trips(
    server: RunningServer, root: Path
) -> None:
    known = learned(server)
    assert fewest(server, lambda: MemoryKnownServers(known), most=KNOWN) <= KNOWN
    assert CONTENT in contents_below(root).values()


def test_first_write_to_an_unknown_server_takes_no_more_than_before(server: RunningServer) -> None:
    assert fewest(server, MemoryKnownServers, most=UNKNOWN) <= UNKNOWN
