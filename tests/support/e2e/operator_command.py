"""Runs the operator's command against the deployed stack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.e2e.stack_environment import StackEnvironment

_SECONDS = 600.0


def operate_as(env: StackEnvironment, credentials: Mapping[str, str], *arguments: str) -> tuple[int, Any]:
    """Run it with these variables in its environment; see `operate`."""
    return _run({**env.cloud.environment(), **credentials}, env.deployment.function, arguments)


def operate(env: StackEnvironment, *arguments: str) -> tuple[int, Any]:
    """Run `s3-to-sftp ARGUMENTS --json` in a process of its own, with all permissions.

    Returns:
        Its exit code, and what it printed: a document, or a list of them where it printed several.
    """
    return _run(env.cloud.environment(), env.deployment.function, arguments)


def _run(environment: Mapping[str, str], name: str, arguments: Sequence[str]) -> tuple[int, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "s3_to_sftp_cli", *arguments, "--json"],
        env={**environment, "S3_TO_SFTP_NAME": name},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    lines = ended.stdout.splitlines()
    assert lines, f"exit code {ended.returncode}, nothing printed\n{ended.stderr}"
    documents = [json.loads(line) for line in lines]
    return ended.returncode, documents[0] if len(documents) == 1 else documents
