"""Six servers that partners run, and what each of them showed: the JSON files beside this module.

    python -m tests.support.measured_servers

measures those that are installed here, and writes the files anew. Host, keys and time are fixed values: the
files show what a server does, not which one it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from local.sftp_server import RunningServer, sshd_path, start_asyncssh_server, start_sshd
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.measured_server import MeasuredServer
from s3_to_sftp.server import Server
from tests.support.doctor_environment import examine
from tests.support.faults.ssh_door import ssh_door, success
from tests.support.infra.keys import ED25519
from tests.support.other_servers import start_dropbear, start_proftpd, start_rclone
from tests.support.partner import address_of, login_of

FILES = Path(__file__).with_name("measured")
HOST = "sftp.partner.example"
MEASURED_AT = "2026-11-29T12:00:00Z"


@dataclass(frozen=True)
class Place:
    """Where a server can be reached, and where its files are.

    Attributes:
        address: And host key.
        login: That it accepts.
        root: Local folder of its files.
        directory: The same folder as a remote path.
    """

    address: Server
    login: Credentials
    root: Path
    directory: str


Start = Callable[[Path], AbstractContextManager[Place]]


def place_of(server: RunningServer) -> Place:
    return Place(address_of(server), login_of(server), server.root, server.directory)


def _running(start: Callable[[Path], AbstractContextManager[RunningServer]]) -> Start:
    @contextmanager
    def started(root: Path) -> Iterator[Place]:
        with start(root) as server:
            yield place_of(server)

    return started


def _sshd(root: Path) -> AbstractContextManager[RunningServer]:
    if sshd_path() is None:
        pytest.skip("OpenSSH's sshd is not installed (apt-get install openssh-server)")
    return start_sshd(root)


@contextmanager
def _paramiko(root: Path) -> Iterator[Place]:
    with ssh_door(lambda _asked: [success()], disk=root) as door:
        yield Place(door.address, door.login, root, "/")


SERVERS: dict[str, Start] = {
    "openssh": _running(_sshd),
    "proftpd": _running(start_proftpd),
    "dropbear": _running(start_dropbear),
    "asyncssh": _running(start_asyncssh_server),
    "paramiko": _paramiko,
    "rclone": _running(start_rclone),
}


def measure(place: Place, *, directory: str | None = None) -> MeasuredServer:
    """Let the doctor measure a server."""
    where = place.directory if directory is None else directory
    report = examine(place.address, place.login, directory=where, measure=True)
    assert "measured" in report.profile, [check.as_json() for check in report.checks]
    return MeasuredServer.from_json(report.as_json()["profile"]["measured"])


def anonymous(measured: MeasuredServer) -> MeasuredServer:
    """Return it with fixed values in place of what differs between two machines."""
    return replace(
        measured,
        host=HOST,
        port=22,
        measured_at=MEASURED_AT,
        host_keys=(ED25519,),
        writable={"/inbox": any(measured.writable.values())},
    )


def stored(name: str) -> MeasuredServer:
    """Return what one of the servers showed when its file was written."""
    return MeasuredServer.from_text((FILES / f"{name}.json").read_text())


def main() -> None:
    """Measure those that are installed."""
    FILES.mkdir(exist_ok=True)
    for name, start in SERVERS.items():
        with TemporaryDirectory(prefix="measured-") as folder:
            try:
                with start(Path(folder)) as place:
                    measured = measure(place)
            except pytest.skip.Exception as why:
                print(f"{name}: not measured, {why}", file=sys.stderr)
                continue
        (FILES / f"{name}.json").write_text(anonymous(measured).as_text())
        print(f"{name}: {measured.identification}")


if __name__ == "__main__":
    main()
