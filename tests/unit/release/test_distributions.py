"""What a release builds depends on the tree alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from release.distributions import build, require_same_bytes
from release.project import REPOSITORY, NotReady

LOCK = REPOSITORY / "release" / "build-requirements.txt"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "thing"
version = "1.0"

[tool.hatch.build.targets.wheel]
packages = ["thing"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "thing").mkdir(parents=True)
    (source / "thing" / "__init__.py").write_text("")
    (source / "pyproject.toml").write_text(PROJECT)
    return source


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))


def test_wheel_is_made_by_the_locked_backend(project: Path, tmp_path: Path) -> None:
    _, wheel = build(project, tmp_path / "dist")
    with ZipFile(wheel) as archive:
        assert (
            f"Generator: hatchling {locked()['hatchling']}\n"
            in archive.read("thing-1.0.dist-info/WHEEL").decode()
        )


def test_backend_that_is_not_locked_is_not_fetched(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text(PROJECT.replace('"hatchling"]', '"hatchling", "hatch-vcs"]'))
    with pytest.raises(NotReady, match="hatch-vcs"):
        build(project, tmp_path / "dist")


def test_settings_of_the_machine_do_not_change_the_bytes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = build(project, tmp_path / "dist")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    monkeypatch.setenv("HATCH_BUILD_NO_HOOKS", "true")
    require_same_bytes(ours, build(project, tmp_path / "again"))


def test_everything_that_pyproject_wants_is_locked() -> None:
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["build-system"]["requires"]
    for each in map(Requirement, wanted):
        assert each.specifier.contains(locked()[each.name]), each
