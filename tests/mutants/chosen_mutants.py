"""Chosen mutants: mutmut changes what carries a guarantee, and runs the tests that pass through it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.mutants.copy_of_the_code import ENVIRONMENT

CHOSEN = Path(__file__).with_name("chosen.toml")

_PATIENCE = 10
"""A mutant hangs when its tests take so many times as long as without it."""

_STARTING_SECONDS = 1.0
"""Added to what the tests take; what they need besides is counted as many times."""

_MUTMUT = [str(Path(sys.executable).with_name("mutmut"))]  # as a module it would be imported twice
_RESULT = re.compile(r"^\s+(?P<name>\S+): (?P<fate>.+)$", re.MULTILINE)
_GOOD = {"killed", "timeout"}


@dataclass(frozen=True, kw_only=True)
class Equivalent:
    """A mutant that behaves as the code does, or differs in what is no guarantee.

    Attributes:
        function: As in `Group.functions`.
        before: The line that is changed, without its indentation.
        after: What it becomes.
        why: Why no test can, or should, notice.
    """

    function: str
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test notices.

    Attributes:
        name: As mutmut calls it.
        before: The lines that are changed.
        after: What they become.
        why: Why that is right, if it is known to be.
    """

    name: str
    before: str
    after: str
    why: Equivalent | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Functions that the same tests are about.

    Attributes:
        name: What they do.
        functions: `module.function` or `module.Class.method`, relative to the package.
        tests: Each mutant is run against those of them that pass through its function.
    """

    name: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]

    def narrowed_to(self, text: str) -> Group:
        """Return the group with those functions alone whose name has this text."""
        return replace(self, functions=tuple(each for each in self.functions if text in each))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is mutated.

    Attributes:
        groups: Run one after the other.
        leave_alone: Lines that match one of these expressions: words for people.
        equivalent: Survivors that are right.
    """

    groups: tuple[Group, ...]
    leave_alone: tuple[str, ...]
    equivalent: tuple[Equivalent, ...]

    def settings(self, group: Group) -> dict[str, object]:
        """Return mutmut's settings for a copy of the code."""
        modules = dict.fromkeys(module_of(function) for function in group.functions)
        return {
            "source_paths": ["src"],
            "only_mutate": [f"src/s3_to_sftp/{module.replace('.', '/')}.py" for module in modules],
            "do_not_mutate_patterns": list(self.leave_alone),
            "pytest_add_cli_args_test_selection": list(group.tests),
            # Hypothesis takes a test's second run in one process for a mistake, and threads outlive no fork.
            "process_isolation": "forkserver",
            "timeout_multiplier": float(_PATIENCE),
            "timeout_constant": _STARTING_SECONDS,
        }

    def explained(self, function: str, before: str, after: str) -> Equivalent | None:
        """Return why the survivor is right, if that is known."""
        about = (function, before, after)
        return next((one for one in self.equivalent if (one.function, one.before, one.after) == about), None)


def selection() -> Selection:
    """Read it."""
    table = tomllib.loads(CHOSEN.read_text())
    return Selection(
        groups=tuple(_group(one) for one in table["group"]),
        leave_alone=tuple(table["leave_alone"]),
        equivalent=tuple(Equivalent(**one) for one in table.get("equivalent", [])),
    )


def _group(table: dict[str, Any]) -> Group:
    modules: dict[str, list[str]] = table["functions"]
    functions = (f"{module}.{name}" for module, names in modules.items() for name in names)
    return Group(name=table["name"], functions=tuple(functions), tests=tuple(table["tests"]))


def module_of(function: str) -> str:
    """Return its module, relative to the package."""
    module = function.rpartition(".")[0]
    head, _, name = module.rpartition(".")
    return head if name[:1].isupper() or name[:2].strip("_")[:1].isupper() else module


def pattern_for(function: str) -> str:
    """Return the pattern of the names that mutmut gives to the mutants of a function."""
    module = module_of(function)
    name = function.removeprefix(f"{module}.")
    mangled = f"xǁ{name.replace('.', 'ǁ')}" if "." in name else f"x_{name}"
    return f"s3_to_sftp.{module}.{mangled}__mutmut_*"


def function_of(mutant: str) -> str:
    """Return the function of a mutant."""
    mangled = mutant.removeprefix("s3_to_sftp.").partition("__mutmut_")[0]
    module, _, name = mangled.rpartition(".")
    return f"{module}.{name.removeprefix('xǁ').replace('ǁ', '.') if 'ǁ' in name else name.removeprefix('x_')}"


class GroupRun:
    """Runs mutmut in a copy of the code.

    Args:
        copy: See `make_copy`.
        chosen: What is mutated.
        group: The part of it that the copy was made for.
        workers: Mutants at a time.
    """

    def __init__(self, copy: Path, chosen: Selection, group: Group, *, workers: int) -> None:
        self._copy = copy
        self._chosen = chosen
        self._group = group
        self._workers = workers

    def result(self) -> tuple[Counter[str], list[Survivor]]:
        """Return how many mutants had which fate, and those that survived.

        Raises:
            RuntimeError: A test fails without any mutant, or a chosen function has none.
        """
        functions = self._group.functions
        self._mutmut("run", "--max-children", str(self._workers), *map(pattern_for, functions))
        fates = {
            match["name"]: match["fate"]
            for match in _RESULT.finditer(self._mutmut("results", "--all", "True"))
            if function_of(match["name"]) in functions
        }
        if missing := set(functions) - {function_of(name) for name in fates}:
            raise RuntimeError(f"chosen.toml names functions without mutants: {', '.join(sorted(missing))}")
        survivors = [self._survivor(name, fate) for name, fate in fates.items() if fate not in _GOOD]
        return Counter(fates.values()), survivors

    def _survivor(self, name: str, fate: str) -> Survivor:
        lines = self._mutmut("show", name).splitlines()
        before, after = (_changed(lines, sign) for sign in "-+")
        label = name if fate == "survived" else f"{name} ({fate})"
        return Survivor(label, before, after, self._chosen.explained(function_of(name), before, after))

    def _mutmut(self, *arguments: str) -> str:
        run = subprocess.run(
            [*_MUTMUT, *arguments],
            cwd=self._copy,
            env={**ENVIRONMENT, "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"mutmut {arguments[0]} ended with {run.returncode}: {run.stdout[-3000:]}")
        return run.stdout


def _changed(diff: Sequence[str], sign: str) -> str:
    changed = (line[1:].strip() for line in diff if line.startswith(sign) and not line.startswith(sign * 3))
    return "\n".join(changed)
