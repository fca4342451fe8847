"""Private keys as people paste them into a secret: OpenSSH or PEM, Ed25519, ECDSA or RSA."""

import io

import paramiko
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from s3_to_sftp.errors import CredentialsError

_Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_PARAMIKO_TYPES: dict[type, type[paramiko.PKey]] = {
    ed25519.Ed25519PrivateKey: paramiko.Ed25519Key,
    ec.EllipticCurvePrivateKey: paramiko.ECDSAKey,
    rsa.RSAPrivateKey: paramiko.RSAKey,
}


def load_private_key(text: str, *, passphrase: str) -> paramiko.PKey:
    r"""Turn the text of a private key into one that paramiko can sign with.

    Args:
        text: OpenSSH, PKCS#1/SEC1 or PKCS#8 PEM. Line breaks that were pasted as `\n` are mended.
        passphrase: Empty for a key without one; ignored when the key needs none.

    Raises:
        CredentialsError: Says what is wrong without showing any of the key.
    """
    pem = _mended(text)
    _refuse_other_formats(pem)
    key = _load(pem.encode(), passphrase)
    for kind, paramiko_type in _PARAMIKO_TYPES.items():
        if isinstance(key, kind):
            return paramiko_type.from_private_key(io.StringIO(_as_openssh(key)))
    raise _unsupported()


def _mended(text: str) -> str:
    lines = text.replace("\\n", "\n").replace("\r\n", "\n").strip()
    return lines + "\n"


def _refuse_other_formats(pem: str) -> None:
    first = pem.split("\n", 1)[0]
    if first.startswith("PuTTY-User-Key-File"):
        raise _unusable("is in PuTTY's own format", "Convert it: puttygen key.ppk -O private-openssh -o key.")
    if first.startswith(("ssh-", "ecdsa-")) or "PUBLIC KEY" in first:
        raise _unusable("is a public key", "Put the private half there; the partner gets the public one.")
    if not first.startswith("-----BEGIN "):
        raise _unusable(
            "is not a private key: it does not begin with '-----BEGIN'",
            "Paste the whole file, with its first and last line.",
        )
    if "\n" not in pem.strip():
        raise _unusable(
            "has lost its line breaks",
            r"In JSON each line break is written as \n: jq -Rs . < key prints the file that way.",
        )


def _load(pem: bytes, passphrase: str) -> _Key:
    password = passphrase.encode() or None
    try:
        return _parse(pem, password)
    except TypeError:
        if password is not None:  # "password was given but private key is not encrypted"
            return _load(pem, "")
        raise _unusable("is encrypted, but 'passphrase' is empty", "Put its passphrase there.") from None
    except (
        ValueError,
        UnsupportedAlgorithm,
        InvalidTag,
    ):  # the last: AES-GCM, wrong passphrase
        # The library's message is left out: nobody has checked that it never quotes the key.
        if password is not None:
            raise _unusable(
                "cannot be opened: the passphrase is wrong, or the key is damaged", "Check 'passphrase'."
            ) from None
        raise _unusable("is damaged", "Paste the whole file, with its first and last line.") from None


def _parse(pem: bytes, password: bytes | None) -> _Key:
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in pem
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    key = load(pem, password)
    if not isinstance(key, _Key):
        raise _unsupported()
    return key


def _as_openssh(key: _Key) -> str:
    try:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ).decode()
    except ValueError:  # an elliptic curve that SSH does not have
        raise _unsupported() from None


def _unsupported() -> CredentialsError:
    return _unusable("is of a type that is not supported", "Use an Ed25519, ECDSA or RSA key.")


def _unusable(what: str, hint: str) -> CredentialsError:
    return CredentialsError(f"The 'private_key' of the secret {what}.", hint=hint)
