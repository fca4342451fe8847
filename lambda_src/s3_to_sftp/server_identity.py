"""A server and an account on it: what a commit is bound to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerIdentity:
    """A server as seen at a login.

    Attributes:
        host: As configured.
        port: TCP port.
        user: Login name.
        host_key: Fingerprint, `SHA256:...`.
    """

    host: str
    port: int
    user: str
    host_key: str

    @property
    def account(self) -> str:
        """The account, `user@host:port`. It stays the same when the host key changes."""
        return f"{self.user}@{self.host}:{self.port}"
