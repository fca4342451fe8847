"""The private keys that sign, from the secrets that the construct names."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from s3_to_sftp.errors import ConfigurationError, CredentialsError, RuleRefused
from s3_to_sftp.rules.open_pgp_keys import SigningKey, UnusableKey, signing_key_of
from s3_to_sftp.secret_text import field_of
from s3_to_sftp.secret_versions import CURRENT, SecretUnreachable, SecretVersions
from s3_to_sftp.ssh.pasted_text import holds_private_key_file, without_mark
from s3_to_sftp.untrusted_text import never_show

READ_AGAIN_AFTER_SECONDS = 60.0
"""Age from which a key is read again: a new one is used without a deployment."""
_NAME = "key-"


class SigningKeys:
    """The keys of SSH_SIGNING_KEYS, each read when a rule needs it, and kept in memory only.

    Args:
        client: Secrets Manager client; needs `secretsmanager:GetSecretValue`.
        arns: Of the secrets: rules call the first `key-1`.
        clock: Seconds since the epoch.
    """

    def __init__(self, client: Any, arns: Sequence[str], *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._arns = {f"{_NAME}{number}": arn for number, arn in enumerate(arns, start=1)}
        self._clock = clock
        self._kept: dict[str, tuple[float, SigningKey]] = {}

    def key(self, name: str) -> SigningKey:
        """Return the key that a rule names in `sign_with`.

        Raises:
            ConfigurationError: SSH_SIGNING_KEYS has no such.
            CredentialsError: The secret cannot be read, or holds no private key of OpenPGP.
            RuleRefused: The key cannot sign, such as an expired one.
        """
        kept = self._kept.get(name)
        if kept is None or self._clock() - kept[0] >= READ_AGAIN_AFTER_SECONDS:
            self._kept.pop(name, None)  # one that has become unusable is not used on
            kept = self._kept[name] = (self._clock(), self._read(name))
        return kept[1]

    def _read(self, name: str) -> SigningKey:
        arn = self._arns.get(name)
        if arn is None:
            raise ConfigurationError(
                f"A rule signs with {name!r}, and SSH_SIGNING_KEYS names {len(self._arns)} secrets.",
                hint="Deploy again: the construct sets SSH_SIGNING_KEYS, and writes the rules.",
            )
        try:
            version = SecretVersions(self._client, arn).read(CURRENT)
        except SecretUnreachable as unreachable:
            raise unreachable.error from None
        private_key, passphrase = _parts_of(version.value if version else None, arn)
        never_show(passphrase)
        try:
            return signing_key_of(private_key, passphrase)
        except UnusableKey as unusable:
            if not unusable.fingerprint:
                raise _unusable(arn, f"holds what {unusable}") from None
            raise _refused(arn, unusable) from None


def _parts_of(value: str | bytes | None, arn: str) -> tuple[str, str]:
    """Return the private key and its passphrase."""
    try:
        text = without_mark(value.decode() if isinstance(value, bytes) else value or "").strip()
    except UnicodeDecodeError:
        raise _unusable(arn, "is binary, and not text") from None
    if not text:
        raise _unusable(arn, "is empty")
    if not text.startswith("{"):
        if not holds_private_key_file(text):
            raise _unusable(arn, "is neither an armored private key nor JSON with one")
        return text, ""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        # The parser's message is left out: it can quote the secret.
        raise _unusable(arn, "begins as JSON does, and is none") from None
    try:
        private_key, passphrase = (field_of(fields, each, arn) for each in ("private_key", "passphrase"))
    except CredentialsError as error:
        # Its hint is about a login.
        raise CredentialsError(error.reason, hint=_hint(arn)) from None
    if not private_key:
        raise _unusable(arn, "has no 'private_key'")
    return private_key, passphrase


def _refused(arn: str, unusable: UnusableKey) -> RuleRefused:
    return RuleRefused(
        "sign_with",
        f"The signing key {unusable.fingerprint} of the rule 'sign_with' {unusable}.",
        value=unusable.fingerprint,
        hint=f"{_hint(arn)} Then redrive the message.",
    )


def _unusable(arn: str, what: str) -> CredentialsError:
    return CredentialsError(f"The secret {arn} of the rule 'sign_with' {what}.", hint=_hint(arn))


def _hint(arn: str) -> str:
    return (
        f"Put a key into it: aws secretsmanager put-secret-value --secret-id {arn} --secret-string "
        "file://key.asc, as 'gpg --armor --export-secret-keys ADDRESS' writes it; or JSON with "
        "'private_key' and 'passphrase'."
    )
