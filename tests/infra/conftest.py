"""Fixtures and helpers of all construct tests. Synths do not bundle; the bundle is built once."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import cx_api
from aws_cdk.assertions import Annotations, Match, Template

from cdk_s3_to_sftp import S3ToSftp, S3ToSftpStack, SftpServer, bundle_builder, bundle_cache
from cdk_s3_to_sftp.bundling import find_source, target_of
from tests.infra.stock_app import Main
from tests.support.infra.keys import ED25519
from tests.support.infra.rule_packs import stock
from tests.support.once import made_once

REPOSITORY = Path(__file__).parents[2]
X86_64 = target_of(lambda_.Architecture.X86_64)
ARM64 = target_of(lambda_.Architecture.ARM_64)

Synthesise = Callable[..., Template]


def new_app(**context: Any) -> cdk.App:
    """Return an app with the feature flags of the stock app that does not bundle."""
    defaults = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    context = {**defaults, "aws:cdk:bundling-stacks": [], **context}
    return cdk.App(context=context, analytics_reporting=False)


def load_script(path: Path) -> ModuleType:
    """Import a file that is not part of a package. Every call runs it again."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def warnings_of(stack: cdk.Stack, warning: str) -> list[str]:
    """Return the texts of our synth-time warnings with this id."""
    found = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp(f"cdk-s3-to-sftp:{warning}")
    )
    return [str(each.entry.data) for each in found]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the bundle cache, so that no test depends on an earlier build."""
    monkeypatch.setenv(bundle_cache.VARIABLE, "")


@pytest.fixture
def app() -> cdk.App:
    return new_app()


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Test")


@pytest.fixture
def server() -> SftpServer:
    return SftpServer("sftp.partner.example", host_keys=[ED25519])


@pytest.fixture
def synthesise(stack: cdk.Stack, server: SftpServer) -> Synthesise:
    """Return the template of a stack that contains only the construct with these arguments."""

    def template(**arguments: Any) -> Template:
        S3ToSftp(stack, "Delivery", **{"server": server, **arguments})
        return Template.from_stack(stack)

    return template


@pytest.fixture(scope="session")
def default_template() -> Template:
    """The template of the construct with only a server."""
    stack = cdk.Stack(new_app(), "Test")
    S3ToSftp(stack, "Delivery", server=SftpServer("sftp.partner.example", host_keys=[ED25519]))
    return Template.from_stack(stack)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the function, built on this machine once in a run."""

    def build(output: Path) -> None:
        output.mkdir(exist_ok=True)
        bundle_builder.build(find_source(), output, X86_64)

    return made_once(tmp_path_factory, "bundle", build)


@pytest.fixture
def stock_app() -> ModuleType:
    return load_script(REPOSITORY / "app.py")


@pytest.fixture
def main(stock_app: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Main:
    """Run the app with this partner.toml, and with this context in place of the CLI's.

    Returns the template of its only stack, with the name and the warnings of the stack.
    """

    def run(written: str = "", /, **context: Any) -> dict[str, Any]:
        # The CLI passes context in the environment, which the Node process has already read.
        real = cdk.App

        def app(*, context: dict[str, Any], **arguments: Any) -> cdk.App:
            return real(context={**context, **given}, outdir=str(tmp_path), **arguments)

        given = {"aws:cdk:bundling-stacks": [], **context}
        (tmp_path / "cdk.json").write_text((REPOSITORY / "cdk.json").read_text())
        (tmp_path / "partner.toml").write_text(written)
        monkeypatch.setattr(stock_app, "__file__", str(tmp_path / "app.py"))
        monkeypatch.setattr(stock_app.cdk, "App", app)
        stock_app.main()
        (template,) = tmp_path.glob("*.template.json")
        name = template.name.partition(".")[0]
        assembly = cx_api.CloudAssembly(str(tmp_path))
        warnings = [
            each.entry.data
            for each in assembly.get_stack_by_name(name).messages
            if each.level is cx_api.SynthesisMessageLevel.WARNING
        ]
        return {"name": name, "warnings": warnings, **json.loads(template.read_text())}

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the function's source that a test may change."""
    return Path(shutil.copytree(find_source(), tmp_path / "source"))


@pytest.fixture(scope="session")
def stock_stack() -> S3ToSftpStack:
    return stock(new_app())


@pytest.fixture(scope="session")
def stock_template(stock_stack: S3ToSftpStack) -> dict[str, Any]:
    app = stock_stack.node.root
    assert isinstance(app, cdk.App)
    found: dict[str, Any] = app.synth().get_stack_by_name("S3ToSftp").template
    return found
