"""The construct imports nothing of the function but the rules, and their dependencies are pinned."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cdk_s3_to_sftp import ledger
from tests.infra.conftest import REPOSITORY

CONSTRUCT = REPOSITORY / "infra" / "cdk_s3_to_sftp"
FUNCTION = REPOSITORY / "lambda_src" / "s3_to_sftp"


def imports(package: Path) -> set[str]:
    """Return the modules that any module of `package` imports, or imports from."""
    names: set[str] = set()
    for module in package.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Import(names=aliases):
                    names |= {alias.name for alias in aliases}
                case ast.ImportFrom(module=str(name), level=0):
                    names.add(name)
    return names


def top_level_imports(package: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(package)}


def test_construct_imports_only_rules_plans_and_errors_of_the_function() -> None:
    used = {name for name in imports(CONSTRUCT) if name.partition(".")[0] == "s3_to_sftp"}
    others = {name for name in used if not f"{name}.".startswith("s3_to_sftp.rules.")}
    assert others == {
        f"s3_to_sftp.{name}"
        for name in ("algorithm_rule", "delivery_plan", "errors", "measured_server", "sftp_status")
    }
    assert used - others


def modules_loaded_without_packages(*imported: str) -> set[str]:
    """Return the modules of the function that these load, where only the standard library is installed."""
    script = (
        f"import sys; sys.path.append({str(FUNCTION.parent)!r}); import {', '.join(imported)}; "
        "print(*(name for name in sys.modules if name.startswith('s3_to_sftp')))"
    )
    # Without site-packages: an import of anything else fails.
    command = [sys.executable, "-I", "-S", "-c", script]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_rules_and_plans_need_only_the_standard_library() -> None:
    used = {name for name in imports(CONSTRUCT) if name.startswith("s3_to_sftp.")}
    loaded = modules_loaded_without_packages(*used)
    assert used < loaded
    others = {name for name in loaded if name.count(".") > 1 and not name.startswith("s3_to_sftp.rules.")}
    assert others == {"s3_to_sftp.ssh.pasted_text"}


def test_packages_are_not_found_without_them() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        modules_loaded_without_packages("s3_to_sftp.handler")
    assert "ModuleNotFoundError" in failed.value.stderr


def test_function_does_not_import_the_construct_or_cdk() -> None:
    assert not top_level_imports(FUNCTION) & {"aws_cdk", "constructs", "jsii", "cdk_s3_to_sftp"}


OPERATIONS = {
    "get_item": "GetItem",
    "put_item": "PutItem",
    "update_item": "UpdateItem",
    "delete_item": "DeleteItem",
    "query": "Query",
    "scan": "Scan",
    # Within a transaction, whose operations are authorised one by one.
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def test_ledger_permissions_equal_the_dynamodb_operations_in_the_code() -> None:
    trees = [ast.parse(module.read_text()) for module in FUNCTION.rglob("*.py")]
    used: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Attribute(attr=name):
                used.add(name)
            case ast.Dict(keys=keys):
                used |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    needed = {f"dynamodb:{action}" for name, action in OPERATIONS.items() if name in used}
    assert needed == {*ledger.ACTIONS, *ledger.QUERY}


def pins(path: Path) -> dict[str, str]:
    lines = [line.split() for line in path.read_text().splitlines() if "==" in line and line[0].isalnum()]
    return dict(first.split("==") for first, *_ in lines)


LOCKS = ["requirements.txt", "requirements-openpgp.txt"]


@pytest.mark.parametrize("name", ["aws-lambda-powertools", "boto3", "paramiko", "pysequoia"])
def test_development_pins_equal_the_shipped_pins(name: str) -> None:
    shipped = {name: pin for lock in LOCKS for name, pin in pins(FUNCTION / lock).items()}
    assert pins(REPOSITORY / "requirements-dev.txt")[name] == shipped[name]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_shipped_dependency_has_a_hash(lock: str) -> None:
    text = (FUNCTION / lock).read_text()
    for requirement in text.replace("\\\n", " ").splitlines():
        if requirement and requirement[0].isalnum():
            assert "--hash=sha256:" in requirement


def test_wheel_contains_exactly_the_three_packages() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["infra/cdk_s3_to_sftp", "lambda_src/s3_to_sftp", "cli/s3_to_sftp_cli"]
