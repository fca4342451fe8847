"""Files arrive byte for byte under the right name, at OpenSSH and at asyncssh."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.credentials import Credentials, FixedCredentials, OtherLogin
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import ConnectionLost, RemotePathRefused, RequestRefused
from s3_to_sftp.sftp.protocol import POSIX_RENAME
from s3_to_sftp.sftp.write_window import WINDOW_BYTES
from tests.support.faults.sftp_server import without_extensions
from tests.support.faults.tcp_proxy import tcp_proxy
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import (
    client_for,
    connections,
    contents_below,
    delivery_to,
    login_of,
)

KIB = 1024
MIB = 1024 * KIB


def around(size: int) -> Iterator[int]:
    yield from (size - 1, size, size + 1)


SIZES = [
    0,
    1,
    *around(32 * KIB),
    *around(255 * KIB),
    *around(MIB),
    *around(WINDOW_BYTES),
    2 * WINDOW_BYTES + 12345,
]


def test_every_size_arrives_byte_for_byte(server: RunningServer) -> None:
    s3 = MemoryS3({f"{size}.bin": os.urandom(size) for size in SIZES})
    delivery = delivery_to(server, s3)
    for key, data in s3.objects.items():
        assert delivery.deliver(s3.ref(key)).size == len(data)
    assert contents_below(server.root) == s3.objects
    assert connections(server) == 1


@pytest.mark.parametrize(
    "key",
    [
        "a b+ü(1)&%41.csv",
        "🚀 emoji 👩‍🚀.csv",
        "quotes ' and \" and `.csv",
        "$(touch x);|&<>*?[].csv",
        "-rf",
        "~",
        "ends with a blank ",
        "back\\slash",
        "x" * 255,
        "ü" * 127,
        "/".join(["directory"] * 30) + "/deep.csv",
    ],
)
def test_unusual_name_arrives_unchanged(key: str, server: RunningServer) -> None:
    s3 = MemoryS3({key: b"content"})
    delivery_to(server, s3).deliver(s3.ref(key))
    assert contents_below(server.root) == {key: b"content"}


@pytest.mark.parametrize("key", ["new\nline.csv", "x" * 256, "../outside.csv", "a//b.csv", "/absolute.csv"])
def test_impossible_name_is_refused_without_a_connection(key: str, server: RunningServer) -> None:
    s3 = MemoryS3({key: b"content"})
    with pytest.raises(RemotePathRefused):
        delivery_to(server, s3).deliver(s3.ref(key))
    assert connections(server) == 0


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_missing_directories_are_made(server: RunningServer, *, relative: bool) -> None:
    directory = "inbox/today" if relative else f"{server.directory.rstrip('/')}/inbox/today"
    s3 = MemoryS3({"a/b/c.csv": b"1", "a/d.csv": b"2"})
    delivery = delivery_to(server, s3, directory=directory)
    for key in s3.objects:
        delivery.deliver(s3.ref(key))
    assert contents_below(server.root) == {"inbox/today/a/b/c.csv": b"1", "inbox/today/a/d.csv": b"2"}


def test_existing_file_is_replaced(server: RunningServer) -> None:
    (server.root / "report.csv").write_bytes(b"old, and longer than the new one")
    s3 = MemoryS3({"report.csv": b"new"})
    delivery_to(server, s3).deliver(s3.ref("report.csv"))
    assert contents_below(server.root) == {"report.csv": b"new"}


def test_existing_file_is_replaced_without_posix_rename(root: Path) -> None:
    (root / "report.csv").write_bytes(b"old")
    s3 = MemoryS3({"report.csv": b"new"})
    with without_extensions(POSIX_RENAME), start_asyncssh_server(root) as server:
        delivery_to(server, s3).deliver(s3.ref("report.csv"))
    assert contents_below(root) == {"report.csv": b"new"}


def test_directory_under_the_final_name_is_an_error_and_stays(server: RunningServer) -> None:
    (server.root / "report.csv").mkdir()
    (server.root / "report.csv" / "inside").write_bytes(b"kept")
    s3 = MemoryS3({"report.csv": b"new"})
    with pytest.raises(RequestRefused):
        delivery_to(server, s3).deliver(s3.ref("report.csv"))
    assert contents_below(server.root) == {"report.csv/inside": b"kept"}


def test_file_under_the_name_of_a_directory_is_an_error_and_stays(server: RunningServer) -> None:
    (server.root / "inbox").write_bytes(b"a file")
    s3 = MemoryS3({"inbox/report.csv": b"new"})
    with pytest.raises(RequestRefused):
        delivery_to(server, s3).deliver(s3.ref("inbox/report.csv"))
    assert contents_below(server.root) == {"inbox": b"a file"}


def test_connection_is_reused_by_later_deliveries_after_a_pause(server: RunningServer) -> None:
    now = 0.0
    s3 = MemoryS3({"report.csv": b"new"})
    client = client_for(server, clock=lambda: now)
    delivery = Delivery(s3=s3, sftp=client, directory="")
    for now in (0.0, 1.0, 3600.0):  # noqa: B007 - the clock above reads it
        delivery.deliver(s3.ref("report.csv"))
    assert connections(server) == 1


def test_connection_stays_open_after_a_refused_request(server: RunningServer) -> None:
    (server.root / "taken").mkdir()
    s3 = MemoryS3({"taken": b"new", "report.csv": b"new"})
    delivery = delivery_to(server, s3)
    with pytest.raises(RequestRefused):
        delivery.deliver(s3.ref("taken"))
    delivery.deliver(s3.ref("report.csv"))
    assert connections(server) == 1


@pytest.mark.parametrize("idle", [0.0, 60.0], ids=["at once", "after a pause"])
def test_connection_that_the_server_dropped_is_replaced(idle: float, server: RunningServer) -> None:
    now = 0.0
    s3 = MemoryS3({"report.csv": b"new"})
    with tcp_proxy(server.port) as proxy:
        client = client_for(server, port=proxy.port, clock=lambda: now)
        delivery = Delivery(s3=s3, sftp=client, directory="")
        delivery.deliver(s3.ref("report.csv"))
        proxy.cut()
        now += idle
        s3.objects["report.csv"] = b"newer"
        delivery.deliver(s3.ref("report.csv"))
        assert proxy.connections == 2
    assert contents_below(server.root) == {"report.csv": b"newer"}


def test_lost_new_connection_is_not_retried_in_the_same_delivery(server: RunningServer) -> None:
    data = bytes(8 * MIB)
    s3 = MemoryS3({"report.csv": data})
    with tcp_proxy(server.port) as proxy:
        s3_cutting = _CutsAfterTheFirstBlock(s3, proxy.cut)
        delivery = Delivery(s3=s3_cutting, sftp=client_for(server, port=proxy.port), directory="")
        with pytest.raises(ConnectionLost):
            delivery.deliver(s3.ref("report.csv"))
        assert proxy.connections == 1


class _CutsAfterTheFirstBlock:
    def __init__(self, s3: MemoryS3, cut: object) -> None:
        self._s3, self._cut = s3, cut

    def head_object(self, **request: object) -> dict[str, object]:
        return self._s3.head_object(**request)

    def get_object(self, **request: object) -> dict[str, object]:
        answer = self._s3.get_object(**request)
        body = answer["Body"]
        read = body.read

        def read_and_cut(amount: int) -> bytes:
            block: bytes = read(amount)
            self._cut()  # type: ignore[operator] # a method of the proxy
            return block

        body.read = read_and_cut
        return answer


class _RotatingSecret(FixedCredentials):
    """A secret that was changed after it was cached."""

    def __init__(self, old: Credentials, new: Credentials) -> None:
        self._now, self._new = old, new
        self.reads = 0

    def other_than(self, refused: Credentials) -> OtherLogin | None:
        return OtherLogin(self.refreshed(), "AWSCURRENT")

    def current(self) -> Credentials:
        return self._now

    def refreshed(self) -> Credentials:
        self.reads += 1
        self._now = self._new
        return self._now


def test_rotated_password_is_read_again_once_and_then_kept(root: Path) -> None:
    s3 = MemoryS3({"report.csv": b"new"})
    with start_asyncssh_server(root) as server:
        secret = _RotatingSecret(
            Credentials(username="partner", password="old"),
            Credentials(username="partner", password=server.password or ""),
        )
        delivery = Delivery(s3=s3, sftp=client_for(server, credentials=secret), directory="")
        delivery.deliver(s3.ref("report.csv"))
        delivery.deliver(s3.ref("report.csv"))
        assert secret.reads == 1
        assert connections(server) == 2  # the refused one and the one that is reused


def test_receipt_names_the_path_the_size_and_the_host_key(server: RunningServer) -> None:
    s3 = MemoryS3({"report.csv": b"new"})
    client = client_for(server, credentials=FixedCredentials(login_of(server)))
    receipt = Delivery(s3=s3, sftp=client, directory="inbox").deliver(s3.ref("report.csv"))
    assert receipt.remote_path == "inbox/report.csv"
    assert receipt.size == 3
    assert receipt.host_key_fingerprint.startswith("SHA256:")


STREAM = """
import json, resource, sys
from s3_to_sftp.credentials import Credentials, FixedCredentials
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.s3.object_ref import ObjectRef
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.client import SftpClient
from s3_to_sftp.sftp.upload_request import TransferTuning
from s3_to_sftp.ssh.connect import Timeouts

