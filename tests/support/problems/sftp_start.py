"""A login that works, and SFTP that does not start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.faults.ssh_door import ssh_door, success
from tests.support.problems.login import provoked_by_door
from tests.support.problems.problem import PASSWORD, Problem, Provoke, Provoked, folder, provoked_by
from tests.support.problems.servers import need_root, sshd

_ECHOED = PASSWORD.encode()

_GREETS = """#!/bin/sh
echo Welcome at the partner
for program in /usr/lib/openssh/sftp-server /usr/lib/ssh/sftp-server /usr/libexec/sftp-server cat; do
  command -v $program >/dev/null && exec $program
done
"""


def sshd_with(*config: str, subsystem: str | None = None) -> Provoke:
    """Return how sshd is configured like this."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with sshd(*config, subsystem=subsystem) as (server, _):
            yield provoked_by(server)

    return provoke


@contextmanager
def chroot_writable_by_all() -> Iterator[Provoked]:
    need_root("sshd changes the root directory")
    with folder() as place:
        place.chmod(0o777)
        with sshd(f"ChrootDirectory {place}") as (server, _):
            yield provoked_by(server)


@contextmanager
def shell_greets() -> Iterator[Provoked]:
    with folder() as place:
        script = place / "sftp"
        script.write_text(_GREETS)
        script.chmod(0o755)
        with sshd(subsystem=str(script)) as (server, _):
            yield provoked_by(server)


@contextmanager
def chroot_missing() -> Iterator[Provoked]:
    need_root("sshd changes the root directory")
    with sshd("ChrootDirectory /no/such/folder") as (server, _):
        yield provoked_by(server)


def session(serve: Callable[[Any], None]) -> Provoke:
    """Return how a server does this in place of SFTP."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with ssh_door(lambda _: [success()], session=serve) as door:
            yield provoked_by_door(door)

    return provoke


@contextmanager
def every_channel_refused() -> Iterator[Provoked]:
    with ssh_door(lambda _: [success()], refuses_channel=b"Administratively prohibited, " + _ECHOED) as door:
        yield provoked_by_door(door)


def says_nothing(_channel: Any) -> None:
    """It stays open."""


def ends(channel: Any) -> None:
    channel.close()


def sends_bytes(channel: Any) -> None:
    channel.sendall(bytes([0, 0, 0, 5, 9, 1, 2, 3, 4]))


def says_too_many(channel: Any) -> None:
    channel.sendall_stderr(b"Maximum number of sessions reached\r\n")
    channel.send_exit_status(1)
    channel.close()


PROBLEMS = [
    Problem("no subsystem", sshd_with(subsystem=""), "no-sftp-subsystem"),
    Problem("sftp-server missing", sshd_with(subsystem="/no/such/sftp-server"), "sftp-program-missing"),
    Problem("nologin", sshd_with(subsystem="/usr/sbin/nologin"), "account-without-sftp"),
    Problem("false", sshd_with(subsystem="/bin/false"), "account-without-sftp"),
    Problem("shell greets", shell_greets, "shell-greets"),
    Problem("chroot writable by all", chroot_writable_by_all, "chroot-broken"),
    Problem("chroot missing", chroot_missing, "chroot-broken"),
    Problem("no sessions", sshd_with("MaxSessions 0"), "session-refused"),
    Problem("sessions forbidden", every_channel_refused, "session-refused"),
    Problem("session ends", session(ends), "sftp-ends-at-once"),
    Problem("session silent", session(says_nothing), "sftp-silent", is_silence=True),
    Problem("session of something else", session(sends_bytes), "not-sftp"),
    Problem("too many sessions after the login", session(says_too_many), "too-many-sessions"),
]
