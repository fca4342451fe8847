"""The project of a new user: the wheel, an app of six lines, a partner; and what a deleted stack retains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.deployment import App
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.stack_environment import INBOX, StackEnvironment
from tests.support.e2e.stacks import Stacks
from tests.support.wheel import build_wheel, fresh_environment

SIX_LINES = """\
import aws_cdk as cdk
from cdk_s3_to_sftp import S3ToSftp, SftpServer
app = cdk.App()
partner = SftpServer({host!r}, port={port}, directory={directory!r}, host_keys={host_keys!r})
S3ToSftp(cdk.Stack(app, {stack!r}), "ToPartner", server=partner{more})
app.synth()
"""

KEPT = {
    "AWS::S3::Bucket": ("s3", "head_bucket", "Bucket"),
    "AWS::DynamoDB::Table": ("dynamodb", "describe_table", "TableName"),
    "AWS::SecretsManager::Secret": ("secretsmanager", "describe_secret", "SecretId"),
    "AWS::SQS::Queue": ("sqs", "get_queue_attributes", "QueueUrl"),
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("new-user")
    return fresh_environment(folder / "environment", build_wheel(folder / "dist"))


def app_of_six_lines(env: StackEnvironment, python: Path, folder: Path, stack: str, *, more: str = "") -> App:
    """An app in a folder with nothing else; it builds the bundle, unless there is one."""
    folder.mkdir(parents=True)
    text = SIX_LINES.format(
        host=env.server.host,
        port=env.server.port,
        directory=f"/{INBOX}",
        host_keys=list(env.server.host_keys),
        stack=stack,
        more=more,
    )
    (folder / "app.py").write_text(text)
    command = f"{python} {folder / 'app.py'}"
    return App(command=command, assembly=folder / "cdk.out", scratch=folder)


def test_wheel_and_six_line_app_deliver_a_file(env: StackEnvironment, python: Path, tmp_path: Path) -> None:
    app_of_six_lines(env, python, tmp_path / "project", "Orders").deploy(env.cloud)
    stacks = Stacks(env, "Orders")
    stacks.fill_secrets()
    stacks.put("ToPartner", "orders/first.csv", b"id,amount\n1,2\n")
    assert stacks.arrived(f"{INBOX}/orders/first.csv") == b"id,amount\n1,2\n"


def test_data_is_retained_when_the_stack_is_deleted(
    env: StackEnvironment, python: Path, bundles: Bundles, tmp_path: Path
) -> None:
    app = app_of_six_lines(env, python, tmp_path / "project", "Kept")
    with bundles.shared_with(app.assembly):
        app.deploy(env.cloud)
    stacks = Stacks(env, "Kept")
    app.destroy(env.cloud)
    for kind, (service, call, argument) in KEPT.items():
        names = stacks.names(kind)
        assert names, kind
        assert all(exists(env, service, call, **{argument: name}) for name in names), kind
    stacks.put("ToPartner", "after.txt", b"the bucket still takes files")


def test_data_is_deleted_with_the_stack_where_configured(
    env: StackEnvironment, python: Path, bundles: Bundles, tmp_path: Path
) -> None:
    more = ", removal_policy=cdk.RemovalPolicy.DESTROY"
    app = app_of_six_lines(env, python, tmp_path / "project", "Gone", more=more)
    with bundles.shared_with(app.assembly):
        app.deploy(env.cloud)
    stacks = Stacks(env, "Gone")
    app.destroy(env.cloud)
    for kind, (service, call, argument) in KEPT.items():
        names = stacks.names(kind)
        assert names, kind
        assert not any(exists(env, service, call, **{argument: name}) for name in names), kind


def exists(env: StackEnvironment, service: str, call: str, **arguments: Any) -> bool:
    client = env.cloud.client(service)
    ask: Callable[..., Any] = getattr(client, call)
    try:
        answer = ask(**arguments)
    except client.exceptions.ClientError:
        return False
    return "DeletedDate" not in answer
