"""Real SFTP servers on loopback, for the demo and for tests.

OpenSSH is what most partners run; it is started as the current user, who therefore logs in with a key
(a normal user's sshd cannot check passwords). The asyncssh server checks passwords, too, and takes a
subclass of `asyncssh.SFTPServer` for every fault that a test needs.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import asyncssh

from local.processes import LOOPBACK, CannotRun, Launch, free_port, read, server_on_a_free_port

AuthMethod = Literal["publickey", "password", "keyboard-interactive"]
ALL_METHODS: tuple[AuthMethod, ...] = ("publickey", "password", "keyboard-interactive")

_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """What a client must know about a running server.

    Attributes:
        kind: `sshd` or `asyncssh`.
        host: Address to connect to.
        port: Port to connect to.
        root: Local folder that a login sees as its start directory.
        directory: The same folder as an absolute remote path.
        username: The one login.
        password: Its password; None where the server cannot check one.
        private_key: OpenSSH text of a client key that is authorised.
        host_keys: Public host keys, each `type base64`.
        read_log: Text of what the server logged so far.
        authorized_keys: File of sshd with the keys of clients; elsewhere there is none.
    """

    kind: str
    host: str
    port: int
    root: Path
    directory: str
    username: str
    password: str | None = field(repr=False)
    private_key: str = field(repr=False)
    host_keys: tuple[str, ...]
    read_log: Callable[[], str] = field(repr=False)
    authorized_keys: Path = Path()

    @property
    def host_key(self) -> str:
        """The first public host key."""
        return self.host_keys[0]


class SftpFactory(Protocol):
    """`asyncssh.SFTPServer` or a subclass of it; called once per SFTP session."""

    def __call__(self, chan: asyncssh.SSHServerChannel[bytes], chroot: bytes) -> asyncssh.SFTPServer:
        """A server that shows the folder `chroot` as `/`."""


def sshd_path() -> Path | None:
    """Returns the OpenSSH server of this machine; None if it is not installed."""
    # /usr/sbin is rarely on the PATH of a normal user.
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    found = shutil.which("sshd", path=os.pathsep.join(places))
    return Path(found) if found else None


def start_server(root: Path) -> AbstractContextManager[RunningServer]:
    """Starts the most realistic server of this machine: sshd where installed, otherwise asyncssh."""
    return start_sshd(root) if sshd_path() else start_asyncssh_server(root)


@contextmanager
def start_sshd(
    root: Path,
    *,
    port: int | None = None,
    extra_config: Sequence[str] = (),
    host_key_types: Sequence[str] = ("ssh-ed25519",),
    subsystem: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[RunningServer]:
    """Runs OpenSSH's sshd as the current user until the block ends.

    Args:
        root: Start directory of a login. Not a jail: only root could chroot.
        port: A port to listen on; by default a free one.
        extra_config: Lines of sshd_config(5) that win over ours.
        host_key_types: Kinds of host key to make, in asyncssh's names (`ssh-ed25519`, `ssh-rsa`, ...).
        subsystem: What it runs for SFTP; by default internal-sftp, which begins in `root`. Empty: nothing.
        env: Its complete environment; None inherits ours.

    Raises:
        CannotRun: sshd is not installed, or did not start: then the text holds its log.
    """
    program = sshd_path()
    if program is None:
        raise CannotRun("sshd is not installed (Debian, Ubuntu: apt-get install openssh-server)")
    if os.geteuid() == 0:
        # Privilege separation wants this empty folder; as a service, its unit would make it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sshd-") as folder:
        state = Path(folder)
        if " " in folder:
            raise CannotRun(f"sshd needs a temporary folder without spaces, got {folder}: set TMPDIR")
        client_key = asyncssh.generate_private_key("ssh-ed25519")
        (state / "authorized_keys").write_bytes(client_key.export_public_key())
        host_keys = [asyncssh.generate_private_key(kind) for kind in host_key_types]
        log = state / "log"
        runs = f"internal-sftp -d {state / 'start'}" if subsystem is None else subsystem
        lines = [*extra_config, *([f"Subsystem sftp {runs}"] if runs else [])]
        launch = functools.partial(_sshd, program, state, root, lines, host_keys, env)
        with server_on_a_free_port("sshd", launch, log=log, port=port) as taken:
            yield RunningServer(
                kind="sshd",
                host=LOOPBACK,
                port=taken,
                root=root,
                directory=root.resolve().as_posix(),
                username=getpass.getuser(),
                password=None,
                private_key=client_key.export_private_key().decode(),
                host_keys=_public_lines(host_keys),
                read_log=functools.partial(read, log),
                authorized_keys=state / "authorized_keys",
            )


@contextmanager
def start_asyncssh_server(
    root: Path,
    *,
    port: int | None = None,
    username: str = "partner",
    password: str | None = None,
    methods: Sequence[AuthMethod] = ALL_METHODS,
    host_key_types: Sequence[str] = ("ssh-ed25519",),
    host_keys: Sequence[asyncssh.SSHKey] | None = None,
    sftp_factory: SftpFactory = asyncssh.SFTPServer,
    session: Callable[[], asyncssh.SSHServerSession[bytes]] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Iterator[RunningServer]:
    """Runs an asyncssh server in a thread of this process until the block ends.

    Args:
        root: The only folder that clients see; it is their `/`.
        port: A port to listen on; by default a free one.
        username: The one login.
        password: Its password; by default a random one.
        methods: Authentication methods to offer. `publickey` accepts `private_key` of the result.
        host_key_types: Kinds of host key to make, in asyncssh's names.
        host_keys: Private host keys, for a server that comes back; by default new ones.
        sftp_factory: Makes the SFTP side of a session: hand in a subclass to cause a fault.
        session: Makes sessions that speak SFTP themselves, in place of `sftp_factory`.
        options: More keyword arguments for `asyncssh.listen`, such as `kex_algs` or `login_timeout`.
    """
    client_key = asyncssh.generate_private_key("ssh-ed25519")
    host_keys = host_keys or [asyncssh.generate_private_key(kind) for kind in host_key_types]
    password = secrets.token_urlsafe(12) if password is None else password
    door = _Door(
        username=username,
        password=password,
        methods=tuple(methods),
        authorized=client_key.export_public_key().decode(),
        session=session,
    )
    files = {"encoding": None} if session else {"sftp_factory": _in_folder(sftp_factory, root)}

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            host=LOOPBACK,
            port=port or free_port(),
            server_factory=functools.partial(_Reception, door),
            server_host_keys=host_keys,
            **files,
            **(options or {}),
        )

    with loop_in_a_thread() as run:
        acceptor = run(listen())
        try:
            yield RunningServer(
                kind="asyncssh",
                host=LOOPBACK,
                port=acceptor.get_port(),
                root=root,
                directory="/",
                username=username,
                password=password,
                private_key=client_key.export_private_key().decode(),
                host_keys=_public_lines(host_keys),
                read_log=lambda: "\n".join(door.log),
            )
        finally:
            run(_close(acceptor, door))


def _in_folder(
    sftp_factory: SftpFactory, root: Path
) -> Callable[[asyncssh.SSHServerChannel[bytes]], asyncssh.SFTPServer]:
    return lambda chan: sftp_factory(chan, chroot=os.fsencode(root.resolve()))


def _public_lines(keys: Sequence[asyncssh.SSHKey]) -> tuple[str, ...]:
    return tuple(" ".join(key.export_public_key().decode().split()[:2]) for key in keys)


# --- sshd ---


def _sshd(
    program: Path,
    state: Path,
    root: Path,
    extra_config: Sequence[str],
    host_keys: Sequence[asyncssh.SSHKey],
    env: Mapping[str, str] | None,
    port: int,
) -> Launch:
    # sshd cuts the command of internal-sftp at every space, quoted or not: a link has none.
    start = state / "start"
    start.unlink(missing_ok=True)
    start.symlink_to(root.resolve(), target_is_directory=True)
    config = state / "sshd_config"
    lines = [
        *extra_config,  # first, because sshd keeps the first value it reads
        *(f"HostKey {path}" for path in _host_key_files(state, host_keys)),
        f"ListenAddress {LOOPBACK}",
        f"Port {port}",
        f"AuthorizedKeysFile {state / 'authorized_keys'}",
        "PidFile none",
        "UsePAM no",
        "StrictModes no",  # temporary folders live below a world-writable one
        "PasswordAuthentication no",
        "LogLevel VERBOSE",
    ]
    config.write_text("\n".join(lines) + "\n")
    return Launch(
        command=[program, "-D", "-e", "-f", config],
        env=env,
        ready=f"Server listening on {LOOPBACK} port {port}.",
    )


def _host_key_files(state: Path, keys: Sequence[asyncssh.SSHKey]) -> Iterator[Path]:
    for number, key in enumerate(keys):
        path = state / f"host_key_{number}"
        path.touch(mode=0o600)  # sshd refuses one that others can read
        path.write_bytes(key.export_private_key())
        yield path


# --- asyncssh ---


@dataclass(frozen=True, kw_only=True)
class _Door:
    """The accepted logins, the open connections, and the log."""

    username: str
    password: str
    methods: tuple[AuthMethod, ...]
    authorized: str
    session: Callable[[], asyncssh.SSHServerSession[bytes]] | None = None
    log: list[str] = field(default_factory=list)
    inside: set[asyncssh.SSHServerConnection] = field(default_factory=set)


class _Reception(asyncssh.SSHServer):
    """Checks one login; asyncssh makes one per connection."""

    def __init__(self, door: _Door) -> None:
        self._door = door

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        self._peer = "{}:{}".format(
            *conn.get_extra_info("peername")
        )  # unknown after the connection is closed
        self._door.inside.add(conn)
        self._note("connected")

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.inside.discard(self._conn)
        self._note("connection ended" + (f": {exc}" if exc else ""))

    def begin_auth(self, username: str) -> bool:
        if "publickey" in self._door.methods and username == self._door.username:
            self._conn.set_authorized_keys(asyncssh.import_authorized_keys(self._door.authorized))
        return True

    def session_requested(self) -> asyncssh.SSHServerSession[bytes] | Literal[False]:
        return self._door.session() if self._door.session else False

    def auth_completed(self) -> None:
        self._note(f"{self._conn.get_extra_info('username')} logged in")

    def public_key_auth_supported(self) -> bool:
        return "publickey" in self._door.methods

    def password_auth_supported(self) -> bool:
        return "password" in self._door.methods

    def validate_password(self, username: str, password: str) -> bool:
        return self._check("password", username, password)

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self._door.methods

    def get_kbdint_challenge(self, *_request: str) -> tuple[str, str, str, list[tuple[str, bool]]]:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return self._check("keyboard-interactive", username, *responses)

    def _check(self, method: AuthMethod, username: str, password: str = "") -> bool:
        good = (username, password) == (self._door.username, self._door.password)
        self._note(f"{method} of {username} " + ("accepted" if good else "refused"))
        return good

    def _note(self, what: str) -> None:
        self._door.log.append(f"{self._peer} {what}")


@contextmanager
def loop_in_a_thread() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Runs an event loop in a thread until the block ends; what it yields awaits work there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="asyncssh server", daemon=True)
    thread.start()

    def run(work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        future: Future[Any] = asyncio.run_coroutine_threadsafe(awaited(), loop)
        return future.result(_ANSWER_SECONDS)

    try:
        yield run
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(acceptor: asyncssh.SSHAcceptor, door: _Door) -> None:
    acceptor.close()
    await acceptor.wait_closed()
    for connection in list(door.inside):
        connection.abort()
        await connection.wait_closed()
