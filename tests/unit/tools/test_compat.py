"""`make compat` names tests and Pythons that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SCRIPT = (REPOSITORY / ".ci" / "compat").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\btests/[\w/.]*\w", SCRIPT))))
def test_chosen_and_left_out_tests_exist(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_every_python_that_the_distribution_names_is_tested() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = {each.rpartition(" :: ")[2] for each in project["classifiers"] if ":: Python :: 3." in each}
    plan = SCRIPT.partition("# `make test` has run everything")[2]
    assert set(re.findall(r"\b3\.\d+\b", plan)) == named
