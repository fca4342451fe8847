"""Which SSH algorithms are offered to a partner: the lists, best first, and the rule that changes them.

docs/reference/ssh.md explains the lists. Left out by default is what is broken or too short: `WEAK` names the
part of it that a partner may be allowed, and the risk of each. This module imports nothing, so that the
construct checks a rule with the same names.
"""

from dataclasses import dataclass
from enum import StrEnum

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

# AES-GCM costs a third of the CPU of CTR with HMAC (docs/decisions/0005).
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)

# HMAC does not depend on the weakness of SHA-1, and some appliances have nothing else.
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
)

SHA1_SIGNATURE = "ssh-rsa"
"""RSA with SHA-1 (RFC 4253, section 6.6)."""


class Kind(StrEnum):
    """What an algorithm is for, in the words of errors."""

    KEY_EXCHANGE = "key exchange"
    SIGNATURE = "host keys"
    CIPHER = "ciphers"
    MAC = "MACs"


@dataclass(frozen=True)
class Weak:
    """An algorithm that is off by default.

    Attributes:
        kind: What it is for.
        risk: Why it is off, as the end of a sentence that begins with its name.
    """

    kind: Kind
    risk: str


_CBC = (
    "lets somebody who can change packets learn parts of the text from how the server reacts "
    "(CVE-2008-5161), and costs several times the CPU of GCM"
)
WEAK = {
    "diffie-hellman-group14-sha1": Weak(
        Kind.KEY_EXCHANGE,
        "protects the handshake by SHA-1, for which collisions are made for the price of a car "
        "(SHA-mbles, 2020)",
    ),
    "diffie-hellman-group-exchange-sha1": Weak(
        Kind.KEY_EXCHANGE,
        "protects the handshake by SHA-1, for which collisions are made for the price of a car "
        "(SHA-mbles, 2020)",
    ),
    "diffie-hellman-group1-sha1": Weak(
        Kind.KEY_EXCHANGE,
        "uses a prime of 1,024 bits that everybody uses: who can pay for one large computation reads "
        "everything, also what was recorded years ago (Logjam, 2015)",
    ),
    SHA1_SIGNATURE: Weak(
        Kind.SIGNATURE,
        "signs with SHA-1: somebody who can make a collision can pretend to be the server (SHA-mbles, 2020)",
    ),
    "aes128-cbc": Weak(Kind.CIPHER, _CBC),
    "aes192-cbc": Weak(Kind.CIPHER, _CBC),
    "aes256-cbc": Weak(Kind.CIPHER, _CBC),
    "3des-cbc": Weak(
        Kind.CIPHER,
        "has blocks of 64 bits: after some gigabytes over one key parts of the files can be read (Sweet32, "
        "CVE-2016-2183), and it is very slow",
    ),
    "hmac-sha1-96": Weak(Kind.MAC, "protects packets by 96 bits only"),
    "hmac-md5": Weak(Kind.MAC, "is built on MD5, which is broken, if not in this use"),
    "hmac-md5-96": Weak(
        Kind.MAC, "is built on MD5, which is broken, if not in this use, and has 96 bits only"
    ),
}
"""What can be allowed. The SSH library has no more: no DSA, no RC4, no Blowfish."""

KNOWN_CIPHERS = (*CIPHERS, *(name for name, weak in WEAK.items() if weak.kind is Kind.CIPHER))

POST_QUANTUM_KEY_EXCHANGES = ("mlkem768x25519-sha256",)
"""The SSH library has no other: neither `sntrup761x25519-sha512` nor the NIST curves with ML-KEM."""


class Policy(StrEnum):
    """A restriction of what is offered."""

    FIPS = "fips"
    POST_QUANTUM_REQUIRED = "post_quantum_required"


_OF_POLICY = {
    # What Red Hat's and AWS Transfer Family's FIPS policies have in common. FIPS 186-5 allows Ed25519, too,
    # but no module that was validated under FIPS 140-2 has it. SP 800-56A allows known groups alone.
    Policy.FIPS: frozenset(
        {
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group14-sha256",
            "ecdsa-sha2-nistp256",
            "ecdsa-sha2-nistp384",
            "ecdsa-sha2-nistp521",
            "rsa-sha2-512",
            "rsa-sha2-256",
            *CIPHERS,
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256",
            "hmac-sha2-512",
        }
    ),
    Policy.POST_QUANTUM_REQUIRED: frozenset({*POST_QUANTUM_KEY_EXCHANGES, *SIGNATURES, *CIPHERS, *MACS}),
}


@dataclass(frozen=True, kw_only=True)
class AlgorithmRule:
    """Which algorithms are offered to one partner.

    Attributes:
        allow: Names of `WEAK` that are offered behind the others.
        policy: Offers only what it allows; None: everything that is on by default. Not together with `allow`.
    """

    allow: tuple[str, ...] = ()
    policy: Policy | None = None

    @classmethod
    def from_text(cls, text: str) -> "AlgorithmRule":
        """Read a policy, or names to be allowed, separated by commas.

        Raises:
            ValueError: It has another word. The message is the word.
        """
        names = tuple(word.strip() for word in text.split(",") if word.strip())
        if len(names) == 1 and names[0] in set(Policy):
            return cls(policy=Policy(names[0]))
        for name in names:
            if name not in WEAK:
                raise ValueError(name)
        return cls(allow=names)

    def __str__(self) -> str:
        return self.policy or ",".join(self.allow)

    def permits(self, name: str) -> bool:
        """Return whether the rule has nothing against an algorithm that is on by default or in `allow`."""
        return self.policy is None or name in _OF_POLICY[self.policy]

    def offered(self, kind: Kind) -> tuple[str, ...]:
        """Return what is offered, best first."""
        weak = tuple(name for name in self.allow if WEAK[name].kind is kind)
        return tuple(name for name in DEFAULT[kind] if self.permits(name)) + weak


DEFAULT = {
    Kind.KEY_EXCHANGE: KEY_EXCHANGES,
    Kind.SIGNATURE: SIGNATURES,
    Kind.CIPHER: CIPHERS,
    Kind.MAC: MACS,
}
"""What is offered where nothing else is said, best first."""

DEFAULT_RULE = AlgorithmRule()
"""Neither allows nor forbids anything."""
