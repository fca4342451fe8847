"""The Makefile as tests read it."""

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "Makefile").read_text()
TARGETS = frozenset(re.findall(r"^([a-z0-9-]+):", TEXT, re.MULTILINE))


def commands_of(target: str) -> list[str]:
    """Return the commands of a target."""
    (found,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", TEXT, re.MULTILINE)
    return [line.strip().removeprefix("@") for line in found.splitlines() if not line.startswith("\t@#")]


def run_commands_of(target: str, directory: Path) -> tuple[int, str]:
    """Run the commands of a target in a directory, up to the first that fails.

    Returns:
        The exit code, and what they said.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    said = ""
    for command in commands_of(target):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stdout + done.stderr
        if done.returncode != 0:
            return done.returncode, said
    return 0, said
