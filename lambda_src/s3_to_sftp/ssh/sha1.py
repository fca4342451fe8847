"""SHA-1 for servers that have nothing else, and only where it is allowed: the SSH library has dropped it."""

from hashlib import sha1
from typing import Any, ClassVar

import paramiko
from cryptography.hazmat.primitives import hashes
from paramiko.kex_group14 import KexGroup14SHA256

from s3_to_sftp.algorithm_rule import SHA1_SIGNATURE
from s3_to_sftp.ssh.group_exchange import CheckedGroupExchange

# RFC 2409, section 6.2: 1,024 bits.
_OAKLEY_GROUP_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)


class Group14(KexGroup14SHA256):
    """diffie-hellman-group14-sha1 (RFC 4253, section 8.2)."""

    name = "diffie-hellman-group14-sha1"
    hash_algo = sha1


class Group1(Group14):
    """diffie-hellman-group1-sha1 (RFC 4253, section 8.1)."""

    name = "diffie-hellman-group1-sha1"
    P = _OAKLEY_GROUP_2


class GroupExchange(CheckedGroupExchange):
    """diffie-hellman-group-exchange-sha1 (RFC 4419, section 4.1)."""

    name = "diffie-hellman-group-exchange-sha1"
    hash_algo = sha1


class Sha1Key(paramiko.RSAKey):
    """An RSA key whose signatures are made and verified with SHA-1, and with nothing else."""

    # Read by the library's methods, which its stubs do not let another class change.
    HASHES: ClassVar[dict[str, type[hashes.HashAlgorithm]]] = {SHA1_SIGNATURE: hashes.SHA1}  # type: ignore[misc]

    @classmethod
    def of(cls, key: paramiko.PKey) -> "Sha1Key":
        """Return the same private key, which must be of RSA."""
        inner: Any = key  # the stubs leave the field out
        return cls(key=inner.key)


KEY_EXCHANGES: dict[str, Any] = {each.name: each for each in (Group14, GroupExchange, Group1)}
"""Name -> class, as the library has its own."""
