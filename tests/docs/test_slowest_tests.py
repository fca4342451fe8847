"""The slowest tests that the guide for contributors justifies exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SECTION = (REPOSITORY / "docs/guides/contributing.md").read_text().partition("### The slowest tests")[2]
ROWS = re.findall(r"^\| `(tests/\S+\.py)::(\S+)` \| (.+) \|$", SECTION, re.MULTILINE)


def test_ten_are_listed() -> None:
    assert len(ROWS) == 10


@pytest.mark.parametrize(("module", "name", "reason"), ROWS)
def test_listed_test_exists_and_has_its_reason(module: str, name: str, reason: str) -> None:
    text = (REPOSITORY / module).read_text()
    assert f"def {name.rpartition('::')[2]}(" in text
    assert len(reason) > 40
