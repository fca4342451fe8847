"""The construct and the function do not import each other, and their dependencies are pinned."""

import ast
import tomllib
from pathlib import Path

import pytest

from cdk_s3_to_sftp import ledger
from tests.infra.conftest import REPOSITORY

CONSTRUCT = REPOSITORY / "infra" / "cdk_s3_to_sftp"
FUNCTION = REPOSITORY / "lambda_src" / "s3_to_sftp"


def top_level_imports(package: Path) -> set[str]:
    """Return the top-level packages that any module of `package` imports."""
    names: set[str] = set()
    for module in package.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Import(names=aliases):
                    names |= {alias.name for alias in aliases}
                case ast.ImportFrom(module=str(name), level=0):
                    names.add(name)
    return {name.partition(".")[0] for name in names}


def test_construct_does_not_import_the_function() -> None:
    assert "s3_to_sftp" not in top_level_imports(CONSTRUCT)


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
    assert needed == set(ledger.ACTIONS)


def pins(path: Path) -> dict[str, str]:
    lines = [line.split() for line in path.read_text().splitlines() if "==" in line and line[0].isalnum()]
    return dict(first.split("==") for first, *_ in lines)


@pytest.mark.parametrize("name", ["aws-lambda-powertools", "boto3", "paramiko"])
def test_development_pins_equal_the_shipped_pins(name: str) -> None:
    assert pins(REPOSITORY / "requirements-dev.txt")[name] == pins(FUNCTION / "requirements.txt")[name]


def test_every_shipped_dependency_has_a_hash() -> None:
    lock = (FUNCTION / "requirements.txt").read_text()
    for requirement in lock.replace("\\\n", " ").splitlines():
        if requirement and requirement[0].isalnum():
            assert "--hash=sha256:" in requirement


def test_wheel_contains_exactly_the_three_packages() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["infra/cdk_s3_to_sftp", "lambda_src/s3_to_sftp", "cli/s3_to_sftp_cli"]
