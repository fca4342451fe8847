"""Where a command writes, checked before it works for minutes. Types of `argparse`."""

import argparse
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdk_s3_to_sftp.bundle_builder.target import CannotBuild


def file_to_write(text: str) -> Path:
    """Return the path of a file that can be written; its folder may be missing.

    Raises:
        ArgumentTypeError: It cannot.
    """
    path = Path(text)
    if _is_folder(path):
        raise argparse.ArgumentTypeError(f"{path} is a folder: name a file in it")
    _require_folder(path.parent, for_=path)
    return path


def folder_to_write(text: str) -> Path:
    """Return the path of a folder that can be written; it may be missing.

    Raises:
        ArgumentTypeError: It cannot.
    """
    path = Path(text)
    _require_folder(path, for_=path)
    return path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name what was to be written where the operating system refuses it only now, as on a full disk.

    Raises:
        CannotBuild: It was refused.
    """
    try:
        yield
    except OSError as error:
        raise CannotBuild(f"{path} cannot be written: {error.strerror or error}.") from error


def _is_folder(path: Path) -> bool:
    """Return whether there is such a folder. `Path.is_dir` raises some errors, and since Python 3.14 none."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False  # which `_require_folder` explains
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {error.strerror}") from None


def _require_folder(wanted: Path, *, for_: Path) -> None:
    there = wanted.absolute()
    while not _is_folder(there):
        if os.path.lexists(there):
            raise argparse.ArgumentTypeError(f"{for_} cannot be written: {there} is no folder")
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{for_} cannot be written: no permission in {there}")
