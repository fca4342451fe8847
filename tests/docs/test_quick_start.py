"""The quick start works as it is printed, and says the same as the README."""

import json
import re
import textwrap
from pathlib import Path

import aws_cdk as cdk
import pytest

from s3_to_sftp_cli.main import COMMANDS

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "quick-start.md").read_text()


def code_blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def test_app_of_the_quick_start_prints_the_command_for_the_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = cdk.App
    context = {"aws:cdk:bundling-stacks": []}
    monkeypatch.setattr(cdk, "App", lambda: real(context=context, outdir=str(tmp_path)))
    (app,) = code_blocks(PAGE, "python")
    exec(app, {})
    outputs = json.loads((tmp_path / "Invoices.template.json").read_text())["Outputs"]
    assert [name for name in outputs if "FillSecretCommand" in name]
    assert "`FillSecretCommand`" in PAGE


def test_cdk_finds_the_app_of_the_quick_start() -> None:
    (settings,) = code_blocks(PAGE, "json")
    assert settings == (REPOSITORY / "examples" / "minimal" / "cdk.json").read_text()
    assert "`app.py`" in PAGE


def test_commands_of_the_stock_app_are_those_of_the_readme() -> None:
    _, commands = code_blocks(PAGE, "console")
    assert commands in (REPOSITORY / "README.md").read_text()


def test_commands_of_the_quick_start_exist() -> None:
    named = set(re.findall(r"s3-to-sftp (\w+)", PAGE))
    assert {"doctor", "watch", "receipts"} <= named <= COMMANDS.keys()
