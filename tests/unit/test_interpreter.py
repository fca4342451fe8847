"""Modules compile and load without a warning: a later interpreter refuses what this one warns of."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FUNCTION, COMMAND, CONSTRUCT = "lambda_src/s3_to_sftp", "cli/s3_to_sftp_cli", "infra/cdk_s3_to_sftp"
PROGRAM = "s3_to_sftp_cli.__main__"  # runs when it is imported


def modules_of(folder: str) -> list[str]:
    package = REPOSITORY / folder
    paths = (path.relative_to(package.parent).with_suffix("") for path in sorted(package.rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def load(modules: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Import the modules in a process in which each warning about one of them is an error."""
    of_ours = "|".join(sorted({module.partition(".")[0] for module in modules}))
    script = (
        f"import importlib, warnings; warnings.filterwarnings('error', module=r'({of_ours})\\b')\n"
        f"for name in {modules}: importlib.import_module(name)"
    )
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("folder", [FUNCTION, COMMAND, CONSTRUCT])
def test_every_module_compiles_without_a_warning(folder: str) -> None:
    paths = [*(REPOSITORY / folder).rglob("*.py")]
    assert len(paths) > 50
    with warnings.catch_warnings(action="error"):
        for path in paths:
            compile(path.read_bytes(), path, "exec")


@pytest.mark.parametrize("folder", [FUNCTION, COMMAND])
def test_every_module_is_imported_without_a_warning(folder: str) -> None:
    modules = [each for each in modules_of(folder) if each != PROGRAM]
    assert len(modules) > 50
    done = load(modules)
    assert done.returncode == 0, done.stderr


def test_warning_of_an_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("import warnings\nwarnings.warn('goes in 3.99', DeprecationWarning)\n")
    done = load(["late"], tmp_path)
    assert done.returncode != 0
    assert "DeprecationWarning: goes in 3.99" in done.stderr
