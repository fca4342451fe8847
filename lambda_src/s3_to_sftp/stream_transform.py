"""What changes the bytes of a file on their way. `rules/` has the implementations.

Importing this module costs nothing: it needs only the standard library.
"""

from typing import Protocol


class StreamTransform(Protocol):
    """One pass over a file: it is given all bytes in order, and gives back what comes out."""

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
