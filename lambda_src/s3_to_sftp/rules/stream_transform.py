"""What changes the bytes of a file on their way: the protocol of all stream transforms."""

from typing import Protocol


class StreamTransform(Protocol):
    """One pass over a file: it is given all bytes in order, and gives back what comes out.

    Each method may raise a `DeliveryError`. What came out until then is no file, and `close` is still needed.
    """

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, and return what is ready: often less than was given, also nothing."""

    def finish(self) -> bytes:
        """Return the rest, once, after all bytes were given. Only then is the file whole."""

    def close(self) -> None:
        """Give up, or tidy up after `finish`. Nothing of the pass remains. Safe to call twice."""
