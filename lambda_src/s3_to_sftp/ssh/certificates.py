"""OpenSSH certificates: of the user, next to the private key, and of servers, signed by a pinned authority.

Format and rules: OpenSSH's PROTOCOL.certkeys. `cryptography` reads a certificate and checks its signature.
"""

import base64
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import paramiko
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import SSHCertificate, SSHCertificateType
from cryptography.hazmat.primitives.serialization.ssh import SSHCertPublicKeyTypes

from s3_to_sftp.errors import CredentialsError

AUTHORITY = "@cert-authority"
"""In front of the pinned key of an authority, as in known_hosts: marker, host patterns, type, base64."""


def add_certificate(key: paramiko.PKey, text: str, *, clock: Callable[[], float] = time.time) -> None:
    """Let a key be offered with its certificate.

    Args:
        key: The private key.
        text: What `ssh-keygen -s` has written into `KEY-cert.pub`.
        clock: Seconds since the epoch.

    Raises:
        CredentialsError: It is no certificate of this key that is valid now.
    """
    line = " ".join(text.split()[:2])
    certificate = _read(line)
    if certificate is None:
        raise _unusable("is not an OpenSSH certificate", "Paste the whole line of the file KEY-cert.pub.")
    if certificate.type is not SSHCertificateType.USER:
        raise _unusable("is one of a host, not of a user", "Ask the partner for a user certificate.")
    if _openssh(certificate.public_key())[1] != key.get_base64():
        raise _unusable(
            "belongs to another key than 'private_key'", "Put the two that belong together there."
        )
    if problem := _time_problem(certificate, clock()):
        raise _unusable(problem, "Ask the partner to sign the key anew.")
    key.load_certificate(line)


def problem_with_host(
    shown: bytes, host: str, authorities: tuple[str, ...], *, clock: Callable[[], float] = time.time
) -> str:
    """Return why the certificate of a server does not prove that it is this host; empty: it does.

    The server has proved already that it owns the certified key.

    Args:
        shown: The certificate, as it was on the wire.
        host: Name or address of the server.
        authorities: Pinned lines that begin with `AUTHORITY`.
        clock: Seconds since the epoch.
    """
    kind = shown[4 : 4 + int.from_bytes(shown[:4], "big")].decode("latin-1")
    certificate = _read(f"{kind} {base64.b64encode(shown).decode()}")
    if certificate is None or not _is_signed(certificate):
        return "is unreadable, or not signed by its authority"
    if certificate.type is not SSHCertificateType.HOST:
        return "is one of a user"
    signer = _openssh(certificate.signature_key())
    trusted = [patterns for patterns, *key in _pinned(authorities) if key == signer]
    if not any(_matches(patterns, host) for patterns in trusted):
        return "is signed by an authority that is not pinned" + (" for this host" if trusted else "")
    names = [name.decode("utf-8", "replace") for name in certificate.valid_principals]
    # None at all means any (PROTOCOL.certkeys); OpenSSH takes patterns in the certificates of hosts.
    if names and not any(_is_like(name, host) for name in names):
        return f"is for other hosts ({', '.join(names)[:200]!r})"
    if certificate.critical_options:
        return "has critical options, and none are defined for hosts"
    return _time_problem(certificate, clock())


def valid_until(text: str) -> float | None:
    """Return when a certificate ends, in seconds since the epoch; None: it is no certificate."""
    certificate = _read(" ".join(text.split()[:2]))
    return None if certificate is None else float(certificate.valid_before)


def _read(line: str) -> SSHCertificate | None:
    """Return the certificate, if it is one."""
    try:
        identity = serialization.load_ssh_public_identity(line.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return identity if isinstance(identity, SSHCertificate) else None


def _is_signed(certificate: SSHCertificate) -> bool:
    """Return whether the signature is right, and not one with SHA-1."""
    # The library shows the kind of the signature in a private field alone; without it nothing is trusted.
    kind = bytes(vars(certificate).get("_inner_sig_type", b"ssh-rsa"))
    try:
        certificate.verify_cert_signature()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return kind != b"ssh-rsa"


def _openssh(key: SSHCertPublicKeyTypes) -> list[str]:
    """Return the type and the base64 of a key."""
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line.decode().split()[:2]


def _pinned(authorities: tuple[str, ...]) -> list[list[str]]:
    """Return host patterns, type and base64 of each."""
    return [line.split()[1:4] for line in authorities]


def _time_problem(certificate: SSHCertificate, now: float) -> str:
    if now < certificate.valid_after:
        return f"is not valid before {_date(certificate.valid_after)}"
    if now >= certificate.valid_before:
        return f"expired on {_date(certificate.valid_before)}"
    return ""


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, 253_402_300_799), UTC).strftime("%Y-%m-%d %H:%M UTC")


def _matches(patterns: str, host: str) -> bool:
    """Return whether a host is one of a list of patterns of known_hosts; `!` excludes."""
    wanted = False
    for pattern in patterns.split(","):
        if pattern.startswith("!") and _is_like(pattern[1:], host):
            return False
        wanted = wanted or (not pattern.startswith("!") and _is_like(pattern, host))
    return wanted


def _is_like(pattern: str, host: str) -> bool:
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(regex, host, re.IGNORECASE) is not None


def _unusable(what: str, hint: str) -> CredentialsError:
    return CredentialsError(f"The 'certificate' of the secret {what}.", hint=hint)
