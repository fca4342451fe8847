"""What happened to names at the partner, as its server saw it: the reference of the reconciliation."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.opening import opened

_TEMPORARY, _PRESCRIBED = ".part", ".partial"


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """A file seen under a final name.

    Attributes:
        key: Key of the object with this name.
        size: Bytes.
        sha256: Hex digest of the bytes.
        plain_sha256: Hex digest of what they hold, decrypted and decompressed.
    """

    key: str
    size: int
    sha256: str
    plain_sha256: str


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """A file got its final name.

    Attributes:
        file: Its content at that moment.
        temporary: The name before, below the directory.
        late: Whether a process that had hung did it, after its connection was closed.
    """

    file: Appearance
    temporary: str
    late: bool = False

    @property
    def puts_back(self) -> bool:
        """Whether it is the partner's old file that had been moved aside."""
        return self.temporary.endswith((".old", f"-old{_PRESCRIBED}"))


@dataclass(frozen=True, kw_only=True)
class Taken:
    """The partner itself lost a file that had its final name."""

    file: Appearance


@dataclass
class Records:
    """Shared by the sessions of the server and the fault injector. The lock makes check and action atomic.

    Attributes:
        events: Renames and losses in order.
        direct_writes: Final names that were opened for writing.
        removed: Temporary names that the partner itself removed, or lost with its disk.
        brought_back: Temporary names that came back with an older state of the disk.
        open: Temporary files that are open for writing.
    """

    events: list[Renamed | Taken] = field(default_factory=list)
    direct_writes: list[str] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    brought_back: set[str] = field(default_factory=set)
    open: list[Path] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def renames(self) -> int:
        """The number of files that got their final name."""
        return sum(isinstance(event, Renamed) for event in tuple(self.events))


def final_names(inbox: Path) -> Iterator[Path]:
    """Yields every file without a temporary name."""
    return (path for path in _files(inbox) if not is_temporary(path.name))


def temporary_names(inbox: Path) -> Iterator[Path]:
    """Yields every file with a temporary name."""
    return (path for path in _files(inbox) if is_temporary(path.name))


def is_temporary(name: str) -> bool:
    """Returns whether this is the name of an unfinished file, or of one that was moved aside."""
    return (name.startswith(".") and _TEMPORARY in name) or name.endswith(_PRESCRIBED)


def appearance(path: Path, inbox: Path) -> Appearance:
    """Reads the file as it is now."""
    content = path.read_bytes()
    return Appearance(
        key=str(path.relative_to(inbox)),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        plain_sha256=hashlib.sha256(opened(content)).hexdigest(),
    )


def _files(inbox: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(inbox):
        for name in names:
            yield Path(folder, name)
