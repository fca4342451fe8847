"""Compiles the modules of a bundle, with an interpreter of the runtime's minor version."""

import functools
import os
import sys
from pathlib import Path

from . import programs
from .target import CannotBuild, Target

_TASK_ROOT = "/var/task"
"""Where Lambda unpacks the bundle: tracebacks show this path, not that of the machine that built it."""


def compile_modules(output: Path, target: Target) -> None:
    """Add compiled modules: Lambda's file system is read-only, so every cold start would compile again.

    `unchecked-hash`: they stay valid whatever date the source file gets when Lambda unpacks it.
    """
    interpreter = interpreter_for(target)
    if interpreter is None:
        raise CannotBuild(f"there is no Python {target.python} here to compile the modules with.")
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash", "-s", str(output), "-p", _TASK_ROOT]
    done = programs.run(
        [interpreter, "-I", "-S", "-m", "compileall", *options, str(output)], **for_compiling(target.python)
    )
    if done.returncode != 0:
        raise CannotBuild(f"{interpreter} cannot compile the bundle:\n{done.stdout}{done.stderr}")


def can_compile(python: str) -> bool:
    """Return whether this machine has an interpreter of that minor version."""
    return find_interpreter(python, os.environ.get("PATH")) is not None


def interpreter_for(target: Target) -> str | None:
    """Return an interpreter of the target's minor version; None: there is none here."""
    return find_interpreter(target.python, os.environ.get("PATH"))


@functools.cache
def find_interpreter(python: str, _path: str | None) -> str | None:
    """Find an interpreter of the minor version that really runs: a shim may exist but fail."""
    ask = ["-I", "-c", f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{python}')"]
    for candidate in (sys.executable, f"python{python}"):
        if programs.answers([candidate, *ask], **for_compiling(python)):
            return candidate
    return None


def for_compiling(python: str) -> dict[str, str]:
    """Return environment variables for compiling. pyenv's shims take the version from one."""
    return {"PYTHONHASHSEED": "0", "PYENV_VERSION": python}
