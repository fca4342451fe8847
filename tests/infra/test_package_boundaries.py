"""The construct and the function meet in the environment variables, and nowhere else."""

import ast
import tomllib
from pathlib import Path

import pytest

from cdk_s3_to_sftp import ledger
from tests.infra.conftest import REPOSITORY

CONSTRUCT = REPOSITORY / "infra" / "cdk_s3_to_sftp"
FUNCTION = REPOSITORY / "lambda_src" / "s3_to_sftp"


def imported_by(package: Path) -> set[str]:
    """The top-level packages that are imported anywhere in `package`."""
    names: set[str] = set()
    for module in package.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Import(names=aliases):
                    names |= {alias.name for alias in aliases}
                case ast.ImportFrom(module=str(name), level=0):
                    names.add(name)
    return {name.partition(".")[0] for name in names}


def test_the_construct_never_imports_the_function() -> None:
    assert "s3_to_sftp" not in imported_by(CONSTRUCT)


def test_the_function_never_imports_the_construct_or_the_cdk() -> None:
    assert not imported_by(FUNCTION) & {"aws_cdk", "constructs", "jsii", "cdk_s3_to_sftp"}


OPERATIONS = {
    "get_item": "GetItem",
    "put_item": "PutItem",
    "update_item": "UpdateItem",
    "delete_item": "DeleteItem",
    "query": "Query",
    "scan": "Scan",
    # Within a transaction, which is authorised by what it is made of.
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def test_the_role_may_do_with_the_ledger_what_the_function_does() -> None:
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
def test_the_tests_run_with_what_is_shipped(name: str) -> None:
    assert pins(REPOSITORY / "requirements-dev.txt")[name] == pins(FUNCTION / "requirements.txt")[name]


def test_everything_shipped_is_pinned_by_hash() -> None:
    lock = (FUNCTION / "requirements.txt").read_text()
    for requirement in lock.replace("\\\n", " ").splitlines():
        if requirement and requirement[0].isalnum():
            assert "--hash=sha256:" in requirement


def test_the_wheel_holds_both_packages_and_none_called_infra() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["infra/cdk_s3_to_sftp", "lambda_src/s3_to_sftp"]