# Each stream has its own blocks, and a busy machine looks like a distance at which a second one pays.
tuning = TransferTuning(aim_bytes_per_second=1)
given = json.load(sys.stdin)

PATTERN = bytes(range(256)) * 4096

class Body:
    def __init__(self, start, end):
        self.at, self.end = start, end
    def read(self, amount):
        piece = PATTERN[self.at % 256 :][: min(amount, self.end - self.at)]
        self.at += len(piece)
        return piece
    def close(self):
        pass

class S3:
    def head_object(self, Bucket, Key, ChecksumMode):
        return {"ContentLength": int(Key), "ETag": "x"}

    def get_object(self, Bucket, Key, IfMatch):
        return {"Body": Body(0, int(Key))}

client = SftpClient(
    Server(host=given["host"], port=given["port"], host_keys=given["host_keys"]),
    FixedCredentials(Credentials(username=given["username"], private_key=given["private_key"])),
    timeouts=Timeouts(),
    tuning=tuning,
)
delivery = Delivery(s3=S3(), sftp=client, directory="")
for size in (16 * 1024 * 1024, 256 * 1024 * 1024):
    delivery.deliver(ObjectRef(bucket="b", key=str(size)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.usefixtures("sshd_or_skip")
@pytest.mark.skipif(sys.platform == "darwin", reason="ru_maxrss is in other units there")
@pytest.mark.parametrize("server", ["sshd"], indirect=True)
def test_memory_does_not_grow_with_the_object(server: RunningServer) -> None:
    import json

    given = {
        "host": server.host,
        "port": server.port,
        "host_keys": server.host_keys,
        "username": server.username,
        "private_key": server.private_key,
    }
    done = subprocess.run(
        [sys.executable, "-c", STREAM],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    peak_small, peak_big = done.stdout.split()
    arrived = server.root / str(256 * KIB * KIB)
    with arrived.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    assert digest == hashlib.sha256(bytes(range(256)) * MIB).digest()
    # 240 MiB more of object; what the allocator and the SSH library keep may differ by a few MiB.
    grown = (int(peak_big) - int(peak_small)) * KIB
    assert grown < 16 * KIB * KIB, f"{grown / KIB / KIB:.1f} MiB more memory for a bigger object"
