"""What a server has shown to earlier connections, so that a fresh function need not ask for it again.

It saves questions, and is no evidence: what a delivery relies on is proven again over its own connections.
"""

from dataclasses import dataclass, replace
from typing import Protocol

_NEAR_SECONDS = 0.01
"""Round trips below this one are alike: they are the time that programs take."""


@dataclass(frozen=True, kw_only=True)
class KnownServer:
    """What one server has shown to one account.

    Attributes:
        host_key: Its fingerprint, `SHA256:...`.
        version: Its identification line (RFC 4253, section 4.2). With another one nothing else counts.
        login: Which login it has accepted, without showing it.
        method: By which method alone it has accepted that login; empty: it took several.
        offered: Methods that it has listed first; empty: not known.
        signature: By which signature algorithm it has accepted our key; empty: it was no key.
        extensions: Names of the SFTP extensions that it offers, of those that we use; None: its version is
            not 3.
        opens_window_late: Whether a new channel takes no data until its subsystem is started, and then takes
            what was sent right behind the request for it: OpenSSH's way.
        write_bytes: Bytes of data that one WRITE may hold.
        round_trip: Seconds.
        connections: So many it has accepted at a time.
        at_once: So many it has accepted when more were opened at once; 0: it has not refused any.
        streams: Whether it keeps together what several connections write into one file; None: not known.
        resume: Whether a file can be resumed over a later connection; None: not known.
        replaces: Whether a rename replaces an existing file.
        files: So many open files it accepts on one connection; 0: not known.
        refuses_shortcuts: Whether a connection that took all this for granted has failed.
        unheard: How many such connections have ended before it had said anything, for whatever reason.
    """

    host_key: str
    version: str
    login: str = ""
    method: str = ""
    offered: tuple[str, ...] = ()
    signature: str = ""
    extensions: tuple[str, ...] | None = None
    opens_window_late: bool = False
    write_bytes: int = 0
    round_trip: float = 0.0
    connections: int = 1
    at_once: int = 0
    streams: bool | None = None
    resume: bool | None = None
    replaces: bool = False
    files: int = 0
    refuses_shortcuts: bool = False
    unheard: int = 0

    def is_same_server(self, *, host_key: str, version: str) -> bool:
        """Return whether this is about the server with this host key and identification line."""
        return (self.host_key, self.version) == (host_key, version)

    def is_as_far_as(self, other: "KnownServer") -> bool:
        """Return whether the round trips are alike; they differ from time to time."""
        mine, its = (max(each.round_trip, _NEAR_SECONDS) for each in (self, other))
        return its / 2 <= mine <= its * 2

    def shows_the_same_as(self, other: "KnownServer") -> bool:
        """Return whether the other one says the same, whatever the round trips are."""
        return replace(self, round_trip=0.0) == replace(other, round_trip=0.0)


class KnownServers(Protocol):
    """Remembers what the partner's server has shown. Nothing here fails a delivery."""

    def current(self) -> KnownServer | None:
        """Return what is known now, for one connection; None: nothing."""

    def allows_streams_at_once(self) -> bool:
        """Return whether several connections may be opened before the first one has logged in."""

    def forget(self, reason: str, *, by_shortcut: bool = False, unheard: bool = False) -> None:
        """Forget all of it: something has contradicted it.

        Args:
            reason: For the log.
            by_shortcut: Whether a connection that took it for granted has failed.
            unheard: Whether such a connection has ended before the server had said anything: it may have too
                many of them, or mind that it was not waited for.
        """

    def learn(self, shown: KnownServer | None) -> None:
        """Remember what a server has just shown, in place of what was known; None: nothing. Never raises."""


class NoKnownServers:
    """Remembers nothing: there is no table."""

    def current(self) -> None:
        """Know nothing."""

    def allows_streams_at_once(self) -> bool:
        """Return False."""
        return False

    def forget(self, reason: str, *, by_shortcut: bool = False, unheard: bool = False) -> None:
        """Forget nothing."""

    def learn(self, shown: KnownServer | None) -> None:
        """Remember nothing."""
