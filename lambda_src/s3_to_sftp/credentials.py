"""The login: from Secrets Manager, or from the environment of a plain Lambda."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.login_fallback import Fallback, Version
from s3_to_sftp.secret_text import field_of, fields_of, unusable
from s3_to_sftp.secret_versions import CURRENT, PENDING, PREVIOUS, SecretUnreachable, SecretVersions
from s3_to_sftp.ssh.pasted_text import holds_private_key_file

_log = logging.getLogger(__name__)

PLACEHOLDER = "REPLACE-ME"
"""The user name that a freshly deployed secret holds."""

READ_AGAIN_AFTER_SECONDS = 60.0
"""Age of the cached secret from which an invocation reads it again."""

_FIELDS = ("username", "password", "private_key", "passphrase", "certificate")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A login. An empty field is not used.

    Attributes:
        username: Login name.
        password: For password and keyboard-interactive authentication.
        private_key: Text of an OpenSSH or PEM private key.
        passphrase: Decrypts the private key.
        certificate: Of the private key, as `ssh-keygen -s` writes it.
    """

    username: str
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)


def parse_secret(value: str | bytes | None, *, name: str) -> Credentials:
    """Parse the secret's value.

    Args:
        value: A JSON object with `username` and at least one of `password` and `private_key`;
            `passphrase` and `certificate` where the key has one. The names that connectors of AWS Transfer
            Family use are accepted, too: `Username`, `Password`, `PrivateKey`. null means: not used. Bytes
            come from a binary secret.
        name: The secret's name or ARN, for the error.

    Raises:
        CredentialsError: The secret is not usable. The error never shows its content.
    """
    fields = fields_of(value, name)
    credentials = Credentials(**{key: field_of(fields, key, name) for key in _FIELDS})
    if credentials.username == PLACEHOLDER:
        raise unusable(name, "still holds the placeholder that it was deployed with")
    if not credentials.username:
        raise unusable(name, "has no 'username'")
    if not (credentials.password or credentials.private_key):
        raise unusable(name, "has neither 'password' nor 'private_key'")
    if credentials.certificate and not credentials.private_key:
        raise unusable(name, "has a 'certificate', and not the 'private_key' that it belongs to")
    for key in ("username", "password"):  # both leave the function: to its log, or to the server
        if holds_private_key_file(getattr(credentials, key)):
            raise unusable(name, f"has a private key in {key!r}: it belongs in 'private_key'")
    return credentials


class OtherLogin(NamedTuple):
    """A login to try in place of a refused one, and its stage."""

    login: Credentials
    stage: str


class LoginVersion(NamedTuple):
    """A login, and the version of the secret that holds it."""

    login: Credentials
    version: str


class CredentialSource(Protocol):
    """Where the login comes from.

    Attributes:
        version: Identifies what was read last, without showing it; empty where nothing was read.
    """

    version: str

    @property
    def fallback(self) -> str:
        """Stage of the login in use where it is not the configured one; empty otherwise."""

    def current(self) -> Credentials:
        """Return the login to use, cached across warm invocations."""

    def refreshed(self) -> Credentials:
        """Return the configured login, read again."""

    def renew(self) -> None:
        """Read the login again where it may be outdated. Called at the beginning of an invocation."""

    def other_than(self, refused: Credentials) -> OtherLogin | None:
        """Return the one login to try after the server has refused this one."""

    def accepted(self, login: Credentials) -> None:
        """Learn that the server has accepted this login."""

    def refused(self, login: Credentials) -> None:
        """Learn that the server has refused what `other_than` returned, too."""


class FixedCredentials:
    """The login of a plain Lambda, from its environment: it has no stages, and never changes."""

    version = ""
    fallback = ""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials:
        """Return the login."""
        return self._credentials

    def refreshed(self) -> Credentials:
        """Return the same login: an environment does not change under a running function."""
        return self._credentials

    def renew(self) -> None:
        """Do nothing."""

    def other_than(self, refused: Credentials) -> OtherLogin | None:
        """Return None: there is no other login."""

    def accepted(self, login: Credentials) -> None:
        """Do nothing."""

    def refused(self, login: Credentials) -> None:
        """Do nothing."""


