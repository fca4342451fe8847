"""A login that the server does not take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import asyncssh
import paramiko

from local.sftp_server import RunningServer, start_asyncssh_server
from s3_to_sftp.credentials import Credentials
from s3_to_sftp.sftp.connection import connect
from tests.support.faults.ssh_door import (
    Asked,
    Door,
    banner,
    disconnect,
    failure,
    prompts,
    ssh_door,
    success,
    wants_new_password,
)
from tests.support.other_servers import start_dropbear, start_proftpd
from tests.support.partner import IMPATIENT, address_of, login_of
from tests.support.problems.problem import (
    BY_PASSWORD,
    PASSWORD,
    Problem,
    Provoke,
    Provoked,
    by_key_of,
    by_new_key,
    folder,
    provoked_by,
)
from tests.support.problems.servers import sshd, sshd_with_passwords

_ECHOED = PASSWORD.encode()
INTERACTIVE = "keyboard-interactive"


# --- a server that answers with raw messages ---


def by_door(
    *answers: bytes,
    method: str = "password",
    first: Sequence[bytes] = (),
    and_then: Sequence[bytes] = (),
    login: Credentials = BY_PASSWORD,
) -> Provoke:
    """Return how a server answers a login like this.

    Args:
        answers: To the proof.
        method: The one that it offers.
        first: Answers to the request for the methods; by default the list.
        and_then: Answers to what was typed into its prompts.
        login: What it is sent.
    """

    def script(asked: Asked) -> Sequence[bytes]:
        if asked.method == "none":
            return first or [failure(method)]
        return and_then if asked.method == "answers" else answers

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with ssh_door(script) as door:
            yield provoked_by_door(door, login)

    return provoke


def provoked_by_door(door: Door, login: Credentials = BY_PASSWORD) -> Provoked:
    """Return what is known of a door."""
    proofs = {"password": "password", "answers": "password", "publickey": "publickey"}
    return Provoked(
        server=door.address,
        credentials=login,
        log=lambda: ", ".join(door.methods),
        logins=lambda: [proofs[method] for method in door.methods if method in proofs],
    )


# --- servers as partners run them ---


def asyncssh_refuses(login: Credentials) -> Provoke:
    """Return how asyncssh does not know this login."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with folder() as root, start_asyncssh_server(root, password="another") as server:
            yield provoked_by(server, login)

    return provoke


def proftpd_refuses(login: Callable[[RunningServer], Credentials]) -> Provoke:
    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with folder() as root, start_proftpd(root) as server:
            yield provoked_by(server, login(server))

    return provoke


@contextmanager
def dropbear_without_the_key() -> Iterator[Provoked]:
    with folder() as root, start_dropbear(root) as server:
        yield provoked_by(server, by_new_key(server.username))


@contextmanager
def key_without_signature_algorithm() -> Iterator[Provoked]:
    """The server says which signatures it takes (RFC 8308)."""
    options = {"signature_algs": ["ssh-ed25519"]}
    with folder() as root, start_asyncssh_server(root, options=options, methods=["publickey"]) as server:
        yield provoked_by(server, by_new_key(server.username, kind="ssh-rsa"))


