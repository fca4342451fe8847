"""What transforms know of the object whose bytes they change."""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SigningKeySource = Callable[[str], Any]
"""Returns the `SigningKey` of this name. Its module is not loaded where nothing is signed."""


@dataclass(frozen=True, kw_only=True)
class TransformedObject:
    """An object under way.

    Attributes:
        name: The file name of its key.
        event_time: When it was put, in seconds since 1970.
    """

    name: str
    event_time: int

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return posixpath.splitext(self.name)[0]

    @property
    def ext(self) -> str:
        """The extension, with its dot."""
        return posixpath.splitext(self.name)[1]
