"""An SFTP server that does what a partner's server showed: `s3-to-sftp doctor --save partner.json`.

Replayed are its identification, the algorithms that asyncssh knows as well, extensions, limits, status codes,
attributes that are refused or ignored, open files, names, and what becomes of two handles. Not replayed is
what was not measured: speed, limits of connections, files that are taken away, and further extensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_public_key_algs

from local.sftp_server import RunningServer, start_asyncssh_server
from local.twin_sftp import TwinSession
from s3_to_sftp.measured_server import MeasuredServer

_PREFIX = "SSH-2.0-"
_LOGIN_KEY = "ssh-ed25519"
"""Of the key that the local login has: the server must take it, whatever it takes of others."""


@contextmanager
def start_twin(root: Path, measured: MeasuredServer) -> Iterator[RunningServer]:
    """Runs the server until the block ends.

    Args:
        root: The only folder that clients see; it is their `/`.
        measured: What it does.
    """
    with start_asyncssh_server(
        root,
        host_key_types=_host_key_types(measured),
        session=lambda: TwinSession(measured, root),
        options=_options(measured),
    ) as server:
        yield replace(server, kind=f"the twin of {measured.server}")


def _options(measured: MeasuredServer) -> dict[str, Any]:
    offered = measured.algorithms
    wanted = {
        "kex_algs": (offered.get("key exchange", ()), get_kex_algs()),
        "encryption_algs": (offered.get("ciphers", ()), get_encryption_algs()),
        "mac_algs": (offered.get("MACs", ()), get_mac_algs()),
        "compression_algs": (offered.get("compression", ()), [b"none", b"zlib@openssh.com"]),
        "signature_algs": (
            (*offered.get("host keys", ()), *measured.signatures, _LOGIN_KEY),
            [b"rsa-sha2-512", b"rsa-sha2-256", *get_public_key_algs()],
        ),
    }
    chosen = {option: _known(names, known) for option, (names, known) in wanted.items()}
    options: dict[str, Any] = {option: names for option, names in chosen.items() if names}
    if measured.identification.startswith(_PREFIX):
        options["server_version"] = measured.identification.removeprefix(_PREFIX)
    return options


def _known(names: Iterable[str], known: Iterable[bytes]) -> list[str]:
    there = {name.decode() for name in known}
    return [name for name in dict.fromkeys(names) if name in there]


def _host_key_types(measured: MeasuredServer) -> Sequence[str]:
    types = _known((key.split()[0] for key in measured.host_keys), get_public_key_algs())
    return types or [_LOGIN_KEY]
