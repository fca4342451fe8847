"""Private keys in PuTTY's own format, versions 2 and 3.

The format is appendix C of the PuTTY manual ("PPK file format"). Key, cipher and derivation are the
library's; what is done here is to read the fields.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf import argon2

PuttyKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

MARK = "PuTTY-User-Key-File-"
_ENCRYPTIONS = ("none", "aes256-cbc")
_Argon2 = argon2.Argon2id | argon2.Argon2i | argon2.Argon2d
_DERIVATIONS: dict[str, type[_Argon2]] = {
    "Argon2id": argon2.Argon2id,
    "Argon2i": argon2.Argon2i,
    "Argon2d": argon2.Argon2d,
}
_CURVES: dict[bytes, ec.EllipticCurve] = {
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
    b"nistp521": ec.SECP521R1(),
}

_MOST_MEMORY_KIB = 64 * 1024
_MOST_PASSES_TIMES_KIB = 8 * 1024 * 1024
"""PuTTY takes 8192 KiB, and as many passes as take a tenth of a second: 13 or so."""

_MOST_CHARACTERS = 16_384
"""An RSA key of 16,384 bits has less than 14,000."""

_FILE = re.compile(
    MARK + r"(?P<version>\d+):\s*(?P<type>\S+)\s+"
    r"Encryption:\s*(?P<encryption>\S+)\s+"
    r"Comment:[ ]?(?P<comment>.*?)\s+"
    r"Public-Lines:\s*\d+\s(?P<public>[A-Za-z0-9+/=\s]*)"
    r"(?P<derivation>Key-Derivation:.*?)?"
    r"Private-Lines:\s*\d+\s(?P<private>[A-Za-z0-9+/=\s]*)"
    r"Private-MAC:\s*(?P<mac>[0-9a-fA-F]+)",
    re.DOTALL,
)
_DERIVATION = re.compile(
    r"Key-Derivation:\s*(?P<name>\S+)\s+Argon2-Memory:\s*(?P<memory>\d{1,9})\s+Argon2-Passes:\s*(?P<passes>\d{1,9})\s+"
    r"Argon2-Parallelism:\s*(?P<lanes>\d{1,4})\s+Argon2-Salt:\s*(?P<salt>[0-9a-fA-F]+)"
)


class PuttyKeyError(Exception):
    """The key cannot be used; the text says why, and shows nothing of it."""


class PassphraseNeeded(PuttyKeyError):
    """It is encrypted, and no passphrase was given."""


class NotOpened(PuttyKeyError):
    """The passphrase is wrong, or the file was altered."""


@dataclass(frozen=True)
class _Keys:
    cipher: bytes = b""
    iv: bytes = b""
    mac: bytes = b""


def load(text: str, passphrase: bytes) -> PuttyKey:
    """Return the private key of a PuTTY file.

    Args:
        text: The file; other white space than its own does not matter outside of the comment.
        passphrase: Empty for a key without one.

    Raises:
        PuttyKeyError: It cannot be used; see there.
        ValueError: The numbers of the key do not fit together.
    """
    start = text.find(MARK)
    file = _FILE.match(text, start, start + _MOST_CHARACTERS)
    if file is None:
        raise PuttyKeyError("is in PuTTY's own format, and cut off or altered")
    version, encryption = file["version"], file["encryption"]
    if version not in {"2", "3"}:
        raise PuttyKeyError(
            f"has version {version[:9]} of PuTTY's format, which is not supported (2 and 3 are)"
        )
    if encryption not in _ENCRYPTIONS:
        raise PuttyKeyError(f"is encrypted with a cipher that is not supported ({encryption[:64]!r})")
    keys = _keys(file, passphrase)
    public, private = _decoded(file["public"]), _decoded(file["private"])
    if keys.cipher:
        if not private or len(private) % 16:
            raise NotOpened
        decryptor = Cipher(algorithms.AES256(keys.cipher), modes.CBC(keys.iv)).decryptor()
        private = decryptor.update(private) + decryptor.finalize()
    signed = b"".join(
        len(field).to_bytes(4, "big") + field
        for field in (file["type"].encode(), encryption.encode(), file["comment"].encode(), public, private)
    )
    mac = hmac.digest(keys.mac, signed, "sha1" if version == "2" else "sha256")
    if not hmac.compare_digest(mac.hex(), file["mac"].lower()):
        raise NotOpened
    return _key(file["type"], list(_fields(public)), list(_fields(private)))


def _keys(file: re.Match[str], passphrase: bytes) -> _Keys:
    """Derive what decrypts the file and what shows that it is unaltered."""
    is_encrypted = file["encryption"] != "none"
    if is_encrypted and not passphrase:
        raise PassphraseNeeded
    if file["version"] == "2":
        secret = passphrase if is_encrypted else b""
        mac = _sha1(b"putty-private-key-file-mac-key" + secret)
        if not is_encrypted:
            return _Keys(mac=mac)
        cipher = b"".join(_sha1(bytes([0, 0, 0, n]) + secret) for n in range(2))[:32]
        return _Keys(cipher, bytes(16), mac)
    if not is_encrypted:
        return _Keys()
    derived = _derived(file["derivation"] or "", passphrase)
    return _Keys(derived[:32], derived[32:48], derived[48:])


def _derived(described: str, passphrase: bytes) -> bytes:
    how = _DERIVATION.match(described)
    if how is None or how["name"] not in _DERIVATIONS:
        raise PuttyKeyError("has a key derivation that is not supported")
    memory, passes = int(how["memory"]), int(how["passes"])
    if memory > _MOST_MEMORY_KIB or memory * passes > _MOST_PASSES_TIMES_KIB:
        raise PuttyKeyError(
            f"takes too much memory or time to open ({memory} KiB, {passes} passes): save it again with "
            "PuTTY's defaults"
        )
    derivation: _Argon2 = _DERIVATIONS[how["name"]](
        salt=bytes.fromhex(how["salt"]),
        length=80,
        iterations=passes,
        lanes=int(how["lanes"]),
        memory_cost=memory,
    )
    return derivation.derive(passphrase)


def _key(kind: str, public: list[bytes], private: list[bytes]) -> PuttyKey:
    match kind, public, private:
        case "ssh-ed25519", [_, _], [seed, *_]:
            return ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        case "ssh-rsa", [_, e, n], [d, p, q, iqmp, *_]:
            return _rsa_key(*(int.from_bytes(number, "big") for number in (e, n, d, p, q, iqmp)))
        case _, [_, curve, _], [d, *_] if curve in _CURVES:
            return ec.derive_private_key(int.from_bytes(d, "big"), _CURVES[curve])
    raise PuttyKeyError("is of a type that is not supported")


def _rsa_key(e: int, n: int, d: int, p: int, q: int, iqmp: int) -> rsa.RSAPrivateKey:
    public = rsa.RSAPublicNumbers(e, n)
    dmp1, dmq1 = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q)
    return rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public).private_key()


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except binascii.Error:
        raise PuttyKeyError("is in PuTTY's own format, and cut off or altered") from None


def _fields(blob: bytes) -> Iterator[bytes]:
    """Yield the length-prefixed fields, without the padding behind them."""
    while len(blob) >= 4:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            return
        yield blob[4:end]
        blob = blob[end:]


def _sha1(blob: bytes) -> bytes:
    return hashlib.sha1(blob).digest()  # noqa: S324 - prescribed by version 2 of the format
