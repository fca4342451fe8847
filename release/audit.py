"""Known vulnerabilities of what the locks pin, as pip-audit learns them from a database.

A finding is an error, and so is a lock that pip-audit cannot read. A database that does not answer is none: a
build must not depend on it. It is said plainly instead, since silence would look like a clean result.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.project import REPOSITORY, NotReady

LOCKS = (
    Path("lambda_src/s3_to_sftp/requirements.txt"),
    Path("lambda_src/s3_to_sftp/requirements-openpgp.txt"),
    Path("local/requirements.txt"),
    Path("tests/infra/checkov/requirements.txt"),
    Path("release/build-requirements.txt"),
)
"""What is shipped, what only tests install, and what builds a release."""

SERVICES = (("--vulnerability-service=pypi",), ("--vulnerability-service=osv",))
"""Options of pip-audit for the databases, in the order in which they are asked."""

ACCEPTED: dict[str, str] = {}
"""Identifier of a vulnerability -> why it does not concern this project."""

_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What a database said about a lock.

    Attributes:
        audited: Names that it knows.
        unknown: Names that it does not know: of those it can say nothing.
        findings: A sentence for each vulnerability.
    """

    audited: tuple[str, ...]
    unknown: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class NoAnswer:
    """No database has said anything. `reason` is what pip-audit said of the last one."""

    reason: str


def audit(lock: Path, services: Sequence[Sequence[str]] = SERVICES) -> Audit | NoAnswer:
    """Ask the databases one after the other, until one knows something of the lock.

    Raises:
        NotReady: There is nothing to ask about: pip-audit cannot read the lock, or cannot be run.
    """
    answer: Audit | NoAnswer = NoAnswer("no database was asked")
    for service in services:
        answer = _ask(lock, service)
        if isinstance(answer, Audit):
            return answer
    _require_readable(lock)
    return answer


def report(lock: Path, answer: Audit | NoAnswer) -> Iterator[str]:
    """Yield the lines to print about a lock."""
    if isinstance(answer, NoAnswer):
        yield f"{lock}: NOT AUDITED, no database answers here ({answer.reason[:100]})"
        return
    yield f"{lock}: {len(answer.audited)} audited, {len(answer.findings)} vulnerable"
    if answer.unknown:
        yield f"  not audited, since the database does not know them: {', '.join(answer.unknown)}"
    yield from (f"  {each}" for each in answer.findings)


def _ask(lock: Path, service: Sequence[str]) -> Audit | NoAnswer:
    ignored = [f"--ignore-vuln={each}" for each in ACCEPTED]
    try:
        done = _pip_audit(lock, *ignored, *service)
    except subprocess.TimeoutExpired:
        return NoAnswer(f"none within {_SECONDS} seconds")
    return read(done.stdout, done.stderr)


def _require_readable(lock: Path) -> None:
    """Tell a lock at fault from a database that does not answer: a dry run asks no database."""
    done = _pip_audit(lock, "--dry-run")
    if done.returncode != 0:
        raise NotReady(f"{lock} cannot be audited, whatever a database answers:\n{done.stderr.strip()}")


def _pip_audit(lock: Path, *options: str) -> subprocess.CompletedProcess[str]:
    always = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    command = [sys.executable, "-m", "pip_audit", *always, *options, f"--requirement={lock}"]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=_SECONDS
    )


def read(output: str, messages: str) -> Audit | NoAnswer:
    """Return what pip-audit has printed, in its own words where it has learned nothing."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        # What pip-audit does where it cannot connect: a traceback, or one line.
        return NoAnswer((messages.strip().splitlines() or ["it said nothing"])[-1])
    known = [each for each in dependencies if "skip_reason" not in each]
    unknown = [each for each in dependencies if "skip_reason" in each]
    if not known and unknown:
        return NoAnswer(unknown[0]["skip_reason"])
    return Audit(
        audited=tuple(each["name"] for each in known),
        unknown=tuple(each["name"] for each in unknown),
        findings=tuple(
            _sentence(each["name"], each["version"], found) for each in known for found in each["vulns"]
        ),
    )


def _sentence(name: str, version: str, found: dict[str, object]) -> str:
    fixes = found["fix_versions"]
    fixed = f"fixed in {', '.join(map(str, fixes))}" if isinstance(fixes, list) and fixes else "not fixed yet"
    return (
        f"{name} {version} has {found['id']}, {fixed}: `make lock` renews the pins. If this does not concern "
        "the project, add it to ACCEPTED in release/audit.py with the reason."
    )
