"""What the partner with rules does with a file: decrypt, decompress."""

from __future__ import annotations

import gzip

import pysequoia

PARTNER = pysequoia.Tsk.generate("partner")


def opened(content: bytes) -> bytes:
    """Returns what was encrypted and compressed; anything else as it is."""
    try:
        return gzip.decompress(pysequoia.decrypt(content, PARTNER.decryptor()).bytes or b"")
    except (RuntimeError, gzip.BadGzipFile):
        return content
