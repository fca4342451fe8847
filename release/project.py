"""What the project says about itself, each from the one place that has it."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).parents[1]

DISTRIBUTION = "cdk-s3-to-sftp"
"""Its name on a package index."""

EXAMPLE = REPOSITORY / "examples" / "minimal" / "app.py"
"""The app of the README."""


class NotReady(Exception):
    """Something is not fit to be released. The message is a sentence that says what, and what to do."""


def pyproject() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def version() -> str:
    """Return the version of this tree."""
    return str(pyproject()["project"]["version"])


def address() -> str:
    """Return where the repository is, as links and issue trackers have it."""
    return str(pyproject()["project"]["urls"]["Repository"])


def links() -> list[str]:
    """Return what pyproject.toml links to: its own addresses, and how the README's links begin."""
    project = pyproject()
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    replacements = " ".join(each["replacement"] for each in hook["substitutions"])
    return [*project["project"]["urls"].values(), *re.findall(r"https?://[^\s)\"]+", replacements)]


def is_placeholder(url: str) -> bool:
    """Return whether nobody can own the host of the address (RFC 2606)."""
    host = urlsplit(url).hostname or ""
    return re.search(r"(^|\.)(example|invalid|localhost|test|example\.(com|net|org))$", host) is not None
