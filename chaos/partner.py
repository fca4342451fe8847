"""The partner: an SFTP server that records every rename, behind a TCP proxy that can be cut.

What a partner can do to our files happens here: it removes temporary files, loses its disk or restores an
older one, loses the end of a file in a power failure, and completes a RENAME after the client has left.
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

from chaos.records import Records, Taken, appearance, final_names, temporary_names
from chaos.server import DelayedRename, Disk, RecordingServer, ServerFaults, recorded_rename
from local.sftp_server import RunningServer
from s3_to_sftp.sftp.protocol import POSIX_RENAME
from tests.support.faults.sftp_server import without_extensions
from tests.support.faults.tcp_proxy import TcpProxy
from tests.support.restartable_server import RestartableServer

INBOX = "inbox"
_POLL_SECONDS = 0.05


class Partner:
    """Keeps one port while the server behind it changes."""

    def __init__(self, root: Path) -> None:
        """Starts the server.

        Args:
            root: The folder that a login sees as `/`.
        """
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.inbox = self.root / INBOX
        self.inbox.mkdir()
        self._disks = self.root.with_name(f"{self.root.name}-disks")
        self._disks.mkdir()
        self.records = Records()
        self.disk = Disk()
        self.server_faults = ServerFaults()
        self._exchanges = 0
        self._hidden = ExitStack()
        factory = functools.partial(
            RecordingServer,
            inbox=self.inbox,
            records=self.records,
            disk=self.disk,
            server_faults=self.server_faults,
        )
        self._server = RestartableServer(self.root, sftp_factory=factory)
        self.server = self.start_server()
        self.proxy = TcpProxy(self.server.port)
        self.port = self.proxy.port
        self._ended = threading.Event()
        self._delayed = threading.Thread(target=self._complete_in_time, name="delayed renames", daemon=True)
        self._delayed.start()

    def start_server(self) -> RunningServer:
        """Starts the server with its former identity, port and files."""
        self.server = self._server.start()
        return self.server

    def stop_server(self) -> None:
        """Stops the server: the port still accepts connections and closes them at once."""
        self._server.stop()
        with self.records.lock:
            self.records.open.clear()

    def close_port(self) -> None:
        """Refuses connections."""
        self.proxy.close()

    def open_port(self) -> None:
        """Accepts connections again, without any fault."""
        self.proxy = TcpProxy(self.server.port, port=self.port)

    def stop(self) -> None:
        """Stops the server, the proxy and the threads."""
        self._ended.set()
        self._delayed.join()
        self.proxy.close()
        self._server.stop()
        self._hidden.close()

    def hide_posix_rename(self) -> None:
        """Behaves from now on like software whose RENAME replaces no file."""
        self._hidden.enter_context(without_extensions(POSIX_RENAME))
        self.proxy.cut()

    def show_posix_rename(self) -> None:
        """Supports posix-rename again."""
        self._hidden.close()
        self.proxy.cut()

    def remove_temporary_files(self, rng: random.Random) -> None:
        """Removes all or some of the files that look unfinished, as a clean-up job of the partner does."""
        share = rng.choice([0.5, 1.0])
        with self.records.lock:
            for path in temporary_names(self.inbox):
                if rng.random() < share:
                    path.unlink()
                    self.records.removed.add(str(path.relative_to(self.inbox)))

    def lose_power(self, rng: random.Random) -> None:
        """Stops at once; after the restart, unfinished files have lost their last bytes."""
        self.stop_server()
        with self.records.lock:
            self.server_faults.delayed.clear()
            for path in temporary_names(self.inbox):
                if path.stat().st_size and rng.random() < 0.7:
                    _cut_short(path, rng)
        self.start_server()

    def back_up(self) -> None:
        """Copies the disk, except files that are being written: a copy has no defined state of those."""
        with self.records.lock:
            shutil.rmtree(self._disks / "backup", ignore_errors=True)
            writing = set(self.records.open)
            shutil.copytree(
                self.inbox,
                self._disks / "backup",
                ignore=lambda folder, names: {name for name in names if Path(folder, name) in writing},
            )

    def replace_disk(self, *, empty: bool) -> None:
        """Restarts with the same address and host key, and with an empty disk or the backup."""
        self.stop_server()
        with self.records.lock:
            self.server_faults.delayed.clear()
            self._exchanges += 1
            self.records.events += [
                Taken(file=appearance(path, self.inbox)) for path in final_names(self.inbox)
            ]
            self.records.removed |= self._temporaries()
            new = self._disks / f"new-{self._exchanges}"
            backup = self._disks / "backup"
            if backup.exists() and not empty:
                shutil.copytree(backup, new)
            else:
                new.mkdir()
            self.inbox.rename(self._disks / f"old-{self._exchanges}")
            new.rename(self.inbox)
            self.records.brought_back |= self._temporaries()
        self.start_server()

    def complete_delayed_renames(self) -> None:
        """Completes every RENAME that still hangs."""
        self._complete(until=math.inf)

    def _temporaries(self) -> set[str]:
        return {str(path.relative_to(self.inbox)) for path in temporary_names(self.inbox)}

    def _complete_in_time(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._complete(until=time.monotonic())

    def _complete(self, *, until: float) -> None:
        with self.records.lock:
            due = [delayed for delayed in self.server_faults.delayed if delayed.due <= until]
            for delayed in due:
                self.server_faults.delayed.remove(delayed)
                with suppress(OSError):  # its file has been removed, or its target exists
                    recorded_rename(
                        self.records,
                        self.inbox,
                        delayed.old,
                        delayed.new,
                        functools.partial(_rename, delayed),
                        late=True,
                    )


def _rename(delayed: DelayedRename) -> None:
    if not delayed.replace and delayed.new.exists():
        raise FileExistsError(delayed.new)
    delayed.old.rename(delayed.new)


def _cut_short(path: Path, rng: random.Random) -> None:
    status = path.stat()
    os.truncate(path, rng.randrange(status.st_size))
    # The time was on the disk before the bytes were.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
