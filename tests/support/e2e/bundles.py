"""The bundle of the function, built once in a run, by the worker that needs it first."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bundles:
    """Assets that a deployment of this run has built, for the deployments after it."""

    folder: Path

    @contextmanager
    def shared_with(self, assembly: Path) -> Iterator[None]:
        """Lets the first deployment build what it needs in its assembly, and the others find it in theirs."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _assets(self.folder):
                yield
                _copy(assembly, self.folder)
                return
        _copy(self.folder, assembly)
        yield


def _assets(folder: Path) -> list[Path]:
    return [path for path in folder.glob("asset.*") if path.is_dir()]


def _copy(source: Path, target: Path) -> None:
    for asset in _assets(source):
        shutil.copytree(asset, target / asset.name)
