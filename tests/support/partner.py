"""Clients and deliveries for the real server of an integration test, and what is on its disk."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.arrivals import files_below
from local.sftp_server import RunningServer
from s3_to_sftp.credentials import Credentials, CredentialSource, FixedCredentials
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.connection import connect
from s3_to_sftp.sftp.publish import publish
from s3_to_sftp.sftp.temporary_names import temporary_path
from s3_to_sftp.sftp.upload import Staged
from s3_to_sftp.sftp.upload_request import DEFAULT_TUNING, RangeReader, TransferTuning, UploadRequest
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.pace import short
from tests.support.sftp_environment import MemoryJournal

TUNING: TransferTuning | None = None
"""How large files are divided among streams, where a fixture sets it; otherwise as in production."""

IMPATIENT = short(connect=5, handshake=2.5, login=2.5, reply=2.5)
"""Servers on loopback answer at once or never."""


def tuned(segment_bytes: int) -> TransferTuning:
    """As many streams as the partner allows, at any distance and for any size, with ranges of this length."""
    return TransferTuning(
        aim_bytes_per_second=1e15,
        min_bytes_per_stream=1,
        segment_bytes=segment_bytes,
        last_segment_bytes=min(segment_bytes, 1024 * 1024),
    )


def address_of(server: RunningServer, *, port: int | None = None, host_keys: tuple[str, ...] = ()) -> Server:
    """Return the address of the server as settings give it; by default with its own host keys."""
    return Server(host=server.host, port=port or server.port, host_keys=host_keys or server.host_keys)


def login_of(server: RunningServer) -> Credentials:
    """Return the login that the server accepts."""
    return Credentials(username=server.username, private_key=server.private_key)


def assert_connects(server: Server, credentials: Credentials) -> str:
    """Assert that the login leads to an open SFTP session; return the fingerprint of the host key."""
    connection = connect(server, credentials, IMPATIENT)
    try:
        assert connection.is_open()
        return connection.host_key_fingerprint
    finally:
        connection.close()


def client_for(
    server: RunningServer,
    *,
    port: int | None = None,
    credentials: CredentialSource | None = None,
    clock: Callable[[], float] = time.monotonic,
    max_connections: int = 1,
    timeouts: Timeouts = IMPATIENT,
    ciphers: tuple[str, ...] = (),
    directories: Sequence[str] = (),
) -> SftpClient:
    """Return a client with the address and the login of the server, and short timeouts."""
    return SftpClient(
        replace(address_of(server, port=port), ciphers=ciphers),
        credentials or FixedCredentials(login_of(server)),
        timeouts=timeouts,
        max_connections=max_connections,
        directories=directories,
        tuning=TUNING or DEFAULT_TUNING,
        clock=clock,
    )


def delivery_to(server: RunningServer, s3: Any, *, port: int | None = None, directory: str = "") -> Delivery:
    """Return a delivery with its own client."""
    return Delivery(s3=s3, sftp=client_for(server, port=port), directory=directory)


def send(client: SftpClient, source: RangeReader, path: str, *, most_streams: int | None = None) -> int:
    """Send a file as the delivery of a large object does; return the number of its streams."""
    temporary = temporary_path(path, token=secrets.token_hex(8))
    sent = upload(client, source, path, temporary=temporary, most_streams=most_streams)
    if sent.lost is not None:
        raise sent.lost
    assert sent.complete
    assert sent.acknowledged == source.size
    return sent.streams


def upload(client: SftpClient, source: RangeReader, path: str, *, temporary: str, **more: Any) -> Staged:
    """Send a file as far as possible; a complete file gets its final name."""
    sent = client.upload(UploadRequest(source=source, temporary=temporary, **more))
    if sent.complete:
        client.run(
            lambda session: publish(
                session, sent.temporary, path, aside=f"{path}.old", journal=MemoryJournal()
            )
        )
    return sent


def contents_below(root: Path) -> dict[str, bytes]:
    """Return name and bytes of every file on the partner's disk, temporary ones included."""
    while True:
        try:
            return {path.relative_to(root).as_posix(): path.read_bytes() for path in files_below(root)}
        except FileNotFoundError:
            continue  # a server whose client has gone still removes or renames what it was asked to


def connections(server: RunningServer) -> int:
    """Count the connections that the server has seen."""
    line = {"sshd": "Connection from ", "asyncssh": " connected"}[server.kind]
    return server.read_log().count(line)


_ENDED = {
    "sshd": re.compile(r"^(?:Connection closed by|Connection reset by|Disconnected from) ", re.MULTILINE),
    "asyncssh": re.compile(r" connection ended: "),
}


def log_of_ended(server: RunningServer) -> str:
    """Return the server's log once each of its connections has ended: a server may notice later than we do.

    What must not be in it could else still come.
    """
    while True:
        log = server.read_log()
        if len(_ENDED[server.kind].findall(log)) >= connections(server):
            return log
        time.sleep(0.01)
