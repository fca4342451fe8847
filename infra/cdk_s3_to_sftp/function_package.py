"""Imports modules of the function that came with this package, whatever the app calls its own modules."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

_NAME = "s3_to_sftp"


@contextlib.contextmanager
def function_package() -> Iterator[None]:
    """Let `s3_to_sftp` be the function's package within the block.

    An app may have a module of that name next to app.py, which Python finds first. It is put aside, and back
    afterwards; what the block has imported keeps working, since it holds what it needs.
    """
    parent = _parent()
    if parent is None or _is_ours(parent):
        yield
        return
    theirs = _taken_out()
    sys.path.insert(0, str(parent))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(parent))
        _taken_out()
        sys.modules.update(theirs)


def _parent() -> Path | None:
    """Return the directory that has the function's package: beside this one, or in a checkout."""
    here = Path(__file__).parent.parent
    places = (here, here.with_name("lambda_src"))
    return next((place for place in places if (place / _NAME / "__init__.py").is_file()), None)


def _is_ours(parent: Path) -> bool:
    found = sys.modules.get(_NAME)
    origin = found.__file__ if found is not None else _origin()
    return origin is not None and Path(origin).parent == parent / _NAME


def _origin() -> str | None:
    spec = importlib.util.find_spec(_NAME)
    return spec.origin if spec is not None else None


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == _NAME]
    return {name: sys.modules.pop(name) for name in names}
