"""cdk.json has exactly the feature flags that change our template."""

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms

from cdk_s3_to_sftp import S3ToSftp, Trigger
from tests.infra.conftest import REPOSITORY
from tests.support.infra.rule_packs import SERVER, stock, through_static_egress, with_existing_resources

FLAGS: dict[str, Any] = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
PINNED = re.search(r"^aws-cdk-lib==(\S+)", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)

WITHOUT_SERVICE = {"core"}
"""The first part of the name of a flag that belongs to no service."""

Templates = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def recommended() -> dict[str, Any]:
    """The flags that `cdk init` of the installed CDK writes into cdk.json."""
    folder = Path(cdk.__file__).parent / "_jsii"
    (archive,) = folder.glob("aws-cdk-lib@*.jsii.tgz")
    with tarfile.open(archive) as files:
        file = files.extractfile("package/recommended-feature-flags.json")
        assert file is not None
        found: dict[str, Any] = json.load(file)
    return found


def with_key_and_events(app: cdk.App) -> cdk.Stack:
    stack = cdk.Stack(app, "Encrypted")
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    S3ToSftp(stack, "Delivery", server=SERVER, encryption_key=key, trigger=Trigger.EVENTBRIDGE)
    return stack


def with_alias_of_a_key(app: cdk.App) -> cdk.Stack:
    stack = cdk.Stack(app, "Alias")
    S3ToSftp(
        stack, "Delivery", server=SERVER, encryption_key=kms.Alias.from_alias_name(stack, "Key", "alias/a")
    )
    return stack


def templates(build: Callable[[cdk.App], cdk.Stack], flags: dict[str, Any]) -> Templates:
    """Map the name of each stack to its template with these flags."""
    app = cdk.App(context={**flags, "aws:cdk:bundling-stacks": []}, analytics_reporting=False)
    build(app)
    return {stack.stack_name: stack.template for stack in app.synth().stacks_recursively}


def services() -> Iterator[str]:
    """Yield the services whose constructs are used, by the names that flags use."""
    for path in (REPOSITORY / "infra").rglob("*.py"):
        for name in re.findall(r"^from aws_cdk import aws_(\w+)", path.read_text(), re.MULTILINE):
            yield "aws-" + name.replace("_", "-")


@pytest.mark.parametrize(
    "build", [stock, with_existing_resources, through_static_egress, with_key_and_events, with_alias_of_a_key]
)
def test_omitted_recommended_flags_do_not_change_the_template(
    build: Callable[[cdk.App], cdk.Stack], recommended: dict[str, Any]
) -> None:
    assert templates(build, FLAGS) == templates(build, {**recommended, **FLAGS})


def test_flags_change_the_template() -> None:
    assert templates(stock, FLAGS) != templates(stock, {})


def test_every_flag_belongs_to_a_used_service() -> None:
    used = {*services(), *WITHOUT_SERVICE}
    assert [flag for flag in FLAGS if flag.removeprefix("@aws-cdk/").partition(":")[0] not in used] == []


def test_every_flag_has_the_recommended_value(recommended: dict[str, Any]) -> None:
    assert PINNED is not None
    if version("aws-cdk-lib") != PINNED[1]:
        pytest.skip(f"the flags are those of CDK {PINNED[1]}, this is {version('aws-cdk-lib')}")
    assert {flag: recommended.get(flag, "unknown") for flag in FLAGS} == FLAGS
