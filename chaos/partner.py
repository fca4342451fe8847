"""The partner: an SFTP server whose every rename is recorded, behind a line that can be cut.

What it can do to files of ours it does here: tidy up, lose its disk or get an older one back, lose the end of
a file with its power, and carry out a RENAME when nobody waits for it any more.
"""

from __future__ import annotations

import functools
import math
import os
import random
import shutil
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import asyncssh

from chaos.records import Records, Taken, appearance, final_names, temporary_names
from chaos.server import Disk, Late, RecordingServer, Temper, recorded_rename
from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.sftp.protocol import POSIX_RENAME
from tests.support.faults.sftp_server import without_extensions
from tests.support.faults.tcp_proxy import TcpProxy

INBOX = "inbox"
_GLANCE_SECONDS = 0.05


class Partner:
    """Stays at one port, whatever happens to what is behind it."""

    def __init__(self, root: Path) -> None:
        """Starts the server.

        Args:
            root: The folder that a login sees as `/`.
        """
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.inbox = self.root / INBOX
        self.inbox.mkdir()
        self._attic = self.root.with_name(f"{self.root.name}-disks")
        self._attic.mkdir()
        self.records = Records()
        self.disk = Disk()
        self.temper = Temper()
        self._exchanges = 0
        self._identity = asyncssh.generate_private_key("ssh-ed25519")
        self._up = ExitStack()
        self._hidden = ExitStack()
        self._server_port: int | None = None
        self.server = self.start_server()
        self.line = TcpProxy(self.server.port)
        self.port = self.line.port
        self._ended = threading.Event()
        self._late = threading.Thread(target=self._wake_in_time, name="hanging processes", daemon=True)
        self._late.start()

    def start_server(self) -> RunningServer:
        """Starts it, as the one that it was."""
        self.server = self._up.enter_context(
            start_asyncssh_server(
                self.root,
                port=self._server_port,
                password="correct horse battery staple",  # noqa: S106 - of a server on loopback
                host_keys=[self._identity],
                sftp_factory=functools.partial(
                    RecordingServer,
                    inbox=self.inbox,
                    records=self.records,
                    disk=self.disk,
                    temper=self.temper,
                ),
            )
        )
        self._server_port = self.server.port
        return self.server

    def stop_server(self) -> None:
        """Whoever connects to the port is disconnected at once."""
        self._up.close()
        with self.records.lock:
            self.records.open.clear()

    def close_port(self) -> None:
        """Whoever connects is refused."""
        self.line.close()

    def open_port(self) -> None:
        """Listens again, with nothing wrong."""
        self.line = TcpProxy(self.server.port, port=self.port)

    def stop(self) -> None:
        """Ends everything."""
        self._ended.set()
        self._late.join()
        self.line.close()
        self._up.close()
        self._hidden.close()

    def hide_posix_rename(self) -> None:
        """Is another software from now on, whose RENAME replaces nothing."""
        self._hidden.enter_context(without_extensions(POSIX_RENAME))
        self.line.cut()

    def show_posix_rename(self) -> None:
        """Is what it was before."""
        self._hidden.close()
        self.line.cut()

    def tidy_up(self, rng: random.Random) -> None:
        """Removes what looks unfinished, all or some of it, as a job would that knows nothing of us."""
        share = rng.choice([0.5, 1.0])
        with self.records.lock:
            for path in temporary_names(self.inbox):
                if rng.random() < share:
                    path.unlink()
                    self.records.removed.add(str(path.relative_to(self.inbox)))

    def lose_power(self, rng: random.Random) -> None:
        """Goes away at once; what was written last to unfinished files is gone when it comes back."""
        self.stop_server()
        with self.records.lock:
            self.temper.late.clear()
            for path in temporary_names(self.inbox):
                if path.stat().st_size and rng.random() < 0.7:
                    _cut_short(path, rng)
        self.start_server()

    def back_up(self) -> None:
        """Keeps a copy of the disk, but of files that are being written: no copy shows any state of those."""
        with self.records.lock:
            shutil.rmtree(self._attic / "backup", ignore_errors=True)
            writing = set(self.records.open)
            shutil.copytree(
                self.inbox,
                self._attic / "backup",
                ignore=lambda folder, names: {name for name in names if Path(folder, name) in writing},
            )

    def exchange_disk(self, *, empty: bool) -> None:
        """Comes back behind the same address and host key, with an empty disk or with what was backed up."""
        self.stop_server()
        with self.records.lock:
            self.temper.late.clear()
            self._exchanges += 1
            self.records.events += [
                Taken(file=appearance(path, self.inbox)) for path in final_names(self.inbox)
            ]
            self.records.removed |= self._temporaries()
            new = self._attic / f"new-{self._exchanges}"
            backup = self._attic / "backup"
            if backup.exists() and not empty:
                shutil.copytree(backup, new)
            else:
                new.mkdir()
            self.inbox.rename(self._attic / f"old-{self._exchanges}")
            new.rename(self.inbox)
            self.records.brought_back |= self._temporaries()
        self.start_server()

    def wake(self) -> None:
        """Lets all processes that hang do what they were asked for."""
        self._wake(until=math.inf)

    def _temporaries(self) -> set[str]:
        return {str(path.relative_to(self.inbox)) for path in temporary_names(self.inbox)}

    def _wake_in_time(self) -> None:
        while not self._ended.wait(_GLANCE_SECONDS):
            self._wake(until=time.monotonic())

    def _wake(self, *, until: float) -> None:
        with self.records.lock:
            due = [late for late in self.temper.late if late.due <= until]
            for late in due:
                self.temper.late.remove(late)
                with suppress(OSError):  # there is nothing to rename any more: so it should be
                    recorded_rename(
                        self.records,
                        self.inbox,
                        late.old,
                        late.new,
                        functools.partial(_rename, late),
                        late=True,
                    )


def _rename(late: Late) -> None:
    if not late.replace and late.new.exists():
        raise FileExistsError(late.new)
    late.old.rename(late.new)


def _cut_short(path: Path, rng: random.Random) -> None:
    status = path.stat()
    os.truncate(path, rng.randrange(status.st_size))
    # The time was on the disk before the bytes were.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
