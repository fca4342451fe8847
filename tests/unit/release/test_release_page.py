"""How a release is announced on the forge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.makefile import REPOSITORY


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With a `gh` that prints its arguments."""
    command = tmp_path / "gh"
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]])}


def release(tag: str, environment: dict[str, str]) -> list[str]:
    """The arguments that `gh` gets."""
    said = subprocess.run(
        ["make", "--no-print-directory", "release", f"TAG={tag}"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return said.split()


@pytest.mark.parametrize("tag", ["v1.0.0", "v1.0.1.post1"])
def test_full_release_is_shown_as_one(environment: dict[str, str], tag: str) -> None:
    arguments = release(tag, environment)
    assert arguments[:4] == ["release", "create", tag, "--verify-tag"]
    assert "--prerelease" not in arguments


@pytest.mark.parametrize("tag", ["v1.0.0rc1", "v1.0.0b1", "v1.0.0a2", "v1.1.0.dev3"])
def test_release_to_try_is_not_shown_as_a_full_one(environment: dict[str, str], tag: str) -> None:
    assert "--prerelease" in release(tag, environment)
