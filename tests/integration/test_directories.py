"""Directories at a real server: created where they are missing, unless nobody would look there."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.sftp_server import start_asyncssh_server
from s3_to_sftp.delivery.delivery import Delivery
from s3_to_sftp.errors import DirectoryAmbiguous, Disposition, RemotePathRefused
from tests.integration.conftest import start
from tests.support.memory_s3 import MemoryS3
from tests.support.partner import files_below, partner_at


@pytest.fixture
def home(tmp_path: Path) -> tuple[str, Path]:
    """A kind of server, and where its login starts: in a directory of the name `inbox`."""
    root = tmp_path / "inbox"
    root.mkdir()
    return "sshd", root  # asyncssh's server shows "/" as the place where the login starts


@pytest.mark.parametrize("directory", ["inbox", "inbox/"])
@pytest.mark.parametrize("data", [b"small", bytes(3_000_000)], ids=["small", "large"])
def test_directory_is_not_made_within_itself(directory: str, data: bytes, home: tuple[str, Path]) -> None:
    kind, root = home
    s3 = MemoryS3({"2026/a.csv": data})
    with start(kind, root) as server:
        partner = partner_at(server, directories=[directory])
        with pytest.raises(DirectoryAmbiguous, match="the login starts in") as raised:
            Delivery(s3=s3, sftp=partner, directory=directory).deliver(s3.ref("2026/a.csv"))
        partner.close()
    assert raised.value.disposition is Disposition.PARTNER
    assert "Leave SSH_DIR empty" in raised.value.hint
    assert list(root.rglob("*")) == []


def test_directory_of_the_same_name_that_is_there_is_used(home: tuple[str, Path]) -> None:
    kind, root = home
    (root / "inbox").mkdir()
    s3 = MemoryS3({"2026/a.csv": b"news"})
    with start(kind, root) as server:
        partner = partner_at(server, directories=["inbox"])
        Delivery(s3=s3, sftp=partner, directory="inbox").deliver(s3.ref("2026/a.csv"))
        partner.close()
    assert files_below(root) == {"inbox/2026/a.csv": b"news"}


def test_key_may_begin_with_the_name_of_the_directory_in_which_the_login_starts(
    home: tuple[str, Path],
) -> None:
    kind, root = home
    s3 = MemoryS3({"inbox/a.csv": b"news"})
    with start(kind, root) as server:
        partner = partner_at(server, directories=[""])
        Delivery(s3=s3, sftp=partner, directory="").deliver(s3.ref("inbox/a.csv"))
        partner.close()
    assert files_below(root) == {"inbox/a.csv": b"news"}


@pytest.mark.parametrize("data", [b"small", bytes(3_000_000)], ids=["small", "large"])
def test_names_that_windows_would_not_keep_are_refused_where_the_server_says_that_it_is_windows(
    data: bytes, tmp_path: Path
) -> None:
    s3 = MemoryS3({"a.txt:stream": data, "a.txt": data})
    says = {"server_version": "OpenSSH_for_Windows_9.5"}
    with start_asyncssh_server(tmp_path, options=says) as server:
        partner = partner_at(server, directories=["C:/inbox"])
        delivery = Delivery(s3=s3, sftp=partner, directory="C:/inbox")
        with pytest.raises(RemotePathRefused, match="runs on Windows"):
            delivery.deliver(s3.ref("a.txt:stream"))
        delivery.deliver(s3.ref("a.txt"))
        partner.close()
    assert files_below(tmp_path).keys() == {"C:/inbox/a.txt"}
