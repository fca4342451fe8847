"""Builds the bundle: turns the function's source into the directory that Lambda runs.

There are two bundlers and one builder. The local bundler calls `build` in this process; the Docker bundler
runs this file inside the Lambda build image. Hence the rules of this module: standard library only, no
import from this package, and nothing that differs between two machines may reach the output.
"""

import argparse
import ast
import functools
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PACKAGE = "s3_to_sftp"
"""The function's package: at the root of the bundle, next to what it imports."""

LOCK = "requirements.txt"
"""Beside the source: every dependency, pinned, with the hashes of its wheels for both architectures."""

LAYER_LOCK = "requirements-openpgp.txt"
"""The same for the layer of functions whose rules encrypt or sign."""

LAYER_ROOT = "python"
"""Where Lambda looks for the packages of a layer."""

MANIFEST = f"{PACKAGE}/bundle.json"
"""In the bundle: what it was built from and for, so that one built elsewhere can be checked."""

LAYER_MANIFEST = "openpgp-layer.json"
"""In the layer, where Python does not look for modules."""

MANIFESTS = (MANIFEST, LAYER_MANIFEST)

_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Lambda's name of an architecture -> the name in the tags of wheels."""

_GLIBC = range(28, 16, -1)
"""Wheels built for glibc 2.28 down to 2.17 run on Lambda's Amazon Linux 2023 (glibc 2.34)."""

_TASK_ROOT = "/var/task"
"""Where Lambda unpacks the bundle: tracebacks show this path, not that of the machine that built it."""

# The installer writes these about itself. They differ between pip and uv, and nothing reads them at run time.
_INSTALLER_TRACES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")

SERVICES = frozenset({"dynamodb", "events", "s3", "secretsmanager", "sqs", "sts"})
"""The AWS services that the function has clients of; sts serves credentials."""

# A user's settings may decide where packages come from. How and where they are installed is fixed here:
# `user`, `prefix` or `require-virtualenv` would make pip fail, `constraint` or `dry-run` would change the
# result.
_PIP_SOURCES = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "cert",
    "client-cert",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
    "resume-retries",
    "keyring-provider",
    "cache-dir",
    "no-cache-dir",
    "use-feature",
    "use-deprecated",
)
_UV_SOURCES = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS",
    "UV_KEYRING_PROVIDER",
    "UV_CREDENTIALS_DIR",
    "UV_HTTP",
    "UV_REQUEST_TIMEOUT",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_OFFLINE",
    "UV_CONFIG_FILE",
    "UV_NO_CONFIG",
)

# Zip cannot store an earlier date, and CDK gives the files of every asset this one.
_EPOCH = 315532800  # 1980-01-01T00:00:00Z


class CannotBuild(Exception):
    """The bundle could not be built. The message is a sentence that says why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the bundle will run on.

    Attributes:
        architecture: As Lambda calls it: `x86_64` or `arm64`.
        python: Minor version of the Lambda runtime, such as `3.13`.
        compiled: Whether compiled modules are included, which requires an interpreter of that version.
        layer: Whether it is the layer for OpenPGP, and not the function.
    """

    architecture: str
    python: str
    compiled: bool = True
    layer: bool = False

    def __str__(self) -> str:
        return f"Python {self.python} on {self.architecture}"

    @property
    def what(self) -> str:
        """What is built, in words."""
        return "layer for OpenPGP" if self.layer else "function"

    @property
    def lock(self) -> str:
        """The file with its dependencies."""
        return LAYER_LOCK if self.layer else LOCK

    @property
    def manifest(self) -> str:
        """Where it says what it was built from."""
        return LAYER_MANIFEST if self.layer else MANIFEST

    @property
    def machine(self) -> str:
        """The architecture as wheels spell it."""
        return _MACHINES[self.architecture]


def source_files(source: Path) -> list[Path]:
    """The files of the function, sorted: modules only.

    Caches, lock files and editor backups would make the bundle differ between machines.
    """
    return sorted(path for path in source.rglob("*.py") if "__pycache__" not in path.parts)


