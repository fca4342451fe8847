"""The rule that files are encrypted and signed with OpenPGP."""

import re
from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from typing import Protocol

from s3_to_sftp.errors import RuleRefused
from s3_to_sftp.rules.invalid import InvalidRule, require_type
from s3_to_sftp.rules.open_pgp_keys import PUBLIC_KEY, UnusableKey, fingerprint_of
from s3_to_sftp.rules.transformed_object import SigningKeySource, TransformedObject
from s3_to_sftp.ssh.pasted_text import cleaned, holds_private_key_file
from s3_to_sftp.stream_transform import StreamTransform

MOST_RECIPIENTS = 16
_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+")
_NAME_IN_DOCUMENT = re.compile(r"key-[0-9]{1,3}")
_KEY_IS_KNOWN = (
    "Everybody who has seen the text can use the key: if it was committed or shared, revoke it and make "
    "another one"
)


class SecretOfKey(Protocol):
    """A secret of the app, as `aws_secretsmanager.ISecret`."""

    @property
    def secret_arn(self) -> str:
        """Its ARN, which may be known only at deployment."""


@dataclass(frozen=True, kw_only=True)
class OpenPgp:
    """Files are encrypted to the partner's public keys, signed with our own private key, or both.

    The data alone is changed: companions are sent as they are. Whether keys can be used today (expired,
    revoked, without an encryption subkey, too weak) is checked at synth and again for each file, by
    `open_pgp_keys`.

    Attributes:
        encrypt_to: Public keys (certificates), each as an armored text such as `gpg --armor --export` writes
            it. Each of the recipients can decrypt the file alone. By default nothing is encrypted.
        sign_with: The secret with the private key that signs: an `ISecret`, or the ARN of one. Its value is
            the armored private key, or JSON: `{"private_key": "...", "passphrase": "..."}`. By default
            nothing is signed.
        armor: Whether files are ASCII armored, which makes them a third larger. By default they are binary.

    Raises:
        InvalidRule: A value cannot work; the message never shows a private key.
    """

    encrypt_to: ListOf[str] = ()
    sign_with: str | SecretOfKey | None = None
    armor: bool = False

    def __post_init__(self) -> None:
        self._check_encrypt_to()
        self._check_sign_with()
        require_type("armor", self.armor, bool, wanted="True or False")
        if not self.encrypt_to and self.sign_with is None:
            raise InvalidRule(
                "encrypt_to",
                "must have a public key, or sign_with a secret, got neither: OpenPgp() alone changes nothing",
            )
        object.__setattr__(self, "encrypt_to", tuple(self.encrypt_to))

    @property
    def uses_event_time(self) -> bool:
        """Whether it needs to know when the object was put: it does not."""
        return False

    def described(self, item: TransformedObject) -> str:  # noqa: ARG002 - the protocol of rules
        """Return what it does, in words, with the fingerprints of the recipients.

        Raises:
            RuleRefused: A key cannot be read.
        """
        try:
            what = [f"encrypt to the OpenPGP key {fingerprint_of(each)}" for each in self.encrypt_to]
        except UnusableKey as unusable:
            raise RuleRefused(
                "encrypt_to",
                f"A key of the rule 'encrypt_to' {unusable}.",
                value=unusable.fingerprint,
                hint="Write the partner's public key into encrypt_to=, deploy, then redrive the message.",
            ) from None
        what += ["sign with our OpenPGP key"] if self.sign_with is not None else []
        return ", ".join([*what, *(["armored"] if self.armor else [])])

    def stream(self, item: TransformedObject, signing_key: SigningKeySource) -> StreamTransform:  # noqa: ARG002 - the protocol of rules
        """Return one pass over the object.

        Raises:
            RuleRefused: A key cannot be used.
            CredentialsError, ConfigurationError: There is no key to sign with.
            TransformFailed: The process for OpenPGP does not start.
        """
        from s3_to_sftp.rules.open_pgp_stream import OpenPgpStream  # of functions that encrypt

        key = signing_key(str(self.sign_with)) if self.sign_with is not None else None
        return OpenPgpStream(self, signing_key=key)

    def _check_encrypt_to(self) -> None:
        given: object = self.encrypt_to
        texts = list(given) if isinstance(given, ListOf) and not isinstance(given, str | bytes) else [given]
        # First of all: the other messages say what they got.
        if any(isinstance(text, str) and holds_private_key_file(text) for text in texts):
            raise InvalidRule(
                "encrypt_to",
                "must be PUBLIC keys of the partner, got a PRIVATE KEY: remove it from the code, and write "
                f"what 'gpg --armor --export ADDRESS' prints. {_KEY_IS_KNOWN}",
            )
        if isinstance(given, str | bytes) or not isinstance(given, ListOf):
            raise InvalidRule(
                "encrypt_to",
                f"must be a list of armored public keys, got {type(given).__name__}: write [key]",
            )
        if len(texts) > MOST_RECIPIENTS:
            raise InvalidRule("encrypt_to", f"must be at most {MOST_RECIPIENTS} keys, got {len(texts)}")
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str) or PUBLIC_KEY not in cleaned(text):
                begins = (  # never what another type holds: it may be a private key in bytes
                    f"a text that begins with {text[:40]!r}" if isinstance(text, str) else type(text).__name__
                )
                raise InvalidRule(
                    "encrypt_to",
                    f"must be armored public keys, which begin with {PUBLIC_KEY!r}, got {begins} as the key "
                    f"number {number}: write what 'gpg --armor --export ADDRESS' prints",
                )

    def _check_sign_with(self) -> None:
        given = self.sign_with
        if given is None or hasattr(given, "secret_arn"):
            return
        if isinstance(given, str) and (_ARN.fullmatch(given) or _NAME_IN_DOCUMENT.fullmatch(given)):
            return
        if isinstance(given, str) and holds_private_key_file(given):
            raise InvalidRule(
                "sign_with",
                "must name the secret that holds the private key, got the PRIVATE KEY itself: remove it from "
                f"the code, and put it into a secret of Secrets Manager. {_KEY_IS_KNOWN}",
            )
        # Not shown: it may be a passphrase, or a key in another form.
        got = f"a text of {len(given)} characters" if isinstance(given, str) else type(given).__name__
        raise InvalidRule(
            "sign_with",
            f"must be a secret (ISecret), or the ARN of one (arn:aws:secretsmanager:...), got {got}",
        )
