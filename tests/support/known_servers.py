"""What is known of a server, in memory: what the ledger's table keeps from one function to the next."""

from __future__ import annotations

from dataclasses import replace

from s3_to_sftp.known_server import KnownServer


class MemoryKnownServers:
    """Knows what it was given, and what was learned.

    Attributes:
        known: At present.
        forgotten: The reasons for which something was forgotten.
        by_shortcut: Whether a connection that took it for granted has failed.
        unheard: Whether such a connection has ended before the server had said anything.
        at_once: Whether streams may be opened before the first login: the circuit breaker is closed.
    """

    def __init__(self, known: KnownServer | None = None, *, at_once: bool = True) -> None:
        self.known = known
        self.forgotten: list[str] = []
        self.by_shortcut = self.unheard = False
        self.at_once = at_once

    def current(self) -> KnownServer | None:
        return self.known

    def allows_streams_at_once(self) -> bool:
        return self.at_once and self.known is not None

    def forget(self, reason: str, *, by_shortcut: bool = False, unheard: bool = False) -> None:
        if self.known is not None:
            self.forgotten.append(reason)
            self.by_shortcut |= by_shortcut
            self.unheard |= unheard
        self.known = None

    def learn(self, shown: KnownServer | None) -> None:
        if shown is not None and self.known is not None:  # what it was not asked stays
            streams = self.known.streams if shown.streams is None else shown.streams
            shown = replace(shown, streams=streams, files=shown.files or self.known.files)
        self.known = shown or self.known
