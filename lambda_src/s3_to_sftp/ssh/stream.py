"""The byte stream under an SFTP session."""

from collections.abc import Sequence
from typing import Protocol

Piece = bytes | memoryview

NOT_READY: Piece = memoryview(b"")
"""In place of a block: none is ready yet. Meanwhile replies are read, and others use the connection."""


class Stream(Protocol):
    """Ordered bytes to and from the server."""

    def send(self, pieces: Sequence[Piece]) -> None:
        """Send all pieces in order, waiting for the peer's window.

        Raises:
            TimeoutError: The peer took nothing for too long.
            OSError, EOFError: The connection is gone.
        """

    def recv(self) -> bytes:
        """Return what is there, at least a byte; empty when the peer has closed.

        Raises:
            TimeoutError: Nothing came for too long.
            OSError, EOFError: The connection is gone.
        """

    def close(self) -> None:
        """Close the stream."""
