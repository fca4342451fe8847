"""Virtual environments for programs whose pins do not go together with ours, made once and kept."""

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
"""What the next run can use again; safe to delete while none runs."""

_BUILD_SECONDS = 900.0


def prepare(name: str, *, requirements: Path, base: Path | None = None, more: Sequence[str] = ()) -> Path:
    """The interpreter of an environment; builds it if this machine has none for the present pins.

    Its folder is named for a hash of all that went into it: a new pin makes a new one, and never takes one
    away from a copy that is running.

    Args:
        name: What it is for.
        requirements: Everything in it, with hashes.
        base: The interpreter that it is made from. By default ours.
        more: Pins of what is installed on top, without what it depends on.

    Raises:
        CannotRun: An install failed.
    """
    home = CACHE / f"{name}-{_fingerprint(requirements, base, more)}"
    finished = home / "finished"
    home.parent.mkdir(exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two copies that start together build it once
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
