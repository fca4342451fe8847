"""Runs checkov on templates, in its own environment."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.environments import prepare
from local.processes import run

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_SCAN_SECONDS = 900.0


@dataclass(frozen=True, order=True)
class Finding:
    """A finding of a rule about a resource."""

    template: str
    resource: str
    rule: str


@dataclass(frozen=True)
class Report:
    """The findings of checkov in all templates of a folder.

    Attributes:
        failed: Findings.
        skipped: Rules that a suppression skips; checkov does not evaluate them.
    """

    failed: set[Finding]
    skipped: set[Finding]

    def failed_in(self, template: str) -> set[tuple[str, str]]:
        """Return resource and rule of each finding in one template."""
        return {(each.resource, each.rule) for each in self.failed if each.template == template}

    def skipped_in(self, template: str) -> set[tuple[str, str]]:
        """Return resource and rule of each suppression in one template."""
        return {(each.resource, each.rule) for each in self.skipped if each.template == template}


def prepare_checkov() -> Path:
    """Install checkov and return its interpreter.

    Raises:
        CannotRun: It could not be installed.
    """
    return prepare("checkov", requirements=_REQUIREMENTS)


def scan(interpreter: Path, folder: Path) -> Report:
    """Scan the templates in `folder`, which it writes its results to. It uses no network.

    Raises:
        CannotRun: It failed or timed out.
    """
    run(
        [interpreter, "-m", "checkov.main", "--directory", folder, "--output-file-path", folder, *_OPTIONS],
        log=folder / "checkov.log",
        seconds=_SCAN_SECONDS,
        cwd=folder,
        # No other variables, so that settings and API keys of the user have no effect.
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true",
            "LOG_LEVEL": "ERROR",
        },
    )
    results = json.loads((folder / "results_json.json").read_text())["results"]
    return Report(
        failed={_finding(each) for each in results["failed_checks"]},
        skipped={_finding(each) for each in results["skipped_checks"]},
    )


_OPTIONS = (
    *("--framework", "cloudformation"),
    *("--output", "json"),
    "--compact",
    "--skip-download",  # of severities and guidelines, from the vendor
    "--soft-fail",  # the tests decide whether a finding is a failure
)


def _finding(check: dict[str, Any]) -> Finding:
    template = Path(check["file_path"]).name.partition(".")[0]
    resource = str(check["resource"]).partition(".")[2]
    return Finding(template, resource[:-8], check["check_id"])  # without the hash
