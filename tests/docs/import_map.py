"""Counts what a reader of the function meets: modules, folders, and which folder imports which.

    python -m tests.docs.import_map [FOLDER_OF_THE_PACKAGE]

A folder is a package below `s3_to_sftp`; the modules beside them count as the folder `.`. An arrow is a pair
of folders of which the first imports the second, by however many modules.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "lambda_src" / "s3_to_sftp"

Imports = Mapping[str, frozenset[str]]
"""Module -> modules of the package that it imports."""


def imports_of(package: Path = PACKAGE) -> Imports:
    """Return which modules of the package import which."""
    files = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return {
        module: frozenset(_imported(ast.parse(path.read_text()), package.name, files))
        for module, path in files.items()
        if not module.endswith("__init__")
    }


def folder_of(module: str) -> str:
    """Return the folder of a module, `.` for those beside the folders."""
    return module.partition(".")[0] if "." in module else "."


def arrows(imports: Imports) -> set[tuple[str, str]]:
    """Return the pairs of different folders of which the first imports the second."""
    pairs = {(folder_of(one), folder_of(other)) for one, others in imports.items() for other in others}
    return {(one, other) for one, other in pairs if one != other}


def reached_from(folder: str, imports: Imports) -> set[str]:
    """Return all modules that importing any module of the folder loads, those of the folder left out."""
    waiting = [module for module in imports if folder_of(module) == folder]
    reached: set[str] = set(waiting)
    while waiting:
        new = imports.get(waiting.pop(), frozenset()) - reached
        reached |= new
        waiting += new
    return {module for module in reached if folder_of(module) != folder}


def _name(path: Path, package: Path) -> str:
    return ".".join(path.relative_to(package).with_suffix("").parts)


def _imported(tree: ast.Module, package: str, modules: Iterable[str]) -> Iterator[str]:
    known = set(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            base = node.module.removeprefix(package).lstrip(".")
            named = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            yield from (name if name in known else base for name in named if name in known or base in known)
        elif isinstance(node, ast.Import):
            names = (alias.name.removeprefix(f"{package}.") for alias in node.names)
            yield from (name for name in names if name in known)


def main() -> None:
    """Print the counts."""
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    imports = imports_of(package)
    lengths = [len(path.read_text().splitlines()) for path in package.rglob("*.py")]
    every = sorted(arrows(imports))
    between = [f"{one} -> {other}" for one, other in every if "." not in (one, other)]
    beside = sum(folder_of(module) == "." for module in imports)
    print(f"modules: {len(imports)}, of them beside the folders: {beside}")
    print(f"folders: {len({folder_of(module) for module in imports} - {'.'})}")
    print(f"arrows between folders: {len(between)}: {', '.join(between)}")
    print(f"arrows, those to and from the modules beside them included: {len(every)}")
    print(f"imports of one module by another: {sum(map(len, imports.values()))}")
    long = sum(length > 300 for length in lengths)
    print(f"lines: {sum(lengths)}, longest file: {max(lengths)}, files above 300: {long}")


if __name__ == "__main__":
    main()
