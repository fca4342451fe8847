"""Named mutants: each a defect that somebody could make, and the tests that must notice it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

from tests.mutants.copy_of_the_code import ENVIRONMENT, SOURCE

NAMED = Path(__file__).parent / "named"

_PATIENCE = 10
"""A mutant hangs when its tests take so many times as long as without it."""

_TESTS_FAILED = 1
"""The exit code of pytest; any higher one says that it could not even run them."""


class Fate(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    HANGS = "killed (hangs)"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"
    """It no longer applies, or its tests could not be run: nothing was shown."""


@dataclass(frozen=True, kw_only=True)
class NamedMutant:
    """A defect.

    Attributes:
        name: What is wrong with it.
        file: Of the function, relative to its package.
        before: Text that stands in the file exactly once.
        after: What stands there instead.
        tests: Test files or node ids; in each by itself something must fail.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applied(self, package: Path = SOURCE) -> str:
        """Return the text of the file with the defect.

        Raises:
            ValueError: The text before stands there not at all, or more than once; or nothing would change.
        """
        text = (package / self.file).read_text()
        if (count := text.count(self.before)) != 1:
            raise ValueError(f"{self.name!r}: its text before is {count} times in {self.file}")
        if self.before == self.after:
            raise ValueError(f"{self.name!r} changes nothing")
        return text.replace(self.before, self.after)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, and why: the test that failed first, or what is wrong."""

    mutant: NamedMutant
    fate: Fate
    told: str


@dataclass(frozen=True)
class _Clean:
    """A test without any mutant: how long it takes, and what fails (None: nothing)."""

    seconds: float
    failure: str | None


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A test as it was run."""

    module: str
    name: str
    seconds: float
    failed: bool

    def is_of(self, test: str) -> bool:
        """Return whether the file, or the node id without parameters, stands for it."""
        path, *node = test.split("::")
        module = path.removesuffix(".py").replace("/", ".")
        if not node:  # a test of a class has the name of the class behind that of the module
            return f"{self.module}.".startswith(f"{module}.")
        is_there = self.module == ".".join((module, *node[:-1]))
        return is_there and node[-1] in {self.name, self.name.partition("[")[0]}


@dataclass(frozen=True)
class _TestRun:
    """What pytest has done: its exit code (None: it took too long), its last words, and the tests."""

    code: int | None
    output: str
    cases: tuple[_Case, ...]


def named_mutants() -> list[NamedMutant]:
    """Read all of them."""
    tables = [tomllib.loads(path.read_text()) for path in sorted(NAMED.glob("*.toml"))]
    return [
        NamedMutant(**{**one, "tests": tuple(one["tests"])}) for table in tables for one in table["mutant"]
    ]


class NamedRun:
    """Runs named mutants, each in a process of its own, in a copy of the code.

    Args:
        copy: See `make_copy`.
        workers: Mutants at a time.
    """

    def __init__(self, copy: Path, *, workers: int) -> None:
        self._copy = copy
        self._workers = workers
        self._clean: dict[str, _Clean] = {}

    def outcomes(self, mutants: Sequence[NamedMutant]) -> Iterator[Outcome]:
        """Yield the outcome of each, in their order."""
        with ThreadPoolExecutor(self._workers) as threads:
            tests = sorted({test for mutant in mutants for test in mutant.tests})
            shares = [share for worker in range(self._workers) if (share := tests[worker :: self._workers])]
            for clean in threads.map(self._run_clean, shares):
                self._clean |= clean
            yield from threads.map(self._outcome, mutants, range(len(mutants)))

    def _run_clean(self, tests: Sequence[str]) -> dict[str, _Clean]:
        begun = time.monotonic()
        run = self._run_tests(self._copy / "src", tests, timeout=None)
        starting = time.monotonic() - begun - sum(case.seconds for case in run.cases)
        return {test: _clean(test, run, starting) for test in tests}

    def _outcome(self, mutant: NamedMutant, number: int) -> Outcome:
        root = self._copy / "mutants" / str(number)
        shutil.copytree(self._copy / "src" / "s3_to_sftp", root / "s3_to_sftp")
        try:
            (root / "s3_to_sftp" / mutant.file).write_text(mutant.applied())
        except ValueError as error:
            return Outcome(mutant, Fate.BROKEN, str(error))
        told: list[str] = []
        fate = Fate.KILLED
        for test in mutant.tests:
            clean = self._clean[test]
            if clean.failure is not None:
                return Outcome(mutant, Fate.BROKEN, f"{test} fails without a mutant: {clean.failure}")
            run = self._run_tests(root, ["-x", test], timeout=_PATIENCE * clean.seconds)
            if run.code == 0:
                return Outcome(mutant, Fate.SURVIVED, f"{test} does not notice")
            if run.code is None:
                fate = Fate.HANGS
            elif run.code != _TESTS_FAILED:
                return Outcome(mutant, Fate.BROKEN, f"pytest ended with {run.code}: {run.output}")
            told.append(next((case.name for case in run.cases if case.failed), test))
        return Outcome(mutant, fate, ", ".join(told))

    def _run_tests(self, source: Path, arguments: Sequence[str], *, timeout: float | None) -> _TestRun:
        report = self._copy / "reports" / f"{uuid4()}.xml"
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments],
            cwd=self._copy,
            env={**ENVIRONMENT, "PYTHONPATH": str(source)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return _TestRun(None, "", ())
        return _TestRun(process.returncode, output[-500:], _cases(report))


def _clean(test: str, run: _TestRun, starting: float) -> _Clean:
    cases = [case for case in run.cases if case.is_of(test)]
    failure = next((case.name for case in cases if case.failed), None)
    if not cases:
        failure = f"pytest ended with {run.code}: {run.output}"
    return _Clean(starting + sum(case.seconds for case in cases), failure)


def _cases(report: Path) -> tuple[_Case, ...]:
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    return tuple(
        _Case(
            module=str(case.get("classname")),
            name=str(case.get("name")),
            seconds=float(case.get("time", 0)),
            failed=case.find("failure") is not None or case.find("error") is not None,
        )
        for case in cases
    )
