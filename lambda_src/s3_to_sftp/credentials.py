"""The login: from Secrets Manager, or from the environment of a plain Lambda."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

from s3_to_sftp.errors import CredentialsError

PLACEHOLDER = "REPLACE-ME"
"""The user name that a freshly deployed secret holds."""

_FIELDS = ("username", "password", "private_key", "passphrase", "certificate")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A login. Empty text means: not used.

    Attributes:
        username: Login name.
        password: For password and keyboard-interactive authentication.
        private_key: Text of an OpenSSH or PEM private key.
        passphrase: Opens the private key.
        certificate: Of the private key, as `ssh-keygen -s` writes it.
    """

    username: str
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)


class CredentialSource(Protocol):
    """Where the login comes from.

    Attributes:
        version: Names what `current` returned last and shows nothing of it; empty where nothing was read.
    """

    version: str

    def current(self) -> Credentials:
        """Return the login, cached across warm invocations."""

    def refreshed(self) -> Credentials:
        """Return the login, read anew: the server has just refused the cached one."""


class FixedCredentials:
    """The login of a plain Lambda, from its environment."""

    version = ""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials:
        """Return the login."""
        return self._credentials

    def refreshed(self) -> Credentials:
        """Return the same login: an environment does not change under a running function."""
        return self._credentials


class SecretCredentials:
    """The login kept in a Secrets Manager secret."""

    def __init__(self, *, secret_arn: str, client: Any) -> None:
        self._secret_arn = secret_arn
        self._client = client
        self._cached: Credentials | None = None
        self.version = ""
        self._lock = threading.Lock()

    def current(self) -> Credentials:
        """Return the login, read once per execution environment.

        Raises:
            CredentialsError: The secret cannot be read or holds no usable login.
        """
        with self._lock:
            if self._cached is None:
                self._cached = self._read()
            return self._cached

    def refreshed(self) -> Credentials:
        """Read the secret anew.

        Raises:
            CredentialsError: The secret cannot be read or holds no usable login.
        """
        with self._lock:
            self._cached = None  # a secret that has become unreadable must not live on in the cache
            self._cached = self._read()
            return self._cached

    def _read(self) -> Credentials:
        # Imported here: a plain Lambda has no secret.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_secret_value(SecretId=self._secret_arn)
        except (ClientError, BotoCoreError) as error:
            raise CredentialsError(
                f"The secret {self._secret_arn} cannot be read: {error}.",
                hint="Check that it exists and that the function's role may read it (and use its KMS key).",
            ) from None
        self.version = answer.get("VersionId", "")
        return parse_secret(answer.get("SecretString"), name=self._secret_arn)


def parse_secret(text: str | None, *, name: str) -> Credentials:
    """Turn the secret's text into a login.

    Args:
        text: A JSON object with `username` and at least one of `password` and `private_key`;
            `passphrase` and `certificate` where the key has one. None for a binary secret.
        name: The secret's name or ARN, for the error.

    Raises:
        CredentialsError: Says what is wrong; never shows the secret's content.
    """
    fields = _fields_of(text, name)
    credentials = Credentials(**{key: fields.get(key, "") for key in _FIELDS})
    if credentials.username == PLACEHOLDER:
        raise _unusable(name, "still holds the placeholder that it was deployed with")
    if not credentials.username:
        raise _unusable(name, "has no 'username'")
    if not (credentials.password or credentials.private_key):
        raise _unusable(name, "has neither 'password' nor 'private_key'")
    return credentials


def _fields_of(text: str | None, name: str) -> dict[str, str]:
    if text is None:
        raise _unusable(name, "is binary, not text")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        # The parser's message is left out: it can quote the secret.
        raise _unusable(name, "is not JSON") from None
    if not isinstance(fields, dict):
        raise _unusable(name, "is JSON, but not an object")
    for key in _FIELDS:
        if not isinstance(fields.get(key, ""), str):
            raise _unusable(name, f"has a {key!r} that is not text")
    return fields


def _unusable(name: str, what: str) -> CredentialsError:
    return CredentialsError(
        f"The secret {name} {what}.",
        hint=(
            "Fill it: aws secretsmanager put-secret-value --secret-id "
            f"{name} --secret-string "
            '\'{"username": "...", "password": "...", "private_key": "...", "passphrase": "..."}\' '
            "(leave out what the partner does not use)."
        ),
    )
