"""The files of `make template`, deployed without CDK: an upload, then `aws cloudformation deploy`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cdk_s3_to_sftp.template import BUNDLE, TEMPLATE
from tests.support.e2e.stack_environment import INBOX, StackEnvironment
from tests.support.e2e.stacks import Stacks

BUCKET = "artifacts"
STACK = "WithoutCdk"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the command writes, including the bundle."""
    folder = tmp_path_factory.mktemp("template")
    command = [sys.executable, "-m", "cdk_s3_to_sftp.template", "--output", folder, "--bundling", "local"]
    subprocess.run(command, check=True)
    return folder


def parameters(env: StackEnvironment, **more: str) -> dict[str, str]:
    host, port = env.server.host, str(env.server.port)
    keys = ",".join(env.server.host_keys)
    return {"Host": host, "Port": port, "HostKey": keys, "BundleBucket": BUCKET, "Directory": INBOX, **more}


def upload(env: StackEnvironment, files: Path) -> None:
    """Puts the bundle where the template expects it, as `aws s3 cp` does."""
    s3 = env.cloud.client("s3")
    if BUCKET not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        env.bucket_of_its_own(BUCKET)
    key = json.loads((files / TEMPLATE).read_text())["Parameters"]["BundleKey"]["Default"]
    env.put(key, (files / BUNDLE).read_bytes(), bucket=BUCKET)


def deploy(env: StackEnvironment, files: Path, **chosen: str) -> dict[str, str]:
    """Deploys the template with no more than AWS's own tools, and returns the outputs of the stack."""
    upload(env, files)
    if shutil.which("aws"):
        _deploy_by_command(env, files / TEMPLATE, chosen)
    else:
        _deploy_by_change_set(env, files / TEMPLATE, chosen)
    (stack,) = env.cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, env.explain()
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def _deploy_by_command(env: StackEnvironment, template: Path, chosen: dict[str, str]) -> None:
    command = ["aws", "cloudformation", "deploy", "--stack-name", STACK, "--template-file", str(template)]
    command += ["--capabilities", "CAPABILITY_IAM", "--parameter-overrides"]
    command += [f"{name}={value}" for name, value in chosen.items()]
    done = subprocess.run(command, env=env.cloud.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{env.cloud.read_log()[-3000:]}"


def _deploy_by_change_set(env: StackEnvironment, template: Path, chosen: dict[str, str]) -> None:
    """Does what the command does; a parameter that `chosen` omits gets its default, not its former value."""
    client: Any = env.cloud.client("cloudformation")
    is_new = STACK not in [each["StackName"] for each in client.describe_stacks()["Stacks"]]
    kind, waiter = ("CREATE", "stack_create_complete") if is_new else ("UPDATE", "stack_update_complete")
    made = client.create_change_set(
        StackName=STACK,
        ChangeSetName="deploy",
        ChangeSetType=kind,
        TemplateBody=template.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in chosen.items()],
    )
    client.get_waiter("change_set_create_complete").wait(ChangeSetName=made["Id"])
    client.execute_change_set(ChangeSetName=made["Id"])
    client.get_waiter(waiter).wait(StackName=STACK)


def function(env: StackEnvironment, outputs: dict[str, str]) -> dict[str, Any]:
    client = env.cloud.client("lambda")
    found: dict[str, Any] = client.get_function_configuration(FunctionName=outputs["FunctionName"])
    return found


def test_template_and_zip_deliver_a_file(env: StackEnvironment, files: Path) -> None:
    outputs = deploy(env, files, **parameters(env))
    stacks = Stacks(env, STACK)
    stacks.fill_secrets()
    env.put("orders/a b+\u00fc.csv", b"id,amount\n", bucket=outputs["BucketName"])
    assert stacks.arrived(f"{INBOX}/orders/a b+\u00fc.csv") == b"id,amount\n"
    variables = function(env, outputs)["Environment"]["Variables"]
    assert (variables["SSH_MAX_CONNECTIONS"], variables.get("SSH_KEEP_CONNECTION")) == ("1", None)


def test_parameters_for_secret_prefix_and_connections_take_effect(env: StackEnvironment, files: Path) -> None:
    login = {"username": env.server.username, "password": env.partner.password}
    secret = env.cloud.client("secretsmanager").create_secret(
        Name="login-of-theirs", SecretString=json.dumps(login)
    )["ARN"]
    outputs = deploy(
        env,
        files,
        **parameters(env, ExistingSecretArn=secret, Prefix="year=2026/to partner/", MaxConnections="1"),
    )
    assert outputs["SecretArn"] == secret
    for key in ("year=2026/other/1.csv", "year=2026/to partner/1.csv"):
        env.put(key, key.encode(), bucket=outputs["BucketName"])
    stacks = Stacks(env, STACK)
    assert stacks.arrived(f"{INBOX}/year=2026/to partner/1.csv") == b"year=2026/to partner/1.csv"
    assert not env.landing_place("year=2026/other/1.csv").exists()
    variables = function(env, outputs)["Environment"]["Variables"]
    assert (variables["SSH_MAX_CONNECTIONS"], variables["SSH_KEEP_CONNECTION"]) == ("1", "false")
    # Not here: the emulator's CloudFormation ignores ReservedConcurrentExecutions, and an update that takes
    # a mapping's ScalingConfig away. tests/infra looks at both in the template.


def test_invalid_parameter_is_refused_with_its_constraint_description(
    env: StackEnvironment, files: Path
) -> None:
    with pytest.raises(ClientError, match=r"must be a bare name or address such as sftp\.partner\.example"):
        env.cloud.client("cloudformation").create_stack(
            StackName="Refused",
            TemplateBody=(files / TEMPLATE).read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters(env, Host="sftp://partner.example").items()
            ],
        )
