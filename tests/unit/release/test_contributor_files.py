"""Files that a contributor meets first: they name tools, targets and options that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from release.project import REPOSITORY
from s3_to_sftp_cli.main import cli
from tests.support.makefile import TARGETS, TEXT, commands_of

HOOKS: list[dict[str, Any]] = [
    hook
    for each in yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in each["hooks"]
]
PAGES = [
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "SECURITY.md",
    REPOSITORY / "docs/guides/contributing.md",
    REPOSITORY / "docs/guides/upgrading.md",
    REPOSITORY / "docs/reference/supply-chain.md",
    REPOSITORY / "docs/reference/versioning.md",
    *sorted((REPOSITORY / ".github").rglob("*.md")),
    *sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml")),
]


def command_of(hook: dict[str, Any]) -> str:
    """What a hook runs, without the shell that it needs for a pattern of names."""
    entry: str = hook["entry"]
    return shlex.split(entry)[2] if entry.startswith("bash -c ") else entry


class TestPreCommit:
    def test_configuration_is_valid(self) -> None:
        program = Path(sys.executable).with_name("pre-commit")
        done = subprocess.run(
            [program, "validate-config"], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_hooks_run_the_tools_of_make_lint_from_the_environment(self) -> None:
        """So there is one list of pins, requirements-dev.txt."""
        linted = [" ".join(shlex.split(line)[:2]) for line in commands_of("lint")]
        for hook in HOOKS:
            program, *arguments = shlex.split(command_of(hook))
            assert hook["language"] == "system", hook["id"]
            if program == "make":
                assert re.search(rf"^lint:.* {arguments[0]}\b", TEXT, re.MULTILINE)
            else:
                assert program.startswith(".venv/bin/"), hook["id"]
                assert " ".join([Path(program).name, *arguments[:1]]) in linted, hook["id"]

    def test_make_lint_has_no_tool_that_the_hooks_lack(self) -> None:
        hooked = {Path(shlex.split(command_of(hook))[0]).name for hook in HOOKS}
        assert {shlex.split(line)[0] for line in commands_of("lint")} <= hooked

    def test_mypy_examines_the_same_folders(self) -> None:
        hooked = {command_of(hook).removeprefix(".venv/bin/") for hook in HOOKS}
        assert {line for line in commands_of("lint") if line.startswith("mypy")} - hooked == set()

    def test_each_folder_that_mypy_examines_has_a_hook_that_is_run_for_it(self) -> None:
        for hook in HOOKS:
            if hook["id"].startswith("mypy-"):
                for place in shlex.split(command_of(hook))[1:]:
                    file = place.replace("*", "a") if place.endswith(".py") else f"{place}/a.py"
                    assert re.search(hook["files"], file), (hook["id"], place)


def test_editors_break_lines_where_ruff_does() -> None:
    section = (REPOSITORY / ".editorconfig").read_text().partition("[*.py]")[2].partition("[*.")[0]
    ruff = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["ruff"]
    assert f"max_line_length = {ruff['line-length']}\n" in section


class TestPages:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_targets_of_make_exist(self, page: Path) -> None:
        named = re.findall(r"(?:`|^\$ )make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)
        assert set(named) - TARGETS == set()

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_commands_and_their_options_exist(self, page: Path) -> None:
        for command in re.findall(r"`s3-to-sftp ([a-z-]+[^`]*)`", page.read_text()):
            name, *rest = shlex.split(command)
            shown = CliRunner().invoke(cli, [name, "--help"]) if not name.startswith("-") else None
            text = shown.output if shown else CliRunner().invoke(cli, ["--help"]).output
            assert shown is None or shown.exit_code == 0, command
            options = [each.partition("=")[0] for each in [*rest, name] if each.startswith("--")]
            assert [each for each in options if each not in text] == [], command

    def test_bug_report_asks_for_what_the_doctor_says(self) -> None:
        form = yaml.safe_load((REPOSITORY / ".github/ISSUE_TEMPLATE/bug-report.yml").read_text())
        (asked,) = (each for each in form["body"] if each.get("id") == "doctor")
        assert "`s3-to-sftp doctor --json`" in asked["attributes"]["description"]
        assert asked["validations"]["required"]
