"""Files of a bundle: the same modes and times everywhere."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Zip cannot store an earlier date, and CDK gives the files of every asset this one.
_EPOCH = 315532800  # 1980-01-01T00:00:00Z


def normalise(output: Path) -> None:
    """Set the same modes and times everywhere. Lambda's user must be able to read everything."""
    for path in _bottom_up(output):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_EPOCH, _EPOCH))


def empty(directory: Path) -> None:
    """Remove everything in it."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _bottom_up(directory: Path) -> Iterator[Path]:
    for parent, _, files in os.walk(directory, topdown=False):
        yield from (Path(parent, name) for name in files)
        yield Path(parent)