def fingerprint(source: Path, target: Target) -> str:
    """Return a hash of everything that determines the bundle: builder, lock, source, target.

    CDK's own asset hash does not include the target: it would reuse a stale bundle.
    """
    digest = hashlib.sha256(repr(target).encode())
    modules = () if target.layer else source_files(source)
    for path in (Path(__file__), source / target.lock, *modules):
        name = path.relative_to(source).as_posix() if path.is_relative_to(source) else path.name
        digest.update(f"\n{name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def build(source: Path, output: Path, target: Target) -> None:
    """Fill the empty directory `output` with the bundle of the package `source`, or with the layer.

    Two runs produce the same bytes, names, modes and times, with uv or with pip. One thing depends on the
    machine: the bytes of compiled modules follow the patch release of its interpreter (the compiler of
        3.13.5 is not that of 3.13.0). They behave the same.

    Raises:
        CannotBuild: A tool is missing or failed. `output` then holds an incomplete bundle.
    """
    packages = output / LAYER_ROOT if target.layer else output
    _install(source / target.lock, packages, target)
    _remove_traces(packages)
    keep_used_services(packages)
    for path in () if target.layer else source_files(source):
        copy = output / PACKAGE / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    manifest = {**asdict(target), "fingerprint": fingerprint(source, target)}
    (output / target.manifest).write_text(json.dumps(manifest, sort_keys=True))
    if target.compiled:
        _compile(output, target)
    normalise(output)


@dataclass(frozen=True)
class _Installer:
    command: list[str]
    options: list[str]
    variables: dict[str, str] = field(default_factory=dict)


def _install(lock: Path, output: Path, target: Target) -> None:
    """Install with the first installer that succeeds: uv is faster, but does not read pip's settings.

    If those name the only package index that a company allows, pip succeeds where uv fails.
    """
    complaints = []
    for installer in _installers(target):
        command = [*installer.command, "install", *installer.options]
        done = _run([*command, *install_arguments(lock, output, target)], **installer.variables)
        if done.returncode == 0:
            return
        complaints += [" ".join(installer.command), *done.stderr.strip().splitlines()[-8:]]
    if not complaints:
        raise CannotBuild(f"there is no uv on the PATH, and {sys.executable} has neither uv nor pip.")
    raise CannotBuild("\n  ".join([f"the dependencies for {target} cannot be installed.", *complaints]))


def install_arguments(lock: Path, output: Path, target: Target) -> list[str]:
    """Return the options that pip and uv share: only locked wheels, nothing built or resolved."""
    return [
        f"--requirement={lock}",
        f"--target={output}",
        f"--python-version={target.python}",
        "--require-hashes",
        "--only-binary=:all:",
        "--no-deps",
        "--no-compile",
    ]


def pip_platform(target: Target) -> list[str]:
    """Return pip's options for the platform: every tag, best first. pip does not derive them."""
    tags = [f"manylinux_2_{minor}_{target.machine}" for minor in _GLIBC] + [f"manylinux2014_{target.machine}"]
    return ["--implementation=cp", *(f"--platform={tag}" for tag in tags)]


def uv_platform(target: Target) -> list[str]:
    """Return uv's options for the platform.

    uv needs an interpreter, and would otherwise download one. Files are copied, not linked: `normalise`
    would change the files in uv's cache.
    """
    return [
        f"--python-platform={target.machine}-manylinux_2_{_GLIBC[0]}",
        f"--python={sys.executable}",
        "--link-mode=copy",
    ]


def _installers(target: Target) -> Iterator[_Installer]:
    """Yield the installers that work on this machine, with their own options for the platform."""
    # -P: a module next to the user's app cannot shadow the installer of that name.
    python = [sys.executable, "-P", "-m"]
    for uv in (["uv"], [*python, "uv"]):
        if _answers([*uv, "--version"]):
            yield _Installer([*uv, "pip"], uv_platform(target))
            # Its cache may suffice, but uv asks the index whether it is still valid.
            yield _Installer([*uv, "--offline", "pip"], uv_platform(target))
            break
    pip = [*python, "pip"]
    if _answers([*pip, "--version"]):
        yield _Installer(pip, pip_platform(target), _pip_variables(pip))


def _pip_variables(pip: Sequence[str]) -> dict[str, str]:
    """Return the user's package sources from pip's files and variables, to be used in place of those.

    pip reads a whole file or nothing of it, and options cannot override all of its settings.
    """
    # `user` in a file would make this command read only the user's file.
    done = _run([*pip, "config", "list"], PIP_USER="0")
    if done.returncode != 0:
        return {}  # pip reports itself what is wrong with its files
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # later ones override earlier ones
        for line in done.stdout.splitlines():
            key, _, value = line.partition("=")
            name = key.removeprefix(f"{section}.")
            if name != key and name in _PIP_SOURCES:
                settings[name] = ast.literal_eval(value)
    if "find-links" not in settings:
        settings["no-index"] = "0"  # with it there would be nothing left to install from
    variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    return {**variables, "PIP_CONFIG_FILE": os.devnull}


def _remove_traces(output: Path) -> None:
    """Delete what depends on the installer, and the commands of the dependencies."""
    shutil.rmtree(output / "bin", ignore_errors=True)
    (output / ".lock").unlink(missing_ok=True)
    for metadata in output.glob("*.dist-info"):
        for name in _INSTALLER_TRACES:
            (metadata / name).unlink(missing_ok=True)


def keep_used_services(output: Path) -> None:
    """Delete what botocore knows of services that the function does not use, and what describes the others.

    There are 400. For each client that it makes, a fresh function would look at all of them, and read
    megabytes of endpoints and descriptions.
    """
    data = output / "botocore" / "data"
    if not data.is_dir():
        return  # nothing needs it
    for service in data.glob("*/"):
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    for path in [*data.glob("*/*/*.json*")]:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        path.unlink()
        if not path.name.startswith("examples"):
            model = json.loads(text)
            for name in model.keys() & {"shapes", "operations"}:  # of others botocore reads the descriptions
                model[name] = _undescribed(model[name])
            _write_json(path.with_name(path.name.removesuffix(".gz")), model)
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        known = partition["services"]
        partition["services"] = {name: known[name] for name in known if name in SERVICES}
    _write_json(data / "endpoints.json", endpoints)


def _undescribed(value: Any) -> Any:
    """Return a part of a model without descriptions. A member of that name is an object, not a text."""
    if isinstance(value, dict):
        return {
            key: _undescribed(each)
            for key, each in value.items()
            if key != "documentation" or not isinstance(each, str)
        }
    return [_undescribed(each) for each in value] if isinstance(value, list) else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")))


def _compile(output: Path, target: Target) -> None:
    """Add compiled modules: Lambda's file system is read-only, so every cold start would compile again.

    `unchecked-hash`: they stay valid whatever date the source file gets when Lambda unpacks it.
    """
    interpreter = _interpreter(target)
    if interpreter is None:
        raise CannotBuild(f"there is no Python {target.python} here to compile the modules with.")
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash", "-s", str(output), "-p", _TASK_ROOT]
    done = _run(
        [interpreter, "-I", "-S", "-m", "compileall", *options, str(output)], **_for_compiling(target.python)
    )
    if done.returncode != 0:
        raise CannotBuild(f"{interpreter} cannot compile the bundle:\n{done.stdout}{done.stderr}")


def can_compile(python: str) -> bool:
    """Return whether this machine has an interpreter of that minor version."""
    return _find_interpreter(python, os.environ.get("PATH")) is not None


def _interpreter(target: Target) -> str | None:
    return _find_interpreter(target.python, os.environ.get("PATH"))


@functools.cache
def _find_interpreter(python: str, _path: str | None) -> str | None:
    """Find an interpreter of the minor version that really runs: a shim may exist but fail."""
    ask = ["-I", "-c", f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{python}')"]
    for candidate in (sys.executable, f"python{python}"):
        if _answers([candidate, *ask], **_for_compiling(python)):
            return candidate
    return None


def _for_compiling(python: str) -> dict[str, str]:
    """Return environment variables for compiling. pyenv's shims take the version from one."""
    return {"PYTHONHASHSEED": "0", "PYENV_VERSION": python}


def normalise(output: Path) -> None:
    """Set the same modes and times everywhere. Lambda's user must be able to read everything."""
    for path in _bottom_up(output):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_EPOCH, _EPOCH))


