"""The name, the route and the port."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest import mock

from local.processes import free_port
from s3_to_sftp.server import Server
from tests.support.problems.problem import ALL_SECRET, Problem, Provoke, Provoked

NAME = "sftp.partner.example"
PIN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJb4wRJfNN5jSS4Vd5SfZ3b3hV3bV9v5Lk0l1lW1a2b3"
_CONNECT = socket.socket.connect
_LOOK_UP = socket.getaddrinfo


def at(host: str, port: int = 22) -> Provoked:
    """Return an address where no login is ever sent."""
    return Provoked(
        server=Server(host=host, port=port, host_keys=(PIN,)), credentials=ALL_SECRET, logins=list
    )


@contextmanager
def no_such_name() -> Iterator[Provoked]:
    with _resolver(socket.gaierror(socket.EAI_NONAME, "Name or service not known")):
        yield at(NAME)


@contextmanager
def silent_resolver() -> Iterator[Provoked]:
    with _resolver(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")):
        yield at(NAME)


@contextmanager
def malformed_name() -> Iterator[Provoked]:
    yield at("sftp..partner.example")


@contextmanager
def closed_port() -> Iterator[Provoked]:
    yield at("127.0.0.1", free_port())


@contextmanager
def full_backlog() -> Iterator[Provoked]:
    """Linux drops the SYN of whom its queue has no place for."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):
            sock = waiting.enter_context(socket.socket())
            sock.settimeout(0)
            with suppress(BlockingIOError):
                sock.connect(listener.getsockname())
        yield at("127.0.0.1", listener.getsockname()[1])


def unreachable(*addresses: str, error: OSError) -> Provoke:
    """Return how a name leads to these addresses, none of which can be connected to."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with _resolver(addresses), _connects(dict.fromkeys(addresses, error)):
            yield at(NAME)

    return provoke


@contextmanager
def _resolver(answer: tuple[str, ...] | socket.gaierror) -> Iterator[None]:
    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != NAME:
            return _LOOK_UP(host, port, *rest, **more)
        if isinstance(answer, socket.gaierror):
            raise answer
        return [found for address in answer for found in _LOOK_UP(address, port, *rest, **more)]

    with mock.patch("socket.getaddrinfo", look_up):
        yield


@contextmanager
def _connects(outcomes: Mapping[str, OSError]) -> Iterator[None]:
    def connect(sock: socket.socket, address: Any) -> None:
        if address[0] in outcomes:
            raise outcomes[address[0]]
        _CONNECT(sock, address)

    connect_to: Callable[..., None] = connect
    with mock.patch.object(socket.socket, "connect", connect_to):
        yield


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


V6, V4, PRIVATE = "2001:db8::22", "192.0.2.22", "10.20.30.40"

PROBLEMS = [
    Problem("name unknown", no_such_name, "name-unknown"),
    Problem("resolver silent", silent_resolver, "no-dns"),
    Problem("name malformed", malformed_name, "name-malformed"),
    Problem("IPv6 only", unreachable(V6, error=_os_error(errno.ENETUNREACH)), "ipv6-only"),
    Problem("no route", unreachable(V4, error=_os_error(errno.EHOSTUNREACH)), "no-route"),
    Problem(
        "neither IPv6 nor IPv4 routed", unreachable(V6, V4, error=_os_error(errno.ENETUNREACH)), "no-route"
    ),
    Problem("refused", closed_port, "connection-refused"),
    Problem("dropped", full_backlog, "no-answer", is_silence=True),
    Problem("dropped, two addresses", unreachable(V4, V6, error=TimeoutError("timed out")), "no-answer"),
    Problem("private address", unreachable(PRIVATE, error=TimeoutError("timed out")), "private-address"),
    Problem("forbidden by the kernel", unreachable(V4, error=_os_error(errno.EPERM)), "cannot-connect"),
]
