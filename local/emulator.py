"""Runs MiniStack, which then unpacks the code of a function once instead of for each process that it starts.

MiniStack's interpreter runs this file, so it imports nothing of ours.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any


def unpack_once(kept: Path) -> None:
    """Lets `ZipFile.extractall` unpack each content into `kept` and make hard links to its files.

    A bundle has thousands of files: unpacking them takes longer than the start of the function. What gets the
    links must not change the files; a function does not, since its folder is read-only in Lambda.
    """
    unpack = zipfile.ZipFile.extractall
    lock = threading.Lock()

    def extractall(archive: zipfile.ZipFile, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        if members is not None or pwd is not None:
            unpack(archive, path, members, pwd)
            return
        with lock:
            original = kept / _content(archive)
            if not original.exists():
                kept.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=kept) as partial:
                    unpack(archive, Path(partial) / "files")
                    (Path(partial) / "files").rename(original)
        shutil.copytree(original, path or os.curdir, copy_function=os.link, dirs_exist_ok=True)

    zipfile.ZipFile.extractall = extractall  # type: ignore[method-assign, assignment]


def _content(archive: zipfile.ZipFile) -> str:
    content = hashlib.sha256()
    for each in archive.infolist():
        content.update(repr((each.filename, each.CRC, each.file_size, each.external_attr)).encode())
    return content.hexdigest()


if __name__ == "__main__":
    unpack_once(Path(tempfile.gettempdir()) / "unpacked")
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
