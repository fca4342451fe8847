"""The folders of the function import each other downwards only, also through the modules beside them."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.docs.import_map import arrows, folder_of, imports_of, reached_from

DOWNWARDS = {
    "rules": {"delivery", "s3", "sftp", "ssh", "state", "diagnosis"},
    "doctor": {"rules", "delivery", "queue", "s3", "sftp", "ssh", "state", "diagnosis"},
    "delivery": {"s3", "sftp", "ssh", "state", "diagnosis"},
    "queue": {"s3", "state", "diagnosis"},  # the second only for what events and telemetry are told
    "state": {"s3", "diagnosis"},
    "sftp": {"ssh", "diagnosis"},
    "s3": {"diagnosis"},
    "ssh": {"diagnosis"},
    "diagnosis": set(),
}
"""Folder -> folders that it may load. docs/architecture.md says the same."""

imports = functools.cache(imports_of)


@pytest.mark.parametrize("folder", DOWNWARDS)
def test_folder_loads_only_what_is_below_it(folder: str) -> None:
    loaded = {folder_of(module) for module in reached_from(folder, imports())} - {"."}
    assert loaded <= DOWNWARDS[folder], sorted(reached_from(folder, imports()))


def test_every_folder_has_its_place() -> None:
    assert {folder_of(module) for module in imports()} - {"."} == set(DOWNWARDS)


def test_map_sees_imports_of_names_modules_and_through_others(tmp_path: Path) -> None:
    package = tmp_path / "p"
    for name, text in {
        "low/a.py": "",
        "high/b.py": "from p.low.a import x\nfrom p import root",
        "root.py": "import p.other.c",
        "other/c.py": "from p.low import a",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    found = imports_of(package)
    assert found["high.b"] == {"low.a", "root"}
    assert arrows(found) == {("high", "low"), ("high", "."), (".", "other"), ("other", "low")}
    assert reached_from("high", found) == {"low.a", "root", "other.c"}
