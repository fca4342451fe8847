"""The shipped asset under Lambda's own runtime client."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import pytest

from local.interpreter import LAMBDA_PYTHON, NOT_FOUND, lambda_interpreter
from local.processes import read, run, running
from tests.support.e2e.runtime_api import start_runtime_api
from tests.support.e2e.stack_environment import PATIENCE_SECONDS, StackEnvironment, notification
from tests.support.lambda_events import sqs_event


@pytest.fixture
def interpreter() -> Path:
    found = lambda_interpreter()
    if found is None:
        pytest.skip(NOT_FOUND)
    return found


@pytest.fixture
def runtime_client(tmp_path: Path) -> Path:
    """A folder with awslambdaric for Lambda's Python: the version that requirements-dev.txt pins."""
    folder = tmp_path / "awslambdaric"
    version = importlib.metadata.version("awslambdaric")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", folder)
    platform = ["--python-version", LAMBDA_PYTHON, "--only-binary=:all:"]
    run([*pip, *platform, f"awslambdaric=={version}"], log=tmp_path / "pip.log", seconds=PATIENCE_SECONDS)
    return folder


def test_shipped_asset_delivers_under_the_real_runtime_client(
    env: StackEnvironment, interpreter: Path, runtime_client: Path, tmp_path: Path
) -> None:
    bucket = env.bucket_of_its_own("runtime-client")
    env.put("ric.txt", b"from the real runtime", bucket=bucket)
    event = sqs_event(one=json.dumps(notification(bucket, "ric.txt")))
    function = env.cloud.client("lambda").get_function_configuration(FunctionName=env.deployment.function)
    log = tmp_path / "runtime.log"
    with start_runtime_api(event, function_arn=function["FunctionArn"]) as api:
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": str(runtime_client),
            **{name: value for name, value in env.cloud.environment().items() if name.startswith("AWS_")},
            **function["Environment"]["Variables"],
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
            "AWS_LAMBDA_LOG_FORMAT": function["LoggingConfig"]["LogFormat"],
        }
        # -S: no env-packages, so that what the asset does not bring is missing. It runs in its folder.
        command = [interpreter, "-S", "-m", "awslambdaric", function["Handler"]]
        with running(command, log=log, env=environment, cwd=env.asset):
            answer = api.answers.get(timeout=PATIENCE_SECONDS)
    assert answer == ("response", {"batchItemFailures": []}), read(log)
    assert env.wait_for_file("ric.txt") == b"from the real runtime"
    delivered = [json.loads(line) for line in read(log).splitlines() if '"delivered"' in line]
    assert [entry["level"] for entry in delivered] == ["INFO"], read(log)
