"""Finds the Python version that the function runs on in Lambda."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LAMBDA_PYTHON = "3.13"

NOT_FOUND = f"no working Python {LAMBDA_PYTHON}: searched the PATH and the installations of pyenv and uv"


@functools.cache
def lambda_interpreter() -> Path | None:
    """Returns the first working interpreter of Lambda's version, or None.

    Each is run: the first one found is often a pyenv shim, which fails if no such version is selected.
    """
    return next((path for path in _candidates() if _version(path) == LAMBDA_PYTHON), None)


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    on_path = shutil.which(f"python{LAMBDA_PYTHON}")
    if on_path:
        yield Path(on_path)
    home = Path.home()
    yield from sorted(home.glob(f".pyenv/versions/{LAMBDA_PYTHON}*/bin/python"))
    yield from sorted(home.glob(f".local/share/uv/python/cpython-{LAMBDA_PYTHON}*/bin/python"))


def _version(interpreter: Path) -> str | None:
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [interpreter, "-c", question], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