def sshd_refuses(*config: str, login: Callable[[RunningServer], Credentials] = by_key_of) -> Provoke:
    """Return how sshd refuses a login because of its configuration."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with sshd(*config) as (server, _):
            yield provoked_by(server, login(server))

    return provoke


def by_unknown_key(server: RunningServer) -> Credentials:
    return by_new_key(server.username)


def by_unknown_key_and_password(server: RunningServer) -> Credentials:
    return by_new_key(server.username, password=PASSWORD)


def by_password(server: RunningServer) -> Credentials:
    return replace(BY_PASSWORD, username=server.username)


def authorized_keys(*, options: str = "", mode: int = 0o600, config: Sequence[str] = ()) -> Provoke:
    """Return how sshd reads the right key from a file like this, and refuses it."""

    @contextmanager
    def provoke() -> Iterator[Provoked]:
        with folder() as place:
            file = place / "authorized_keys"
            with sshd(f"AuthorizedKeysFile {file}", *config) as (server, _):
                key = asyncssh.import_private_key(server.private_key).export_public_key().decode()
                file.write_text(f"{options} {key}".lstrip())
                file.chmod(mode)
                yield provoked_by(server)

    return provoke


@contextmanager
def key_and_password_needed() -> Iterator[Provoked]:
    """The secret holds the key alone."""
    both = "AuthenticationMethods publickey,password"
    with sshd_with_passwords(both, password="another") as (server, _):
        yield provoked_by(server, replace(by_key_of(server), username="partner"))


@contextmanager
def password_is_wrong_at_sshd() -> Iterator[Provoked]:
    with sshd_with_passwords(password="another") as (server, _):
        yield provoked_by(server, BY_PASSWORD)


@contextmanager
def too_few_attempts() -> Iterator[Provoked]:
    """The key that nobody wants uses up the only attempt."""
    with sshd_with_passwords("MaxAuthTries 1", password=PASSWORD) as (server, _):
        yield provoked_by(server, by_new_key("partner", password=PASSWORD))


EXPIRED_OF_PAM = b"Your password has expired. You must change it now. " + _ECHOED


@contextmanager
def expired_behind_the_login() -> Iterator[Provoked]:
    """As sshd with PAM does: the login is accepted, and the session is a dialogue for a new password."""

    def session(channel: paramiko.Channel) -> None:
        channel.sendall_stderr(EXPIRED_OF_PAM)
        channel.send_exit_status(1)
        channel.close()

    with ssh_door(lambda _: [success()], session=session) as door:
        yield provoked_by_door(door)


@contextmanager
def limit_of_clients() -> Iterator[Provoked]:
    """ProFTPD counts those that are logged in, and one is."""
    with folder() as root, start_proftpd(root, extra_config=["MaxClients 1"]) as server:
        held = connect(address_of(server), login_of(server), IMPATIENT)
        try:
            yield provoked_by(server)
        finally:
            held.close()


ONLY_KEYS = "KbdInteractiveAuthentication no"
DISABLED = disconnect(14, b"This account has been disabled, " + _ECHOED)

PROBLEMS = [
    Problem("wrong password", asyncssh_refuses(BY_PASSWORD), "password-refused"),
    Problem("wrong user", asyncssh_refuses(replace(BY_PASSWORD, username="nobody")), "password-refused"),
    Problem("wrong password at sshd", password_is_wrong_at_sshd, "password-refused"),
    Problem("wrong password at ProFTPD", proftpd_refuses(by_password), "password-refused"),
    Problem(
        "password refused with a banner", by_door(banner(_ECHOED), failure("password")), "password-refused"
    ),
    Problem("account disabled", by_door(DISABLED), "account-disabled"),
    Problem("account disabled before the password", by_door(first=[DISABLED]), "account-disabled"),
    Problem("key not installed", sshd_refuses(login=by_unknown_key), "key-refused"),
    Problem("key not installed at dropbear", dropbear_without_the_key, "key-refused"),
    Problem("key not installed at ProFTPD", proftpd_refuses(by_unknown_key), "key-refused"),
    Problem("StrictModes", authorized_keys(mode=0o666, config=["StrictModes yes"]), "key-refused"),
    Problem("from=", authorized_keys(options='from="192.0.2.1"'), "key-refused"),
    Problem("AllowUsers", sshd_refuses("AllowUsers somebody-else"), "key-refused"),
    Problem("key type not accepted", sshd_refuses("PubkeyAcceptedAlgorithms rsa-sha2-512"), "key-refused"),
    Problem("key type named as refused", key_without_signature_algorithm, "key-type-refused"),
    Problem(
        "publickey only, password held", sshd_refuses(ONLY_KEYS, login=by_password), "method-not-offered"
    ),
    Problem("password only, key held", by_door(login=by_new_key("partner")), "method-not-offered"),
    Problem("key and password needed", key_and_password_needed, "second-method-needed"),
    Problem("one-time code", by_door(prompts("Verification code: "), method=INTERACTIVE), "second-factor"),
    Problem(
        "code after the password",
        by_door(prompts("Password: "), method=INTERACTIVE, and_then=[prompts("Token: ")]),
        "second-factor",
    ),
    Problem("other prompt", by_door(prompts("Accept the terms (y/n)? "), method=INTERACTIVE), "other-prompt"),
    Problem(
        "password expired, message 60",
        by_door(wants_new_password(b"Change it, " + _ECHOED)),
        "password-expired",
    ),
    Problem(
        "password expired, prompt", by_door(prompts("New password: "), method=INTERACTIVE), "password-expired"
    ),
    Problem("password expired, PAM", expired_behind_the_login, "password-expired"),
    Problem("MaxAuthTries", too_few_attempts, "too-many-attempts"),
    Problem("closed over the login", by_door(disconnect(11, b"")), "closed-during-login"),
    Problem("closed before the login", by_door(first=[disconnect(11, b"")]), "closed-before-login"),
    Problem("nonsense over the login", by_door(bytes([60])), "lost-during-login"),
    Problem("login unanswered", by_door(), "login-unanswered", is_silence=True),
    Problem("too many sessions", by_door(disconnect(11, b"Too many sessions for user")), "too-many-sessions"),
    Problem("MaxClients of ProFTPD", limit_of_clients, "too-many-sessions"),
]
