"""Whether keys of OpenPGP can be used, in sentences for people: at synth, and in the function.

Facts about pysequoia 0.1.35, which tests show: `encrypt` takes a certificate that is expired or revoked, and
an expired subkey where there is no other. What is too weak or signed with SHA-1 is refused by its policy.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from s3_to_sftp.ssh.pasted_text import cleaned, holds_private_key_file
from s3_to_sftp.untrusted_text import quoted

PUBLIC_KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_FEWEST_RSA_BITS = 2048
_RSA: Final = frozenset({1, 2, 3})
_OUTDATED: Final = {16: "ElGamal", 17: "DSA", 20: "ElGamal"}
"""By the numbers of RFC 9580, 9.1."""
_ASK_PARTNER = "ask the partner for the key that they use now"
_MOST_QUOTED = 160
_MOST_LISTED = 3


class UnusableKey(ValueError):
    """A key cannot be used. The message is the end of a sentence: what is wrong, and what to do.

    Attributes:
        fingerprint: Of the key, in upper-case hex; empty where it could not be read.
    """

    def __init__(self, complaint: str, *, fingerprint: str = "") -> None:
        super().__init__(complaint)
        self.fingerprint = fingerprint


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A certificate that can be encrypted to now.

    Attributes:
        fingerprint: Of its primary key, in upper-case hex, as `gpg --list-keys` shows it.
        text: The certificate, armored.
        ends: When it, or the last of its encryption subkeys, expires; None: never.
    """

    fingerprint: str
    text: str
    ends: datetime | None


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A private key that can sign now.

    Attributes:
        fingerprint: Of its primary key, in upper-case hex.
        private_key: The key, armored.
        passphrase: Decrypts it; empty where it is not encrypted.
        ends: When it expires; None: never.
    """

    fingerprint: str
    private_key: str = field(repr=False)
    passphrase: str = field(default="", repr=False)
    ends: datetime | None = None


@lru_cache(maxsize=64)
def fingerprint_of(text: str) -> str:
    """Return the fingerprint of an armored certificate, in upper-case hex, whether or not it can be used.

    Raises:
        UnusableKey: It cannot be read.
    """
    return str(_certificate(cleaned(text)).fingerprint).upper()


def recipients_of(texts: Sequence[str], *, now: datetime | None = None) -> tuple[Recipient, ...]:
    """Return the certificates of a rule, each of which can be encrypted to.

    Args:
        texts: One armored certificate each.
        now: For what expires; by default the time of the clock.

    Raises:
        UnusableKey: One cannot be used.
    """
    return tuple(_recipient(text, now or datetime.now(UTC)) for text in texts)


def signing_key_of(private_key: str, passphrase: str = "", *, now: datetime | None = None) -> SigningKey:
    """Return a private key, which can sign. It is tried by signing nothing.

    Raises:
        UnusableKey: It cannot. The message shows nothing of it.
    """
    import pysequoia

    text = cleaned(private_key)
    with _refusing("is not a private key of OpenPGP that can be read"):
        tsk = pysequoia.Tsk.from_bytes(text.encode())
        certificate = tsk.extract_certificate()
    fingerprint = certificate.fingerprint.upper()
    if certificate.is_revoked:
        raise UnusableKey("is revoked: put another key into the secret", fingerprint=fingerprint)
    with _refusing("cannot be used", fingerprint):
        ends = certificate.expiration
    _refuse_expired(ends, now or datetime.now(UTC), fingerprint, "extend it, or put another one")
    try:
        signer = tsk.signer()
    except RuntimeError as error:
        if "encrypted" not in str(error):
            raise UnusableKey(
                "has no key for signing that is valid now: put a key with a signing subkey",
                fingerprint=fingerprint,
            ) from None
        if not passphrase:
            raise UnusableKey(
                "is encrypted, and there is no passphrase: the value must be JSON with 'private_key' and "
                "'passphrase'",
                fingerprint=fingerprint,
            ) from None
        with _refusing("cannot be decrypted: its passphrase is another one", fingerprint, tells=False):
            signer = tsk.signer(passphrase)
    else:
        passphrase = ""  # pysequoia refuses one where nothing is encrypted
    with _refusing("cannot sign", fingerprint):
        pysequoia.sign(signer, b"", armor=False)
    return SigningKey(fingerprint=fingerprint, private_key=text, passphrase=passphrase, ends=ends)


def _recipient(text: str, now: datetime) -> Recipient:
    import pysequoia

    certificate = _certificate(text)
    fingerprint = certificate.fingerprint.upper()
    if certificate.is_revoked:
        raise UnusableKey(f"is revoked: {_ASK_PARTNER}", fingerprint=fingerprint)
    packets = list(pysequoia.packet.PacketPile.from_bytes(bytes(certificate)))
    try:
        whole = certificate.expiration
        _refuse_expired(whole, now, fingerprint, _ASK_PARTNER)
        message = pysequoia.encrypt(b"", recipients=[certificate], armor=False)
    except RuntimeError as error:
        raise UnusableKey(_weakness(packets) or _cause(error), fingerprint=fingerprint) from None
    ends = _end_of(packets, _encrypted_to(message), whole)
    _refuse_expired(ends, now, fingerprint, _ASK_PARTNER, of="its encryption subkey")
    return Recipient(fingerprint=fingerprint, text=str(certificate), ends=ends)


def _certificate(text: str) -> Any:
    import pysequoia

    if holds_private_key_file(text):
        raise UnusableKey("is a PRIVATE KEY: it must be a public one")
    # Each block by itself: parsers stop at the end of the first, or of what they can read.
    blocks = [(PUBLIC_KEY + part).encode() for part in cleaned(text).split(PUBLIC_KEY)[1:]]
    with _refusing("is not a public key that can be read: copy all of it, also the last line"):
        certificates = [each for block in blocks for each in pysequoia.Cert.split_bytes(block)]
        tags = [packet.tag for block in blocks for packet in pysequoia.packet.PacketPile.from_bytes(block)]
    if pysequoia.packet.Tag.SecretKey in tags or pysequoia.packet.Tag.SecretSubkey in tags:
        raise UnusableKey("is a PRIVATE KEY: it must be a public one")
    if len(certificates) != 1:
        found = ", ".join(each.fingerprint.upper() for each in certificates[:_MOST_LISTED]) or "none"
        more = ", ..." if len(certificates) > _MOST_LISTED else ""
        raise UnusableKey(
            f"must be one public key, got {len(certificates)} ({found}{more}): give each as a text of its own"
        )
    return certificates[0]


def _refuse_expired(
    ends: datetime | None, now: datetime, fingerprint: str, instead: str, *, of: str = ""
) -> None:
    if ends is not None and ends <= now:
        what = f"{of} expired" if of else "expired"
        raise UnusableKey(f"{what} on {ends:%Y-%m-%d}: {instead}", fingerprint=fingerprint)


def _weakness(packets: Iterable[Any]) -> str:
    """Return why no policy accepts a key of the certificate; empty where it is another cause."""
    for packet in packets:
        if packet.key_created is None:
            continue
        # RFC 9580, 5.5.2: version, time, algorithm; of version 6 also the length of what follows.
        body = packet.body
        algorithm, numbers = body[5], body[10:] if body[0] == 6 else body[6:]
        bits = int.from_bytes(numbers[:2], "big")
        if algorithm in _RSA and bits < _FEWEST_RSA_BITS:
            return (
                f"is weak: RSA with {bits} bits, and at least {_FEWEST_RSA_BITS} are needed: ask the partner "
                "for a new key"
            )
        if name := _OUTDATED.get(algorithm):
            return f"is of {name}, which is outdated: ask the partner for a key of RSA or Curve25519"
    return ""


def _cause(error: RuntimeError) -> str:
    if "encryption subkey" in str(error):
        return f"has no encryption subkey that is valid: {_ASK_PARTNER}"
    return f"cannot be used ({_first_line(error)}): {_ASK_PARTNER}"


def _encrypted_to(message: bytes) -> tuple[str, ...]:
    """Return the ends of the fingerprints of the keys that a message is encrypted to (RFC 9580, 5.1)."""
    import pysequoia

    found = []
    for packet in pysequoia.packet.PacketPile.from_bytes(message):
        if packet.tag == pysequoia.packet.Tag.PKESK:
            body = packet.body
            found.append(body[1:9].hex() if body[0] == 3 else body[3 : 2 + body[1]].hex())
    return tuple(found)


def _end_of(packets: Sequence[Any], used: tuple[str, ...], whole: datetime | None) -> datetime | None:
    """Return when the last of the used keys expires, which is not after the whole certificate does.

    Args:
        packets: Of the certificate: each key is followed by its signatures.
        used: Ends of the fingerprints of the used keys.
        whole: When the certificate expires.
    """
    import pysequoia

    binding = pysequoia.packet.SignatureType.SubkeyBinding
    ends: dict[str, datetime | None] = {}
    latest: dict[str, datetime] = {}
    key: Any = None
    for packet in packets:
        if packet.key_created is not None:
            key = packet
        is_used = key is not None and key.fingerprint.endswith(used)
        if packet is key and is_used:
            ends[key.fingerprint] = whole
        elif is_used and packet.signature_type == binding and packet.signature_created is not None:
            if packet.signature_created < latest.get(key.fingerprint, packet.signature_created):
                continue
            latest[key.fingerprint] = packet.signature_created
            lasts = packet.key_validity_period
            own = key.key_created + lasts if lasts else None
            ends[key.fingerprint] = min(filter(None, (own, whole)), default=None)
    known = [each for each in ends.values() if each is not None]
    return max(known) if known and len(known) == len(ends) else None


@contextmanager
def _refusing(complaint: str, fingerprint: str = "", *, tells: bool = True) -> Iterator[None]:
    """Turn an error of pysequoia into one for people; `tells`: with its first line."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        said = f" ({_first_line(error)})" if tells else ""
        raise UnusableKey(complaint + said, fingerprint=fingerprint) from None


def _first_line(error: Exception) -> str:
    """Return what pysequoia says, without the backtrace that follows where RUST_BACKTRACE is set."""
    return quoted(str(error).partition("\n")[0], most=_MOST_QUOTED)
