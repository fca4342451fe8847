"""Helpers for bundles: hashes, native libraries, and builds in Docker."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from cdk_s3_to_sftp.bundle_builder.target import Target

_ELF_MACHINES = {"x86_64": 62, "arm64": 183}


def hashes(directory: Path, *, compiled: bool = True) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and (compiled or path.suffix != ".pyc")
    }


def libraries_for_other_cpus(directory: Path, target: Target) -> list[Path]:
    """Return the shared libraries that the target cannot load. There must be at least one library."""
    libraries = [path for path in directory.rglob("*.so*") if path.is_file()]
    assert libraries
    wanted = _ELF_MACHINES[target.architecture]
    return [path for path in libraries if int.from_bytes(path.read_bytes()[18:20], "little") != wanted]


def run_package(output: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m cdk_s3_to_sftp.package` in Docker, or in what CDK_DOCKER names."""
    command = [sys.executable, "-m", "cdk_s3_to_sftp.package", "--bundling=docker", f"--output={output}"]
    return subprocess.run(
        [*command, *options], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def write_shadowing_modules(directory: Path) -> None:
    """Write modules of a user next to app.py that shadow the modules that the bundler needs."""
    raises = 'raise SystemExit("the user\'s own module")\n'
    (directory / "s3_to_sftp").mkdir()
    (directory / "s3_to_sftp" / "__init__.py").write_text(raises)
    (directory / "s3_to_sftp" / "requirements.txt").touch()
    for name in ("pip", "uv", "compileall"):
        (directory / f"{name}.py").write_text(raises)
