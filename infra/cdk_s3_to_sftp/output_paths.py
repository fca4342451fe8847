"""Where a command writes, checked before it works for minutes. Types of `argparse`."""

import argparse
import os
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
    _require_name(path)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder: name a file in it")
    _require_folder(path.parent, for_=path)
    return path


def folder_to_write(text: str) -> Path:
    """Return the path of a folder that can be written; it may be missing.

    Raises:
        ArgumentTypeError: It cannot.
    """
    path = Path(text)
    _require_name(path)
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


def _require_name(path: Path) -> None:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # that of a folder that is missing, or for `_require_folder` to explain
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {error.strerror}") from None


def _require_folder(wanted: Path, *, for_: Path) -> None:
    there = next(each for each in (wanted, *wanted.absolute().parents) if each.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{for_} cannot be written: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{for_} cannot be written: no permission in {there}")
