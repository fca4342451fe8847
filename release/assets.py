"""What a release has for people without CDK: function, template, SBOM and licences."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from cdk_s3_to_sftp import template
from cdk_s3_to_sftp.bundle_builder import compilation
from cdk_s3_to_sftp.bundling import RUNTIME, Bundling
from cdk_s3_to_sftp.package import ARCHITECTURES
from release import licences
from release.components import Component, components_of
from release.project import NotReady
from release.sbom import sbom

SUMS = "SHA256SUMS"
"""For `sha256sum --check`."""


def write_function(folder: Path, architecture: str, *, stem: str, version: str, released: date) -> list[Path]:
    """Write zip, template and SBOM of one architecture, with names that begin with `stem`.

    Raises:
        NotReady: Two builds differ, or a library has a licence that is not allowed.
        CannotBuild: The function cannot be bundled here.
    """
    base = f"{stem}-{architecture}"
    files = {name: folder / f"{base}{name}" for name in (".zip", ".template.json", ".cdx.json")}
    with tempfile.TemporaryDirectory() as work:
        first, second = Path(work, "first"), Path(work, "second")
        for each in (first, second):
            template.write(each, architecture=ARCHITECTURES[architecture], bundling=Bundling.AUTO)
        for name, target in ((template.BUNDLE, ".zip"), (template.TEMPLATE, ".template.json")):
            if (first / name).read_bytes() != (second / name).read_bytes():
                raise NotReady(f"Two builds of {name} for {architecture} differ.")
            (first / name).rename(files[target])
    components = components_in(files[".zip"])
    if refused := licences.refused(components):
        raise NotReady("\n  ".join(refused))
    bill = sbom(files[".zip"], components, version=version, released=released)
    files[".cdx.json"].write_text(bill, encoding="utf-8")
    return list(files.values())


def compiler() -> str:
    """Return the Python that compiles the function here, such as `3.13.5`; empty: none does."""
    python = RUNTIME.name.removeprefix("python")
    interpreter = compilation.find_interpreter(python, os.environ.get("PATH"))
    if interpreter is None:
        return ""
    asked = [interpreter, "-I", "-c", "import platform; print(platform.python_version())"]
    selected = {**os.environ, "PYENV_VERSION": python}
    return subprocess.run(asked, env=selected, capture_output=True, text=True, check=True).stdout.strip()


def components_in(bundle: Path) -> list[Component]:
    """Return the libraries in a zip of the function."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
        return components_of(Path(folder))


def write_sums(folder: Path, files: Iterable[Path]) -> Path:
    """Write the SHA-256 of the files, by name, as `sha256sum` does."""
    lines = sorted(f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in files)
    sums = folder / SUMS
    sums.write_text("".join(sorted(lines, key=lambda line: line.split()[1])))
    return sums
