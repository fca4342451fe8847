"""The server of all measurements: OpenSSH's sshd on loopback, its files in memory where possible."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.payload import Payload, small_file, small_name
from local.sftp_server import RunningServer, start_sshd

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
# Thirty-two concurrent logins are no attack here.
_CONFIG = ("MaxStartups 200:30:400", "MaxSessions 100")


@dataclass(frozen=True, kw_only=True)
class Sink:
    """The server that receives everything, and the files that command line tools send.

    Attributes:
        server: sshd.
        key_file: The private key of the login.
        inbox: Emptied before each run.
        outbox: Holds the local files.
    """

    server: RunningServer
    key_file: Path
    inbox: Path
    outbox: Path

    def empty(self) -> None:
        """Removes the files that arrived."""
        shutil.rmtree(self.inbox, ignore_errors=True)
        self.inbox.mkdir()

    def logins(self) -> int:
        """The number of logins so far."""
        return self.server.read_log().count("Accepted publickey")

    def local(self, *, size: int, files: int) -> Path:
        """The file, or the folder of small files, that tools read; made once."""
        path = self.outbox / f"{files}x{size}"
        if path.exists():
            return path
        if files == 1:
            self._drop_large()
            Payload(size).write_to(path)
            return path
        path.mkdir()
        for number in range(files):
            (path / small_name(number)).write_bytes(small_file(number, size))
        return path

    def _drop_large(self) -> None:
        # They are in memory, so only one exists at a time.
        for path in self.outbox.glob("1x*"):
            path.unlink()


@contextmanager
def start_sink() -> Iterator[Sink]:
    """Runs sshd until the block ends, and removes all files.

    Raises:
        RuntimeError: sshd is not installed.
    """
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        root = Path(folder)
        for name in ("inbox", "outbox"):
            (root / name).mkdir()
        with start_sshd(root, extra_config=_CONFIG) as server:
            key_file = root / "key"
            key_file.touch(mode=0o600)
            key_file.write_text(server.private_key)
            yield Sink(server=server, key_file=key_file, inbox=root / "inbox", outbox=root / "outbox")


class WrongArrival(RuntimeError):
    """The files that arrived differ from those that were sent."""


def check_arrival(inbox: Path, *, size: int, files: int, sha256: str) -> None:
    """Verifies that exactly the sent files are there, complete.

    Raises:
        WrongArrival: Something is missing, different, or there though it was not sent.
    """
    names = ["large"] if files == 1 else [small_name(number) for number in range(files)]
    found = sorted(path.name for path in inbox.iterdir() if not path.name.startswith("warm-up"))
    if found != sorted(names):
        odd = sorted(set(found) ^ set(names))[:5]
        raise WrongArrival(f"{len(found)} of {len(names)} files arrived; odd ones: {', '.join(odd)}")
    if files == 1:
        _verify(inbox / "large", size=size, sha256=sha256)
        return
    for number, name in enumerate(names):
        if (inbox / name).read_bytes() != small_file(number, size):
            raise WrongArrival(f"{name} arrived with other content")


def _verify(path: Path, *, size: int, sha256: str) -> None:
    if path.stat().st_size != size:
        raise WrongArrival(f"{path.stat().st_size} bytes arrived instead of {size}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise WrongArrival("the size is right, the content is not")
