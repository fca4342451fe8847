"""Virtual environments for programs whose pins conflict with ours, built once and cached."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from local.processes import run

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".local"
"""The cache for later runs; safe to delete while none is running."""

_BUILD_SECONDS = 900.0


def prepare(name: str, *, requirements: Path, base: Path | None = None, more: Sequence[str] = ()) -> Path:
    """Returns the interpreter of an environment, which it builds if there is none for the current pins.

    The directory name contains a hash of all inputs: a changed pin creates a new environment, and never
    removes one that is in use.

    Args:
        name: What it is for.
        requirements: Everything in it, with hashes.
        base: The interpreter to create it from. By default ours.
        more: Pins to install in addition, without their dependencies.

    Raises:
        CannotRun: An install failed.
    """
    home = CACHE / f"{name}-{_fingerprint(requirements, base, more)}"
    finished = home / "finished"
    home.parent.mkdir(exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two copies that start concurrently build it once
        if not finished.exists():
            _build(home, requirements, base, more)
            finished.touch()
    return home / "bin" / "python"


def _build(home: Path, requirements: Path, base: Path | None, more: Sequence[str]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    log = home.with_suffix(".log")
    run([base or sys.executable, "-m", "venv", "--without-pip", home], log=log, seconds=_BUILD_SECONDS)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", home / "bin" / "python")
    run([*pip, "install", "--require-hashes", "-r", requirements], log=log, seconds=_BUILD_SECONDS)
    if more:
        run([*pip, "install", "--no-deps", *more], log=log, seconds=_BUILD_SECONDS)


def _fingerprint(requirements: Path, base: Path | None, more: Sequence[str]) -> str:
    ingredients = [requirements.read_text(), str(base or sys.executable)]
    if base is None:
        ingredients.append(sys.version)
    ingredients += more
    return hashlib.sha256("\n".join(ingredients).encode()).hexdigest()[:12]
