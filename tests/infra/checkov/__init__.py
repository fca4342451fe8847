"""checkov, which looks at templates, in an environment of its own."""

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
    """What a rule says about a resource."""

    template: str
    resource: str
    rule: str


@dataclass(frozen=True)
class Report:
    """What checkov says about all templates of a folder.

    Attributes:
        failed: What it found.
        skipped: What it was told to skip, and so did not look at.
    """

    failed: set[Finding]
    skipped: set[Finding]

    def failed_in(self, template: str) -> set[tuple[str, str]]:
        """Resource and rule of what it found in one template."""
        return {(each.resource, each.rule) for each in self.failed if each.template == template}

    def skipped_in(self, template: str) -> set[tuple[str, str]]:
        """Resource and rule of what it skipped in one template."""
        return {(each.resource, each.rule) for each in self.skipped if each.template == template}


def prepare_checkov() -> Path:
    """checkov's interpreter.

    Raises:
        CannotRun: It could not be installed.
    """
    return prepare("checkov", requirements=_REQUIREMENTS)


def scan(interpreter: Path, folder: Path) -> Report:
    """Have checkov look at the templates in `folder`, which it may write to. It asks nobody else.

    Raises:
        CannotRun: It failed, or did not come to an end.
    """
    run(
        [interpreter, "-m", "checkov.main", "--directory", folder, "--output-file-path", folder, *_OPTIONS],
        log=folder / "checkov.log",
        seconds=_SCAN_SECONDS,
        cwd=folder,
        # Spelled out: neither settings nor an API key of the user are for it.
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
    "--soft-fail",  # whether a finding is a failure is for the tests to say
)


def _finding(check: dict[str, Any]) -> Finding:
    template = Path(check["file_path"]).name.partition(".")[0]
    resource = str(check["resource"]).partition(".")[2]
    return Finding(template, resource[:-8], check["check_id"])  # without the hash
