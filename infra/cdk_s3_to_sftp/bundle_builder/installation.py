"""Installs the locked dependencies: with uv or pip, whatever their settings, to the same files."""

import ast
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import programs
from .target import CannotBuild, Target

_GLIBC = range(28, 16, -1)
"""Wheels built for glibc 2.28 down to 2.17 run on Lambda's Amazon Linux 2023 (glibc 2.34)."""

# The installer writes these about itself. They differ between pip and uv, and nothing reads them at run time.
_INSTALLER_TRACES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


@dataclass(frozen=True)
class Installer:
    """A command, its own options, and variables for it."""

    command: list[str]
    options: list[str]
    variables: dict[str, str] = field(default_factory=dict)


def install(lock: Path, output: Path, target: Target) -> None:
    """Install with the first installer that succeeds: uv is faster, but does not read pip's settings.

    If those name the only package index that a company allows, pip succeeds where uv fails.
    """
    complaints = []
    for installer in installers(target):
        command = [*installer.command, "install", *installer.options]
        done = programs.run([*command, *install_arguments(lock, output, target)], **installer.variables)
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


def installers(target: Target) -> Iterator[Installer]:
    """Yield the installers that work on this machine, with their own options for the platform."""
    # -P: a module next to the user's app cannot shadow the installer of that name.
    python = [sys.executable, "-P", "-m"]
    for uv in (["uv"], [*python, "uv"]):
        if programs.answers([*uv, "--version"]):
            yield Installer([*uv, "pip"], uv_platform(target))
            # Its cache may suffice, but uv asks the index whether it is still valid.
            yield Installer([*uv, "--offline", "pip"], uv_platform(target))
            break
    pip = [*python, "pip"]
    if programs.answers([*pip, "--version"]):
        yield Installer(pip, pip_platform(target), _pip_variables(pip))


def _pip_variables(pip: Sequence[str]) -> dict[str, str]:
    """Return the user's package sources from pip's files and variables, to be used in place of those.

    pip reads a whole file or nothing of it, and options cannot override all of its settings.
    """
    # `user` in a file would make this command read only the user's file.
    done = programs.run([*pip, "config", "list"], PIP_USER="0")
    if done.returncode != 0:
        return {}  # pip reports itself what is wrong with its files
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # later ones override earlier ones
        for line in done.stdout.splitlines():
            key, _, value = line.partition("=")
            name = key.removeprefix(f"{section}.")
            if name != key and name in programs.PIP_SOURCES:
                settings[name] = ast.literal_eval(value)
    if "find-links" not in settings:
        settings["no-index"] = "0"  # with it there would be nothing left to install from
    variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    return {**variables, "PIP_CONFIG_FILE": os.devnull}


def remove_traces(output: Path) -> None:
    """Delete what depends on the installer, and the commands of the dependencies."""
    shutil.rmtree(output / "bin", ignore_errors=True)
    (output / ".lock").unlink(missing_ok=True)
    for metadata in output.glob("*.dist-info"):
        for name in _INSTALLER_TRACES:
            (metadata / name).unlink(missing_ok=True)
