"""Builds the bundle: turns the function's source into the directory that Lambda runs.

There are two bundlers and one builder. The local bundler calls `build` in this process; the Docker bundler
runs this package inside the Lambda build image (`python -m bundle_builder`), where no other package of ours
is. Hence its rules: standard library only, imports of itself relative, none of others, and nothing that
differs between two machines may reach the output.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from . import compilation, files, installation, services
from .target import LAYER_ROOT, PACKAGE, Target


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
    builder = sorted(Path(__file__).parent.glob("*.py"))
    modules = () if target.layer else source_files(source)
    for path in (*builder, source / target.lock, *modules):
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
    installation.install(source / target.lock, packages, target)
    installation.remove_traces(packages)
    services.keep_used_services(packages)
    for path in () if target.layer else source_files(source):
        copy = output / PACKAGE / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    manifest = {**asdict(target), "fingerprint": fingerprint(source, target)}
    (output / target.manifest).write_text(json.dumps(manifest, sort_keys=True))
    if target.compiled:
        compilation.compile_modules(output, target)
    files.normalise(output)
