"""Which server, and which account on it: what a commit is bound to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerIdentity:
    """A server as a login has found it.

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
        """The login and where it leads: `user@host:port`. Survives a new host key."""
        return f"{self.user}@{self.host}:{self.port}"
