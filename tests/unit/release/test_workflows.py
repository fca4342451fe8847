"""The workflows of the forge, which cannot run here: thin, pinned, and with the least permissions."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.project import REPOSITORY
from tests.support.makefile import TARGETS, TEXT, run_commands_of

FOLDER = REPOSITORY / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
WORKFLOWS: dict[str, dict[str, Any]] = {path.name: yaml.safe_load(path.read_text()) for path in FILES}
JOBS = {f"{file}:{name}": job for file, each in WORKFLOWS.items() for name, job in each["jobs"].items()}

ALSO_WRITES = {
    "docs.yml:deploy": {"pages": "write", "id-token": "write"},
    "release.yml:attest": {"id-token": "write", "attestations": "write"},
    "release.yml:index": {"id-token": "write"},
    "release.yml:page": {"contents": "write"},
}
"""Job -> its permissions, where they are more than reading the tree."""


def runs() -> Iterator[tuple[str, str]]:
    for name, job in JOBS.items():
        yield from ((name, step["run"]) for step in job.get("steps", ()) if "run" in step)


def targets_of(command: str) -> set[str]:
    return {each for each in shlex.split(command)[1:] if "=" not in each}


class TestLinters:
    """That there is no finding is for `make lint` to say."""

    @pytest.mark.parametrize(
        ("file", "good", "bad", "finding"),
        [
            ("workflows/ci.yml", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
            ("workflows/ci.yml", re.compile(r"@[0-9a-f]{40} # \S+"), "@v7", "unpinned-uses"),
            ("workflows/ci.yml", "permissions: {}", "permissions: write-all", "excessive-permissions"),
            ("workflows/ci.yml", 'PYTHON_VERSION" CDK', '${{ github.head_ref }}" CDK', "template-injection"),
            ("workflows/ci.yml", "    timeout-minutes:", "    minutes:", "'minutes' was unexpected"),
            ("dependabot.yml", "interval: monthly", "interval: always", "always"),
            ("ISSUE_TEMPLATE/bug-report.yml", "type: textarea", "type: text", "'text'"),
        ],
    )
    def test_defect_is_found(
        self, tmp_path: Path, file: str, good: str | re.Pattern[str], bad: str, finding: str
    ) -> None:
        shutil.copytree(REPOSITORY / ".github", tmp_path / ".github")
        broken = tmp_path / ".github" / file
        text = broken.read_text()
        changed = good.sub(bad, text) if isinstance(good, re.Pattern) else text.replace(good, bad)
        assert changed != text
        broken.write_text(changed)
        code, said = run_commands_of("workflows", tmp_path)
        assert code != 0
        assert finding in said

    def test_make_lint_runs_them(self) -> None:
        assert re.search(r"^lint:.* workflows\b", TEXT, re.MULTILINE)


class TestThin:
    @pytest.mark.parametrize(("job", "command"), list(runs()))
    def test_each_command_is_one_call_of_make(self, job: str, command: str) -> None:
        assert shlex.split(command)[0] == "make"
        assert not re.search(r"[;&|<>`\n]|\$\(", command.strip())
        assert targets_of(command) <= TARGETS, job

    def test_each_layer_of_tests_is_run(self) -> None:
        called = {
            target for job, command in runs() if job.startswith("ci.yml") for target in targets_of(command)
        }
        assert {"lint", "unit", "infra", "integration", "e2e", "docs", "test-docs", "compat-one"} <= called
        layers = {path.parent.name for path in (REPOSITORY / "tests").glob("*/__init__.py")}
        assert layers - {"support", "mutants"} == {"unit", "infra", "integration", "e2e", "docs"}

    def test_generated_pages_are_compared_before_they_are_written_anew(self) -> None:
        """`make docs` writes what `make test-docs` compares: after it, nothing can be stale."""
        called = [shlex.split(command) for _, command in runs() if "test-docs" in command]
        assert called
        assert [each for each in called if "docs" in each[: each.index("test-docs")]] == []

    def test_matrix_has_every_python_that_the_distribution_names(self) -> None:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        named = [each.rpartition(" :: ")[2] for each in project["classifiers"] if ":: Python :: 3." in each]
        matrix = JOBS["ci.yml:compat"]["strategy"]["matrix"]
        assert matrix == {"python": named, "cdk": ["oldest", "newest"]}


class TestCalled:
    """A workflow that another one calls has the context of the caller."""

    CALLED = tuple(name for name, each in WORKFLOWS.items() if "workflow_call" in each[True])

    def test_there_is_one(self) -> None:
        assert self.CALLED == ("ci.yml",)

    @pytest.mark.parametrize("name", CALLED)
    def test_it_does_not_wait_for_its_caller(self, name: str) -> None:
        groups = {file: each["concurrency"]["group"].split("$")[0] for file, each in WORKFLOWS.items()}
        assert groups.pop(name) not in {"", *groups.values()}
        assert "github.workflow" not in WORKFLOWS[name]["concurrency"]["group"]


class TestGuarded:
    @pytest.mark.parametrize("name", WORKFLOWS)
    def test_workflow_grants_nothing_and_has_a_concurrency_group(self, name: str) -> None:
        assert WORKFLOWS[name]["permissions"] == {}
        assert {"group", "cancel-in-progress"} == WORKFLOWS[name]["concurrency"].keys()

    @pytest.mark.parametrize("name", JOBS)
    def test_job_has_a_timeout_and_the_least_permissions(self, name: str) -> None:
        assert "uses" in JOBS[name] or 0 < JOBS[name]["timeout-minutes"] <= 180
        assert JOBS[name]["permissions"] == ALSO_WRITES.get(name, {"contents": "read"})

    def test_actions_are_pinned_by_commit_with_their_version_beside(self) -> None:
        uses = [line for path in FILES for line in path.read_text().splitlines() if "- uses:" in line]
        pins = [
            re.fullmatch(r" +- uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line) for line in uses
        ]
        assert [line for line, pin in zip(uses, pins, strict=True) if pin is None] == []
        assert len(uses) > 20
        commits = {pin[1]: set[tuple[str, str]]() for pin in pins if pin}
        for pin in pins:
            assert pin is not None
            commits[pin[1]].add((pin[2], pin[3]))
        assert {action: found for action, found in commits.items() if len(found) != 1} == {}

    def test_nothing_is_published_before_it_was_tested_examined_and_attested(self) -> None:
        jobs = WORKFLOWS["release.yml"]["jobs"]
        assert jobs["ci"]["uses"] == "$/.github/workflows/ci.yml"
        assert [jobs[name].get("needs") for name in ("ci", "build", "attest", "index", "page")] == [
            None, "ci", "build", "attest", "index",
        ]  # fmt: skip
        assert any("make release-check TAG=" in step.get("run", "") for step in jobs["build"]["steps"])
        assert WORKFLOWS["release.yml"][True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as True
