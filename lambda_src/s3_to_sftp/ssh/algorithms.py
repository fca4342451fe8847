"""The SSH algorithms that are offered, best first: the one list, which docs/reference/ssh.md explains.

Left out is what the SSH library also knows but is broken or too short: CBC, 3DES, MD5, MACs of 96 bits.
SSH_CIPHERS may name a cipher of `KNOWN_CIPHERS` for a partner that supports nothing else.
"""

from typing import Any

import paramiko
from paramiko.kex_curve25519 import KexCurve25519

from s3_to_sftp.ssh.group_exchange import CheckedGroupExchange

KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Of host keys, and of ours."""

CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"

# AES-GCM costs a third of the CPU of CTR with HMAC (docs/decisions/0005).
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
KNOWN_CIPHERS = (*CIPHERS, "aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc")

# HMAC does not depend on the weakness of SHA-1, and some appliances have nothing else.
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
)

_RSA = "rsa-sha2-"


def offer(transport: paramiko.Transport, *, ciphers: tuple[str, ...] = ()) -> None:
    """Offer these algorithms, as far as the SSH library can do them on this machine.

    Args:
        transport: Not started yet.
        ciphers: The only ones to offer instead of `CIPHERS`.
    """
    library: Any = transport  # the stubs leave out what begins with an underscore
    # RFC 8731 named what libssh had introduced; the library knows the older name alone.
    library._kex_info = {
        **library._kex_info,
        "curve25519-sha256": KexCurve25519,
        CheckedGroupExchange.name: CheckedGroupExchange,
    }
    options = transport.get_security_options()
    options.kex = tuple(name for name in KEY_EXCHANGES if name in library._kex_info)
    options.key_types = SIGNATURES
    options.ciphers = ciphers or CIPHERS
    options.digests = MACS
    library._preferred_pubkeys = SIGNATURES


def signatures_of(key_type: str, *, accepted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the signature algorithms to try with a key of ours, best first.

    Args:
        key_type: As the key names it, `ssh-rsa` or `ssh-ed25519-cert-v01@openssh.com`.
        accepted: What the server says it accepts (RFC 8308, server-sig-algs). Empty: it says nothing.
    """
    suffix = CERTIFICATE_SUFFIX if key_type.endswith(CERTIFICATE_SUFFIX) else ""
    if key_type.removesuffix(suffix) != "ssh-rsa":
        return (key_type,)
    hashes = [name for name in SIGNATURES if name.startswith(_RSA) and (not accepted or name in accepted)]
    # Where the server has said what it accepts, its refusal is one of the key.
    return tuple(name + suffix for name in (hashes[:1] if accepted else hashes))
