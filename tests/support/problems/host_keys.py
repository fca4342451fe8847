"""A server that does not prove to be the partner's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from local.sftp_server import start_asyncssh_server
from tests.support.problems.problem import ALL_SECRET, Problem, Provoke, Provoked, folder, provoked_by
from tests.support.problems.servers import certified_sshd, public_line


def pinned(*, kind: str) -> Provoke:
    """Return how a server shows another key than the pinned one, which is of this kind."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        pin = public_line(asyncssh.generate_private_key(kind))
        with folder() as root, start_asyncssh_server(root) as server:
            yield provoked_by(server, ALL_SECRET, host_keys=(pin,))

    return provoke


@contextmanager
def none_pinned() -> Iterator[Provoked]:
    with folder() as root, start_asyncssh_server(root) as server:
        yield provoked_by(server, ALL_SECRET, host_keys=())


@contextmanager
def certificate_of_another_host() -> Iterator[Provoked]:
    with certified_sshd("elsewhere.example") as (server, pin):
        yield provoked_by(server, ALL_SECRET, host_keys=(pin,))


@contextmanager
def certificate_of_another_authority() -> Iterator[Provoked]:
    pin = f"@cert-authority * {public_line(asyncssh.generate_private_key('ssh-ed25519'))}"
    with certified_sshd("127.0.0.1") as (server, _):
        yield provoked_by(server, ALL_SECRET, host_keys=(pin,))


@contextmanager
def expired_certificate() -> Iterator[Provoked]:
    with certified_sshd("127.0.0.1", valid_before=int(time.time()) - 3600) as (server, pin):
        yield provoked_by(server, ALL_SECRET, host_keys=(pin,))


PROBLEMS = [
    Problem("host key changed", pinned(kind="ssh-ed25519"), "host-key-changed"),
    Problem("host key of another type", pinned(kind="ecdsa-sha2-nistp256"), "host-key-changed"),
    Problem("no host key pinned", none_pinned, "no-host-key-pinned"),
    Problem("certificate of another host", certificate_of_another_host, "host-certificate-refused"),
    Problem("certificate of another authority", certificate_of_another_authority, "host-certificate-refused"),
    Problem("certificate expired", expired_certificate, "host-certificate-refused"),
]
