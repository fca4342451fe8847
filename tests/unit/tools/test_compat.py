"""`make compat` names tests and Pythons that exist."""

from __future__ import annotations

import re
import subprocess
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


@pytest.mark.parametrize(("installed", "is_pinned"), [("pinned", True), ("aws-cdk-lib==2.0.1", False)])
def test_cdk_of_make_test_is_recognised(installed: str, is_pinned: bool, tmp_path: Path) -> None:  # noqa: FBT001
    (pinned,) = re.findall(r"^aws-cdk-lib==.+", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    (function,) = re.findall(r"^has_pinned_cdk\(\) {\n.*?^}", SCRIPT, re.MULTILINE | re.DOTALL)
    python = tmp_path / "3.14" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # Like pip: it fails where nobody reads to the end.
    python.write_text(f"#!/bin/sh\necho {pinned if installed == 'pinned' else installed}\nseq 100000\n")
    python.chmod(0o755)
    run = f"set -euo pipefail; place={tmp_path}; {function}; has_pinned_cdk 3.14"
    done = subprocess.run(["bash", "-c", run], cwd=REPOSITORY, capture_output=True, check=False)
    assert (done.returncode == 0) is is_pinned, done.stderr


@pytest.mark.parametrize(
    "wanted", [["python3.10", "oldest"], ["python3.12"], ["python3.12", "old"], ["python3", "newest"]]
)
def test_unsupported_combination_is_refused_before_anything_is_installed(wanted: list[str]) -> None:
    done = subprocess.run(
        [REPOSITORY / ".ci" / "compat", *wanted], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Which Python and which CDK?")
    assert f"(got: {' '.join(wanted)})" in done.stderr
