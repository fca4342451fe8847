"""The partner's server: where it is, and how it is verified."""

from dataclasses import dataclass

from s3_to_sftp.algorithm_rule import DEFAULT_RULE, AlgorithmRule


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where to deliver, and how to verify the server.

    Attributes:
        host: Name or address.
        port: TCP port, 1 to 65535.
        host_keys: Pinned public keys, each `type base64`, or of an authority that signs host keys:
            `@cert-authority patterns type base64`. Empty: every connection is refused.
        ciphers: The only ones to offer, preferred first, by their SSH names. Empty: those of
            `algorithms`.
        algorithms: Which algorithms are offered.
    """

    host: str
    port: int
    host_keys: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    algorithms: AlgorithmRule = DEFAULT_RULE

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
