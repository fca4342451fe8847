"""Tells the SSH library which algorithms to offer: those of an `AlgorithmRule`."""

from typing import Any

import paramiko
from paramiko.kex_curve25519 import KexCurve25519

from s3_to_sftp.algorithm_rule import (
    DEFAULT_RULE,
    POST_QUANTUM_KEY_EXCHANGES,
    SHA1_SIGNATURE,
    AlgorithmRule,
    Kind,
)
from s3_to_sftp.errors import ConfigurationError
from s3_to_sftp.ssh import sha1
from s3_to_sftp.ssh.group_exchange import CheckedGroupExchange

CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"

_RSA = "rsa-sha2-"


def offer(
    transport: paramiko.Transport, rule: AlgorithmRule = DEFAULT_RULE, *, ciphers: tuple[str, ...] = ()
) -> None:
    """Offer the algorithms of the rule, as far as the SSH library can do them on this machine.

    Args:
        transport: Not started yet.
        rule: Of the partner.
        ciphers: The only ones to offer instead of those of the rule.

    Raises:
        ConfigurationError: The library can do no key exchange of the rule.
    """
    library: Any = transport  # the stubs leave out what begins with an underscore
    # RFC 8731 named what libssh had introduced; the library knows the older name alone.
    library._kex_info = {
        **library._kex_info,
        "curve25519-sha256": KexCurve25519,
        CheckedGroupExchange.name: CheckedGroupExchange,
        **{name: each for name, each in sha1.KEY_EXCHANGES.items() if name in rule.allow},
    }
    if SHA1_SIGNATURE in rule.allow:
        library._key_info = {**library._key_info, SHA1_SIGNATURE: sha1.Sha1Key}
    options = transport.get_security_options()
    key_exchanges = tuple(name for name in rule.offered(Kind.KEY_EXCHANGE) if name in library._kex_info)
    if not key_exchanges:
        raise _cannot_do(rule)
    options.kex = key_exchanges
    options.key_types = rule.offered(Kind.SIGNATURE)
    options.ciphers = ciphers or rule.offered(Kind.CIPHER)
    options.digests = rule.offered(Kind.MAC)
    library._preferred_pubkeys = rule.offered(Kind.SIGNATURE)


def signatures_of(
    key_type: str, *, accepted: tuple[str, ...], rule: AlgorithmRule = DEFAULT_RULE, is_old: bool = False
) -> tuple[str, ...]:
    """Return the signature algorithms to try with a key of ours, best first.

    Args:
        key_type: As the key names it, `ssh-rsa` or `ssh-ed25519-cert-v01@openssh.com`.
        accepted: What the server says it accepts (RFC 8308, server-sig-algs). Empty: it says nothing.
        rule: Of the partner.
        is_old: Whether the server's own host key signs with SHA-1 alone: then its logins know nothing else.
    """
    offered = rule.offered(Kind.SIGNATURE)
    suffix = CERTIFICATE_SUFFIX if key_type.endswith(CERTIFICATE_SUFFIX) else ""
    if key_type.removesuffix(suffix) != "ssh-rsa":
        return (key_type,) if key_type.removesuffix(suffix) in offered else ()
    usable = [name for name in offered if name.startswith(_RSA) or (name == SHA1_SIGNATURE and not suffix)]
    hashes = [name for name in usable if not accepted or name in accepted]
    if is_old and SHA1_SIGNATURE in hashes:
        # Whatever it says: OpenSSH up to 9.2 lists all that it knows, configured or not. Each refusal counts.
        return (SHA1_SIGNATURE,)
    # Where the server has said what it accepts, its refusal is one of the key.
    return tuple(name + suffix for name in (hashes[:1] if accepted else hashes))


def _cannot_do(rule: AlgorithmRule) -> ConfigurationError:
    return ConfigurationError(
        f"SSH_ALGORITHMS is {rule}, and the SSH library of this function can do none of "
        f"{', '.join(POST_QUANTUM_KEY_EXCHANGES)}.",
        hint="Bundle the function with the pinned versions of its packages (requirements.txt).",
    )
