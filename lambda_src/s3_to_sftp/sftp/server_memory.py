"""What a pool of connections asks of `KnownServers`, and what it tells them in return."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from s3_to_sftp.known_server import KnownServer, KnownServers
from s3_to_sftp.sftp.capabilities import CHANNEL, Capabilities
from s3_to_sftp.sftp.connection import Connection


class ServerMemory:
    """Compares the server behind connection 0 with what is known, and notes what it shows.

    Args:
        known: Of the partner's server.
    """

    def __init__(self, known: KnownServers) -> None:
        self._known = known
        self._most_open = 0
        self._beside: set[int] = set()
        self._at_once = 0
        self._has_single_handle = False
        self._has_refused_streams = False

    def expects_parallel_writes(self, number: int, first: Connection | None) -> bool:
        """Return whether the server behind connection 0 is known to keep together what this stream writes."""
        known = self._known.current()
        if first is None or known is None or number == CHANNEL:
            return False
        return bool(known.streams) and _is_behind(first, known)

    def compare(self, first: Connection) -> None:
        """Forget what is known where another server answers over a new connection 0."""
        known = self._known.current()
        if known is not None and not _is_behind(first, known):
            shown = f"{first.transport.identification} with host key {first.host_key_fingerprint}"
            self._known.forget(f"the server is now {shown}")

    def note_open(self, numbers: Iterable[int]) -> None:
        """Learn which connections are open at the same time."""
        self._most_open = max(self._most_open, _connections(numbers))

    def note_beside(self, numbers: Iterable[int]) -> None:
        """Learn which connections are opened beside connection 0."""
        self._beside = set(numbers)

    def note_refused(self, number: int, reason: Exception, *, standing: Collection[int]) -> None:
        """Learn that the partner does not accept this connection beside those that stand."""
        self._most_open = _connections(standing)  # an earlier, higher count is obsolete
        if number in self._beside:
            # Not those that stand: others may be logging in.
            self._beside.discard(number)
            self._at_once = 1 + len(self._beside)
        self._known.forget(f"it does not accept all streams ({reason})")

    def refuses_streams(self) -> bool:
        """Return whether the server is known not to keep together what several connections write."""
        known = self._known.current()
        return known is not None and known.streams is False

    def note_no_streams(self, reason: str, *, shown: bool) -> None:
        """Learn that the server takes one stream only.

        Args:
            reason: For the log.
            shown: Whether it has shown that; else it may be otherwise another time.
        """
        known = self._known.current()
        self._has_refused_streams |= shown
        if not shown or (known is not None and known.streams):
            self._known.forget(f"it takes one stream only ({reason})")

    def forget_refusals(self) -> None:
        """Forget what was refused: it says nothing about another server."""
        self._has_refused_streams = False

    def note_single_handle(self) -> None:
        """Learn that a connection has one handle: there a stream must wait for the probe to come through."""
        self._has_single_handle = True

    def learn(
        self,
        first: Connection | None,
        *,
        login: Callable[[], str],
        limit: int,
        proven: Capabilities,
        files: int | None,
    ) -> None:
        """Remember what the server has shown.

        Args:
            first: Connection 0; None: it was closed.
            login: Returns which login is used, without showing it.
            limit: Streams that the partner allows.
            proven: What the server behind connection 0 has proven.
            files: Open files that it accepts on a connection; None: that was not found out.
        """
        if first is not None and first.session.contradiction:
            self._known.forget(first.session.contradiction)
            first.session.contradiction = ""  # what it offers in its place is learned
        if first is None or not first.session.has_started:
            self._known.learn(None)
            return
        shown = replace(
            first.shown(),
            login=login(),
            connections=max(1, min(self._most_open, limit)),
            at_once=self._at_once,
            streams=self._streams(proven),
            resume=proven.resume,
            files=files or 0,
        )
        self._known.learn(shown)

    def _streams(self, proven: Capabilities) -> bool | None:
        if self._has_refused_streams:
            return False
        return None if self._has_single_handle else proven.parallel_connections


def _connections(numbers: Iterable[int]) -> int:
    return sum(number != CHANNEL for number in numbers)


def _is_behind(connection: Connection, known: KnownServer) -> bool:
    return known.is_same_server(
        host_key=connection.host_key_fingerprint, version=connection.transport.identification
    )
