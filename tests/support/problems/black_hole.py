"""A path that loses large packets and tells nobody (MTU black hole), in network namespaces of its own.

Client, router and server, with a cable on either side of the router. One end of a cable has a smaller MTU
than the other: it drops what is larger and, since it is the receiver, answers nothing. It still announces
segments of full size, as hosts do that do not know of a tunnel on the way. The router is there so that the
sender's kernel does not see the loss.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from local.sftp_server import start_sshd
from tests.support.problems.problem import ALL_SECRET, Provoke, Provoked, folder, provoked_by
from tests.support.problems.servers import need_sshd

Direction = Literal["to the server", "to us"]

_NETWORK = "198.18.0"  # of benchmarks (RFC 2544): nobody uses it
_OURS, _THEIRS = f"{_NETWORK}.1", f"{_NETWORK}.5"
_NEAR, _FAR = f"{_NETWORK}.2", f"{_NETWORK}.6"  # ends of the router
_SMALL = 600
"""Below the KEXINIT of either side, above all that comes before it."""
_ANNOUNCED = 1460


def black_hole(direction: Direction) -> Provoke:
    """Return how large packets in this direction are lost.

    The thread that enters the block is in the namespace of the client until it leaves.
    """

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        need_sshd()
        with _path(direction) as (ours, theirs), folder() as root:
            with _inside(theirs):
                starting = start_sshd(root, extra_config=[f"ListenAddress {_THEIRS}"])
                server = starting.__enter__()
            try:
                with _inside(ours):
                    yield provoked_by(replace(server, host=_THEIRS), ALL_SECRET)
            finally:
                starting.__exit__(None, None, None)

    return provoke


@contextmanager
def _path(direction: Direction) -> Iterator[tuple[Path, Path]]:
    """Yields the namespaces of the client and the server."""
    name = f"s3sftp{secrets.token_hex(3)}"
    ours, router, theirs = (f"{name}{letter}" for letter in "crs")
    made = []
    try:
        for each in (ours, router, theirs):
            _ip("netns", "add", each)
            made.append(each)
            _ip("-n", each, "link", "set", "lo", "up")
        with _inside(_PLACE / router):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        _lay_cable(router, "near", _NEAR, ours, _OURS)
        _lay_cable(router, "far", _FAR, theirs, _THEIRS)
        narrow = theirs if direction == "to the server" else ours
        _ip("-n", narrow, "link", "set", "cable", "mtu", str(_SMALL))
        yield _PLACE / ours, _PLACE / theirs
    finally:
        for each in made:
            _ip("netns", "del", each)


def _lay_cable(router: str, end: str, gateway: str, host: str, address: str) -> None:
    _ip("-n", router, "link", "add", end, "type", "veth", "peer", "name", "cable", "netns", host)
    for namespace, name, own in ((router, end, gateway), (host, "cable", address)):
        _ip("-n", namespace, "addr", "add", f"{own}/30", "dev", name)
        # Several segments in one would pass, whatever their size.
        _ip("-n", namespace, "link", "set", name, "gso_max_segs", "1", "up")
    _ip("-n", host, "route", "add", "default", "via", gateway, "advmss", str(_ANNOUNCED))


_PLACE = Path("/run/netns")


def _ip(*arguments: str) -> None:
    try:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("ip is not installed (apt-get install iproute2)")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: ip {' '.join(arguments)}: {error.stderr.strip()}")


@contextmanager
def _inside(namespace: Path) -> Iterator[None]:
    """Have this thread, and what it starts, in another network."""
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        with namespace.open("rb") as there:
            _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(namespace: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, _CLONE_NEWNET) != 0:
        pytest.skip(f"no network namespaces here: setns: {os.strerror(ctypes.get_errno())}")


_CLONE_NEWNET = 0x40000000
