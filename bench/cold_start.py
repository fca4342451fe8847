"""The time from the start of the process until it is ready for an event: our bundle and a naive function."""

from __future__ import annotations

import importlib.util
import platform
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from bench.ours import NAME
from bench.rows import Row
from cdk_s3_to_sftp.bundle_builder import build
from cdk_s3_to_sftp.bundle_builder.target import CannotBuild, Target
from local.interpreter import LAMBDA_PYTHON, NOT_FOUND, lambda_interpreter

_NAIVE = Path(__file__).with_name("naive_function.py")
_READY = b"ready"

# Both import their modules and make their clients; only the work for an event remains.
_PROGRAMS = {
    NAME: "import s3_to_sftp.handler as handler; assert handler._app()",
    "naive": "import naive_function",
}


class NotMeasurable(RuntimeError):
    """This machine cannot run the bundle; the text says why."""


def measure_cold_starts(folder: Path, *, runs: int) -> list[Row]:
    """Builds the bundle in `folder` and starts both functions in turn.

    Raises:
        NotMeasurable: No Python of Lambda's version, or no bundle.
    """
    interpreter = lambda_interpreter()
    if interpreter is None:
        raise NotMeasurable(NOT_FOUND)
    bundles = {NAME: _bundle(folder), "naive": _naive_bundle(folder, interpreter)}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in _PROGRAMS}
    for _ in range(runs + 1):
        for name, program in _PROGRAMS.items():
            took[name].append(_start(interpreter, bundles[name], program))
    # The first of each filled the machine's file cache.
    return [_row(name, starts[1:]) for name, starts in took.items()]


def _row(name: str, starts: list[tuple[float, float]]) -> Row:
    seconds = [second for second, _ in starts]
    return {
        "tool": name,
        "work": "cold-start",
        "cold_start_ms": round(statistics.median(seconds) * 1000, 1),
        "cold_start_cpu_ms": round(statistics.median(cpu for _, cpu in starts) * 1000, 1),
        "runs": len(seconds),
        "each_s": [round(second, 4) for second in seconds],
    }


def _bundle(folder: Path) -> Path:
    architecture = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    package = importlib.util.find_spec("s3_to_sftp")
    if package is None or package.origin is None:
        raise NotMeasurable("the function's source is not installed")
    bundle = folder / "bundle"
    bundle.mkdir()
    try:
        build(Path(package.origin).parent, bundle, Target(architecture=architecture, python=LAMBDA_PYTHON))
    except CannotBuild as error:
        raise NotMeasurable(f"the bundle cannot be built: {error}") from None
    return bundle


def _naive_bundle(folder: Path, interpreter: Path) -> Path:
    """Return the bundle of somebody who installs boto3 and paramiko: ours, and all that it leaves out.

    Compiled like ours.
    """
    naive = folder / "naive"
    shutil.copytree(folder / "bundle", naive)
    botocore = importlib.util.find_spec("botocore")
    if botocore is None or botocore.origin is None:
        raise NotMeasurable("botocore is not installed")
    shutil.rmtree(naive / "botocore" / "data")
    shutil.copytree(Path(botocore.origin).parent / "data", naive / "botocore" / "data")
    shutil.copy(_NAIVE, naive)
    subprocess.run([interpreter, "-m", "compileall", "-q", naive / _NAIVE.name], check=True)
    return naive


def _start(interpreter: Path, bundle: Path, program: str) -> tuple[float, float]:
    """Return the seconds until it is ready, and those of CPU until it has ended."""
    code = f"import sys; sys.path.insert(0, {str(bundle)!r}); {program}; print('ready', flush=True)"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with subprocess.Popen(
        [interpreter, "-I", "-B", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - requested above
        said = process.stdout.readline()
        seconds = time.perf_counter() - begun
        _, complaint = process.communicate()
    if not said.startswith(_READY):
        raise NotMeasurable(f"a function did not come up: {complaint.decode(errors='replace')[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "SSH_HOST": "127.0.0.1",
    "SSH_PORT": "22",
    "SSH_HOST_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFSoAxGLpZnQI1v0mzwWMTe9QmKhgMRCpsgl2hzl0Xvz",
    "SSH_USERNAME": "partner",
    "SSH_PASSWORD": "test",
}
