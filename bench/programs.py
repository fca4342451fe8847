"""How programs of this repository find its packages, wherever they are started."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    """Our environment, with the repository on the path of Python, and `more`."""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(REPOSITORY)]))
    return {**os.environ, "PYTHONPATH": path, **more}