class SecretCredentials:
    """The login kept in a Secrets Manager secret, also while it is being rotated.

    AWSCURRENT is the configured login. Where the server refuses it, the login of one other stage may be tried
    (`other_than`); the one that is accepted is used until AWSCURRENT changes.

    AWSCURRENT is read again by each invocation that finds its copy older than 60 seconds: 43,200 times a
    month at most, for an execution environment that is never idle. At $0.05 per 10,000 calls of
    GetSecretValue that is $0.22.
    """

    def __init__(self, *, secret_arn: str, client: Any, clock: Callable[[], float] = time.time) -> None:
        """Does not read the secret.

        Args:
            secret_arn: Names it.
            client: Secrets Manager client; needs `secretsmanager:GetSecretValue`.
            clock: Seconds since the epoch.
        """
        self._secret_arn = secret_arn
        self._versions = SecretVersions(client, secret_arn)
        self._clock = clock
        self._current: Version | None = None
        self._fallback = Fallback()
        self._read_at = 0.0
        self._is_unreachable = False
        self.version = ""
        self._lock = threading.Lock()

    @property
    def arn(self) -> str:
        """Of the secret."""
        return self._secret_arn

    @property
    def fallback(self) -> str:
        """Stage of the login in use where it is not AWSCURRENT; empty otherwise."""
        return used.stage if (used := self._fallback.used) else ""

    def current(self) -> Credentials:
        """Return the login to use: AWSCURRENT, or the one that the server accepts in its place.

        Raises:
            CredentialsError: The secret cannot be read or holds no usable login.
        """
        with self._lock:
            current = self._current or self._read()
            return (self._fallback.used or current).login

    def refreshed(self) -> Credentials:
        """Read AWSCURRENT again and return it; the cached one where Secrets Manager cannot be reached.

        Raises:
            CredentialsError: The secret cannot be read or holds no usable login.
        """
        with self._lock:
            return self._read().login

    def renew(self) -> None:
        """Read AWSCURRENT again if the cached copy is older than 60 seconds.

        Never raises: a secret that has become unusable is an error of the next `current`.
        """
        with self._lock:
            if self._current and self._clock() - self._read_at >= READ_AGAIN_AFTER_SECONDS:
                with suppress(CredentialsError):  # nothing is cached then
                    self._read()

    def at_stage(self, stage: str) -> LoginVersion | None:
        """Read the login of a stage, such as AWSPENDING; None: there is none, or the role may not read it.

        Raises:
            CredentialsError: Secrets Manager cannot be reached, or the version holds no usable login.
        """
        version = self._at_stage(stage)
        return LoginVersion(version.login, version.id) if version else None

    def other_than(self, refused: Credentials) -> OtherLogin | None:
        """Return the one login to try after the server has refused this one.

        1. AWSCURRENT, where it is another login by now.
        2. AWSPENDING, where it is another version: a rotation is under way, and the server is ahead.
        3. Without one AWSPREVIOUS, while AWSCURRENT is young: the server may be behind.

        2 and 3 are not returned if they have been refused since AWSCURRENT changed.

        Raises:
            CredentialsError: AWSCURRENT has become unusable.
        """
        with self._lock:
            # Before AWSCURRENT: a rotation that ends in between shows the new login at least once.
            pending = self._usable(PENDING)
            current = self._read()
            self._fallback.refused(refused)
            offered = self._fallback.offer(
                current, refused=refused, pending=pending, previous=self._previous, now=self._clock()
            )
            return OtherLogin(offered.login, offered.stage) if offered else None

    def accepted(self, login: Credentials) -> None:
        """Learn that the server has accepted this login: it is used from now on, until AWSCURRENT changes."""
        with self._lock:
            if self._current:
                self._fallback.accepted(login, self._current)

    def refused(self, login: Credentials) -> None:
        """Learn that the server has refused what `other_than` returned, too: it will not be sent again."""
        with self._lock:
            self._fallback.refused(login)

    def _previous(self) -> Version | None:
        return self._usable(PREVIOUS)

    def _usable(self, stage: str) -> Version | None:
        try:
            return self._at_stage(stage)
        except CredentialsError as error:
            _log.warning("the login of %s is not tried: %s", stage, error.reason)
            return None

    def _at_stage(self, stage: str) -> Version | None:
        try:
            return self._version(stage, is_optional=True)
        except SecretUnreachable as unreachable:
            raise unreachable.error from None

    def _read(self) -> Version:
        """Read AWSCURRENT, and forget what is no longer true. Returns the cached one without an answer."""
        try:
            read = self._version(CURRENT)
        except SecretUnreachable as unreachable:
            if self._current is None:
                raise unreachable.error from None
            self._note_unreachable(unreachable.error)
            read = self._current
        except CredentialsError:
            # One that has become unusable must not stay in the cache.
            self._current = None
            self._fallback.forget()
            raise
        else:
            self._is_unreachable = False
        self._read_at = self._clock()
        assert read is not None  # noqa: S101 - for the type checker: it is not optional
        if self._current is None or (read.id, read.login) != (self._current.id, self._current.login):
            self._fallback.forget()
        self._current, self.version = read, read.id
        return read

    def _version(self, stage: str, *, is_optional: bool = False) -> Version | None:
        found = self._versions.read(stage, is_optional=is_optional)
        if found is None:
            return None
        login = parse_secret(found.value, name=self._secret_arn)
        return Version(stage=stage, id=found.id, created=found.created, login=login)

    def _note_unreachable(self, error: CredentialsError) -> None:
        if not self._is_unreachable:
            _log.warning("the cached login goes on being used: %s", error.reason)
        self._is_unreachable = True
