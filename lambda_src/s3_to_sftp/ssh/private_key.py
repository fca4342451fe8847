"""Private keys as people paste them into a secret: OpenSSH, PEM or PuTTY; Ed25519, ECDSA or RSA."""

import io

import paramiko
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from s3_to_sftp.errors import CredentialsError
from s3_to_sftp.ssh import pem, putty_key
from s3_to_sftp.ssh.pasted_text import cleaned

_Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_PARAMIKO_TYPES: dict[type, type[paramiko.PKey]] = {
    ed25519.Ed25519PrivateKey: paramiko.Ed25519Key,
    ec.EllipticCurvePrivateKey: paramiko.ECDSAKey,
    rsa.RSAPrivateKey: paramiko.RSAKey,
}

_MOST_BYTES = 65_536
"""Of a secret, in Secrets Manager. The environment of a function holds less."""

_MOST_ROUNDS = 2000
"""Of OpenSSH's key derivation: ssh-keygen takes 16 or 24 by itself. 100 of them take about a second."""

_WHOLE_FILE = "Paste the whole file, with its first and last line."


def load_private_key(text: str, *, passphrase: str) -> paramiko.PKey:
    r"""Turn the text of a private key into one that paramiko can sign with.

    Args:
        text: OpenSSH, PKCS#1/SEC1 or PKCS#8 PEM, or a PuTTY file. Whatever pasting does to white space is
            undone: line breaks that became `\n`, blanks or nothing, a byte order mark, other text around it.
        passphrase: Empty for a key without one; ignored when the key needs none.

    Raises:
        CredentialsError: Says what is wrong without showing any of the key.
    """
    if len(text) > _MOST_BYTES:
        raise _unusable(f"is longer than {_MOST_BYTES} characters: it is not a key", _WHOLE_FILE)
    try:
        password = passphrase.encode()
    except UnicodeEncodeError:
        raise _unusable(
            "cannot be opened: 'passphrase' is not valid Unicode", "Type 'passphrase' anew."
        ) from None
    key = _load(text, password)
    for kind, paramiko_type in _PARAMIKO_TYPES.items():
        if isinstance(key, kind):
            return paramiko_type.from_private_key(io.StringIO(_as_openssh(key)))
    raise _unsupported()


def _load(text: str, password: bytes) -> _Key:
    """Return the key.

    The messages of libraries are left out: they are not proven never to quote the key.
    """
    plain = cleaned(text)
    try:
        if putty_key.MARK in plain:
            return _from_putty(_lines_kept(text, otherwise=plain), password)
        return _from_pem(_pem_in(plain), password)
    except CredentialsError:
        raise
    except UnsupportedAlgorithm:
        raise _unsupported() from None
    except Exception:  # noqa: BLE001 - parsers of other people, and what somebody pasted
        raise _unusable("is damaged", _WHOLE_FILE) from None


def _lines_kept(text: str, *, otherwise: str) -> str:
    """Return a PuTTY file with its comment as it is: the file is signed with it."""
    lines = "\n".join(text.splitlines())
    return lines if putty_key.MARK in lines and "\n" in lines.strip() else otherwise


def _from_putty(text: str, password: bytes) -> _Key:
    try:
        return putty_key.load(text, password)
    except putty_key.PassphraseNeeded:
        raise _no_passphrase() from None
    except putty_key.NotOpened:
        raise (_not_opened() if password else _unusable("is damaged", _WHOLE_FILE)) from None
    except putty_key.PuttyKeyError as error:
        raise _unusable(str(error), "Convert it: puttygen key.ppk -O private-openssh -o key.") from None


def _pem_in(text: str) -> pem.Pem:
    if found := pem.private_key_in(text):
        return found
    label = pem.label_of(text)
    if "PUBLIC KEY" in label or text.startswith(("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")):
        raise _unusable("is a public key", "Put the private half there; the partner gets the public one.")
    if label.endswith("PRIVATE KEY"):
        raise _unusable("is cut off: its last line '-----END ...' is missing or another one", _WHOLE_FILE)
    if label:
        raise _unusable(f"is not a private key, but holds a {label[:64]!r}", "Put the private key there.")
    raise _unusable("is not a private key: it does not begin with '-----BEGIN'", _WHOLE_FILE)


def _from_pem(key: pem.Pem, password: bytes) -> _Key:
    if key.label.startswith("SSH2 "):
        raise _unusable("is in the format of ssh.com", "Convert it: ssh-keygen -i -f key > key.openssh")
    if cipher := key.unsupported_cipher:
        raise _unusable(
            f"is encrypted with a cipher that is not supported ({cipher})",
            "Encrypt it anew: ssh-keygen -p -Z aes256-ctr -f key (asks for the passphrase).",
        )
    if key.rounds > _MOST_ROUNDS:
        raise _unusable(
            f"takes too long to open: its passphrase is hashed in {key.rounds} rounds",
            "Encrypt it anew: ssh-keygen -p -a 24 -f key (asks for the passphrase).",
        )
    return _opened(key, password)


def _opened(key: pem.Pem, password: bytes) -> _Key:
    load = serialization.load_ssh_private_key if key.is_openssh else serialization.load_pem_private_key
    try:
        opened = load(key.text, password or None)
    except TypeError:
        if password:  # "password was given but private key is not encrypted"
            return _opened(key, b"")
        raise _no_passphrase() from None
    except (ValueError, InvalidTag):
        if password:
            raise _not_opened() from None
        raise
    if not isinstance(opened, _Key):
        raise _unsupported()
    return opened


def _as_openssh(key: _Key) -> str:
    try:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ).decode()
    except ValueError:  # an elliptic curve that SSH does not have
        raise _unsupported() from None


def _no_passphrase() -> CredentialsError:
    return _unusable("is encrypted, but 'passphrase' is empty", "Put its passphrase there.")


def _not_opened() -> CredentialsError:
    return _unusable(
        "cannot be opened: the passphrase is wrong, or the key is damaged", "Check 'passphrase'."
    )


def _unsupported() -> CredentialsError:
    return _unusable("is of a type that is not supported", "Use an Ed25519, ECDSA or RSA key.")


def _unusable(what: str, hint: str) -> CredentialsError:
    return CredentialsError(f"The 'private_key' of the secret {what}.", hint=hint)
