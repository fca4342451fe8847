"""The item of what a server has shown to one account: keys, attributes, and when it is read and written."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from s3_to_sftp.errors import LedgerError
from s3_to_sftp.known_server import KnownServer
from s3_to_sftp.state.attributes import Fields, Item, to_attribute
from s3_to_sftp.state.table import Table

_log = logging.getLogger(__name__)

KNOWN_FOR_SECONDS = 24 * 60 * 60.0
"""So long what was shown is taken for granted. It is written anew in the second half of that time."""

_OTHER_SERVER_SECONDS = 60 * 60.0
"""Another server is remembered in its place so rarely: several that share an address may alternate."""

_OTHER_ROUND_TRIP_SECONDS = 60 * 60.0
"""Another round trip alone is written so rarely: on a busy line it may change from one minute to the next."""

_MOST_UNHEARD = 3
"""After so many connections that ended before the server had said anything, it is waited for: one with too
many connections ends some of them, one that minds our early words ends all."""

MOST_FILES = 64
"""More are never sent at a time."""


def known_server_keys(server: str, user: str) -> tuple[str, str]:
    """Return partition key and sort key of the item, for a server given as host:port."""
    return f"partner#{server}", f"known#{user}"


def known_server_attributes(known: KnownServer, *, at: float, revision: int) -> Item:
    """Return the attributes of the item; the keys are not among them."""
    return {
        **{name: to_attribute(value) for name, value in vars(known).items() if value is not None},
        "at": {"N": f"{at:.3f}"},
        "expires": to_attribute(int(at + KNOWN_FOR_SECONDS)),
        "revision": to_attribute(revision),
    }


def read_known_server(item: Item) -> KnownServer:
    """Read and check the item.

    Raises:
        LedgerError: It is corrupt.
    """
    fields = Fields(item, hint="Delete the item: a new one is written.")

    def flag(name: str) -> bool | None:
        return fields.flag(name) if name in item else None

    return KnownServer(
        host_key=fields.text("host_key"),
        version=fields.text("version"),
        login=fields.text("login"),
        method=fields.text("method"),
        offered=fields.texts("offered"),
        signature=fields.text("signature"),
        extensions=fields.texts("extensions") if "extensions" in item else None,
        opens_window_late=fields.flag("opens_window_late"),
        write_bytes=fields.integer("write_bytes"),
        round_trip=fields.number("round_trip"),
        connections=fields.integer("connections"),
        at_once=fields.integer("at_once"),
        streams=flag("streams"),
        resume=flag("resume"),
        replaces=fields.flag("replaces"),
        files=fields.integer("files"),
        refuses_shortcuts=fields.flag("refuses_shortcuts"),
        unheard=fields.integer("unheard"),
    )


class DynamoKnownServers:
    """What one server has shown, in the ledger's table. Implements `KnownServers`.

    It is read once in the life of an execution environment, beside the circuit breaker and in the same
    request, and written only when what is known changes or is about to expire.

    Takes several threads.

    Args:
        table: The ledger's table.
        server: host:port.
        user: Returns the login name, once it is known.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        table: Table,
        server: str,
        *,
        user: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._server = server
        self._user = user
        self._clock = clock
        self._read_for = ""  # the user
        self._revision = 0
        self._written: KnownServer | None = None
        self._written_at = 0.0
        self._known: KnownServer | None = None
        self._is_contradicted = False
        self._refuses_shortcuts = False
        self._was_unheard = False
        self._breaker_is_open = True

    # Read together with the circuit breaker.

    def keys(self) -> tuple[str, str] | None:
        """Return the keys of the item to be read now; None: it has been read."""
        try:
            user = self._user()
        except Exception:  # noqa: BLE001 - the login cannot be read: who connects is told so
            return None
        return None if self._read_for == user else known_server_keys(self._server, user)

    def take(self, item: Item | None) -> None:
        """Take the item that was read; None: there is none."""
        self._read_for, self._known, self._written, self._revision = self._user(), None, None, 0
        self._is_contradicted = False
        if item is None:
            return
        try:
            self._revision = Fields(item).integer("revision")
            self._written, self._written_at = read_known_server(item), Fields(item).number("at")
        except LedgerError as error:
            _log.warning("what is known of %s is not used: %s", self._server, error)
            return
        if self._age() < KNOWN_FOR_SECONDS and self._written.host_key:
            self._known = self._written

    def note_breaker(self, *, is_open: bool) -> None:
        """Learn whether the circuit breaker is open, in which case connections are opened one by one."""
        self._breaker_is_open = is_open

    # KnownServers.

    def current(self) -> KnownServer | None:
        """Return what is known now; None: nothing."""
        return self._known if self._age() < KNOWN_FOR_SECONDS else None

    def allows_streams_at_once(self) -> bool:
        """Return whether several connections may be opened before the first one has logged in."""
        return self.current() is not None and not self._breaker_is_open

    def forget(self, reason: str, *, by_shortcut: bool = False, unheard: bool = False) -> None:
        """Forget all of it. The item follows at the end of the invocation."""
        if self._known is None:
            return
        _log.info("what was known of %s is forgotten: %s", self._server, reason)
        self._known, self._is_contradicted = None, True
        self._refuses_shortcuts |= by_shortcut
        self._was_unheard |= unheard

    def learn(self, shown: KnownServer | None) -> None:
        """Remember what the server has just shown; None: nothing. Writes only news. Never raises."""
        if not self._read_for or self._read_for != self._user():
            return
        following = self._following(shown)
        if following is None:
            return
        attributes = known_server_attributes(following, at=self._clock(), revision=self._revision + 1)
        keys = known_server_keys(self._server, self._read_for)
        try:
            is_written = self._table.put(*keys, attributes, expected_revision=self._revision)
        except LedgerError as error:
            _log.info("what %s has shown is not remembered: %s", self._server, error)
            return
        if not is_written:
            self._read_for = ""  # another function was first: its item counts, and is read next time
            return
        self._revision += 1
        self._written, self._written_at, self._is_contradicted = following, self._clock(), False
        self._refuses_shortcuts = self._was_unheard = False  # it is written
        self._known = following if following.host_key else None

    def _following(self, shown: KnownServer | None) -> KnownServer | None:
        """Return what to write; None: what is written is good enough."""
        written = self._written
        minds = self._minds(written)
        if shown is None:
            is_news = self._is_contradicted and written is not None and written.host_key
            return replace(_NOTHING, **minds) if is_news else None
        if written is None:
            return shown
        if not written.host_key:
            return replace(shown, **minds)
        if not written.is_same_server(host_key=shown.host_key, version=shown.version):
            if self._age() >= _OTHER_SERVER_SECONDS:
                return replace(shown, **minds)
            # The next connection may lead to the other one: what either refuses, neither is asked.
            both = replace(written, **minds)
            return both if both != written else None
        if self._is_contradicted:
            return replace(shown, at_once=shown.at_once or written.at_once, **minds)
        if self._age() >= KNOWN_FOR_SECONDS:
            return shown
        completed = _completed(shown, written)
        if self._is_fresh:
            return completed if self._is_news(completed, written) else None
        # The record has reached half its lifetime: retry what the server refused.
        streams, at_once = completed.streams or shown.streams, 2 * completed.at_once
        at_once = at_once if at_once < completed.connections else 0
        files = min(2 * completed.files, MOST_FILES)
        completed = replace(completed, streams=streams, at_once=at_once, files=files)
        return replace(completed, refuses_shortcuts=False, unheard=0)

    def _minds(self, written: KnownServer | None) -> dict[str, Any]:
        """Return what it minds, for all that is known."""
        known = written if written is not None and self._is_fresh else _NOTHING
        unheard = known.unheard + self._was_unheard
        refuses = self._refuses_shortcuts or known.refuses_shortcuts or unheard >= _MOST_UNHEARD
        return {"refuses_shortcuts": refuses, "unheard": unheard}

    def _is_news(self, shown: KnownServer, written: KnownServer) -> bool:
        if not shown.shows_the_same_as(written):
            return True
        return not shown.is_as_far_as(written) and self._age() >= _OTHER_ROUND_TRIP_SECONDS

    @property
    def _is_fresh(self) -> bool:
        return self._age() < KNOWN_FOR_SECONDS / 2

    def _age(self) -> float:
        return abs(self._clock() - self._written_at)  # an item of a clock that was ahead must not last longer


_NOTHING = KnownServer(host_key="", version="")


def _completed(shown: KnownServer, before: KnownServer) -> KnownServer:
    """Return what was shown, and what was not asked this time as it was shown before."""
    return replace(
        shown,
        offered=shown.offered or before.offered,
        connections=max(shown.connections, before.connections),
        at_once=shown.at_once or before.at_once,
        streams=before.streams if shown.streams is None else shown.streams,
        resume=before.resume if shown.resume is None else shown.resume,
        files=shown.files or before.files,
        refuses_shortcuts=before.refuses_shortcuts,
        unheard=before.unheard,
    )
