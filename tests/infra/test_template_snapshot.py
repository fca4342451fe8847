"""The template of the stock stack: reviewed as a snapshot, clean in cfn-lint, and without a secret."""

import json
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import REPOSITORY
from tests.support.infra.cfn_lint import reported

SNAPSHOT = Path(__file__).with_name("snapshot.json")


def test_cfn_lint_reports_nothing(stock_template: dict[str, Any]) -> None:
    assert reported(json.dumps(stock_template)) == []


def test_template_equals_the_reviewed_snapshot(stock_template: dict[str, Any]) -> None:
    """After an intended change, run it with `UPDATE_SNAPSHOTS=1` in the environment and review the diff."""
    if f"aws-cdk-lib=={version('aws-cdk-lib')}\n" not in (REPOSITORY / "requirements.txt").read_text():
        pytest.skip(f"it was reviewed as another CDK than {version('aws-cdk-lib')} makes it")
    text = re.sub(r"[0-9a-f]{64}", "<hash>", json.dumps(stock_template, indent=1, sort_keys=True)) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert json.loads(text) == json.loads(SNAPSHOT.read_text())


def test_template_contains_no_secret(stock_template: dict[str, Any]) -> None:
    text = json.dumps(stock_template)
    assert "resolve:" not in text
    assert [name for name in ("SSH_USERNAME", "SSH_PASSWORD") if name in text] == []
