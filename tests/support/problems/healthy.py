"""Servers without a problem, of each kind that partners run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from local.sftp_server import start_asyncssh_server
from tests.support.faults.ssh_door import Asked, failure, ssh_door, success
from tests.support.other_servers import start_dropbear, start_proftpd
from tests.support.problems.login import provoked_by_door
from tests.support.problems.problem import (
    BY_PASSWORD,
    PASSWORD,
    Provoke,
    Provoked,
    by_key_of,
    folder,
    provoked_by,
)
from tests.support.problems.servers import certified_sshd, sshd, sshd_with_passwords


@contextmanager
def openssh() -> Iterator[Provoked]:
    with sshd() as (server, _):
        yield provoked_by(server)


@contextmanager
def proftpd() -> Iterator[Provoked]:
    with folder() as root, start_proftpd(root) as server:
        yield provoked_by(server, directory=server.directory)


@contextmanager
def dropbear() -> Iterator[Provoked]:
    with folder() as root, start_dropbear(root) as server:
        yield provoked_by(server, directory=server.directory)


@contextmanager
def asyncssh_by_password() -> Iterator[Provoked]:
    with folder() as root, start_asyncssh_server(root, password=PASSWORD) as server:
        yield provoked_by(server, BY_PASSWORD)


@contextmanager
def keyboard_interactive() -> Iterator[Provoked]:
    with (
        folder() as root,
        start_asyncssh_server(root, password=PASSWORD, methods=["keyboard-interactive"]) as server,
    ):
        yield provoked_by(server, BY_PASSWORD)


@contextmanager
def host_certificate() -> Iterator[Provoked]:
    with certified_sshd("127.0.0.1") as (server, pin):
        yield provoked_by(server, host_keys=(pin,))


@contextmanager
def key_and_password() -> Iterator[Provoked]:
    with sshd_with_passwords("AuthenticationMethods publickey,password", password=PASSWORD) as (server, _):
        yield provoked_by(server, replace(by_key_of(server, password=PASSWORD), username="partner"))


@contextmanager
def paramikos() -> Iterator[Provoked]:
    """Its SFTPServer over a folder."""
    with folder() as root, ssh_door(_takes_the_password, disk=root) as door:
        yield provoked_by_door(door)


def _takes_the_password(asked: Asked) -> list[bytes]:
    return [failure("password")] if asked.method == "none" else [success()]


HEALTHY: dict[str, Provoke] = {
    "OpenSSH": openssh,
    "ProFTPD": proftpd,
    "dropbear": dropbear,
    "asyncssh": asyncssh_by_password,
    "paramiko": paramikos,
    "keyboard-interactive": keyboard_interactive,
    "host certificate": host_certificate,
    "key and password": key_and_password,
}
"""Name of a test -> the server."""
