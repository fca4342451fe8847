"""A new user: the commands of the README; the wheel and an app of six lines; what a deleted stack retains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.deployment import App, server_context
from tests.support.e2e.bundles import Bundles
from tests.support.e2e.stack_environment import INBOX, StackEnvironment
from tests.support.e2e.stacks import Stacks
from tests.support.wheel import build_wheel, fresh_environment

REPOSITORY = Path(__file__).parents[2]
FILES_OF_STOCK_APP = ("app.py", "cdk.json", "partner.example.toml")
README_STACK = "Readme"

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


def commands_of_readme() -> list[str]:
    """The commands of "Deploy for real", without their comments."""
    section = (REPOSITORY / "README.md").read_text().partition("## Deploy for real")[2]
    lines = section.partition("```console\n")[2].partition("```")[0].splitlines()
    return [line[2:].partition("#")[0].strip() for line in lines if line.startswith("$ ")]


def set_keys(file: Path, keys: dict[str, str]) -> None:
    """Replace each commented example in the file by a value."""
    lines = file.read_text().splitlines()
    for key, value in keys.items():
        (at,) = (number for number, line in enumerate(lines) if line.startswith(f"# {key} = "))
        lines[at] = f"{key} = {value if key == 'ssh_port' else json.dumps(value)}"
    file.write_text("\n".join(lines))


def run_as_user(env: StackEnvironment, command: str, folder: Path) -> None:
    tools = [str(REPOSITORY / "node_modules" / ".bin"), str(Path(sys.executable).parent)]
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            **env.cloud.environment(),
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "CDK_HOME": str(folder / "cdk-home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_REQUIRE_APPROVAL": "never",  # it would ask at a terminal
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_commands_of_the_readme_work_in_their_order(env: StackEnvironment, tmp_path: Path) -> None:
    for name in FILES_OF_STOCK_APP:
        shutil.copy(REPOSITORY / name, tmp_path)
    copy, *commands = commands_of_readme()
    run_as_user(env, copy, tmp_path)
    # Another stack than that of the other tests in this account.
    set_keys(tmp_path / "partner.toml", {**server_context(env.server, INBOX), "stack_name": README_STACK})
    assert [each.partition(" --")[0] for each in commands] == [
        "cdk bootstrap",
        "cdk deploy",
        "aws secretsmanager put-secret-value",
    ]
    for command in commands[:2]:
        run_as_user(env, command, tmp_path)
    stacks = Stacks(env, README_STACK)
    stacks.fill_secrets()
    stacks.put("Delivery", "readme/first.csv", b"id\n1\n")
    assert stacks.arrived(f"{INBOX}/readme/first.csv") == b"id\n1\n"


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
