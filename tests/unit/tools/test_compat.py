"""`make compat` names tests and Pythons that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SCRIPT = (REPOSITORY / ".ci" / "compat").read_text()

FUNCTION = {
    "app": "functools",
    "credentials": "time",
    "delivery/batch": "collections concurrent.futures contextlib secrets threading types",
    "delivery/interrupted_deliveries": "logging",
    "delivery/remote_path": "posixpath",
    "diagnosis/connecting": "ipaddress",
    "doctor/partner_checks": "socket",
    "events": "datetime",
    "handler": "os",
    "interpreter": "collections.abc dataclasses errno typing warnings",
    "partner_rules/encryption": "subprocess selectors sys",
    "partner_rules/filtered_objects": "shlex",
    "partner_rules/loading": "pathlib",
    "queue/disposition": "random",
    "rules/filter": "enum fnmatch re",
    "rules/gzip": "zlib",
    "rules/key_patterns": "unicodedata",
    "rules/template": "string",
    "rules/times": "zoneinfo",
    "s3/checksum": "base64 bisect",
    "s3/notifications": "urllib.parse json",
    "s3/object_reader": "queue itertools",
    "s3/persistent_body": "http.client",
    "sftp/parallel_upload": "math",
    "sftp/protocol": "stat struct",
    "ssh/private_key": "binascii hashlib hmac io textwrap",
    "ssh/tcp": "ssl",
    "untrusted_text": "html",
}
"""Test -> modules of the standard library that the function uses in what it runs (or loads: interpreter)."""

COMMAND = {
    "cli/backfill": "collections concurrent.futures contextlib csv gzip io itertools pathlib tempfile types",
    "cli/filtered": "difflib",
    "cli/layout": "textwrap",
    "cli/logs": "datetime re shutil",
    "cli/numbers": "decimal glob",
    "cli/receipts": "base64 binascii fnmatch json shlex",
    "cli/redrive": "email.utils",
    "cli/report": "html math",
    "cli/selftest": "posixpath secrets time",
    "cli/streams": "codecs signal",
    "cli/trust_host_key": "getpass hashlib os",
    "cli/wrong_input": "errno functools importlib importlib.metadata importlib.util sys urllib.parse",
    "interpreter": "collections.abc dataclasses enum typing",
}
"""The same for the operator's command."""


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\btests/[\w/.]*\w", SCRIPT))))
def test_chosen_and_left_out_tests_exist(path: str) -> None:
    assert (REPOSITORY / path).exists()


def chosen(name: str) -> set[str]:
    """Return the paths in a list of the script, those of the lists in it included."""
    (found,) = re.findall(rf"^{name}=\(\n(.*?)^\)", SCRIPT, re.MULTILINE | re.DOTALL)
    inner = re.findall(r'"\$\{(\w+_python)\[@\]\}"', found)
    return {*re.findall(r"\btests/[\w/.]*\w", found)}.union(*map(chosen, inner))


def of_the_standard_library(code: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            names += [node.module, *filter(is_module_of_a_package, inner)]
        yield from (name for name in names if name.partition(".")[0] in sys.stdlib_module_names)


def is_module_of_a_package(name: str) -> bool:
    package, _, inner = name.rpartition(".")
    found = find_spec(package) if package.partition(".")[0] in sys.stdlib_module_names else None
    places = found.submodule_search_locations if found else None
    return places is not None and PathFinder.find_spec(inner, places) is not None


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import json, http.client as client", {"json", "http.client"}),
        ("from collections import deque", {"collections"}),
        ("from collections import abc", {"collections", "collections.abc"}),
        ("from os import sep, environ", {"os"}),
        ("from .json import one", set()),
        ("from . import json", set()),
        ("import boto3", set()),
    ],
)
def test_imported_modules_of_the_standard_library_are_found(code: str, modules: set[str]) -> None:
    assert set(of_the_standard_library(code.encode())) == modules


@pytest.mark.parametrize(
    ("folder", "names", "tests"),
    [
        ("lambda_src", ["function_on_another_python"], FUNCTION),
        ("cli", ["command_on_another_python", "function_on_another_python"], COMMAND),
    ],
)
def test_each_module_of_the_standard_library_is_used_on_another_python(
    folder: str, names: list[str], tests: dict[str, str]
) -> None:
    used = {module for modules in tests.values() for module in modules.split()}
    codes = [path.read_bytes() for path in (REPOSITORY / folder).rglob("*.py")]
    assert used == set[str]().union(*map(of_the_standard_library, codes)) - {"__future__"}
    paths = set[str]().union(*map(chosen, names))
    for test in tests:
        folder_of, _, name = f"tests/unit/{test}".rpartition("/")
        file = f"{folder_of}/test_{name}.py"
        assert (REPOSITORY / file).exists(), test  # also where the script names the folder
        assert {folder_of, file} & paths, test


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
