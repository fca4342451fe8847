"""What changes the bytes of a file on their way. `rules/` has the implementations.

Importing this module costs nothing: it needs only the standard library.
"""

from collections.abc import Mapping
from typing import Protocol

BYTES_PER_SECOND = 10e6
"""Of the object. What is larger than a whole invocation takes at this speed is refused before it is begun."""


class StreamTransform(Protocol):
    """One pass over a file: it is given all bytes in order, and gives back what comes out.

    Each method may raise a `DeliveryError`. What came out until then is no file, and `close` is still needed.

    Attributes:
        about: What the receipt says of it besides the plan.
    """

    @property
    def about(self) -> Mapping[str, str]:
        """See the class."""

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take the next bytes, and return what is ready, which may be nothing.

        Raises:
            DeliveryError: The file cannot be transformed.
        """

    def finish(self) -> bytes:
        """Return the rest, once all bytes were taken.

        Raises:
            DeliveryError: What came out is not the whole file.
        """

    def close(self) -> None:
        """Give up what it holds, finished or not. May be called twice."""
