"""What the infra tests share: one Node process, one bundle, synths without bundling."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template

from cdk_s3_to_sftp import S3ToSftp, SftpServer, bundle_builder, bundle_cache
from cdk_s3_to_sftp.bundling import find_source, target_of
from tests.support.infra.keys import ED25519

REPOSITORY = Path(__file__).parents[2]
X86_64 = target_of(lambda_.Architecture.X86_64)
ARM64 = target_of(lambda_.Architecture.ARM_64)

Synthesise = Callable[..., Template]


def new_app(**context: Any) -> cdk.App:
    """An app with the flags of the stock app that does not bundle."""
    defaults = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    context = {**defaults, "aws:cdk:bundling-stacks": [], **context}
    return cdk.App(context=context, analytics_reporting=False)


def load_script(path: Path) -> ModuleType:
    """Import a file that is no module of a package, each time anew."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def warned(stack: cdk.Stack, warning: str) -> list[str]:
    """What our warnings with this id say at synth."""
    found = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp(f"cdk-s3-to-sftp:{warning}")
    )
    return [str(each.entry.data) for each in found]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test, or the person at this machine, has built decides nothing."""
    monkeypatch.setenv(bundle_cache.VARIABLE, "")


@pytest.fixture
def stack() -> cdk.Stack:
    return cdk.Stack(new_app(), "Test")


@pytest.fixture
def server() -> SftpServer:
    return SftpServer("sftp.partner.example", host_keys=[ED25519])


@pytest.fixture
def synthesise(stack: cdk.Stack, server: SftpServer) -> Synthesise:
    """The template of a stack that holds the construct with these arguments alone."""

    def template(**arguments: Any) -> Template:
        S3ToSftp(stack, "Delivery", **{"server": server, **arguments})
        return Template.from_stack(stack)

    return template


@pytest.fixture(scope="session")
def default_template() -> Template:
    """The construct with nothing but a server."""
    stack = cdk.Stack(new_app(), "Test")
    S3ToSftp(stack, "Delivery", server=SftpServer("sftp.partner.example", host_keys=[ED25519]))
    return Template.from_stack(stack)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the function of the stock app runs, built here."""
    output = tmp_path_factory.mktemp("bundle")
    bundle_builder.build(find_source(), output, X86_64)
    return output
