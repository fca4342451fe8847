"""A problem between us and a partner's server, caused for real, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncssh

from local.sftp_server import RunningServer
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.server import Server
from s3_to_sftp.ssh.connect import Timeouts
from tests.support.partner import IMPATIENT

PASSWORD = "canary-of-the-password"
PASSPHRASE = "canary-of-the-passphrase"

ALL_SECRET = Credentials(
    username="partner",
    password=PASSWORD,
    private_key="canary-of-the-private-key",
    passphrase=PASSPHRASE,
    certificate="canary-of-the-certificate",
)
"""For problems that are met before a login is read: nothing in it works."""

LARGE = bytes(4 * 1024 * 1024)
"""Content that is sent in WRITEs of full size."""

BY_PASSWORD = Credentials(username="partner", password=PASSWORD)


@dataclass(frozen=True, kw_only=True)
class Provoked:
    """A running server with a problem. It takes one connection after the other.

    Attributes:
        server: Where it is, and the pins.
        credentials: The login, which holds canaries.
        directory: That of the deliveries.
        content: Of the file to deliver: some problems need a large one.
        log: What the server has logged so far; empty where it keeps no log.
        logins: The kinds of proofs that the server was sent over all connections so far, in order; None: it
            cannot tell. A password counts as one, by whatever method it came.
    """

    server: Server
    credentials: Credentials
    directory: str = ""
    content: bytes = field(default=b"content", repr=False)
    log: Callable[[], str] = field(default=lambda: "", repr=False)
    logins: Callable[[], Sequence[str] | None] = field(default=lambda: None, repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """The function's settings of this partner."""
        return {
            "SSH_HOST": self.server.host,
            "SSH_PORT": str(self.server.port),
            "SSH_DIR": self.directory,
            "SSH_HOST_KEY": ", ".join(self.server.host_keys),
            "SSH_ALGORITHMS": str(self.server.algorithms),
        }

    def secrets(self) -> list[str]:
        """Return what may be in no text: the fields of the credentials, a private key line by line."""
        login = self.credentials
        lines = [line for line in login.private_key.splitlines() if "PRIVATE KEY-----" not in line]
        return list(filter(None, [login.password, login.passphrase, login.certificate, *lines]))


SHORT = Timeouts(connect=1, handshake=2.5, login=2, reply=2)

Provoke = Callable[[], AbstractContextManager[Provoked]]


@dataclass(frozen=True)
class Problem:
    """A problem.

    Attributes:
        name: Of the test.
        provoke: Causes it until the block ends.
        cause: Its name in `s3_to_sftp.diagnosis.catalogue.causes()`.
        is_silence: Whether it shows only when the time for an answer is over.
    """

    name: str
    provoke: Provoke
    cause: str
    is_silence: bool = False

    @property
    def timeouts(self) -> Timeouts:
        """How long to wait for this server."""
        # A silent one is silent on a slow machine, too.
        return SHORT if self.is_silence else IMPATIENT


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for the partner's files."""
    with TemporaryDirectory(prefix="partner-") as name:
        path = Path(name) / "partner"
        path.mkdir()
        yield path


def by_key_of(server: RunningServer, *, password: str = "") -> Credentials:
    """Return the login by the server's authorised key, encrypted with a canary."""
    return Credentials(
        username=server.username,
        password=password,
        private_key=_encrypted(asyncssh.import_private_key(server.private_key)),
        passphrase=PASSPHRASE,
    )


def by_new_key(username: str, *, kind: str = "ssh-ed25519", password: str = "") -> Credentials:
    """Return a login by a key that no server knows."""
    key = _encrypted(asyncssh.generate_private_key(kind))
    return Credentials(username=username, password=password, private_key=key, passphrase=PASSPHRASE)


def _encrypted(key: asyncssh.SSHKey) -> str:
    # OpenSSH's own format takes longer to open than the login takes.
    return key.export_private_key("pkcs8-pem", passphrase=PASSPHRASE).decode()


def provoked_by(
    server: RunningServer,
    credentials: Credentials | None = None,
    *,
    host_keys: tuple[str, ...] | None = None,
    directory: str = "",
) -> Provoked:
    """Return what is known of a running server; by default with its own host keys and its login by key."""
    return Provoked(
        server=Server(
            host=server.host,
            port=server.port,
            host_keys=server.host_keys if host_keys is None else host_keys,
        ),
        credentials=credentials or by_key_of(server),
        directory=directory,
        log=server.read_log,
        logins=lambda: _logins_in(server),
    )


_IN_LOGS = {
    "sshd": re.compile(
        r"^(?:Failed|Accepted|Partial) (password|publickey|keyboard-interactive)", re.MULTILINE
    ),
    "asyncssh": re.compile(r" (password|keyboard-interactive) of "),
}


def _logins_in(server: RunningServer) -> list[str] | None:
    found = _IN_LOGS.get(server.kind)
    if found is None:
        return None
    return [method.replace("keyboard-interactive", "password") for method in found.findall(server.read_log())]
