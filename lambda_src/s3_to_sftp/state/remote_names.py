"""Files of ours that may still exist at the partner: each is in the ledger until it is known to be gone."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from enum import StrEnum


class NameKind(StrEnum):
    """What a name of ours holds, if it exists."""

    TEMPORARY = "temporary"
    """Bytes of an object, whole or not."""
    ASIDE = "aside"
    """The partner's old file, moved aside because a RENAME does not replace it."""
    FINAL = "final"
    """The same, under the final name: it is never removed."""
    BLOCKER = "blocker"
    """An empty file that keeps a delayed RENAME from moving the delivered file aside; with a pending RENAME:
    nothing, and no new file may get the name: a delayed OPEN would empty it, a delayed RENAME publish it
    unfinished."""


@dataclass(frozen=True, kw_only=True)
class RemoteName:
    """What the ledger keeps of one name.

    Attributes:
        version: Sort key of the version whose delivery made it.
        sequencer: Padded sequencer of that version (empty: none).
        server: Where it is, `user@host:port` (empty: not known).
        kind: What it holds.
        rename_pending: Whether a RENAME of it, or onto it, was sent and not answered: a process that hangs at
            the partner may still carry it out.
        since: When it was recorded, or about to be renamed, in seconds since 1970.
        path: The final name that an old file of the partner's had; empty: another kind, or not recorded.
    """

    version: str
    sequencer: str
    server: str = ""
    kind: NameKind = NameKind.TEMPORARY
    rename_pending: bool = False
    since: int = 0
    path: str = ""

    @property
    def text_bytes(self) -> int:
        """How many bytes its texts take."""
        return sum(len(text.encode()) for text in (self.version, self.sequencer, self.server, self.path))


_ENTRY_BYTES = 100
"""Of an entry beside its texts: names of attributes, the kind, a flag, a number, and what DynamoDB adds."""


class RemoteNames:
    """The names of one key, as the lease holder knows them. Every write of the holder has all of them.

    Not thread-safe: it belongs to the lease holder.

    Attributes:
        of: Sort key of the lease holder's version; empty: names are not told apart.
        given_again: Temporary names that later versions get, too, unless they must stay unused.
        is_listed: Whether the ledger lists the key because of them.
    """

    given_again: Set[str] = frozenset()
    is_listed = False

    def __init__(self, entries: Mapping[str, RemoteName] | None = None, *, of: str = "") -> None:
        self._entries = dict(entries or {})
        self.of = of

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def stored_bytes(self) -> int:
        """How many bytes the names take in the key's item, about: DynamoDB counts texts in UTF-8."""
        return sum(
            _ENTRY_BYTES + len(name.encode()) + entry.text_bytes for name, entry in self._entries.items()
        )

    def get(self, name: str) -> RemoteName | None:
        """Return what is known of the name."""
        return self._entries.get(name)

    def is_of_another(self, name: str) -> bool:
        """Return whether another version was given the name last: what it holds is none of this version's."""
        entry = self._entries.get(name)
        return bool(self.of) and entry is not None and entry.version != self.of

    def items(self) -> Iterable[tuple[str, RemoteName]]:
        """Return names and entries, as they are now."""
        return tuple(self._entries.items())

    def put(self, name: str, entry: RemoteName) -> None:
        """Record a name, or what is now known of it."""
        self._entries[name] = entry

    def rename_resolved(self, name: str, *, kind: NameKind | None = None) -> None:
        """Record that no RENAME from or to this name can still happen."""
        if entry := self._entries.get(name):
            self.put(name, replace(entry, rename_pending=False, kind=kind or entry.kind))

    def must_stay_unused(self, name: str, *, since: float | None = None) -> None:
        """Record that nothing has the name, and that a delayed request may still find what gets it.

        Args:
            name: The name.
            since: When the last such request may have been sent, in seconds since 1970; None: when its RENAME
                was about to be sent.
        """
        if entry := self._entries.get(name):
            since = entry.since if since is None else int(since)
            self.put(name, replace(entry, rename_pending=True, kind=NameKind.BLOCKER, since=since))

    def remove(self, name: str) -> None:
        """Record that the name does not exist."""
        self._entries.pop(name, None)