def empty(directory: Path) -> None:
    """Remove everything in it."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _bottom_up(directory: Path) -> Iterator[Path]:
    for parent, _, files in os.walk(directory, topdown=False):
        yield from (Path(parent, name) for name in files)
        yield Path(parent)


def _answers(command: Sequence[str], **variables: str) -> bool:
    try:
        return _run(command, **variables).returncode == 0
    except OSError:
        return False


def _run(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not _changes_bundle(name)}
    return subprocess.run(  # noqa: S603 -- installers and interpreters, by our own argument lists
        command, env=kept | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _changes_bundle(variable: str) -> bool:
    """Return whether a variable of the user's could affect the bundle, or make an installer fail."""
    if variable.startswith("PIP_"):
        return variable != "PIP_CONFIG_FILE" and variable[4:].lower().replace("_", "-") not in _PIP_SOURCES
    if variable.startswith("UV_"):
        return not variable.startswith(_UV_SOURCES)
    return variable.startswith("PYTHON")


def say(sentence: str) -> None:
    """Print to standard error: standard output belongs to the template."""
    print(sentence, file=sys.stderr)  # noqa: T201 -- there is no logger at synth


def main() -> None:
    """Build from the command line, as the Docker bundler does inside the image."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    for option in ("--source", "--output"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--architecture", choices=_MACHINES, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, required=True)
    parser.add_argument("--layer", action="store_true")
    options = parser.parse_args()
    target = Target(
        architecture=options.architecture,
        python=options.python,
        compiled=options.compiled,
        layer=options.layer,
    )
    try:
        build(options.source, options.output, target)
    except CannotBuild as reason:
        sys.exit(f"Cannot build the bundle: {reason}")


if __name__ == "__main__":
    main()
