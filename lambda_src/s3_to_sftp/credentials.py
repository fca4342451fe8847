"""The login: from Secrets Manager, or from the environment of a plain Lambda."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.ssh.pasted_text import holds_private_key_file, without_mark
from s3_to_sftp.untrusted_text import quoted

PLACEHOLDER = "REPLACE-ME"
"""The user name that a freshly deployed secret holds."""

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


class CredentialSource(Protocol):
    """Where the login comes from.

    Attributes:
        version: Identifies what `current` returned last, without showing it; empty where nothing was read.
    """

    version: str

    def current(self) -> Credentials:
        """Return the login, cached across warm invocations."""

    def refreshed(self) -> Credentials:
        """Return the login, read again: the server has just refused the cached one."""


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
        """Read the secret again.

        Raises:
            CredentialsError: The secret cannot be read or holds no usable login.
        """
        with self._lock:
            self._cached = None  # a secret that has become unreadable must not stay in the cache
            self._cached = self._read()
            return self._cached

    def _read(self) -> Credentials:
        # Imported here: a plain Lambda has no secret.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_secret_value(SecretId=self._secret_arn)
        except (ClientError, BotoCoreError) as error:
            raise CredentialsError(
                f"The secret {self._secret_arn} cannot be read: {quoted(error)}.",
                hint="Check that it exists and that the function's role may read it (and use its KMS key).",
            ) from None
        self.version = answer.get("VersionId", "")
        value = answer.get("SecretString")
        return parse_secret(answer.get("SecretBinary") if value is None else value, name=self._secret_arn)


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
    fields = _fields_of(value, name)
    credentials = Credentials(**{key: _field(fields, key, name) for key in _FIELDS})
    if credentials.username == PLACEHOLDER:
        raise _unusable(name, "still holds the placeholder that it was deployed with")
    if not credentials.username:
        raise _unusable(name, "has no 'username'")
    if not (credentials.password or credentials.private_key):
        raise _unusable(name, "has neither 'password' nor 'private_key'")
    if credentials.certificate and not credentials.private_key:
        raise _unusable(name, "has a 'certificate', and not the 'private_key' that it belongs to")
    for key in ("username", "password"):  # both leave the function: to its log, or to the server
        if holds_private_key_file(getattr(credentials, key)):
            raise _unusable(name, f"has a private key in {key!r}: it belongs in 'private_key'")
    return credentials


def _fields_of(value: str | bytes | None, name: str) -> dict[str, Any]:
    if value is None:
        raise _unusable(name, "is empty")
    kind = "is binary, and" if isinstance(value, bytes) else "is"
    try:
        # The parser decodes bytes: UTF-8, UTF-16 and UTF-32, with or without a byte order mark.
        fields = json.loads(without_mark(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        # The parser's message is left out: it can quote the secret.
        if isinstance(value, str) and holds_private_key_file(value):
            raise _unusable(name, "is a private key, not JSON: put it into the field 'private_key'") from None
        raise _unusable(name, f"{kind} not JSON") from None
    if not isinstance(fields, dict):
        raise _unusable(name, "is JSON, but not an object")
    return fields


def _field(fields: Mapping[str, Any], key: str, name: str) -> str:
    """Return the text of a field, under any spelling of its name; empty where it is missing.

    Raises:
        CredentialsError: It is not text, or two spellings have different values.
    """
    given = {
        spelt: value
        for spelt, value in fields.items()
        if _folded(spelt) == _folded(key) and value is not None
    }
    for spelt, value in given.items():
        if not isinstance(value, str):
            raise _unusable(name, f"has a {spelt!r} that is not text")
        if not _is_unicode(value):
            raise _unusable(name, f"has a {spelt!r} that is not valid Unicode")
    values = {value for value in given.values() if value}
    if len(values) > 1:
        raise _unusable(name, f"has different values in {' and '.join(map(repr, sorted(given)))}")
    found = str(values.pop()) if values else ""
    return found.strip() if key == "username" else found


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
