"""Connects to a server whose host key is not pinned yet, where an operator vouches for that very key."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from s3_to_sftp.credentials import Credentials
from s3_to_sftp.errors import HostKeyRefused
from s3_to_sftp.server import Server
from s3_to_sftp.sftp.connection import Connection, connect
from s3_to_sftp.ssh.connect import Timeouts
from s3_to_sftp.trusted_host_key import TrustedHostKeys
from s3_to_sftp.utc_time import utc_text

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _TrustedConnection(Connection):
    """Is not used for another delivery once its key is no longer trusted."""

    ends_at: float = 0

    def is_open(self) -> bool:
        """Return whether it may be used, and has not been closed."""
        return time.time() < self.ends_at and super().is_open()


class TrustingConnect:
    """As `connect`, but for one more try with a key that an operator trusts.

    The key is looked up only after a refusal: while all is well, nothing is read. The refusal came before the
    login, and the second connection checks the key like any other: an attacker who has another key in the
    meantime is refused.

    Args:
        trusted: Knows the trusted key.
        connect: Opens a connection.
    """

    def __init__(self, trusted: TrustedHostKeys, *, connect: Callable[..., Connection] = connect) -> None:
        self._trusted = trusted
        self._connect = connect

    def __call__(
        self,
        server: Server,
        credentials: Credentials,
        timeouts: Timeouts,
        logged_in: Callable[[float], None] = lambda _round_trip: None,
        **hints: Any,
    ) -> Connection:
        """Open a connection.

        Raises:
            HostKeyRefused: The host key is neither pinned nor trusted.
            DeliveryError: See `connect`.
        """
        try:
            return self._connect(server, credentials, timeouts, logged_in, **hints)
        except HostKeyRefused as refused:
            trusted = self._trusted.current()
            if trusted is None or not refused.fingerprint or trusted.fingerprint != refused.fingerprint:
                raise
            offered = refused.offered
        _log.warning(
            "connecting to %s with the host key %s, which is not pinned and is trusted until %s by %s: %s",
            server,
            trusted.fingerprint,
            utc_text(trusted.ends_at),
            trusted.who or "an operator",
            trusted.reason or "no reason was given",
        )
        known = replace(server, host_keys=(*server.host_keys, offered))
        connection = self._connect(known, credentials, timeouts, logged_in, **hints)
        return _TrustedConnection(**vars(connection), ends_at=trusted.ends_at)
