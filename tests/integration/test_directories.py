"""Directories at a real server: missing ones are made, except where the partner would not look for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.sftp_server import start_asyncssh_server
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import DirectoryAmbiguous, DirectoryNameDiffers, Disposition, RemotePathRefused
from tests.integration.conftest import start
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import client_for, contents_below


@pytest.fixture
def home(tmp_path: Path) -> tuple[str, Path]:
    """A kind of server, and the start directory of its login, which is called `inbox`."""
    root = tmp_path / "inbox"
    root.mkdir()
    return "sshd", root  # at asyncssh's server every login starts in "/"


@pytest.mark.parametrize("directory", ["inbox", "inbox/"])
@pytest.mark.parametrize("data", [b"small", bytes(3_000_000)], ids=["small", "large"])
def test_directory_is_not_made_inside_the_start_directory_of_the_same_name(
    directory: str, data: bytes, home: tuple[str, Path]
) -> None:
    kind, root = home
    s3 = MemoryS3({"2026/a.csv": data})
    with start(kind, root) as server:
        client = client_for(server, directories=[directory])
        with pytest.raises(DirectoryAmbiguous, match="the login starts in") as raised:
            Delivery(s3=s3, sftp=client, directory=directory).deliver(s3.ref("2026/a.csv"))
        client.close()
    assert raised.value.disposition is Disposition.PARTNER
    assert "Leave SSH_DIR empty" in raised.value.hint
    assert list(root.rglob("*")) == []


@pytest.mark.parametrize("kind", ["sshd", "asyncssh"])
@pytest.mark.parametrize("data", [b"small", bytes(3_000_000)], ids=["small", "large"])
def test_directory_is_not_made_beside_one_in_another_case(data: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "inbox").mkdir(parents=True)
    s3 = MemoryS3({"a.csv": data})
    with start(kind, tmp_path) as server:
        client = client_for(server, directories=["in/Inbox"])
        with pytest.raises(DirectoryNameDiffers, match="'in/inbox' exists") as raised:
            Delivery(s3=s3, sftp=client, directory="in/Inbox").deliver(s3.ref("a.csv"))
        client.close()
    assert raised.value.disposition is Disposition.PARTNER
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "inbox"]


def test_missing_directory_is_made_where_nothing_has_almost_its_name(tmp_path: Path) -> None:
    for number in range(300):  # more than one answer to READDIR
        (tmp_path / f"{number}").mkdir()
    s3 = MemoryS3({"a.csv": b"news"})
    with start("sshd", tmp_path) as server:
        client = client_for(server, directories=["Inbox"])
        Delivery(s3=s3, sftp=client, directory="Inbox").deliver(s3.ref("a.csv"))
        client.close()
    assert contents_below(tmp_path) == {"Inbox/a.csv": b"news"}


def test_existing_directory_of_the_same_name_is_used(home: tuple[str, Path]) -> None:
    kind, root = home
    (root / "inbox").mkdir()
    s3 = MemoryS3({"2026/a.csv": b"news"})
    with start(kind, root) as server:
        client = client_for(server, directories=["inbox"])
        Delivery(s3=s3, sftp=client, directory="inbox").deliver(s3.ref("2026/a.csv"))
        client.close()
    assert contents_below(root) == {"inbox/2026/a.csv": b"news"}


def test_key_can_start_with_the_name_of_the_start_directory(
    home: tuple[str, Path],
) -> None:
    kind, root = home
    s3 = MemoryS3({"inbox/a.csv": b"news"})
    with start(kind, root) as server:
        client = client_for(server, directories=[""])
        Delivery(s3=s3, sftp=client, directory="").deliver(s3.ref("inbox/a.csv"))
        client.close()
    assert contents_below(root) == {"inbox/a.csv": b"news"}


@pytest.mark.parametrize("data", [b"small", bytes(3_000_000)], ids=["small", "large"])
def test_names_that_windows_does_not_keep_are_refused_at_a_windows_server(
    data: bytes, tmp_path: Path
) -> None:
    s3 = MemoryS3({"a.txt:stream": data, "a.txt": data})
    says = {"server_version": "OpenSSH_for_Windows_9.5"}
    with start_asyncssh_server(tmp_path, options=says) as server:
        client = client_for(server, directories=["C:/inbox"])
        delivery = Delivery(s3=s3, sftp=client, directory="C:/inbox")
        with pytest.raises(RemotePathRefused, match="runs on Windows"):
            delivery.deliver(s3.ref("a.txt:stream"))
        delivery.deliver(s3.ref("a.txt"))
        client.close()
    assert contents_below(tmp_path).keys() == {"C:/inbox/a.txt"}
