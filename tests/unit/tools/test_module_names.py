"""Modules in folders whose files are also run as programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "folder", ["tests/support", "tests/support/e2e", "bench", "bench/clients", "examples"]
)
def test_no_module_hides_one_of_the_standard_library(folder: str) -> None:
    """The folder of a program comes first on its path: an `operator.py` there hides the library's."""
    names = {path.stem for path in (REPOSITORY / folder).glob("*.py")}
    assert not names & sys.stdlib_module_names
