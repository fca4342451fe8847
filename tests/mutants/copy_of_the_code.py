"""A copy of the function and of its tests, where mutants may be made without touching the working tree."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "lambda_src" / "s3_to_sftp"
COPIES = REPOSITORY / ".local" / "mutants"

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of the tests: what is not mutated is compiled once."""


def make_copy(name: str, settings: dict[str, object]) -> Path:
    """Make the copy of this name anew, and return where it is.

    The package stands under `src`: mutmut knows the source roots `.`, `src` and `source` alone.

    Args:
        name: Copies of other names may be in use meanwhile.
        settings: Of mutmut.
    """
    copy = COPIES / name
    shutil.rmtree(copy, ignore_errors=True)
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE, copy / "src" / "s3_to_sftp", ignore=without_caches)
    shutil.copytree(REPOSITORY / "tests", copy / "tests", ignore=without_caches)
    pytest_settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["pytest"][
        "ini_options"
    ]
    # Files in which hypothesis or pytest remember failures would make one mutant's run depend on another's.
    pytest_settings["addopts"] = [
        *pytest_settings["addopts"],
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
    ]
    (copy / "pyproject.toml").write_text(
        f"[tool.pytest.ini_options]\n{_as_toml(pytest_settings)}\n[tool.mutmut]\n{_as_toml(settings)}"
    )
    return copy


def _as_toml(table: dict[str, object]) -> str:
    # Strings, numbers, truth values and lists of them are written in JSON as in TOML.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in table.items())
