"""What a partner's onboarding document says, as its server checks it."""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A file that the partner's pick-up job takes: it has just got a name, other than a temporary one.

    Attributes:
        path: Absolute, as clients see it.
        temporary: The name that it had while it was written.
        data: Its bytes.
        mode: Its permission bits.
        replaces: Whether a file with this name was there.
    """

    path: str
    temporary: str
    data: bytes
    mode: int
    replaces: bool

    @property
    def name(self) -> str:
        """Its name without the directory."""
        return posixpath.basename(self.path)


class Document(ABC):
    """Rules that most partners have. Each method returns a complaint, and an empty text if there is none.

    Attributes:
        inbox: The only directory into which files may be put.
        directories: Those that exist.
        can_set_attributes: Whether permissions and times may be set.
        writes_in_order: Whether each write must begin where the last one ended.
    """

    inbox: ClassVar[str] = "/"
    directories: ClassVar[tuple[str, ...]] = ("/outbox", "/staging")
    can_set_attributes: ClassVar[bool] = True
    writes_in_order: ClassVar[bool] = False

    def written(self, path: str) -> str:
        """Judge a path that a client opens for writing. The pick-up job takes all that is not hidden."""
        if not self.is_temporary(posixpath.basename(path)):
            return f"{path} is visible before it is complete"
        return self.placed(path)

    def is_temporary(self, name: str) -> bool:
        """Return whether the pick-up job ignores a name."""
        return name.startswith(".")

    def placed(self, path: str) -> str:
        """Judge the directory of a path."""
        return "" if posixpath.dirname(path) == self.inbox else f"{path} is not in {self.inbox}"

    def renamed(self, old: str, new: str) -> str:
        """Judge the names of a RENAME."""
        return ""

    @abstractmethod
    def arrived(self, file: Arrival, earlier: Sequence[Arrival]) -> str:
        """Judge a file under its final name."""

    def missing(self, arrivals: Sequence[Arrival]) -> str:
        """Judge everything at the end of the day."""
        return ""
