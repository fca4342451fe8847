"""SSH algorithms of one partner, as users of the construct write them: old ones allowed, or a policy."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from cdk_s3_to_sftp.argument_types import check_fields
from cdk_s3_to_sftp.arguments import InvalidArgument, check_no_private_key, is_token
from s3_to_sftp.algorithm_rule import DEFAULT, WEAK, AlgorithmRule, Kind, Policy

_SIMILAR = 3


@dataclass(frozen=True, kw_only=True)
class Algorithms:
    """Which SSH algorithms are offered to a partner. Validated when it is created.

    `Algorithms(allow=["ssh-rsa", "diffie-hellman-group14-sha1"])` offers old algorithms behind the modern
    ones, which are used with a server that has nothing else. Synth warns of each with its risk.
    `Algorithms.fips()` and `Algorithms.post_quantum_required()` restrict what is offered.

    Attributes:
        allow: Names of algorithms that are off by default: `ssh-rsa` (the server's host key and our own key
            sign with SHA-1), `diffie-hellman-group14-sha1`, `diffie-hellman-group-exchange-sha1`,
            `diffie-hellman-group1-sha1`, `aes128-cbc`, `aes192-cbc`, `aes256-cbc`, `3des-cbc`,
            `hmac-sha1-96`, `hmac-md5`, `hmac-md5-96`.
        policy: Use the class methods.

    Raises:
        InvalidArgument: A name is unknown, or on by default, or a policy forbids it.
    """

    allow: Sequence[str] = ()
    policy: Policy | None = None

    def __post_init__(self) -> None:
        if self.policy is not None and not isinstance(self.policy, Policy):
            raise InvalidArgument(
                "policy",
                "must be one of Algorithms.fips() and Algorithms.post_quantum_required(), got "
                f"{self.policy!r}",
            )
        check_fields(self)
        check_no_private_key("allow", *self.allow)
        for name in self.allow:
            _check_weak(name)
        if self.policy is not None and self.allow:
            raise InvalidArgument(
                "allow",
                f"must be empty where the policy is {self.policy}, which forbids {self.allow[0]}, got "
                f"{', '.join(self.allow)}",
            )
        object.__setattr__(self, "allow", tuple(dict.fromkeys(self.allow)))

    @classmethod
    def fips(cls) -> "Algorithms":
        """Offer only what the FIPS policies of Red Hat and AWS Transfer Family have in common.

        NIST curves, Diffie-Hellman groups 14 and 16, ECDSA and RSA with SHA-2, AES with GCM or CTR, HMAC with
        SHA-2. This is about the names of algorithms: the function's cryptographic library is not a module
        that was validated under FIPS 140, and synth warns of it.
        """
        return cls(policy=Policy.FIPS)

    @classmethod
    def post_quantum_required(cls) -> "Algorithms":
        """Offer only key exchanges whose recordings a quantum computer cannot read: `mlkem768x25519-sha256`.

        OpenSSH has it from 9.9 on, and prefers it from 10.0 on. The function's SSH library has no other: a
        server with only `sntrup761x25519-sha512` (OpenSSH 8.5 to 9.8), or only NIST curves with ML-KEM, is
        refused, and so is its `profile` at synth. Host keys and logins are signed as usual: a signature
        cannot be forged for a handshake of the past.
        """
        return cls(policy=Policy.POST_QUANTUM_REQUIRED)

    @property
    def rule(self) -> AlgorithmRule:
        """What the function makes of it."""
        return AlgorithmRule(allow=tuple(self.allow), policy=self.policy)

    def as_text(self) -> str:
        """Return it as the function's environment holds it."""
        return str(self.rule)


def check_algorithms(algorithms: Algorithms | None, ciphers: Sequence[str]) -> None:
    """Refuse ciphers that the policy forbids.

    Raises:
        InvalidArgument: It forbids one.
    """
    rule = algorithms.rule if algorithms else AlgorithmRule()
    for cipher in ciphers:
        if not is_token(cipher) and not rule.permits(cipher):
            raise InvalidArgument(
                "ciphers",
                f"must be some of {', '.join(rule.offered(Kind.CIPHER))} where algorithms is {rule}, got "
                f"{cipher!r}",
            )


def check_host_keys_allowed(algorithms: Algorithms | None, host_keys: Sequence[str]) -> None:
    """Refuse host keys of which the policy allows none.

    Raises:
        InvalidArgument: The server could never prove that it has one.
    """
    if algorithms is None or algorithms.policy is None or any(map(is_token, host_keys)):
        return
    allowed = algorithms.rule.offered(Kind.SIGNATURE)
    types = [_type_of(key) for key in host_keys]
    if any(kind in allowed or (kind == "ssh-rsa" and "rsa-sha2-512" in allowed) for kind in types):
        return
    raise InvalidArgument(
        "host_keys",
        f"must contain a key of a type that the policy {algorithms.policy} allows (ECDSA or RSA), got only "
        f"{', '.join(dict.fromkeys(types))}: ask the partner for another host key (ssh-keyscan -t ecdsa,rsa)",
    )


def weak_algorithms(algorithms: Algorithms | None, ciphers: Sequence[str]) -> dict[str, str]:
    """Return what is offered and off by default -> its risk."""
    names = [*(algorithms.allow if algorithms else ()), *(name for name in ciphers if not is_token(name))]
    return {name: WEAK[name].risk for name in names if name in WEAK}


def _type_of(host_key: str) -> str:
    """Return the type of a key, `ssh-rsa`; of an authority that of any certificate that it may sign."""
    first, *_rest = host_key.split()
    return "rsa-sha2-512" if first == "@cert-authority" else first


def _check_weak(name: str) -> None:
    if is_token(name):
        raise InvalidArgument("allow", "must be known when the app is synthesised, got a Token")
    if name in WEAK:
        return
    if any(name in names for names in DEFAULT.values()):
        raise InvalidArgument(
            "allow", f"must be algorithms that are off by default, got {name!r}, which is on"
        )
    near = difflib.get_close_matches(name.lower(), WEAK, n=_SIMILAR)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InvalidArgument("allow", f"must be some of {', '.join(WEAK)}, got {name!r}{meant}")
