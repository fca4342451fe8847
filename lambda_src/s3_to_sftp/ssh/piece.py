"""Bytes that are sent without being joined first."""

Piece = bytes | memoryview

NOT_READY: Piece = memoryview(b"")
"""In place of a block: none is ready yet. Meanwhile replies are read, and others use the connection."""
