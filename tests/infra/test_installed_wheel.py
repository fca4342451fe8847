"""The wheel in an environment of its own, and the example in the README."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.infra.conftest import REPOSITORY
from tests.support.infra.bundles import write_shadowing_modules
from tests.support.wheel import build_wheel, fresh_environment

EXAMPLE = REPOSITORY / "examples" / "minimal" / "app.py"


def test_readme_contains_the_minimal_example() -> None:
    assert EXAMPLE.read_text() in (REPOSITORY / "README.md").read_text()


def test_app_synthesises_with_only_the_wheel_installed(tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "environment", build_wheel(tmp_path / "dist"))
    app = Path(shutil.copy(EXAMPLE, tmp_path / "app.py"))
    write_shadowing_modules(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python, app], cwd=tmp_path, env={**environment, "CDK_OUTDIR": str(tmp_path / "out")}, check=False
    )
    assert done.returncode == 0
    (asset,) = (path for path in (tmp_path / "out").glob("asset.*") if path.is_dir())
    shipped = {path.relative_to(asset) for path in (asset / "s3_to_sftp").rglob("*.py")}
    source = REPOSITORY / "lambda_src"
    assert shipped == {path.relative_to(source) for path in (source / "s3_to_sftp").rglob("*.py")}
    assert (asset / "paramiko" / "__init__.py").is_file()
