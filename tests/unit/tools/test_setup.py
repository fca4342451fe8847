"""What `make setup` says where there is no Python that it can use."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.makefile import REPOSITORY


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


def said_with(python: Path | str, checkout: Path) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={python}", "setup"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert not (checkout / ".venv").exists()
    return (done.stdout + done.stderr).splitlines()[0]


def test_python_that_is_not_there_is_said_not_to_be(checkout: Path) -> None:
    assert said_with("python3.99", checkout) == (
        "Python 3.11 or newer is needed, python3.99 is not on this machine. Try: make PYTHON=python3.13 ..."
    )


@pytest.mark.parametrize("stream", [1, 2])
def test_python_that_is_too_old_is_named(checkout: Path, stream: int) -> None:
    """Python 2 writes its version to stderr."""
    old = checkout / "python-old"
    old.write_text(f'#!/bin/sh\n[ "$1" = --version ] || exit 1\necho Python 2.7.18 >&{stream}\n')
    old.chmod(0o755)
    assert f"{old} is Python 2.7.18. Try:" in said_with(old, checkout)
